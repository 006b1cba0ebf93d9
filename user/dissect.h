/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissect - what a packet says, read from its first bytes.
 *
 * For people: a packet that no program of ours would take is read as far as it goes, and "problem"
 * tells what kept it from being read on. It looks at nothing past the bytes that it is given.
 */
#ifndef NSROUTE_DISSECT_H
#define NSROUTE_DISSECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ip.h"

#define DISSECT_INFO_MAX 128

struct dissection {
	bool ethernet; /* the MACs and the type are there */
	uint8_t source_mac[6], destination_mac[6];
	uint16_t ethertype; /* behind VLAN tags; 0: not known */
	int vlan;           /* of the outermost tag in the bytes; -1: none */
	/* IPv4, IPv6, and ARP's sender and target; family 0: not read. */
	struct ip_address source, destination;
	int protocol; /* IPPROTO_* of what follows the network header; -1: none, or not read */
	bool ports;   /* these two were read */
	uint16_t source_port, destination_port;
	char info[DISSECT_INFO_MAX]; /* what it is about: "SYN", "echo request 7"; "" when nothing
				      */
	char problem[DISSECT_INFO_MAX]; /* "" when all of its headers were read */
};

/* bytes are the first ones of a packet of length bytes, from the Ethernet header on. */
void dissect(const uint8_t *bytes, size_t count, size_t length, struct dissection *ret);
/* The same of a packet that has none and begins with the network header of this ethertype. */
void dissect_bare(const uint8_t *bytes, size_t count, size_t length, uint16_t ethertype,
		  struct dissection *ret);

/* "tcp", "icmpv6", "gre", ... of an IP protocol; NULL: it has none that we know. */
const char *dissect_protocol_name(int number);
/* The same, or the number; "arp" and "0x88cc" for what is not IP; NULL when that
 * is not known. buffer is for numbers. */
const char *dissect_protocol(const struct dissection *packet, char buffer[16]);

#endif
