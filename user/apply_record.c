/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what the record keeps is less than what operations do: objects that nothing else
 * takes with it when it goes. A network's number is noted before its ports, an uplink before its
 * clsact, so that whatever is noted last is never there without what explains it.
 *
 * Single steps have no file that says what is in a namespace, so they record links there as well.
 */
#include "apply_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "plan_publish.h"
#include "plan_reserve.h"

static int note(int fd, enum record_kind kind, const char *name, const char *value, const char *set,
		struct error *err)
{
	return record_add(
		fd, &(struct record_entry){.kind = kind, .name = name, .value = value, .set = set},
		err);
}

static int note_link(int fd, const char *name, const uint8_t mac[6], struct error *err)
{
	char text[MAC_TEXT_MAX];

	return note(fd, RECORD_LINK, name, mac_format(mac, text), NULL, err);
}

#define PLACE_MAX 128 /* of NAMESPACE/LINK */

static char *place_of(const char *namespace, const char *link, char buffer[PLACE_MAX])
{
	snprintf(buffer, PLACE_MAX, "%s/%s", namespace, link);
	return buffer;
}

/* One end, wherever it is. */
static int note_end(int fd, const struct operation *op, const char *namespace, const char *link,
		    const uint8_t mac[6], struct error *err)
{
	char text[MAC_TEXT_MAX], place[PLACE_MAX];

	if (!namespace)
		return note_link(fd, link, mac, err);
	return op->record_inside ? note(fd, RECORD_LINK_INSIDE, place_of(namespace, link, place),
					mac_format(mac, text), NULL, err)
				 : 0;
}

int note_namespace(int fd, const char *name, uint64_t cookie, struct error *err)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, cookie);
	return note(fd, RECORD_NETNS, name, text, NULL, err);
}

static int note_adopted(int fd, const struct operation *op, struct error *err)
{
	char text[MAC_TEXT_MAX];

	return note(fd, op->record, op->link, op->has_mac ? mac_format(op->mac, text) : op->value,
		    NULL, err);
}

static int note_uplink(int fd, const struct operation *op, struct error *err)
{
	int ret = note(fd, RECORD_UPLINK, op->link, NULL, NULL, err);

	return ret || !op->clsact ? ret : note(fd, RECORD_CLSACT, op->link, NULL, NULL, err);
}

/* Before a change, what is ours before and after it: either may be found. */
static int note_reserved(int fd, const char *value, const char *old, struct error *err)
{
	return note(fd, RECORD_RESERVED, RESERVED_KEY, value, old, err);
}

int note_before(int fd, const struct operation *op, struct error *err)
{
	char text[IP_TEXT_MAX], name[PUBLISH_TEXT_MAX];
	int ret;

	switch (op->kind) {
	case OPERATION_NETNS_ADD:
		return note(fd, RECORD_NETNS, op->namespace, NULL, NULL, err);
	case OPERATION_NETWORK_ADD:
		snprintf(text, sizeof(text), "%u", op->network);
		return note(fd, RECORD_NETWORK, op->link, text, network_type_name(op->network_type),
			    err);
	case OPERATION_BRIDGE_ADD:
		return note_end(fd, op, op->namespace, op->link, op->mac, err);
	case OPERATION_VETH_ADD:
		ret = note_end(fd, op, op->namespace, op->link, op->mac, err);
		return ret ? ret
			   : note_end(fd, op, op->peer_namespace, op->peer, op->peer_mac, err);
	case OPERATION_LINK_MOVE:
		return note_end(fd, op, op->peer_namespace, op->link, op->mac, err);
	case OPERATION_ADOPT:
		return note_adopted(fd, op, err);
	case OPERATION_OVS_PORT_ADD:
		return note(fd, RECORD_OVS_PORT, op->link, op->master, NULL, err);
	case OPERATION_DIRECTORY_ADD:
		return note(fd, RECORD_FOLDER, op->path, NULL, NULL, err);
	case OPERATION_FILE_WRITE:
		return note(fd, RECORD_FILE, op->path, NULL, NULL, err);
	case OPERATION_SYSCTL_SET:
		return op->old_value && !op->revert && !op->namespace
			       ? note(fd, RECORD_SYSCTL, op->key, op->old_value, op->value, err)
			       : 0;
	case OPERATION_UPLINK_ADD:
		return note_uplink(fd, op, err);
	case OPERATION_PUBLISH_ADD:
		return note(fd, RECORD_PUBLISHED, plan_publish_name(op, name),
			    plan_publish_value(op, text), NULL, err);
	case OPERATION_PORTS_RESERVE:
		return note_reserved(fd, op->value, op->old_value, err);
	case OPERATION_INSIDE_ADD:
		return note(fd, RECORD_INSIDE, ip_format_prefix(&op->address, text), op->uplink,
			    NULL, err);
	default:
		return 0;
	}
}

static int gone(int fd, const struct record *kept, enum record_kind kind, const char *name,
		struct error *err)
{
	if (record_has(kept, kind, name))
		return 0;
	return record_gone(fd, &(struct record_entry){.kind = kind, .name = name}, err);
}

static int gone_end(int fd, const struct record *kept, const struct operation *op,
		    const char *namespace, const char *link, struct error *err)
{
	char place[PLACE_MAX];

	if (!namespace)
		return gone(fd, kept, RECORD_LINK, link, err);
	return op->record_inside
		       ? gone(fd, kept, RECORD_LINK_INSIDE, place_of(namespace, link, place), err)
		       : 0;
}

static int gone_uplink(int fd, const struct record *kept, const char *name, struct error *err)
{
	int ret = gone(fd, kept, RECORD_CLSACT, name, err);

	return ret ? ret : gone(fd, kept, RECORD_UPLINK, name, err);
}

static int gone_sysctl(int fd, const struct record *kept, const struct operation *op,
		       struct error *err)
{
	return op->namespace ? gone(fd, kept, RECORD_NETNS_SYSCTL, op->recorded_as, err)
			     : gone(fd, kept, RECORD_SYSCTL, op->key, err);
}

static int keep_reserved(int fd, const struct record *kept, const char *value, struct error *err)
{
	return *value ? note_reserved(fd, value, NULL, err)
		      : gone(fd, kept, RECORD_RESERVED, RESERVED_KEY, err);
}

static int forget(int fd, const struct record *kept, const struct operation *op, struct error *err)
{
	if (op->record == RECORD_UPLINK)
		return gone_uplink(fd, kept, op->link, err);
	return gone(fd, kept, op->record, op->link, err);
}

int note_after(int fd, const struct record *kept, const struct operation *op, struct error *err)
{
	char text[IP_TEXT_MAX], name[PUBLISH_TEXT_MAX];

	switch (op->kind) {
	case OPERATION_NETNS_DELETE:
		return gone(fd, kept, RECORD_NETNS, op->namespace, err);
	case OPERATION_LINK_DELETE:
		return gone_end(fd, kept, op, op->namespace, op->link, err);
	case OPERATION_LINK_MOVE:
		return gone_end(fd, kept, op, op->namespace, op->link, err);
	case OPERATION_OVS_PORT_DELETE:
		return gone(fd, kept, RECORD_OVS_PORT, op->link, err);
	case OPERATION_SYSCTL_SET:
	case OPERATION_OFFLOAD_SET:
		return op->revert ? gone_sysctl(fd, kept, op, err) : 0;
	case OPERATION_DIRECTORY_DELETE:
		return gone(fd, kept, RECORD_FOLDER, op->path, err);
	case OPERATION_FILE_DELETE:
		return gone(fd, kept, RECORD_FILE, op->path, err);
	case OPERATION_UPLINK_DELETE:
		return op->link ? gone_uplink(fd, kept, op->link, err) : 0;
	case OPERATION_DEVICE_RETURN:
		return gone(fd, kept, RECORD_DEVICE, op->link, err);
	case OPERATION_FORGET:
		return forget(fd, kept, op, err);
	case OPERATION_PUBLISH_DELETE:
		return gone(fd, kept, RECORD_PUBLISHED, plan_publish_name(op, name), err);
	case OPERATION_PORTS_RESERVE:
		return keep_reserved(fd, kept, op->value, err);
	case OPERATION_INSIDE_DELETE:
		return gone(fd, kept, RECORD_INSIDE, ip_format_prefix(&op->address, text), err);
	default:
		return 0;
	}
}

int note_failed(int fd, const struct record *kept, const struct operation *op, struct error *err)
{
	char text[IP_TEXT_MAX], name[PUBLISH_TEXT_MAX];
	int ret;

	switch (op->kind) {
	case OPERATION_NETNS_ADD:
		return gone(fd, kept, RECORD_NETNS, op->namespace, err);
	case OPERATION_NETWORK_ADD:
		return gone(fd, kept, RECORD_NETWORK, op->link, err);
	case OPERATION_BRIDGE_ADD:
		return gone_end(fd, kept, op, op->namespace, op->link, err);
	case OPERATION_VETH_ADD:
		ret = gone_end(fd, kept, op, op->namespace, op->link, err);
		return ret ? ret : gone_end(fd, kept, op, op->peer_namespace, op->peer, err);
	case OPERATION_LINK_MOVE:
		return gone_end(fd, kept, op, op->peer_namespace, op->link, err);
	case OPERATION_OVS_PORT_ADD:
		return gone(fd, kept, RECORD_OVS_PORT, op->link, err);
	case OPERATION_SYSCTL_SET:
	case OPERATION_OFFLOAD_SET:
		return (op->old_value || op->namespace) && !op->revert
			       ? gone_sysctl(fd, kept, op, err)
			       : 0;
	case OPERATION_DIRECTORY_ADD:
		return gone(fd, kept, RECORD_FOLDER, op->path, err);
	case OPERATION_FILE_WRITE:
		return gone(fd, kept, RECORD_FILE, op->path, err);
	case OPERATION_DEVICE_TAKE:
		return gone(fd, kept, RECORD_DEVICE, op->link, err);
	case OPERATION_UPLINK_ADD:
		return gone_uplink(fd, kept, op->link, err);
	case OPERATION_PUBLISH_ADD:
		return gone(fd, kept, RECORD_PUBLISHED, plan_publish_name(op, name), err);
	case OPERATION_PORTS_RESERVE:
		return keep_reserved(fd, kept, op->old_value, err);
	case OPERATION_INSIDE_ADD:
		return gone(fd, kept, RECORD_INSIDE, ip_format_prefix(&op->address, text), err);
	default:
		return 0;
	}
}
