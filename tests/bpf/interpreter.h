/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * interpreter - runs the programs of the BPF object on a packet, and counts what they do.
 *
 * It needs no privilege: maps are plain memory, and the helpers that ask the kernel have answers
 * that the caller gives. It is no verifier: what it runs has to be sound. test_interpreter.c shows
 * that it does to packets what the kernel does.
 */
#ifndef TESTS_BPF_INTERPRETER_H
#define TESTS_BPF_INTERPRETER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

struct machine;

/* What one run did. Maps in maps count as arrays. */
struct work {
	uint32_t instructions;
	uint32_t hash_lookups, array_lookups, trie_lookups;
	uint32_t helpers; /* calls of other helpers */
	uint32_t atomics;
	uint32_t fib_lookups;    /* of the helpers */
	uint32_t redirect_to;    /* ifindex of bpf_redirect_peer() or _neigh(), 0: none */
	bool redirect_neighbour; /* the latter */
};

/* NULL, with a message on standard error, when the object cannot be read. */
struct machine *machine_new(const char *object_path);
void machine_free(struct machine *machine);

/* Fails the process when there is no such map. For an array of maps value is ignored: the element
 * is a new map of the inner shape. */
void machine_put(struct machine *machine, const char *map, const void *key, const void *value);
void machine_clear(struct machine *machine, const char *map);
uint32_t machine_value_size(const struct machine *machine, const char *map);

/* What bpf_fib_lookup() answers: all but the local address is by this route. And the clock. */
void machine_route(struct machine *machine, uint32_t ifindex, uint32_t local, uint32_t next_hop,
		   uint32_t mtu);
void machine_clock(struct machine *machine, uint64_t now_ns);

/* Where a packet comes by. */
struct machine_link {
	uint32_t ifindex;
	uint8_t mac[6];           /* what has it as destination is for the host */
	uint32_t ingress_ifindex; /* of what was forwarded; else 0 */
	bool handed_on;           /* with what the run before has left beside the packet */
};

/* The program's result; the frame is changed as the program changes it. */
int machine_run(struct machine *machine, const char *program, const struct machine_link *link,
		struct frame *frame, struct work *ret_work);
/* Instructions of the program and of all that it can call, as compiled. */
uint32_t machine_program_size(const struct machine *machine, const char *program);

#endif
