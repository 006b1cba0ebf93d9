/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a sysctl is read before it is written, for the record, and after that, because the
 * kernel may round what it is given: a file that asks for what cannot be would never be reached.
 */
#include "apply_settings.h"

#include <errno.h>
#include <string.h>

#include "file.h"
#include "port_set.h"
#include "setting.h"
#include "sysctl.h"
#include "sysctl_key.h"

static int note_netns_sysctl(struct runner *r, const struct operation *op, const char *old,
			     struct error *err)
{
	if (op->revert)
		return 0;
	return record_add(r->record_fd,
			  &(struct record_entry){.kind = RECORD_NETNS_SYSCTL,
						 .name = op->recorded_as,
						 .value = op->old_value ? op->old_value : old},
			  err);
}

int set_netns_sysctl(struct runner *r, const struct operation *op, struct error *err)
{
	const char *what = op->kind == OPERATION_SYSCTL_SET ? "sysctl" : "setting";
	const char *old, *reached;
	struct place *place;
	struct error ignored;
	int ret;

	ret = place_get(&r->places, op->namespace, &place, err);
	if (!ret)
		ret = setting_read(place->fd, op->key, &r->arena, &old, err);
	if (ret)
		return ret;
	if (!old)
		return error_set(err, -ENOENT, "namespace '%s' has no %s '%s'", op->namespace, what,
				 op->key);
	ret = note_netns_sysctl(r, op, old, err);
	if (!ret)
		ret = setting_write(place->fd, op->key, op->value, err);
	if (!ret)
		ret = setting_read(place->fd, op->key, &r->arena, &reached, err);
	if (ret)
		return error_context(err, "namespace '%s'", op->namespace);
	if (reached && sysctl_value_equal(reached, op->value))
		return 0;
	setting_write(place->fd, op->key, old, &ignored);
	return error_set(err, -EINVAL,
			 "namespace '%s': the kernel makes '%s' of the value '%s' of %s '%s'%s",
			 op->namespace, reached ? reached : "", op->value, what, op->key,
			 op->kind == OPERATION_SYSCTL_SET ? "; write that" : "");
}

/* ---- Ports of the host. */

static int release_ports(struct runner *r, const struct operation *op, struct error *err)
{
	struct port_set set = {}, released = {};
	const char *value;
	int ret = sysctl_read(r->options->host_fd, op->key, &r->arena, &value, err);

	if (ret || !value)
		return ret;
	port_set_read(&set, value);
	port_set_read(&released, op->release);
	port_set_take_out(&set, &released);
	return sysctl_write_set(r->options->host_fd, op->key, port_set_text(&set, &r->arena), err);
}

int reserve_ports(struct runner *r, const struct operation *op, enum outcome *outcome,
		  struct error *err)
{
	int ret = 0;

	if (*op->reserve)
		ret = sysctl_add_to_set(r->options->host_fd, op->key, op->reserve, err);
	if (ret || !*op->release)
		return ret;
	*outcome = OUTCOME_PARTLY;
	return release_ports(r, op, err);
}

/* ---- Files. */

static int delete_file(struct runner *r, const struct operation *op, const char *mark,
		       struct error *err)
{
	int ret = file_delete(op->path, mark, err);

	if (ret)
		*arena_push(&r->arena, r->stuck_files, r->stuck_files_count) = op->path;
	return ret;
}

/* One that others put something into stays and is theirs; not so one that a file of ours is in,
 * which goes with the next try. */
static int delete_directory(struct runner *r, const struct operation *op, struct error *err)
{
	size_t length = strlen(op->path);

	for (size_t i = 0; i < r->stuck_files_count; i++)
		if (!strncmp(r->stuck_files[i], op->path, length) &&
		    r->stuck_files[i][length] == '/')
			return error_set(err, -ENOTEMPTY,
					 "directory %s stays, because %s could not be removed",
					 op->path, r->stuck_files[i]);
	return file_remove_directory(op->path, err);
}

int run_file(struct runner *r, const struct operation *op, struct error *err)
{
	const char *mark = arena_printf(&r->arena, "# nsroute:%s ", r->options->fabric);

	switch (op->kind) {
	case OPERATION_DIRECTORY_ADD:
		return op->replaces ? 0 : file_make_directory(op->path, err);
	case OPERATION_DIRECTORY_DELETE:
		return delete_directory(r, op, err);
	case OPERATION_FILE_WRITE:
		return file_write(op->path, op->text, mark, err);
	default:
		return delete_file(r, op, mark, err);
	}
}
