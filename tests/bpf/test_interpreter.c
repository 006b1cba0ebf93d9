/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The interpreter that the budgets are counted with does what the kernel does: on every path the
 * same result and the same bytes, with the lab's tables copied into it.
 */
#include "interpreter.h"
#include "lab.h"
#include "paths.h"

#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"

#define TRIES \
	5 /* the FIB's answer lasts to the end of the second: it may end between two packets */

static const enum datapath_map tables[] = {
	MAP_settings, MAP_ports,           MAP_fdb,     MAP_hosts4,  MAP_hosts6,    MAP_inner_links,
	MAP_sources,  MAP_uplink_by_index, MAP_inside4, MAP_inside6, MAP_pool_bits, MAP_pools};

static struct machine *new_machine(void)
{
	char path[4096], *end;
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 32);

	assert_true(length > 0);
	path[length] = '\0';
	for (int i = 0; i < 3; i++) { /* build/tests/bpf/test_interpreter */
		end = strrchr(path, '/');
		assert_non_null(end);
		*end = '\0';
	}
	strcat(path, "/nsroute.bpf.o");
	return machine_new(path);
}

static void copy_table(struct lab *lab, struct machine *machine, enum datapath_map table)
{
	int fd = lab->datapath->maps[table];
	const char *name = datapath_map_name[table];
	char *value = calloc(1, machine_value_size(machine, name) + 8), key[64], next[64];
	void *previous = NULL;

	machine_clear(machine, name);
	while (bpf_map_get_next_key(fd, previous, next) == 0) {
		memcpy(key, next, sizeof(key));
		previous = key;
		if (bpf_map_lookup_elem(fd, key, value) == 0)
			machine_put(machine, name, key, value);
	}
	free(value);
}

static struct machine *copy_of(struct lab *lab)
{
	struct machine *machine = new_machine();

	assert_non_null(machine);
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		copy_table(lab, machine, tables[i]);
	copy_table(lab, machine, MAP_uplinks);
	machine_route(machine, lab->uplink[UP0], address4(UPLINK_IP), address4("198.51.100.1"),
		      LAB_MTU);
	return machine;
}

static uint32_t ifindex_of(const struct lab *lab, enum path_link link)
{
	return link == PATH_UPLINK ? lab->uplink[UP0] : lab->port[link == PATH_RED ? RED : GREEN];
}

static enum datapath_program program_of(const struct path *path)
{
	enum datapath_program program = 0;

	while (strcmp(datapath_program_name(program), path->program))
		program++;
	return program;
}

/* NULL, or how the two differ. */
static const char *compare(struct lab *lab, struct machine *machine, const struct path *path,
			   uint16_t *port)
{
	struct machine_link link = {.ifindex = ifindex_of(lab, path->at)};
	struct frame frame, kernel;
	struct timespec now;
	struct work work;
	int result;

	memcpy(link.mac, path->at == PATH_UPLINK ? mac_up0 : mac_port_red, sizeof(link.mac));
	path->build(&frame, *port);
	result = lab_run(lab, program_of(path), link.ifindex, &frame, &kernel);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	machine_clock(machine, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	if (machine_run(machine, path->program, &link, &frame, &work) != result)
		return "result";
	if (path_opens(path))
		*port = frame_sport(&kernel);
	return frame.length == kernel.length && !memcmp(frame.bytes, kernel.bytes, frame.length)
		       ? NULL
		       : "packet";
}

static bool all_equal(void **state, bool tells)
{
	struct lab *lab = lab_of(state);
	const char *difference = NULL;
	struct machine *machine;
	uint16_t port = 0;

	lab_uplink_set(lab, UP0, UPLINK_IP, 20000, 20000); /* both take the same one */
	machine = copy_of(lab);
	for (unsigned int i = 0; i < paths_count && !difference; i++) {
		difference = compare(lab, machine, &paths[i], &port);
		if (difference && tells)
			print_error("%u, %s: the %s is another\n", i,
				    paths[i].name ? paths[i].name : paths[i].program, difference);
	}
	machine_free(machine);
	return !difference;
}

static void test_as_the_kernel(void **state)
{
	for (int i = 1; i <= TRIES; i++) {
		if (all_equal(state, i == TRIES))
			return;
		lab_set_up(state);
	}
	fail();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_as_the_kernel),
	};

	return LAB_MAIN(tests);
}
