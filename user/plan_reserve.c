/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what comes in to a published port goes to its namespace. So the kernel must not
 * give that port to a socket of the host's that asks for any free one: it would get no answers. The
 * sysctl that says so is a set which others put ports into as well. Ours are recorded: those that
 * were not in it, and those that another fabric has put into it. When the last of these fabrics
 *does not need a port any more, it is taken out; all others stay, whenever they came.
 *
 *	ours	what the record says
 *	others'	the same of the other fabrics
 *
 * What is in it and not ours the host wants for its own sockets, so the pools of external ports
 * leave it out; ours are left out by being published.
 *
 * The set is of numbers: a port that is published as one of UDP is reserved for TCP too.
 */
#include "plan_reserve.h"

#include <string.h>

#include "port_set.h"

static bool publishes(const struct topology *topology)
{
	for (size_t i = 0; topology && i < topology->namespaces_count; i++)
		if (topology->namespaces[i].publish_count)
			return true;
	return false;
}

static bool masquerades(const struct topology *topology)
{
	for (size_t i = 0; topology && i < topology->networks_count; i++)
		if (topology->networks[i].masquerade.enabled)
			return true;
	return false;
}

bool plan_needs_reserved_ports(const struct topology *topology, const struct record *record)
{
	return publishes(topology) || masquerades(topology) ||
	       record_has(record, RECORD_RESERVED, RESERVED_KEY);
}

void want_reserved_ports(struct builder *b)
{
	struct port_set wanted = {};
	struct position at = {};
	struct operation *op;

	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];

		for (size_t j = 0; j < ns->publish_count; j++) {
			port_set_add(&wanted, ns->publish[j].ports.external,
				     ns->publish[j].ports.count);
			at = at.line ? at : ns->publish[j].at;
		}
	}
	if (port_set_empty(&wanted))
		return;
	op = want(b, OPERATION_PORTS_RESERVE, at);
	op->key = RESERVED_KEY;
	op->value = port_set_text(&wanted, b->arena);
	op->why = "no published port for a socket of the host's that takes any";
}

static void read_recorded(struct port_set *set, const struct record_entry *entry)
{
	if (!entry)
		return;
	port_set_read(set, entry->value);
	port_set_read(set, entry->set);
}

/* Whose the ports are that are in the sysctl, or are said to be. */
struct owners {
	struct port_set observed, ours, others, strangers;
};

static void find_owners(const struct view *view, const char *observed_text, struct owners *ret)
{
	*ret = (struct owners){};
	port_set_read(&ret->observed, observed_text);
	read_recorded(&ret->ours, view_recorded(view, RECORD_RESERVED, RESERVED_KEY));
	for (size_t i = 0; i < view->state->others_count; i++)
		read_recorded(&ret->others,
			      record_find(&view->state->others[i], RECORD_RESERVED, RESERVED_KEY));
	ret->strangers = ret->observed;
	port_set_take_out(&ret->strangers, &ret->ours);
	port_set_take_out(&ret->strangers, &ret->others);
}

/* Makes of what is wanted the change that is needed. False: the sysctl is as it is to be. */
static bool find_change(const struct view *view, const struct port_set *wanted,
			const char *observed_text, struct operation *op)
{
	struct port_set after, reserve, release;
	struct owners are;

	find_owners(view, observed_text, &are);
	after = *wanted;
	port_set_take_out(&after, &are.strangers);
	reserve = after;
	port_set_take_out(&reserve, &are.observed);
	release = are.ours;
	port_set_take_out(&release, &after);
	port_set_take_out(&release, &are.others);
	port_set_keep(&release, &are.observed);
	op->value = port_set_text(&after, view->arena);
	op->old_value = port_set_text(&are.ours, view->arena);
	op->reserve = port_set_text(&reserve, view->arena);
	op->release = port_set_text(&release, view->arena);
	return *op->reserve || *op->release || strcmp(op->value, op->old_value);
}

static const char *observed_ports(const struct view *view)
{
	const struct state_sysctl *sysctl = view_find(
		view, &(struct operation){.kind = OPERATION_SYSCTL_SET, .key = RESERVED_KEY});

	return sysctl ? sysctl->value : NULL;
}

bool reserve_missing(const struct view *view, struct operation *op)
{
	const char *observed = observed_ports(view);
	struct port_set wanted = {};

	port_set_read(&wanted, op->value);
	return observed && find_change(view, &wanted, observed, op);
}

void want_set_aside(struct builder *b)
{
	const char *observed = observed_ports(b->view);
	struct operation *op;
	struct owners are;

	if (!observed || !masquerades(b->topology))
		return;
	find_owners(b->view, observed, &are);
	op = want(b, OPERATION_PORTS_SET_ASIDE, (struct position){0});
	op->value = port_set_text(&are.strangers, b->arena);
	op->why = "the host's ip_local_reserved_ports";
}

bool set_aside_missing(const struct view *view, struct operation *op)
{
	const struct state_datapath *datapath = &view->state->datapath;

	op->old_value = datapath->set_aside ? datapath->set_aside : "";
	return datapath->set_aside_unfinished || strcmp(op->value, op->old_value);
}

void plan_extra_reserved_ports(struct extra *extra)
{
	struct operation op = {.kind = OPERATION_PORTS_RESERVE, .key = RESERVED_KEY};
	const char *observed = observed_ports(extra->view);
	char key[OPERATION_KEY_MAX];

	if (!record_has(extra->record, RECORD_RESERVED, RESERVED_KEY) ||
	    lookup_find(extra->wanted, operation_key(&op, key)))
		return;
	find_change(extra->view, &(struct port_set){}, observed ? observed : "", &op);
	if (*op.release)
		op.why = "as it was before";
	else if (extra->removal)
		return;
	else
		op = (struct operation){
			.kind = OPERATION_FORGET, .record = RECORD_RESERVED, .link = RESERVED_KEY};
	*(struct operation *)arena_push(extra->view->arena, extra->plan->operations,
					extra->plan->count) = op;
}
