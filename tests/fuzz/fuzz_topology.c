/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fuzzes the reader and the checks: any bytes give a topology, or at least one error with a place.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "topology_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What plan relies on once topology_check() is content. */
static void check_complete(const struct topology *topology)
{
	for (size_t i = 0; i < topology->namespaces_count; i++) {
		const struct topology_namespace *namespace = &topology->namespaces[i];
		const struct interface *interface;
		struct ip_address gateway;

		for (size_t j = 0; j < namespace->interfaces_count; j++) {
			interface = &namespace->interfaces[j];
			if (!interface->network || !interface->host_name ||
			    name_interface_problem(interface->host_name))
				abort();
		}
		if (topology_default_gateway(namespace, AF_INET, &gateway, &interface) &&
		    !interface->network)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = {};
	struct error_list errors = {.arena = &arena};
	struct topology *topology = NULL;
	int code = topology_parse("fuzz", (const char *)data, size, &arena, &topology, &errors);

	if ((code == 0) != (topology != NULL) || (code == 0) != (errors.count == 0))
		abort();
	for (size_t i = 1; i < errors.count; i++)
		if (errors.errors[i].at.line &&
		    errors.errors[i].at.line < errors.errors[i - 1].at.line)
			abort();
	if (topology)
		check_complete(topology);
	arena_free(&arena);
	return 0;
}
