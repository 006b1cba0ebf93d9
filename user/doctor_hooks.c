/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: other people's programs that see packets of our ports and uplinks before ours do.
 * Which of them answer so that ours is never asked cannot be told from outside, so the words are
 * "may". XDP at an uplink is somebody's firewall or load balancer, most likely meant; at the end of
 * a namespace's veth it makes every packet slow, and is a problem.
 */
#include "doctor.h"

#include <string.h>

#include "doctor_view.h"

static const struct {
	const char *words, *hook;
	bool tcx;
} places[] = {
	[PROGRAM_TC_INGRESS] = {"ingress", "ingress", false},
	[PROGRAM_TC_EGRESS] = {"egress", "egress", false},
	[PROGRAM_TCX_INGRESS] = {"tcx ingress", "tcx_ingress", true},
	[PROGRAM_TCX_EGRESS] = {"tcx egress", "tcx_egress", true},
};

static const char *detach(const struct doctor_world *world, const struct program *program)
{
	const struct state_namespace *host = &world->state->host;
	const char *hook = places[program->place].hook;

	if (!places[program->place].tcx)
		return doctor_run(world, host, "tc filter del dev %s %s pref %u", program->link,
				  hook, program->priority);
	if (program->link_id)
		return doctor_run(world, host, "bpftool link detach id %u", program->link_id);
	return doctor_run(world, host, "bpftool net detach %s dev %s", hook, program->link);
}

static void check_program(struct doctor_world *world, const struct program *program)
{
	bool tcx = places[program->place].tcx, uplink = doctor_is_uplink(world, program->link);
	struct doctor_finding *finding;

	if (program->goes_on || !doctor_wanted(world, &world->state->host, program->link))
		return;
	finding = doctor_add_at(world, DOCTOR_PROBLEM, "foreign-program", &world->state->host,
				program->link);
	finding->what = arena_printf(
		world->arena, "at %s a %s '%s'%s that is not nsroute's sees packets first",
		places[program->place].words, tcx ? "program" : "filter", program->name,
		tcx ? "" : arena_printf(world->arena, " (priority %u)", program->priority));
	finding->why =
		uplink ? "what it accepts, drops or redirects may leave or enter untranslated "
			 "and uncounted"
		       : "what it accepts, drops or redirects goes past policy and counters";
	finding->mend = detach(world, program);
}

static void check_xdp(struct doctor_world *world, const struct doctor_interface *interface)
{
	const struct state_link *link = interface->link;
	bool uplink = doctor_is_uplink(world, link->name);
	struct doctor_finding *finding;

	if (!link->xdp_program || (!uplink && !doctor_port(world, link->ifindex)) ||
	    !doctor_wanted(world, interface->namespace, link->name))
		return;
	finding = doctor_add_at(world, uplink ? DOCTOR_NOTE : DOCTOR_PROBLEM, "foreign-xdp",
				interface->namespace, link->name);
	finding->what = arena_printf(world->arena, "the XDP program number %u sees packets first",
				     link->xdp_program);
	finding->why = uplink ? "what it drops or redirects never reaches nsroute"
			      : "at a veth it copies every packet, and what it drops or redirects "
				"never reaches nsroute";
	finding->mend =
		doctor_ip(world, interface->namespace, "link set dev %s xdp off", link->name);
}

void doctor_check_hooks(struct doctor_world *world)
{
	for (size_t i = 0; i < world->programs_count; i++)
		check_program(world, &world->programs[i]);
	for (size_t i = 0; i < world->interfaces_count; i++)
		if (doctor_is_host(world, world->interfaces[i].namespace))
			check_xdp(world, &world->interfaces[i]);
}
