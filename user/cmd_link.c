/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: cmd_step.c does the work; here are the words of link and bridge, which are two
 * names for the same objects.
 */
#include <errno.h>
#include <string.h>

#include "cmd_step.h"
#include "output.h"

const char cmd_link_help[] =
	"Interfaces by hand, as \"ip link\" has them.\n"
	"\n"
	"  add NAME [netns NS] [address MAC] [mtu N] type veth peer name NAME2 [netns NS] [address MAC]\n"
	"                   both ends of a cable, each at once where it is to be; mtu of both\n"
	"  add NAME type bridge\n"
	"  set NAME [netns NS] [up|down] [mtu N] [address MAC] [master BRIDGE|nomaster]\n"
	"                   netns moves it there, where up, down and master are done\n"
	"  del NAME         an interface that nsroute made; the other end of a veth goes with it\n"
	"  list [NAME]\n"
	"\n"
	"Options:\n"
	"  -n, --namespace NS  the namespace that all of it is about (ip -n NS link ...); the host's\n"
	"                      by default, which \"netns host\" names too\n"
	"\n"
	"What a fabric has is changed in its file. Interfaces that nsroute did not make can be set up,\n"
	"but are not deleted or moved, unless they are in a namespace of \"nsroute netns add\".\n"
	"\n"
	"With -j, list: {\"links\": [{\"name\", \"state\", \"kind\", \"mac\", \"mtu\", \"master\", \"owner\",\n"
	"\"fabric\"}]}; the rest: {\"changed\", \"operations_done\"}.\n"
	"\n"
	"Exit code: 0 done, 1 wrong usage, 2 refused, 4 done in part.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute link add veth-red netns red type veth peer name veth-blue netns blue\n"
	"  sudo nsroute link -n red set veth-red up\n"
	"  sudo nsroute link add veth-red type veth peer name veth-red-br\n"
	"  sudo nsroute link set veth-red netns red\n"
	"  sudo nsroute link set veth-red-br master v-net-0 up\n";

const char cmd_bridge_help[] =
	"Bridges by hand.\n"
	"\n"
	"  add NAME     as \"nsroute link add NAME type bridge\"\n"
	"  del NAME     one that nsroute made; its ports stay\n"
	"  list [NAME]  with their ports\n"
	"\n"
	"Options:\n"
	"  -n, --namespace NS  the namespace that it is in; the host's by default\n"
	"\n"
	"\"nsroute link set PORT master NAME\" and \"... nomaster\" connect and disconnect.\n"
	"\n"
	"With -j, list: {\"bridges\": [{\"name\", \"state\", \"owner\", \"fabric\", \"ports\"}]}; the rest:\n"
	"{\"changed\", \"operations_done\"}.\n"
	"\n"
	"Exit code: 0 done, 1 wrong usage, 2 refused, 4 done in part.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute bridge add v-net-0\n"
	"  sudo nsroute link set v-net-0 up\n"
	"  sudo nsroute bridge list\n";

/* A name that was asked for has to be there. */
static json_t *checked(const struct step *step, json_t *list, const char *what, struct error *err)
{
	const json_t *rows = json_object_iter_value(json_object_iter(list));

	if (!step->link.name || json_array_size(rows) > 0)
		return list;
	json_decref(list);
	error_set(err, -ENODEV, "there is no %s '%s' in %s%s%s: %s", what, step->link.name,
		  step->link.namespace ? "namespace '" : "the host namespace",
		  step->link.namespace ? step->link.namespace : "", step->link.namespace ? "'" : "",
		  strerror(ENODEV));
	return NULL;
}

static const struct state_namespace *place(const struct kernel_state *state)
{
	return state->namespaces_count ? &state->namespaces[0] : &state->host;
}

static json_t *links(const struct host *host, const struct step *step,
		     const struct kernel_state *state, struct error *err)
{
	(void)host;
	return checked(step, output_links(place(state), step->link.name), "interface", err);
}

static json_t *bridges(const struct host *host, const struct step *step,
		       const struct kernel_state *state, struct error *err)
{
	(void)host;
	return checked(step, output_bridges(place(state), step->link.name), "bridge", err);
}

int cmd_link(struct context *context, int argc, char **argv)
{
	return cmd_step(context, argc, argv, STEP_LINK, links, output_list_text);
}

int cmd_bridge(struct context *context, int argc, char **argv)
{
	return cmd_step(context, argc, argv, STEP_BRIDGE, bridges, output_list_text);
}
