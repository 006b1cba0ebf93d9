/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what can be said of one value without knowing the others is said here, once: is it
 * an address, may an interface have it, is the prefix length there. Each refusal names the mend.
 */
#include "topology_values.h"

#include <string.h>
#include <sys/socket.h>

void topology_check_name(struct yaml_reader *reader, struct position at, const char *what,
			 const char *name, const char *(*problem)(const char *name))
{
	const char *words = problem(name);

	if (words)
		yaml_refuse(reader, at, "%s '%s' %s", what, yaml_tree_shown(name, reader->arena),
			    words);
}

const char *topology_address_problem(const struct ip_address *ip)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, zero[16];
	const uint8_t *bytes = ip->bytes;

	if (!memcmp(bytes, zero, sizeof(zero)))
		return "is the unspecified address";
	if (ip->family == AF_INET6) {
		if (!memcmp(bytes, mapped, sizeof(mapped)))
			return "is an IPv4-mapped address; write the IPv4 address";
		if (bytes[0] == 0xff)
			return "is a multicast address";
		return !memcmp(bytes, zero, 15) && bytes[15] == 1 ? "is the loopback address"
								  : NULL;
	}
	if (bytes[0] == 0)
		return "is in 0.0.0.0/8, which no host may have";
	if (bytes[0] == 127)
		return "is a loopback address";
	if (bytes[0] >= 224 && bytes[0] < 240)
		return "is a multicast address";
	return !memcmp(bytes, "\xff\xff\xff\xff", 4) ? "is the broadcast address" : NULL;
}

bool topology_read_address(struct yaml_reader *reader, const char *key,
			   const struct yaml_tree_node *node, struct ip_address *ret,
			   bool *ret_has_prefix)
{
	const char *text = yaml_read_text(reader, key, node, "an address"), *problem;
	struct ip_address ip;

	if (!text)
		return false;
	if (!ip_parse(text, &ip, ret_has_prefix)) {
		yaml_refuse(reader, node->at, "'%s' is not an IP address",
			    yaml_tree_shown(text, reader->arena));
		return false;
	}
	problem = topology_address_problem(&ip);
	if (problem) {
		yaml_refuse(reader, node->at, "%s %s", text, problem);
		return false;
	}
	*ret = ip;
	return true;
}

bool topology_read_address_with_prefix(struct yaml_reader *reader, const char *key,
				       const struct yaml_tree_node *node, struct ip_address *ret)
{
	struct ip_address ip;
	bool has_prefix;

	if (!topology_read_address(reader, key, node, &ip, &has_prefix))
		return false;
	if (!has_prefix) {
		yaml_refuse(
			reader, node->at,
			"address %s has no prefix length: it would mean /%u, and no route to its "
			"network; write, for example, %s/%u",
			node->text, ip_bits(&ip), node->text, ip.family == AF_INET ? 24 : 64);
		return false;
	}
	*ret = ip;
	return true;
}

bool topology_read_prefix(struct yaml_reader *reader, const char *key,
			  const struct yaml_tree_node *node, struct ip_address *ret)
{
	const char *text = yaml_read_text(reader, key, node, "an address with a prefix length");
	char mend[IP_TEXT_MAX];
	struct ip_address ip, net;
	bool has_prefix;

	if (!text)
		return false;
	if (!ip_parse(text, &ip, &has_prefix)) {
		yaml_refuse(reader, node->at, "'%s' is not a network, such as 192.168.15.0/24",
			    yaml_tree_shown(text, reader->arena));
		return false;
	}
	if (!has_prefix) {
		ip.prefix_len = ip.family == AF_INET ? 24 : 64;
		net = ip_network(&ip);
		yaml_refuse(reader, node->at,
			    "network %s has no prefix length: it would mean /%u, a single address; "
			    "write, for example, %s",
			    text, ip_bits(&ip), ip_format_prefix(&net, mend));
		return false;
	}
	net = ip_network(&ip);
	if (!ip_equal(&ip, &net)) {
		yaml_refuse(reader, node->at, "network %s has bits set behind its prefix; write %s",
			    text, ip_format_prefix(&net, mend));
		return false;
	}
	*ret = net;
	return true;
}

bool topology_read_mac(struct yaml_reader *reader, const char *key,
		       const struct yaml_tree_node *node, uint8_t ret[6])
{
	static const char expected[] = "a MAC address such as \"02:00:00:00:00:0b\"";
	static const uint8_t zero[6];
	const char *text = yaml_read_text(reader, key, node, expected);
	uint8_t mac[6];

	if (!text)
		return false;
	if (!mac_parse(text, mac)) {
		yaml_wrong(reader, key, node, expected);
		return false;
	}
	if (mac[0] & 1 || !memcmp(mac, zero, sizeof(mac))) {
		yaml_refuse(reader, node->at, "MAC %s is not of one interface (multicast or zero)",
			    text);
		return false;
	}
	memcpy(ret, mac, sizeof(mac));
	return true;
}

bool topology_read_mtu(struct yaml_reader *reader, const char *key,
		       const struct yaml_tree_node *node, uint32_t *ret)
{
	const char *expected = arena_printf(reader->arena, "a number from %d to %d",
					    TOPOLOGY_MTU_MIN, TOPOLOGY_MTU_MAX);
	const char *text = yaml_read_text(reader, key, node, expected);
	unsigned int mtu;

	if (!text)
		return false;
	if (!yaml_parse_number(text, TOPOLOGY_MTU_MIN, TOPOLOGY_MTU_MAX, &mtu)) {
		yaml_wrong(reader, key, node, expected);
		return false;
	}
	*ret = mtu;
	return true;
}
