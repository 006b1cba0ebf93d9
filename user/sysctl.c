/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works
 *
 * /proc/sys/net shows the namespace of the thread that opens a file in it, whatever /proc is
 * mounted, so the thread enters the namespace, opens, and comes back.
 *
 * Sets of numbers (proc_do_large_bitmap() of kernel/sysctl.c) are longer than a page when they have
 * to be: a page of what is written is taken with each write, and from the second byte of the file
 * on what is written is added. So adding needs no look at what is there, which may change
 * meanwhile.
 */
#include "sysctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "netns.h"

#define VALUE_MAX     4096         /* bytes of most values */
#define VALUE_SET_MAX (256 * 1024) /* of a set: every other of 65,536 numbers */

/* Keys come from topology files: none may lead out of /proc/sys. */
static bool is_key(const char *key)
{
	if (!*key || *key == '/' || strlen(key) > PATH_MAX / 2)
		return false;
	for (const char *part = key; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (!strncmp(part, "..", 2) && (!part[2] || part[2] == '/'))
			return false;
	}
	return true;
}

static int open_key(int netns_fd, const char *key, int flags, int *ret_fd, struct error *err)
{
	char path[PATH_MAX];
	int previous, fd, code;

	if (!is_key(key))
		return error_invalid(err, "'%s' cannot be the name of a sysctl", key);
	snprintf(path, sizeof(path), "/proc/sys/%s", key);
	code = netns_enter(netns_fd, &previous, err);
	if (code)
		return code;
	fd = open(path, flags | O_CLOEXEC);
	code = fd < 0 ? -errno : 0;
	netns_leave(previous);
	if (code)
		return error_set(err, code, "cannot open sysctl '%s': %s", key, strerror(-code));
	*ret_fd = fd;
	return 0;
}

int sysctl_read(int netns_fd, const char *key, struct arena *arena, const char **ret_value,
		struct error *err)
{
	char small[VALUE_MAX], *value = small;
	ssize_t length;
	int fd, code;

	code = open_key(netns_fd, key, O_RDONLY, &fd, err);
	if (code == -ENOENT) {
		*ret_value = NULL;
		return 0;
	}
	if (code)
		return code;
	length = read(fd, small, sizeof(small) - 1);
	if (length == sizeof(small) - 1) {
		value = arena_alloc(arena, VALUE_SET_MAX);
		length = pread(fd, value, VALUE_SET_MAX - 1, 0);
	}
	code = length < 0 ? -errno : 0;
	close(fd);
	if (code)
		return error_set(err, code, "cannot read sysctl '%s': %s", key, strerror(-code));
	value[length] = '\0';
	value[strcspn(value, "\n")] = '\0';
	*ret_value = arena_strdup(arena, value);
	return 0;
}

int sysctl_write(int netns_fd, const char *key, const char *value, struct error *err)
{
	size_t size = strlen(value);
	ssize_t written;
	int fd, code;

	code = open_key(netns_fd, key, O_WRONLY, &fd, err);
	if (code)
		return error_context(err, "cannot set '%s' to '%s'", key, value);
	written = write(fd, value, size);
	code = written < 0 ? -errno : 0;
	if (!code && (size_t)written != size)
		code = -EINVAL; /* the kernel stopped where it did not understand */
	close(fd);
	if (code)
		return error_set(err, code, "cannot set sysctl '%s' to '%s': %s", key, value,
				 strerror(-code));
	return 0;
}

/* A page is taken with each write. */
static int write_pages(int fd, const char *value, size_t size)
{
	while (size) {
		ssize_t written = write(fd, value, size);

		if (written <= 0)
			return written ? -errno : -EINVAL;
		value += written;
		size -= (size_t)written;
	}
	return 0;
}

static int write_set(int netns_fd, const char *key, const char *value, off_t at, struct error *err)
{
	int fd, code;

	code = open_key(netns_fd, key, O_WRONLY, &fd, err);
	if (code)
		return error_context(err, "cannot set '%s' to '%.80s'", key, value);
	code = lseek(fd, at, SEEK_SET) < 0 ? -errno : 0;
	if (!code) /* nothing at all would change nothing */
		code = *value ? write_pages(fd, value, strlen(value)) : write_pages(fd, "\n", 1);
	close(fd);
	if (code)
		return error_set(err, code, "cannot set sysctl '%s' to '%.80s': %s", key, value,
				 strerror(-code));
	return 0;
}

int sysctl_add_to_set(int netns_fd, const char *key, const char *value, struct error *err)
{
	return write_set(netns_fd, key, value, 1, err);
}

int sysctl_write_set(int netns_fd, const char *key, const char *value, struct error *err)
{
	return write_set(netns_fd, key, value, 0, err);
}

int sysctl_list(int netns_fd, const char *folder, struct arena *arena, const char ***ret_names,
		size_t *ret_count, struct error *err)
{
	const char **names = NULL;
	struct dirent *entry;
	size_t count = 0;
	DIR *directory;
	int fd, code;

	code = open_key(netns_fd, folder, O_RDONLY | O_DIRECTORY, &fd, err);
	if (code && code != -ENOENT)
		return code;
	directory = code ? NULL : fdopendir(fd);
	if (!code && !directory) {
		code = error_set(err, -errno, "cannot list sysctls '%s': %s", folder,
				 strerror(errno));
		close(fd);
		return code;
	}
	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			*arena_push(arena, names, count) = arena_strdup(arena, entry->d_name);
	if (directory)
		closedir(directory);
	*ret_names = names;
	*ret_count = count;
	return 0;
}
