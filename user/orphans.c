/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the kernel never gives the cookie of a network namespace twice while the machine
 * runs, and /run and bpffs do not outlive that. So a cookie that no living namespace has is one of
 * the dead. The living ones are found where they are held: by a thread, by a name or another mount,
 * by a descriptor. Each is asked for its cookie once; its inode tells that it was. A place where it
 * is seen but may not be opened is no matter when another place lets us in.
 *
 * Whatever keeps that from being complete makes it unsure, and then nobody is known to be dead: a
 * pid namespace below the first one hides processes, and so does what may not be read. One kind of
 * holder cannot be seen: a socket without any process, name or descriptor in its namespace. Nobody
 * plays the host like that.
 */
#include "orphans.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath.h"
#include "lookup.h"
#include "netns.h"
#include "record.h"

#define FIRST_PID_NAMESPACE 0xeffffffcU /* include/linux/proc_ns.h: PROC_PID_INIT_INO */
#define NSFS_LINE           " - nsfs "  /* of mountinfo: the type of the file system */

struct sighting {
	bool visited;
};

struct census {
	struct arena *arena;
	struct lookup inodes; /* text -> struct sighting */
	size_t unvisited;
	uint64_t *cookies;
	size_t count;
	bool unsure;
};

/* ---- The living. */

/* Processes and descriptors come and go; anything else that cannot be read hides something. */
static void missed(struct census *census)
{
	if (errno != ENOENT && errno != ESRCH && errno != EINVAL) /* EINVAL: a zombie's mounts */
		census->unsure = true;
}

static struct sighting *sighting_of(struct census *census, const char *inode)
{
	struct sighting *sighting = lookup_find(&census->inodes, inode);

	if (sighting)
		return sighting;
	sighting = arena_alloc(census->arena, sizeof(*sighting));
	lookup_add(&census->inodes, census->arena, arena_strdup(census->arena, inode), sighting);
	census->unvisited++;
	return sighting;
}

/* The namespace that the file is, if it has not been visited: inode is "net:[NUMBER]". */
static void visit(struct census *census, const char *path, const char *inode)
{
	struct sighting *sighting = sighting_of(census, inode);
	struct error ignored;
	uint64_t cookie;
	int fd;

	if (sighting->visited)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && !netns_cookie(fd, &cookie, &ignored)) {
		*arena_push(census->arena, census->cookies, census->count) = cookie;
		sighting->visited = true;
		census->unvisited--;
	}
	if (fd >= 0)
		close(fd);
}

static void visit_link(struct census *census, const char *path)
{
	char target[64];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (length < 0) {
		missed(census);
		return;
	}
	target[length] = '\0';
	if (!strncmp(target, "net:[", 5))
		visit(census, path, target);
}

/* Calls for each entry of a folder that is a number, with its path. */
static void each_number(struct census *census, const char *path,
			void (*act)(struct census *, const char *))
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	if (!folder)
		missed(census);
	while (folder && (entry = readdir(folder))) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		act(census, arena_printf(census->arena, "%s/%s", path, entry->d_name));
	}
	if (folder)
		closedir(folder);
}

static void visit_thread(struct census *census, const char *path)
{
	visit_link(census, arena_printf(census->arena, "%s/ns/net", path));
}

/* A line "ID PARENT DEVICE net:[INODE] MOUNTPOINT ... - nsfs ..." of mountinfo. */
static void visit_mount(struct census *census, const char *process, const char *line)
{
	char inode[64], point[PATH_MAX];

	if (!strstr(line, NSFS_LINE) ||
	    sscanf(line, "%*s %*s %*s %63s %4095s", inode, point) != 2 ||
	    strncmp(inode, "net:[", 5))
		return;
	visit(census, arena_printf(census->arena, "%s/root%s", process, point), inode);
}

static void visit_mounts(struct census *census, const char *process)
{
	FILE *file = fopen(arena_printf(census->arena, "%s/mountinfo", process), "re");
	char *line = NULL;
	size_t room = 0;

	if (!file)
		missed(census);
	while (file && getline(&line, &room, file) >= 0)
		visit_mount(census, process, line);
	free(line);
	if (file)
		fclose(file);
}

static void visit_process(struct census *census, const char *path)
{
	each_number(census, arena_printf(census->arena, "%s/task", path), visit_thread);
	each_number(census, arena_printf(census->arena, "%s/fd", path), visit_link);
	visit_mounts(census, path);
}

static void take_census(struct census *census)
{
	struct stat status;

	if (stat("/proc/self/ns/pid", &status) || status.st_ino != FIRST_PID_NAMESPACE)
		census->unsure = true;
	each_number(census, "/proc", visit_process);
	if (census->unvisited)
		census->unsure = true; /* seen a moment ago, and may be still there */
}

static bool lives(const struct census *census, uint64_t cookie)
{
	for (size_t i = 0; i < census->count; i++)
		if (census->cookies[i] == cookie)
			return true;
	return false;
}

/* ---- The dead. */

struct cookies {
	uint64_t *list;
	size_t count;
};

static bool is_listed(const struct cookies *cookies, uint64_t cookie)
{
	for (size_t i = 0; i < cookies->count; i++)
		if (cookies->list[i] == cookie)
			return true;
	return false;
}

/* The numbers that a folder's entries begin with: "COOKIE", "COOKIE-new". */
static int add_cookies(const char *path, struct arena *arena, struct cookies *cookies,
		       struct error *err)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	char *end;

	if (!folder && errno != ENOENT)
		return error_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
	while (folder && (entry = readdir(folder))) {
		uint64_t cookie = strtoull(entry->d_name, &end, 10);

		if (end != entry->d_name && (!*end || !strcmp(end, "-new")) &&
		    !is_listed(cookies, cookie))
			*arena_push(arena, cookies->list, cookies->count) = cookie;
	}
	if (folder)
		closedir(folder);
	return 0;
}

int orphans_find(struct arena *arena, struct orphan **ret, size_t *ret_count, bool *ret_sure,
		 struct error *err)
{
	struct census census = {.arena = arena};
	struct orphan *orphans = NULL, *orphan;
	struct cookies cookies = {};
	size_t count = 0;
	int code;

	/* Before the census: a namespace that is new since then is not among them. */
	code = add_cookies(RECORD_DIRECTORY, arena, &cookies, err);
	if (!code)
		code = add_cookies(DATAPATH_PINS, arena, &cookies, err);
	if (code)
		return code;
	if (cookies.count)
		take_census(&census);
	*ret_sure = true;
	for (size_t i = 0; !code && i < cookies.count; i++) {
		if (lives(&census, cookies.list[i]))
			continue;
		*ret_sure &= !census.unsure;
		if (census.unsure)
			continue;
		orphan = arena_push(arena, orphans, count);
		orphan->cookie = cookies.list[i];
		code = record_list(orphan->cookie, arena, &orphan->fabrics, &orphan->fabrics_count,
				   err);
	}
	if (code)
		return code;
	*ret = orphans;
	*ret_count = count;
	return 0;
}

/* ---- Whose a namespace is. */

static const char *fabric_with(uint64_t cookie, const char *namespace, struct arena *arena)
{
	struct error ignored;
	struct record *record;
	const char **fabrics;
	size_t count = 0;

	if (record_list(cookie, arena, &fabrics, &count, &ignored))
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (!record_read(cookie, fabrics[i], arena, &record, &ignored) &&
		    record_has(record, RECORD_NETNS, namespace))
			return fabrics[i];
	return NULL;
}

static bool has_cookie(const char *name_or_path, uint64_t cookie)
{
	uint64_t found = 0;
	struct error ignored;
	int fd;

	if (netns_open(name_or_path, &fd, &ignored))
		return false;
	if (netns_cookie(fd, &found, &ignored))
		found = 0;
	close(fd);
	return found == cookie;
}

/* A name to find the host namespace by; one without a name lives in its processes, or not at all.
 */
static const char *words_for(uint64_t cookie, struct arena *arena)
{
	struct error ignored;
	const char **names;
	size_t count = 0;

	if (has_cookie("/proc/1/ns/net", cookie))
		return "the initial host namespace";
	if (netns_list(arena, &names, &count, &ignored))
		count = 0;
	for (size_t i = 0; i < count; i++)
		if (has_cookie(names[i], cookie))
			return arena_printf(arena, "host namespace '%s' (nsroute --netns %s)",
					    names[i], names[i]);
	return arena_printf(arena,
			    "a host namespace that has no name (number %" PRIu64 "), or is gone "
			    "(then \"nsroute down --orphans\" removes it)",
			    cookie);
}

const char *orphans_owner(uint64_t cookie, const char *namespace, struct arena *arena)
{
	struct cookies cookies = {};
	struct error ignored;
	const char *fabric;

	if (add_cookies(RECORD_DIRECTORY, arena, &cookies, &ignored))
		return NULL;
	for (size_t i = 0; i < cookies.count; i++) {
		if (cookies.list[i] == cookie)
			continue;
		fabric = fabric_with(cookies.list[i], namespace, arena);
		if (fabric)
			return arena_printf(arena, "fabric '%s' of %s", fabric,
					    words_for(cookies.list[i], arena));
	}
	return NULL;
}

/* ---- What is somebody else's by now. */

static bool is_shared_name(enum record_kind kind)
{
	return kind == RECORD_NETNS || kind == RECORD_FOLDER || kind == RECORD_FILE;
}

static const char *claim(struct arena *arena, const struct record_entry *entry)
{
	return arena_printf(arena, "%d %s", (int)entry->kind, entry->name);
}

static int add_claims(uint64_t cookie, struct arena *arena, struct lookup *claims,
		      struct error *err)
{
	const char **fabrics;
	struct record *record;
	size_t count;
	int code = record_list(cookie, arena, &fabrics, &count, err);

	for (size_t i = 0; !code && i < count; i++) {
		code = record_read(cookie, fabrics[i], arena, &record, err);
		for (size_t j = 0; !code && j < record->count; j++)
			if (is_shared_name(record->entries[j].kind))
				lookup_add(claims, arena, claim(arena, &record->entries[j]),
					   claims);
	}
	return code;
}

static int disclaim(uint64_t cookie, const char *fabric, struct arena *arena,
		    const struct lookup *claims, struct error *err)
{
	struct record *record;
	int fd, code = record_read(cookie, fabric, arena, &record, err);

	if (!code)
		code = record_open(cookie, fabric, NULL, &fd, err);
	if (code)
		return code;
	for (size_t i = 0; !code && i < record->count; i++)
		if (is_shared_name(record->entries[i].kind) &&
		    lookup_find(claims, claim(arena, &record->entries[i])))
			code = record_gone(fd, &record->entries[i], err);
	close(fd);
	return code;
}

int orphans_disclaim(const struct orphan *orphans, size_t count, struct arena *arena,
		     struct error *err)
{
	struct cookies cookies = {}, dead = {};
	struct lookup claims = {};
	int code = add_cookies(RECORD_DIRECTORY, arena, &cookies, err);

	for (size_t i = 0; i < count; i++)
		*arena_push(arena, dead.list, dead.count) = orphans[i].cookie;
	for (size_t i = 0; !code && i < cookies.count; i++)
		if (!is_listed(&dead, cookies.list[i]))
			code = add_claims(cookies.list[i], arena, &claims, err);
	for (size_t i = 0; !code && i < count; i++)
		for (size_t j = 0; !code && j < orphans[i].fabrics_count; j++)
			code = disclaim(orphans[i].cookie, orphans[i].fabrics[j], arena, &claims,
					err);
	return code;
}
