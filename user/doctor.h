/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * doctor - checks, each with one finding: what was seen, where, why it matters, and the command
 * that mends it.
 *
 * doctor_machine() looks at the machine. All others are pure: they judge a struct doctor_world,
 * which doctor_look() fills from the kernel and tests fill by hand. Checks look and try, they
 * change nothing: what has to be created to know (a veth, a bridge, a filter) is created in a
 * network namespace of its own that has no name and is gone at the end.
 *
 * A finding is a problem only when something does not work, or will not: what is unusual, but may
 * be meant so, is a note.
 */
#ifndef NSROUTE_DOCTOR_H
#define NSROUTE_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "lookup.h"
#include "netfilter.h"
#include "programs.h"
#include "record.h"
#include "route_choices.h"
#include "sockets.h"

enum doctor_status {
	DOCTOR_GOOD,
	DOCTOR_PROBLEM,
	DOCTOR_SKIPPED, /* could not be found out; what says why */
	DOCTOR_NOTE,    /* works, and is worth knowing */
};

struct doctor_finding {
	const char *check; /* short name: "bpffs" */
	enum doctor_status status;
	const char *what;  /* "not mounted" */
	const char *where; /* "/sys/fs/bpf", "red:eth0" */
	const char *why;   /* what does not work without it */
	const char *mend;  /* a command, or "" when there is nothing to mend */
	/* NULL where it does not apply: */
	const char *fabric;
	const char *namespace; /* "host": the host namespace */
	const char *interface;
};

/* How a fabric and its file compare. */
enum doctor_file {
	DOCTOR_FILE_SAME,
	DOCTOR_FILE_DIFFERS, /* "nsroute plan" has something to do */
	DOCTOR_FILE_GONE,
	DOCTOR_FILE_INVALID,
	DOCTOR_FILE_REFUSED, /* it cannot be applied as things are */
};

struct doctor_fabric {
	const struct record *record;
	enum doctor_file file;
	size_t operations; /* to be done */
	const char *first; /* the first of them, or the error */
};

/* What lies about of ours. */
struct doctor_orphan {
	const char *what;  /* "pins of a host namespace that is gone" */
	const char *where; /* path */
	const char *mend;
};

/* Programs that like to configure other people's interfaces. */
struct doctor_managers {
	bool network_manager, networkd; /* run in this host namespace */
	bool told;                      /* rules that keep them off our links are installed */
};

/* Fill levels, of the machine; 0: not known. */
struct doctor_limits {
	uint64_t neighbours4, neighbours4_max; /* gc_thresh3 */
	uint64_t neighbours6, neighbours6_max;
	uint64_t connections, connections_max; /* nf_conntrack */
	uint64_t files_max;                    /* of this process */
};

/* An interface of any namespace that is looked at, and what it is connected to. */
struct doctor_interface {
	const struct state_namespace *namespace;
	const struct state_link *link;
	struct doctor_interface *peer;   /* the other end of a veth; NULL: unknown */
	struct doctor_interface *master; /* what it is a port of */
	struct doctor_interface *next;   /* in the segment */
	struct doctor_interface *first; /* of the segment: those who hear each other's broadcasts */
	/* Of the segment, in its first: */
	bool open;    /* others may be on it whom we do not see */
	bool unclear; /* may be several (VLANs, a switch that is not the kernel's) */
};

struct doctor_world {
	struct arena *arena;
	const char *netns;                /* --netns, for the commands of mends */
	const char *prefix;               /* of commands: "sudo " or "" */
	const struct kernel_state *state; /* "others" are the records of all fabrics here */
	const char *only;                 /* the fabric to look at; NULL: everything */
	struct doctor_fabric *fabrics;    /* those to look at */
	size_t fabrics_count;
	const char *datapath_problem; /* why our tables cannot be read, or NULL */
	struct program *programs;     /* before ours, at our ports and uplinks */
	size_t programs_count;
	struct route_choices choices; /* of the host */
	struct netfilter netfilter;
	const char *netfilter_problem; /* why the rules are not known, or NULL */
	struct doctor_orphan *orphans;
	size_t orphans_count;
	const char *orphans_problem; /* why it is not known whether there are more, or NULL */
	struct doctor_managers managers;
	struct doctor_limits limits;
	struct socket_open *sockets; /* of the host's own programs */
	size_t sockets_count;
	/* doctor_connect() */
	struct doctor_interface *interfaces;
	size_t interfaces_count;
	struct lookup *by_place;
	/* Results. */
	struct doctor_finding *findings;
	size_t findings_count;
};

/* Looks at this machine. Never fails: what cannot be found out is a finding too, here and below. */
void doctor_machine(struct doctor_world *world);
/* Fills the world from the kernel: all namespaces, and the fabrics (one, when world->only is set:
 * -ENOENT when there is none of that name). */
int doctor_look(struct doctor_world *world, int host_fd, uint64_t cookie, struct error *err);
/* Adds what was left of ours by those who are gone; doctor_look() calls it. */
void doctor_look_for_orphans(struct doctor_world *world, uint64_t cookie);
/* Judges it: doctor_connect() and all checks. */
void doctor_judge(struct doctor_world *world);

/* -EPERM, naming the missing capabilities, when this process may not do what nsroute does. */
int doctor_privilege(struct error *err);

/* ---- For the checks. */

/* A finding whose other members the caller fills; valid until the next one is added. */
struct doctor_finding *doctor_add(struct doctor_world *world, enum doctor_status status,
				  const char *check);
/* ... with its place; interface may be NULL. */
struct doctor_finding *doctor_add_at(struct doctor_world *world, enum doctor_status status,
				     const char *check, const struct state_namespace *namespace,
				     const char *interface);
/* "red:eth0", "host:v-net-0" */
const char *doctor_place(const struct doctor_world *world, const struct state_namespace *namespace,
			 const char *interface);

/* Commands, as they can be pasted: "ip -n red ..."; "ip netns exec red ..."; "nsroute ...". */
const char *doctor_ip(const struct doctor_world *world, const struct state_namespace *namespace,
		      const char *format, ...) __attribute__((format(printf, 3, 4)));
const char *doctor_run(const struct doctor_world *world, const struct state_namespace *namespace,
		       const char *format, ...) __attribute__((format(printf, 3, 4)));
const char *doctor_nsroute(const struct doctor_world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* One after the other; "" counts as none. */
const char *doctor_then(const struct doctor_world *world, const char *first, const char *second);
/* Applies the fabric's file again; opens it in an editor before that. */
const char *doctor_apply(const struct doctor_world *world, const struct record *record);
const char *doctor_edit(const struct doctor_world *world, const struct record *record);

/* The fabric that a namespace (or a link of the host) is recorded for, or NULL. */
const struct record *doctor_owner(const struct doctor_world *world,
				  const struct state_namespace *namespace, const char *link);
/* Whether it is to be looked at: everything, or what belongs to the only fabric. */
bool doctor_wanted(const struct doctor_world *world, const struct state_namespace *namespace,
		   const char *link);

/* ---- Groups of checks; doctor_judge() calls them in this order. */

void doctor_check_links(struct doctor_world *world);     /* up, connected, MTU */
void doctor_check_addresses(struct doctor_world *world); /* prefix, duplicates, overlap */
void doctor_check_routes(struct doctor_world *world);    /* way out, gateways, forwarding */
void doctor_check_fabrics(struct doctor_world *world);   /* records, programs, file */
void doctor_check_sockets(struct doctor_world *world);   /* of the host, with published ports */
void doctor_check_hooks(struct doctor_world *world);     /* what else is there */
void doctor_check_netfilter(struct doctor_world *world);
void doctor_check_host(struct doctor_world *world); /* managers, limits, orphans */

#endif
