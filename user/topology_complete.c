/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: everything is derived from names, so that each apply of a file, on any machine,
 * comes to the same result. A name's hash says where in its subnet an address (or MAC) is tried
 * first; what is taken is passed over by counting up. Addresses written in the file, and gateways,
 * are taken before any is given out.
 *
 * Where hashes meet, the lower one goes first: what comes out depends on the set of names, not on
 * where in the file they stand. A name more or less in the file can still move one that it meets.
 * So what is there already keeps what it has (struct kept), and is served before the rest: while a
 * fabric is up, no edit moves an automatic address, MAC or host end of another interface. After a
 * reboot there is nothing to keep, and a file that was edited since may give those few interfaces
 * that met others another one: as a fresh machine would. Who cannot have that writes the address.
 *
 * Of MACs only one that we could have derived is kept: a MAC that somebody set by hand is not. But
 * what was taken over from single steps keeps the one it came with.
 */
#include "topology_complete.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* IPv6 addresses are given out of the first 2^32 of a subnet: enough room, and still readable. */
#define AUTO_HOST_BITS_MAX 32

static unsigned int host_bits(const struct ip_address *address)
{
	return ip_bits(address) - address->prefix_len;
}

static bool host_part_is(const struct ip_address *address, uint8_t fill)
{
	for (unsigned int bit = address->prefix_len; bit < ip_bits(address); bit++)
		if ((address->bytes[bit / 8] ^ fill) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

bool subnet_reserves(const struct ip_address *address)
{
	if (host_bits(address) < 2)
		return false;
	return host_part_is(address, 0) ||
	       (address->family == AF_INET && host_part_is(address, 0xff));
}

/* subnet + offset; the caller keeps offset below the subnet's size. */
static struct ip_address subnet_host(const struct ip_address *subnet, uint64_t offset)
{
	struct ip_address host = *subnet;

	for (unsigned int byte = ip_bits(subnet) / 8; offset; offset >>= 8)
		host.bytes[--byte] |= (uint8_t)offset;
	return host;
}

struct ip_address subnet_first_host(const struct ip_address *subnet)
{
	return subnet_host(subnet, host_bits(subnet) < 2 ? 0 : 1);
}

/* How many addresses automatic ones are looked for among, starting with the first host. */
static uint64_t subnet_hosts(const struct ip_address *subnet)
{
	unsigned int bits = host_bits(subnet);

	if (bits < 2)
		return UINT64_C(1) << bits;
	if (bits > AUTO_HOST_BITS_MAX)
		bits = AUTO_HOST_BITS_MAX;
	return (UINT64_C(1) << bits) - 2;
}

struct contender {
	const struct topology_namespace *namespace;
	struct interface *interface;
	const struct kept *kept; /* NULL: it is not there yet */
	uint64_t hash;
	struct ip_address *addresses; /* by subnet; family 0: none yet */
};

/* Something whose MAC is left to us. */
struct nameless {
	uint8_t *mac;
	const char *owner, *name;
	uint64_t hash;
	const struct kept *kept;
	bool done;
};

struct completion {
	struct topology *topology;
	struct arena *arena;
	const struct taken *file;
	struct taken given;
	const struct lookup *kept;
	struct error_list *errors;
	struct contender *contenders;
	size_t contenders_count;
	struct nameless *nameless;
	size_t nameless_count;
};

static bool take(struct completion *c, const struct lookup *file, struct lookup *given,
		 const char *name)
{
	if (lookup_find(file, name) || lookup_find(given, name))
		return false;
	lookup_add(given, c->arena, arena_strdup(c->arena, name), c);
	return true;
}

static const struct kept *find_kept(const struct completion *c, const char *namespace,
				    const char *link)
{
	return c->kept ? lookup_find(c->kept, arena_printf(c->arena, "%s:%s", namespace, link))
		       : NULL;
}

static int compare_hashes(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* ---- Addresses. */

static bool take_address(struct completion *c, const struct ip_address *address)
{
	char text[IP_TEXT_MAX];

	return take(c, &c->file->addresses, &c->given.addresses, ip_format(address, text));
}

static void keep_addresses(struct completion *c, struct contender *contender)
{
	const struct network *network = contender->interface->network;
	const struct kept *kept = contender->kept;

	for (size_t i = 0; kept && i < network->subnets_count; i++)
		for (size_t j = 0; j < kept->addresses_count; j++) {
			const struct ip_address *address = &kept->addresses[j];

			if (contender->addresses[i].family ||
			    address->prefix_len != network->subnets[i].prefix_len ||
			    !ip_within(address, &network->subnets[i]) || subnet_reserves(address) ||
			    !take_address(c, address))
				continue;
			contender->addresses[i] = *address;
		}
}

static bool find_address(struct completion *c, const struct ip_address *subnet, uint64_t hash,
			 struct ip_address *ret)
{
	uint64_t hosts = subnet_hosts(subnet), first = host_bits(subnet) < 2 ? 0 : 1;

	for (uint64_t tries = 0; tries < hosts; tries++) {
		struct ip_address address =
			subnet_host(subnet, first + (hash % hosts + tries) % hosts);

		if (take_address(c, &address)) {
			*ret = address;
			return true;
		}
	}
	return false;
}

static void derive_addresses(struct completion *c, const struct contender *contender)
{
	struct interface *interface = contender->interface;
	const struct network *network = interface->network;
	char subnet[IP_TEXT_MAX];

	interface->addresses = NULL;
	interface->addresses_count = 0;
	for (size_t i = 0; i < network->subnets_count; i++) {
		struct ip_address *address = &contender->addresses[i];

		if (address->family ||
		    find_address(c, &network->subnets[i], contender->hash, address))
			*arena_push(c->arena, interface->addresses, interface->addresses_count) =
				*address;
		else
			error_list_add(c->errors, c->topology->file, interface->at,
				       "interface '%s' of namespace '%s': subnet %s has no free "
				       "address; use a larger one",
				       interface->name, contender->namespace->name,
				       ip_format_prefix(&network->subnets[i], subnet));
	}
}

/* ---- Names of host ends. */

/* How many of the first bytes of a name fit max without cutting a UTF-8 sequence. */
static int prefix_length(const char *name, size_t max)
{
	size_t length = strlen(name);

	if (length > max)
		for (length = max; length && ((unsigned char)name[length] & 0xc0) == 0x80;)
			length--;
	return (int)length;
}

static bool take_host_name(struct completion *c, const char *name)
{
	return strlen(name) <= TOPOLOGY_NAME_MAX &&
	       take(c, &c->file->host_links, &c->given.host_links, name);
}

static void keep_host_name(struct completion *c, struct contender *contender)
{
	const char *name = contender->kept ? contender->kept->host_name : NULL;

	contender->interface->host_name = name && take_host_name(c, name) ? name : NULL;
}

/* "NAMESPACE-INTERFACE", or when that is too long or taken the namespace's beginning and 6 digits.
 */
static void derive_host_name(struct completion *c, struct contender *contender)
{
	const char *namespace = contender->namespace->name;
	const int length = prefix_length(namespace, TOPOLOGY_NAME_MAX - strlen("-123456"));
	uint64_t hash = contender->hash;
	char *name;

	if (contender->interface->host_name)
		return;
	name = arena_printf(c->arena, "%s-%s", namespace, contender->interface->name);
	while (!take_host_name(c, name))
		name = arena_printf(c->arena, "%.*s-%06x", length, namespace,
				    (unsigned int)(hash++ & 0xffffff));
	contender->interface->host_name = name;
}

static int compare_contenders(const void *left, const void *right)
{
	const struct contender *a = left, *b = right;
	int order = compare_hashes(a->hash, b->hash);

	if (!order)
		order = strcmp(a->namespace->name, b->namespace->name);
	return order ? order : strcmp(a->interface->name, b->interface->name);
}

static void add_contender(struct completion *c, const struct topology_namespace *namespace,
			  struct interface *interface)
{
	struct contender *contender = arena_push(c->arena, c->contenders, c->contenders_count);

	contender->namespace = namespace;
	contender->interface = interface;
	contender->kept = find_kept(c, namespace->name, interface->name);
	contender->hash = hash_strings(c->topology->name, namespace->name, interface->name, NULL);
	if (!interface->addresses_count)
		interface->addresses_auto = true;
	if (interface->addresses_auto)
		contender->addresses = arena_alloc(c->arena, interface->network->subnets_count *
								     sizeof(*contender->addresses));
}

static void complete_interfaces(struct completion *c)
{
	for (size_t i = 0; i < c->topology->namespaces_count; i++) {
		struct topology_namespace *namespace = &c->topology->namespaces[i];

		for (size_t j = 0; j < namespace->interfaces_count; j++)
			add_contender(c, namespace, &namespace->interfaces[j]);
	}
	if (c->contenders_count)
		qsort(c->contenders, c->contenders_count, sizeof(*c->contenders),
		      compare_contenders);
	for (size_t i = 0; i < c->contenders_count; i++) {
		if (c->contenders[i].interface->addresses_auto)
			keep_addresses(c, &c->contenders[i]);
		keep_host_name(c, &c->contenders[i]);
	}
	for (size_t i = 0; i < c->contenders_count; i++) {
		if (c->contenders[i].interface->addresses_auto)
			derive_addresses(c, &c->contenders[i]);
		derive_host_name(c, &c->contenders[i]);
	}
}

/* ---- MACs. */

/* So many steps from its derivation a MAC still counts as ours: far more than hashes ever meet. */
#define MAC_STEPS_MAX 16

/* Counts up, but not in what all of ours begin with. */
static void step_mac(uint8_t mac[6])
{
	for (int byte = 5; byte > 1 && ++mac[byte] == 0; byte--)
		;
}

static bool take_mac(struct completion *c, const uint8_t mac[6])
{
	char text[MAC_TEXT_MAX];

	return take(c, &c->file->macs, &c->given.macs, mac_format(mac, text));
}

static void add_nameless(struct completion *c, uint8_t mac[6], const char *owner, const char *name,
			 const char *namespace)
{
	struct nameless *nameless = arena_push(c->arena, c->nameless, c->nameless_count);

	nameless->mac = mac;
	nameless->owner = owner;
	nameless->name = name;
	nameless->hash = hash_strings(c->topology->name, owner, name, NULL);
	nameless->kept = find_kept(c, namespace, name);
}

static int compare_nameless(const void *left, const void *right)
{
	const struct nameless *a = left, *b = right;
	int order = compare_hashes(a->hash, b->hash);

	if (!order)
		order = strcmp(a->owner, b->owner);
	return order ? order : strcmp(a->name, b->name);
}

static void keep_mac(struct completion *c, struct nameless *nameless)
{
	uint8_t mac[6];

	if (nameless->kept && nameless->kept->taken_over) {
		memcpy(mac, nameless->kept->mac, sizeof(mac));
		nameless->done = take_mac(c, mac);
		if (nameless->done)
			memcpy(nameless->mac, mac, sizeof(mac));
		return;
	}
	mac_derive(mac, c->topology->name, nameless->owner, nameless->name);
	for (int step = 0; nameless->kept && step < MAC_STEPS_MAX; step++, step_mac(mac)) {
		if (memcmp(mac, nameless->kept->mac, sizeof(mac)))
			continue;
		nameless->done = take_mac(c, mac);
		if (nameless->done)
			memcpy(nameless->mac, mac, sizeof(mac));
		return;
	}
}

static void derive_mac(struct completion *c, const struct nameless *nameless)
{
	if (nameless->done)
		return;
	mac_derive(nameless->mac, c->topology->name, nameless->owner, nameless->name);
	while (!take_mac(c, nameless->mac))
		step_mac(nameless->mac);
}

static void complete_macs(struct completion *c)
{
	struct topology *topology = c->topology;

	/* Owners that no namespace's name can be ("", "host") keep the kinds of MACs apart. */
	for (size_t i = 0; i < topology->networks_count; i++)
		add_nameless(c, topology->networks[i].mac, "", topology->networks[i].name, "");
	for (size_t i = 0; i < c->contenders_count; i++) {
		const struct contender *contender = &c->contenders[i];
		struct interface *interface = contender->interface;

		if (!interface->has_mac)
			add_nameless(c, interface->mac, contender->namespace->name, interface->name,
				     contender->namespace->name);
		if (interface->network->type != NETWORK_ROUTED)
			add_nameless(c, interface->host_mac, "host", interface->host_name, "");
	}
	for (size_t i = 0; i < 2 * topology->links_count; i++) {
		struct link_end *end = &topology->links[i / 2].ends[i % 2];

		add_nameless(c, end->mac, end->namespace_name, end->name,
			     end->namespace ? end->namespace_name : "");
	}
	if (c->nameless_count)
		qsort(c->nameless, c->nameless_count, sizeof(*c->nameless), compare_nameless);
	for (size_t i = 0; i < c->nameless_count; i++)
		keep_mac(c, &c->nameless[i]);
	for (size_t i = 0; i < c->nameless_count; i++)
		derive_mac(c, &c->nameless[i]);
	for (size_t i = 0; i < c->contenders_count; i++) {
		struct interface *interface = c->contenders[i].interface;

		/* Every host end of a routed network is its gateway. */
		if (interface->network->type == NETWORK_ROUTED)
			memcpy(interface->host_mac, interface->network->mac,
			       sizeof(interface->host_mac));
	}
}

void topology_complete(struct topology *topology, struct arena *arena, const struct lookup *kept,
		       struct error_list *errors)
{
	struct completion c = {.topology = topology,
			       .arena = arena,
			       .file = topology->taken,
			       .kept = kept,
			       .errors = errors};

	complete_interfaces(&c);
	complete_macs(&c);
}
