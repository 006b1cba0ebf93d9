/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsr_port_in on what a masqueraded network leaves to the kernel: only where it is known that the
 * kernel sends it to the host, into a fabric, by the uplink, or nowhere. Rules and routes that lead
 * to else0 are the kernel's own; what would take one is dropped.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "sysctl.h"

#define ELSEWHERE6 "2001:db8:99::9"

#define IPPROTO_SCTP_FRAME 132

/* Of the namespace that the lab is in. */
static void ip_command(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void to_gateway(struct frame *f, const char *dest, uint8_t options)
{
	FRAME(f, .to = mac_br1, .from = mac_red, .source = strchr(dest, ':') ? RED_IP6 : RED_IP,
	      .dest = dest, .sport = 1000, .dport = 53, .ip_options = options, .payload = 16);
}

/* With these bytes as its options; the rest of them is NOPs. */
static void with_options(struct frame *f, const char *dest, uint8_t size, const uint8_t *bytes,
			 uint32_t count)
{
	to_gateway(f, dest, size);
	memcpy(frame_ip4(f) + 1, bytes, count);
	frame_seal(f);
}
#define WITH_OPTIONS(f, dest, size, ...)                            \
	with_options(f, dest, size, (const uint8_t[]){__VA_ARGS__}, \
		     (uint32_t)sizeof((const uint8_t[]){__VA_ARGS__}))

/* ---- Addresses. */

static void special_addresses(struct lab *lab)
{
	static const char *const routed[] = {"240.1.2.3", "255.255.255.254", "0.1.2.3"};
	static const char *const not_routed[] = {"0.0.0.0", "127.0.0.1", "224.1.2.3",
						 "255.255.255.255"};
	struct frame f;
	size_t i;

	for (i = 0; i < 3; i++) {
		to_gateway(&f, routed[i], 0);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
	}
	for (i = 0; i < 4; i++) {
		to_gateway(&f, not_routed[i], 0);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	}
}

/* The kernel forwards to all of 0/8 and 240/4 but two addresses. */
static void test_special_addresses(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_gateway(&f, "240.1.2.3", 0); /* by the default route, the uplink's */
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = "240.1.2.3");
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	ip_command("ip route add 240.0.0.0/4 via 10.9.0.2 && ip route add 0.0.0.0/8 via 10.9.0.2");
	special_addresses(lab);
	ip_command("ip route del 240.0.0.0/4 && ip route del 0.0.0.0/8");
}

/* ---- Source routes. */

static void test_source_routes(void **state)
{
	static const char *const dests[] = {GATEWAY_IP, GREEN_IP, BLUE_IP, REMOTE_IP, UPLINK_IP};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(dests) / sizeof(*dests); i++) {
		WITH_OPTIONS(&f, dests[i], 8, 131, 7, 4, 8, 8, 8, 8);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(IP_OPTIONS));
		WITH_OPTIONS(&f, dests[i], 8, 137, 7, 4, 8, 8, 8, 8);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(IP_OPTIONS));
		WITH_OPTIONS(&f, dests[i], 8, 1, 137, 7, 4, 8, 8, 8, 8);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(IP_OPTIONS));
		WITH_OPTIONS(&f, dests[i], 8, 1, 1, 1, 1, 1, 131, 3, 4);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(IP_OPTIONS));
		/* Behind a record route, as far back as there is room. */
		WITH_OPTIONS(&f, dests[i], 40, 7, 33, 4, [33] = 131, 7, 4, 8, 8, 8, 8);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(IP_OPTIONS));
	}
	frame_ip4(&f)->frag_off = htons(0x2000);
	frame_seal(&f);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(IP_OPTIONS));
	/* Where there is no masquerade, it is the kernel's business. */
	WITH_OPTIONS(&f, GREEN_IP, 8, 131, 7, 4, 8, 8, 8, 8);
	memcpy(frame_eth(&f)->h_dest, mac_br3, 6);
	memcpy(frame_eth(&f)->h_source, mac_plain, 6);
	frame_ip4(&f)->saddr = address4(PLAIN_IP);
	frame_seal(&f);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
}

static void test_other_options(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	WITH_OPTIONS(&f, GATEWAY_IP, 40, 7, 39, 4);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	WITH_OPTIONS(&f, REMOTE_IP, 4, 148, 4, 0, 0); /* router alert */
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	WITH_OPTIONS(&f, REMOTE_IP, 12, 7, 11, 131, 7, 4, 8, 8, 8, 8); /* in another's data */
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	WITH_OPTIONS(&f, REMOTE_IP, 8, 0, 131, 7, 4, 8, 8, 8, 8); /* behind the end */
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	/* The kernel refuses those whose length is none. */
	WITH_OPTIONS(&f, REMOTE_IP, 8, 7, 1, 131, 7, 4, 8, 8, 8);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	WITH_OPTIONS(&f, REMOTE_IP, 40, [39] = 7);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	WITH_OPTIONS(&f, REMOTE_IP, 8, 7, 255, 131, 7, 4, 8, 8, 8);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* ---- IPv6. */

/* Headers, each of eight bytes, in front of what the packet has; the first is of this kind. */
static void put_headers(struct frame *f, uint8_t kind, const uint8_t (*headers)[8], uint32_t count)
{
	uint8_t *behind = (uint8_t *)(frame_ip6(f) + 1);
	uint32_t size = 8 * count;

	memmove(behind + size, behind, f->length - ETH_HLEN - sizeof(struct ipv6hdr));
	memcpy(behind, headers, size);
	frame_ip6(f)->nexthdr = kind;
	f->length += size;
	frame_ip6(f)->payload_len = htons((uint16_t)(ntohs(frame_ip6(f)->payload_len) + size));
}

static void with_headers(struct frame *f, const char *dest, uint8_t kind,
			 const uint8_t (*headers)[8], uint32_t count)
{
	to_gateway(f, dest, 0);
	put_headers(f, kind, headers, count);
}

static void test_routing_headers(void **state)
{
	static const uint8_t routes[][8] = {{17, 0, 4, 1}}, done[][8] = {{17, 0, 4, 0}},
			     behind[][8] = {{43, 0, 1, 4}, {17, 0, 4, 1}},
			     in_fragment[][8] = {{43}, {17, 0, 4, 1}}, fragment[][8] = {{17}};
	struct lab *lab = lab_of(state);
	struct frame f;

	with_headers(&f, "fd00:15::1", 43, routes, 1);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(IP_OPTIONS));
	with_headers(&f, "fd00:15::1", 60, behind, 2);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(IP_OPTIONS));
	with_headers(&f, "fd00:15::1", 0, behind, 2);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(IP_OPTIONS));
	with_headers(&f, "fd00:15::1", 44, in_fragment, 2);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(IP_OPTIONS));
	with_headers(&f, "fd00:15::1", 43, done, 1);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	with_headers(&f, "fd00:15::1", 44, fragment, 1);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* The helper looks at the interface, the kernel only at whether it forwards at all. */
static void test_forwarding_is_of_all(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	ip_command("ip route add 2001:db8:99::/64 dev else0");
	to_gateway(&f, ELSEWHERE6, 0);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
	assert_int_equal(sysctl_write(-1, "net/ipv6/conf/br1/forwarding", "0", &lab->err), 0);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
	to_gateway(&f, REMOTE_IP6, 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL); /* by the uplink, where it is dropped */
	to_gateway(&f, "fd00:15::1", 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "2001:db8:1::2", 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	/* Not even the loopback interface: only what is inside can be told. */
	assert_int_equal(sysctl_write(-1, "net/ipv6/conf/all/forwarding", "0", &lab->err), 0);
	to_gateway(&f, "fd00:15::1", 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, ELSEWHERE6, 0);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
	assert_int_equal(sysctl_write(-1, "net/ipv6/conf/all/forwarding", "1", &lab->err), 0);
	ip_command("ip route del 2001:db8:99::/64");
}

/* ---- Rules that choose by protocol or port. */

static void expect_by_rule4(struct lab *lab)
{
	struct frame f;

	for (uint8_t options = 0; options <= 40; options = (uint8_t)(options + 4)) {
		to_gateway(&f, REMOTE_IP, options);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
		((struct udphdr *)frame_transport(&f))->dest = htons(54);
		frame_seal(&f);
		EXPECT_PORT_IN(lab, RED, &f, options ? TO_KERNEL : TO_NEIGHBOUR);
	}
	/* Ports of what has none for a masquerade. */
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_SCTP_FRAME, .sport = 1, .dport = 54, .payload = 16);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
	/* In fragments nobody looks for them. */
	to_gateway(&f, REMOTE_IP, 4);
	frame_ip4(&f)->frag_off = htons(0x2000);
	frame_seal(&f);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

static void expect_by_rule6(struct lab *lab)
{
	static const uint8_t three[][8] = {{60, 0, 1, 4}, {43, 0, 1, 4}, {17, 0, 4, 0}},
			     fragment[][8] = {{17, 0, 0, 1}};
	struct frame f;

	to_gateway(&f, REMOTE_IP6, 0);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
	with_headers(&f, REMOTE_IP6, 0, three, 3);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
	with_headers(&f, REMOTE_IP6, 44, fragment, 1);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, REMOTE_IP6, 0);
	((struct udphdr *)frame_transport(&f))->dest = htons(54);
	frame_seal(&f);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = REMOTE_IP6,
	      .protocol = IPPROTO_SCTP_FRAME, .sport = 1, .dport = 54, .payload = 16);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
}

static void test_port_rules(void **state)
{
	static const char add[] = "for family in -4 -6; do "
				  "ip $family rule add ipproto udp dport 53 table 100 && "
				  "ip $family rule add ipproto sctp dport 54 table 100 && "
				  "ip $family route add default dev else0 table 100 || exit; done",
			  del[] = "for family in -4 -6; do "
				  "ip $family rule del ipproto udp dport 53 table 100 && "
				  "ip $family rule del ipproto sctp dport 54 table 100 && "
				  "ip $family route flush table 100 || exit; done";
	struct lab *lab = lab_of(state);

	ip_command(add);
	expect_by_rule4(lab);
	expect_by_rule6(lab);
	ip_command(del);
}

/* ---- Known addresses: what is not forwarded here takes the kernel's route. */

static void expect_judged(struct lab *lab, int outcome)
{
	struct nsr_port red = lab_port(lab, RED), slow = red;
	struct frame f;

	to_gateway(&f, GREEN_IP, 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	to_gateway(&f, GREEN_IP, 8);
	EXPECT_PORT_IN(lab, RED, &f, outcome);
	slow.flags = NSR_PORT_SPOOF_CHECK;
	lab_port_set(lab, RED, &slow);
	to_gateway(&f, GREEN_IP, 0);
	EXPECT_PORT_IN(lab, RED, &f, outcome);
	to_gateway(&f, GREEN_IP6, 0);
	EXPECT_PORT_IN(lab, RED, &f, outcome);
	/* Too old to be forwarded anywhere. */
	frame_ip6(&f)->hop_limit = 1;
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	lab_port_set(lab, RED, &red);
}

static void test_known_addresses(void **state)
{
	struct lab *lab = lab_of(state);

	expect_judged(lab, TO_KERNEL);
	ip_command("ip route add " GREEN_IP " via 10.9.0.2 && ip route add " GREEN_IP6
		   " dev else0");
	expect_judged(lab, DROPPED(WRONG_UPLINK));
	ip_command("ip route del " GREEN_IP " && ip route del " GREEN_IP6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_special_addresses),    LAB_TEST(test_source_routes),
		LAB_TEST(test_other_options),        LAB_TEST(test_routing_headers),
		LAB_TEST(test_forwarding_is_of_all), LAB_TEST(test_port_rules),
		LAB_TEST(test_known_addresses),
	};

	return LAB_MAIN(tests);
}
