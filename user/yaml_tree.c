/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: first a scan over the bytes for what libyaml would stop at without saying enough
 * about it, or would let pass: invalid UTF-8, control characters, tabs. Then libyaml's events build
 * the tree, recursively; depth is limited, so the stack is too. libyaml stops at the first error in
 * the structure; all that came before it is still read, and further errors in that part reported.
 *
 * Anchors, aliases and tags are refused because they make a file mean something else than what
 * stands there, and because aliases let a small file expand to a huge one.
 */
#include "yaml_tree.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "lookup.h"

#define SHOWN_MAX 96

struct parse {
	const char *file;
	unsigned int depth_max;
	struct arena *arena;
	struct error_list *errors;
	yaml_parser_t parser;
	bool tabs;    /* some were refused: libyaml may stumble over them too */
	bool stopped; /* the rest cannot be understood */
};

#define refuse(parse, at, ...) error_list_add((parse)->errors, (parse)->file, at, __VA_ARGS__)

/* ---- The bytes. */

/* One code point, or 0 for a sequence that is not UTF-8 (RFC 3629) or NUL; *ret_length >= 1. */
static uint32_t decode_utf8(const unsigned char *text, size_t size, size_t *ret_length)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = text[0] < 0x80   ? 1
			: text[0] < 0xc0 ? 0
			: text[0] < 0xe0 ? 2
			: text[0] < 0xf0 ? 3
			: text[0] < 0xf8 ? 4
					 : 0;
	uint32_t value;

	*ret_length = 1;
	if (length == 0 || length > size)
		return 0;
	value = length == 1 ? text[0] : text[0] & (0xffu >> (length + 1));
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (text[i] & 0x3f);
	}
	if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return 0;
	*ret_length = length;
	return value;
}

static bool is_break(uint32_t c)
{
	return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029;
}

/* YAML 1.1, 5.1: the printable characters. */
static bool is_printable(uint32_t c)
{
	return (c >= 0x20 && c < 0x7f) || c == '\t' || is_break(c) || (c >= 0xa0 && c < 0xd800) ||
	       (c >= 0xe000 && c < 0xfffe && c != 0xfeff) || c >= 0x10000;
}

/* Returns false when parsing makes no sense. One error of each sort a line is enough. */
static bool scan_bytes(struct parse *parse, const unsigned char *text, size_t size)
{
	struct position at = {1, 1};
	bool usable = true, bad_line = false, tab_line = false;
	bool indent = true, comment = false;

	for (size_t i = 0, length; i < size; i += length) {
		uint32_t c = decode_utf8(text + i, size - i, &length);

		if (is_break(c)) {
			if (c == '\r' && i + 1 < size && text[i + 1] == '\n')
				length = 2;
			at = (struct position){at.line + 1, 1};
			bad_line = tab_line = comment = false;
			indent = true;
			continue;
		}
		if (!is_printable(c) && !bad_line) {
			if (c || !text[i])
				refuse(parse, at, "control character U+%04X", c);
			else
				refuse(parse, at, "byte 0x%02x is not valid UTF-8", text[i]);
			bad_line = true;
			usable = false;
		}
		if (c == '\t' && !comment && !tab_line) {
			refuse(parse, at,
			       indent ? "a tab; indent with spaces"
				      : "a tab; separate with spaces");
			tab_line = parse->tabs = true;
			usable = usable &&
				 !indent; /* what it would be indented by is anyone's guess */
		}
		comment = comment || (c == '#' && (at.column == 1 || strchr(" \t", text[i - 1])));
		indent = indent && (c == ' ' || c == '\t');
		at.column++;
	}
	return usable;
}

const char *yaml_tree_shown(const char *text, struct arena *arena)
{
	size_t length = strlen(text), limit = length > SHOWN_MAX ? SHOWN_MAX - 3 : length, used = 0;
	char *shown = arena_alloc(arena, (length > SHOWN_MAX ? SHOWN_MAX : length) + 1);

	while (used < limit) {
		const unsigned char *from = (const unsigned char *)text + used;
		size_t bytes;
		uint32_t c = decode_utf8(from, length - used, &bytes);

		if (used + bytes > limit)
			break;
		if (is_printable(c) && !is_break(c) && c != '\t')
			memcpy(shown + used, from, bytes);
		else
			memset(shown + used, '?', bytes);
		used += bytes;
	}
	memcpy(shown + used, length > SHOWN_MAX ? "..." : "", length > SHOWN_MAX ? 4 : 1);
	return shown;
}

/* ---- The events. */

static struct position position_of(yaml_mark_t mark)
{
	return (struct position){(unsigned int)mark.line + 1, (unsigned int)mark.column + 1};
}

/* libyaml's words about what is wrong, with the place where it noticed. */
static void refuse_structure(struct parse *parse)
{
	const yaml_parser_t *parser = &parse->parser;
	char context[96] = "";

	if (parser->context && parser->context_mark.line != parser->problem_mark.line)
		snprintf(context, sizeof(context), " %s that starts at line %zu", parser->context,
			 parser->context_mark.line + 1);
	if (!parse->tabs)
		refuse(parse, position_of(parser->problem_mark), "not valid YAML: %s%s",
		       parser->problem ? parser->problem : "it cannot be parsed", context);
	parse->stopped = true;
}

static bool next_event(struct parse *parse, yaml_event_t *event)
{
	if (parse->stopped)
		return false;
	if (yaml_parser_parse(&parse->parser, event))
		return true;
	refuse_structure(parse);
	return false;
}

/* libyaml expands "!!int" to the full name of YAML's own tag. */
static const char *tag_as_written(struct parse *parse, const char *tag)
{
	static const char prefix[] = "tag:yaml.org,2002:";
	size_t length = sizeof(prefix) - 1;

	if (strncmp(tag, prefix, length))
		return yaml_tree_shown(tag, parse->arena);
	return arena_printf(parse->arena, "!!%s", yaml_tree_shown(tag + length, parse->arena));
}

static void refuse_decoration(struct parse *parse, const yaml_char_t *anchor,
			      const yaml_char_t *tag, struct position at)
{
	if (anchor)
		refuse(parse, at,
		       "anchor '&%s': anchors are not allowed; write the value where it belongs",
		       yaml_tree_shown((const char *)anchor, parse->arena));
	if (tag)
		refuse(parse, at, "tag '%s': tags are not allowed; the key says what its value is",
		       tag_as_written(parse, (const char *)tag));
}

static void read_scalar(struct parse *parse, const yaml_event_t *event, struct yaml_tree_node *node)
{
	const char *text = (const char *)event->data.scalar.value;

	refuse_decoration(parse, event->data.scalar.anchor, event->data.scalar.tag, node->at);
	if (strlen(text) != event->data.scalar.length) {
		refuse(parse, node->at, "a string with a NUL character");
		return;
	}
	node->kind = YAML_TREE_SCALAR;
	node->text = arena_strdup(parse->arena, text);
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static void read_node(struct parse *parse, const yaml_event_t *event, unsigned int depth,
		      struct yaml_tree_node *node);

static void read_sequence(struct parse *parse, unsigned int depth, struct yaml_tree_node *node)
{
	yaml_event_t event;

	while (next_event(parse, &event)) {
		bool end = event.type == YAML_SEQUENCE_END_EVENT;

		if (!end)
			read_node(parse, &event, depth,
				  arena_push(parse->arena, node->items, node->count));
		yaml_event_delete(&event);
		if (end)
			return;
	}
}

/* Reads a value; its pair is kept when the key is a new one. */
static void read_value(struct parse *parse, const struct yaml_tree_node *key, unsigned int depth,
		       struct lookup *keys, struct yaml_tree_node *mapping)
{
	struct yaml_tree_pair pair = {.key = key->text, .at = key->at};
	struct position *first;
	yaml_event_t event;

	if (!next_event(parse, &event))
		return;
	read_node(parse, &event, depth, &pair.value);
	yaml_event_delete(&event);
	if (key->kind != YAML_TREE_SCALAR) {
		if (key->kind != YAML_TREE_BROKEN)
			refuse(parse, key->at, "a key must be a string");
		return;
	}
	first = arena_alloc(parse->arena, sizeof(*first));
	*first = pair.at;
	first = lookup_add(keys, parse->arena, pair.key, first);
	if (first)
		refuse(parse, pair.at, "duplicate key '%s', first at line %u",
		       yaml_tree_shown(pair.key, parse->arena), first->line);
	else
		*arena_push(parse->arena, mapping->pairs, mapping->count) = pair;
}

static void read_mapping(struct parse *parse, unsigned int depth, struct yaml_tree_node *node)
{
	struct lookup keys = {};
	yaml_event_t event;

	while (next_event(parse, &event)) {
		bool end = event.type == YAML_MAPPING_END_EVENT;
		struct yaml_tree_node key = {};

		if (!end)
			read_node(parse, &event, depth, &key);
		yaml_event_delete(&event);
		if (end)
			return;
		read_value(parse, &key, depth, &keys, node);
	}
}

static void read_node(struct parse *parse, const yaml_event_t *event, unsigned int depth,
		      struct yaml_tree_node *node)
{
	node->at = position_of(event->start_mark);
	if (event->type == YAML_SCALAR_EVENT) {
		read_scalar(parse, event, node);
		return;
	}
	if (event->type == YAML_ALIAS_EVENT) {
		refuse(parse, node->at,
		       "alias '*%s': aliases are not allowed; write the value where it belongs",
		       yaml_tree_shown((const char *)event->data.alias.anchor, parse->arena));
		return;
	}
	if (depth == parse->depth_max) {
		refuse(parse, node->at, "nested deeper than %u levels", parse->depth_max);
		parse->stopped = true;
		return;
	}
	if (event->type == YAML_SEQUENCE_START_EVENT) {
		refuse_decoration(parse, event->data.sequence_start.anchor,
				  event->data.sequence_start.tag, node->at);
		node->kind = YAML_TREE_SEQUENCE;
		read_sequence(parse, depth + 1, node);
	} else {
		refuse_decoration(parse, event->data.mapping_start.anchor,
				  event->data.mapping_start.tag, node->at);
		node->kind = YAML_TREE_MAPPING;
		read_mapping(parse, depth + 1, node);
	}
}

static struct yaml_tree_node *read_stream(struct parse *parse)
{
	struct yaml_tree_node *root = NULL;
	unsigned int documents = 0;
	yaml_event_t event;
	bool end = false;

	while (!end && next_event(parse, &event)) {
		end = event.type == YAML_STREAM_END_EVENT;
		if (event.type == YAML_DOCUMENT_START_EVENT && ++documents > 1) {
			refuse(parse, position_of(event.start_mark),
			       "a second document; a topology file is one");
			end = true;
		} else if (event.type != YAML_STREAM_START_EVENT &&
			   event.type != YAML_STREAM_END_EVENT &&
			   event.type != YAML_DOCUMENT_START_EVENT &&
			   event.type != YAML_DOCUMENT_END_EVENT) {
			root = arena_alloc(parse->arena, sizeof(*root));
			read_node(parse, &event, 0, root);
		}
		yaml_event_delete(&event);
	}
	return root;
}

struct yaml_tree_node *yaml_tree_parse(const char *file, const char *text, size_t size,
				       unsigned int depth_max, struct arena *arena,
				       struct error_list *errors, bool *ret_whole)
{
	struct parse parse = {
		.file = file, .depth_max = depth_max, .arena = arena, .errors = errors};
	struct yaml_tree_node *root;

	*ret_whole = false;
	if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* a byte order mark */
		text += 3;
		size -= 3;
	}
	if (!scan_bytes(&parse, (const unsigned char *)text, size))
		return NULL;
	if (!yaml_parser_initialize(&parse.parser)) {
		refuse(&parse, (struct position){}, "out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&parse.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parse.parser, (const unsigned char *)text, size);
	root = read_stream(&parse);
	yaml_parser_delete(&parse.parser);
	if (!root && !parse.stopped)
		refuse(&parse, (struct position){1, 1},
		       "the file is empty; a topology needs at least 'version' and 'name'");
	*ret_whole = !parse.stopped;
	return root;
}
