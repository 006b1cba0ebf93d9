/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Netlink requests and dumps, and every kind of object that they make, against the running kernel.
 */
#include "scratch.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "address.h"
#include "link.h"
#include "neighbour.h"
#include "qdisc.h"
#include "route.h"

#define BATCH  1500
#define ROUTES 4000 /* several pieces of a dump */

static struct ip_address ip(const char *text)
{
	struct ip_address address;

	assert_true(ip_parse(text, &address, NULL));
	return address;
}

static struct state_link *find_link(struct scratch *s, struct netlink *nl, const char *name)
{
	struct state_link *links;
	size_t count;

	expect_done(s, link_read(nl, &s->arena, &links, &count, &s->err));
	for (size_t i = 0; i < count; i++)
		if (!strcmp(links[i].name, name))
			return &links[i];
	return NULL;
}

/* ---- Batches. */

static void test_batch_goes_on_after_a_failure(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct link_change up = {.up = true};
	int results[5] = {1, 1, 1, 1, 1};

	link_add_bridge(s->host, "br0", NULL, 0);
	link_add_bridge(s->host, "br0", NULL, 0);
	link_add_bridge(s->host, "br1", NULL, 0);
	link_set(s->host, "absent", &up);
	link_set(s->host, "br1", &up);
	assert_int_equal(netlink_pending(s->host), 5);
	assert_int_equal(netlink_flush(s->host, results, &s->err), -EEXIST);
	assert_int_equal(netlink_pending(s->host), 0);
	assert_int_equal(results[0], 0);
	assert_int_equal(results[1], -EEXIST);
	assert_int_equal(results[2], 0);
	assert_int_equal(results[3], -ENODEV);
	assert_int_equal(results[4], 0);
	assert_string_equal(s->err.message, "cannot create bridge 'br0': File exists");
	assert_int_equal(s->err.exit, EXIT_REFUSED);
	assert_true(find_link(s, s->host, "br1")->flags & IFF_UP);
}

static void test_the_kernels_words(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct state_route route = {.to = ip("10.9.0.0/16"), .via = ip("192.0.2.1")};
	char text[2 * ERROR_MESSAGE_MAX];

	scratch_build(s);
	route.ifindex = index_of(s, s->inner, "eth0");
	route_add(s->inner, &route, "eth0");
	assert_int_equal(netlink_flush(s->inner, NULL, &s->err), -ENETUNREACH);
	assert_string_equal(error_format(&s->err, text, sizeof(text)),
			    "cannot add route 10.9.0.0/16 via 192.0.2.1 on 'eth0': "
			    "Network is unreachable (kernel: Nexthop has invalid gateway)");
}

static void test_tolerated_failures(void **state)
{
	struct scratch *s = scratch_need_root(state);
	int results[3];

	link_delete(s->host, "absent");
	netlink_tolerate(s->host, -EEXIST);
	netlink_tolerate(s->host, -ENODEV);
	link_add_bridge(s->host, "br0", NULL, 0);
	expect_done(s, netlink_flush(s->host, results, &s->err));
	assert_int_equal(results[0], -ENODEV);
	assert_int_equal(results[1], 0);

	link_delete(s->host, "absent");
	netlink_tolerate(s->host, -EEXIST);
	link_add_bridge(s->host, "br0", NULL, 0);
	assert_int_equal(netlink_flush(s->host, results, &s->err), -ENODEV);
	assert_string_equal(s->err.message, "cannot delete link 'absent': No such device");
	expect_done(s, netlink_flush(s->host, NULL, &s->err));
}

static void test_names_too_long_are_the_kernels_to_refuse(void **state)
{
	struct scratch *s = scratch_need_root(state);
	char name[600];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	link_add_bridge(s->host, name, NULL, 0);
	assert_int_equal(netlink_flush(s->host, NULL, &s->err), -ERANGE);
	assert_string_not_equal(s->err.kernel, "");
}

/* More answers than fit any single read, chunk or default receive buffer. */
static void test_a_large_batch(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct state_neighbour *neighbours;
	int results[BATCH];
	uint32_t ifindex;
	size_t count;

	scratch_build(s);
	ifindex = index_of(s, s->inner, "eth0");
	for (unsigned int i = 0; i < BATCH; i++) {
		struct state_neighbour entry = {.ifindex = i % 500 == 250 ? 9999 : ifindex,
						.ip = ip("10.0.0.0")};

		entry.ip.bytes[2] = (uint8_t)(i >> 8);
		entry.ip.bytes[3] = (uint8_t)i;
		memcpy(entry.mac, mac_a, sizeof(mac_a));
		neighbour_add(s->inner, &entry, "eth0");
	}
	assert_int_equal(netlink_flush(s->inner, results, &s->err), -ENODEV);
	assert_string_equal(s->err.message,
			    "cannot add neighbour 10.0.0.250 on 'eth0': No such device");
	for (unsigned int i = 0; i < BATCH; i++)
		assert_int_equal(results[i], i % 500 == 250 ? -ENODEV : 0);
	expect_done(s, neighbour_read(s->inner, &s->arena, &neighbours, &count, &s->err));
	assert_int_equal(count, BATCH - 3);
}

static void test_many_links_found_at_once(void **state)
{
	struct scratch *s = scratch_need_root(state);
	const char *names[1200];
	uint32_t found[1200];

	scratch_build(s);
	for (size_t i = 0; i < 1200; i++)
		names[i] = i % 3 == 0 ? "br0" : i % 3 == 1 ? "absent" : "port";
	expect_done(s, link_indexes(s->host, names, 1200, found, &s->err));
	for (size_t i = 0; i < 1200; i++)
		assert_int_equal(found[i], i % 3 == 1 ? 0 : index_of(s, s->host, names[i]));
	assert_int_equal(link_index(s->host, "absent", found, &s->err), -ENODEV);
	assert_string_equal(s->err.message, "cannot find link 'absent': No such device");
}

/* ---- Objects. */

static void test_veth_made_in_place(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct state_link *port, *inside, *bridge;

	scratch_build(s);
	port = find_link(s, s->host, "port");
	bridge = find_link(s, s->host, "br0");
	inside = find_link(s, s->inner, "eth0");
	assert_non_null(inside);
	assert_null(find_link(s, s->host, "eth0"));
	assert_string_equal(port->kind, "veth");
	assert_string_equal(port->alias, "nsroute:test");
	assert_string_equal(inside->alias, "");
	assert_int_equal(port->mtu, 1400);
	assert_int_equal(inside->mtu, 1400);
	assert_memory_equal(port->mac, mac_a, 6);
	assert_memory_equal(inside->mac, mac_b, 6);
	assert_int_equal(port->peer_ifindex, inside->ifindex);
	assert_int_equal(inside->peer_ifindex, port->ifindex);
	assert_int_equal(port->master, bridge->ifindex);
	assert_true(port->carrier && inside->carrier);
	for (int tries = 0; tries < 100 && port->operstate != IF_OPER_UP; tries++) {
		usleep(20000); /* the kernel's link watch is up to a second late */
		port = find_link(s, s->host, "port");
	}
	assert_int_equal(port->operstate, IF_OPER_UP);
	assert_string_equal(bridge->kind, "bridge");
	assert_memory_equal(bridge->mac, mac_a, 6);
	assert_int_equal(bridge->peer_ifindex, 0);
	assert_string_equal(find_link(s, s->inner, "lo")->kind, "");
}

static void test_link_changes(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct link_change change = {
		.down = true, .mtu = 1300, .mac = mac_b, .change_master = true, .alias = ""};
	struct state_link *port;

	scratch_build(s);
	link_set(s->host, "port", &change);
	expect_flush(s, s->host);
	port = find_link(s, s->host, "port");
	assert_false(port->flags & IFF_UP);
	assert_int_equal(port->mtu, 1300);
	assert_memory_equal(port->mac, mac_b, 6);
	assert_int_equal(port->master, 0);
	assert_string_equal(port->alias, "");
	link_doom(s->host, port->ifindex, "port", 4711, true);
	link_delete_doomed(s->host, 4711);
	link_delete(s->host, "br0");
	expect_flush(s, s->host);
	assert_null(find_link(s, s->host, "port"));
	assert_null(find_link(s, s->host, "br0"));
	assert_null(find_link(s, s->inner, "eth0"));
}

static void test_addresses(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct state_address four = {.address = ip("192.168.15.11/24"), .flags = IFA_F_NODAD},
			     six = {.address = ip("fd00:15::11/64"), .flags = IFA_F_NODAD}, *found;
	const uint8_t mark = STATE_PROTOCOL;
	bool has_four = false, has_six = false;
	size_t count;

	scratch_build(s);
	four.ifindex = six.ifindex = index_of(s, s->inner, "eth0");
	four.protocol = six.protocol = mark;
	address_add(s->inner, &four, "eth0");
	address_add(s->inner, &six, "eth0");
	expect_flush(s, s->inner);
	expect_done(s, address_read(s->inner, &s->arena, &found, &count, &s->err));
	for (size_t i = 0; i < count; i++) {
		if (found[i].ifindex != four.ifindex)
			continue;
		/* The link-local one is the kernel's. */
		assert_int_equal(found[i].protocol == mark, !ip_is_link_local(&found[i].address));
		if (!memcmp(&found[i].address, &four.address, sizeof(four.address)))
			has_four = !(found[i].flags & IFA_F_NODAD);
		if (!memcmp(&found[i].address, &six.address, sizeof(six.address)))
			has_six =
				found[i].flags & IFA_F_NODAD && !(found[i].flags & IFA_F_TENTATIVE);
	}
	assert_true(has_four);
	assert_true(has_six);
	address_add(s->inner, &four, "eth0");
	assert_int_equal(netlink_flush(s->inner, NULL, &s->err), -EEXIST);
	assert_string_equal(s->err.message,
			    "cannot add address 192.168.15.11/24 to 'eth0': File exists");
	address_delete(s->inner, &four, "eth0");
	address_delete(s->inner, &six, "eth0");
	expect_flush(s, s->inner);
}

/* A port of a bridge shows no address of the kernel's choice, its far end does. */
static void test_no_ipv6_autoaddress(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct state_address *found;
	uint32_t port;
	size_t count;

	scratch_build(s);
	port = index_of(s, s->host, "port");
	expect_done(s, address_read(s->host, &s->arena, &found, &count, &s->err));
	for (size_t i = 0; i < count; i++)
		assert_int_not_equal(found[i].ifindex, port);
}

static const struct state_route *find_route(struct scratch *s, struct ip_address to)
{
	struct state_route *routes;
	size_t count;

	expect_done(s, route_read(s->inner, &s->arena, &routes, &count, &s->err));
	for (size_t i = 0; i < count; i++)
		if (!memcmp(&routes[i].to, &to, sizeof(to)))
			return &routes[i];
	return NULL;
}

static void test_routes(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct state_address four = {.address = ip("192.168.15.11/24")},
			     six = {.address = ip("fd00:15::11/64"), .flags = IFA_F_NODAD};
	struct state_route routes[] = {
		{.to = ip("0.0.0.0/0"), .via = ip("192.168.15.1")},
		{.to = ip("10.99.0.0/16"), .via = ip("192.168.15.12"), .metric = 7},
		{.to = ip("10.98.0.1/32")},
		{.to = ip("::/0"), .via = ip("fd00:15::1"), .protocol = STATE_PROTOCOL},
		{.to = ip("fd00:99::/48"), .via = ip("fe80::1")},
	};
	const size_t count = sizeof(routes) / sizeof(routes[0]);

	scratch_build(s);
	assert_null(find_route(s, routes[0].to)); /* there is no main table yet */
	four.ifindex = six.ifindex = index_of(s, s->inner, "eth0");
	address_add(s->inner, &four, "eth0");
	address_add(s->inner, &six, "eth0");
	for (size_t i = 0; i < count; i++) {
		routes[i].ifindex = four.ifindex;
		route_add(s->inner, &routes[i], "eth0");
	}
	expect_flush(s, s->inner);
	for (size_t i = 0; i < count; i++) {
		const struct state_route *found = find_route(s, routes[i].to);

		assert_non_null(found);
		assert_memory_equal(&found->via, &routes[i].via, sizeof(found->via));
		assert_int_equal(found->ifindex, four.ifindex);
		assert_int_equal(found->protocol,
				 routes[i].protocol ? STATE_PROTOCOL : RTPROT_STATIC);
		assert_int_equal(found->type, RTN_UNICAST);
		assert_true(!routes[i].metric || found->metric == routes[i].metric);
		route_add(s->inner, found, "eth0");
		assert_int_equal(netlink_flush(s->inner, NULL, &s->err), -EEXIST);
		route_delete(s->inner, found, "eth0");
		expect_flush(s, s->inner);
		assert_null(find_route(s, routes[i].to));
	}
	assert_int_equal(find_route(s, ip("192.168.15.0/24"))->protocol, RTPROT_KERNEL);
	assert_null(find_route(s, ip("192.168.15.255/32")));
}

/* Adds and deletes the route until that fails, with pauses in which a dump has the time to be told.
 */
static void come_and_go(struct netlink *nl, const struct state_route *route)
{
	struct error err;
	int code = 0;

	while (!code) {
		route_add(nl, route, "eth0");
		code = netlink_flush(nl, NULL, &err);
		usleep((useconds_t)rand() % 20000);
		route_delete(nl, route, "eth0");
		code = code ? code : netlink_flush(nl, NULL, &err);
		usleep((useconds_t)rand() % 20000);
	}
}

static size_t count_routes(struct scratch *s, uint8_t prefix_len)
{
	struct state_route *routes;
	size_t count, found = 0;

	expect_done(s, route_read(s->inner, &s->arena, &routes, &count, &s->err));
	for (size_t i = 0; i < count; i++)
		found += routes[i].to.family == AF_INET6 && routes[i].to.prefix_len == prefix_len;
	return found;
}

/* The kernel leaves routes out of such a dump, or tells of some twice, and does not say so. */
static void test_ipv6_routes_while_others_come_and_go(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct state_route route = {.to = ip("fd00:20::/127")},
			   other = {.to = ip("fd00:10::1/128")};
	int status;
	pid_t pid;

	scratch_build(s);
	route.ifindex = other.ifindex = index_of(s, s->inner, "eth0");
	for (size_t i = 0; i < ROUTES; i++) {
		route.to.bytes[14] = (uint8_t)(i >> 7);
		route.to.bytes[15] = (uint8_t)(i << 1);
		route_add(s->inner, &route, "eth0");
	}
	expect_flush(s, s->inner);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct netlink *own;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!netlink_open(&own, s->inner_fd, &s->err))
			come_and_go(own, &other);
		_exit(1);
	}
	for (int i = 0; i < 100; i++) {
		size_t found = count_routes(s, 127);

		if (found == ROUTES)
			continue;
		kill(pid, SIGKILL);
		fail_msg("%zu routes in place of %d, the %dth time", found, ROUTES, i + 1);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status)); /* not before, by itself */
}

static bool has_neighbour(struct scratch *s, struct netlink *nl, const struct state_neighbour *want)
{
	struct state_neighbour *found;
	size_t count;

	expect_done(s, neighbour_read(nl, &s->arena, &found, &count, &s->err));
	for (size_t i = 0; i < count; i++)
		if (found[i].ifindex == want->ifindex && found[i].state == want->state &&
		    !memcmp(&found[i].ip, &want->ip, sizeof(want->ip)) &&
		    !memcmp(found[i].mac, want->mac, sizeof(want->mac)) &&
		    found[i].protocol == want->protocol)
			return true;
	return false;
}

static void test_neighbours_and_forwarding_entries(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct state_neighbour entries[] = {
		{.ip = ip("192.168.15.1"),
		 .mac = {2, 0, 0, 0, 0, 1},
		 .state = NUD_PERMANENT,
		 .protocol = STATE_PROTOCOL},
		{.ip = ip("fd00:15::1"), .mac = {2, 0, 0, 0, 0, 1}, .state = NUD_PERMANENT},
		{.mac = {2, 0, 0, 0, 0, 0xc},
		 .state = NUD_NOARP}, /* none that the bridge would learn */
	};

	scratch_build(s);
	for (size_t i = 0; i < 3; i++) {
		struct netlink *nl = i == 2 ? s->host : s->inner;
		const char *link = i == 2 ? "port" : "eth0";

		entries[i].ifindex = index_of(s, nl, link);
		assert_false(has_neighbour(s, nl, &entries[i]));
		for (int twice = 0; twice < 2; twice++)
			neighbour_add(nl, &entries[i], link);
		expect_flush(s, nl);
		assert_true(has_neighbour(s, nl, &entries[i]));
		neighbour_delete(nl, &entries[i], link);
		expect_flush(s, nl);
		assert_false(has_neighbour(s, nl, &entries[i]));
	}
	neighbour_delete(s->host, &entries[2], "port");
	assert_int_equal(netlink_flush(s->host, NULL, &s->err), -ENOENT);
	assert_string_equal(s->err.message, "cannot delete forwarding entry 02:00:00:00:00:0c on "
					    "'port': No such file or directory");
}

/* A program that lets every packet go on (TC_ACT_UNSPEC). */
static int load_program(void)
{
	const struct bpf_insn instructions[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "pass", "GPL", instructions, 2, NULL);

	assert_true(fd >= 0);
	return fd;
}

static struct state_link hooks_of(struct scratch *s, const char *name)
{
	struct state_link *links;
	size_t count;

	expect_done(s, link_read(s->host, &s->arena, &links, &count, &s->err));
	expect_done(s, qdisc_read(s->host, links, count, "nsr_", &s->err));
	for (size_t i = 0; i < count; i++)
		if (!strcmp(links[i].name, name))
			return links[i];
	fail();
	return links[0];
}

static void test_other_queueing_disciplines(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct nlmsghdr *message;
	struct state_link link;
	struct tcmsg *header;
	uint32_t port;

	scratch_build(s);
	port = index_of(s, s->host, "port");
	message = netlink_queue(s->host, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, sizeof(*header),
				"create pfifo");
	header = mnl_nlmsg_get_payload(message);
	header->tcm_ifindex = (int)port;
	header->tcm_parent = TC_H_ROOT;
	netlink_put_string(message, TCA_KIND, "pfifo");
	expect_flush(s, s->host);
	link = hooks_of(s, "port");
	assert_true(link.other_qdisc);
	assert_false(link.clsact || link.foreign_hooks);
	assert_false(hooks_of(s, "br0").other_qdisc);
}

static void test_programs_at_hooks(void **state)
{
	struct scratch *s = scratch_need_root(state);
	int first = load_program(), second = load_program();
	struct state_link link;
	uint32_t port;

	scratch_build(s);
	port = index_of(s, s->host, "port");
	link = hooks_of(s, "port");
	assert_false(link.clsact || link.other_qdisc || link.hook_in || link.foreign_hooks);
	qdisc_add_clsact(s->host, port, "port");
	qdisc_add_filter(s->host, port, "port", QDISC_INGRESS, first, "nsr_port_in");
	expect_flush(s, s->host);
	link = hooks_of(s, "port");
	assert_true(link.clsact && link.hook_in);
	assert_false(link.hook_out || link.foreign_hooks || link.other_qdisc);

	qdisc_add_filter(s->host, port, "port", QDISC_INGRESS, second, "nsr_port_in");
	assert_int_equal(netlink_flush(s->host, NULL, &s->err), -EEXIST);
	qdisc_replace_filter(s->host, port, "port", QDISC_INGRESS, second, "nsr_port_in");
	qdisc_replace_filter(s->host, port, "port", QDISC_EGRESS, second, "nsr_port_out");
	expect_flush(s, s->host);
	link = hooks_of(s, "port");
	assert_true(link.hook_in && link.hook_out && !link.foreign_hooks);

	qdisc_delete_filter(s->host, port, "port", QDISC_INGRESS);
	expect_flush(s, s->host);
	link = hooks_of(s, "port");
	assert_true(!link.hook_in && link.hook_out && !link.foreign_hooks);
	qdisc_delete_filter(s->host, port, "port", QDISC_INGRESS);
	assert_int_equal(netlink_flush(s->host, NULL, &s->err), -ENOENT);

	qdisc_add_filter(s->host, port, "port", QDISC_INGRESS, first, "somebody");
	expect_flush(s, s->host);
	link = hooks_of(s, "port");
	assert_true(!link.hook_in && link.hook_out && link.foreign_hooks);
	qdisc_add_clsact(s->host, port, "port");
	assert_int_equal(netlink_flush(s->host, NULL, &s->err), -EEXIST);
	assert_string_equal(s->err.message, "cannot create clsact of 'port': File exists");
	qdisc_delete_clsact(s->host, port, "port");
	expect_flush(s, s->host);
	link = hooks_of(s, "port");
	assert_false(link.clsact || link.hook_out || link.foreign_hooks);
	close(first);
	close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRATCH_TEST(test_batch_goes_on_after_a_failure),
		SCRATCH_TEST(test_the_kernels_words),
		SCRATCH_TEST(test_tolerated_failures),
		SCRATCH_TEST(test_names_too_long_are_the_kernels_to_refuse),
		SCRATCH_TEST(test_a_large_batch),
		SCRATCH_TEST(test_many_links_found_at_once),
		SCRATCH_TEST(test_veth_made_in_place),
		SCRATCH_TEST(test_link_changes),
		SCRATCH_TEST(test_addresses),
		SCRATCH_TEST(test_no_ipv6_autoaddress),
		SCRATCH_TEST(test_routes),
		SCRATCH_TEST(test_ipv6_routes_while_others_come_and_go),
		SCRATCH_TEST(test_neighbours_and_forwarding_entries),
		SCRATCH_TEST(test_other_queueing_disciplines),
		SCRATCH_TEST(test_programs_at_hooks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
