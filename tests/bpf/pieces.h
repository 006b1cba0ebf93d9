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

#endif
