/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * externals6 - as externals.h, of IPv6: the first external address is UPLINK_IP6, and blue's; the
 * second is red's.
 */
#ifndef TESTS_BPF_EXTERNALS6_H
#define TESTS_BPF_EXTERNALS6_H

#include <netinet/in.h>

#include "externals.h"

extern char externals6_second[INET6_ADDRSTRLEN], externals6_third[INET6_ADDRSTRLEN];

void externals6_set(struct lab *lab, const char *one, const char *two, const char *three);
uint32_t externals6_slot_of(const struct nsr_uplink *entry, const char *inside);
const void *externals6_at(const struct nsr_uplink *entry, uint32_t slot);
bool externals6_is_paired(struct lab *lab, const char *inside, const char *external);
void externals6_ip(const char *verb, const char *address);
int externals6_set_up(void **state);
struct frame *externals6_out(struct lab *lab, const char *inside, const char *remote,
			     uint8_t protocol, uint16_t sport, uint16_t dport, uint8_t flags,
			     int outcome);
void externals6_expect(const void *address, const char *wanted);
void externals6_leave_by(struct lab *lab, const char *inside, uint16_t sport, const char *external);
struct run *externals6_in(struct lab *lab, const char *external, uint8_t protocol, uint16_t sport,
			  uint16_t dport, uint8_t flags, int outcome);
void externals6_publish(struct lab *lab, const char *at, const char *inside, uint8_t protocol);
void externals6_unpublish(struct lab *lab, const char *at, uint8_t protocol);

#endif
