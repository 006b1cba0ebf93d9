/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath - the BPF programs and maps of one host network namespace.
 *
 * They are pinned under /sys/fs/bpf/nsroute/COOKIE/ (bpffs is machine-wide, a datapath is not), so
 * nothing has to keep running. Numbers of ports, networks and uplinks are given out here; whoever
 * fills the tables names ports and uplinks by the ifindex of their link.
 */
#ifndef NSROUTE_DATAPATH_H
#define NSROUTE_DATAPATH_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "error.h"
#include "kernel_state.h"

#define DATAPATH_PINS "/sys/fs/bpf/nsroute"

struct datapath;

/* The programs that sit at clsact hooks (qdisc.h attaches them). */
enum datapath_program {
	DATAPATH_PORT_IN,
	DATAPATH_PORT_OUT,
	DATAPATH_UPLINK_IN,
	DATAPATH_UPLINK_OUT,
	DATAPATH_BARE_IN, /* of an uplink that has no Ethernet headers */
	DATAPATH_BARE_OUT,
	DATAPATH_LOCAL_OUT, /* of the loopback interface, which needs no other */
	DATAPATH_PROGRAMS
};

/* The name of an enum datapath_program as the kernel keeps it (at most 15 bytes), to tell ours from
 * others'. */
const char *datapath_program_name(unsigned int program);
#define DATAPATH_PROGRAM_PREFIX "nsr_" /* what all of them start with */

/* Whether a datapath is pinned for the host namespace with this cookie. */
bool datapath_exists(uint64_t cookie);
struct datapath_new {
	uint32_t flows; /* masqueraded ones that there is room for: up to NSR_FLOWS_MAX, rounded up
			 */
	uint32_t uses;  /* enum datapath_use */
};

/* Opens what is pinned; when nothing is, loads and pins a new one, but with fresh NULL that is
 * -ENOENT. -ENOTSUP with a clear message when bpffs is missing or the pinned one has another
 * layout. */
int datapath_open(struct datapath **ret, uint64_t cookie, const struct datapath_new *fresh,
		  struct error *err);
void datapath_close(struct datapath *datapath);
/* Removes the pins; the kernel frees programs and maps when the last hook is gone. */
int datapath_unpin(uint64_t cookie, struct error *err);

/* -1: not what the datapath is used for. */
int datapath_program_fd(const struct datapath *datapath, enum datapath_program program);

/* Loads and pins what is missing of the programs for these uses, and for those that it has already;
 * ret_added is for datapath_programs_remove(). On failure nothing of it is there. */
int datapath_programs_add(struct datapath *datapath, uint64_t cookie, uint32_t uses,
			  uint32_t *ret_added, struct error *err);
/* Removes them; those that are attached go on. */
int datapath_programs_remove(struct datapath *datapath, uint64_t cookie, uint32_t added,
			     struct error *err);
/* Loads this binary's programs on the maps of datapath, which may have another build's: those that
 * it has, and those for these uses. ret is to be closed like any other, and nothing of it is pinned
 * or attached. */
int datapath_load_programs(const struct datapath *datapath, uint32_t uses, struct datapath **ret,
			   struct error *err);
/* Pins the programs of datapath in place of those that are pinned. Between the two the caller puts
 * them at the hooks; when that does not come to its end, the next apply begins again. all: what
 * datapath has not goes, or is nobody's any more; false: it may be at a hook still. */
int datapath_exchange_begin(const struct datapath *datapath, uint64_t cookie, bool all,
			    struct error *err);
/* Hands the clock that expires flows to them. */
int datapath_exchange_end(const struct datapath *datapath, struct error *err);
/* What the link's hooks are for, by the tables. */
bool datapath_is_port(const struct datapath *datapath, uint32_t ifindex);
bool datapath_is_uplink(const struct datapath *datapath, uint32_t ifindex);

/* port->index is ignored: the port that ifindex has already keeps its number, a new one gets the
 * lowest free one, with its counters at zero. ret_index may be NULL. -ENOSPC past NSR_PORTS_MAX. */
int datapath_port_set(struct datapath *datapath, uint32_t ifindex, const struct nsr_port *port,
		      uint32_t *ret_index, struct error *err);
/* Deleting what is not there is success, here and below. Removes the port's sources too. */
int datapath_port_delete(struct datapath *datapath, uint32_t ifindex, struct error *err);
int datapath_source_set(struct datapath *datapath, uint32_t port_ifindex,
			const struct ip_address *prefix, struct error *err);
int datapath_source_delete(struct datapath *datapath, uint32_t port_ifindex,
			   const struct ip_address *prefix, struct error *err);

/* endpoint->ifindex names the port and must have been set; endpoint->port is filled in. The
 * sessions of an address that goes, or goes to another port, end. */
int datapath_host_set(struct datapath *datapath, const struct ip_address *ip,
		      const struct nsr_endpoint *endpoint, struct error *err);
int datapath_host_delete(struct datapath *datapath, const struct ip_address *ip, struct error *err);
int datapath_fdb_set(struct datapath *datapath, const struct nsr_fdb_key *key,
		     const struct nsr_endpoint *endpoint, struct error *err);
int datapath_fdb_delete(struct datapath *datapath, const struct nsr_fdb_key *key,
			struct error *err);

int datapath_inner_link_set(struct datapath *datapath, uint32_t ifindex,
			    const struct nsr_inner_link *inner, struct error *err);
int datapath_inner_link_delete(struct datapath *datapath, uint32_t ifindex, struct error *err);

/* uplink->index, ->ifindex, ->slots and ->flags are ignored, as for ports. A change of the address
 * ends the sessions of its family, one of the port range those of both; where there are several
 * addresses, those of inside addresses that get another one. -ENOSPC past NSR_UPLINKS_MAX. */
int datapath_uplink_set(struct datapath *datapath, uint32_t ifindex,
			const struct nsr_uplink *uplink, uint32_t *ret_index, struct error *err);
int datapath_uplink_delete(struct datapath *datapath, uint32_t ifindex, struct error *err);
/* The prefix is masqueraded, and leaves by this uplink only; settings->uplink is ignored. Sessions
 * that it has go on, with the timeouts that are set; but to another uplink, and when it is deleted,
 * they end. except: destinations of its family that it reaches untranslated. */
int datapath_inside_set(struct datapath *datapath, const struct ip_address *prefix,
			uint32_t uplink_ifindex, const struct nsr_inside *settings,
			const struct ip_address *except, size_t except_count, struct error *err);
int datapath_inside_delete(struct datapath *datapath, const struct ip_address *prefix,
			   struct error *err);

/* Reads every table and counter. */
int datapath_snapshot(struct datapath *datapath, struct arena *arena, struct state_datapath *ret,
		      struct error *err);

#endif
