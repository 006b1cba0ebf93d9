/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsr_port_in on frames from a wire, for what PROG_RUN cannot give a packet: a VLAN tag, which the
 * receiving kernel moves out of the bytes before any program runs.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "netlink.h"
#include "qdisc.h"

#define TAG_BYTES 4

static void attach(struct lab *lab)
{
	struct netlink *nl;

	assert_int_equal(netlink_open(&nl, -1, &lab->err), 0);
	qdisc_add_clsact(nl, lab->port[RED], "red");
	netlink_tolerate(nl, -EEXIST);
	qdisc_replace_filter(nl, lab->port[RED], "red", QDISC_INGRESS,
			     datapath_program_fd(lab->datapath, DATAPATH_PORT_IN),
			     datapath_program_name(DATAPATH_PORT_IN));
	assert_int_equal(netlink_flush(nl, NULL, &lab->err), 0);
	netlink_close(nl);
}

/* Red to blue, with a tag in front of what would be switched. */
static void tagged(struct frame *f, uint16_t protocol)
{
	uint16_t tag[2] = {htons(protocol), htons(7)};

	FRAME(f, .to = mac_blue, .from = mac_red, .source = RED_IP, .dest = BLUE_IP, .payload = 64);
	memmove(f->bytes + 12 + TAG_BYTES, f->bytes + 12, f->length - 12);
	memcpy(f->bytes + 12, tag, sizeof(tag));
	f->length += TAG_BYTES;
}

static void send_from_red(const struct frame *f)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	to.sll_ifindex = (int)if_nametoindex("red-in");
	assert_true(fd >= 0);
	assert_int_equal(sendto(fd, f->bytes, f->length, 0, (struct sockaddr *)&to, sizeof(to)),
			 f->length);
	close(fd);
}

static uint64_t tags_dropped(struct lab *lab)
{
	struct nsr_drops drops;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_port_drops],
					     &lab->port_number[RED], &drops),
			 0);
	return drops.packets[NSR_DROP_VLAN_TAG];
}

static void test_tag_beside_the_bytes(void **state)
{
	static const uint16_t protocols[] = {ETH_P_8021Q, ETH_P_8021AD};
	struct lab *lab = lab_of(state);
	struct frame f;
	uint64_t before;
	size_t i;
	int tries;

	attach(lab);
	for (i = 0; i < 2; i++) {
		before = tags_dropped(lab);
		tagged(&f, protocols[i]);
		send_from_red(&f);
		for (tries = 0; tries < 100 && tags_dropped(lab) == before; tries++)
			usleep(10000);
		assert_int_equal(tags_dropped(lab), before + 1);
	}
}

/* Without the check it is the kernel's, and no switch of ours carries it into another VLAN. */
static void test_tag_with_spoof_check_off(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port red = lab_port(lab, RED);
	struct nsr_port_counters c;
	struct frame f;
	int tries;

	red.flags = NSR_PORT_FAST;
	lab_port_set(lab, RED, &red);
	attach(lab);
	tagged(&f, ETH_P_8021Q);
	c = lab_port_counters(lab, RED);
	send_from_red(&f);
	for (tries = 0; tries < 100 && lab_port_counters(lab, RED).tx_packets == c.tx_packets;
	     tries++)
		usleep(10000);
	assert_int_not_equal(lab_port_counters(lab, RED).slow_packets, c.slow_packets);
	assert_int_equal(lab_port_counters(lab, RED).fast_packets, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_tag_beside_the_bytes),
		LAB_TEST(test_tag_with_spoof_check_off),
	};

	return LAB_MAIN_PORTS(tests);
}
