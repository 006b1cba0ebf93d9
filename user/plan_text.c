/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: one table has all that differs between the kinds of operations besides what they
 * do: their name, the sign and the words they are shown with, and the kind that takes them back.
 */
#include "plan.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define NO_INVERSE OPERATION_KINDS

static const struct {
	const char *name;
	char sign;
	enum operation_kind inverse;
} kinds[OPERATION_KINDS] = {
	[OPERATION_NETNS_ADD] = {"netns_add", '+', OPERATION_NETNS_DELETE},
	[OPERATION_NETNS_DELETE] = {"netns_delete", '-', NO_INVERSE},
	[OPERATION_BRIDGE_ADD] = {"bridge_add", '+', OPERATION_LINK_DELETE},
	[OPERATION_VETH_ADD] = {"veth_add", '+', OPERATION_LINK_DELETE},
	[OPERATION_LINK_DELETE] = {"link_delete", '-', NO_INVERSE},
	[OPERATION_LINK_SET] = {"link_set", '~', NO_INVERSE},
	[OPERATION_ADDRESS_ADD] = {"address_add", '+', OPERATION_ADDRESS_DELETE},
	[OPERATION_ADDRESS_DELETE] = {"address_delete", '-', OPERATION_ADDRESS_ADD},
	[OPERATION_ROUTE_ADD] = {"route_add", '+', OPERATION_ROUTE_DELETE},
	[OPERATION_ROUTE_DELETE] = {"route_delete", '-', OPERATION_ROUTE_ADD},
	[OPERATION_NEIGHBOUR_ADD] = {"neighbour_add", '+', OPERATION_NEIGHBOUR_DELETE},
	[OPERATION_NEIGHBOUR_DELETE] = {"neighbour_delete", '-', OPERATION_NEIGHBOUR_ADD},
	[OPERATION_FDB_ADD] = {"fdb_add", '+', OPERATION_FDB_DELETE},
	[OPERATION_FDB_DELETE] = {"fdb_delete", '-', OPERATION_FDB_ADD},
	[OPERATION_SYSCTL_SET] = {"sysctl_set", '~', OPERATION_SYSCTL_SET},
	[OPERATION_DATAPATH_LOAD] = {"datapath_load", '+', OPERATION_DATAPATH_UNLOAD},
	[OPERATION_DATAPATH_UNLOAD] = {"datapath_unload", '-', NO_INVERSE},
	[OPERATION_PROGRAMS_ADD] = {"programs_add", '+', OPERATION_PROGRAMS_REMOVE},
	[OPERATION_PROGRAMS_REMOVE] = {"programs_remove", '-', OPERATION_PROGRAMS_ADD},
	[OPERATION_INNER_LINK_ADD] = {"inner_link_add", '+', OPERATION_INNER_LINK_DELETE},
	[OPERATION_INNER_LINK_DELETE] = {"inner_link_delete", '-', OPERATION_INNER_LINK_ADD},
	[OPERATION_PORT_ADD] = {"port_add", '+', OPERATION_PORT_DELETE},
	[OPERATION_PORT_DELETE] = {"port_delete", '-', OPERATION_PORT_ADD},
	[OPERATION_HOST_ADD] = {"host_add", '+', OPERATION_HOST_DELETE},
	[OPERATION_HOST_DELETE] = {"host_delete", '-', OPERATION_HOST_ADD},
	[OPERATION_UPLINK_ADD] = {"uplink_add", '+', OPERATION_UPLINK_DELETE},
	[OPERATION_UPLINK_DELETE] = {"uplink_delete", '-', OPERATION_UPLINK_ADD},
	[OPERATION_INSIDE_ADD] = {"inside_add", '+', OPERATION_INSIDE_DELETE},
	[OPERATION_INSIDE_DELETE] = {"inside_delete", '-', OPERATION_INSIDE_ADD},
	[OPERATION_DEVICE_TAKE] = {"device_take", '+', OPERATION_DEVICE_RETURN},
	[OPERATION_DEVICE_RETURN] = {"device_return", '-', OPERATION_DEVICE_TAKE},
	[OPERATION_FORGET] = {"forget", '-', OPERATION_ADOPT},
	[OPERATION_ADOPT] = {"adopt", '~', OPERATION_FORGET},
	[OPERATION_LINK_MOVE] = {"link_move", '~', OPERATION_LINK_MOVE},
	[OPERATION_DATAPATH_EXCHANGE] = {"datapath_exchange", '~', OPERATION_DATAPATH_EXCHANGE},
	[OPERATION_NETWORK_ADD] = {"network_add", '+', OPERATION_FORGET},
	[OPERATION_OFFLOAD_SET] = {"offload_set", '~', OPERATION_OFFLOAD_SET},
	[OPERATION_OVS_PORT_ADD] = {"ovs_port_add", '+', OPERATION_OVS_PORT_DELETE},
	[OPERATION_OVS_PORT_DELETE] = {"ovs_port_delete", '-', OPERATION_OVS_PORT_ADD},
	[OPERATION_DIRECTORY_ADD] = {"directory_add", '+', OPERATION_DIRECTORY_DELETE},
	[OPERATION_DIRECTORY_DELETE] = {"directory_delete", '-', OPERATION_DIRECTORY_ADD},
	[OPERATION_FILE_WRITE] = {"file_write", '+', OPERATION_FILE_DELETE},
	[OPERATION_FILE_DELETE] = {"file_delete", '-', OPERATION_FILE_WRITE},
	[OPERATION_PUBLISH_ADD] = {"publish_add", '+', OPERATION_PUBLISH_DELETE},
	[OPERATION_PUBLISH_DELETE] = {"publish_delete", '-', OPERATION_PUBLISH_ADD},
	[OPERATION_PORTS_RESERVE] = {"ports_reserve", '~', OPERATION_PORTS_RESERVE},
	[OPERATION_PORTS_SET_ASIDE] = {"ports_set_aside", '~', OPERATION_PORTS_SET_ASIDE},
};

const char *plan_kind_name(enum operation_kind kind)
{
	return kinds[kind].name;
}

/* Deletions that a plan has for objects that lost their link cannot be repeated the other way. */
static bool lost_its_link(const struct operation *op)
{
	return op->ifindex || (op->kind == OPERATION_HOST_DELETE && !op->link) ||
	       (op->kind == OPERATION_FILE_DELETE && !op->text) ||
	       (op->kind == OPERATION_DEVICE_RETURN && !op->namespace);
}

bool plan_inverse(const struct operation *op, struct operation *ret)
{
	struct operation inverse = *op;

	if (op->replaces) {
		inverse = *op->replaces;
		inverse.replaces = op;
		inverse.hook_in = inverse.hook_out = true; /* by now both are ours */
		*ret = inverse;
		return true;
	}
	if (kinds[op->kind].inverse == NO_INVERSE || lost_its_link(op) ||
	    (op->kind == OPERATION_FORGET && !op->by_steps))
		return false;
	inverse.kind = kinds[op->kind].inverse;
	if (op->kind == OPERATION_LINK_MOVE) {
		inverse.namespace = op->peer_namespace;
		inverse.peer_namespace = op->namespace;
	}
	if (op->kind == OPERATION_PORTS_RESERVE) {
		inverse.value = op->old_value;
		inverse.old_value = op->value;
		inverse.reserve = op->release;
		inverse.release = op->reserve;
	}
	if (op->kind == OPERATION_PORTS_SET_ASIDE) {
		inverse.value = op->old_value;
		inverse.old_value = op->value;
	}
	if (op->kind == OPERATION_DATAPATH_EXCHANGE) {
		inverse.revert = !op->revert;
		inverse.why = NULL;
	}
	if (op->kind == OPERATION_SYSCTL_SET || op->kind == OPERATION_OFFLOAD_SET) {
		if (!op->old_value && op->namespace) { /* it ends, what was recorded does not */
			inverse = (struct operation){.kind = OPERATION_FORGET,
						     .record = RECORD_NETNS_SYSCTL,
						     .link = op->recorded_as};
			*ret = inverse;
			return true;
		}
		if (!op->old_value)
			return false;
		inverse.value = op->old_value;
		inverse.old_value = op->value;
		inverse.revert = !op->revert;
	}
	*ret = inverse;
	return true;
}

/* ---- Words. */

static const char *in(const char *namespace, struct arena *arena)
{
	return namespace ? arena_printf(arena, " in %s", namespace) : "";
}

/* The families that a size is of; where the kernel has but one, it is IPv6 that it matters for. */
static const char *describe_sizes(const struct operation *op, struct arena *arena)
{
	if (!op->sizes[STATE_GSO] && !op->sizes[STATE_GSO_IPV4])
		return "";
	if (!op->sizes[STATE_GSO_IPV4])
		return arena_printf(arena, " TCP packets to %u bytes (IPv6),",
				    op->sizes[STATE_GSO]);
	return arena_printf(arena, " TCP packets to %u bytes (IPv4) and %u (IPv6),",
			    op->sizes[STATE_GSO_IPV4], op->sizes[STATE_GSO]);
}

static char *describe_link_set(const struct operation *op, struct arena *arena)
{
	char mac[MAC_TEXT_MAX];

	return arena_printf(
		arena, "interface %s%s:%s%s%s%s%s%s%s%s%s", op->link, in(op->namespace, arena),
		op->alias ? " mark as ours," : "",
		op->mtu ? arena_printf(arena, " MTU %u,", op->mtu) : "", describe_sizes(op, arena),
		op->has_mac ? arena_printf(arena, " MAC %s,", mac_format(op->mac, mac)) : "",
		op->master ? *op->master ? arena_printf(arena, " port of %s,", op->master)
					 : " port of none,"
			   : "",
		op->no_ipv6_autoaddress ? " no automatic IPv6 address," : "",
		op->forward      ? " forwards,"
		: op->no_forward ? " does not forward,"
				 : "",
		op->up ? " up," : "", op->down ? " down," : "");
}

static char *describe_sysctl(const struct operation *op, struct arena *arena)
{
	const char *namespace = in(op->namespace, arena);

	if (!op->old_value)
		return arena_printf(arena, "sysctl %s = %s%s", op->key, op->value, namespace);
	return arena_printf(arena, "sysctl %s = %s%s (%s %s)", op->key, op->value, namespace,
			    op->revert ? "is" : "was", op->old_value);
}

static char *describe_reserve(const struct operation *op, struct arena *arena)
{
	const char *added = *op->reserve ? arena_printf(arena, " with %s,", op->reserve) : "";
	const char *taken = *op->release ? arena_printf(arena, " without %s,", op->release) : "";

	return arena_printf(arena, "sysctl %s:%s%s%s", op->key, added, taken,
			    *added || *taken ? "" : " as it is, with another fabric");
}

static char *describe_port(const struct operation *op, struct arena *arena)
{
	const char *uplink =
		op->uplink ? arena_printf(arena, ", masquerade to %s", op->uplink) : "";

	if (op->kind == OPERATION_PORT_DELETE)
		return arena_printf(arena, "port %s",
				    op->link ? op->link : arena_printf(arena, "#%u", op->ifindex));
	return arena_printf(arena, "port %s: policy%s%s%s%s%s", op->link,
			    op->port_flags & NSR_PORT_SPOOF_CHECK ? " with spoof check" : "",
			    op->port_flags & NSR_PORT_ISOLATED ? ", isolated" : "",
			    op->port_flags & NSR_PORT_FAST ? ", fast path" : "",
			    op->port_flags & NSR_PORT_PUBLISHES ? ", publishes" : "", uplink);
}

static char *describe_host(const struct operation *op, struct arena *arena)
{
	char text[IP_TEXT_MAX];

	if (op->address.family)
		ip_format(&op->address, text);
	else
		mac_format(op->mac, text);
	return op->link ? arena_printf(arena, "host %s behind %s", text, op->link)
			: arena_printf(arena, "host %s", text);
}

/* What of a masquerade's settings is another than before. */
static char *describe_settings(const struct nsr_inside *old, const struct nsr_inside *new,
			       struct arena *arena)
{
	static const char *const filters[] = {
#define X(name, text) [NSR_FILTER_##name] = text,
		NSR_FILTERS(X)
#undef X
	};
	static const char *const modes[] = {
#define X(name, text) [NSR_MAPPING_MODE_##name] = text,
		NSR_MAPPING_MODES(X)
#undef X
	};
	static const char *const timeouts[] = {
#define X(name, text, seconds) [NSR_TIMEOUT_##name] = text,
		NSR_NAT_TIMEOUTS(X)
#undef X
	};
	char *list = arena_strdup(arena, old->unfinished ? ", completed" : "");

	if (old->mapping_mode != new->mapping_mode)
		list = arena_printf(arena, "%s, mapping %s", list,
				    modes[new->mapping_mode % NSR_MAPPING_MODES_END]);
	if (old->filtering != new->filtering)
		list = arena_printf(arena, "%s, filtering %s", list,
				    filters[new->filtering % NSR_FILTERS_END]);
	if (!old->inbound != !new->inbound)
		list = arena_printf(arena, "%s, inbound %s", list, new->inbound ? "on" : "off");
	if (old->flows_max != new->flows_max)
		list = arena_printf(arena, "%s, up to %u flows a namespace (was %u)", list,
				    new->flows_max, old->flows_max);
	for (size_t i = 0; i < NSR_TIMEOUTS; i++)
		if (old->timeout_s[i] != new->timeout_s[i])
			list = arena_printf(arena, "%s, %s %u s (was %u s)", list, timeouts[i],
					    new->timeout_s[i], old->timeout_s[i]);
	return list;
}

static bool has_exception(const struct operation *op, const struct ip_address *prefix)
{
	for (size_t i = 0; i < op->except_count; i++)
		if (ip_equal(&op->except[i], prefix) &&
		    op->except[i].prefix_len == prefix->prefix_len)
			return true;
	return false;
}

/* What is not translated, and is by the other of two operations; none: there is no other. */
static char *describe_exceptions(const struct operation *op, const struct operation *other,
				 const char *words, struct arena *arena)
{
	char prefix[IP_TEXT_MAX], *list = arena_strdup(arena, "");

	for (size_t i = 0; op && i < op->except_count; i++)
		if (!other || !has_exception(other, &op->except[i]))
			list = arena_printf(arena, "%s%s %s", list, *list ? "," : words,
					    ip_format_prefix(&op->except[i], prefix));
	return list;
}

static char *describe_inside(const struct operation *op, struct arena *arena)
{
	const struct operation *old = op->replaces;
	char prefix[IP_TEXT_MAX];

	return arena_printf(arena, "masquerade %s to %s%s%s%s",
			    ip_format_prefix(&op->address, prefix), op->uplink,
			    old ? describe_settings(old->inside, op->inside, arena) : "",
			    describe_exceptions(op, old, ", except", arena),
			    describe_exceptions(old, op, ", no more except", arena));
}

/* Several addresses of a family, and of the other. */
static char *describe_externals(const struct operation *op, struct arena *arena)
{
	const struct more_externals *more = op->more;
	char text[IP_TEXT_MAX];
	char *list = arena_printf(arena, "%s", ip_format(&op->address, text));

	for (size_t i = 0; more && i < NSR_MORE_MAX; i++)
		if (more->address[i].family)
			list = arena_printf(arena, "%s, %s", list,
					    ip_format(&more->address[i], text));
	if (op->address6.family)
		list = arena_printf(arena, "%s and %s", list, ip_format(&op->address6, text));
	for (size_t i = 0; more && i < NSR_MORE_MAX; i++)
		if (more->address6[i].family)
			list = arena_printf(arena, "%s, %s", list,
					    ip_format(&more->address6[i], text));
	return list;
}

static char *describe_uplink(const struct operation *op, struct arena *arena)
{

	if (op->kind == OPERATION_UPLINK_DELETE)
		return arena_printf(arena, "uplink %s",
				    op->link ? op->link : arena_printf(arena, "#%u", op->ifindex));
	if (op->loopback)
		return arena_printf(arena, "uplink %s: what the host sends to published ports",
				    op->link);
	return arena_printf(arena, "uplink %s: masquerade as %s, ports %u-%u", op->link,
			    describe_externals(op, arena), op->port_min, op->port_max);
}

static char *describe_attached(const struct operation *op, struct arena *arena)
{
	char address[IP_TEXT_MAX], via[IP_TEXT_MAX] = "", mac[MAC_TEXT_MAX];
	const char *namespace = in(op->namespace, arena);
	const char *link = op->link ? op->link : "-";

	mac_format(op->mac, mac);
	switch (op->kind) {
	case OPERATION_ADDRESS_ADD:
	case OPERATION_ADDRESS_DELETE:
		return arena_printf(arena, "address %s on %s%s",
				    ip_format_prefix(&op->address, address), link, namespace);
	case OPERATION_ROUTE_ADD:
	case OPERATION_ROUTE_DELETE:
		if (op->via.family)
			ip_format(&op->via, via);
		return arena_printf(arena, "route %s%s%s on %s%s",
				    op->address.prefix_len ? ip_format_prefix(&op->address, address)
							   : "default",
				    *via ? " via " : "", via, link, namespace);
	case OPERATION_NEIGHBOUR_ADD:
	case OPERATION_NEIGHBOUR_DELETE:
		return arena_printf(arena, "neighbour %s at %s on %s%s",
				    ip_format(&op->address, address), mac, link, namespace);
	default:
		return arena_printf(arena, "forwarding entry %s on %s%s", mac, link, namespace);
	}
}

static char *describe_range(uint16_t first, uint16_t count, struct arena *arena)
{
	return count == 1 ? arena_printf(arena, "%u", first)
			  : arena_printf(arena, "%u-%u", first, first + count - 1u);
}

static char *describe_publish(const struct operation *op, struct arena *arena)
{
	const struct published_ports *ports = &op->ports;
	const bool ipv6 = op->address.family == AF_INET6;
	char address[IP_TEXT_MAX], external[IP_TEXT_MAX];

	return arena_printf(arena, "publish %s/%s at %s%s%s: to %s%s%s:%s",
			    describe_range(ports->external, ports->count, arena),
			    published_protocol(ports->protocol), op->link,
			    op->external.family ? " on " : "",
			    op->external.family ? ip_format(&op->external, external) : "",
			    ipv6 ? "[" : "", ip_format(&op->address, address), ipv6 ? "]" : "",
			    describe_range(ports->inside, ports->count, arena));
}

static char *describe_programs(const struct operation *op, struct arena *arena)
{
	static const char *const words[] = {"ports",
					    "masquerading",
					    "Ethernet uplinks",
					    "layer-3 uplinks",
					    "the host's own connections",
					    "IPv6 masquerading"};
	const char *list = "";

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (op->uses >> i & 1)
			list = arena_printf(arena, "%s%s%s", list, *list ? ", " : "", words[i]);
	return arena_printf(arena,
			    *list ? "datapath: BPF programs for %s"
				  : "datapath: BPF programs that were lost%s",
			    list);
}

static char *describe_what(const struct operation *op, struct arena *arena)
{
	static const char *const records[RECORD_KINDS] = {
		[RECORD_NETNS] = "namespace",
		[RECORD_LINK] = "interface",
		[RECORD_SYSCTL] = "sysctl",
		[RECORD_CLSACT] = "clsact qdisc of",
		[RECORD_UPLINK] = "uplink",
		[RECORD_NETWORK] = "network",
		[RECORD_INSIDE] = "masquerade of",
		[RECORD_NETNS_SYSCTL] = "sysctl",
		[RECORD_FOLDER] = "directory",
		[RECORD_FILE] = "file",
		[RECORD_LINK_INSIDE] = "interface",
		[RECORD_MAC] = "MAC address of",
		[RECORD_DEVICE] = "device",
		[RECORD_OVS_PORT] = "Open vSwitch port",
		[RECORD_STRIPPED] = "removal begun of",
		[RECORD_PUBLISHED] = "published",
		[RECORD_RESERVED] = "ports in",
	};

	switch (op->kind) {
	case OPERATION_NETNS_ADD:
	case OPERATION_NETNS_DELETE:
		return arena_printf(arena, "namespace %s", op->namespace);
	case OPERATION_BRIDGE_ADD:
		return arena_printf(arena, "bridge %s", op->link);
	case OPERATION_VETH_ADD:
		return arena_printf(arena, "veth %s%s to %s%s", op->link, in(op->namespace, arena),
				    op->peer, in(op->peer_namespace, arena));
	case OPERATION_LINK_DELETE:
		return arena_printf(arena, "interface %s%s", op->link, in(op->namespace, arena));
	case OPERATION_LINK_SET:
		return describe_link_set(op, arena);
	case OPERATION_SYSCTL_SET:
		return describe_sysctl(op, arena);
	case OPERATION_PORTS_RESERVE:
		return describe_reserve(op, arena);
	case OPERATION_PORTS_SET_ASIDE:
		return arena_printf(arena, "ports not handed out: %s (were %s)",
				    *op->value ? op->value : "none",
				    *op->old_value ? op->old_value : "none");
	case OPERATION_DATAPATH_LOAD:
	case OPERATION_DATAPATH_UNLOAD:
		return arena_printf(arena, "datapath: BPF programs and tables%s",
				    op->flows > NSR_SESSION_SET
					    ? arena_printf(arena, ", for %u flows", op->flows)
					    : "");
	case OPERATION_PROGRAMS_ADD:
	case OPERATION_PROGRAMS_REMOVE:
		return describe_programs(op, arena);
	case OPERATION_DATAPATH_EXCHANGE:
		return arena_strdup(arena, op->revert ? "datapath: BPF programs as they were"
						      : "datapath: BPF programs of this nsroute");
	case OPERATION_INNER_LINK_ADD:
		return arena_printf(arena, "inner interface %s%s", op->link,
				    op->port_flags & NSR_PORT_ISOLATED ? ", isolated" : "");
	case OPERATION_INNER_LINK_DELETE:
		return arena_printf(arena, "inner interface %s",
				    op->link ? op->link : arena_printf(arena, "#%u", op->ifindex));
	case OPERATION_PORT_ADD:
	case OPERATION_PORT_DELETE:
		return describe_port(op, arena);
	case OPERATION_HOST_ADD:
	case OPERATION_HOST_DELETE:
		return describe_host(op, arena);
	case OPERATION_UPLINK_ADD:
	case OPERATION_UPLINK_DELETE:
		return describe_uplink(op, arena);
	case OPERATION_INSIDE_ADD:
	case OPERATION_INSIDE_DELETE:
		return describe_inside(op, arena);
	case OPERATION_PUBLISH_ADD:
	case OPERATION_PUBLISH_DELETE:
		return describe_publish(op, arena);
	case OPERATION_NETWORK_ADD:
		return arena_printf(arena, "network %s: %s", op->link,
				    network_type_name(op->network_type));
	case OPERATION_OFFLOAD_SET:
		return arena_printf(arena, "%s = %s%s", op->key, op->value,
				    in(op->namespace, arena));
	case OPERATION_OVS_PORT_ADD:
	case OPERATION_OVS_PORT_DELETE:
		return arena_printf(arena, "Open vSwitch port %s on %s", op->link, op->master);
	case OPERATION_DIRECTORY_ADD:
	case OPERATION_DIRECTORY_DELETE:
		return arena_printf(arena, "directory %s", op->path);
	case OPERATION_FILE_WRITE:
	case OPERATION_FILE_DELETE:
		return arena_printf(arena, "file %s", op->path);
	case OPERATION_DEVICE_TAKE:
		return arena_printf(arena, "device %s into %s", op->link, op->namespace);
	case OPERATION_DEVICE_RETURN:
		return op->namespace
			       ? arena_printf(arena, "device %s out of %s", op->link, op->namespace)
			       : arena_printf(arena, "device %s", op->link);
	case OPERATION_FORGET:
		return arena_printf(arena, "record of %s%s %s",
				    op->by_steps ? "single step's " : "", records[op->record],
				    op->link);
	case OPERATION_ADOPT:
		return arena_printf(arena, "adopt %s %s", records[op->record], op->link);
	case OPERATION_LINK_MOVE:
		return arena_printf(arena, "interface %s%s: move to %s", op->link,
				    in(op->namespace, arena),
				    op->peer_namespace ? op->peer_namespace : "the host namespace");
	default:
		return describe_attached(op, arena);
	}
}

char *plan_describe(const struct operation *op, struct arena *arena)
{
	char *what = describe_what(op, arena);
	size_t length = strlen(what);

	if (length && what[length - 1] == ',')
		what[length - 1] = '\0';
	return arena_printf(arena, "%c %s%s%s", op->replaces ? '~' : kinds[op->kind].sign, what,
			    op->why ? ": " : "", op->why ? op->why : "");
}
