/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: for each network of a fabric a few packets are imagined, as the kernel's path
 * forwards them: out by the uplink, the answer, from network to network, and (with
 * bridge-nf-call-iptables) within one. Each chain of hook "forward" is asked about each of them.
 *
 * A chain that surely drops one is a problem, one that perhaps does is a note. The mend lets the
 * network's packets (told by its bridge, or where it has none by its subnet) through at the chain's
 * beginning; where Docker is, in DOCKER-USER, the chain that Docker leaves to others. It opens the
 * way for this network only.
 */
#include "doctor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "doctor_view.h"

#define PACKETS_MAX 4

struct network {
	const struct record *record;
	const char *name;             /* of the bridge, too */
	const char *interface;        /* one that its packets come by: the bridge, or a port */
	bool routed;                  /* has no bridge: rules can only tell it by its addresses */
	const char *uplink;           /* NULL: none */
	const char *other;            /* an interface of another network of the fabric, or NULL */
	struct ip_address subnets[2]; /* IPv4, IPv6; family 0: none */
};

/* ---- Networks. */

static void take_subnet(struct network *network, struct ip_address ip)
{
	size_t at = ip.family == AF_INET ? 0 : 1;

	if (!ip_is_link_local(&ip) && !network->subnets[at].family)
		network->subnets[at] = ip_network(&ip);
}

/* A network without a bridge is known by its ports; what is inside with one of them is its. */
static void take_port(const struct doctor_world *world, struct network *network, const char *number)
{
	const struct state_datapath *datapath = &world->state->datapath;

	for (size_t i = 0; i < datapath->ports_count && !network->interface; i++) {
		const struct nsr_port *port = &datapath->ports[i].port;
		const struct doctor_interface *interface =
			doctor_interface(world, &world->state->host, datapath->ports[i].ifindex);
		struct ip_address ip = {.family = AF_INET, .prefix_len = 32};

		if (!interface || strtoul(number, NULL, 10) != port->network)
			continue;
		network->interface = interface->link->name;
		network->routed = true;
		memcpy(ip.bytes, &port->address4, sizeof(port->address4));
		if (port->address4)
			take_subnet(network, ip);
	}
}

static void take_bridge(const struct doctor_world *world, struct network *network)
{
	const struct doctor_interface *bridge =
		doctor_interface_named(world, &world->state->host, network->name);
	const struct state_address *address = NULL;

	if (!bridge)
		return;
	network->interface = network->name;
	while ((address = doctor_next_address(bridge, 0, address)))
		take_subnet(network, address->address);
}

/* What is masqueraded, and where it leaves; for a network without a bridge its subnet, too. */
static void take_inside(struct network *network)
{
	for (size_t i = 0; i < network->record->count; i++) {
		const struct record_entry *entry = &network->record->entries[i];
		struct ip_address prefix, *subnet;

		if (entry->kind != RECORD_INSIDE || !ip_parse(entry->name, &prefix, NULL))
			continue;
		subnet = &network->subnets[prefix.family == AF_INET ? 0 : 1];
		if (!subnet->family || !ip_overlap(&prefix, subnet))
			continue;
		network->uplink = entry->value;
		if (network->routed)
			*subnet = prefix;
	}
}

static struct network describe(const struct doctor_world *world, const struct record *record,
			       const struct record_entry *entry)
{
	struct network network = {.record = record, .name = entry->name};

	take_bridge(world, &network);
	if (!network.interface)
		take_port(world, &network, entry->value);
	take_inside(&network);
	return network;
}

/* Of another network of the fabric. */
static const char *other_interface(const struct doctor_world *world, const struct network *network)
{
	for (size_t i = 0; i < network->record->count; i++) {
		const struct record_entry *entry = &network->record->entries[i];
		struct network other;

		if (entry->kind != RECORD_NETWORK || !strcmp(entry->name, network->name))
			continue;
		other = describe(world, network->record, entry);
		if (other.interface)
			return other.interface;
	}
	return NULL;
}

static bool has_family(const struct network *network, const char *family)
{
	if (!strcmp(family, "ip"))
		return network->subnets[0].family;
	if (!strcmp(family, "ip6"))
		return network->subnets[1].family;
	return !strcmp(family, "inet") &&
	       (network->subnets[0].family || network->subnets[1].family);
}

/* ---- Forward. */

static size_t imagine(const struct network *network, const struct ip_address *subnet,
		      struct netfilter_packet packets[PACKETS_MAX])
{
	const char *ends[] = {network->uplink, network->other};
	size_t count = 0;

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		if (!ends[i])
			continue;
		packets[count++] = (struct netfilter_packet){
			.in = network->interface, .out = ends[i], .from = *subnet};
		packets[count++] = (struct netfilter_packet){.in = ends[i],
							     .out = network->interface,
							     .to = *subnet,
							     .reply = ends[i] == network->uplink};
	}
	return count;
}

static const char *command_of(const struct netfilter_chain *chain)
{
	bool v6 = !strcmp(chain->family, "ip6");

	if (chain->legacy)
		return v6 ? "ip6tables-legacy" : "iptables-legacy";
	return v6 ? "ip6tables" : "iptables";
}

/* Chains in capitals are of iptables, whose words then fit better than nft's. */
static bool is_of_iptables(const struct netfilter_chain *chain)
{
	return chain->legacy ||
	       (!strcmp(chain->table, "filter") && !strcmp(chain->name, "FORWARD"));
}

/* What a rule tells the network's packets by, one way and the other. */
static const char *iptables_words(const struct doctor_world *world, const struct network *network,
				  const struct ip_address *subnet, bool out)
{
	char text[IP_TEXT_MAX];

	if (!network->routed)
		return arena_printf(world->arena, "-%c %s", out ? 'i' : 'o', network->name);
	return arena_printf(world->arena, "-%c %s", out ? 's' : 'd',
			    ip_format_prefix(subnet, text));
}

static const char *nft_words(const struct doctor_world *world, const struct network *network,
			     const struct ip_address *subnet, bool out)
{
	char text[IP_TEXT_MAX];

	if (!network->routed)
		return arena_printf(world->arena, "%cifname %s", out ? 'i' : 'o', network->name);
	return arena_printf(world->arena, "%s %caddr %s", subnet->family == AF_INET ? "ip" : "ip6",
			    out ? 's' : 'd', ip_format_prefix(subnet, text));
}

static const char *let_one_way(const struct doctor_world *world,
			       const struct netfilter_chain *chain, const struct network *network,
			       const struct ip_address *subnet, bool out)
{
	const struct state_namespace *host = &world->state->host;
	const char *name = chain->name;

	if (!is_of_iptables(chain))
		return doctor_run(world, host, "nft insert rule %s %s %s %s accept", chain->family,
				  chain->table, name, nft_words(world, network, subnet, out));
	if (netfilter_find_chain(&world->netfilter, chain, "DOCKER-USER"))
		name = "DOCKER-USER";
	return doctor_run(world, host, "%s -I %s %s -j ACCEPT", command_of(chain), name,
			  iptables_words(world, network, subnet, out));
}

static const char *let_through(const struct doctor_world *world,
			       const struct netfilter_chain *chain, const struct network *network,
			       const struct ip_address *subnet)
{
	return doctor_then(world, let_one_way(world, chain, network, subnet, true),
			   let_one_way(world, chain, network, subnet, false));
}

static const char *chain_words(const struct doctor_world *world,
			       const struct netfilter_chain *chain)
{
	if (chain->legacy)
		return arena_printf(world->arena, "%s chain %s", command_of(chain), chain->name);
	return arena_printf(world->arena, "chain %s of table %s %s", chain->name, chain->family,
			    chain->table);
}

static enum netfilter_fate worst(const struct doctor_world *world,
				 const struct netfilter_chain *chain,
				 const struct netfilter_packet *packets, size_t count,
				 const struct netfilter_packet **ret_packet)
{
	enum netfilter_fate fate = NETFILTER_PASSES;

	for (size_t i = 0; i < count; i++) {
		enum netfilter_fate next = netfilter_forward(&world->netfilter, chain, &packets[i]);

		if (next > fate) {
			fate = next;
			*ret_packet = &packets[i];
		}
	}
	return fate;
}

static void report_forward(struct doctor_world *world, const struct netfilter_chain *chain,
			   const struct network *network, const struct ip_address *subnet,
			   const struct netfilter_packet *packet, enum netfilter_fate fate)
{
	bool sure = fate == NETFILTER_DROPPED;
	struct doctor_finding *finding =
		doctor_add_at(world, sure ? DOCTOR_PROBLEM : DOCTOR_NOTE, "forward-dropped",
			      &world->state->host, network->name);

	finding->what = arena_printf(world->arena, "%s %s what goes from %s to %s",
				     chain_words(world, chain), sure ? "drops" : "may drop",
				     packet->in, packet->out);
	finding->why = "what the fast path leaves to the kernel (fragments, errors, packets that "
		       "are too large; everything with datapath: kernel) does not get through";
	finding->mend = let_through(world, chain, network, subnet);
}

/* Within the network, when bridges ask iptables too. */
static void check_bridged(struct doctor_world *world, const struct netfilter_chain *chain,
			  const struct network *network)
{
	bool v6 = !strcmp(chain->family, "ip6");
	const char *key =
		v6 ? "net/bridge/bridge-nf-call-ip6tables" : "net/bridge/bridge-nf-call-iptables";
	struct netfilter_packet packet = {.in = network->name, .out = network->name};
	struct doctor_finding *finding;

	if (strcmp(doctor_sysctl(&world->state->host, "%s", key), "1") ||
	    netfilter_forward(&world->netfilter, chain, &packet) != NETFILTER_DROPPED)
		return;
	finding = doctor_add_at(world, DOCTOR_PROBLEM, "bridge-nf-call", &world->state->host,
				network->name);
	finding->what = arena_printf(world->arena,
				     "bridges ask netfilter, and %s drops what stays "
				     "within the network",
				     chain_words(world, chain));
	finding->why = "neighbours on one bridge do not reach each other where the kernel forwards";
	finding->mend = doctor_run(world, &world->state->host, "sysctl -w %s=0", key);
}

/* The family that a chain is asked with. */
static const struct ip_address *subnet_for(const struct network *network,
					   const struct netfilter_chain *chain)
{
	bool v6 = !strcmp(chain->family, "ip6") || !network->subnets[0].family;

	return &network->subnets[v6];
}

static void check_forward(struct doctor_world *world, const struct network *network)
{
	for (size_t i = 0; i < world->netfilter.count; i++) {
		const struct netfilter_chain *chain = &world->netfilter.chains[i];
		const struct ip_address *subnet = subnet_for(network, chain);
		const struct netfilter_packet *packet = NULL;
		struct netfilter_packet packets[PACKETS_MAX];
		enum netfilter_fate fate;

		if (chain->hook != NETFILTER_FORWARD || !has_family(network, chain->family))
			continue;
		fate = worst(world, chain, packets, imagine(network, subnet, packets), &packet);
		if (fate != NETFILTER_PASSES)
			report_forward(world, chain, network, subnet, packet, fate);
		if (!network->routed)
			check_bridged(world, chain, network);
	}
}

/* ---- Translation by others. */

static const char *delete_rule(const struct doctor_world *world,
			       const struct netfilter_chain *chain,
			       const struct netfilter_rule *rule)
{
	if (chain->legacy)
		return doctor_run(world, &world->state->host, "%s -t nat -D %s %s",
				  command_of(chain), chain->name, rule->words);
	return doctor_run(world, &world->state->host, "nft delete rule %s %s %s handle %u",
			  chain->family, chain->table, chain->name, rule->handle);
}

static void report_translation(struct doctor_world *world, const struct netfilter_chain *chain,
			       const struct netfilter_rule *rule, const struct network *network,
			       bool ours)
{
	struct doctor_finding *finding = doctor_add_at(world, ours ? DOCTOR_PROBLEM : DOCTOR_NOTE,
						       ours ? "foreign-nat" : "shared-uplink",
						       &world->state->host, network->uplink);

	finding->fabric = network->record->fabric;
	if (ours) {
		finding->what = arena_printf(
			world->arena, "a rule in %s translates what comes from the network %s, too",
			chain_words(world, chain), network->name);
		finding->why = "what is translated twice has a port that nsroute does not know: "
			       "answers get lost, and two connections may meet on one port";
		finding->mend = delete_rule(world, chain, rule);
		return;
	}
	finding->what = arena_printf(world->arena,
				     "a rule in %s translates other networks to the "
				     "uplink's address",
				     chain_words(world, chain));
	finding->why =
		"external ports are shared with it; \"masquerade: {ports: ...}\" in the file "
		"can leave out the range that it uses";
	finding->mend = doctor_edit(world, network->record);
}

/* Translating rules of a chain and of those that it jumps to, without asking how they are got to:
 * container engines have one chain after the other. */
static void check_translation(struct doctor_world *world, const struct network *network)
{
	bool told = false;

	for (size_t i = 0; i < world->netfilter.count; i++) {
		const struct netfilter_chain *chain = &world->netfilter.chains[i];
		size_t family = !strcmp(chain->family, "ip6") ? 1 : 0;
		struct netfilter_packet packet = {.out = network->uplink,
						  .from = network->subnets[family]};

		for (size_t j = 0; packet.from.family && j < chain->count; j++) {
			const struct netfilter_rule *rule = &chain->rules[j];

			if (rule->verdict != NETFILTER_TRANSLATE)
				continue;
			if (netfilter_may_match(rule, &packet)) {
				report_translation(world, chain, rule, network, true);
			} else if (!told &&
				   netfilter_may_match(rule, &(struct netfilter_packet){
								     .out = network->uplink})) {
				report_translation(world, chain, rule, network, false);
				told = true;
			}
		}
	}
}

void doctor_check_netfilter(struct doctor_world *world)
{
	if (world->netfilter_problem && world->fabrics_count) {
		struct doctor_finding *finding = doctor_add(world, DOCTOR_SKIPPED, "netfilter");

		finding->where = "nft -j list ruleset";
		finding->what = world->netfilter_problem;
		finding->why = "rules of others may drop what the kernel forwards";
	}
	for (size_t i = 0; i < world->fabrics_count; i++) {
		const struct record *record = world->fabrics[i].record;

		for (size_t j = 0; j < record->count; j++) {
			struct network network;

			if (record->entries[j].kind != RECORD_NETWORK)
				continue;
			network = describe(world, record, &record->entries[j]);
			if (!network.interface)
				continue;
			network.other = other_interface(world, &network);
			check_forward(world, &network);
			if (network.uplink)
				check_translation(world, &network);
		}
	}
}
