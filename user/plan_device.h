/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_device - interfaces of the host that are moved into namespaces, and given back. For plan*.c
 * only.
 */
#ifndef NSROUTE_PLAN_DEVICE_H
#define NSROUTE_PLAN_DEVICE_H

#include "plan_builder.h"
#include "plan_extra.h"

/* What the record says of a device besides what the kernel took from it. */
struct device_note {
	uint8_t mac[6]; /* those that it had */
	uint32_t mtu;
	const char *namespace;
};

/* Reads a RECORD_DEVICE entry's value. */
bool plan_device_note(const struct record_entry *entry, struct device_note *ret);

/* Where a recorded device is. */
struct device_place {
	const char *namespace;         /* NULL: back in the host namespace, marked as ours still */
	const struct state_link *link; /* NULL: nowhere */
};

/* In its namespace it is called as before, or bears our mark and the recorded MAC. */
struct device_place plan_device_place(const struct view *view, const struct record_entry *entry);

/* The moves, and the settings inside. */
void want_devices(struct builder *builder);
void want_device_ends(struct builder *builder);
/* Name of the device of a namespace that a next hop is on, or NULL. */
const char *device_towards(const struct topology *topology, const struct topology_namespace *ns,
			   const struct ip_address *via);
/* Refuses a DEVICE_TAKE whose interface is not there, is used, or would meet another inside. */
int check_device(const struct view *view, const struct plan *desired, const struct operation *op,
		 struct error *err);
bool device_missing(const struct view *view, const struct operation *op);

/* Whether a link inside a namespace is a recorded device: it is given back, never deleted. */
bool plan_is_device(const struct extra *extra, const char *namespace,
		    const struct state_link *link);
/* Gives back the devices that are not wanted, or are elsewhere. */
void extra_devices(struct extra *extra);

/* Whether a sysctl of the host goes with a device that is in a namespace, and stays there; or is
 * given back by this plan. */
bool plan_sysctl_is_away(const struct extra *extra, const char *key);
bool plan_sysctl_comes_back(const struct extra *extra, const char *key);

/* The first operation that moves or renumbers an interface of the host; NULL: none does. */
const struct operation *plan_needs_confirmation(const struct plan *plan);

#endif
