/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "externals.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define OWN_NETNS (-1) /* the test is in the lab's namespace */

char externals_second[INET_ADDRSTRLEN], externals_third[INET_ADDRSTRLEN];

static struct nsr_uplink entry_of(const char *const *externals, size_t count)
{
	struct nsr_uplink entry = {
		.port_min = LAB_PORT_MIN, .port_max = LAB_PORT_MAX, .fixed = 1, .fixed6 = 1};

	entry.address4 = address4(externals[0]);
	memcpy(entry.address6, lab_ip(UPLINK_IP6).bytes, sizeof(entry.address6));
	for (size_t i = 1; i < count; i++)
		entry.more4[i - 1] = address4(externals[i]);
	return entry;
}

/* In the places of externals; NULL: none is there. */
void externals_set(struct lab *lab, const char *one, const char *two, const char *three)
{
	const char *const externals[] = {one, two ? two : "0.0.0.0", three ? three : "0.0.0.0"};
	struct nsr_uplink entry = entry_of(externals, 3);

	if (datapath_uplink_set(lab->datapath, lab->uplink[UP0], &entry, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
}

struct nsr_uplink externals_entered(struct lab *lab)
{
	struct nsr_uplink entry;

	assert_int_equal(
		bpf_map_lookup_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[UP0], &entry),
		0);
	return entry;
}

__be32 externals_at(const struct nsr_uplink *entry, uint32_t slot)
{
	for (size_t i = 0; slot != entry->index && i < NSR_MORE_MAX; i++)
		if (entry->slots[i] == slot)
			return entry->more4[i];
	assert_int_equal(slot, entry->index);
	return entry->address4;
}

/* The external address that an inside one is to have, by what is entered. */
__be32 externals_paired(struct lab *lab, const char *inside)
{
	const struct nsr_uplink entry = externals_entered(lab);

	return externals_at(&entry, nsr_pair(&entry, address4(inside)));
}

void externals_ip(const char *verb, const char *address)
{
	char command[80];

	snprintf(command, sizeof(command), "ip address %s %s/32 dev up0", verb, address);
	if (system(command) != 0)
		fail_msg("%s", command);
}

/* A second from now, for what is asked once a second. */
void externals_let_ask(void)
{
	const struct timespec second_and_some = {1, 100000000};

	nanosleep(&second_and_some, NULL);
}

static bool suits(struct lab *lab, const char *candidate)
{
	const char *const externals[] = {UPLINK_IP, candidate};
	struct nsr_uplink entry = entry_of(externals, 2);

	entry.index = lab->uplink_number[UP0];
	entry.slots[0] = NSR_UPLINKS_MAX;
	return nsr_pair(&entry, address4(RED_IP)) == NSR_UPLINKS_MAX &&
	       nsr_pair(&entry, address4(BLUE_IP)) == entry.index;
}

int externals_set_up(void **state)
{
	struct lab *lab;
	int ret = lab_set_up(state);

	if (ret || !*state)
		return ret;
	lab = *state;
	if (*externals_second)
		return 0;
	for (unsigned int i = 10; i < 250 && !*externals_third; i++) {
		char candidate[INET_ADDRSTRLEN];

		snprintf(candidate, sizeof(candidate), "198.51.100.%u", i);
		if (!suits(lab, candidate))
			continue;
		strcpy(*externals_second ? externals_third : externals_second, candidate);
		externals_ip("add", candidate);
	}
	return 0;
}

/* ---- Packets. */

struct frame *externals_out(struct lab *lab, const char *inside, const char *remote,
			    uint8_t protocol, uint16_t sport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = inside, .dest = remote,
	      .protocol = protocol, .sport = sport, .dport = 80, .tcp_flags = flags,
	      .icmp_type = FRAME_ECHO_REQUEST, .payload = 20);
	return &EXPECT_OUT(lab, UP0, &f, outcome)->out;
}

void externals_leave_by(struct lab *lab, const char *inside, uint16_t sport, const char *external)
{
	struct frame *f = externals_out(lab, inside, REMOTE_IP, IPPROTO_UDP, sport, 0, TRANSLATED);

	assert_int_equal(frame_ip4(f)->saddr, address4(external));
}

struct run *externals_in(struct lab *lab, const char *external, uint8_t protocol, uint16_t sport,
			 uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = external,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .icmp_type = FRAME_ECHO_REPLY, .payload = 20);
	return EXPECT_IN(lab, UP0, &f, outcome);
}

void externals_publish(struct lab *lab, const char *at, const char *ip)
{
	const struct published_ports web = {8080, 80, 1, NSR_NAT_TCP};
	const struct ip_address inside = lab_ip(ip);
	struct ip_address external = {0};

	if (at)
		external = lab_ip(at);
	if (datapath_publish_at(lab->datapath, lab->uplink[UP0], &external, &inside, &web,
				OWN_NETNS, &lab->err))
		fail_msg("%s", lab->err.message);
}

void externals_unpublish(struct lab *lab, const char *at)
{
	const struct published_ports web = {8080, 80, 1, NSR_NAT_TCP};
	struct ip_address external = {0};

	if (at)
		external = lab_ip(at);
	if (datapath_unpublish_at(lab->datapath, lab->uplink[UP0], false, &external, &web,
				  &lab->err))
		fail_msg("%s", lab->err.message);
}
