/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: both streams are read side by side until both end, so that a program that fills one
 * while we wait for the other cannot stand still.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK 65536

struct stream {
	int fd;
	char *text;
	size_t used, room;
};

static int spawn(const char *const *arguments, int output, int errors, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int code;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	code = posix_spawnp(ret_pid, arguments[0], &actions, &attributes, (char **)arguments,
			    environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return -code;
}

/* What there is now; closes the stream at its end, or when it is too much. */
static void read_some(struct stream *stream, struct arena *arena)
{
	ssize_t got;

	if (stream->used + CHUNK >= stream->room) {
		char *bigger = arena_alloc(arena, stream->room ? 2 * stream->room : 2 * CHUNK);

		if (stream->used)
			memcpy(bigger, stream->text, stream->used);
		stream->room = stream->room ? 2 * stream->room : 2 * CHUNK;
		stream->text = bigger;
	}
	got = read(stream->fd, stream->text + stream->used, CHUNK);
	if (got < 0 && errno == EINTR)
		return;
	if (got > 0)
		stream->used += (size_t)got;
	if (got <= 0 || stream->used > PROCESS_OUTPUT_MAX) {
		close(stream->fd);
		stream->fd = -1;
	}
	stream->text[stream->used] = '\0';
}

static void read_all(struct stream streams[2], struct arena *arena)
{
	while (streams[0].fd >= 0 || streams[1].fd >= 0) {
		struct pollfd polled[2] = {{.fd = streams[0].fd, .events = POLLIN},
					   {.fd = streams[1].fd, .events = POLLIN}};

		if (poll(polled, 2, -1) < 0)
			continue; /* a signal: the program ends by itself */
		for (int i = 0; i < 2; i++)
			if (polled[i].fd >= 0 && polled[i].revents)
				read_some(&streams[i], arena);
	}
}

int process_run(const char *const *arguments, struct arena *arena, struct process_result *ret,
		struct error *err)
{
	int output[2] = {-1, -1}, errors[2] = {-1, -1}, code = 0, status;
	struct stream streams[2];
	pid_t pid;

	if (pipe2(output, O_CLOEXEC) || pipe2(errors, O_CLOEXEC))
		code = -errno;
	if (!code)
		code = spawn(arguments, output[1], errors[1], &pid);
	if (output[1] >= 0)
		close(output[1]);
	if (errors[1] >= 0)
		close(errors[1]);
	if (code) {
		if (output[0] >= 0)
			close(output[0]);
		if (errors[0] >= 0)
			close(errors[0]);
		return error_set(err, code, "cannot run '%s': %s", arguments[0], strerror(-code));
	}
	streams[0] = (struct stream){.fd = output[0], .text = arena_strdup(arena, "")};
	streams[1] = (struct stream){.fd = errors[0], .text = arena_strdup(arena, "")};
	read_all(streams, arena);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(err, -errno, "cannot wait for '%s': %s", arguments[0],
					 strerror(errno));
	*ret = (struct process_result){
		.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		.output = streams[0].text,
		.errors = streams[1].text,
	};
	return 0;
}
