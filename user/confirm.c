/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: whoever connects to the socket confirms, and is answered by one byte, so that he
 * knows that he came in time. A socket that a killed process left refuses connections; the next
 * one that waits replaces it, and record_remove() takes it away.
 */
#include "confirm.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "record.h"

#define POLL_MS 200 /* bounds what a signal that comes before poll() waits for */

static const int stopping[] = {SIGTSTP, SIGTTIN, SIGTTOU};

#define STOPPING (sizeof(stopping) / sizeof(*stopping))

static int make_address(uint64_t cookie, const char *fabric, struct sockaddr_un *ret,
			struct error *err)
{
	char path[PATH_MAX];

	record_confirm_path(path, cookie, fabric);
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret->sun_path))
		return error_set(err, -ENAMETOOLONG, "%s is too long for a socket", path);
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return 0;
}

/* ---- Waiting. */

struct waiter {
	const struct confirm_request *request;
	int listener;
	bool has_input; /* standard input is a terminal, and may still bring a line */
};

static int listen_at(const struct sockaddr_un *address, int *ret_fd, struct error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0) {
		unlink(address->sun_path);
		if (!bind(fd, (const struct sockaddr *)address, sizeof(*address)) &&
		    !listen(fd, 4)) {
			*ret_fd = fd;
			return 0;
		}
	}
	error_set(err, -errno, "cannot wait for a confirmation at %s: %s", address->sun_path,
		  strerror(errno));
	if (fd >= 0)
		close(fd);
	return err->code;
}

static int64_t now_ms(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool somebody_connected(const struct waiter *w)
{
	int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return false;
	if (send(fd, "1", 1, MSG_NOSIGNAL) != 1)
		fd = (close(fd), -1); /* he will be told otherwise */
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* A line, however it begins. What cannot be read (a terminal that is gone) says nothing more. */
static bool enter_was_pressed(struct waiter *w)
{
	char text[256];
	ssize_t length = read(STDIN_FILENO, text, sizeof(text));

	if (length < 0 && errno == EINTR)
		return false;
	w->has_input = length > 0;
	return length > 0 && memchr(text, '\n', (size_t)length);
}

static bool is_confirmed(struct waiter *w, int timeout_ms)
{
	struct pollfd fds[2] = {{.fd = w->listener, .events = POLLIN},
				{.fd = w->has_input ? STDIN_FILENO : -1, .events = POLLIN}};

	if (poll(fds, 2, timeout_ms) <= 0)
		return false;
	return (fds[0].revents && somebody_connected(w)) ||
	       (fds[1].revents && enter_was_pressed(w));
}

static int wait_for_it(struct waiter *w, struct error *err)
{
	const struct confirm_request *request = w->request;
	int64_t end = now_ms() + 1000 * (int64_t)request->seconds, left;
	unsigned int shown = 0;

	while ((left = end - now_ms()) > 0) {
		unsigned int seconds = (unsigned int)(left + 999) / 1000;

		if (request->left && seconds != shown)
			request->left(shown = seconds, request->context);
		if (is_confirmed(w, left < POLL_MS ? (int)left : POLL_MS))
			return 0;
		if (*request->interrupted)
			return error_set(err, -EINTR, "interrupted by a signal");
	}
	return error_set(err, -ETIMEDOUT, "not confirmed within %u s", request->seconds);
}

int confirm_wait(const struct confirm_request *request, struct error *err)
{
	/* Anything else may be the script that this is a line of. */
	struct waiter w = {.request = request, .has_input = isatty(STDIN_FILENO)};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before[STOPPING];
	struct sockaddr_un address;
	int ret;

	ret = make_address(request->cookie, request->fabric, &address, err);
	if (!ret)
		ret = listen_at(&address, &w.listener, err);
	if (ret)
		return ret;
	for (size_t i = 0; i < STOPPING; i++)
		sigaction(stopping[i], &ignore, &before[i]);
	if (w.has_input)
		tcflush(STDIN_FILENO, TCIFLUSH); /* typed before there was anything to confirm */
	ret = wait_for_it(&w, err);
	for (size_t i = 0; i < STOPPING; i++)
		sigaction(stopping[i], &before[i], NULL);
	unlink(address.sun_path);
	close(w.listener);
	return ret;
}

/* ---- Confirming. */

int confirm_send(uint64_t cookie, const char *fabric, struct error *err)
{
	struct sockaddr_un address;
	char answer;
	int fd, ret;

	ret = make_address(cookie, fabric, &address, err);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) ||
	    recv(fd, &answer, 1, 0) != 1)
		ret = error_set(err, -ENOENT,
				"no apply of fabric '%s' waits for a confirmation (any more)",
				fabric);
	close(fd);
	return ret;
}

int confirm_list(uint64_t cookie, struct arena *arena, const char ***ret_names, size_t *ret_count,
		 struct error *err)
{
	const char **fabrics, **names = NULL;
	size_t fabrics_count, count = 0;
	char path[PATH_MAX];
	int ret;

	ret = record_list(cookie, arena, &fabrics, &fabrics_count, err);
	for (size_t i = 0; !ret && i < fabrics_count; i++) {
		record_confirm_path(path, cookie, fabrics[i]);
		if (!access(path, F_OK))
			*arena_push(arena, names, count) = fabrics[i];
	}
	if (ret)
		return ret;
	*ret_names = names;
	*ret_count = count;
	return 0;
}
