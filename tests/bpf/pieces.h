/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pieces - what tests of fragments share, of both families: orders that a datagram's pieces come
 * in, and what becomes of those that come before the first.
 */
#ifndef TESTS_BPF_PIECES_H
#define TESTS_BPF_PIECES_H

#include "lab.h"

#define PIECES  3
#define PIECE   1000 /* bytes of the datagram in each but the last; a multiple of 8 */
#define PAYLOAD 2500
#define ORDERS  6

struct pieces {
	struct frame piece[PIECES];
};

extern const uint8_t orders[ORDERS][PIECES];

/* What is put on the uplink again, as a program there would see it. */
int listen_at_uplink(struct lab *lab, uint16_t ethertype);
/* The next fragment that is seen there; the host may say something in its own name. */
void expect_again(int fd, const struct frame *f);

/* It is kept for later: taken from the kernel, and not counted yet. */
void expect_held(struct lab *lab, struct frame *f);
/* Those that come before the first in this order are held, and with it put on the uplink again.
 * held is the table. */
void expect_held_before(struct lab *lab, struct pieces *pieces, const uint8_t *order,
			uint16_t ethertype, int held);
/* Of those that come in the wrong order all are the host's in the end. */
void expect_for_the_host(struct lab *lab, struct pieces *pieces, uint16_t ethertype);
/* What is not followed by its first is dropped, and counted only then. */
void expect_given_up(struct lab *lab, struct frame *f, int held);

/* ---- Of IPv4. */

#define PIECES4_MORE   0x2000
#define PIECES4_OFFSET 0x1fff

/* So many bytes of the datagram, from this one on, or what there is of them. */
void pieces4_take_one(const struct frame *whole, uint32_t from, uint32_t bytes, struct frame *ret);
void pieces4_take(const struct frame *whole, struct pieces *ret);
/* A datagram from the remote, as red gets it from us if dest is red's; else as it is outside. */
void pieces4_arriving(struct frame *f, const char *dest, uint8_t protocol, uint16_t port,
		      uint16_t id);
/* From red's port to where such a datagram comes from: its external port. */
uint16_t pieces4_open_flow(struct lab *lab, uint8_t protocol, uint16_t port);

#endif
