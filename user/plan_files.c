/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a namespace's "dns" is a file that begins with our mark, in a folder that may have
 * to be made. The mark says whose the file is, so one that outlived its record (which a reboot
 * takes, and /etc stays) is known again. Folders have no mark: only those that are recorded go, and
 * only when nothing is in them. Fabrics share /etc/netns: each records it when one of them made it,
 * and who goes last removes it.
 */
#include "plan_files.h"

#include <errno.h>
#include <string.h>

#include "log.h"

#define DIRECTORY "/etc/netns"

static char *resolv_path(struct arena *arena, const char *namespace)
{
	return arena_printf(arena, DIRECTORY "/%s/resolv.conf", namespace);
}

static bool has_dns(const struct topology_namespace *ns)
{
	return ns->dns.nameservers_count || ns->dns.search_count;
}

/* ---- What is to be observed. */

void plan_needs_files(const struct topology *topology, const struct record *record,
		      struct arena *arena, const char *const **ret_paths, size_t *ret_count)
{
	const char **paths = NULL;
	size_t count = 0;

	for (size_t i = 0; topology && i < topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &topology->namespaces[i];

		if (!has_dns(ns))
			continue;
		if (!count)
			*arena_push(arena, paths, count) = DIRECTORY;
		*arena_push(arena, paths, count) = arena_printf(arena, DIRECTORY "/%s", ns->name);
		*arena_push(arena, paths, count) = resolv_path(arena, ns->name);
	}
	for (size_t i = 0; record && i < record->count; i++)
		if (record->entries[i].kind == RECORD_FOLDER ||
		    record->entries[i].kind == RECORD_FILE)
			*arena_push(arena, paths, count) = record->entries[i].name;
	*ret_paths = paths;
	*ret_count = count;
}

/* ---- What is wanted. */

static char *resolv_text(const struct builder *b, const struct topology_dns *dns)
{
	char *text = arena_printf(
		b->arena, "# %s made this file: apply overwrites changes, and down removes it\n",
		b->view->alias);
	char address[IP_TEXT_MAX];

	for (size_t i = 0; i < dns->search_count; i++)
		text = arena_printf(b->arena, "%s%s%s%s", text, i ? " " : "search ", dns->search[i],
				    i + 1 == dns->search_count ? "\n" : "");
	for (size_t i = 0; i < dns->nameservers_count; i++)
		text = arena_printf(b->arena, "%snameserver %s\n", text,
				    ip_format(&dns->nameservers[i], address));
	return text;
}

static void want_directory(struct builder *b, struct position at, const char *namespace,
			   const char *path)
{
	struct operation *op = want(b, OPERATION_DIRECTORY_ADD, at);

	op->namespace = namespace;
	op->path = path;
}

void want_files(struct builder *b)
{
	bool first = true;

	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];
		struct operation *op;

		if (!has_dns(ns))
			continue;
		if (first)
			want_directory(b, ns->dns.at, NULL, DIRECTORY);
		first = false;
		want_directory(b, ns->dns.at, ns->name,
			       arena_printf(b->arena, DIRECTORY "/%s", ns->name));
		op = want(b, OPERATION_FILE_WRITE, ns->dns.at);
		op->namespace = ns->name;
		op->path = resolv_path(b->arena, ns->name);
		op->text = resolv_text(b, &ns->dns);
	}
}

/* ---- What is missing. */

/* Undoing what only made an object that is there ours. */
static const struct operation *forgetting(const struct view *view, enum record_kind kind,
					  const struct operation *op)
{
	struct operation *inverse = arena_alloc(view->arena, sizeof(*inverse));

	inverse->kind = OPERATION_FORGET;
	inverse->record = kind;
	inverse->link = op->path;
	return inverse;
}

static const struct state_file *find_file(const struct view *view, const struct operation *op)
{
	const struct state_file *file = view_find(view, op);

	return file && file->exists ? file : NULL;
}

bool directory_missing(const struct view *view, struct operation *op)
{
	if (!find_file(view, op))
		return true;
	if (view_recorded(view, RECORD_FOLDER, op->path) ||
	    !view_recorded_elsewhere(view, RECORD_FOLDER, op->path))
		return false;
	op->replaces = forgetting(view, RECORD_FOLDER, op);
	return true;
}

bool file_missing(const struct view *view, struct operation *op)
{
	const struct state_file *file = find_file(view, op);
	struct operation *old;

	if (!file)
		return true;
	if (!strcmp(file->text, op->text)) {
		if (view_recorded(view, RECORD_FILE, op->path))
			return false;
		op->replaces = forgetting(view, RECORD_FILE, op);
		return true;
	}
	old = arena_alloc(view->arena, sizeof(*old));
	*old = *op;
	old->text = file->text;
	op->replaces = old;
	return true;
}

int check_directory(const struct view *view, const struct operation *op, struct error *err)
{
	const struct state_file *file = find_file(view, op);

	return file && !file->directory
		       ? error_set(err, -EEXIST, "%s exists and is no directory; remove it",
				   op->path)
		       : 0;
}

/* What stands behind "# nsroute:" in the first line; NULL: it is not made by any fabric. */
static const char *owner_of(const struct view *view, const struct state_file *file)
{
	static const char mark[] = "# nsroute:";
	const char *name;

	if (!file->text || strncmp(file->text, mark, strlen(mark)))
		return NULL;
	name = file->text + strlen(mark);
	return arena_printf(view->arena, "%.*s", (int)strcspn(name, " \n"), name);
}

static bool is_ours(const struct view *view, const struct state_file *file)
{
	const char *owner = owner_of(view, file);

	return owner && !strcmp(owner, view->fabric);
}

int check_file(const struct view *view, const struct operation *op, struct error *err)
{
	const struct state_file *file = find_file(view, op);

	if (!file || is_ours(view, file))
		return 0;
	if (owner_of(view, file))
		return error_set(err, -EEXIST,
				 "%s belongs to fabric '%s'; remove it there, or by hand when "
				 "there is no such fabric",
				 op->path, owner_of(view, file));
	return error_set(err, -EEXIST,
			 "%s exists already and is not ours; remove it, or leave 'dns' out",
			 op->path);
}

/* ---- What is not wanted any more. */

static void add_for_path(struct extra *extra, enum operation_kind kind, enum record_kind record,
			 const char *path, const char *text)
{
	struct operation *op;

	if (kind == OPERATION_FORGET && extra->removal)
		return;
	op = arena_push(extra->view->arena, extra->plan->operations, extra->plan->count);
	op->kind = kind;
	op->record = record;
	op->text = text;
	if (kind == OPERATION_FORGET)
		op->link = path;
	else
		op->path = path;
}

static void extra_file(struct extra *extra, const char *path)
{
	struct operation twin = {.kind = OPERATION_FILE_WRITE, .path = path};
	const struct state_file *file = find_file(extra->view, &twin);

	if (file && !is_ours(extra->view, file)) {
		log_warning("%s is not the file that fabric '%s' made: left alone", path,
			    extra->view->fabric);
		add_for_path(extra, OPERATION_FORGET, RECORD_FILE, path, NULL);
		return;
	}
	add_for_path(extra, OPERATION_FILE_DELETE, RECORD_FILE, path, file ? file->text : NULL);
}

static void extra_directory(struct extra *extra, const char *path)
{
	struct operation twin = {.kind = OPERATION_DIRECTORY_ADD, .path = path};
	bool goes = find_file(extra->view, &twin) &&
		    !view_recorded_elsewhere(extra->view, RECORD_FOLDER, path);

	add_for_path(extra, goes ? OPERATION_DIRECTORY_DELETE : OPERATION_FORGET, RECORD_FOLDER,
		     path, NULL);
}

void plan_extra_files(struct extra *extra)
{
	const struct record *record = extra->record;

	for (size_t i = record ? record->count : 0; i > 0; i--) { /* what is in a folder first */
		const struct record_entry *entry = &record->entries[i - 1];
		struct operation twin = {.kind = OPERATION_FILE_WRITE, .path = entry->name};
		char key[OPERATION_KEY_MAX];

		if ((entry->kind != RECORD_FILE && entry->kind != RECORD_FOLDER) ||
		    lookup_find(extra->wanted, operation_key(&twin, key)))
			continue;
		if (entry->kind == RECORD_FILE)
			extra_file(extra, entry->name);
		else
			extra_directory(extra, entry->name);
	}
}
