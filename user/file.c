/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the text goes to a file beside the one that is meant, which then takes its place by
 * rename(2); both and the folder are synced, so that a power failure leaves one or the other. The
 * name of the file beside is ours alone: what is found under it is left by a killed process.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

/* PATH.nsroute; false when that is too long. */
static bool beside(char buffer[PATH_MAX], const char *path)
{
	return snprintf(buffer, PATH_MAX, "%s.nsroute", path) < PATH_MAX;
}

/* The folder's entries on disk. Some file systems cannot: then nobody can expect it. */
static int sync_folder(const char *path)
{
	char folder[PATH_MAX];
	char *slash;
	int fd, code = 0;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash)
		return 0;
	slash[slash == folder] = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) && errno != EINVAL)
		code = -errno;
	close(fd);
	return code;
}

static int read_text(int fd, char *buffer, size_t size)
{
	size_t used = 0;
	ssize_t got = 1;

	while (used < size && got > 0) {
		got = read(fd, buffer + used, size - used);
		if (got > 0)
			used += (size_t)got;
	}
	return got < 0 ? -errno : (int)used;
}

int file_read(const char *path, struct arena *arena, struct state_file *ret, struct error *err)
{
	struct state_file file = {.path = ret->path};
	struct stat status, target;
	char *text;
	int fd, size;

	if (lstat(path, &status)) {
		if (errno != ENOENT && errno != ENOTDIR)
			return error_set(err, -errno, "cannot look at %s: %s", path,
					 strerror(errno));
		*ret = file;
		return 0;
	}
	file.exists = true;
	file.directory =
		S_ISDIR(status.st_mode) ||
		(S_ISLNK(status.st_mode) && !stat(path, &target) && S_ISDIR(target.st_mode));
	*ret = file;
	if (!S_ISREG(status.st_mode) || status.st_size > FILE_SIZE_MAX)
		return 0;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	text = arena_alloc(arena, (size_t)status.st_size + 1);
	size = read_text(fd, text, (size_t)status.st_size);
	close(fd);
	if (size < 0)
		return error_set(err, size, "cannot read %s: %s", path, strerror(-size));
	text[size] = '\0';
	ret->text = text;
	return 0;
}

/* 1: it is ours; 0: it is gone; -EEXIST: it is another's. */
static int ownership(const char *path, const char *mark, struct error *err)
{
	struct state_file file = {.path = path};
	struct arena arena = {};
	int ret = file_read(path, &arena, &file, err);

	if (!ret && file.exists)
		ret = file.text && !strncmp(file.text, mark, strlen(mark)) ? 1 : -EEXIST;
	arena_free(&arena);
	return ret;
}

static int write_beside(const char *name, const char *text)
{
	size_t size = strlen(text), used = 0;
	int fd, code = 0;

	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	while (!code && used < size) {
		ssize_t written = write(fd, text + used, size - used);

		if (written > 0)
			used += (size_t)written;
		else if (written == 0 || errno != EINTR)
			code = written ? -errno : -ENOSPC;
	}
	/* Whatever the umask: those who ask the resolver are not root. */
	if (!code && (fchmod(fd, 0644) || fsync(fd)))
		code = -errno;
	if (close(fd) && !code)
		code = -errno;
	return code;
}

int file_write(const char *path, const char *text, const char *mark, struct error *err)
{
	int owned = ownership(path, mark, err), code;
	char name[PATH_MAX];

	if (owned == -EEXIST)
		return error_set(err, owned, "%s is not ours", path);
	if (owned < 0)
		return owned;
	if (!beside(name, path))
		return error_set(err, -ENAMETOOLONG, "cannot write %s: its name is too long", path);
	code = write_beside(name, text);
	if (code == -EEXIST && !unlink(name)) /* left by a killed process */
		code = write_beside(name, text);
	if (!code && renameat2(AT_FDCWD, name, AT_FDCWD, path, owned ? 0 : RENAME_NOREPLACE))
		code = -errno;
	if (code) {
		unlink(name);
		return error_set(err, code, "cannot write %s: %s", path, strerror(-code));
	}
	code = sync_folder(path); /* it is written, whatever that says */
	if (code)
		log_debug("cannot sync the folder of %s: %s", path, strerror(-code));
	return 0;
}

int file_delete(const char *path, const char *mark, struct error *err)
{
	int owned = ownership(path, mark, err), code = 0;
	char name[PATH_MAX];

	if (owned < 0 && owned != -EEXIST)
		return owned;
	if (beside(name, path) && unlink(name) && errno != ENOENT && errno != ENOTDIR)
		code = -errno;
	if (owned == 1 && unlink(path) && errno != ENOENT)
		code = -errno;
	if (!code && owned == 1)
		code = sync_folder(path);
	return code ? error_set(err, code, "cannot remove %s: %s", path, strerror(-code)) : 0;
}

int file_make_directory(const char *path, struct error *err)
{
	/* The mode that "mkdir -p" and package managers give it. */
	if (mkdir(path, 0755))
		return error_set(err, -errno, "cannot make directory %s: %s", path,
				 strerror(errno));
	return 0;
}

int file_remove_directory(const char *path, struct error *err)
{
	if (rmdir(path) && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
		return error_set(err, -errno, "cannot remove directory %s: %s", path,
				 strerror(errno));
	return 0;
}
