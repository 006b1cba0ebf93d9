/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cmd_step.h"
#include "output.h"

const char cmd_addr_help[] =
	"Addresses by hand, as \"ip addr\" has them.\n"
	"\n"
	"  add ADDRESS/LEN dev INTERFACE\n"
	"  del ADDRESS/LEN dev INTERFACE\n"
	"  list [INTERFACE]\n"
	"\n"
	"Options:\n"
	"  -n, --namespace NS  the namespace that the interface is in (ip -n NS addr ...), or \"netns NS\"\n"
	"                      at the end; the host's by default\n"
	"\n"
	"An address without a prefix length is refused: it would mean /32, and no route to its network.\n"
	"IPv6 addresses can be used at once: nobody is asked whether they are free.\n"
	"\n"
	"With -j, list: {\"addresses\": [{\"interface\", \"address\", \"family\"}]}; the rest: {\"changed\",\n"
	"\"operations_done\"}.\n"
	"\n"
	"Exit code: 0 done, 1 wrong usage, 2 refused, 4 done in part.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute addr -n red add 192.168.15.1/24 dev veth-red\n"
	"  sudo nsroute addr add 10.0.0.1/24 dev v-net-0\n"
	"  sudo nsroute addr -n red list\n";

static json_t *addresses(const struct host *host, const struct step *step,
			 const struct kernel_state *state, struct error *err)
{
	(void)host;
	(void)err;
	return output_addresses(state->namespaces_count ? &state->namespaces[0] : &state->host,
				step->link.name);
}

int cmd_addr(struct context *context, int argc, char **argv)
{
	return cmd_step(context, argc, argv, STEP_ADDRESS, addresses, output_list_text);
}
