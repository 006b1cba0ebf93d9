/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: of all sysctls of a namespace, "disable_ipv6" is the one that makes the kernel
 * refuse what the file asks for elsewhere. The rest may be set as anyone likes.
 */
#include "topology_sysctls.h"

#include <string.h>
#include <sys/socket.h>

#include "sysctl_key.h"

#define DISABLES_START "net/ipv6/conf/"
#define DISABLES_END   "/disable_ipv6"

static bool disables_ipv6(const struct topology_sysctl *sysctl)
{
	size_t length = strlen(sysctl->key);

	return !strncmp(sysctl->key, DISABLES_START, strlen(DISABLES_START)) &&
	       length > strlen(DISABLES_END) &&
	       !strcmp(sysctl->key + length - strlen(DISABLES_END), DISABLES_END) &&
	       !sysctl_value_equal(sysctl->value, "0");
}

/* Whether the key is that of the interface, or of "all" or "default". */
static bool is_about(const struct topology_sysctl *sysctl, const char *interface)
{
	char name[NAME_INTERFACE_MAX + 1];

	return !sysctl_key_interface(sysctl->key, name) || !strcmp(name, interface);
}

static bool has_ipv6(const struct ip_address *addresses, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (addresses[i].family == AF_INET6)
			return true;
	return false;
}

/* Written in the file, or given by us from the subnets of its network. */
static bool interface_has_ipv6(const struct interface *interface)
{
	const struct network *network = interface->network;

	if (interface->addresses_count)
		return has_ipv6(interface->addresses, interface->addresses_count);
	return network && has_ipv6(network->subnets, network->subnets_count);
}

static const char *ipv6_user(const struct topology *topology,
			     const struct topology_namespace *namespace,
			     const struct topology_sysctl *sysctl)
{
	for (size_t i = 0; i < namespace->interfaces_count; i++)
		if (is_about(sysctl, namespace->interfaces[i].name) &&
		    interface_has_ipv6(&namespace->interfaces[i]))
			return namespace->interfaces[i].name;
	for (size_t i = 0; i < 2 * topology->links_count; i++) {
		const struct link_end *end = &topology->links[i / 2].ends[i % 2];

		if (end->namespace == namespace && end->has_address && has_ipv6(&end->address, 1) &&
		    is_about(sysctl, end->name))
			return end->name;
	}
	for (size_t i = 0; i < topology->devices_count; i++) {
		const struct topology_device *device = &topology->devices[i];

		if (device->namespace == namespace && is_about(sysctl, device->name) &&
		    has_ipv6(device->addresses, device->addresses_count))
			return device->name;
	}
	return NULL;
}

void topology_check_sysctls(const struct topology *topology, struct error_list *errors)
{
	for (size_t i = 0; i < topology->namespaces_count; i++) {
		const struct topology_namespace *namespace = &topology->namespaces[i];

		for (size_t j = 0; j < namespace->sysctls_count; j++) {
			const struct topology_sysctl *sysctl = &namespace->sysctls[j];
			const char *user = disables_ipv6(sysctl)
						   ? ipv6_user(topology, namespace, sysctl)
						   : NULL;

			if (user)
				error_list_add(errors, topology->file, sysctl->at,
					       "namespace '%s': sysctl '%s' switches off IPv6, of "
					       "which interface '%s' has an address",
					       namespace->name, sysctl->key, user);
		}
	}
}
