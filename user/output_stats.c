/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * output_stats - counters of one fabric.
 *
 * An interface that is a port of the datapath shows the datapath's counters, where every packet
 * that the namespace sent is in exactly one of fast, slow and drops. An interface that is not (a
 * veth pair from "links", "port": false) shows the kernel's own statistics; no program of ours sees
 * its packets, so fast and slow stay 0.
 *
 * Directions are those of the namespace: what it received is rx. Counters of an uplink are those of
 * the host namespace: when two fabrics share the uplink, both show the same numbers.
 *
 * Every drop reason is always there, so that a reader may rely on the key; "drops" at the top sums
 * ports and uplinks.
 */
#include "output.h"

#include <string.h>

#include "output_model.h"

static const char *const reason_names[NSR_DROP_REASONS_END] = {
#define X(name, text, meaning) [NSR_DROP_##name] = text,
	NSR_DROP_REASONS(X)
#undef X
};

static const char *const reason_meanings[NSR_DROP_REASONS_END] = {
#define X(name, text, meaning) [NSR_DROP_##name] = meaning,
	NSR_DROP_REASONS(X)
#undef X
};

static const char *const protocol_names[] = {
	[NSR_NAT_TCP] = "tcp",
	[NSR_NAT_UDP] = "udp",
	[NSR_NAT_ICMP] = "icmp",
	[NSR_NAT_OTHER] = "other",
};
_Static_assert(sizeof(protocol_names) / sizeof(*protocol_names) == NSR_NAT_KINDS,
	       "a name for each protocol");

const char *output_drop_meaning(const char *reason)
{
	for (size_t i = 1; i < NSR_DROP_REASONS_END; i++) {
		if (strcmp(reason_names[i], reason) == 0)
			return reason_meanings[i];
	}
	return "";
}

const char *output_drop_reason(unsigned int reason)
{
	return reason < NSR_DROP_REASONS_END ? reason_names[reason] : NULL;
}

/* Only the reasons whose name starts with prefix. */
static json_t *drops_object(const struct nsr_drops *drops, const char *prefix)
{
	json_t *object = json_object();

	for (size_t i = 1; i < NSR_DROP_REASONS_END; i++) {
		if (strncmp(reason_names[i], prefix, strlen(prefix)) == 0)
			model_set_number(object, reason_names[i], drops->packets[i]);
	}
	return object;
}

static void drops_sum(struct nsr_drops *sum, const struct nsr_drops *more)
{
	for (size_t i = 0; i < NSR_DROP_SLOTS; i++)
		sum->packets[i] += more->packets[i];
}

/* ---- Namespaces. */

static json_t *interface_object(const struct kernel_state *state, const struct state_link *link,
				struct nsr_drops *total)
{
	static const struct nsr_drops no_drops;
	const struct state_port *port = NULL;
	struct nsr_port_counters counters = {.rx_packets = link->rx_packets,
					     .rx_bytes = link->rx_bytes,
					     .tx_packets = link->tx_packets,
					     .tx_bytes = link->tx_bytes};
	json_t *interface = json_object();

	model_host_end(state, link, &port);
	if (port) {
		counters = port->counters;
		drops_sum(total, &port->drops);
	}
	model_set_text(interface, "name", link->name);
	json_object_set_new(interface, "port", json_boolean(port));
	model_set_number(interface, "rx_packets", counters.rx_packets);
	model_set_number(interface, "rx_bytes", counters.rx_bytes);
	model_set_number(interface, "tx_packets", counters.tx_packets);
	model_set_number(interface, "tx_bytes", counters.tx_bytes);
	model_set_number(interface, "fast_packets", counters.fast_packets);
	model_set_number(interface, "slow_packets", counters.slow_packets);
	model_set_number(interface, "rx_dropped", counters.rx_dropped);
	json_object_set_new(interface, "drops", drops_object(port ? &port->drops : &no_drops, ""));
	return interface;
}

static json_t *namespace_object(const struct kernel_state *state, const char *name,
				struct nsr_drops *total)
{
	const struct state_namespace *namespace = model_namespace(state, name);
	json_t *object = json_object(), *interfaces = json_array();

	for (size_t i = 0; namespace && i < namespace->links_count; i++) {
		if (model_is_shown(&namespace->links[i]))
			json_array_append_new(interfaces,
					      interface_object(state, &namespace->links[i], total));
	}
	model_set_text(object, "name", name);
	json_object_set_new(object, "interfaces", interfaces);
	return object;
}

/* ---- Uplinks. */

/* The two are read one after the other while flows come and go. */
static uint64_t flows(uint64_t created, uint64_t expired)
{
	return created > expired ? created - expired : 0;
}

static json_t *nat_object(const struct state_uplink *uplink)
{
	const struct nsr_nat_counters *nat = &uplink->nat;
	uint64_t created = 0, expired = 0, used = 0;
	uint64_t pool = (uint64_t)uplink->uplink.port_max - uplink->uplink.port_min + 1;
	static const uint8_t none[16];
	json_t *object = json_object(), *protocols = json_object();
	size_t externals = 1;

	for (size_t i = 0; i < NSR_MORE_MAX; i++) {
		externals += uplink->uplink.more4[i] != 0;
		externals += memcmp(uplink->uplink.more6[i], none, sizeof(none)) != 0;
	}
	if (memcmp(uplink->uplink.address6, none, sizeof(none)))
		externals++; /* IPv6 has ports of its own */
	pool *= externals;
	for (size_t i = 0; i < NSR_NAT_KINDS; i++) {
		json_t *protocol = json_object();
		bool ports = i < NSR_NAT_PROTOCOLS;

		created += nat->sessions_created[i];
		expired += nat->sessions_expired[i];
		used += ports ? nat->ports_used[i] : 0;
		model_set_number(protocol, "flows",
				 flows(nat->sessions_created[i], nat->sessions_expired[i]));
		model_set_number(protocol, "created", nat->sessions_created[i]);
		model_set_number(protocol, "expired", nat->sessions_expired[i]);
		model_set_number(protocol, "ports_used", ports ? nat->ports_used[i] : 0);
		model_set_number(protocol, "ports_total", ports ? pool : 0);
		json_object_set_new(protocols, protocol_names[i], protocol);
	}
	model_set_number(object, "flows", flows(created, expired));
	model_set_number(object, "created", created);
	model_set_number(object, "expired", expired);
	json_object_set_new(object, "failed", drops_object(&uplink->drops, "nat-"));
	model_set_number(object, "ports_used", used);
	model_set_number(object, "ports_total", pool * NSR_NAT_PROTOCOLS);
	json_object_set_new(object, "protocols", protocols);
	return object;
}

static json_t *uplink_object(const struct state_uplink *uplink, const char *name)
{
	const struct nsr_uplink_counters *counters = &uplink->counters;
	json_t *object = json_object();

	model_set_text(object, "name", name);
	model_set_number(object, "rx_packets", counters->rx_packets);
	model_set_number(object, "rx_bytes", counters->rx_bytes);
	model_set_number(object, "tx_packets", counters->tx_packets);
	model_set_number(object, "tx_bytes", counters->tx_bytes);
	model_set_number(object, "rx_translated", counters->rx_translated);
	model_set_number(object, "tx_translated", counters->tx_translated);
	model_set_number(object, "rx_passed", counters->rx_passed);
	model_set_number(object, "tx_passed", counters->tx_passed);
	model_set_number(object, "rx_fast", counters->rx_fast);
	model_set_number(object, "rx_dropped", counters->rx_dropped);
	model_set_number(object, "tx_dropped", counters->tx_dropped);
	json_object_set_new(object, "drops", drops_object(&uplink->drops, ""));
	json_object_set_new(object, "nat", nat_object(uplink));
	return object;
}

json_t *output_stats(const struct record *record, const struct kernel_state *state)
{
	json_t *fabric = model_fabric(record, state);
	json_t *namespaces = json_array(), *uplinks = json_array();
	struct nsr_drops total = {};

	for (size_t i = 0; i < record->count; i++) {
		const struct record_entry *entry = &record->entries[i];
		const struct state_link *link;
		const struct state_uplink *uplink;

		if (entry->kind == RECORD_NETNS)
			json_array_append_new(namespaces,
					      namespace_object(state, entry->name, &total));
		if (entry->kind != RECORD_UPLINK)
			continue;
		link = model_link_named(&state->host, entry->name);
		uplink = link ? model_uplink(state, link->ifindex) : NULL;
		if (!uplink)
			continue;
		json_array_append_new(uplinks, uplink_object(uplink, entry->name));
		drops_sum(&total, &uplink->drops);
	}
	json_object_set_new(fabric, "namespaces", namespaces);
	json_object_set_new(fabric, "uplinks", uplinks);
	json_object_set_new(fabric, "drops", drops_object(&total, ""));
	return fabric;
}

/* ---- Rates: the two trees have the same shape, but objects of an array come and go. */

static bool is_gauge(const char *key)
{
	return strcmp(key, "flows") == 0 || strcmp(key, "ports_used") == 0 ||
	       strcmp(key, "ports_total") == 0;
}

/* The element of an array that has the same name. */
static const json_t *namesake(const json_t *array, const json_t *element)
{
	const char *name = json_string_value(json_object_get(element, "name"));
	const json_t *other;
	size_t i;

	json_array_foreach(array, i, other)
	{
		const char *other_name = json_string_value(json_object_get(other, "name"));

		if (name && other_name && strcmp(name, other_name) == 0)
			return other;
	}
	return NULL;
}

/* A counter that went backwards belongs to a new object of the same name. */
static json_t *rate(const json_t *before, const json_t *after, double seconds)
{
	json_int_t now = json_integer_value(after), then = json_integer_value(before);

	if (!json_is_integer(before) || now < then)
		return json_integer(0);
	return json_integer((json_int_t)((double)(now - then) / seconds + 0.5));
}

json_t *output_rates(const json_t *before, const json_t *after, double seconds)
{
	const char *key;
	json_t *value, *result;
	size_t i;

	if (json_is_integer(after))
		return rate(before, after, seconds);
	if (json_is_array(after)) {
		result = json_array();
		json_array_foreach(after, i, value) json_array_append_new(
			result, output_rates(namesake(before, value), value, seconds));
		return result;
	}
	if (!json_is_object(after))
		return json_deep_copy(after);
	result = json_object();
	json_object_foreach((json_t *)after, key, value)
	{
		const json_t *old = json_object_get(before, key);

		json_object_set_new(result, key,
				    is_gauge(key) ? json_copy(value)
						  : output_rates(old, value, seconds));
	}
	return result;
}
