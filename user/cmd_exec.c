/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the process itself enters the namespace and becomes the command. So signals, the
 * terminal, the exit code and the process id are the command's own, with nothing in between to pass
 * them on.
 */
#include "command.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "netns.h"

/* As env(1), nohup(1) and timeout(1) use them. */
#define EXIT_OWN            125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND      127

const char cmd_exec_help[] =
	"Runs the command with the network of the namespace, the /sys that belongs to it (with the\n"
	"bpf file system still in it) and the files of /etc/netns/NAMESPACE in place of those in /etc.\n"
	"NAMESPACE is any of those that \"ip netns\" lists, or the path of one.\n"
	"\n"
	"Exit code: the command's own; 125 when nsroute failed, 126 when the command cannot be\n"
	"executed, 127 when it is not found.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute exec red -- ping -c 3 192.168.15.12\n"
	"  sudo nsroute exec red -- bash\n";

static int fail_own(struct context *context, const struct error *err)
{
	command_fail(context, err);
	return EXIT_OWN;
}

static int become_command(struct context *context, char **command)
{
	struct error err;
	int code;

	execvp(command[0], command);
	code = errno;
	error_set(&err, -code, "cannot run '%s': %s", command[0], strerror(code));
	command_fail(context, &err);
	return code == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

int cmd_exec(struct context *context, int argc, char **argv)
{
	const char *namespace = argc > 1 ? argv[1] : NULL;
	char **command = argv + 2;
	struct error err;
	int fd, code;

	if (!namespace || *namespace == '-') {
		command_usage(context, "the name of a namespace comes first");
		return EXIT_OWN;
	}
	if (*command && strcmp(*command, "--") == 0)
		command++;
	if (!*command) {
		command_usage(context, "a command is needed");
		return EXIT_OWN;
	}
	if (doctor_privilege(&err) != 0 || netns_open(namespace, &fd, &err) != 0)
		return fail_own(context, &err);
	code = netns_become(fd, strchr(namespace, '/') ? NULL : namespace, &err);
	close(fd);
	if (code != 0)
		return fail_own(context, &err);
	return become_command(context, command);
}
