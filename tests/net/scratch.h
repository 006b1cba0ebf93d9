/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * scratch - two network namespaces for one test, "host" and "inner".
 *
 * They have no name and end with their descriptors, so nothing is left behind however a test ends.
 * A test that needs a name takes scratch_name(), and what it leaves of it is removed.
 */
#ifndef TESTS_NET_SCRATCH_H
#define TESTS_NET_SCRATCH_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "arena.h"
#include "error.h"
#include "netlink.h"

extern const uint8_t mac_a[6], mac_b[6];

struct scratch {
	int host_fd, inner_fd;
	struct netlink *host, *inner;
	struct arena arena;
	struct error err;
	char name[32]; /* of a namespace that the test may leave when it fails; "": none */
};

/* For cmocka: *state becomes the scratch, without namespaces when the caller is not root. */
int scratch_set_up(void **state);
int scratch_tear_down(void **state);
/* Skips the test, with the reason, when the caller is not root. */
struct scratch *scratch_need_root(void **state);
/* A bridge "br0" (mac_a) in the host namespace, with port "port" (mac_a) whose other end is "eth0"
 * (mac_b) in the inner one; MTU 1400, all up. */
void scratch_build(struct scratch *s);

/* A random name, with nothing in /run/netns and /etc/netns. */
const char *scratch_name(struct scratch *s);

/* Says what went wrong (s->err) before the assertion ends the test. */
void expect_done(struct scratch *s, int code);
void expect_flush(struct scratch *s, struct netlink *nl);
uint32_t index_of(struct scratch *s, struct netlink *nl, const char *name);

#define SCRATCH_TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

#endif
