/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_complete - what the file leaves to us: gateways, addresses, MACs, names of host ends.
 */
#ifndef NSROUTE_TOPOLOGY_COMPLETE_H
#define NSROUTE_TOPOLOGY_COMPLETE_H

#include <stdbool.h>

#include "lookup.h"
#include "topology.h"

/* Names and addresses that are taken, by their text: those that stand in the file. */
struct taken {
	struct lookup addresses;  /* "192.0.2.1": who has it, a string */
	struct lookup macs;       /* "02:00:00:00:00:01": who has it, a string */
	struct lookup host_links; /* names in the host namespace: whose, a string */
};

/* Whether hosts may not have the address: the first one of a subnet (IPv6: the subnet-router
 * anycast address, RFC 4291 2.6.1) or the last one (IPv4 broadcast). Subnets with one or two
 * addresses have neither (RFC 3021, RFC 6164). */
bool subnet_reserves(const struct ip_address *address);
/* The first address that a host may have, with the subnet's prefix length. */
struct ip_address subnet_first_host(const struct ip_address *subnet);

/* What is there already, and stays where the file leaves it to us. */
struct kept {
	uint8_t mac[6];
	bool taken_over;       /* with any MAC; else only one that we would derive is kept */
	const char *host_name; /* NULL: there is no host end */
	const struct ip_address *addresses; /* that we gave it, with their prefix */
	size_t addresses_count;
};

/* Fills in what is missing, around what is taken already; or once more, when it is known what there
 * is: kept (may be NULL) has struct kept by "NAMESPACE:LINK", or ":LINK" in the host namespace. The
 * one thing that can go wrong is a subnet without a free address; it is added to the list. */
void topology_complete(struct topology *topology, struct arena *arena, const struct lookup *kept,
		       struct error_list *errors);

#endif
