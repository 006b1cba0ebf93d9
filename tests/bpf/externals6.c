/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "externals6.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath_publish.h"

#define OWN_NETNS (-1)

char externals6_second[INET6_ADDRSTRLEN], externals6_third[INET6_ADDRSTRLEN];

static struct nsr_uplink entry_of(const char *const *externals, size_t count)
{
	struct nsr_uplink entry = {
		.port_min = LAB_PORT_MIN, .port_max = LAB_PORT_MAX, .fixed = 1, .fixed6 = 1};

	entry.address4 = address4(UPLINK_IP);
	for (size_t i = 0; i < count; i++)
		if (externals[i])
			memcpy(i ? entry.more6[i - 1] : entry.address6, lab_ip(externals[i]).bytes,
			       16);
	return entry;
}

/* In the places of externals; NULL: none is there. */
void externals6_set(struct lab *lab, const char *one, const char *two, const char *three)
{
	const char *const externals[] = {one, two, three};
	const struct nsr_uplink entry = entry_of(externals, 3);

	if (datapath_uplink_set(lab->datapath, lab->uplink[UP0], &entry, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
}

uint32_t externals6_slot_of(const struct nsr_uplink *entry, const char *inside)
{
	const struct ip_address ip = lab_ip(inside);
	uint32_t words[4];

	memcpy(words, ip.bytes, sizeof(words));
	return nsr_pair6(entry, words);
}

const void *externals6_at(const struct nsr_uplink *entry, uint32_t slot)
{
	for (size_t i = 0; slot != entry->index && i < NSR_MORE_MAX; i++)
		if (entry->slots[i] == slot)
			return entry->more6[i];
	assert_int_equal(slot, entry->index);
	return entry->address6;
}

/* Whether an inside address is to have an external one, by what is entered. */
bool externals6_is_paired(struct lab *lab, const char *inside, const char *external)
{
	const struct nsr_uplink entry = externals_entered(lab);

	return !memcmp(externals6_at(&entry, externals6_slot_of(&entry, inside)),
		       lab_ip(external).bytes, 16);
}

void externals6_ip(const char *verb, const char *address)
{
	char command[100];

	snprintf(command, sizeof(command), "ip address %s %s/128 dev up0 nodad", verb, address);
	if (!strcmp(verb, "del"))
		*strstr(command, " nodad") = 0;
	if (system(command) != 0)
		fail_msg("%s", command);
}

static bool suits(struct lab *lab, const char *candidate)
{
	const char *const externals[] = {UPLINK_IP6, candidate};
	struct nsr_uplink entry = entry_of(externals, 2);

	entry.index = lab->uplink_number[UP0];
	entry.slots[0] = NSR_UPLINKS_MAX;
	return externals6_slot_of(&entry, RED_IP6) == NSR_UPLINKS_MAX &&
	       externals6_slot_of(&entry, BLUE_IP6) == entry.index;
}

int externals6_set_up(void **state)
{
	int ret = lab_set_up(state);

	if (ret || !*state || *externals6_second)
		return ret;
	for (unsigned int i = 0x10; i < 0xff && !*externals6_third; i++) {
		char candidate[INET6_ADDRSTRLEN];

		snprintf(candidate, sizeof(candidate), "2001:db8:1::%x", i);
		if (!suits(*state, candidate))
			continue;
		strcpy(*externals6_second ? externals6_third : externals6_second, candidate);
		externals6_ip("add", candidate);
	}
	return 0;
}

/* ---- Packets. */

struct frame *externals6_out(struct lab *lab, const char *inside, const char *remote,
			     uint8_t protocol, uint16_t sport, uint16_t dport, uint8_t flags,
			     int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = inside, .dest = remote,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .icmp_type = FRAME6_ECHO_REQUEST, .payload = 20);
	return &EXPECT_OUT(lab, UP0, &f, outcome)->out;
}

void externals6_expect(const void *address, const char *wanted)
{
	assert_memory_equal(address, lab_ip(wanted).bytes, 16);
}

void externals6_leave_by(struct lab *lab, const char *inside, uint16_t sport, const char *external)
{
	struct frame *f =
		externals6_out(lab, inside, REMOTE_IP6, IPPROTO_UDP, sport, 80, 0, TRANSLATED);

	externals6_expect(&frame_ip6(f)->saddr, external);
}

struct run *externals6_in(struct lab *lab, const char *external, uint8_t protocol, uint16_t sport,
			  uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = external,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .icmp_type = FRAME6_ECHO_REPLY, .payload = 20);
	return EXPECT_IN(lab, UP0, &f, outcome);
}

void externals6_publish(struct lab *lab, const char *at, const char *inside, uint8_t protocol)
{
	const struct published_ports web = {8080, 80, 1, protocol};
	const struct ip_address to = lab_ip(inside);
	struct ip_address external = {0};

	if (at)
		external = lab_ip(at);
	if (datapath_publish_at(lab->datapath, lab->uplink[UP0], &external, &to, &web, OWN_NETNS,
				&lab->err))
		fail_msg("%s", lab->err.message);
}

void externals6_unpublish(struct lab *lab, const char *at, uint8_t protocol)
{
	const struct published_ports web = {8080, 80, 1, protocol};
	struct ip_address external = {0};

	if (at)
		external = lab_ip(at);
	if (datapath_unpublish_at(lab->datapath, lab->uplink[UP0], true, &external, &web,
				  &lab->err))
		fail_msg("%s", lab->err.message);
}
