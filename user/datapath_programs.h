/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_programs - which programs of the object a datapath has, and where they are pinned. For
 * datapath*.c only.
 */
#ifndef NSROUTE_DATAPATH_PROGRAMS_H
#define NSROUTE_DATAPATH_PROGRAMS_H

#include "datapath_maps.h"

#define DATAPATH_PIN_MAX 128 /* longest path of a pin's folder, with the NUL */

/* The programs that are there when this is what is used (enum datapath_use), a bit each. */
uint32_t programs_for(uint32_t uses);
/* What it is used for by the programs that are there, and whether some for that are not. */
uint32_t programs_uses(const struct datapath *datapath);
bool programs_lack(const struct datapath *datapath);

/* COOKIE and a suffix, below DATAPATH_PINS. */
void datapath_folder(char path[DATAPATH_PIN_MAX], uint64_t cookie, const char *suffix);
int datapath_pin(int fd, const char *folder, const char *name, struct error *err);
/* All that are there, in a folder that has none. */
int programs_pin(const struct datapath *datapath, const char *folder, struct error *err);
/* Lets those of IPv6 be called, and starts the clock that expires flows. */
int programs_start(const struct datapath *datapath, struct error *err);

/* Runs a program on a packet. Returns what it returns; what it is to do is for the message. */
int datapath_run(int program, void *packet, uint32_t size, const char *what, struct error *err);

/* A datapath that has neither maps nor programs; NULL: out of memory. */
struct datapath *datapath_none(void);

#endif
