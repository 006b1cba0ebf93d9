/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: bytes -> yaml_tree (nodes with positions) -> topology_schema (the model) ->
 * topology_check(). Each step reports all it can and the next one works with what there is, except
 * that a document whose structure broke off is not judged as a whole.
 */
#include "topology_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "topology_schema.h"
#include "yaml_tree.h"

#define READ_SIZE_FIRST      65536
#define TOPOLOGY_MTU_DEFAULT 1500

int topology_parse(const char *name, const char *text, size_t size, struct arena *arena,
		   struct topology **ret_topology, struct error_list *errors)
{
	struct yaml_reader reader = {.file = name, .arena = arena, .errors = errors, .object = ""};
	struct topology *topology = arena_alloc(arena, sizeof(*topology));
	struct yaml_tree_node *root = NULL;

	*topology =
		(struct topology){.file = arena_strdup(arena, name), .mtu = TOPOLOGY_MTU_DEFAULT};
	if (size > TOPOLOGY_FILE_MAX)
		error_list_add(errors, name, (struct position){},
			       "larger than %d MiB: not a topology", TOPOLOGY_FILE_MAX >> 20);
	else
		root = yaml_tree_parse(name, text, size, TOPOLOGY_DEPTH_MAX, arena, errors,
				       &reader.whole);
	if (root)
		yaml_read_keys(&reader, "the file", root, topology_keys, topology);
	if (root && reader.whole)
		topology_check(topology, arena, errors);
	error_list_finish(errors, name);
	if (errors->count)
		return -EINVAL;
	*ret_topology = topology;
	return 0;
}

/* Reads to the end, or one byte more than a topology may have. The caller frees *ret_text. */
static int read_all(int fd, char **ret_text, size_t *ret_size)
{
	size_t size = 0, room = 0;
	char *text = NULL;

	while (size <= TOPOLOGY_FILE_MAX) {
		ssize_t got;

		if (size == room) {
			char *bigger;

			room = room ? 2 * room : READ_SIZE_FIRST;
			bigger = realloc(text, room);
			if (!bigger) {
				free(text);
				return -ENOMEM;
			}
			text = bigger;
		}
		got = read(fd, text + size, room - size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int code = -errno;

			free(text);
			return code;
		}
		if (got == 0)
			break;
		size += (size_t)got;
	}
	*ret_text = text;
	*ret_size = size;
	return 0;
}

int topology_read(const char *path, struct arena *arena, struct topology **ret_topology,
		  struct error_list *errors)
{
	bool from_stdin = !strcmp(path, "-");
	int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int code = fd < 0 ? -errno : 0;
	char *text = NULL;
	size_t size = 0;

	if (!code)
		code = read_all(fd, &text, &size);
	if (fd >= 0 && !from_stdin)
		close(fd);
	if (code) {
		error_list_add(errors, path, (struct position){}, "cannot read it: %s",
			       strerror(-code));
		return code;
	}
	code = topology_parse(from_stdin ? "(standard input)" : path, text, size, arena,
			      ret_topology, errors);
	free(text);
	return code;
}
