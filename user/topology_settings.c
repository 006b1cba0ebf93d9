/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: keys of sysctls are made normal here, so that one that is written in two ways is
 * found twice, and everything after this knows only one way. Limits of dns are those of the
 * resolvers that read the file (resolv.conf(5); resolv.h: MAXNS, MAXDNSRCH).
 */
#include "topology_settings.h"

#include <string.h>
#include <sys/socket.h>

#include "lookup.h"
#include "sysctl_key.h"
#include "topology_values.h"

#define NAMESERVERS_MAX  3
#define SEARCH_MAX       6
#define SEARCH_BYTES_MAX 256
#define DOMAIN_MAX       253 /* RFC 1035 2.3.4, as text */
#define LABEL_MAX        63

/* ---- Sysctls. */

static bool is_printable(const char *text)
{
	for (const unsigned char *byte = (const unsigned char *)text; *byte; byte++)
		if (*byte < ' ' || *byte >= 0x7f)
			return false;
	return true;
}

static const char *read_sysctl_value(struct yaml_reader *reader, const struct yaml_tree_pair *item)
{
	const char *text = yaml_read_text(reader, item->key, &item->value, "a value");

	if (!text)
		return NULL;
	if (strlen(text) <= SYSCTL_VALUE_MAX && is_printable(text))
		return text;
	yaml_refuse(reader, item->value.at,
		    "the value of sysctl '%s' is longer than %d bytes or contains what is no "
		    "printable ASCII character",
		    yaml_tree_shown(item->key, reader->arena), SYSCTL_VALUE_MAX);
	return NULL;
}

void topology_read_sysctl(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct topology_namespace *namespace = into;
	struct lookup seen = {};

	if (!yaml_is_mapping(reader, pair->key, &pair->value, "a mapping of sysctls to values"))
		return;
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_pair *item = &pair->value.pairs[i];
		const char *key = sysctl_key_normal(item->key, reader->arena);
		const char *problem = sysctl_key_problem(key);
		const char *value = read_sysctl_value(reader, item), *other;

		if (problem) {
			yaml_refuse(reader, item->at, "sysctl '%s' %s",
				    yaml_tree_shown(item->key, reader->arena), problem);
			continue;
		}
		other = lookup_add(
			&seen, reader->arena, sysctl_key_identity(key),
			arena_printf(reader->arena, "'%s' (line %u)", item->key, item->at.line));
		if (other)
			yaml_refuse(reader, item->at, "sysctl '%s' is the same as %s", item->key,
				    other);
		if (value && !other)
			*arena_push(reader->arena, namespace->sysctls, namespace->sysctls_count) =
				(struct topology_sysctl){
					.at = item->at, .key = key, .value = value};
	}
}

/* ---- Name servers. */

/* Unlike an interface, a resolver may well ask its own host. */
static bool is_loopback(const struct ip_address *ip)
{
	static const uint8_t one[16] = {[15] = 1};

	return ip->family == AF_INET ? ip->bytes[0] == 127 : !memcmp(ip->bytes, one, sizeof(one));
}

static bool read_nameserver(struct yaml_reader *reader, const struct yaml_tree_node *node,
			    struct ip_address *ret)
{
	const char *text = yaml_read_text(reader, "nameservers", node, "an address");
	const char *problem;
	bool has_prefix;

	if (!text)
		return false;
	if (!ip_parse(text, ret, &has_prefix)) {
		yaml_refuse(reader, node->at, "'%s' is not an IP address",
			    yaml_tree_shown(text, reader->arena));
		return false;
	}
	problem = has_prefix         ? "is one address; write it without a prefix length"
		  : is_loopback(ret) ? NULL
				     : topology_address_problem(ret);
	if (problem)
		yaml_refuse(reader, node->at, "name server %s %s", text, problem);
	return !problem;
}

static void read_nameservers(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			     void *into)
{
	struct topology_dns *dns = into;
	struct lookup seen = {};

	if (!yaml_is_sequence(reader, pair->key, &pair->value, "a list of addresses"))
		return;
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_node *item = &pair->value.items[i];
		struct ip_address server;
		char text[IP_TEXT_MAX];

		if (!read_nameserver(reader, item, &server))
			continue;
		ip_format(&server, text);
		if (lookup_add(&seen, reader->arena, arena_strdup(reader->arena, text), dns))
			yaml_refuse(reader, item->at, "name server %s is there twice", text);
		else
			*arena_push(reader->arena, dns->nameservers, dns->nameservers_count) =
				server;
	}
	if (pair->value.count > NAMESERVERS_MAX)
		yaml_refuse(reader, pair->value.at,
			    "%zu name servers, of which resolvers use the first %d; leave the "
			    "others out",
			    pair->value.count, NAMESERVERS_MAX);
}

/* ---- Domains to search. */

static bool is_domain_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

static bool is_domain(const char *text)
{
	size_t label = 0;

	if (strlen(text) > DOMAIN_MAX)
		return false;
	for (const char *c = text; *c; c++) {
		if (*c == '.' ? !label : !is_domain_letter(*c))
			return false;
		label = *c == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return false;
	}
	return *text != '\0';
}

static void read_search(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct topology_dns *dns = into;
	size_t bytes = 0;

	if (!yaml_is_sequence(reader, pair->key, &pair->value, "a list of domains"))
		return;
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_node *item = &pair->value.items[i];
		const char *text = yaml_read_text(reader, pair->key, item, "a domain");

		if (!text)
			continue;
		bytes += strlen(text) + (bytes != 0); /* and a space between */
		if (is_domain(text))
			*arena_push(reader->arena, dns->search, dns->search_count) = text;
		else
			yaml_refuse(reader, item->at, "'%s' is not a domain, such as lab.example",
				    yaml_tree_shown(text, reader->arena));
	}
	if (pair->value.count > SEARCH_MAX || bytes > SEARCH_BYTES_MAX)
		yaml_refuse(reader, pair->value.at,
			    "'search' has %zu domains of %zu characters; resolvers take %d of %d",
			    pair->value.count, bytes, SEARCH_MAX, SEARCH_BYTES_MAX);
}

void topology_read_dns(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	static const struct yaml_key keys[] = {
		{.name = "nameservers", .read = read_nameservers},
		{.name = "search", .read = read_search},
		{},
	};
	struct topology_namespace *namespace = into;
	const char *object = reader->object;
	size_t problems = reader->problems;

	reader->object = arena_printf(reader->arena, "dns of %s", object);
	namespace->dns.at = pair->at;
	yaml_read_keys(reader, pair->key, &pair->value, keys, &namespace->dns);
	if (reader->problems == problems && !namespace->dns.nameservers_count &&
	    !namespace->dns.search_count)
		yaml_refuse(reader, pair->at, "neither 'nameservers' nor 'search' is given");
	reader->object = object;
}
