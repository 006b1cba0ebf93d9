/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an object is whose mark (alias) it bears, if that one has recorded it. So it is
 * recorded for the fabric first, then its mark is changed - in this instant it changes hands - and
 * then it leaves the record of single steps. Killed anywhere in between it belongs to one of the
 * two, and the next plan goes on from there.
 */
#include "plan_adopt.h"

#include <inttypes.h>
#include <string.h>

static struct operation *adopt(const struct view *view, struct plan *plan,
			       const struct operation *made, enum record_kind record,
			       const char *name, const uint8_t *mac)
{
	struct operation *op = arena_push(view->arena, plan->operations, plan->count);

	op->kind = OPERATION_ADOPT;
	op->at = made->at;
	op->record = record;
	op->link = name;
	op->has_mac = mac;
	if (mac)
		memcpy(op->mac, mac, sizeof(op->mac));
	return op;
}

/* Those in namespaces have no record of their own in a fabric. The MAC is noted when it is wanted
 * as it is, because it was nowhere derived from. */
static void adopt_link(const struct view *view, struct plan *plan, const struct operation *made,
		       const char *namespace, const char *name, const uint8_t mac[6])
{
	const struct state_link *link = view_link(view, namespace, name);

	if (!link || !view_link_is_of_steps(view, namespace, link))
		return;
	if (!namespace)
		adopt(view, plan, made, RECORD_LINK, name, link->mac);
	if (!memcmp(link->mac, mac, sizeof(link->mac)))
		adopt(view, plan, made, RECORD_MAC, view_place(view, namespace, name), mac);
}

void plan_adopt(const struct view *view, const struct plan *desired, struct plan *plan)
{
	for (size_t i = 0; view->steps.count && i < desired->count; i++) {
		const struct operation *op = &desired->operations[i];
		const struct state_namespace *ns;

		if (op->kind == OPERATION_NETNS_ADD) {
			ns = view_namespace(view, op->namespace);
			if (ns && ns->exists && view_namespace_is_of_steps(view, ns))
				adopt(view, plan, op, RECORD_NETNS, op->namespace, NULL)->value =
					arena_printf(view->arena, "%" PRIu64, ns->cookie);
		} else if (op->kind == OPERATION_BRIDGE_ADD || op->kind == OPERATION_VETH_ADD) {
			adopt_link(view, plan, op, op->namespace, op->link, op->mac);
			if (op->kind == OPERATION_VETH_ADD)
				adopt_link(view, plan, op, op->peer_namespace, op->peer,
					   op->peer_mac);
		}
	}
}

static void release(const struct view *view, struct plan *plan, enum record_kind record,
		    const char *name)
{
	const struct record_entry *entry = view_recorded_by_steps(view, record, name);
	struct operation *op;

	if (!entry)
		return;
	op = arena_push(view->arena, plan->operations, plan->count);
	op->kind = OPERATION_FORGET;
	op->record = record;
	op->link = name;
	op->by_steps = true;
	op->has_mac = mac_parse(entry->value, op->mac);
	op->value = entry->value;
}

static void release_link(const struct view *view, struct plan *plan, const char *namespace,
			 const char *link)
{
	if (namespace)
		release(view, plan, RECORD_LINK_INSIDE, view_place(view, namespace, link));
	else
		release(view, plan, RECORD_LINK, link);
}

void plan_release(const struct view *view, const struct plan *desired, struct plan *plan)
{
	for (size_t i = 0; view->steps.count && i < desired->count; i++) {
		const struct operation *op = &desired->operations[i];

		if (op->kind == OPERATION_NETNS_ADD)
			release(view, plan, RECORD_NETNS, op->namespace);
		else if (op->kind == OPERATION_BRIDGE_ADD || op->kind == OPERATION_VETH_ADD)
			release_link(view, plan, op->namespace, op->link);
		if (op->kind == OPERATION_VETH_ADD)
			release_link(view, plan, op->peer_namespace, op->peer);
	}
}
