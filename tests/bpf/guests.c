/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "guests.h"

#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <string.h>

#include "datapath_publish.h"

static enum nsr_nat_protocol nat_protocol(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? NSR_NAT_TCP : NSR_NAT_UDP;
}

void guests_publish_at(struct lab *lab, uint8_t protocol, uint16_t external)
{
	struct published_ports what = {external, 80, 1, nat_protocol(protocol)};
	struct ip_address red = lab_ip(RED_IP);

	if (datapath_publish(lab->datapath, lab->uplink[UP0], &red, &what, GUESTS_NETNS, &lab->err))
		fail_msg("%s", lab->err.message);
}

void guests_publish_begins(struct lab *lab)
{
	const struct nsr_uplink loopback = {
		.address4 = address4("127.0.0.1"), .port_min = 1, .port_max = 65535};
	struct nsr_port red = lab_port(lab, RED);

	if (datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
	red.flags |= NSR_PORT_PUBLISHES;
	lab_port_set(lab, RED, &red);
}

void guests_publish(struct lab *lab, uint8_t protocol)
{
	guests_publish_begins(lab);
	guests_publish_at(lab, protocol, GUESTS_PORT);
}

void guests_publish_ends(struct lab *lab)
{
	if (datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err))
		fail_msg("%s", lab->err.message);
}

void guests_unpublish(struct lab *lab, uint8_t protocol)
{
	struct published_ports what = {GUESTS_PORT, 80, 1, nat_protocol(protocol)};

	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], false, &what, &lab->err))
		fail_msg("%s", lab->err.message);
	guests_publish_ends(lab);
	lab_expect_no_flows(lab);
}

void guests_asked(struct frame *f, const char *dest, uint16_t port, uint8_t protocol, uint8_t flags)
{
	bool inside = !strcmp(dest, RED_IP);

	FRAME(f, .to = inside ? mac_red : mac_br3, .from = inside ? mac_br1 : mac_plain,
	      .source = PLAIN_IP, .dest = dest, .protocol = protocol, .sport = GUESTS_CLIENT,
	      .dport = port, .tcp_flags = flags, .payload = 33, .ttl = inside ? 63 : 64);
}

void guests_answered(struct frame *f, const char *source, uint16_t port, uint8_t protocol,
		     uint8_t flags)
{
	bool inside = !strcmp(source, RED_IP);

	FRAME(f, .to = inside ? mac_br1 : mac_plain, .from = inside ? mac_red : mac_br3,
	      .source = source, .dest = PLAIN_IP, .protocol = protocol, .sport = port,
	      .dport = GUESTS_CLIENT, .tcp_flags = flags, .payload = 33, .ttl = inside ? 64 : 63);
}

void guests_expect(struct lab *lab, enum lab_port from, struct frame *f, enum lab_port to,
		   const struct frame *wanted)
{
	struct run *run = EXPECT_PORT_IN(lab, from, f, TO_PEER);

	assert_int_equal(run->delivered, to);
	assert_memory_equal(run->out.bytes, wanted->bytes, wanted->length);
}

void guests_expect_asked(struct lab *lab, uint8_t protocol, uint8_t flags)
{
	struct frame f, wanted;

	guests_asked(&f, UPLINK_IP, GUESTS_PORT, protocol, flags);
	guests_asked(&wanted, RED_IP, 80, protocol, flags);
	guests_expect(lab, PLAIN, &f, RED, &wanted);
}

void guests_expect_answered(struct lab *lab, uint8_t protocol, uint8_t flags, bool published)
{
	struct frame f, wanted;

	guests_answered(&f, RED_IP, 80, protocol, flags);
	guests_answered(&wanted, published ? UPLINK_IP : RED_IP, published ? GUESTS_PORT : 80,
			protocol, flags);
	memcpy(frame_eth(&wanted)->h_dest, mac_plain, 6);
	memcpy(frame_eth(&wanted)->h_source, mac_br3, 6);
	frame_ip4(&wanted)->ttl = 63;
	frame_seal(&wanted);
	guests_expect(lab, RED, &f, PLAIN, &wanted);
}

void guests_error(struct frame *f, const uint8_t *to, const uint8_t *from, const char *source,
		  const char *dest, uint8_t ttl, const struct frame *about)
{
	FRAME(f, .to = to, .from = from, .source = source, .dest = dest, .ttl = ttl,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 3,
	      .quoted = about, .quoted_beyond = 28);
}
