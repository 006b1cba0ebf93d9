/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * simulator - a kernel that is only data: plans run on it, and what they leave is observed again.
 *
 * It keeps the rules of the real one that plans rely on (links need their namespace, a veth dies
 * with its peer, addresses and routes with their link, neighbours when it goes down) and asserts
 * the order of the contract: no namespace's end comes up on a network without its policy, nothing
 * is masqueraded later than its ports, everything is recorded.
 */
#ifndef NSROUTE_TESTS_SIMULATOR_H
#define NSROUTE_TESTS_SIMULATOR_H

#include "kernel_state.h"
#include "plan.h"
#include "record.h"
#include "topology.h"

struct simulated_device { /* what it had in the host namespace */
	struct state_link link;
	struct state_address address; /* one at most */
};

struct simulator {
	struct arena arena;
	struct state_namespace *spaces; /* the first is the host */
	size_t spaces_count;
	uint32_t next_ifindex;
	struct state_datapath datapath;
	uint32_t program;         /* number of the programs that were loaded last */
	struct state_file *files; /* below /etc */
	size_t files_count;
	struct state_ovs ovs;
	struct record record;
	struct record others[4];
	size_t others_count;
	struct simulated_device *devices;
	size_t devices_count;
	struct record steps; /* of single steps; in the state when it has entries */
	bool by_hand;        /* what runs is single steps: their record, and their mark */
	bool by_steps;       /* the operation that runs is about their record */
	bool no_ipv4_sizes;  /* a kernel before 6.3; for links that are made from then on */
};

/* A host with lo and eth0, which has 198.51.100.1/24 and a default route. */
struct simulator *simulator_new(void);
void simulator_free(struct simulator *sim);

struct state_namespace *simulator_space(struct simulator *sim, const char *namespace);
struct state_link *simulator_link(struct simulator *sim, const char *namespace, const char *link);
struct state_link *simulator_add_link(struct simulator *sim, const char *namespace,
				      const char *name, const char *kind);
void simulator_delete_link(struct simulator *sim, const char *namespace, const char *link);
void simulator_delete_space(struct simulator *sim, const char *namespace);
void simulator_set_sysctl(struct simulator *sim, const char *key, const char *value);
const char *simulator_sysctl(struct simulator *sim, const char *key);
/* Each namespace has net/ipv4/tcp_syncookies (1), net/ipv4/conf/all/forwarding (0), and for each of
 * its links net/ipv4/conf/LINK/forwarding. */
const char *simulator_netns_sysctl(struct simulator *sim, const char *namespace, const char *key);
void simulator_set_netns_sysctl(struct simulator *sim, const char *namespace, const char *key,
				const char *value);
/* text NULL: a folder. */
struct state_file *simulator_file(struct simulator *sim, const char *path);
void simulator_add_file(struct simulator *sim, const char *path, const char *text);
void simulator_delete_file(struct simulator *sim, const char *path);

/* The steps of taking a device before it moves, of which each may be the last of a killed process.
 */
void simulator_note_device(struct simulator *sim, const char *name, const char *namespace);
void simulator_mark_device(struct simulator *sim, const char *name);

/* As fabric_observe() would. topology may be NULL. */
struct kernel_state *simulator_observe(struct simulator *sim, struct topology *topology);
/* As fabric_observe_named() would. */
struct kernel_state *simulator_observe_named(struct simulator *sim, const char *const *names,
					     size_t count);
void simulator_execute(struct simulator *sim, const struct operation *operation);
void simulator_run(struct simulator *sim, const struct plan *plan);

#endif
