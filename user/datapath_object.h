/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_object - the BPF object that this binary carries. For datapath*.c only.
 *
 * The only file that includes the BPF skeleton.
 */
#ifndef NSROUTE_DATAPATH_OBJECT_H
#define NSROUTE_DATAPATH_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "datapath_maps.h"

/* NSR_LAYOUT_VERSION of the object. */
extern const uint32_t object_layout;

/* A number that stands for the code of the object's programs: the same code has the same number,
 * wherever and whenever it was compiled. Never 0. */
uint64_t object_build(void);

/* What libbpf says goes to the log from here on. */
void object_quiet(void);

/* Loads these programs, a bit each; on these maps, or with maps NULL on new ones. The tables of
 * flows have so many sets. ret gets descriptors of its own of maps and programs. The verifier's
 * words are in err when it refuses one. On failure ret is to be closed like any other. */
int object_load(const int *maps, uint32_t sets, uint32_t programs, struct datapath *ret,
		struct error *err);

/* Whether the maps of datapath have the shapes that the object's programs were compiled for, with
 * its number of sets; -ENOTSUP with a message that names the first that has not. */
int object_check_maps(const struct datapath *datapath, struct error *err);

#endif
