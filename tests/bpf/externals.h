/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * externals - the lab's uplink with several external addresses. The first is UPLINK_IP. The second
 * is chosen so that it is red's, and blue has the first; red has the third, too, if there is no
 * second.
 */
#ifndef TESTS_BPF_EXTERNALS_H
#define TESTS_BPF_EXTERNALS_H

#include <netinet/in.h>

#include "lab.h"

extern char externals_second[INET_ADDRSTRLEN], externals_third[INET_ADDRSTRLEN];

void externals_set(struct lab *lab, const char *one, const char *two, const char *three);
struct nsr_uplink externals_entered(struct lab *lab);
__be32 externals_at(const struct nsr_uplink *entry, uint32_t slot);
__be32 externals_paired(struct lab *lab, const char *inside);
void externals_ip(const char *verb, const char *address);
void externals_let_ask(void);
int externals_set_up(void **state);
struct frame *externals_out(struct lab *lab, const char *inside, const char *remote,
			    uint8_t protocol, uint16_t sport, uint8_t flags, int outcome);
void externals_leave_by(struct lab *lab, const char *inside, uint16_t sport, const char *external);
struct run *externals_in(struct lab *lab, const char *external, uint8_t protocol, uint16_t sport,
			 uint16_t dport, uint8_t flags, int outcome);
void externals_publish(struct lab *lab, const char *at, const char *ip);
void externals_unpublish(struct lab *lab, const char *at);

#endif
