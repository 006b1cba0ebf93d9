/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what is about the host and not about one link - our tables, what lies about of
 * ours, other network managers, and tables of the kernel that are nearly full.
 */
#include "doctor.h"

#include <stdio.h>
#include <string.h>

#include "doctor_view.h"

#define FULL_PERCENT 90
#define FILES_SPARE  64 /* descriptors that are not of namespaces */

/* One rule in place of the installed file, as 70-nsroute.rules has it. */
#define UDEV_RULE                                                              \
	"SUBSYSTEM==\"net\", ATTR{address}==\"6e:73:*\", ENV{NSROUTE}=\"1\", " \
	"ENV{NM_UNMANAGED}=\"1\""
#define NETWORK_FILE "[Match]\\nProperty=NSROUTE=1\\n[Link]\\nUnmanaged=yes\\n"

static void check_datapath(struct doctor_world *world)
{
	struct doctor_finding *finding;

	if (!world->datapath_problem)
		return;
	finding = doctor_add(world, DOCTOR_PROBLEM, "datapath");
	finding->where = "/sys/fs/bpf/nsroute";
	finding->what = world->datapath_problem;
	finding->why = "programs and tables cannot be shown or changed; packets are forwarded as "
		       "before";
	finding->mend = arena_printf(world->arena, "%s%s", doctor_nsroute(world, "down --all"),
				     "   # then apply again");
}

static void check_orphans(struct doctor_world *world)
{
	for (size_t i = 0; i < world->orphans_count; i++) {
		struct doctor_finding *finding = doctor_add(world, DOCTOR_PROBLEM, "orphan");

		finding->what = world->orphans[i].what;
		finding->where = world->orphans[i].where;
		finding->why = "it takes memory, and nothing else will remove it";
		finding->mend = world->orphans[i].mend;
	}
	if (world->orphans_problem) {
		struct doctor_finding *finding = doctor_add(world, DOCTOR_SKIPPED, "orphan");

		finding->where = RECORD_DIRECTORY;
		finding->what = world->orphans_problem;
		finding->why =
			"what is left of host namespaces that are gone takes memory; outside "
			"containers \"nsroute down --orphans\" removes it";
	}
}

static void check_managers(struct doctor_world *world)
{
	const struct doctor_managers *managers = &world->managers;
	const char *name = managers->network_manager ? "NetworkManager" : "systemd-networkd";
	struct doctor_finding *finding;

	if (managers->told || (!managers->network_manager && !managers->networkd))
		return;
	finding = doctor_add(world, DOCTOR_NOTE, "manager");
	finding->where = "/etc/udev/rules.d/70-nsroute.rules";
	finding->what = arena_printf(
		world->arena, "%s runs here, and no rule keeps it off nsroute's links", name);
	finding->why =
		"it may take addresses, routes or MTU away; \"make install\" brings the rule";
	finding->mend = arena_printf(
		world->arena,
		"%smkdir -p /etc/udev/rules.d /etc/systemd/network && printf '%%s\\n' '%s' | %stee "
		"/etc/udev/rules.d/70-nsroute.rules >/dev/null && printf '%s' | %stee "
		"/etc/systemd/network/10-nsroute.network >/dev/null",
		world->prefix, UDEV_RULE, world->prefix, NETWORK_FILE, world->prefix);
}

static void check_level(struct doctor_world *world, const char *check, const char *where,
			uint64_t used, uint64_t max, const char *why)
{
	struct doctor_finding *finding;

	if (!max || used * 100 < max * FULL_PERCENT)
		return;
	finding = doctor_add(world, DOCTOR_PROBLEM, check);
	finding->where = where;
	finding->what = arena_printf(world->arena, "%llu entries, and %llu is the limit",
				     (unsigned long long)used, (unsigned long long)max);
	finding->why = why;
	finding->mend = arena_printf(world->arena, "%ssysctl -w %s=%llu", world->prefix, where,
				     (unsigned long long)max * 8);
}

static void check_limits(struct doctor_world *world)
{
	const struct doctor_limits *limits = &world->limits;
	const char *why = "the table is one for all namespaces: when it is full nobody finds new "
			  "neighbours (\"Neighbour table overflow\")";
	size_t needed = 2 * world->state->namespaces_count + FILES_SPARE; /* and a socket */
	struct doctor_finding *finding;

	check_level(world, "neighbours", "net/ipv4/neigh/default/gc_thresh3", limits->neighbours4,
		    limits->neighbours4_max, why);
	check_level(world, "neighbours", "net/ipv6/neigh/default/gc_thresh3", limits->neighbours6,
		    limits->neighbours6_max, why);
	check_level(world, "connections", "net/netfilter/nf_conntrack_max", limits->connections,
		    limits->connections_max,
		    "netfilter drops what opens a connection when its table is full");
	if (!limits->files_max || limits->files_max >= needed)
		return;
	finding = doctor_add(world, DOCTOR_PROBLEM, "files");
	finding->where = "ulimit -n";
	finding->what = arena_printf(world->arena,
				     "%llu open files are allowed, %zu namespaces "
				     "need %zu",
				     (unsigned long long)limits->files_max,
				     world->state->namespaces_count, needed);
	finding->why = "apply opens every namespace of a fabric at once";
	finding->mend = arena_printf(world->arena, "ulimit -n %zu", needed * 2);
}

void doctor_check_host(struct doctor_world *world)
{
	check_datapath(world);
	if (world->fabrics_count)
		check_managers(world);
	if (world->only)
		return;
	check_orphans(world);
	check_limits(world);
}
