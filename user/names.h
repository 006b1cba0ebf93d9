/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * names - what fabrics, namespaces and interfaces may be called.
 */
#ifndef NSROUTE_NAMES_H
#define NSROUTE_NAMES_H

/* Bytes, without the terminator. */
#define NAME_INTERFACE_MAX 15 /* IFNAMSIZ - 1 */
#define NAME_NAMESPACE_MAX 64
#define NAME_FABRIC_MAX    32 /* so that "nsroute:FABRIC" stays a readable alias */

/* Each returns NULL when the name is good, else what is wrong with it: "is empty", ... */
const char *name_interface_problem(const char *name);
const char *name_namespace_problem(const char *name);
const char *name_fabric_problem(const char *name);

#endif
