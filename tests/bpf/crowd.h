/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * crowd - threads that open flows at once, of endpoints that want the same external ports, while
 * others end them.
 */
#ifndef TESTS_BPF_CROWD_H
#define TESTS_BPF_CROWD_H

#include <stdatomic.h>

#include "lab.h"

#define CROWD_THREADS   4
#define CROWD_ENDERS    2
#define CROWD_HOSTS     8     /* inside addresses that want the same ports */
#define CROWD_ENDPOINTS 512   /* ports of each */
#define CROWD_FIRST     20000 /* of those ports */
#define CROWD_REMOTES   2048  /* of GRE */

struct crowd {
	struct lab *lab;
	atomic_uint next; /* gives each thread its number */
	atomic_uint dropped;
	atomic_uint owner[NSR_POOL_PORTS]; /* 1 + endpoint that was seen with this port */
	atomic_uint shared;                /* ports seen with two */
	atomic_bool done;
	bool ipv6;  /* what is sent */
	bool again; /* ports are given to others without cooling down: owner says nothing */
};

/* To be freed. */
struct crowd *crowd_gather(struct lab *lab);

/* What a thread does, with the crowd as its argument: all walk the same endpoints the same way, so
 * that they meet; or each begins elsewhere, so that they want the same ports at different times. */
void *crowd_open_all(void *crowd);
void *crowd_open_from_elsewhere(void *crowd);
/* Or a few endpoints open flows all the time, so that others are just ending. */
void *crowd_open_few(void *crowd);
/* Or all change the state of one TCP connection. */
void *crowd_change_one(void *crowd);
/* Or each is another inside host that speaks GRE to the same remotes; owner is then by remote. */
void *crowd_speak(void *crowd);

/* Endpoint number i to REMOTE_IP, and what it is answered. */
void crowd_sends(const struct crowd *crowd, struct frame *f, uint32_t i, uint16_t remote_port);
void crowd_is_sent(const struct crowd *crowd, struct frame *f, uint16_t remote_port, uint16_t port);

/* Runs CROWD_THREADS of them to their end; ending: and CROWD_ENDERS that end sessions meanwhile. */
void crowd_run(struct crowd *crowd, void *(*body)(void *), bool ending);
/* Beside them CROWD_ENDERS do something else until they are done, unless that is NULL. */
void crowd_run_beside(struct crowd *crowd, void *(*body)(void *), void *(*beside)(void *));
void *crowd_end_all(void *crowd);

/* Every count agrees with every other, and a port is in use for each that was taken. Ends all
 * sessions. */
void crowd_expect_even(struct lab *lab);
/* The same of either family, and where there is more than a crowd's flows: contacts, and what is
 * the host's own. */
void crowd_expect_even_of(const struct crowd *crowd);

#endif
