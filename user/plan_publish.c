/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a namespace is published at each uplink that a network of it masquerades to, with
 * the first IPv4 address that it has there. All that a publication is, is in its key: what differs
 * in anything is another one, and the old one goes before the new one comes, for they may have
 * ports in common. So nothing of others has to be looked at to change one.
 */
#include "plan_publish.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- In the record. */

char *plan_publish_name(const struct operation *op, char buffer[PUBLISH_TEXT_MAX])
{
	const struct published_ports *ports = &op->ports;
	int used = snprintf(buffer, PUBLISH_TEXT_MAX, "%s/%s/%u", op->link,
			    published_protocol(ports->protocol), ports->external);

	if (ports->count > 1)
		snprintf(buffer + used, PUBLISH_TEXT_MAX - (size_t)used, "-%u",
			 ports->external + ports->count - 1u);
	return buffer;
}

char *plan_publish_value(const struct operation *op, char buffer[PUBLISH_TEXT_MAX])
{
	char address[IP_TEXT_MAX];

	snprintf(buffer, PUBLISH_TEXT_MAX, "%.20s:%u", ip_format(&op->address, address),
		 op->ports.inside);
	return buffer;
}

bool plan_publish_read(const struct record_entry *entry, struct arena *arena, struct operation *ret)
{
	char *name = arena_strdup(arena, entry->name), *value = arena_strdup(arena, entry->value);
	char *protocol = strchr(name, '/'), *colon = strchr(value, ':');
	unsigned int first, last, inside;
	int fields;

	if (!protocol || !colon)
		return false;
	*protocol++ = *colon++ = '\0';
	fields = sscanf(protocol + 4, "%5u-%5u", &first, &last);
	*ret = (struct operation){.link = name};
	if (strlen(protocol) < 5 || fields < 1 || sscanf(colon, "%5u", &inside) != 1 ||
	    !ip_parse(value, &ret->address, NULL))
		return false;
	ret->ports.protocol = strncmp(protocol, "udp/", 4) ? NSR_NAT_TCP : NSR_NAT_UDP;
	ret->ports.external = (uint16_t)first;
	ret->ports.count = (uint16_t)(fields == 2 ? last - first + 1 : 1);
	ret->ports.inside = (uint16_t)inside;
	return true;
}

/* ---- What is wanted. */

/* Where an interface of a namespace is published; NULL: not there. */
static const struct uplink *uplink_of(const struct builder *b, const struct interface *interface,
				      struct ip_address *ret_inside)
{
	const struct uplink *uplink = &b->uplinks[interface->network - b->topology->networks];

	for (size_t i = 0; uplink->name && i < interface->addresses_count; i++) {
		if (interface->addresses[i].family != AF_INET)
			continue;
		*ret_inside = plan_host_address(interface->addresses[i]);
		return uplink;
	}
	return NULL;
}

/* Of several interfaces with the same uplink the first is the one that is reached. */
static bool is_first(const struct builder *b, const struct topology_namespace *ns, size_t place,
		     const struct uplink *uplink)
{
	struct ip_address unused;

	for (size_t i = 0; i < place; i++) {
		const struct uplink *other = uplink_of(b, &ns->interfaces[i], &unused);

		if (other && !strcmp(other->name, uplink->name))
			return false;
	}
	return true;
}

static bool is_at(const struct publish *publish, const struct uplink *uplink)
{
	return !publish->address.family || ip_equal(&publish->address, &uplink->address);
}

static int check_address(const struct builder *b, const struct topology_namespace *ns,
			 const struct publish *publish, struct error *err)
{
	char address[IP_TEXT_MAX], other[IP_TEXT_MAX];
	const struct uplink *uplink = NULL, *found;
	struct ip_address unused;

	for (size_t i = 0; i < ns->interfaces_count; i++) {
		found = uplink_of(b, &ns->interfaces[i], &unused);
		if (found && is_at(publish, found))
			return 0;
		uplink = found ? found : uplink;
	}
	error_set(err, -EADDRNOTAVAIL,
		  "namespace '%s' cannot be published on %s: its uplink '%s' translates to %s; "
		  "leave the address out, or write that one",
		  ns->name, ip_format(&publish->address, address), uplink ? uplink->name : "",
		  uplink ? ip_format(&uplink->address, other) : "");
	error_at(err, b->topology->file, publish->at);
	return err->code;
}

int check_published_addresses(const struct builder *b, struct error *err)
{
	const struct topology *topology = b->topology;
	int ret = 0;

	for (size_t i = 0; i < topology->namespaces_count; i++)
		for (size_t j = 0; !ret && j < topology->namespaces[i].publish_count; j++)
			ret = check_address(b, &topology->namespaces[i],
					    &topology->namespaces[i].publish[j], err);
	return ret;
}

void want_publishes(struct builder *b)
{
	const struct topology *topology = b->topology;

	for (size_t i = 0; i < topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &topology->namespaces[i];

		for (size_t j = 0; ns->publish_count && j < ns->interfaces_count; j++) {
			struct ip_address inside;
			const struct uplink *uplink = uplink_of(b, &ns->interfaces[j], &inside);

			if (!uplink || !is_first(b, ns, j, uplink))
				continue;
			for (size_t k = 0; k < ns->publish_count; k++) {
				struct operation *op;

				if (!is_at(&ns->publish[k], uplink))
					continue;
				op = want(b, OPERATION_PUBLISH_ADD, ns->publish[k].at);
				op->link = uplink->name;
				op->address = inside;
				op->ports = ns->publish[k].ports;
			}
		}
	}
}

/* ---- What is there. */

bool publish_missing(const struct view *view, struct operation *op)
{
	const struct state_published *observed = view_find(view, op);
	char name[PUBLISH_TEXT_MAX];

	return !observed || !observed->published.ready ||
	       !view_recorded(view, RECORD_PUBLISHED, plan_publish_name(op, name));
}

static bool overlap(const struct published_ports *a, const struct published_ports *b)
{
	return a->protocol == b->protocol && a->external < b->external + b->count &&
	       b->external < a->external + a->count;
}

int check_publish_free(const struct view *view, const struct operation *op, struct error *err)
{
	for (size_t i = 0; i < view->state->others_count; i++) {
		const struct record *other = &view->state->others[i];

		for (size_t j = 0; j < other->count; j++) {
			struct operation twin;

			if (other->entries[j].kind != RECORD_PUBLISHED ||
			    !plan_publish_read(&other->entries[j], view->arena, &twin) ||
			    strcmp(twin.link, op->link) || !overlap(&twin.ports, &op->ports))
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
