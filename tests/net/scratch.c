/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "scratch.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "link.h"
#include "netns.h"

const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 0xa}, mac_b[6] = {2, 0, 0, 0, 0, 0xb};

static int new_namespace(void)
{
	int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), fd;

	assert_true(own >= 0);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(setns(own, CLONE_NEWNET), 0);
	close(own);
	assert_true(fd >= 0);
	return fd;
}

int scratch_set_up(void **state)
{
	struct scratch *s = calloc(1, sizeof(*s));

	*state = s;
	if (geteuid() != 0)
		return 0;
	s->host_fd = new_namespace();
	s->inner_fd = new_namespace();
	assert_int_equal(netlink_open(&s->host, s->host_fd, &s->err), 0);
	assert_int_equal(netlink_open(&s->inner, s->inner_fd, &s->err), 0);
	return 0;
}

/* Most of it is gone already when the test went well. */
static void remove_name(const char *name)
{
	struct error ignored;
	char path[96];

	netns_delete(name, &ignored);
	snprintf(path, sizeof(path), "/etc/netns/%s/hosts", name);
	unlink(path);
	snprintf(path, sizeof(path), "/etc/netns/%s", name);
	rmdir(path);
	rmdir("/etc/netns"); /* refused when anything is in it */
}

int scratch_tear_down(void **state)
{
	struct scratch *s = *state;

	netlink_close(s->host);
	netlink_close(s->inner);
	if (s->host)
		close(s->host_fd);
	if (s->inner)
		close(s->inner_fd);
	if (s->name[0])
		remove_name(s->name);
	arena_free(&s->arena);
	free(s);
	return 0;
}

struct scratch *scratch_need_root(void **state)
{
	if (geteuid() != 0) {
		print_message("# needs root: network namespaces\n");
		skip();
	}
	return *state;
}

const char *scratch_name(struct scratch *s)
{
	uint32_t number;

	assert_int_equal(getrandom(&number, sizeof(number), 0), sizeof(number));
	snprintf(s->name, sizeof(s->name), "nsr-test-%08x", number);
	return s->name;
}

void expect_done(struct scratch *s, int code)
{
	char text[2 * ERROR_MESSAGE_MAX];

	if (code)
		print_message("# %s\n", error_format(&s->err, text, sizeof(text)));
	assert_int_equal(code, 0);
}

void expect_flush(struct scratch *s, struct netlink *nl)
{
	expect_done(s, netlink_flush(nl, NULL, &s->err));
}

uint32_t index_of(struct scratch *s, struct netlink *nl, const char *name)
{
	uint32_t ifindex = 0;

	expect_done(s, link_index(nl, name, &ifindex, &s->err));
	assert_int_not_equal(ifindex, 0);
	return ifindex;
}

void scratch_build(struct scratch *s)
{
	struct link_veth veth = {.name = "port",
				 .mac = mac_a,
				 .peer = "eth0",
				 .peer_mac = mac_b,
				 .peer_netns_fd = s->inner_fd,
				 .mtu = 1400};
	struct link_change up = {.up = true}, fabric = {.up = true, .alias = "nsroute:test"};

	link_add_bridge(s->host, "br0", mac_a, 1400);
	link_set(s->host, "br0", &fabric);
	expect_flush(s, s->host);
	veth.master = index_of(s, s->host, "br0");
	link_add_veth(s->host, &veth);
	fabric.no_ipv6_autoaddress = true;
	link_set(s->host, "port", &fabric);
	expect_flush(s, s->host);
	link_set(s->inner, "eth0", &up);
	link_set(s->inner, "lo", &up);
	expect_flush(s, s->inner);
}
