/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sysctl_key - names and values of sysctls, without touching any.
 */
#ifndef NSROUTE_SYSCTL_KEY_H
#define NSROUTE_SYSCTL_KEY_H

#include <stdbool.h>

#include "arena.h"
#include "names.h"

#define SYSCTL_KEY_MAX   128 /* bytes of a key */
#define SYSCTL_VALUE_MAX 1024

/* As sysctl(8) reads keys: the first '.' or '/' says what separates; the other one is then a letter
 * of a name ("net.ipv4.conf.eth0/1.mtu" and "net/ipv4/conf/eth0.1/mtu" are the same). The result
 * has slashes between. */
char *sysctl_key_normal(const char *text, struct arena *arena);
/* What is wrong with a normal key of a namespace: NULL when nothing is. */
const char *sysctl_key_problem(const char *key);
/* What two keys that are one and the same sysctl have in common: "net/ipv4/ip_forward" is another
 * name of "net/ipv4/conf/all/forwarding". */
const char *sysctl_key_identity(const char *key);
/* The interface that the sysctl comes and goes with; false: it is of the namespace. */
bool sysctl_key_interface(const char *key, char ret_name[NAME_INTERFACE_MAX + 1]);
/* Offloads of links go with the sysctls of a namespace: "offload/LINK/tx-checksum". */
char *sysctl_key_of_offload(const char *link, struct arena *arena);
bool sysctl_key_offload(const char *key, char ret_link[NAME_INTERFACE_MAX + 1]);
/* Whether setting it makes the kernel change sysctls of interfaces too. */
bool sysctl_key_switches_all(const char *key);

/* Whether the kernel means the same by both: numbers may be written in several ways, and between
 * them is any white space. */
bool sysctl_value_equal(const char *a, const char *b);

#endif
