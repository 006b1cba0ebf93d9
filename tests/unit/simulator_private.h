/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * simulator_private - what the parts of the simulator share.
 */
#ifndef NSROUTE_TESTS_SIMULATOR_PRIVATE_H
#define NSROUTE_TESTS_SIMULATOR_PRIVATE_H

#include "simulator.h"

#define DELETE_AT(array, count, place) \
	memmove(&(array)[place], &(array)[(place) + 1], (--(count) - (place)) * sizeof(*(array)))

/* Deletes every element of an array for which the condition on "it" holds. */
#define DELETE_IF(array, count, condition)                         \
	for (size_t place_ = (count); place_ > 0; place_--) {      \
		__typeof__(&(array)[0]) it = &(array)[place_ - 1]; \
		if (condition)                                     \
			DELETE_AT(array, count, place_ - 1);       \
	}

/* Fails the test when there is no such link. */
struct state_link *need(struct simulator *sim, const char *namespace, const char *name);

/* The record, as apply_record.c keeps it. */
void note(struct simulator *sim, enum record_kind kind, const char *name, const char *value,
	  const char *set);
void unnote(struct simulator *sim, enum record_kind kind, const char *name);

/* simulator_attached.c */
void run_attached(struct simulator *sim, const struct operation *op);

/* simulator_device.c */
void take_device(struct simulator *sim, const struct operation *op);
void return_device(struct simulator *sim, const struct operation *op);

/* simulator_datapath.c */
struct state_port *port_of(struct simulator *sim, uint32_t ifindex);
void run_datapath(struct simulator *sim, const struct operation *op);
/* When the plan of the operation is through. */
void exchange_left(struct simulator *sim, const struct operation *op);

/* simulator_settings.c */
void add_netns_sysctl(struct simulator *sim, const char *namespace, const char *key,
		      const char *value);
void add_link_sysctls(struct simulator *sim, const char *namespace, const char *link);
void run_netns_sysctl(struct simulator *sim, const struct operation *op);
void run_reserve(struct simulator *sim, const struct operation *op);
void run_file_operation(struct simulator *sim, const struct operation *op);
void run_ovs(struct simulator *sim, const struct operation *op);
struct state_ovs copy_ovs(struct simulator *sim, const struct topology *topology);
struct state_file *copy_files(struct simulator *sim, const struct topology *topology,
			      size_t *ret_count);
void hide_sysctls(struct simulator *sim, const struct topology *topology,
		  struct state_namespace *ns);

#endif
