/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a namespace is published at each uplink that a network of it masquerades to, with
 * the first address of each family that it has there, as far as the uplink has one of the family.
 * What is published on a loopback address is at the loopback interface, which is made an uplink for
 * that, of nobody who masquerades, and whatever addresses the others have. It is one as soon as
 * anything is published: what the host sends to itself passes there. All that a publication is, is
 * in its key: what differs in anything is another one, and the old one goes before the new one
 * comes, for they may have ports in common. So nothing of others has to be looked at to change one.
 */
#include "plan_publish.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "plan_address6.h"
#include "plan_host.h"

/* ---- In the record. */

char *plan_publish_name(const struct operation *op, char buffer[PUBLISH_TEXT_MAX])
{
	const struct published_ports *ports = &op->ports;
	char external[IP_TEXT_MAX];
	int used = snprintf(buffer, PUBLISH_TEXT_MAX, "%s/%s%s/%u", op->link,
			    published_protocol(ports->protocol),
			    op->address.family == AF_INET6 ? "6" : "", ports->external);

	if (ports->count > 1)
		used += snprintf(buffer + used, PUBLISH_TEXT_MAX - (size_t)used, "-%u",
				 ports->external + ports->count - 1u);
	if (op->external.family)
		snprintf(buffer + used, PUBLISH_TEXT_MAX - (size_t)used, "@%s",
			 ip_format(&op->external, external));
	return buffer;
}

char *plan_publish_value(const struct operation *op, char buffer[PUBLISH_VALUE_MAX])
{
	char address[IP_TEXT_MAX];

	snprintf(buffer, PUBLISH_VALUE_MAX,
		 op->address.family == AF_INET6 ? "[%.45s]:%u" : "%.20s:%u",
		 ip_format(&op->address, address), op->ports.inside);
	return buffer;
}

bool plan_publish_read(const struct record_entry *entry, struct arena *arena, struct operation *ret)
{
	char *name = arena_strdup(arena, entry->name), *value = arena_strdup(arena, entry->value);
	char *protocol = strchr(name, '/'), *colon = strrchr(value, ':');
	char *range = protocol ? strchr(protocol + 1, '/') : NULL;
	const char *external = range ? strchr(range, '@') : NULL;
	unsigned int first, last, inside;
	int fields;

	if (!range || !colon)
		return false;
	*protocol++ = *range++ = *colon++ = '\0';
	value[strcspn(value, "]")] = '\0';
	fields = sscanf(range, "%5u-%5u", &first, &last);
	*ret = (struct operation){.link = name};
	if (fields < 1 || sscanf(colon, "%5u", &inside) != 1 ||
	    !ip_parse(value + (value[0] == '['), &ret->address, NULL) ||
	    (external && !ip_parse(external + 1, &ret->external, NULL)))
		return false;
	ret->ports.protocol = strncmp(protocol, "udp", 3) ? NSR_NAT_TCP : NSR_NAT_UDP;
	ret->ports.external = (uint16_t)first;
	ret->ports.count = (uint16_t)(fields == 2 ? last - first + 1 : 1);
	ret->ports.inside = (uint16_t)inside;
	return true;
}

/* ---- What is wanted. */

static const uint8_t families[] = {AF_INET, AF_INET6};
#define FAMILIES (sizeof(families) / sizeof(families[0]))

/* The external address of a family; family 0: none. */
static struct ip_address external_of(const struct builder *b, const struct uplink *uplink,
				     uint8_t family)
{
	return family == AF_INET6 ? plan_uplink_address6(b, uplink) : uplink->address;
}

/* By place; family 0: none is there. */
static struct ip_address external_at(const struct builder *b, const struct uplink *uplink,
				     uint8_t family, size_t place)
{
	if (!place)
		return external_of(b, uplink, family);
	if (!uplink->more)
		return (struct ip_address){0};
	return family == AF_INET6 ? uplink->more->address6[place - 1]
				  : uplink->more->address[place - 1];
}

/* The first address of a family on an interface of a masqueraded network; false: there is none. */
static bool inside_of(const struct builder *b, const struct interface *interface, uint8_t family,
		      struct ip_address *ret_inside)
{
	if (!b->uplinks[interface->network - b->topology->networks].name)
		return false;
	for (size_t i = 0; i < interface->addresses_count; i++) {
		if (interface->addresses[i].family != family)
			continue;
		*ret_inside = plan_host_address(interface->addresses[i]);
		return true;
	}
	return false;
}

/* Where an interface of a namespace is published in a family; NULL: not there. */
static const struct uplink *uplink_of(const struct builder *b, const struct interface *interface,
				      uint8_t family, struct ip_address *ret_inside)
{
	const struct uplink *uplink = &b->uplinks[interface->network - b->topology->networks];

	return inside_of(b, interface, family, ret_inside) && external_of(b, uplink, family).family
		       ? uplink
		       : NULL;
}

/* Of several interfaces with the same uplink the first is the one that is reached. */
static bool is_first(const struct builder *b, const struct topology_namespace *ns, size_t place,
		     const struct uplink *uplink, uint8_t family)
{
	struct ip_address unused;

	for (size_t i = 0; i < place; i++) {
		const struct uplink *other = uplink_of(b, &ns->interfaces[i], family, &unused);

		if (other && !strcmp(other->name, uplink->name))
			return false;
	}
	return true;
}

static bool is_at(const struct builder *b, const struct publish *publish,
		  const struct uplink *uplink, uint8_t family)
{
	if (!publish->address.family)
		return true;
	for (size_t i = 0; i < NSR_EXTERNALS_MAX; i++) {
		const struct ip_address external = external_at(b, uplink, family, i);

		if (external.family && ip_equal(&publish->address, &external))
			return true;
	}
	return false;
}

static const struct state_link *loopback_of(const struct builder *b)
{
	return view_link_by_index(b->view, NULL, STATE_LOOPBACK);
}

static bool overlap(const struct published_ports *a, const struct published_ports *b)
{
	return a->protocol == b->protocol && a->external < b->external + b->count &&
	       b->external < a->external + a->count;
}

/* Whether an interface has an uplink that it is published at by the entry. */
static bool is_reached(const struct builder *b, const struct interface *interface,
		       const struct publish *publish)
{
	struct ip_address unused;

	if (publish_is_loopback(publish))
		return inside_of(b, interface, publish->address.family, &unused);
	for (size_t i = 0; i < FAMILIES; i++) {
		const struct uplink *uplink = uplink_of(b, interface, families[i], &unused);

		if (uplink && is_at(b, publish, uplink, families[i]))
			return true;
	}
	return false;
}

static int check_address(const struct builder *b, const struct topology_namespace *ns,
			 const struct publish *publish, struct error *err)
{
	const uint8_t family = publish->address.family ? publish->address.family : AF_INET6;
	char address[IP_TEXT_MAX], other[IP_TEXT_MAX];
	const struct uplink *uplink = NULL;
	struct ip_address external;

	for (size_t i = 0; i < ns->interfaces_count; i++) {
		const struct interface *interface = &ns->interfaces[i];

		if (is_reached(b, interface, publish))
			return 0;
		if (b->uplinks[interface->network - b->topology->networks].name)
			uplink = &b->uplinks[interface->network - b->topology->networks];
	}
	external = uplink ? external_of(b, uplink, family) : (struct ip_address){0};
	if (!external.family)
		error_set(err, -EADDRNOTAVAIL,
			  "namespace '%s' cannot be published: its uplink '%s' has no global IPv6 "
			  "address; give it one",
			  ns->name, uplink ? uplink->name : "");
	else
		error_set(err, -EADDRNOTAVAIL,
			  "namespace '%s' cannot be published on %s: its uplink '%s' translates to "
			  "%s; leave the address out, or write that one",
			  ns->name, ip_format(&publish->address, address), uplink->name,
			  ip_format(&external, other));
	error_at(err, b->topology->file, publish->at);
	return err->code;
}

/* One of two namespaces that have "auto" as uplink and its name: they are the same by now. */
static const struct uplink *shared_uplink(const struct builder *b, uint8_t family,
					  const struct publish *one,
					  const struct topology_namespace *a,
					  const struct publish *other,
					  const struct topology_namespace *c)
{
	struct ip_address unused;

	if (one->address.family && other->address.family &&
	    !ip_equal(&one->address, &other->address))
		return NULL;
	for (size_t i = 0; i < a->interfaces_count; i++) {
		const struct uplink *uplink = uplink_of(b, &a->interfaces[i], family, &unused);

		if (!uplink || !is_at(b, one, uplink, family))
			continue;
		for (size_t j = 0; j < c->interfaces_count; j++) {
			const struct uplink *its = uplink_of(b, &c->interfaces[j], family, &unused);

			if (its && is_at(b, other, its, family) && !strcmp(its->name, uplink->name))
				return uplink;
		}
	}
	return NULL;
}

static int check_twice(const struct builder *b, const struct topology_namespace *ns,
		       const struct publish *publish, struct error *err)
{
	for (const struct topology_namespace *other = b->topology->namespaces; other < ns; other++)
		for (size_t i = 0; i < other->publish_count; i++) {
			const struct uplink *uplink;

			if (!overlap(&publish->ports, &other->publish[i].ports))
				continue;
			uplink = shared_uplink(b, AF_INET, publish, ns, &other->publish[i], other);
			if (!uplink)
				uplink = shared_uplink(b, AF_INET6, publish, ns, &other->publish[i],
						       other);
			if (!uplink)
				continue;
			error_set(err, -EEXIST,
				  "namespace '%s': external port %u/%s is published at '%s' by "
				  "namespace '%s' (line %u) already",
				  ns->name,
				  publish->ports.external > other->publish[i].ports.external
					  ? publish->ports.external
					  : other->publish[i].ports.external,
				  published_protocol(publish->ports.protocol), uplink->name,
				  other->name, other->publish[i].at.line);
			error_at(err, b->topology->file, publish->at);
			return err->code;
		}
	return 0;
}

static const struct publish *first_publish(const struct topology *topology)
{
	for (size_t i = 0; i < topology->namespaces_count; i++)
		if (topology->namespaces[i].publish_count)
			return topology->namespaces[i].publish;
	return NULL;
}

static bool is_loopback6(const struct publish *publish)
{
	return publish->address.family == AF_INET6 && publish_is_loopback(publish);
}

/* The first namespace that something is published for on ::1; NULL: none. */
static const struct topology_namespace *first_loopback6(const struct topology *topology,
							const struct publish **ret)
{
	for (size_t i = 0; i < topology->namespaces_count; i++)
		for (size_t j = 0; j < topology->namespaces[i].publish_count; j++) {
			*ret = &topology->namespaces[i].publish[j];
			if (is_loopback6(*ret))
				return &topology->namespaces[i];
		}
	return NULL;
}

/* Where IPv6 is off, or "lo" is down, nobody can send to ::1. */
static int check_loopback6(const struct builder *b, struct error *err)
{
	const struct publish *publish = NULL;
	const struct topology_namespace *ns = first_loopback6(b->topology, &publish);
	const struct state_namespace *host = &b->view->state->host;

	for (size_t i = 0; ns && i < host->addresses_count; i++)
		if (host->addresses[i].ifindex == STATE_LOOPBACK &&
		    ip_equal(&host->addresses[i].address, &publish->address))
			return 0;
	if (!ns)
		return 0;
	error_set(err, -EADDRNOTAVAIL,
		  "namespace '%s' cannot be published on ::1, which the host's 'lo' does not have; "
		  "see that it is up (ip link set lo up), and that IPv6 is not off there (sysctl "
		  "net.ipv6.conf.lo.disable_ipv6)",
		  ns->name);
	error_at(err, b->topology->file, publish->at);
	return err->code;
}

static int check_loopback(const struct builder *b, struct error *err)
{
	const struct publish *first = first_publish(b->topology);
	const struct state_link *loopback = loopback_of(b);

	int ret = first && loopback ? check_hooks(loopback, err) : 0;

	if (ret)
		error_at(err, b->topology->file, first->at);
	return ret ? ret : check_loopback6(b, err);
}

int check_publications(const struct builder *b, struct error *err)
{
	const struct topology *topology = b->topology;
	int ret = check_loopback(b, err);

	for (size_t i = 0; i < topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &topology->namespaces[i];

		for (size_t j = 0; !ret && j < ns->publish_count; j++) {
			ret = check_address(b, ns, &ns->publish[j], err);
			if (!ret)
				ret = check_twice(b, ns, &ns->publish[j], err);
		}
	}
	return ret;
}

/* ::1, where something is published on it, by another fabric too; its pools take memory. */
static bool wants_loopback6(const struct builder *b, const char *loopback)
{
	const struct publish *unused;

	for (size_t i = 0; i < b->view->state->others_count; i++) {
		const struct record *other = &b->view->state->others[i];

		for (size_t j = 0; j < other->count; j++) {
			struct operation twin;

			if (other->entries[j].kind == RECORD_PUBLISHED &&
			    plan_publish_read(&other->entries[j], b->arena, &twin) &&
			    !strcmp(twin.link, loopback) && twin.address.family == AF_INET6)
				return true;
		}
	}
	return first_loopback6(b->topology, &unused);
}

/* What the host sends to itself passes there. */
static void want_loopback(struct builder *b, struct position at)
{
	const struct state_link *loopback = loopback_of(b);
	struct operation *op;

	if (!loopback)
		return;
	op = want(b, OPERATION_UPLINK_ADD, at);
	op->link = loopback->name;
	op->loopback = true;
	ip_parse("127.0.0.1", &op->address, NULL);
	if (wants_loopback6(b, loopback->name))
		ip_parse("::1", &op->address6, NULL);
	op->port_min = 1;
	op->port_max = UINT16_MAX;
	op->clsact = !loopback->clsact || view_recorded(b->view, RECORD_CLSACT, loopback->name) ||
		     view_recorded_elsewhere(b->view, RECORD_CLSACT, loopback->name);
}

static struct operation *want_publish(struct builder *b, const struct publish *publish,
				      const char *link, const struct ip_address *inside)
{
	struct operation *op = want(b, OPERATION_PUBLISH_ADD, publish->at);

	op->link = link;
	op->address = *inside;
	op->ports = publish->ports;
	return op;
}

/* On each address of the uplink, or on the one that is named. */
static void want_at_addresses(struct builder *b, const struct publish *publish,
			      const struct uplink *uplink, const struct ip_address *inside)
{
	for (size_t i = 0; i < NSR_EXTERNALS_MAX; i++) {
		const struct ip_address external = external_at(b, uplink, inside->family, i);
		struct operation *op;

		if (!external.family ||
		    (publish->address.family && !ip_equal(&publish->address, &external)))
			continue;
		op = want_publish(b, publish, uplink->name, inside);
		if (i)
			op->external = external;
	}
}

static void want_at_uplink(struct builder *b, const struct topology_namespace *ns,
			   const struct uplink *uplink, const struct ip_address *inside)
{
	for (size_t i = 0; i < ns->publish_count; i++)
		want_at_addresses(b, &ns->publish[i], uplink, inside);
}

/* By the first of its interfaces, whichever uplink that has. */
static void want_at_loopback(struct builder *b, const struct topology_namespace *ns,
			     const struct ip_address *inside)
{
	const struct state_link *loopback = loopback_of(b);

	for (size_t i = 0; loopback && i < ns->publish_count; i++)
		if (publish_is_loopback(&ns->publish[i]) &&
		    ns->publish[i].address.family == inside->family)
			want_publish(b, &ns->publish[i], loopback->name, inside);
}

static void want_publishes_of(struct builder *b, const struct topology_namespace *ns,
			      uint8_t family)
{
	bool at_loopback = false;

	for (size_t i = 0; ns->publish_count && i < ns->interfaces_count; i++) {
		struct ip_address inside;
		const struct uplink *uplink = uplink_of(b, &ns->interfaces[i], family, &inside);

		if (uplink && is_first(b, ns, i, uplink, family))
			want_at_uplink(b, ns, uplink, &inside);
		if (at_loopback || !inside_of(b, &ns->interfaces[i], family, &inside))
			continue;
		want_at_loopback(b, ns, &inside);
		at_loopback = true;
	}
}

void want_publishes(struct builder *b)
{
	const struct topology *topology = b->topology;
	const struct publish *first = first_publish(topology);

	if (first)
		want_loopback(b, first->at);
	for (size_t i = 0; i < topology->namespaces_count; i++)
		for (size_t j = 0; j < FAMILIES; j++)
			want_publishes_of(b, &topology->namespaces[i], families[j]);
}

/* ---- What is there. */

bool publish_missing(const struct view *view, struct operation *op)
{
	const struct state_published *observed = view_find(view, op);
	char name[PUBLISH_TEXT_MAX];

	return !observed || !observed->published.ready ||
	       !view_recorded(view, RECORD_PUBLISHED, plan_publish_name(op, name));
}

int check_publish_free(const struct view *view, const struct operation *op, struct error *err)
{
	for (size_t i = 0; i < view->state->others_count; i++) {
		const struct record *other = &view->state->others[i];

		for (size_t j = 0; j < other->count; j++) {
			struct operation twin;

			if (other->entries[j].kind != RECORD_PUBLISHED ||
			    !plan_publish_read(&other->entries[j], view->arena, &twin) ||
			    strcmp(twin.link, op->link) ||
			    twin.address.family != op->address.family ||
			    !ip_equal(&twin.external, &op->external) ||
			    !overlap(&twin.ports, &op->ports))
				continue;
			return error_set(err, -EEXIST,
					 "fabric '%s' has published port %u/%s at '%s' already",
					 other->fabric,
					 twin.ports.external > op->ports.external
						 ? twin.ports.external
						 : op->ports.external,
					 published_protocol(op->ports.protocol), op->link);
		}
	}
	return 0;
}

static void extra_publish(struct extra *extra, const struct record_entry *entry)
{
	struct operation twin, *op;
	char key[OPERATION_KEY_MAX];
	bool known = plan_publish_read(entry, extra->view->arena, &twin);

	twin.kind = OPERATION_PUBLISH_DELETE;
	if (known && lookup_find(extra->wanted, operation_key(&twin, key)))
		return;
	if (known && !extra->unload && view_find(extra->view, &twin)) {
		*(struct operation *)arena_push(extra->view->arena, extra->plan->operations,
						extra->plan->count) = twin;
		return;
	}
	if (extra->removal)
		return;
	op = arena_push(extra->view->arena, extra->plan->operations, extra->plan->count);
	op->kind = OPERATION_FORGET;
	op->record = RECORD_PUBLISHED;
	op->link = entry->name;
}

void plan_extra_publishes(struct extra *extra)
{
	for (size_t i = 0; extra->record && i < extra->record->count; i++)
		if (extra->record->entries[i].kind == RECORD_PUBLISHED)
			extra_publish(extra, &extra->record->entries[i]);
}
