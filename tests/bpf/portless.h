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
