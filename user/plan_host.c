/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what a fabric needs of the host is shared with whoever else lives there. An uplink
 * has one address and one range of ports for all networks and fabrics that leave by it; a sysctl
 * that another fabric set already is recorded for this one too, with what it was before both; the
 * numbers of networks are unique in the host namespace.
 */
#include "plan_host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/rtnetlink.h>

#include "plan_address6.h"
#include "plan_apart.h"
#include "plan_externals.h"
#include "plan_uplink.h"

/* ---- Uplinks. */

const char *plan_uplink_name(const struct masquerade *masquerade, const struct kernel_state *state)
{
	const struct state_namespace *host = &state->host;
	const struct state_route *best = NULL;

	if (strcmp(masquerade->uplink, "auto"))
		return masquerade->uplink;
	for (size_t i = 0; i < host->routes_count; i++) {
		const struct state_route *route = &host->routes[i];

		if (route->to.family == AF_INET && !route->to.prefix_len &&
		    route->type == RTN_UNICAST && (!best || route->metric < best->metric))
			best = route;
	}
	for (size_t i = 0; best && i < host->links_count; i++)
		if (host->links[i].ifindex == best->ifindex)
			return host->links[i].name;
	return NULL;
}

static bool uplink_address(const struct state_namespace *host, uint32_t ifindex,
			   struct ip_address *ret)
{
	for (size_t i = 0; i < host->addresses_count; i++) {
		if (host->addresses[i].ifindex != ifindex ||
		    host->addresses[i].address.family != AF_INET)
			continue;
		*ret = plan_host_address(host->addresses[i].address);
		return true;
	}
	return false;
}

/* With what another fabric has entered. */
static int check_shared(const struct builder *b, const struct uplink *uplink,
			const struct nsr_uplink *known, struct error *err)
{
	const bool same6 = plan_same_externals6(known, uplink) && !plan_address6_differs(b, uplink);

	if (known->fixed != uplink->fixed ||
	    (uplink->fixed && !plan_same_externals(known, uplink)) || !same6)
		return error_set(err, -EEXIST,
				 "another fabric masquerades to '%s' %s; give this one the same "
				 "'addresses'",
				 uplink->name,
				 !same6                            ? "as other addresses"
				 : !known->fixed                   ? "as its own address"
				 : known->flags & NSR_UPLINK_MORE4 ? "as other addresses"
								   : "as one address only");
	if (known->port_min != uplink->port_min || known->port_max != uplink->port_max)
		return error_set(
			err, -EEXIST,
			"another fabric masquerades to '%s' with ports %u-%u; give this one "
			"the same range",
			uplink->name, known->port_min, known->port_max);
	return 0;
}

/* An uplink has one range of external ports, whichever network and fabric uses it. */
static int share_uplink(struct builder *b, size_t place, struct error *err)
{
	struct uplink *uplink = &b->uplinks[place];
	const struct state_uplink *observed = view_find(
		b->view, &(struct operation){.kind = OPERATION_UPLINK_ADD, .link = uplink->name});

	const struct masquerade *masquerade = &b->topology->networks[place].masquerade;

	uplink->first = true;
	plan_place_externals(uplink, masquerade->more, masquerade->more_count,
			     observed ? &observed->known : NULL, b->arena);
	for (size_t i = 0; i < place; i++) {
		if (!b->uplinks[i].name || strcmp(b->uplinks[i].name, uplink->name))
			continue;
		uplink->first = false;
		if (b->uplinks[i].port_min != uplink->port_min ||
		    b->uplinks[i].port_max != uplink->port_max)
			return error_invalid(
				err,
				"network '%s' masquerades to '%s' with other ports than "
				"network '%s'; give both the same range",
				b->topology->networks[place].name, uplink->name,
				b->topology->networks[i].name);
		if (masquerade->more_count
			    ? !masquerade_same_externals(&b->topology->networks[i].masquerade,
							 masquerade)
			    : b->uplinks[i].more ||
				      !ip_equal(&b->uplinks[i].address, &uplink->address) ||
				      !ip_equal(&b->uplinks[i].address6, &uplink->address6))
			return error_invalid(
				err,
				"network '%s' masquerades to '%s' with other addresses than "
				"network '%s'; give both the same",
				b->topology->networks[place].name, uplink->name,
				b->topology->networks[i].name);
		uplink->address = b->uplinks[i].address;
		uplink->address6 = b->uplinks[i].address6;
		uplink->more = b->uplinks[i].more;
	}
	return observed && view_recorded_elsewhere(b->view, RECORD_UPLINK, uplink->name)
		       ? check_shared(b, uplink, &observed->known, err)
		       : 0;
}

int check_hooks(const struct state_link *link, struct error *err)
{
	if (link->ingress_qdisc)
		return error_set(
			err, -EEXIST,
			"interface '%s' has an 'ingress' qdisc, which leaves no place for "
			"the program that guards what goes out; move its filters to a clsact "
			"qdisc (tc qdisc del dev %s ingress, tc qdisc add dev %s clsact)",
			link->name, link->name, link->name);
	if (link->shared_block)
		return error_set(
			err, -EEXIST,
			"interface '%s' has a clsact qdisc whose filters are in a shared block, where "
			"a program would be every sharer's; make it one without (tc qdisc del dev %s "
			"clsact, tc qdisc add dev %s clsact)",
			link->name, link->name, link->name);
	if (link->place_taken)
		return error_set(
			err, -EEXIST,
			"interface '%s' has a filter of somebody else at priority %u, which "
			"is nsroute's; give it another priority",
			link->name, STATE_HOOK_PRIORITY);
	return 0;
}

/* An address that the file names may be on any interface of the host: what comes for it does so by
 * the uplink all the same. */
static int check_address(const struct state_namespace *host, const struct ip_address *address,
			 const char *network, const char *uplink, struct error *err)
{
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < host->addresses_count; i++) {
		const struct ip_address there = plan_host_address(host->addresses[i].address);

		if (ip_equal(&there, address))
			return 0;
	}
	return error_set(
		err, -EADDRNOTAVAIL,
		"network '%s' masquerades as %s, which is no address of the host's; give it "
		"to its uplink (ip address add %s/%u dev %s), or leave 'addresses' out",
		network, ip_format(address, text), text, ip_bits(address), uplink);
}

static int find_addresses(struct builder *b, size_t place, const struct state_link *link,
			  struct error *err)
{
	const struct network *network = &b->topology->networks[place];
	const struct masquerade *masquerade = &network->masquerade;
	const struct state_namespace *host = &b->view->state->host;
	struct uplink *uplink = &b->uplinks[place];

	uplink->fixed = masquerade->address.family;
	uplink->address = masquerade->address;
	uplink->address6 = masquerade->address6;
	if (uplink->fixed &&
	    check_address(host, &uplink->address, network->name, uplink->name, err))
		return err->code;
	if (uplink->address6.family &&
	    check_address(host, &uplink->address6, network->name, uplink->name, err))
		return err->code;
	for (size_t i = 0; i < masquerade->more_count; i++)
		if (check_address(host, &masquerade->more[i], network->name, uplink->name, err))
			return err->code;
	if (!uplink->fixed && !uplink_address(host, link->ifindex, &uplink->address))
		return error_set(err, -EADDRNOTAVAIL,
				 "network '%s' masquerades to '%s', which has no IPv4 address; "
				 "give it one",
				 network->name, uplink->name);
	return 0;
}

/* The first of its gateways of that family; family 0: none. */
static struct ip_address gateway_of(const struct network *network, uint8_t family)
{
	for (size_t i = 0; i < network->gateways_count; i++)
		if (network->gateways[i].family == family)
			return plan_host_address(network->gateways[i]);
	return (struct ip_address){0};
}

/* The bridge of another network. It need not be there yet, and has the addresses that the file says
 * and no others. */
static int find_inner_uplink(struct builder *b, size_t place, struct error *err)
{
	const struct masquerade *masquerade = &b->topology->networks[place].masquerade;
	struct uplink *uplink = &b->uplinks[place];
	const struct state_link *link;

	uplink->name = masquerade->network->name;
	uplink->inner = uplink->fixed = true;
	uplink->port_min = masquerade->port_min;
	uplink->port_max = masquerade->port_max;
	uplink->address = masquerade->address;
	uplink->address6 = masquerade->address6;
	if (!uplink->address.family)
		uplink->address = gateway_of(masquerade->network, AF_INET);
	if (!uplink->address6.family)
		uplink->address6 = gateway_of(masquerade->network, AF_INET6);
	link = view_link(b->view, NULL, uplink->name);
	if (link && check_hooks(link, err))
		return err->code;
	return share_uplink(b, place, err);
}

static int find_uplink(struct builder *b, size_t place, struct error *err)
{
	const struct masquerade *masquerade = &b->topology->networks[place].masquerade;
	const char *network = b->topology->networks[place].name;
	struct uplink *uplink = &b->uplinks[place];
	const struct state_link *link;

	uplink->name = plan_uplink_name(masquerade, b->view->state);
	if (!uplink->name)
		return error_set(err, -ENODEV,
				 "network '%s' masquerades to the interface of the default route, "
				 "but there is no default route; name the uplink",
				 network);
	link = view_link(b->view, NULL, uplink->name);
	if (!link)
		return error_set(err, -ENODEV,
				 "network '%s' masquerades to '%s', but there is no such interface",
				 network, uplink->name);
	if (plan_check_uplink(b->view, link, network, err))
		return err->code;
	if (check_hooks(link, err))
		return err->code;
	uplink->port_min = masquerade->port_min;
	uplink->port_max = masquerade->port_max;
	if (find_addresses(b, place, link, err))
		return err->code;
	return share_uplink(b, place, err);
}

int find_uplinks(struct builder *b, struct error *err)
{
	const struct topology *topology = b->topology;
	int ret;

	b->uplinks = arena_alloc(b->arena, topology->networks_count * sizeof(*b->uplinks));
	for (size_t i = 0; i < topology->networks_count; i++) {
		if (!topology->networks[i].masquerade.enabled)
			continue;
		ret = topology->networks[i].masquerade.network ? find_inner_uplink(b, i, err)
							       : find_uplink(b, i, err);
		if (ret) {
			error_at(err, topology->file, topology->networks[i].masquerade.at);
			return ret;
		}
	}
	return plan_check_apart(b, err);
}

static const char *sysctl_value(const struct builder *b, const char *key)
{
	const struct state_sysctl *sysctl =
		view_find(b->view, &(struct operation){.kind = OPERATION_SYSCTL_SET, .key = key});

	return sysctl && sysctl->value ? sysctl->value : "";
}

static void want_uplink(struct builder *b, const struct uplink *uplink, struct position at)
{
	const struct state_link *link = view_link(b->view, NULL, uplink->name);
	struct operation *op = want(b, OPERATION_UPLINK_ADD, at);

	op->link = uplink->name;
	op->bare = link && plan_link_is_bare(link);
	op->address = uplink->address;
	op->more = uplink->more;
	op->fixed = uplink->fixed;
	op->address6 = plan_uplink_address6(b, uplink);
	op->fixed6 = plan_uplink_fixed6(b, uplink);
	op->port_min = uplink->port_min;
	op->port_max = uplink->port_max;
	op->clsact = !link || !link->clsact ||
		     view_recorded(b->view, RECORD_CLSACT, uplink->name) ||
		     view_recorded_elsewhere(b->view, RECORD_CLSACT, uplink->name);
}

static int compare_prefixes(const void *left, const void *right)
{
	const struct ip_address *a = left, *b = right;
	int order = memcmp(a->bytes, b->bytes, sizeof(a->bytes));

	return order ? order : a->prefix_len - b->prefix_len;
}

/* What the file excepts for a subnet. */
static void want_exceptions(struct builder *b, struct operation *op,
			    const struct masquerade *masquerade)
{
	struct ip_address *except = NULL;

	for (size_t i = 0; i < masquerade->except_count; i++)
		if (masquerade->except[i].family == op->address.family)
			*arena_push(b->arena, except, op->except_count) = masquerade->except[i];
	if (except)
		qsort(except, op->except_count, sizeof(*except), compare_prefixes);
	op->except = except;
}

void want_uplinks(struct builder *b, bool inner)
{
	for (size_t i = 0; i < b->topology->networks_count; i++)
		if (b->uplinks[i].first && b->uplinks[i].inner == inner)
			want_uplink(b, &b->uplinks[i], b->topology->networks[i].masquerade.at);
	for (size_t i = 0; i < b->topology->networks_count; i++) {
		const struct network *network = &b->topology->networks[i];

		if (!b->uplinks[i].name || b->uplinks[i].inner != inner)
			continue;
		for (size_t j = 0; j < network->subnets_count; j++) {
			struct operation *op =
				want(b, OPERATION_INSIDE_ADD, network->masquerade.at);

			op->address = network->subnets[j];
			op->uplink = b->uplinks[i].name;
			op->inside = &network->masquerade.inside;
			want_exceptions(b, op, &network->masquerade);
		}
	}
}

/* ---- Sysctls of the host. */

static bool is_recorded(const struct builder *b, const char *key)
{
	return view_recorded(b->view, RECORD_SYSCTL, key) ||
	       view_recorded_elsewhere(b->view, RECORD_SYSCTL, key);
}

/* One that belongs to others: what it was is recorded, and down brings it back. When another fabric
 * set it already, what it was before that. */
static void want_host_sysctl(struct builder *b, struct position at, const char *key,
			     const char *value, const char *why)
{
	const struct record_entry *entry = view_recorded(b->view, RECORD_SYSCTL, key);
	struct operation *op = want(b, OPERATION_SYSCTL_SET, at);

	if (!entry)
		entry = view_recorded_elsewhere(b->view, RECORD_SYSCTL, key);
	op->key = key;
	op->value = value;
	op->old_value = entry ? entry->value : arena_strdup(b->arena, sysctl_value(b, key));
	op->why = why;
}

/* Whether nobody set it for a fabric, and it is what we need. */
static bool is_set_already(const struct builder *b, const char *key, const char *value)
{
	return !strcmp(sysctl_value(b, key), value) && !is_recorded(b, key);
}

bool plan_is_ipv6_forwarding(const char *key)
{
	static const char start[] = "net/ipv6/conf/", end[] = "/forwarding";
	size_t length = strlen(key);

	return !strncmp(key, start, strlen(start)) && length > strlen(end) &&
	       !strcmp(key + length - strlen(end), end);
}

bool plan_lives_on_advertisements(const struct kernel_state *state, uint32_t ifindex)
{
	for (size_t i = 0; i < state->host.routes_count; i++)
		if (state->host.routes[i].protocol == RTPROT_RA &&
		    state->host.routes[i].ifindex == ifindex)
			return true;
	return false;
}

/* With forwarding on, the kernel ignores router advertisements unless accept_ra is 2: what lives on
 * them must not lose its address and routes. */
static void keep_router_advertisements(struct builder *b, struct position at)
{
	const struct state_namespace *host = &b->view->state->host;

	for (size_t i = 0; i < host->links_count; i++) {
		const char *name = host->links[i].name;
		const char *key = arena_printf(b->arena, "net/ipv6/conf/%s/accept_ra", name);

		if (is_recorded(b, key) ||
		    (!strcmp(sysctl_value(b, key), "1") &&
		     plan_lives_on_advertisements(b->view->state, host->links[i].ifindex)))
			want_host_sysctl(b, at, key, "2",
					 arena_printf(b->arena,
						      "%s lives on router advertisements, which "
						      "IPv6 forwarding would make it ignore",
						      name));
	}
}

/* Switching it off for all takes it from those that had it alone: they get it back. */
static void keep_ipv6_forwarding(struct builder *b, struct position at)
{
	const struct state_namespace *host = &b->view->state->host;
	bool before = !strcmp(sysctl_value(b, "net/ipv6/conf/all/forwarding"), "0");

	for (size_t i = 0; i < host->sysctls_count; i++) {
		const char *key = host->sysctls[i].key;

		if (host->sysctls[i].value && plan_is_ipv6_forwarding(key) &&
		    strcmp(key, "net/ipv6/conf/all/forwarding") &&
		    (is_recorded(b, key) || (before && !strcmp(sysctl_value(b, key), "1"))))
			want_host_sysctl(b, at, key, "1", "stays as it is when the fabric goes");
	}
}

static void want_ipv6_forwarding(struct builder *b, const struct network *network)
{
	static const char key[] = "net/ipv6/conf/all/forwarding";

	if (is_set_already(b, key, "1"))
		return;
	keep_ipv6_forwarding(b, network->at);
	keep_router_advertisements(b, network->at);
	want_host_sysctl(b, network->at, key, "1",
			 arena_printf(b->arena,
				      "%s routes IPv6, which the kernel switches for all "
				      "interfaces at once",
				      network->name));
}

static bool routes_ipv6(const struct network *network)
{
	for (size_t i = 0; network->type != NETWORK_OVS && i < network->gateways_count; i++)
		if (network->gateways[i].family == AF_INET6)
			return true;
	return false;
}

void want_host_sysctls(struct builder *b)
{
	const struct topology *topology = b->topology;

	for (size_t i = 0; i < topology->networks_count; i++) {
		const char *uplink = b->uplinks[i].name, *key;

		if (!b->uplinks[i].first || b->uplinks[i].inner)
			continue;
		key = arena_printf(b->arena, "net/ipv4/conf/%s/forwarding", uplink);
		if (!is_set_already(b, key, "1"))
			want_host_sysctl(b, topology->networks[i].masquerade.at, key, "1",
					 arena_printf(b->arena,
						      "replies come in by %s and are forwarded",
						      uplink));
	}
	for (size_t i = 0; i < topology->networks_count; i++)
		if (routes_ipv6(&topology->networks[i]))
			return want_ipv6_forwarding(b, &topology->networks[i]);
}

/* ---- Numbers of networks. */

/* Numbers are unique in the host namespace: a fabric keeps those that it recorded. */
int number_networks(struct builder *b, struct error *err)
{
	const struct kernel_state *state = b->view->state;
	const struct topology *topology = b->topology;
	bool *taken = arena_alloc(b->arena, (UINT16_MAX + 1) * sizeof(*taken));
	unsigned int next = 1;

	memcpy(taken, b->view->networks, sizeof(b->view->networks));
	for (size_t i = 0; i < state->datapath.ports_count; i++)
		taken[state->datapath.ports[i].port.network] = true;
	for (size_t i = 0; i < state->others_count; i++)
		for (size_t j = 0; j < state->others[i].count; j++)
			if (state->others[i].entries[j].kind == RECORD_NETWORK)
				taken[(uint16_t)atoi(state->others[i].entries[j].value)] = true;
	b->numbers = arena_alloc(b->arena, topology->networks_count * sizeof(*b->numbers));
	for (size_t i = 0; i < topology->networks_count; i++) {
		const struct record_entry *entry =
			view_recorded(b->view, RECORD_NETWORK, topology->networks[i].name);

		if (entry) {
			b->numbers[i] = (uint16_t)atoi(entry->value);
			continue;
		}
		while (next <= UINT16_MAX && taken[next])
			next++;
		if (next > UINT16_MAX) {
			error_set(err, -ENOSPC, "no number is left for network '%s'",
				  topology->networks[i].name);
			error_at(err, topology->file, topology->networks[i].at);
			return err->code;
		}
		b->numbers[i] = (uint16_t)next++;
	}
	return 0;
}
