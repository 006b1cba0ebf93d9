/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a fork reads a pipe that only this process can write to. A byte dismisses it; the
 * end without one says that the writer is gone. It is in a session of its own and hears no signal,
 * so that a terminal that goes does not take it along; SIGKILL for a whole control group does.
 */
#include "guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void guard(int fd, void (*undo)(void *context), void *context)
{
	ssize_t length;
	sigset_t all;
	char byte;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	setsid();
	do
		length = read(fd, &byte, 1);
	while (length < 0 && errno == EINTR);
	if (!length)
		undo(context);
	_exit(0);
}

int guardian_start(void (*undo)(void *context), void *context, struct guardian *ret,
		   struct error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return error_set(err, -errno, "no pipe: %s", strerror(errno));
	ret->pid = fork();
	if (!ret->pid) {
		close(fds[1]);
		guard(fds[0], undo, context);
	}
	close(fds[0]);
	ret->fd = fds[1];
	if (ret->pid > 0)
		return 0;
	error_set(err, -errno, "no process to undo it if this one is killed: %s", strerror(errno));
	close(fds[1]);
	return err->code;
}

void guardian_dismiss(const struct guardian *guardian)
{
	while (write(guardian->fd, "", 1) < 0 && errno == EINTR)
		;
	close(guardian->fd);
	while (waitpid(guardian->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
