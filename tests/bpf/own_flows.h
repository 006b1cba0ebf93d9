/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * own_flows - sockets of the host's own in the lab, and packets between one port of UP0 and one of
 * the remotes'.
 */
#ifndef TESTS_BPF_OWN_FLOWS_H
#define TESTS_BPF_OWN_FLOWS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "lab.h"

#define PORT        4321
#define REMOTE_PORT 80

/* What differs between the families. */
struct family {
	int number;
	const char *red, *uplink, *remote, *remote2;
	int sessions; /* enum datapath_map */
};
extern const struct family over_ipv4, over_ipv6;

/* A socket of the host's with this port, and remote if there is one; a connection of TCP stays in
 * the making, because nobody is there. */
int host_opens(const struct family *is, int type, const char *local, const char *remote);
/* From PORT to the remote's, and what it answers to a port of UP0. */
struct run *leaves(struct lab *lab, const char *source, const char *dest, uint8_t protocol,
		   uint8_t flags, int outcome);
struct run *arrives_at(struct lab *lab, const struct family *is, const char *remote, uint16_t port,
		       uint8_t protocol, uint8_t flags, int outcome);
struct run *arrives(struct lab *lab, const struct family *is, const char *remote, uint8_t protocol,
		    uint8_t flags, int outcome);
/* Of red, to the remote and to another one. */
void open_flows(struct lab *lab, const struct family *is, uint8_t protocol);
/* So many sessions of the host's own are counted. */
void host_has_flows(struct lab *lab, uint32_t count);
void expect_end(struct lab *lab, const struct family *is);

#endif
