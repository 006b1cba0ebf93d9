/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works
 *
 * A namespace lives as long as something refers to it. A name does so by a bind mount: the thread
 * makes a new namespace for itself, mounts its nsfs file (/proc/thread-self/ns/net) on an empty
 * file in the registry, and goes back. Before the mount it marks the namespace by the alias of lo:
 * whoever is killed half-way leaves an empty file or a marked namespace, and a namespace without
 * the mark is somebody else's. The registry is a shared mount point of its own, so that
 * a name made or deleted here is so in every mount namespace that received the registry. All of
 * this is what iproute2 does (ip/ipnetns.c), so that either tool can work on the other's names.
 *
 * "Being in" a namespace is per thread. Sockets and descriptors keep the namespace they were made
 * in, so visits are short. Mount namespaces are left alone: pins in the host's /sys/fs/bpf would
 * not be seen under the new /sys that a namespace's own sysfs needs. Only netns_become() makes
 * such a /sys, for a command that is going to be executed.
 */
#include "netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/net_namespace.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "link.h"
#include "log.h"
#include "netlink.h"

#define OWN_NETNS     "/proc/thread-self/ns/net"
#define ETC_DIRECTORY "/etc/netns"

/* File systems below /sys that are not of a network namespace and stay. */
static const char *const kept_mounts[] = {"/sys/fs/bpf", "/sys/fs/cgroup", "/sys/kernel/debug",
					  "/sys/kernel/tracing", "/sys/kernel/security"};

#define KEPT_MOUNTS (sizeof(kept_mounts) / sizeof(kept_mounts[0]))

/* ---- Names. */

static int make_path(char path[PATH_MAX], const char *name, struct error *err)
{
	if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/') ||
	    strlen(name) > NAME_MAX)
		return error_invalid(err, "'%s' cannot be the name of a namespace", name);
	snprintf(path, PATH_MAX, "%s/%s", NETNS_DIRECTORY, name);
	return 0;
}

/* The type is asked of nsfs files only: elsewhere the same number may be another request. */
static bool is_netns(int fd)
{
	struct statfs filesystem;

	return !fstatfs(fd, &filesystem) && filesystem.f_type == NSFS_MAGIC &&
	       ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

enum netns_status netns_status(const char *name)
{
	enum netns_status status;
	char path[PATH_MAX];
	struct error ignored;
	struct stat file;
	int fd;

	if (make_path(path, name, &ignored))
		return NETNS_ABSENT;
	if (lstat(path, &file))
		return errno == ENOENT ? NETNS_ABSENT : NETNS_PRESENT;
	if (S_ISLNK(file.st_mode) && stat(path, &file))
		return NETNS_FOREIGN;
	if (!S_ISREG(file.st_mode)) /* opening might wait, or do something */
		return NETNS_FOREIGN;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? NETNS_ABSENT : NETNS_PRESENT;
	status = is_netns(fd) ? NETNS_PRESENT : NETNS_STALE;
	close(fd);
	return status;
}

/* ---- Adding and deleting. */

/* Under the lock that iproute2 takes too: two processes at once would mount it twice. */
static int share_locked(void)
{
	bool mounted = false;

	/* EINVAL: not a mount point yet. */
	while (mount("none", NETNS_DIRECTORY, NULL, MS_SHARED | MS_REC, NULL)) {
		if (errno != EINVAL || mounted ||
		    mount(NETNS_DIRECTORY, NETNS_DIRECTORY, NULL, MS_BIND | MS_REC, NULL))
			return -errno;
		mounted = true;
	}
	return 0;
}

static int share_registry(void)
{
	int fd, code;

	if (mkdir(NETNS_DIRECTORY, 0755) && errno != EEXIST)
		return -errno;
	fd = open(NETNS_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	code = flock(fd, LOCK_EX) ? -errno : share_locked();
	close(fd);
	return code;
}

/* The namespace that the thread is in. */
static int mark(const char *alias, uint64_t *ret_cookie, struct error *err)
{
	struct netlink *nl;
	int code = netlink_open(&nl, -1, err);

	if (code)
		return code;
	link_set(nl, "lo", &(struct link_change){.alias = alias});
	code = netlink_flush(nl, NULL, err);
	if (!code)
		code = netlink_cookie(nl, ret_cookie, err);
	netlink_close(nl);
	return code;
}

/* Makes a new namespace and mounts it; the thread is back in its own on return. */
static int mount_new(const char *path, const char *alias, uint64_t *ret_cookie, struct error *err)
{
	int previous = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	int code;

	if (previous < 0)
		return error_set(err, -errno, "%s: %s", OWN_NETNS, strerror(errno));
	if (unshare(CLONE_NEWNET)) {
		code = error_set(err, -errno, "%s", strerror(errno));
		close(previous);
		return code;
	}
	code = mark(alias, ret_cookie, err);
	if (!code && mount(OWN_NETNS, path, NULL, MS_BIND, NULL))
		code = error_set(err, -errno, "%s", strerror(errno));
	netns_leave(previous);
	return code;
}

int netns_temporary(int *ret_fd, struct error *err)
{
	int previous = open(OWN_NETNS, O_RDONLY | O_CLOEXEC), fd, code = 0;

	if (previous < 0)
		return error_set(err, -errno, "%s: %s", OWN_NETNS, strerror(errno));
	if (unshare(CLONE_NEWNET)) {
		code = error_set(err, -errno, "cannot create a namespace: %s", strerror(errno));
		close(previous);
		return code;
	}
	fd = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		code = error_set(err, -errno, "%s: %s", OWN_NETNS, strerror(errno));
	netns_leave(previous);
	if (!code)
		*ret_fd = fd;
	return code;
}

int netns_add(const char *name, const char *alias, uint64_t *ret_cookie, struct error *err)
{
	char path[PATH_MAX];
	int fd, code;

	code = make_path(path, name, err);
	if (code)
		return code;
	code = share_registry();
	if (code)
		return error_set(err, code, "cannot create namespace '%s': %s: %s", name,
				 NETNS_DIRECTORY, strerror(-code));
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, -errno, "cannot create namespace '%s': %s", name,
				 strerror(errno));
	close(fd);
	code = mount_new(path, alias, ret_cookie, err);
	if (!code)
		return 0;
	unlink(path);
	return error_context(err, "cannot create namespace '%s'", name);
}

int netns_delete(const char *name, struct error *err)
{
	char path[PATH_MAX];
	int code = make_path(path, name, err);

	if (code)
		return code;
	/* EINVAL: nothing is mounted on it; ENOENT is unlink's to report. */
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) && errno != EINVAL && errno != ENOENT)
		return error_set(err, -errno, "cannot unmount namespace '%s': %s", name,
				 strerror(errno));
	if (unlink(path))
		return error_set(err, -errno, "cannot delete namespace '%s': %s", name,
				 strerror(errno));
	return 0;
}

/* ---- Reading. */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int netns_list(struct arena *arena, const char ***ret_names, size_t *ret_count, struct error *err)
{
	DIR *directory = opendir(NETNS_DIRECTORY);
	const char **names = NULL;
	struct dirent *entry;
	size_t count = 0;

	if (!directory && errno != ENOENT)
		return error_set(err, -errno, "cannot read %s: %s", NETNS_DIRECTORY,
				 strerror(errno));
	while (directory && (entry = readdir(directory)))
		if (netns_status(entry->d_name) == NETNS_PRESENT)
			*arena_push(arena, names, count) = arena_strdup(arena, entry->d_name);
	if (directory)
		closedir(directory);
	if (count)
		qsort(names, count, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_count = count;
	return 0;
}

int netns_open(const char *name_or_path, int *ret_fd, struct error *err)
{
	const char *shown = name_or_path ? name_or_path : OWN_NETNS;
	char path[PATH_MAX];
	int fd, code;

	if (!strchr(shown, '/')) {
		code = make_path(path, shown, err);
		if (code)
			return code;
		fd = open(path, O_RDONLY | O_CLOEXEC);
	} else {
		fd = open(shown, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return error_set(err, -errno, "cannot open namespace '%s': %s", shown,
				 errno == ENOENT ? "there is none" : strerror(errno));
	if (!is_netns(fd)) {
		close(fd);
		return error_set(err, -EINVAL,
				 "cannot open namespace '%s': it is not a network namespace "
				 "(perhaps a file that a killed process left)",
				 shown);
	}
	*ret_fd = fd;
	return 0;
}

int netns_cookie(int fd, uint64_t *ret_cookie, struct error *err)
{
	socklen_t size = sizeof(*ret_cookie);
	int previous, probe, code;
	uint64_t cookie;

	code = netns_enter(fd, &previous, err);
	if (code)
		return code;
	probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (probe < 0 || getsockopt(probe, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size))
		code = -errno;
	if (probe >= 0)
		close(probe);
	netns_leave(previous);
	if (code)
		return error_set(err, code, "cannot read the cookie of a namespace: %s",
				 strerror(-code));
	*ret_cookie = cookie;
	return 0;
}

static int take_id(const struct nlmsghdr *message, size_t request, void *ret_id)
{
	const struct nlattr *attribute;

	(void)request;
	mnl_attr_for_each(attribute, message, sizeof(struct rtgenmsg))
	{
		if (mnl_attr_get_type(attribute) == NETNSA_NSID)
			*(int32_t *)ret_id = (int32_t)mnl_attr_get_u32(attribute);
	}
	return 0;
}

int netns_id(int host_fd, int fd, int32_t *ret_id, struct error *err)
{
	struct nlmsghdr *message;
	struct netlink *nl;
	int32_t id = NETNSA_NSID_NOT_ASSIGNED;
	int code = netlink_open(&nl, host_fd, err);

	if (code)
		return code;
	message = netlink_queue(nl, RTM_GETNSID, 0, sizeof(struct rtgenmsg),
				"read the number of a namespace");
	mnl_attr_put_u32(message, NETNSA_FD, (uint32_t)fd);
	code = netlink_flush_answers(nl, NULL, take_id, &id, err);
	netlink_close(nl);
	if (!code)
		*ret_id = id;
	return code;
}

/* ---- Being there. */

int netns_enter(int fd, int *ret_previous, struct error *err)
{
	int previous, code;

	*ret_previous = -1;
	if (fd < 0)
		return 0;
	previous = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	if (previous >= 0 && !setns(fd, CLONE_NEWNET)) {
		*ret_previous = previous;
		return 0;
	}
	code = -errno;
	if (previous >= 0)
		close(previous);
	return error_set(err, code, "cannot enter a network namespace: %s", strerror(-code));
}

void netns_leave(int previous)
{
	int saved = errno;

	if (previous < 0)
		return;
	if (setns(previous, CLONE_NEWNET)) {
		log_error("cannot return to the own network namespace: %s", strerror(errno));
		abort();
	}
	close(previous);
	errno = saved;
}

/* ---- Running a command there. */

static bool is_mount_point(const char *path)
{
	struct statx status;

	return !statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, 0, &status) &&
	       status.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/* Copies of the mounts that stay, not attached anywhere; -1 for those that are not mounted. */
static int copy_kept(int copies[KEPT_MOUNTS], struct error *err)
{
	for (size_t i = 0; i < KEPT_MOUNTS; i++) {
		if (!is_mount_point(kept_mounts[i]))
			continue;
		copies[i] = open_tree(AT_FDCWD, kept_mounts[i],
				      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
		if (copies[i] < 0)
			return error_set(err, -errno, "cannot keep %s: %s", kept_mounts[i],
					 strerror(errno));
	}
	return 0;
}

static int attach_kept(const int copies[KEPT_MOUNTS], struct error *err)
{
	for (size_t i = 0; i < KEPT_MOUNTS; i++)
		if (copies[i] >= 0 &&
		    move_mount(copies[i], "", AT_FDCWD, kept_mounts[i], MOVE_MOUNT_F_EMPTY_PATH))
			return error_set(err, -errno, "cannot keep %s: %s", kept_mounts[i],
					 strerror(errno));
	return 0;
}

/* A sysfs shows the network of the namespace that it was mounted in. */
static int renew_sys(struct error *err)
{
	unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	int copies[KEPT_MOUNTS], code;
	struct statvfs old;

	if (!statvfs("/sys", &old) && old.f_flag & ST_RDONLY)
		flags |= MS_RDONLY; /* as containers have it */
	for (size_t i = 0; i < KEPT_MOUNTS; i++)
		copies[i] = -1;
	code = copy_kept(copies, err);
	if (!code && mount("sysfs", "/sys", "sysfs", flags, NULL))
		code = error_set(err, -errno, "cannot mount /sys: %s", strerror(errno));
	if (!code)
		code = attach_kept(copies, err);
	for (size_t i = 0; i < KEPT_MOUNTS; i++)
		if (copies[i] >= 0)
			close(copies[i]);
	return code;
}

/* One that cannot be put in place is no reason not to run the command: "ip netns exec" warns too.
 */
static void bind_etc(const char *name)
{
	char from[PATH_MAX], to[PATH_MAX];
	struct dirent *entry;
	DIR *directory;

	snprintf(from, sizeof(from), "%s/%s", ETC_DIRECTORY, name);
	directory = opendir(from);
	while (directory && (entry = readdir(directory))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(from, sizeof(from), "%s/%s/%s", ETC_DIRECTORY, name, entry->d_name);
		snprintf(to, sizeof(to), "/etc/%s", entry->d_name);
		if (mount(from, to, NULL, MS_BIND, NULL))
			log_warning("cannot put %s in place of %s: %s", from, to, strerror(errno));
	}
	if (directory)
		closedir(directory);
}

int netns_become(int fd, const char *name, struct error *err)
{
	int code;

	if (setns(fd, CLONE_NEWNET))
		return error_set(err, -errno, "cannot enter a network namespace: %s",
				 strerror(errno));
	if (unshare(CLONE_NEWNS))
		return error_set(err, -errno, "cannot leave the mount namespace: %s",
				 strerror(errno));
	/* What the host mounts later is still seen here; what is mounted here is not seen there. */
	if (mount("none", "/", NULL, MS_SLAVE | MS_REC, NULL))
		return error_set(err, -errno, "cannot make mounts private: %s", strerror(errno));
	code = renew_sys(err);
	if (!code && name)
		bind_etc(name);
	return code;
}
