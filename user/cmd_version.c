/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <bpf/libbpf.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "nsroute_abi.h"
#include "output.h"

const char cmd_version_help[] =
	"Versions of nsroute, of the library that loads the programs, and of the kernel.\n"
	"\n"
	"With -j: {\"version\", \"layout_version\", \"libbpf\", \"kernel\"}; the layout is that of the\n"
	"pinned maps, which two versions of nsroute have to share to take over from each other.\n";

int cmd_version(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	struct utsname kernel = {};
	char libbpf[32];

	if (command_option(context, argc, argv, options) != -1)
		return EXIT_INVALID;
	if (argc != optind)
		return command_usage(context, "it takes no arguments");
	uname(&kernel);
	snprintf(libbpf, sizeof(libbpf), "%u.%u", libbpf_major_version(), libbpf_minor_version());
	if (context->json)
		command_print_json(json_pack("{s:s, s:i, s:s, s:o}", "version", NSROUTE_VERSION,
					     "layout_version", NSR_LAYOUT_VERSION, "libbpf", libbpf,
					     "kernel", output_string(kernel.release)));
	else
		printf("nsroute %s\nlayout of maps %d\nlibbpf %s\nkernel %s\n", NSROUTE_VERSION,
		       NSR_LAYOUT_VERSION, libbpf, kernel.release);
	return EXIT_DONE;
}
