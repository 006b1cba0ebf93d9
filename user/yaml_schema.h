/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * yaml_schema - reads the nodes of a YAML tree as what a key says they are.
 *
 * Each function reports what does not fit, with the object it is about and what would fit, and then
 * leaves its output untouched; nothing stops at an error.
 */
#ifndef NSROUTE_YAML_SCHEMA_H
#define NSROUTE_YAML_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "yaml_tree.h"

struct yaml_reader {
	const char *file;
	struct arena *arena;
	struct error_list *errors;
	const char *object; /* what is being read: "network 'lab'"; "": the file as a whole */
	bool whole;         /* the tree is complete, so a missing key is missing */
	size_t problems;    /* found so far, those of broken nodes included */
};

enum yaml_key_need { YAML_KEY_OPTIONAL, YAML_KEY_REQUIRED, YAML_KEY_LATER };

/* One word of a choice; a table of them ends with a NULL text. */
struct yaml_word {
	const char *text;
	int value;
	bool later; /* part of the format, refused as not supported yet */
};

/* One key of a mapping; a table of them ends with a NULL name. */
struct yaml_key {
	const char *name;
	enum yaml_key_need need; /* LATER: part of the format, refused as not supported yet */
	void (*read)(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into);
	const struct yaml_word
		*words; /* without read: the value is one of them and changes nothing */
};

/* Adds "OBJECT: ..." to the errors. */
void yaml_refuse(struct yaml_reader *reader, struct position at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* "'KEY' must be EXPECTED, not ...": silent about nodes that are broken. */
void yaml_wrong(struct yaml_reader *reader, const char *key, const struct yaml_tree_node *node,
		const char *expected);

/* Calls the reader of each key, in the order of the file. */
void yaml_read_keys(struct yaml_reader *reader, const char *name, const struct yaml_tree_node *node,
		    const struct yaml_key *keys, void *into);
/* Whether the node is a mapping (a sequence), or nothing was written, which is an empty one. */
bool yaml_is_mapping(struct yaml_reader *reader, const char *key, const struct yaml_tree_node *node,
		     const char *expected);
bool yaml_is_sequence(struct yaml_reader *reader, const char *key,
		      const struct yaml_tree_node *node, const char *expected);
/* A scalar that is not empty; NULL: it is none. */
const char *yaml_read_text(struct yaml_reader *reader, const char *key,
			   const struct yaml_tree_node *node, const char *expected);
bool yaml_read_word(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
		    const struct yaml_word *words, int *ret);
/* Decimal digits only. False: not a number from min to max; reports nothing. */
bool yaml_parse_number(const char *text, unsigned int min, unsigned int max, unsigned int *ret);

#endif
