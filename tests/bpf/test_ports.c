/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which external port a flow gets that cannot have its own: of its class and parity as long as
 * there is one, none that the host has, none that can be guessed, and each before one is refused.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"

#define FIRST 40000 /* of a small range */

/* Flow number i of a series: of one of three namespaces, because none has more than half of a
 * pool; each step further from another inside port. */
struct series {
	bool ipv6;
	uint16_t first, step;
};

static void leaving(struct frame *f, const struct series *series, uint32_t i)
{
	static const char *const sources[] = {RED_IP, BLUE_IP, GREEN_IP}, *const sources6[] = {
										  RED_IP6, BLUE_IP6,
										  GREEN_IP6};

	FRAME(f, .to = mac_router, .from = mac_up0,
	      .source = series->ipv6 ? sources6[i % 3] : sources[i % 3],
	      .dest = series->ipv6 ? REMOTE_IP6 : REMOTE_IP, .protocol = IPPROTO_UDP,
	      .sport = (uint16_t)(series->first + i / 3 * series->step), .dport = 80);
}

static uint16_t open_flow(struct lab *lab, const struct series *series, uint32_t i)
{
	struct frame f;

	leaving(&f, series, i);
	return frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
}

static void expect_refused(struct lab *lab, const struct series *series, uint32_t i, int outcome)
{
	struct frame f;

	leaving(&f, series, i);
	EXPECT_OUT(lab, UP0, &f, outcome);
}

/* A socket of the host that gets whatever comes to the port. */
static int bind_at(bool ipv6, uint16_t port)
{
	struct sockaddr_in6 at6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), yes = 1;

	assert_true(fd >= 0);
	at.sin_addr.s_addr = address4(UPLINK_IP);
	memcpy(&at6.sin6_addr, lab_ip(UPLINK_IP6).bytes, 16);
	if (ipv6) /* the lab's address may still be tentative */
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &yes, sizeof(yes)), 0);
	assert_int_equal(ipv6 ? bind(fd, (struct sockaddr *)&at6, sizeof(at6))
			      : bind(fd, (struct sockaddr *)&at, sizeof(at)),
			 0);
	return fd;
}

/* ---- The host's. */

/* The lowest of three is the host's: the two others are handed out, whatever is tried first. */
static void test_lowest_is_the_hosts(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t round, family;

	lab_inside_set(lab, "fd00:16::/64", UP0, NULL);
	for (family = 0; family < 2; family++) {
		struct series even = {.ipv6 = family, .first = 2000, .step = 2};
		int fd = bind_at(even.ipv6, FIRST);

		for (round = 0; round < 8; round++) {
			lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
			lab_uplink_set(lab, UP0, UPLINK_IP, FIRST, FIRST + 2);
			assert_int_equal(open_flow(lab, &even, 0), FIRST + 2); /* its parity */
			assert_int_equal(open_flow(lab, &even, 1), FIRST + 1);
			expect_refused(lab, &even, 2, REFUSED(NAT_SOCKET));
		}
		close(fd);
		assert_int_equal(open_flow(lab, &even, 2), FIRST);
	}
}

/* All that the host does not have are handed out before one is refused: in a row, or spread. */
static void hand_out_but(struct lab *lab, bool ipv6, uint32_t all, uint32_t hosts, uint32_t gap)
{
	struct series series = {.ipv6 = ipv6, .first = 2000, .step = 1};
	bool *used = calloc(all, sizeof(*used));
	int *fds = calloc(hosts, sizeof(*fds));
	uint32_t i;

	lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
	lab_uplink_set(lab, UP0, UPLINK_IP, FIRST, (uint16_t)(FIRST + all - 1));
	for (i = 0; i < hosts; i++) {
		fds[i] = bind_at(ipv6, (uint16_t)(FIRST + i * gap));
		used[i * gap] = true;
	}
	for (i = 0; i < all - hosts; i++) {
		uint16_t port = open_flow(lab, &series, i);

		assert_in_range(port, FIRST, FIRST + all - 1);
		assert_false(used[port - FIRST]);
		used[port - FIRST] = true;
	}
	expect_refused(lab, &series, i, REFUSED(NAT_SOCKET));
	for (i = 0; i < hosts; i++)
		close(fds[i]);
	for (i = 0; i < hosts; i++) /* now they are free, and not one is lost */
		open_flow(lab, &series, all - hosts + i);
	expect_refused(lab, &series, all, REFUSED(NAT_PORTS));
	free(used);
	free(fds);
}

static void test_all_but_the_hosts(void **state)
{
	struct lab *lab = lab_of(state);

	lab_inside_set(lab, "fd00:16::/64", UP0, NULL);
	hand_out_but(lab, false, 300, 100, 1);
	hand_out_but(lab, false, 300, 100, 2); /* of one parity, as the kernel takes them */
	hand_out_but(lab, false, 300, 100, 3);
	hand_out_but(lab, true, 200, 50, 2);
}

/* ---- Class and parity. */

/* RFC 4787 REQ-3a: as long as the range has one of the class. */
static void test_class(void **state)
{
	const struct series low = {.first = 10, .step = 1}, high = {.first = 5000, .step = 1};
	enum { LOW = 300, HIGH = 200 };
	struct lab *lab = lab_of(state);
	uint32_t i;

	lab_uplink_set(lab, UP0, UPLINK_IP, 1024 - LOW, 1023 + HIGH);
	for (i = 0; i < HIGH; i++)
		assert_in_range(open_flow(lab, &high, i), 1024, 1023 + HIGH);
	for (i = 0; i < LOW / 2; i++)
		assert_in_range(open_flow(lab, &low, i), 1024 - LOW, 1023);
	/* There are none left: rather one of the others than none. */
	for (i = HIGH; i < HIGH + LOW / 2; i++)
		assert_in_range(open_flow(lab, &high, i), 1024 - LOW, 1023);
	expect_refused(lab, &high, i, REFUSED(NAT_PORTS));
}

/* A range without any of the class. */
static void test_no_class(void **state)
{
	const struct series low = {.first = 53, .step = 1};
	struct lab *lab = lab_of(state);
	uint32_t i;

	for (i = 0; i < 300; i++)
		assert_in_range(open_flow(lab, &low, i), LAB_PORT_MIN, LAB_PORT_MAX);
}

/* RFC 4787 REQ-4: kept to the last one of it, then the other. Class comes before parity. */
static void test_parity_to_the_last(void **state)
{
	const struct series odd = {.first = 2001, .step = 2}, even = {.first = 2000, .step = 2};
	enum { ALL = 1000 };
	struct lab *lab = lab_of(state);
	uint32_t i;

	lab_uplink_set(lab, UP0, UPLINK_IP, FIRST, FIRST + ALL - 1);
	for (i = 0; i < ALL / 2; i++)
		assert_int_equal(open_flow(lab, &odd, i) % 2, 1);
	for (i = 0; i < ALL / 4; i++)
		assert_int_equal(open_flow(lab, &odd, ALL / 2 + i) % 2, 0);
	for (i = 0; i < ALL / 4; i++)
		assert_int_equal(open_flow(lab, &even, i) % 2, 0);
	expect_refused(lab, &even, i, REFUSED(NAT_PORTS));
	lab_uplink_set(lab, UP0, UPLINK_IP, 1022, 1024);
	for (i = 0; i < 2; i++) /* 1024 is of its class, 1023 of its parity */
		assert_int_equal(open_flow(lab, &odd, i), i ? 1023 : 1024);
}

/* A pool of which but a few ports are free, far apart: each is found by who wants its parity. */
static void test_parity_in_a_full_pool(void **state)
{
	static const uint16_t left[] = {1024, 4095, 30000, 30001, 65534, 65535};
	const struct series odd = {.first = 3}, even = {.first = 2};
	struct nsr_pool_bits *bits = malloc(sizeof(*bits));
	struct lab *lab = lab_of(state);
	uint32_t pool = NSR_POOL(lab->uplink_number[UP0], NSR_NAT_UDP), i;
	const int map = lab->datapath->maps[MAP_pool_bits];

	assert_int_equal(bpf_map_lookup_elem(map, &pool, bits), 0);
	memset(bits->words, 0xff, sizeof(bits->words));
	for (i = 0; i < sizeof(left) / sizeof(*left); i++) {
		uint32_t bit = NSR_POOL_BIT(left[i]);

		bits->words[bit / 64] &= ~(1ull << bit % 64);
		bits->words[NSR_POOL_WORDS + bit / 4096] &= ~(1ull << bit / 64 % 64);
		bits->words[NSR_POOL_BITS_WORDS - 1] &= ~(1ull << bit / 4096);
	}
	assert_int_equal(bpf_map_update_elem(map, &pool, bits, BPF_ANY), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(open_flow(lab, &odd, i) % 2, 1);
		assert_int_equal(open_flow(lab, &even, i) % 2, 0);
	}
	expect_refused(lab, &(const struct series){.first = 4}, 0, REFUSED(NAT_PORTS));
	free(bits);
}

/* ---- RFC 6056. */

/* Of a small range any may be the first, and which one tells nothing of the next. */
static void test_random(void **state)
{
	enum { ALL = 200, FLOWS = 60 };
	const struct series even = {.first = 2000, .step = 2};
	uint32_t i, next = 0, behind = 0;
	struct lab *lab = lab_of(state);
	uint16_t port, last;

	lab_uplink_set(lab, UP0, UPLINK_IP, FIRST, FIRST + ALL - 1);
	last = open_flow(lab, &even, 0);
	for (i = 1; i < FLOWS; i++, last = port) {
		port = open_flow(lab, &even, i);
		next += port == last + 2;
		behind += port > last;
	}
	/* The lowest would be the next one each time. */
	assert_in_range(next, 0, FLOWS / 3);
	assert_in_range(behind, 5, FLOWS - 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_lowest_is_the_hosts),
		LAB_TEST(test_all_but_the_hosts),
		LAB_TEST(test_class),
		LAB_TEST(test_no_class),
		LAB_TEST(test_parity_to_the_last),
		LAB_TEST(test_parity_in_a_full_pool),
		LAB_TEST(test_random),
	};

	return LAB_MAIN(tests);
}
