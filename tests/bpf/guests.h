/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * guests - a port of red's that is published at up0, and plain, which asks for it: frames as they
 * are sent, and as they have to arrive.
 */
#ifndef TESTS_BPF_GUESTS_H
#define TESTS_BPF_GUESTS_H

#include "lab.h"

#define GUESTS_NETNS  (-1) /* the test is in the lab's namespace */
#define GUESTS_PORT   8080
#define GUESTS_CLIENT 3000

/* As user space does it, before anything is published: the loopback interface is an uplink, and
 * red's port has its flag. */
void guests_publish_begins(struct lab *lab);
void guests_publish_ends(struct lab *lab);
/* Red's port 80. */
void guests_publish_at(struct lab *lab, uint8_t protocol, uint16_t external);
/* All of it, at GUESTS_PORT, and away with it: no flow stays. */
void guests_publish(struct lab *lab, uint8_t protocol);
void guests_unpublish(struct lab *lab, uint8_t protocol);

/* From plain to its gateway, or to red's address as red gets it. */
void guests_asked(struct frame *f, const char *dest, uint16_t port, uint8_t protocol,
		  uint8_t flags);
/* From red to its gateway, or from another address than red's as plain gets it. */
void guests_answered(struct frame *f, const char *source, uint16_t port, uint8_t protocol,
		     uint8_t flags);
/* An ICMP error, port unreachable. */
void guests_error(struct frame *f, const uint8_t *to, const uint8_t *from, const char *source,
		  const char *dest, uint8_t ttl, const struct frame *about);

/* From one port into the other, where it is the wanted one, byte by byte. */
void guests_expect(struct lab *lab, enum lab_port from, struct frame *f, enum lab_port to,
		   const struct frame *wanted);
void guests_expect_asked(struct lab *lab, uint8_t protocol, uint8_t flags);
/* As from the published port, or straight. */
void guests_expect_answered(struct lab *lab, uint8_t protocol, uint8_t flags, bool published);

#endif
