/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "portless.h"

#include <netinet/in.h>
#include <string.h>

#define SCTP_HEADER 12 /* bytes before the first chunk, which begins with its type */

void portless_leaves(struct frame *f, const char *source, const char *remote, uint8_t protocol)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = source, .dest = remote,
	      .protocol = protocol, .sport = 4321, .dport = 80, .payload = 60);
}

void portless_arrives(struct frame *f, const char *remote, uint8_t protocol)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = remote, .dest = UPLINK_IP,
	      .protocol = protocol, .sport = 80, .dport = 4321, .payload = 44);
}

void portless_set_chunk(struct frame *f, uint8_t type)
{
	((uint8_t *)frame_transport(f))[SCTP_HEADER] = type;
}

/* As red gets it. */
static void delivered(struct frame *f, const char *remote, uint8_t protocol)
{
	FRAME(f, .to = mac_red, .from = mac_br1, .source = remote, .dest = RED_IP,
	      .protocol = protocol, .sport = 80, .dport = 4321, .payload = 44, .ttl = 63);
}

void portless_expect_out(struct lab *lab, const char *source, const char *remote, uint8_t protocol)
{
	struct frame f, wanted;
	struct run *run;

	portless_leaves(&f, source, remote, protocol);
	portless_leaves(&wanted, UPLINK_IP, remote, protocol);
	run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

void portless_expect_refused(struct lab *lab, const char *source, const char *remote,
			     uint8_t protocol, int outcome)
{
	struct frame f;

	portless_leaves(&f, source, remote, protocol);
	EXPECT_OUT(lab, UP0, &f, outcome);
}

void portless_expect_in(struct lab *lab, const char *remote, uint8_t protocol)
{
	struct frame f, wanted;
	struct run *run;

	portless_arrives(&f, remote, protocol);
	delivered(&wanted, remote, protocol);
	run = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	assert_int_equal(run->delivered, RED);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

void portless_expect_passed(struct lab *lab, const char *remote, uint8_t protocol)
{
	struct frame f;

	portless_arrives(&f, remote, protocol);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

void portless_host_sends(struct lab *lab, const char *remote, uint8_t protocol)
{
	struct frame f;

	portless_leaves(&f, UPLINK_IP, remote, protocol);
	EXPECT_OUT(lab, UP0, &f, PASSED);
}
