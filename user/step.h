/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * step - one single step: the words of "nsroute netns|link|bridge|addr|route ...", understood.
 *
 * The words are iproute2's, as far as its tutorials use them. Pure: nothing is looked up.
 */
#ifndef NSROUTE_STEP_H
#define NSROUTE_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "ip.h"

enum step_object { STEP_NETNS, STEP_LINK, STEP_BRIDGE, STEP_ADDRESS, STEP_ROUTE };
enum step_verb { STEP_LIST, STEP_ADD, STEP_DELETE, STEP_SET, STEP_ADOPT };

/* Where one end of a link is to be. */
struct step_end {
	const char *namespace; /* NULL: the host */
	const char *name;
	uint8_t mac[6];
	bool has_mac; /* as given; whoever runs the step chooses one otherwise */
};

struct step {
	enum step_object object;
	enum step_verb verb;
	const char *const *names; /* netns */
	size_t names_count;
	struct step_end link; /* the link it is about, or the interface; name NULL: all */
	struct step_end peer; /* link add: of a veth; name NULL: it is a bridge */
	bool moves;           /* link set: to target */
	const char *target;   /* ... NULL: the host */
	bool up, down;
	uint32_t mtu;              /* 0: leave */
	const char *master;        /* NULL: leave, "": none */
	struct ip_address address; /* addr; route: its destination */
	struct ip_address via;     /* route; family 0: on the link */
};

/* Whether the word after "netns" hands over to a command: the rest is not for step_parse(). */
bool step_is_exec(int count, char *const *words);

/* words: what follows the object, options taken out; namespace: where, NULL or "host" for the host.
 * Strings are borrowed. -EINVAL with what is wrong. */
int step_parse(enum step_object object, const char *namespace, int count, char *const *words,
	       struct step *ret, struct error *err);

#endif
