/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * yaml_tree - one YAML document as a tree of nodes that know their line and column.
 *
 * It takes the part of YAML that a configuration needs: block and flow mappings and sequences,
 * plain and quoted scalars. Scalars stay strings; whoever reads the tree knows what they should be.
 */
#ifndef NSROUTE_YAML_TREE_H
#define NSROUTE_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "topology.h"

enum yaml_tree_kind {
	YAML_TREE_BROKEN, /* an error about it is in the list: nothing more to say */
	YAML_TREE_SCALAR,
	YAML_TREE_SEQUENCE,
	YAML_TREE_MAPPING,
};

struct yaml_tree_node {
	enum yaml_tree_kind kind;
	struct position at;
	const char *text;             /* scalar */
	bool plain;                   /* scalar: not quoted; "" means that nothing was written */
	struct yaml_tree_node *items; /* sequence */
	struct yaml_tree_pair *pairs; /* mapping, in the order of the file; each key once */
	size_t count;                 /* items or pairs */
};

struct yaml_tree_pair {
	const char *key;
	struct position at;
	struct yaml_tree_node value;
};

/* Parses the one document in text. Adds every error it finds to the list: encoding, control
 * characters, tabs, anchors, aliases, tags, keys that are no scalars, duplicate keys, more
 * documents, nesting beyond depth_max, what libyaml refuses. The root is returned also when the
 * rest of the document could be understood in spite of errors; NULL when it could not, or is empty
 * (an error). */
struct yaml_tree_node *yaml_tree_parse(const char *file, const char *text, size_t size,
				       unsigned int depth_max, struct arena *arena,
				       struct error_list *errors, bool *ret_whole);

/* Text as it may stand in a message: control characters replaced, at most 96 bytes. */
const char *yaml_tree_shown(const char *text, struct arena *arena);

#endif
