/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cmd_step.h"
#include "output.h"

const char cmd_route_help[] =
	"Routes by hand, of the main table, as \"ip route\" has them.\n"
	"\n"
	"  add PREFIX/LEN|default via ADDRESS [dev INTERFACE]\n"
	"  add PREFIX/LEN|default dev INTERFACE\n"
	"  del PREFIX/LEN|default [via ADDRESS] [dev INTERFACE]\n"
	"  list [dev INTERFACE]\n"
	"\n"
	"Options:\n"
	"  -n, --namespace NS  the namespace that it is about (ip -n NS route ...), or \"netns NS\" at the\n"
	"                      end; the host's by default\n"
	"\n"
	"Without dev it is the interface that has an address in the network of the next hop.\n"
	"\n"
	"With -j, list: {\"routes\": [{\"to\", \"family\", \"via\", \"interface\", \"protocol\"}]}; the rest:\n"
	"{\"changed\", \"operations_done\"}.\n"
	"\n"
	"Exit code: 0 done, 1 wrong usage, 2 refused, 4 done in part.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute route -n blue add default via 192.168.15.5\n"
	"  sudo nsroute route -n blue add 192.168.1.0/24 via 192.168.15.5\n"
	"  sudo nsroute route -n blue list\n";

static json_t *routes(const struct host *host, const struct step *step,
		      const struct kernel_state *state, struct error *err)
{
	(void)host;
	(void)err;
	return output_routes(state->namespaces_count ? &state->namespaces[0] : &state->host,
			     step->link.name);
}

int cmd_route(struct context *context, int argc, char **argv)
{
	return cmd_step(context, argc, argv, STEP_ROUTE, routes, output_list_text);
}
