/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: records and pins are in folders that have the cookie of a host namespace as their
 * name. A folder is an orphan when nobody holds such a namespace any more: no process is in it, and
 * nothing is mounted of it (as /run/netns has it, and container engines elsewhere). Pins without
 * any record beside them are orphans, too.
 *
 * Namespaces are told apart by their inode first, so that many processes in one are asked about
 * once.
 */
#include "doctor.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netns.h"

#define RECORDS   "/run/nsroute"
#define PINS      "/sys/fs/bpf/nsroute"
#define PATH_SIZE 512

struct holders {
	struct arena *arena;
	struct lookup inodes, cookies;
};

static void add_holder(struct holders *holders, const char *path)
{
	struct error err;
	struct stat info;
	uint64_t cookie;
	int fd;

	if (stat(path, &info) != 0 ||
	    lookup_add(&holders->inodes, holders->arena,
		       arena_printf(holders->arena, "%ju/%ju", (uintmax_t)info.st_dev,
				    (uintmax_t)info.st_ino),
		       holders) ||
	    netns_open(path, &fd, &err) != 0)
		return;
	if (netns_cookie(fd, &cookie, &err) == 0)
		lookup_add(&holders->cookies, holders->arena,
			   arena_printf(holders->arena, "%" PRIu64, cookie), holders);
	close(fd);
}

/* "ID PARENT DEV ROOT MOUNTPOINT ..."; of a namespace ROOT is "net:[INODE]". */
static void add_mounted(struct holders *holders)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[2 * PATH_SIZE], root[PATH_SIZE], path[PATH_SIZE];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%*s %*s %*s %511s %511s", root, path) == 2 &&
		    !strncmp(root, "net:[", 5))
			add_holder(holders, path);
	if (file)
		fclose(file);
}

static void add_processes(struct holders *holders)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	char path[PATH_SIZE];

	while (directory && (entry = readdir(directory))) {
		if (*entry->d_name < '1' || *entry->d_name > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/ns/net", entry->d_name);
		add_holder(holders, path);
	}
	if (directory)
		closedir(directory);
}

static void add_orphan(struct doctor_world *world, const char *what, const char *folder,
		       const char *cookie)
{
	struct doctor_orphan *orphan =
		arena_push(world->arena, world->orphans, world->orphans_count);

	orphan->what = what;
	orphan->where = arena_printf(world->arena, "%s/%s", folder, cookie);
	orphan->mend = arena_printf(world->arena, "%srm -r %s", world->prefix, orphan->where);
}

static void look_in(struct doctor_world *world, const struct holders *holders, const char *folder,
		    const char *what)
{
	DIR *directory = opendir(folder);
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (*entry->d_name >= '0' && *entry->d_name <= '9' &&
		    !lookup_find(&holders->cookies, entry->d_name))
			add_orphan(world, what, folder, arena_strdup(world->arena, entry->d_name));
	if (directory)
		closedir(directory);
}

void doctor_look_for_orphans(struct doctor_world *world, uint64_t cookie)
{
	struct holders holders = {.arena = world->arena};
	const char *own = arena_printf(world->arena, "%" PRIu64, cookie);
	char path[PATH_SIZE];

	lookup_add(&holders.cookies, world->arena, own, world);
	add_mounted(&holders);
	add_processes(&holders);
	look_in(world, &holders, RECORDS,
		"the record of fabrics in a host namespace that nobody holds any more");
	look_in(world, &holders, PINS,
		"programs and tables of a host namespace that nobody holds any more");
	snprintf(path, sizeof(path), PINS "/%s", own);
	if (!world->state->others_count && access(path, F_OK) == 0)
		add_orphan(world, "programs and tables of this host namespace, which has no fabric",
			   PINS, own);
}
