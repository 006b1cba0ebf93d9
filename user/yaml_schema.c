/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a mapping is read by a table of its keys. Words that YAML 1.1 would take for
 * something else ("no", "on", 1_000) never are: a scalar is a string until the key's reader, which
 * knows what is due, looks at it. Quoted or plain makes no difference, except that "nothing
 * written" is not the empty string.
 */
#include "yaml_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lookup.h"

void yaml_refuse(struct yaml_reader *reader, struct position at, const char *format, ...)
{
	char message[ERROR_MESSAGE_MAX];
	va_list args;

	reader->problems++;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	error_list_add(reader->errors, reader->file, at, "%s%s%s", reader->object,
		       *reader->object ? ": " : "", message);
}

static bool is_nothing(const struct yaml_tree_node *node)
{
	return node->kind == YAML_TREE_SCALAR && node->plain && !*node->text;
}

static const char *describe(struct yaml_reader *reader, const struct yaml_tree_node *node)
{
	if (node->kind == YAML_TREE_SEQUENCE)
		return node->count ? "a list" : "an empty list";
	if (node->kind == YAML_TREE_MAPPING)
		return "a mapping";
	if (is_nothing(node))
		return "empty";
	return arena_printf(reader->arena, "'%s'", yaml_tree_shown(node->text, reader->arena));
}

void yaml_wrong(struct yaml_reader *reader, const char *key, const struct yaml_tree_node *node,
		const char *expected)
{
	if (node->kind == YAML_TREE_BROKEN)
		reader->problems++;
	else
		yaml_refuse(reader, node->at, "'%s' must be %s, not %s", key, expected,
			    describe(reader, node));
}

static const char *list_keys(struct yaml_reader *reader, const struct yaml_key *keys)
{
	const char *list = "";

	for (; keys->name; keys++)
		if (keys->need != YAML_KEY_LATER)
			list = arena_printf(reader->arena, "%s%s%s", list, *list ? ", " : "",
					    keys->name);
	return list;
}

static void refuse_unknown_key(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			       const struct yaml_key *keys)
{
	struct nearest nearest = {.wanted = pair->key};
	const char *shown = yaml_tree_shown(pair->key, reader->arena);

	for (const struct yaml_key *key = keys; key->name; key++)
		if (key->need != YAML_KEY_LATER)
			nearest_consider(&nearest, key->name);
	if (nearest.best)
		yaml_refuse(reader, pair->at, "unknown key '%s'; did you mean '%s'? (allowed: %s)",
			    shown, nearest.best, list_keys(reader, keys));
	else
		yaml_refuse(reader, pair->at, "unknown key '%s' (allowed: %s)", shown,
			    list_keys(reader, keys));
}

static const struct yaml_tree_pair *find_pair(const struct yaml_tree_node *node, const char *key)
{
	for (size_t i = 0; i < node->count; i++)
		if (!strcmp(node->pairs[i].key, key))
			return &node->pairs[i];
	return NULL;
}

static void read_key(struct yaml_reader *reader, const struct yaml_key *key,
		     const struct yaml_tree_pair *pair, void *into)
{
	int value;

	if (key->read)
		key->read(reader, pair, into);
	else
		yaml_read_word(reader, pair, key->words, &value);
}

void yaml_read_keys(struct yaml_reader *reader, const char *name, const struct yaml_tree_node *node,
		    const struct yaml_key *keys, void *into)
{
	if (!yaml_is_mapping(reader, name, node, "a mapping of keys and values"))
		return;
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_tree_pair *pair = &node->pairs[i];
		const struct yaml_key *key = keys;

		while (key->name && strcmp(key->name, pair->key))
			key++;
		if (!key->name)
			refuse_unknown_key(reader, pair, keys);
		else if (key->need == YAML_KEY_LATER)
			yaml_refuse(reader, pair->at, "key '%s' is not supported yet", key->name);
		else
			read_key(reader, key, pair, into);
	}
	for (const struct yaml_key *key = keys; key->name; key++)
		if (key->need == YAML_KEY_REQUIRED && reader->whole && !find_pair(node, key->name))
			yaml_refuse(reader, node->at, "key '%s' is missing", key->name);
}

bool yaml_is_mapping(struct yaml_reader *reader, const char *key, const struct yaml_tree_node *node,
		     const char *expected)
{
	if (node->kind == YAML_TREE_MAPPING || is_nothing(node))
		return true;
	yaml_wrong(reader, key, node, expected);
	return false;
}

bool yaml_is_sequence(struct yaml_reader *reader, const char *key,
		      const struct yaml_tree_node *node, const char *expected)
{
	if (node->kind == YAML_TREE_SEQUENCE || is_nothing(node))
		return true;
	yaml_wrong(reader, key, node, expected);
	return false;
}

const char *yaml_read_text(struct yaml_reader *reader, const char *key,
			   const struct yaml_tree_node *node, const char *expected)
{
	if (node->kind == YAML_TREE_SCALAR && *node->text)
		return node->text;
	yaml_wrong(reader, key, node, expected);
	return NULL;
}

static const char *list_words(struct yaml_reader *reader, const struct yaml_word *words)
{
	const char *list = "";

	for (; words->text; words++)
		if (!words->later)
			list = arena_printf(reader->arena, "%s%s'%s'", list, *list ? " or " : "",
					    words->text);
	return list;
}

bool yaml_read_word(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
		    const struct yaml_word *words, int *ret)
{
	const struct yaml_word *word = words;

	while (pair->value.kind == YAML_TREE_SCALAR && word->text &&
	       strcmp(word->text, pair->value.text))
		word++;
	if (pair->value.kind != YAML_TREE_SCALAR || !word->text) {
		yaml_wrong(reader, pair->key, &pair->value, list_words(reader, words));
		return false;
	}
	if (word->later) {
		yaml_refuse(reader, pair->value.at, "'%s: %s' is not supported yet", pair->key,
			    word->text);
		return false;
	}
	*ret = word->value;
	return true;
}

bool yaml_parse_number(const char *text, unsigned int min, unsigned int max, unsigned int *ret)
{
	unsigned int value = 0;

	if (!*text || strlen(text) > 9 || (*text == '0' && text[1]))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (unsigned int)(*text - '0');
	}
	if (value < min || value > max)
		return false;
	*ret = value;
	return true;
}
