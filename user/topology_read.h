/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_read - one YAML file to the model, with the line and column of everything kept.
 *
 * libyaml's event parser feeds a small node tree (scalars stay strings, each with its position),
 * which is then walked by a schema table: scalars are typed by what our schema expects, so "no" is
 * a string where a string is due. Anchors, aliases, tags, tabs, duplicate and unknown keys are
 * errors. Every error of the file is reported, not only the first.
 */
#ifndef NSROUTE_TOPOLOGY_READ_H
#define NSROUTE_TOPOLOGY_READ_H

#include <stddef.h>

#include "topology.h"

#define TOPOLOGY_FILE_MAX  (16 * 1024 * 1024) /* bytes; 4,000 namespaces take under one MiB */
#define TOPOLOGY_DEPTH_MAX 16                 /* nested collections; the format needs 7 */

/* Reads and checks (topology_check) the file; "-" is standard input. 0 and *ret_topology; or a
 * negative errno with at least one error in the list and *ret_topology untouched. A file that
 * cannot be opened or read is an error of the list too. */
int topology_read(const char *path, struct arena *arena, struct topology **ret_topology,
		  struct error_list *errors);
/* The same for bytes in memory; name is what messages call the file. */
int topology_parse(const char *name, const char *text, size_t size, struct arena *arena,
		   struct topology **ret_topology, struct error_list *errors);

#endif
