/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the record is asked and written here and not around the operation, because what it
 * has to keep is known only now: the interface may have changed since the plan was made. Whether
 * the interface bears our mark tells a device that is on its way, whose record is true, from one
 * that nothing was done to (plan_device.c).
 */
#include "apply_device.h"

#include <errno.h>
#include <string.h>

#include "device.h"
#include "record.h"

static int read_record(struct runner *r, const char *name, const struct record_entry **ret_entry,
		       struct error *err)
{
	struct record *record;
	int ret = record_read(r->options->host_cookie, r->options->fabric, &r->arena, &record, err);

	*ret_entry = ret ? NULL : record_find(record, RECORD_DEVICE, name);
	return ret;
}

static int note_device(struct runner *r, const struct operation *op, const uint8_t mac[6],
		       uint32_t mtu, const char *kept, struct error *err)
{
	char text[MAC_TEXT_MAX];
	const char *value =
		arena_printf(&r->arena, "%s %u %s", mac_format(mac, text), mtu, op->namespace);

	return record_add(
		r->record_fd,
		&(struct record_entry){
			.kind = RECORD_DEVICE, .name = op->link, .value = value, .set = kept},
		err);
}

/* ---- Taking. */

/* What a device had in the namespace that it is brought back to. */
static const char *kept_inside(const struct runner *r, const struct operation *op)
{
	const struct returned_device *returned = r->returned;

	if (!r->kept) /* not undoing: the plan says what it gets */
		return NULL;
	while (returned && (strcmp(returned->name, op->link) || !returned->namespace ||
			    strcmp(returned->namespace, op->namespace)))
		returned = returned->next;
	return returned ? returned->kept : NULL;
}

/* Of one that is on its way the record is true already, but for where it goes. */
static int note_before_move(struct runner *r, const struct operation *op,
			    const struct state_link *link, const char *mark, struct error *err)
{
	const struct record_entry *entry;
	const char *kept = NULL;
	int ret = read_record(r, op->link, &entry, err);

	if (ret)
		return ret;
	if (entry && !strcmp(link->alias, mark)) {
		const char *place = strchr(entry->value, ' ');

		place = place ? strchr(place + 1, ' ') : NULL;
		if (!place)
			return error_set(err, -EBADMSG, "the record of device '%s' is damaged",
					 op->link);
		return record_add(
			r->record_fd,
			&(struct record_entry){.kind = RECORD_DEVICE,
					       .name = op->link,
					       .value = arena_printf(&r->arena, "%.*s %s",
								     (int)(place - entry->value),
								     entry->value, op->namespace),
					       .set = entry->set},
			err);
	}
	ret = device_save(r->places.host.nl, r->places.host.fd, op->link, &r->arena, &kept, err);
	return ret ? ret : note_device(r, op, link->mac, link->mtu, kept, err);
}

static int explain_move(const struct operation *op, const char *where, int code, struct error *err)
{
	if (code == -EEXIST)
		error_context(err,
			      "device '%s': its name, or one of its alternative names, is "
			      "taken in %s; rename what has it (ip link property)",
			      op->link, where);
	else if (code == -EINVAL)
		error_context(err, "device '%s' cannot change namespaces", op->link);
	return code;
}

int take_device(struct runner *r, const struct operation *op, struct error *err)
{
	const char *mark = arena_printf(&r->arena, "nsroute:%s", r->options->fabric);
	const char *kept = kept_inside(r, op);
	struct netlink *host = r->places.host.nl;
	const struct state_link *link;
	struct place *place;
	struct error ignored;
	int ret;

	ret = place_get(&r->places, op->namespace, &place, err);
	if (!ret)
		ret = device_find(host, op->link, &r->arena, &link, err);
	if (!ret)
		ret = note_before_move(r, op, link, mark, err);
	if (!ret)
		ret = device_set_alias(host, op->link, mark, err);
	if (ret)
		return ret;
	ret = device_move(host, link, place->fd, op->link, 0, err);
	if (ret) {
		device_set_alias(host, op->link, link->alias, &ignored);
		return explain_move(op, "the namespace", ret, err);
	}
	place_forget_link(&r->places, NULL, op->link);
	place_forget_link(&r->places, op->namespace, op->link);
	return kept ? device_restore(place->nl, place->fd, op->link, kept, &r->arena, err) : 0;
}

/* ---- Giving back. */

static struct returned_device *note_returned(struct runner *r, const struct operation *op)
{
	struct returned_device *returned = arena_alloc(&r->arena, sizeof(*returned));

	returned->name = op->link;
	returned->namespace = op->namespace;
	returned->stuck = true;
	returned->next = r->returned;
	r->returned = returned;
	return returned;
}

static int move_back(struct runner *r, const struct operation *op, const char *kept,
		     struct returned_device *returned, struct error *err)
{
	const struct state_link *link;
	struct error ignored;
	struct place *place;
	int ret;

	ret = place_get(&r->places, op->namespace, &place, err);
	if (!ret)
		ret = device_find(place->nl, op->peer ? op->peer : op->link, &r->arena, &link, err);
	if (ret)
		return ret;
	/* Only undoing would need it. */
	if (device_save(place->nl, place->fd, link->name, &r->arena, &returned->kept, &ignored))
		returned->kept = NULL;
	ret = device_move(place->nl, link, r->places.host.fd, op->link, device_saved_ifindex(kept),
			  err);
	if (ret)
		return explain_move(op, "the host namespace", ret, err);
	returned->stuck = false;
	place_forget_link(&r->places, NULL, op->link);
	place_forget_link(&r->places, op->namespace, op->link);
	return 0;
}

int return_device(struct runner *r, const struct operation *op, enum outcome *outcome,
		  struct error *err)
{
	struct returned_device *returned = op->namespace ? note_returned(r, op) : NULL;
	const struct record_entry *entry;
	int ret;

	ret = read_record(r, op->link, &entry, err);
	if (!ret && !entry)
		ret = error_set(err, -ENOENT, "there is no record of device '%s'", op->link);
	if (!ret && returned)
		ret = move_back(r, op, entry->set, returned, err);
	if (ret)
		return ret;
	*outcome = OUTCOME_PARTLY;
	ret = device_restore(r->places.host.nl, r->places.host.fd, op->link, entry->set, &r->arena,
			     err);
	if (ret)
		error_context(
			err,
			"device '%s' is back, but not all as it was; mend this and try again, "
			"or leave it so (ip link set %s alias '')",
			op->link, op->link);
	return ret;
}

int check_no_device(const struct runner *r, const char *namespace, struct error *err)
{
	for (const struct returned_device *returned = r->returned; returned;
	     returned = returned->next)
		if (returned->stuck && !strcmp(returned->namespace, namespace))
			return error_set(err, -EBUSY,
					 "namespace '%s' stays, because device '%s' is in it and "
					 "would be lost",
					 namespace, returned->name);
	return 0;
}
