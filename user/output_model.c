/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "output_model.h"

#include <net/if.h>
#include <string.h>

#include "output.h"

const struct state_link *model_link(const struct state_namespace *namespace, uint32_t ifindex)
{
	for (size_t i = 0; i < namespace->links_count; i++) {
		if (namespace->links[i].ifindex == ifindex)
			return &namespace->links[i];
	}
	return NULL;
}

const struct state_link *model_link_named(const struct state_namespace *namespace, const char *name)
{
	for (size_t i = 0; i < namespace->links_count; i++) {
		if (strcmp(namespace->links[i].name, name) == 0)
			return &namespace->links[i];
	}
	return NULL;
}

const struct state_namespace *model_namespace(const struct kernel_state *state, const char *name)
{
	for (size_t i = 0; i < state->namespaces_count; i++) {
		if (strcmp(state->namespaces[i].name, name) == 0)
			return &state->namespaces[i];
	}
	return NULL;
}

const struct state_port *model_port(const struct kernel_state *state, uint32_t ifindex)
{
	for (size_t i = 0; i < state->datapath.ports_count; i++) {
		if (state->datapath.ports[i].ifindex == ifindex)
			return &state->datapath.ports[i];
	}
	return NULL;
}

const struct state_uplink *model_uplink(const struct kernel_state *state, uint32_t ifindex)
{
	for (size_t i = 0; i < state->datapath.uplinks_count; i++) {
		if (state->datapath.uplinks[i].uplink.ifindex == ifindex)
			return &state->datapath.uplinks[i];
	}
	return NULL;
}

static bool know_each_other(const struct state_link *host, const struct state_link *inside)
{
	return host->peer_ifindex == inside->ifindex && inside->peer_ifindex == host->ifindex;
}

/* Over all namespaces. */
static size_t count_candidates(const struct kernel_state *state, const struct state_link *host)
{
	size_t count = 0;

	for (size_t i = 0; i < state->namespaces_count; i++) {
		const struct state_link *inside =
			model_link(&state->namespaces[i], host->peer_ifindex);

		count += inside && know_each_other(host, inside);
	}
	return count;
}

bool model_is_pair(const struct kernel_state *state, const struct state_link *host,
		   const struct state_port *port, const struct state_link *inside)
{
	if (!know_each_other(host, inside))
		return false;
	if (host->peer_namespace)
		return model_link(host->peer_namespace, host->peer_ifindex) == inside;
	return !port || memcmp(port->port.mac, inside->mac, sizeof(inside->mac)) == 0 ||
	       count_candidates(state, host) == 1;
}

const struct state_link *model_host_end(const struct kernel_state *state,
					const struct state_link *inside,
					const struct state_port **ret_port)
{
	const struct state_link *host;
	const struct state_port *port;

	if (!inside->peer_ifindex)
		return NULL;
	host = model_link(&state->host, inside->peer_ifindex);
	if (!host)
		return NULL;
	port = model_port(state, host->ifindex);
	if (!model_is_pair(state, host, port, inside))
		return NULL;
	*ret_port = port;
	return host;
}

bool model_is_shown(const struct state_link *link)
{
	return !(link->flags & IFF_LOOPBACK);
}

bool model_is_attached(const struct state_link *link)
{
	return link && state_link_is_hooked(link);
}

const char *model_link_state(const struct state_link *link)
{
	if (!link)
		return "missing";
	if (!(link->flags & IFF_UP))
		return "down";
	return link->carrier ? "up" : "no-carrier";
}

const struct state_link *model_link_at(const struct kernel_state *state, const char *place,
				       const struct state_namespace **ret_namespace)
{
	size_t length = strcspn(place, "/");

	for (size_t i = 0; place[length] && i < state->namespaces_count; i++) {
		const struct state_namespace *namespace = &state->namespaces[i];

		if (strncmp(namespace->name, place, length) != 0 || namespace->name[length])
			continue;
		*ret_namespace = namespace;
		return model_link_named(namespace, place + length + 1);
	}
	return NULL;
}

static bool entry_is_there(const struct record_entry *entry, const struct kernel_state *state)
{
	const struct state_namespace *namespace;
	const struct state_link *link;
	const char *last;

	switch (entry->kind) {
	case RECORD_DEVICE:
		last = strrchr(entry->value, ' ');
		namespace = last ? model_namespace(state, last + 1) : NULL;
		return namespace && model_link_named(namespace, entry->name);
	case RECORD_NETNS:
		namespace
		= model_namespace(state, entry->name);
		return namespace && namespace->exists;
	case RECORD_LINK:
		link = model_link_named(&state->host, entry->name);
		return link && (!model_port(state, link->ifindex) || model_is_attached(link));
	case RECORD_LINK_INSIDE:
		return model_link_at(state, entry->name, &namespace);
	case RECORD_UPLINK:
		return model_is_attached(model_link_named(&state->host, entry->name));
	default:
		return true; /* leaves no object of its own */
	}
}

json_t *model_fabric(const struct record *record, const struct kernel_state *state)
{
	json_t *fabric = json_object();
	bool complete = true;

	for (size_t i = 0; i < record->count; i++)
		complete = complete && entry_is_there(&record->entries[i], state);
	model_set_text(fabric, "fabric", record->fabric);
	model_set_text_or_null(fabric, "file", record->file);
	model_set_text(fabric, "state", complete ? "up" : "incomplete");
	return fabric;
}

void model_set_text(json_t *object, const char *key, const char *value)
{
	json_object_set_new(object, key, output_string(value));
}

void model_set_text_or_null(json_t *object, const char *key, const char *value)
{
	json_object_set_new(object, key, value ? output_string(value) : json_null());
}

void model_set_number(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}
