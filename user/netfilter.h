/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netfilter - other people's rules, as far as they concern forwarded packets, and what becomes of a
 * packet that meets them.
 *
 * The texts that nft and iptables-save print are read into plain data. Only interfaces and
 * addresses of rules are understood; whatever else a rule asks for is "perhaps", and so is what
 * follows from it.
 */
#ifndef NSROUTE_NETFILTER_H
#define NSROUTE_NETFILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "error.h"
#include "ip.h"

enum netfilter_hook { NETFILTER_NO_HOOK, NETFILTER_FORWARD, NETFILTER_POSTROUTING };

enum netfilter_verdict {
	NETFILTER_NOTHING, /* goes on with the next rule */
	NETFILTER_ACCEPT,
	NETFILTER_DROP, /* or reject */
	NETFILTER_JUMP,
	NETFILTER_GOTO,
	NETFILTER_RETURN,
	NETFILTER_TRANSLATE, /* masquerade, snat */
	NETFILTER_UNKNOWN,   /* ends or not: who knows */
};

struct netfilter_name {
	const char *name; /* NULL: any; "eth*": all that begin so */
	bool not ;
};

struct netfilter_network {
	struct ip_address ip; /* family 0: any */
	bool not ;
};

struct netfilter_rule {
	struct netfilter_name in, out;
	struct netfilter_network from, to;
	bool established; /* asks for packets of connections that are known */
	bool other;       /* asks for more than that */
	enum netfilter_verdict verdict;
	const char *target;  /* of jump and goto */
	unsigned int handle; /* nft */
	const char *words;   /* iptables: as in "-A CHAIN words" */
};

struct netfilter_chain {
	bool legacy;        /* of iptables-legacy */
	const char *family; /* "ip", "ip6", "inet", "bridge", ... */
	const char *table, *name;
	enum netfilter_hook hook;
	bool drops; /* its policy */
	struct netfilter_rule *rules;
	size_t count;
};

struct netfilter {
	struct netfilter_chain *chains;
	size_t count;
};

/* Adds what "nft -j list ruleset" printed. -EINVAL when it is not that. */
int netfilter_parse_nft(const char *text, struct arena *arena, struct netfilter *netfilter,
			struct error *err);
/* Adds what iptables-legacy-save (or ip6tables-legacy-save: family "ip6") printed. What
 * iptables-nft-save prints is left out, for nft shows the same. */
void netfilter_parse_iptables(const char *text, const char *family, struct arena *arena,
			      struct netfilter *netfilter);

/* A packet, as far as rules are asked about it. */
struct netfilter_packet {
	const char *in, *out;       /* interfaces; NULL: could be any */
	struct ip_address from, to; /* networks; family 0: could be any */
	bool reply;                 /* belongs to a connection; else it opens one */
};

enum netfilter_fate {
	NETFILTER_PASSES,
	NETFILTER_PERHAPS_DROPPED, /* a rule that asks for more drops some */
	NETFILTER_DROPPED,
};

/* Whether a chain with hook "forward" lets the packet through. */
enum netfilter_fate netfilter_forward(const struct netfilter *netfilter,
				      const struct netfilter_chain *chain,
				      const struct netfilter_packet *packet);
/* Whether a rule is about such a packet, or could be. */
bool netfilter_may_match(const struct netfilter_rule *rule, const struct netfilter_packet *packet);
const struct netfilter_chain *netfilter_find_chain(const struct netfilter *netfilter,
						   const struct netfilter_chain *beside,
						   const char *name);

#endif
