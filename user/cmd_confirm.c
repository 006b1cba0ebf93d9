/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <stdio.h>
#include <unistd.h>

#include "confirm.h"
#include "output.h"

const char cmd_confirm_help[] =
	"Tells an \"apply --confirm\" that waits, here or in another login, that what it did may stay.\n"
	"Without a name it is the one that waits.\n"
	"\n"
	"With -j: {\"fabric\", \"confirmed\": true}.\n"
	"\n"
	"Exit code: 0 confirmed, 1 nobody waits, or not any more.\n"
	"\n"
	"Example:\n"
	"  sudo nsroute confirm lab\n";

/* The lock lets only one wait; others were killed while they did. */
static int confirm_any(const struct host *host, struct arena *arena, const char **ret_name,
		       struct error *err)
{
	const char **names;
	size_t count;
	int ret = confirm_list(host->cookie, arena, &names, &count, err);

	for (size_t i = 0; !ret && i < count; i++) {
		*ret_name = names[i];
		if (!confirm_send(host->cookie, names[i], err))
			return 0;
	}
	return ret ? ret : error_invalid(err, "nothing waits for a confirmation");
}

int cmd_confirm(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	const char *name;
	struct error err;
	struct host host;
	int code;

	if (command_option(context, argc, argv, options) != -1)
		return EXIT_INVALID;
	if (argc - optind > 1)
		return command_usage(context, "at most one fabric can be named");
	if (command_open_host(context, &host, &err) != 0)
		return command_fail(context, &err);
	name = argv[optind];
	code = name ? confirm_send(host.cookie, name, &err)
		    : confirm_any(&host, &context->arena, &name, &err);
	close(host.fd);
	if (code != 0) {
		err.exit = EXIT_INVALID;
		return command_fail(context, &err);
	}
	if (context->json)
		command_print_json(
			json_pack("{s:o, s:b}", "fabric", output_string(name), "confirmed", 1));
	else
		printf("fabric '%s': confirmed\n", name);
	return EXIT_DONE;
}
