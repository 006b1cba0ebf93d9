/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a device is recorded before anything is done to it, then marked by our alias, then
 * moved; coming back the mark goes last, before the record. So, of a device that is recorded,
 *
 *	in its namespace			it was moved
 *	in the host namespace, marked		it is on its way, in either direction
 *	in the host namespace, not marked	nothing was done to it yet, or nothing is left to do
 *	nowhere					somebody deleted its namespace: a virtual one is
 *gone with it, hardware went to the initial namespace
 *
 * A device on its way is taken as it is, or given back; either goes by what the record has kept.
 * One that is wanted in another namespace goes back first and is taken anew.
 */
#include "plan_device.h"

#include <errno.h>
#include <linux/if.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "sysctl_key.h"

static const char mark[] = "nsroute:";

/* ---- Where a device is. */

bool plan_device_note(const struct record_entry *entry, struct device_note *ret)
{
	char mac[MAC_TEXT_MAX];
	unsigned int mtu;
	int used = 0;

	if (sscanf(entry->value, "%17s %u %n", mac, &mtu, &used) != 2 || !used ||
	    !mac_parse(mac, ret->mac))
		return false;
	ret->mtu = mtu;
	ret->namespace = entry->value + used;
	return true;
}

static const struct state_link *find_inside(const struct view *view,
					    const struct record_entry *entry,
					    const struct device_note *note)
{
	const struct state_namespace *ns = view_namespace(view, note->namespace);
	const struct state_link *link = /* also when it goes */
		view_find(view, &(struct operation){.kind = OPERATION_VETH_ADD,
						    .namespace = note->namespace,
						    .link = entry->name});

	if (link &&
	    (!strcmp(link->alias, view->alias) || !memcmp(link->mac, note->mac, sizeof(note->mac))))
		return link;
	for (size_t i = 0; ns && i < ns->links_count; i++) /* renamed there */
		if (!strcmp(ns->links[i].alias, view->alias) &&
		    !memcmp(ns->links[i].mac, note->mac, sizeof(note->mac)))
			return &ns->links[i];
	return link; /* mark and MAC were changed: taken for it, so that it is not lost */
}

struct device_place plan_device_place(const struct view *view, const struct record_entry *entry)
{
	struct device_place place = {0};
	struct device_note note;

	if (!plan_device_note(entry, &note))
		return place;
	place.link = find_inside(view, entry, &note);
	if (place.link) {
		place.namespace = note.namespace;
		return place;
	}
	place.link = view_link(view, NULL, entry->name);
	if (place.link && strcmp(place.link->alias, view->alias))
		place.link = NULL;
	return place;
}

/* ---- What is wanted. */

static void want_device_take(struct builder *b, const struct topology_device *device)
{
	struct operation *op = want(b, OPERATION_DEVICE_TAKE, device->at);

	op->namespace = device->namespace->name;
	op->link = device->name;
	op->why = "an interface of the host itself";
}

/* Without a MAC or MTU in the file it has those that it came with. */
static void want_device_up(struct builder *b, const struct topology_device *device)
{
	const struct record_entry *entry = view_recorded(b->view, RECORD_DEVICE, device->name);
	bool away = entry && plan_device_place(b->view, entry).link;
	struct operation *op = want(b, OPERATION_LINK_SET, device->at);
	struct device_note note = {0};

	if (away)
		plan_device_note(entry, &note);
	op->namespace = device->namespace->name;
	op->link = device->name;
	op->alias = b->view->alias;
	op->up = true;
	op->device = true;
	op->mtu = device->mtu ? device->mtu : note.mtu;
	op->has_mac = device->has_mac || away;
	memcpy(op->mac, device->has_mac ? device->mac : note.mac, sizeof(op->mac));
}

void want_devices(struct builder *b)
{
	const struct topology *topology = b->topology;

	for (size_t i = 0; i < topology->devices_count; i++)
		want_device_take(b, &topology->devices[i]);
}

void want_device_ends(struct builder *b)
{
	const struct topology *topology = b->topology;

	for (size_t i = 0; i < topology->devices_count; i++) {
		const struct topology_device *device = &topology->devices[i];

		for (size_t j = 0; j < device->addresses_count; j++) {
			struct operation *op = want(b, OPERATION_ADDRESS_ADD, device->at);

			op->namespace = device->namespace->name;
			op->link = device->name;
			op->address = device->addresses[j];
			op->device = true;
		}
		want_device_up(b, device);
	}
}

const char *device_towards(const struct topology *topology, const struct topology_namespace *ns,
			   const struct ip_address *via)
{
	for (size_t i = 0; i < topology->devices_count; i++) {
		const struct topology_device *device = &topology->devices[i];

		for (size_t j = 0; device->namespace == ns && j < device->addresses_count; j++)
			if (ip_within(via, &device->addresses[j]))
				return device->name;
	}
	return NULL;
}

bool device_missing(const struct view *view, const struct operation *op)
{
	const struct record_entry *entry = view_recorded(view, RECORD_DEVICE, op->link);
	struct device_place place = {0};

	if (entry)
		place = plan_device_place(view, entry);
	return !place.link || !place.namespace || strcmp(place.namespace, op->namespace) ||
	       strcmp(place.link->name, op->link);
}

/* ---- What cannot be taken. */

static const char *fabric_with_device(const struct view *view, const char *name)
{
	for (size_t i = 0; i < view->state->others_count; i++)
		if (record_has(&view->state->others[i], RECORD_DEVICE, name))
			return view->state->others[i].fabric;
	return NULL;
}

static int refuse_absent(const struct view *view, const char *name, struct error *err)
{
	const struct record_entry *entry = view_recorded(view, RECORD_DEVICE, name);
	const char *fabric = fabric_with_device(view, name);
	struct device_note note;

	if (fabric)
		return error_set(
			err, -EBUSY,
			"there is no interface '%s' in the host namespace: fabric '%s' has "
			"it; take it out of that one first",
			name, fabric);
	if (entry && plan_device_note(entry, &note))
		return error_set(err, -ENODEV,
				 "interface '%s' is gone: it was in namespace '%s', which somebody "
				 "deleted, and a virtual interface with it; hardware is in the "
				 "initial namespace now (ip link set %s netns ... brings it here)",
				 name, note.namespace, name);
	return error_set(err, -ENODEV,
			 "there is no interface '%s' in the host namespace (ip link shows those "
			 "that there are)",
			 name);
}

static bool is_uplink(const struct view *view, const struct plan *desired, const char *name)
{
	for (size_t i = 0; i < desired->count; i++)
		if (desired->operations[i].kind == OPERATION_UPLINK_ADD &&
		    !strcmp(desired->operations[i].link, name))
			return true;
	return view_recorded(view, RECORD_UPLINK, name) ||
	       view_recorded_elsewhere(view, RECORD_UPLINK, name);
}

/* The link of the host that stands on this one (a VLAN, a macvlan). */
static const struct state_link *link_above(const struct view *view, const struct state_link *link)
{
	const struct state_namespace *host = &view->state->host;

	for (size_t i = 0; i < host->links_count; i++)
		if (host->links[i].lower_ifindex == link->ifindex)
			return &host->links[i];
	return NULL;
}

static int refuse_qdisc(const struct state_link *link, const char *what, struct error *err)
{
	return error_set(err, -EBUSY,
			 "interface '%s' has a queueing discipline of its own, which moving it "
			 "would lose; delete it first (tc qdisc del dev %s %s)",
			 link->name, link->name, what);
}

static int check_free(const struct view *view, const struct plan *desired,
		      const struct state_link *link, struct error *err)
{
	const struct state_link *other;

	if (link->flags & IFF_LOOPBACK)
		return error_set(err, -EINVAL, "'%s' is the loopback interface and cannot move",
				 link->name);
	if (!strncmp(link->alias, mark, strlen(mark)))
		return error_set(err, -EBUSY,
				 "interface '%s' belongs to fabric '%s'; a device is one that "
				 "nsroute did not make",
				 link->name, link->alias + strlen(mark));
	if (is_uplink(view, desired, link->name))
		return error_set(err, -EBUSY,
				 "interface '%s' is the uplink of a fabric and has to stay in the "
				 "host namespace; take it out of 'masquerade' and apply that first",
				 link->name);
	if (link->master) {
		other = view_link_by_index(view, NULL, link->master);
		return error_set(err, -EBUSY,
				 "interface '%s' is a port of '%s'; take it out first (ip link set "
				 "%s nomaster)",
				 link->name, other ? other->name : "another interface", link->name);
	}
	other = link_above(view, link);
	if (other)
		return error_set(
			err, -EBUSY,
			"interface '%s' carries '%s', which would lose its way; delete that "
			"first (ip link delete %s)",
			link->name, other->name, other->name);
	if (link->clsact)
		return refuse_qdisc(link, "clsact", err);
	if (link->ingress_qdisc)
		return refuse_qdisc(link, "ingress", err);
	return link->set_qdisc ? refuse_qdisc(link, "root", err) : 0;
}

int check_device(const struct view *view, const struct plan *desired, const struct operation *op,
		 struct error *err)
{
	const struct record_entry *entry = view_recorded(view, RECORD_DEVICE, op->link);
	const struct state_link *inside = view_link(view, op->namespace, op->link);
	struct device_place place = {0};
	const struct state_link *link;

	if (entry)
		place = plan_device_place(view, entry);
	if (inside && inside != place.link)
		return error_set(err, -EEXIST,
				 "interface '%s' exists already in namespace '%s' and is not the "
				 "host's; rename or remove it",
				 op->link, op->namespace);
	if (place.link)
		return 0;
	link = view_link(view, NULL, op->link);
	return link ? check_free(view, desired, link, err) : refuse_absent(view, op->link, err);
}

/* ---- What is given back. */

bool plan_is_device(const struct extra *extra, const char *namespace, const struct state_link *link)
{
	const struct record *record = extra->record;

	for (size_t i = 0; record && i < record->count; i++) {
		struct device_place place;

		if (record->entries[i].kind != RECORD_DEVICE)
			continue;
		place = plan_device_place(extra->view, &record->entries[i]);
		if (place.link == link && place.namespace && !strcmp(place.namespace, namespace))
			return true;
	}
	return false;
}

static bool is_wanted(const struct extra *extra, const char *namespace, const char *name)
{
	struct operation twin = {
		.kind = OPERATION_DEVICE_TAKE, .namespace = namespace, .link = name};
	char key[OPERATION_KEY_MAX];

	return lookup_find(extra->wanted, operation_key(&twin, key));
}

static void give_back(struct extra *extra, const struct record_entry *entry,
		      const struct device_place *place)
{
	struct operation *op =
		arena_push(extra->view->arena, extra->plan->operations, extra->plan->count);

	op->kind = OPERATION_DEVICE_RETURN;
	op->namespace = place->namespace;
	op->link = entry->name;
	op->peer = place->link->name;
	op->why = "as it was before";
	if (place->namespace) /* its sysctls go with it */
		view_remake(extra->view, place->namespace, place->link->name);
}

static void forget(struct extra *extra, const struct record_entry *entry)
{
	const struct state_link *link = view_link(extra->view, NULL, entry->name);
	struct operation *op;

	if (!link)
		log_warning("interface '%s' cannot be given back: it is neither in the namespace "
			    "that it was moved to nor in the host namespace (hardware goes to the "
			    "initial namespace when somebody deletes the one it is in)",
			    entry->name);
	if (extra->removal)
		return;
	op = arena_push(extra->view->arena, extra->plan->operations, extra->plan->count);
	op->kind = OPERATION_FORGET;
	op->record = RECORD_DEVICE;
	op->link = entry->name;
}

static void extra_device(struct extra *extra, const struct record_entry *entry)
{
	struct device_place place = plan_device_place(extra->view, entry);
	bool wanted = is_wanted(extra, NULL, entry->name); /* anywhere */
	bool renamed = place.link && strcmp(place.link->name, entry->name);

	if (place.namespace) {
		if (renamed || !is_wanted(extra, place.namespace, entry->name))
			give_back(extra, entry, &place);
	} else if (!wanted && place.link) {
		give_back(extra, entry, &place);
	} else if (!wanted) {
		forget(extra, entry);
	}
}

void extra_devices(struct extra *extra)
{
	const struct record *record = extra->record;

	for (size_t i = 0; record && i < record->count; i++)
		if (record->entries[i].kind == RECORD_DEVICE)
			extra_device(extra, &record->entries[i]);
}

/* ---- Sysctls of the host that came with it. */

static bool is_inside(const struct extra *extra, const char *key, char name[NAME_INTERFACE_MAX + 1])
{
	const struct record_entry *entry = sysctl_key_interface(key, name)
						   ? view_recorded(extra->view, RECORD_DEVICE, name)
						   : NULL;

	return entry && plan_device_place(extra->view, entry).namespace;
}

bool plan_sysctl_is_away(const struct extra *extra, const char *key)
{
	char name[NAME_INTERFACE_MAX + 1];

	return is_inside(extra, key, name) && is_wanted(extra, NULL, name);
}

bool plan_sysctl_comes_back(const struct extra *extra, const char *key)
{
	char name[NAME_INTERFACE_MAX + 1];

	return is_inside(extra, key, name) && !is_wanted(extra, NULL, name);
}

/* ---- What has to be confirmed. */

static bool touches_the_host(const struct operation *op)
{
	switch (op->kind) {
	case OPERATION_DEVICE_TAKE:
	case OPERATION_DEVICE_RETURN:
		return true;
	case OPERATION_ADDRESS_ADD:
	case OPERATION_ADDRESS_DELETE:
		return op->device;
	case OPERATION_LINK_SET:
		return op->device && op->has_mac;
	default:
		return false;
	}
}

const struct operation *plan_needs_confirmation(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (touches_the_host(&plan->operations[i]))
			return &plan->operations[i];
	return NULL;
}
