/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * file - small files of ours among those of others.
 *
 * A file of ours begins with a mark. One that does not is neither written nor removed, whatever
 * the caller saw there before. Paths are absolute; the last part is never followed when it is a
 * symbolic link.
 */
#ifndef NSROUTE_FILE_H
#define NSROUTE_FILE_H

#include "arena.h"
#include "error.h"
#include "kernel_state.h"

#define FILE_SIZE_MAX 65536 /* of ours, and of what is read of others' */

/* What lies there, in *ret, but for the path. */
int file_read(const char *path, struct arena *arena, struct state_file *ret, struct error *err);

/* All of it or what was there before, at every instant and on disk. -EEXIST: it has no mark. */
int file_write(const char *path, const char *text, const char *mark, struct error *err);
/* Also removes what a killed file_write() left. What has no mark, or is gone, is left. */
int file_delete(const char *path, const char *mark, struct error *err);

/* -EEXIST when there is one. */
int file_make_directory(const char *path, struct error *err);
/* Unless it is gone, or there is something in it. */
int file_remove_directory(const char *path, struct error *err);

#endif
