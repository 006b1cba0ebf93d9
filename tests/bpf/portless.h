/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * portless - packets of protocols without ports, and what is to become of them.
 */
#ifndef TESTS_BPF_PORTLESS_H
#define TESTS_BPF_PORTLESS_H

#include "lab.h"

/* First chunk of an SCTP packet, RFC 9260 3.2. */
#define SCTP_DATA              0
#define SCTP_INIT              1
#define SCTP_ABORT             6
#define SCTP_SHUTDOWN_COMPLETE 14

/* Addresses, and what else the families differ by. */
struct portless_family {
	const char *red, *blue, *third;   /* inside */
	const char *external, *external2; /* of UP0, and of UP1, which may have none */
	const char *remote, *remote2, *router, *gateway, *hosts_other;
	const char *prefix, *nobody[3]; /* of the inside; groups and the like */
	uint8_t protocols[5];           /* that are translated; the last one is hardly known */
	uint8_t refused[12];            /* that are not; up to 0 */
	uint8_t icmp;
	struct {
		uint8_t type, code;
		uint16_t mtu;
	} errors[4], refusals[2]; /* the last are how a kernel says that nobody takes it */
	int session_bits, session_by_flow, host_remotes, host_hears; /* enum datapath_map */
};
extern const struct portless_family *family; /* of the test that is run */

int portless_set_up4(void **state);
int portless_set_up6(void **state);
/* Runs the test for either family, or for IPv4 alone. */
#define PORTLESS_TEST(test)                                          \
	{#test, test, portless_set_up4, NULL, NULL},                 \
	{                                                            \
#test " of IPv6", test, portless_set_up6, NULL, NULL \
	}

#define PORTLESS_TEST4(test)                              \
	{                                                 \
#test, test, portless_set_up4, NULL, NULL \
	}

struct nsr_nat_counters portless_nat(struct lab *lab, enum lab_uplink which);
/* Sessions that are there, of the family. */
void portless_expect_sessions(struct lab *lab, uint32_t sessions);

/* What an inside host sends, as it is inside; from the external address, as it is outside. */
void portless_leaves(struct frame *f, const char *source, const char *remote, uint8_t protocol);
/* What the remote answers. */
void portless_arrives(struct frame *f, const char *remote, uint8_t protocol);
void portless_set_chunk(struct frame *f, uint8_t type);

/* All by UP0. Translated; arriving, to red. */
void portless_expect_out(struct lab *lab, const char *source, const char *remote, uint8_t protocol);
void portless_expect_in(struct lab *lab, const char *remote, uint8_t protocol);
void portless_expect_refused(struct lab *lab, const char *source, const char *remote,
			     uint8_t protocol, int outcome);
/* It arrives for the host. */
void portless_expect_passed(struct lab *lab, const char *remote, uint8_t protocol);
/* What the host sends itself. */
void portless_host_sends(struct lab *lab, const char *remote, uint8_t protocol);

#endif
