/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <string.h>
#include <unistd.h>

#include "cmd_step.h"
#include "netns.h"
#include "output.h"

const char cmd_netns_help[] =
	"Namespaces by hand, as \"ip netns\" has them: one registry, /run/netns, for both tools.\n"
	"\n"
	"  add NAME...               makes namespaces; in each there is only lo, which is down\n"
	"  del NAME...               deletes any that no fabric has, whoever made them\n"
	"  list                      all of them: number, and whose they are\n"
	"  exec NAME -- COMMAND...   as \"nsroute exec\"\n"
	"  adopt NAME...             lets nsroute have namespaces that others made, with the veths and\n"
	"                            bridges in them, so that a file may name them\n"
	"\n"
	"What single steps made, or were given by adopt, \"apply\" takes over when its file names it,\n"
	"with all that goes on inside; from then on it is the fabric's, and goes with it.\n"
	"\"nsroute down @steps\" removes all that single steps still have, \"nsroute show @steps\"\n"
	"shows it. Several names are one step: all of it is done, or nothing.\n"
	"\n"
	"With -j, list: {\"namespaces\": [{\"name\", \"id\", \"owner\", \"fabric\"}]}, owner being fabric,\n"
	"nsroute (single steps) or other; the rest: {\"changed\", \"operations_done\"}.\n"
	"\n"
	"Exit code: 0 done, 1 wrong usage, 2 refused, 4 done in part.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute netns add red blue\n"
	"  sudo nsroute netns list\n"
	"  sudo nsroute netns exec red -- ip link\n"
	"  sudo nsroute netns del red\n";

static json_t *namespace_object(const struct host *host, const struct state_namespace *namespace)
{
	json_t *object = json_object();
	struct error ignored;
	int32_t id = -1;
	int fd;

	/* One that went meanwhile has no number. */
	if (netns_open(namespace->name, &fd, &ignored) == 0) {
		netns_id(host->fd, fd, &id, &ignored);
		close(fd);
	}
	json_object_set_new(object, "name", output_string(namespace->name));
	json_object_set_new(object, "id", id < 0 ? json_null() : json_integer(id));
	output_owner(object, namespace->alias);
	return object;
}

static json_t *model(const struct host *host, const struct step *step,
		     const struct kernel_state *state, struct error *err)
{
	json_t *namespaces = json_array();

	(void)step;
	(void)err;
	for (size_t i = 0; i < state->namespaces_count; i++) {
		if (state->namespaces[i].exists)
			json_array_append_new(namespaces,
					      namespace_object(host, &state->namespaces[i]));
	}
	return json_pack("{s:o}", "namespaces", namespaces);
}

int cmd_netns(struct context *context, int argc, char **argv)
{
	if (step_is_exec(argc - 1, argv + 1))
		return cmd_exec(context, argc - 1, argv + 1);
	return cmd_step(context, argc, argv, STEP_NETNS, model, output_list_text);
}
