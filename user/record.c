/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: lines are appended with one write() each, so that a killed process leaves whole
 * lines and at most one torn one, which has no newline. Whoever opens the file for appending cuts
 * the torn line off first; whoever only reads leaves it out. A line that /run has no room for is
 * cut off at once. /run is memory: what is recorded there is gone after a reboot, and so is what it
 * is about; nothing needs fsync().
 *
 *	{"version": 1, "fabric": "lab", "file": "/home/me/lab.yaml"}
 *	{"kind": "netns", "name": "red"}
 *	{"kind": "sysctl", "name": "net/ipv4/conf/eth0/forwarding", "value": "0", "set": "1"}
 *	{"gone": "netns", "name": "red"}
 *
 * A header may come again when the file of the fabric moved. Adding what is recorded already
 * renews its value and keeps its place.
 */
#include "record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "lookup.h"

#define RECORD_LOCK     RECORD_DIRECTORY "/lock"
#define RECORD_SUFFIX   ".record"
#define CONFIRM_SUFFIX  ".confirm"
#define HOLDER_MAX      128 /* bytes of the lock's text */
#define RECORD_VERSION  1
#define RECORD_FILE_MAX (256L * 1024 * 1024) /* bytes; a namespace takes about 200 */
#define RECORD_GROWN    (64 * 1024)          /* bytes; below that what is gone does not matter */
#define RECORD_LINE     128                  /* bytes, more than most lines have */
#define LOCK_POLL_MS    50

/* The mend for a file of which nothing can be used. */
#define BY_HAND "delete the file, and by hand what its fabric made (ip netns, ip link)"

static const char *const kind_names[RECORD_KINDS] = {
	[RECORD_NETNS] = "netns",
	[RECORD_LINK] = "link",
	[RECORD_SYSCTL] = "sysctl",
	[RECORD_CLSACT] = "clsact",
	[RECORD_UPLINK] = "uplink",
	[RECORD_NETWORK] = "network",
	[RECORD_INSIDE] = "inside",
	[RECORD_NETNS_SYSCTL] = "netns_sysctl",
	[RECORD_FOLDER] = "folder",
	[RECORD_FILE] = "file",
	[RECORD_LINK_INSIDE] = "link_inside",
	[RECORD_MAC] = "mac",
	[RECORD_DEVICE] = "device",
	[RECORD_OVS_PORT] = "ovs_port",
	[RECORD_STRIPPED] = "stripped",
	[RECORD_PUBLISHED] = "published",
	[RECORD_RESERVED] = "reserved_ports",
};

/* ---- Places. */

static void record_path(char path[PATH_MAX], uint64_t cookie, const char *fabric)
{
	snprintf(path, PATH_MAX, RECORD_DIRECTORY "/%" PRIu64 "/%s" RECORD_SUFFIX, cookie, fabric);
}

void record_confirm_path(char path[PATH_MAX], uint64_t cookie, const char *fabric)
{
	snprintf(path, PATH_MAX, RECORD_DIRECTORY "/%" PRIu64 "/%s" CONFIRM_SUFFIX, cookie, fabric);
}

static int make_directory(const char *path, struct error *err)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return error_set(err, -errno, "cannot make folder %s: %s", path, strerror(errno));
	return 0;
}

void record_lock_says(int fd, const char *what)
{
	char holder[HOLDER_MAX];

	snprintf(holder, sizeof(holder), "%d, which %s\n", (int)getpid(), what);
	/* It is only for a message, and the disk may be full. */
	if (ftruncate(fd, 0) || pwrite(fd, holder, strlen(holder), 0) < 0)
		log_debug("cannot write %s: %s", RECORD_LOCK, strerror(errno));
}

int record_lock(unsigned int wait_s, const char *what, int *ret_fd, struct error *err)
{
	unsigned int left_ms = wait_s * 1000;
	char holder[HOLDER_MAX] = "";
	int fd, ret;

	ret = make_directory(RECORD_DIRECTORY, err);
	if (ret)
		return ret;
	fd = open(RECORD_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, -errno, "cannot open %s: %s", RECORD_LOCK, strerror(errno));
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			ret = error_set(err, -errno, "cannot lock %s: %s", RECORD_LOCK,
					strerror(errno));
			close(fd);
			return ret;
		}
		if (left_ms < LOCK_POLL_MS) {
			if (pread(fd, holder, sizeof(holder) - 1, 0) < 0)
				holder[0] = '\0';
			holder[strcspn(holder, "\n")] = '\0';
			close(fd);
			return error_set(err, -EBUSY,
					 "another nsroute (process %s) is changing things",
					 holder[0] ? holder : "unknown");
		}
		nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_MS * 1000000L}, NULL);
		left_ms -= LOCK_POLL_MS;
	}
	record_lock_says(fd, what);
	*ret_fd = fd;
	return 0;
}

/* ---- Reading. */

/* The entries while lines are read; those that are gone have no name any more. */
struct reader {
	struct arena *arena;
	struct record *record;
	struct lookup places; /* "kind name" -> size_t: place in entries, SIZE_MAX when gone */
};

static char *place_key(struct arena *arena, enum record_kind kind, const char *name)
{
	return arena_printf(arena, "%d %s", (int)kind, name);
}

static const char *text_of(struct arena *arena, const json_t *line, const char *key)
{
	const char *text = json_string_value(json_object_get(line, key));

	return text ? arena_strdup(arena, text) : "";
}

static bool kind_of(const json_t *line, const char *key, enum record_kind *ret_kind)
{
	const char *word = json_string_value(json_object_get(line, key));

	for (int kind = 0; word && kind < RECORD_KINDS; kind++) {
		if (strcmp(word, kind_names[kind]))
			continue;
		*ret_kind = (enum record_kind)kind;
		return true;
	}
	return false;
}

static void read_entry(struct reader *reader, const json_t *line, enum record_kind kind, bool gone)
{
	struct record *record = reader->record;
	struct record_entry entry = {
		.kind = kind,
		.name = text_of(reader->arena, line, "name"),
		.value = text_of(reader->arena, line, "value"),
		.set = text_of(reader->arena, line, "set"),
	};
	char *key = place_key(reader->arena, kind, entry.name);
	size_t *place = lookup_find(&reader->places, key);

	if (!place) {
		place = arena_alloc(reader->arena, sizeof(*place));
		*place = SIZE_MAX;
		lookup_add(&reader->places, reader->arena, key, place);
	}
	if (gone) {
		if (*place != SIZE_MAX)
			record->entries[*place].name = NULL;
		*place = SIZE_MAX;
	} else if (*place != SIZE_MAX) {
		record->entries[*place] = entry;
	} else {
		*place = record->count;
		*arena_push(reader->arena, record->entries, record->count) = entry;
	}
}

static int read_line(struct reader *reader, const char *text, size_t size, const char *path,
		     struct error *err)
{
	json_t *line = json_loadb(text, size, 0, NULL);
	json_int_t version;
	enum record_kind kind;
	int ret = 0;

	if (json_object_get(line, "version")) {
		version = json_integer_value(json_object_get(line, "version"));
		reader->record->file = text_of(reader->arena, line, "file");
		if (version != RECORD_VERSION)
			ret = error_set(err, -ENOTSUP,
					"%s was written by another nsroute (format %lld, not %d); "
					"remove the fabric with that one",
					path, (long long)version, RECORD_VERSION);
	} else if (kind_of(line, "kind", &kind)) {
		read_entry(reader, line, kind, false);
	} else if (kind_of(line, "gone", &kind)) {
		read_entry(reader, line, kind, true);
	} else {
		ret = error_set(
			err, -EBADMSG,
			"%s has a line that is not understood; delete it there, and by hand "
			"what it tells of: %.*s",
			path, size > 80 ? 80 : (int)size, text);
	}
	json_decref(line);
	return ret;
}

static void drop_gone(struct record *record)
{
	size_t kept = 0;

	for (size_t i = 0; i < record->count; i++)
		if (record->entries[i].name)
			record->entries[kept++] = record->entries[i];
	record->count = kept;
}

/* The whole file, terminated; *ret_whole is the size up to its last newline. */
static int load(int fd, const char *path, char **ret_text, size_t *ret_whole, struct error *err)
{
	struct stat status;
	size_t used = 0;
	ssize_t got = 1;
	char *text;

	if (fstat(fd, &status))
		return error_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
	if (status.st_size > RECORD_FILE_MAX)
		return error_set(err, -EFBIG, "%s is larger than any record can be; " BY_HAND,
				 path);
	text = malloc((size_t)status.st_size + 1);
	if (!text)
		return error_set(err, -ENOMEM, "cannot read %s: out of memory", path);
	while (used < (size_t)status.st_size && got > 0) {
		got = pread(fd, text + used, (size_t)status.st_size - used, (off_t)used);
		if (got > 0)
			used += (size_t)got;
	}
	if (got < 0) {
		free(text);
		return error_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
	}
	text[used] = '\0';
	while (used && text[used - 1] != '\n')
		used--;
	*ret_text = text;
	*ret_whole = used;
	return 0;
}

int record_read(uint64_t cookie, const char *fabric, struct arena *arena, struct record **ret,
		struct error *err)
{
	struct record *record = arena_alloc(arena, sizeof(*record));
	struct reader reader = {.arena = arena, .record = record};
	char path[PATH_MAX], *text = NULL, *line;
	size_t whole = 0;
	int fd, result;

	record_path(path, cookie, fabric);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return error_set(err, -ENOENT, "there is no fabric '%s' here", fabric);
	if (fd < 0)
		return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	record->fabric = arena_strdup(arena, fabric);
	record->file = "";
	result = load(fd, path, &text, &whole, err);
	if (result)
		goto cleanup;
	for (line = text; !result && line < text + whole;) {
		char *end = strchr(line, '\n');

		result = end ? read_line(&reader, line, (size_t)(end - line), path, err)
			     : error_set(err, -EBADMSG, "%s is not text; " BY_HAND, path);
		line = end ? end + 1 : line;
	}
	drop_gone(record);
	if (!result)
		*ret = record;
cleanup:
	free(text);
	close(fd);
	return result;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int record_list(uint64_t cookie, struct arena *arena, const char ***ret_names, size_t *ret_count,
		struct error *err)
{
	const char **names = NULL;
	struct dirent *entry;
	char path[PATH_MAX];
	size_t count = 0;
	DIR *directory;

	snprintf(path, sizeof(path), RECORD_DIRECTORY "/%" PRIu64, cookie);
	directory = opendir(path);
	if (!directory && errno != ENOENT)
		return error_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
	while (directory && (entry = readdir(directory))) {
		size_t length = strlen(entry->d_name);

		if (length <= strlen(RECORD_SUFFIX) ||
		    strcmp(entry->d_name + length - strlen(RECORD_SUFFIX), RECORD_SUFFIX))
			continue;
		*arena_push(arena, names, count) = arena_printf(
			arena, "%.*s", (int)(length - strlen(RECORD_SUFFIX)), entry->d_name);
	}
	if (directory)
		closedir(directory);
	if (count)
		qsort(names, count, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_count = count;
	return 0;
}

/* ---- Writing. */

/* All of it or nothing: a part of a line would spoil the one that is written after it. */
static int write_line(int fd, const char *line, size_t size)
{
	ssize_t written = write(fd, line, size);

	if (written == (ssize_t)size)
		return 0;
	if (written < 0 || ftruncate(fd, lseek(fd, 0, SEEK_END) - written))
		return -errno;
	return -ENOSPC;
}

/* Takes the reference of line. */
static int append(int fd, json_t *line, struct error *err)
{
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	char *whole = NULL;
	int ret, length;

	json_decref(line);
	length = text ? asprintf(&whole, "%s\n", text) : -1;
	free(text);
	if (length < 0)
		return error_set(err, -ENOMEM, "cannot write the record: out of memory");
	ret = write_line(fd, whole, (size_t)length);
	free(whole);
	return ret ? error_set(err, ret, "cannot write the record in %s: %s", RECORD_DIRECTORY,
			       strerror(-ret))
		   : 0;
}

/* A path that is not UTF-8 cannot be kept; nothing but "show" misses it. */
static json_t *header_line(const char *fabric, const char *file)
{
	json_t *line = json_pack("{s:i, s:s}", "version", RECORD_VERSION, "fabric", fabric);
	char *absolute = file ? realpath(file, NULL) : NULL;
	json_t *path = json_string(absolute ? absolute : file ? file : "");

	json_object_set_new(line, "file", path ? path : json_string(""));
	free(absolute);
	return line;
}

/* Opens the file at path and makes it ready for appending; *ret_whole is the size of what it had.
 */
static int open_file(const char *path, const char *fabric, const char *file, int *ret_fd,
		     size_t *ret_whole, struct error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600), ret;
	char *text;

	if (fd < 0)
		return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	ret = load(fd, path, &text, ret_whole, err);
	if (ret)
		goto cleanup;
	free(text);
	if (ftruncate(fd, (off_t)*ret_whole))
		ret = error_set(err, -errno, "cannot write %s: %s", path, strerror(errno));
	else if (file || !*ret_whole)
		ret = append(fd, header_line(fabric, file), err);
cleanup:
	if (ret)
		close(fd);
	else
		*ret_fd = fd;
	return ret;
}

static void path_aside(char aside[PATH_MAX], uint64_t cookie, const char *fabric)
{
	snprintf(aside, PATH_MAX, RECORD_DIRECTORY "/%" PRIu64 "/%s" RECORD_SUFFIX ".new", cookie,
		 fabric);
}

static int write_anew(const char *path, const struct record *record, struct error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600), ret;

	if (fd < 0)
		return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	ret = append(fd, header_line(record->fabric, record->file), err);
	for (size_t i = 0; !ret && i < record->count; i++)
		ret = record_add(fd, &record->entries[i], err);
	close(fd);
	return ret;
}

/* Of a fabric that is edited all day, most lines are about what has come and gone. A file without
 * them takes the place of the old one at once; when there is no room for it now, the old one is as
 * good. */
static void compact(const char *path, uint64_t cookie, const char *fabric)
{
	struct arena arena = {0};
	char aside[PATH_MAX];
	struct record *record;
	struct error ignored;
	struct stat status;

	if (stat(path, &status) || status.st_size < RECORD_GROWN ||
	    record_read(cookie, fabric, &arena, &record, &ignored) ||
	    (off_t)record->count * RECORD_LINE > status.st_size / 2)
		goto cleanup;
	path_aside(aside, cookie, fabric);
	if (write_anew(aside, record, &ignored) || rename(aside, path))
		unlink(aside);
cleanup:
	arena_free(&arena);
}

int record_open(uint64_t cookie, const char *fabric, const char *file, int *ret_fd,
		struct error *err)
{
	size_t whole = SIZE_MAX; /* unknown */
	struct error ignored;
	char path[PATH_MAX];
	int ret;

	snprintf(path, sizeof(path), RECORD_DIRECTORY "/%" PRIu64, cookie);
	ret = make_directory(RECORD_DIRECTORY, err);
	if (!ret)
		ret = make_directory(path, err);
	if (ret)
		return ret;
	record_path(path, cookie, fabric);
	compact(path, cookie, fabric);
	ret = open_file(path, fabric, file, ret_fd, &whole, err);
	if (ret && !whole)
		unlink(path);
	if (ret)
		record_remove_folder(cookie, &ignored);
	return ret;
}

/* False: it cannot be kept, for it is not UTF-8 (or there is no memory). */
static bool set_text(json_t *line, const char *key, const char *text)
{
	return !text || !*text || !json_object_set_new(line, key, json_string(text));
}

int record_add(int fd, const struct record_entry *entry, struct error *err)
{
	json_t *line = json_pack("{s:s}", "kind", kind_names[entry->kind]);

	if (set_text(line, "name", entry->name) && set_text(line, "value", entry->value) &&
	    set_text(line, "set", entry->set))
		return append(fd, line, err);
	json_decref(line);
	return error_set(
		err, -EILSEQ,
		"'%s' cannot be recorded, because it, or what it has, is not UTF-8; rename "
		"it",
		entry->name);
}

int record_gone(int fd, const struct record_entry *entry, struct error *err)
{
	return append(fd,
		      json_pack("{s:s, s:s}", "gone", kind_names[entry->kind], "name", entry->name),
		      err);
}

int record_remove(uint64_t cookie, const char *fabric, struct error *err)
{
	char path[PATH_MAX];

	record_path(path, cookie, fabric);
	if (unlink(path) && errno != ENOENT)
		return error_set(err, -errno, "cannot remove %s: %s", path, strerror(errno));
	path_aside(path, cookie, fabric);
	unlink(path); /* of one that was killed while it wrote it */
	record_confirm_path(path, cookie, fabric);
	if (unlink(path) && errno != ENOENT) /* of one that was killed while it waited */
		return error_set(err, -errno, "cannot remove %s: %s", path, strerror(errno));
	return record_remove_folder(cookie, err);
}

int record_remove_folder(uint64_t cookie, struct error *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), RECORD_DIRECTORY "/%" PRIu64, cookie);
	if (rmdir(path) && errno != ENOTEMPTY && errno != ENOENT && errno != EEXIST)
		return error_set(err, -errno, "cannot remove %s: %s", path, strerror(errno));
	return 0;
}

/* ---- Asking. */

const struct record_entry *record_find(const struct record *record, enum record_kind kind,
				       const char *name)
{
	for (size_t i = 0; record && i < record->count; i++)
		if (record->entries[i].kind == kind && !strcmp(record->entries[i].name, name))
			return &record->entries[i];
	return NULL;
}

bool record_has(const struct record *record, enum record_kind kind, const char *name)
{
	return record_find(record, kind, name);
}

bool record_is_namespace(const struct record_entry *entry, uint64_t cookie)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, cookie);
	return entry && (!*entry->value || !strcmp(entry->value, text));
}
