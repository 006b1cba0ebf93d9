// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * nlcount - counts the netlink messages that a program sends: a library for LD_PRELOAD.
 *
 * How it works: it stands before the C library's send(), sendto() and sendmsg(). What goes to a
 * netlink socket is walked message by message, so that a batch in one call counts as what it is. At
 * its end the process appends one line with its number to the file that NLCOUNT names. A command
 * that never ends by exit() or return does not report.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned long messages;

static int is_netlink(int fd)
{
	socklen_t size = sizeof(int);
	int domain;

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain == AF_NETLINK;
}

static void count(int fd, const void *data, size_t size)
{
	const struct nlmsghdr *message = data;
	unsigned int left = (unsigned int)size;

	if (!is_netlink(fd))
		return;
	for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left))
		__atomic_fetch_add(&messages, 1, __ATOMIC_RELAXED);
}

static void *next(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	if (!function)
		abort();
	return function;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) = next("send");

	count(fd, data, size);
	return real(fd, data, size, flags);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address,
	       socklen_t address_size)
{
	ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) =
		next("sendto");

	count(fd, data, size);
	return real(fd, data, size, flags, address, address_size);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t (*real)(int, const struct msghdr *, int) = next("sendmsg");

	for (size_t i = 0; i < message->msg_iovlen; i++) /* nobody here splits a message */
		count(fd, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
	return real(fd, message, flags);
}

__attribute__((destructor)) static void report(void)
{
	const char *path = getenv("NLCOUNT");
	char line[32];
	int fd, length;

	if (!path)
		return;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	length = snprintf(line, sizeof(line), "%lu\n", messages);
	if (fd < 0 || write(fd, line, (size_t)length) != length)
		perror("nlcount");
	if (fd >= 0)
		close(fd);
}
