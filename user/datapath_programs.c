/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works
 *
 * The kernel takes most of a second to verify all programs, so only those are loaded that something
 * needs: programs of the same build that are loaded later work on the same maps. A pin is the sign
 * that a program is there, so it comes when the program can be called; whoever is killed before
 * that leaves a program missing, which the next apply of any file loads.
 *
 * Exchanging: the programs of any build that has the same layout work on the same maps, one beside
 * the other. So packets are forwarded, and flows live on, while ours take the place of those that
 * are pinned, one pin and one hook after the other (apply_exchange.c has the hooks). The build in
 * the settings is 0 until all are exchanged, and the next apply, of whichever binary, completes
 * what a killed one has begun.
 */
#include "datapath_programs.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "datapath_object.h"

#define PATH_SIZE (2 * DATAPATH_PIN_MAX)

/* What each is for: all of it has to be used. */
static const struct {
	const char *name;
	uint32_t uses;
} programs[] = {
	[DATAPATH_PORT_IN] = {"nsr_port_in", USE_PORTS},
	[DATAPATH_PORT_OUT] = {"nsr_port_out", USE_PORTS},
	[DATAPATH_UPLINK_IN] = {"nsr_uplink_in", USE_ETHERNET},
	[DATAPATH_UPLINK_OUT] = {"nsr_uplink_out", USE_ETHERNET},
	[DATAPATH_BARE_IN] = {"nsr_bare_in", USE_BARE},
	[DATAPATH_BARE_OUT] = {"nsr_bare_out", USE_BARE},
	[DATAPATH_LOCAL_OUT] = {"nsr_local_out", USE_LOOPBACK},
	[DATAPATH_ARM] = {"nsr_arm", USE_NAT},
	[DATAPATH_FLUSH] = {"nsr_flush", USE_NAT},
	[DATAPATH_PUBLISH] = {"nsr_publish", USE_NAT},
	[DATAPATH_PUBLISH6] = {"nsr_publish6", USE_IPV6},
	[DATAPATH_FLUSH6] = {"nsr_flush6", USE_IPV6},
	[DATAPATH_UPLINK_OUT6] = {"nsr_uplink_out6", USE_ETHERNET | USE_IPV6},
	[DATAPATH_UPLINK_IN6] = {"nsr_uplink_in6", USE_ETHERNET | USE_IPV6},
	[DATAPATH_BARE_OUT6] = {"nsr_bare_out6", USE_BARE | USE_IPV6},
	[DATAPATH_BARE_IN6] = {"nsr_bare_in6", USE_BARE | USE_IPV6},
	[DATAPATH_OTHER_OUT6] = {"nsr_other_out6", USE_ETHERNET | USE_IPV6},
	[DATAPATH_OTHER_IN6] = {"nsr_other_in6", USE_ETHERNET | USE_IPV6},
	[DATAPATH_OBARE_OUT6] = {"nsr_obare_out6", USE_BARE | USE_IPV6},
	[DATAPATH_OBARE_IN6] = {"nsr_obare_in6", USE_BARE | USE_IPV6},
	[DATAPATH_HAIRPIN] = {"nsr_hairpin", USE_NAT},
	[DATAPATH_HAIRPIN6] = {"nsr_hairpin6", USE_IPV6},
	[DATAPATH_GUEST] = {"nsr_guest", USE_LOOPBACK},
	[DATAPATH_GUEST6] = {"nsr_guest6", USE_LOOPBACK | USE_IPV6},
	[DATAPATH_LOCAL_OUT6] = {"nsr_local_out6", USE_LOOPBACK | USE_IPV6},
	[DATAPATH_OWN_OUT] = {"nsr_own_out", USE_ETHERNET},
	[DATAPATH_BARE_OWN] = {"nsr_bare_own", USE_BARE},
};

const char *datapath_program_name(unsigned int program)
{
	return programs[program].name;
}

_Static_assert(sizeof(programs) / sizeof(programs[0]) == DATAPATH_ALL_PROGRAMS &&
		       DATAPATH_ALL_PROGRAMS <= 32,
	       "each has its line, and its bit");

uint32_t programs_for(uint32_t uses)
{
	uint32_t ret = 0;

	for (unsigned int i = 0; i < DATAPATH_ALL_PROGRAMS; i++)
		if (!(programs[i].uses & ~uses))
			ret |= 1u << i;
	return ret;
}

static uint32_t programs_there(const struct datapath *datapath)
{
	uint32_t ret = 0;

	for (unsigned int i = 0; i < DATAPATH_ALL_PROGRAMS; i++)
		if (datapath->programs[i] >= 0)
			ret |= 1u << i;
	return ret;
}

uint32_t programs_uses(const struct datapath *datapath)
{
	uint32_t there = programs_there(datapath), uses = 0;

	for (unsigned int i = 0; i < DATAPATH_ALL_PROGRAMS; i++)
		if (there >> i & 1)
			uses |= programs[i].uses;
	return uses;
}

bool programs_lack(const struct datapath *datapath)
{
	return programs_for(programs_uses(datapath)) & ~programs_there(datapath);
}

int datapath_program_fd(const struct datapath *datapath, enum datapath_program program)
{
	return datapath->programs[program];
}

/* ---- Running. */

int datapath_run(int program, void *packet, uint32_t size, const char *what, struct error *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = size);
	int ret = bpf_prog_test_run_opts(program, &options);

	if (!ret)
		ret = (int)options.retval;
	return ret < 0 ? error_set(err, ret, "cannot %s: %s", what, strerror(-ret)) : ret;
}

/* Those that the programs at hooks hand packets over to. */
static int enter_programs6(const struct datapath *datapath, struct error *err)
{
	static const unsigned int handed[NSR_PROGRAMS6] = {
		[NSR_PROGRAM6_OUT] = DATAPATH_UPLINK_OUT6,
		[NSR_PROGRAM6_IN] = DATAPATH_UPLINK_IN6,
		[NSR_PROGRAM6_BARE_OUT] = DATAPATH_BARE_OUT6,
		[NSR_PROGRAM6_BARE_IN] = DATAPATH_BARE_IN6,
		[NSR_PROGRAM_HAIRPIN] = DATAPATH_HAIRPIN,
		[NSR_PROGRAM6_HAIRPIN] = DATAPATH_HAIRPIN6,
		[NSR_PROGRAM6_LOCAL] = DATAPATH_LOCAL_OUT6,
		[NSR_PROGRAM6_OTHER_OUT] = DATAPATH_OTHER_OUT6,
		[NSR_PROGRAM6_OTHER_IN] = DATAPATH_OTHER_IN6,
		[NSR_PROGRAM6_OBARE_OUT] = DATAPATH_OBARE_OUT6,
		[NSR_PROGRAM6_OBARE_IN] = DATAPATH_OBARE_IN6,
		[NSR_PROGRAM_GUEST] = DATAPATH_GUEST,
		[NSR_PROGRAM6_GUEST] = DATAPATH_GUEST6,
		[NSR_PROGRAM_OWN] = DATAPATH_OWN_OUT,
		[NSR_PROGRAM_BARE_OWN] = DATAPATH_BARE_OWN,
	};
	int map = datapath->maps[MAP_programs6], ret = 0;

	for (uint32_t i = 0; i < NSR_PROGRAMS6 && !ret; i++) {
		const int *program = &datapath->programs[handed[i]];

		if (*program >= 0)
			ret = bpf_map_update_elem(map, &i, program, BPF_ANY);
		else if (bpf_map_delete_elem(map, &i) && errno != ENOENT)
			ret = -errno;
	}
	return ret ? error_set(err, ret, "cannot let a program be called: %s", strerror(-ret)) : 0;
}

static int arm(const struct datapath *datapath, struct error *err)
{
	char packet[ETH_HLEN + 1] = {0};
	int program = datapath->programs[DATAPATH_ARM];

	return program < 0 ? 0
			   : datapath_run(program, packet, sizeof(packet),
					  "start the clock that expires flows", err);
}

int programs_start(const struct datapath *datapath, struct error *err)
{
	int ret = enter_programs6(datapath, err);

	return ret ? ret : arm(datapath, err);
}

/* ---- Pins. */

void datapath_folder(char path[DATAPATH_PIN_MAX], uint64_t cookie, const char *suffix)
{
	snprintf(path, DATAPATH_PIN_MAX, DATAPATH_PINS "/%" PRIu64 "%s", cookie, suffix);
}

int datapath_pin(int fd, const char *folder, const char *name, struct error *err)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (bpf_obj_pin(fd, path))
		return error_set(err, -errno, "cannot pin '%s': %s", path, strerror(errno));
	return 0;
}

int programs_pin(const struct datapath *datapath, const char *folder, struct error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < DATAPATH_ALL_PROGRAMS && !ret; i++)
		if (datapath->programs[i] >= 0)
			ret = datapath_pin(datapath->programs[i], folder, programs[i].name, err);
	return ret;
}

static int remove_pin(const char *path, struct error *err)
{
	if (unlink(path) && errno != ENOENT)
		return error_set(err, -errno, "cannot remove '%s': %s", path, strerror(errno));
	return 0;
}

static int unpin(const char *folder, const char *name, struct error *err)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return remove_pin(path, err);
}

/* Under another name first: at its own one is pinned all the time. */
static int pin_over(int fd, const char *folder, const char *name, struct error *err)
{
	char path[PATH_SIZE], new_name[DATAPATH_PIN_MAX], new_path[PATH_SIZE];
	int ret;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	snprintf(new_name, sizeof(new_name), "%s-new", name);
	snprintf(new_path, sizeof(new_path), "%s/%s", folder, new_name);
	ret = remove_pin(new_path, err); /* of a process that was killed */
	if (!ret)
		ret = datapath_pin(fd, folder, new_name, err);
	if (!ret && rename(new_path, path))
		ret = error_set(err, -errno, "cannot rename '%s': %s", new_path, strerror(errno));
	return ret;
}

/* ---- More and fewer of them. */

/* The descriptor of each program, a bit of which, goes to the other datapath. */
static void move_programs(struct datapath *to, struct datapath *from, uint32_t which)
{
	for (unsigned int i = 0; i < DATAPATH_ALL_PROGRAMS; i++) {
		if (!(which >> i & 1))
			continue;
		to->programs[i] = from->programs[i];
		from->programs[i] = -1;
	}
}

static int drop_programs(struct datapath *datapath, uint64_t cookie, uint32_t which,
			 struct error *err)
{
	char folder[DATAPATH_PIN_MAX];
	int ret = 0;

	datapath_folder(folder, cookie, "");
	for (unsigned int i = 0; i < DATAPATH_ALL_PROGRAMS && !ret; i++) {
		if (!(which >> i & 1))
			continue;
		ret = unpin(folder, programs[i].name, err);
		if (datapath->programs[i] >= 0)
			close(datapath->programs[i]);
		datapath->programs[i] = -1;
	}
	return ret ? ret : enter_programs6(datapath, err);
}

int datapath_programs_add(struct datapath *datapath, uint64_t cookie, uint32_t uses,
			  uint32_t *ret_added, struct error *err)
{
	uint32_t there = programs_there(datapath);
	uint32_t missing = programs_for(uses | programs_uses(datapath)) & ~there;
	struct datapath *fresh = datapath_none();
	char folder[DATAPATH_PIN_MAX];
	struct error ignored;
	int ret;

	if (!fresh)
		return error_set(err, -ENOMEM, "out of memory");
	datapath_folder(folder, cookie, "");
	ret = object_load(datapath->maps, datapath->session_sets, missing, fresh, err);
	move_programs(datapath, fresh, missing);
	datapath_close(fresh);
	if (!ret)
		ret = programs_start(datapath, err);
	for (unsigned int i = 0; i < DATAPATH_ALL_PROGRAMS && !ret; i++)
		if (missing >> i & 1)
			ret = pin_over(datapath->programs[i], folder, programs[i].name, err);
	if (ret)
		drop_programs(datapath, cookie, missing, &ignored);
	else
		*ret_added = missing;
	return ret;
}

/* The clock, once it was started, goes on, and finds nothing to do. */
int datapath_programs_remove(struct datapath *datapath, uint64_t cookie, uint32_t added,
			     struct error *err)
{
	return drop_programs(datapath, cookie, added, err);
}

/* ---- Exchange of programs. */

int datapath_load_programs(const struct datapath *datapath, uint32_t uses, struct datapath **ret,
			   struct error *err)
{
	struct datapath *fresh = datapath_none();
	int result;

	if (!fresh)
		return error_set(err, -ENOMEM, "out of memory");
	result = object_load(datapath->maps, datapath->session_sets,
			     programs_for(uses | programs_uses(datapath)), fresh, err);
	if (result)
		datapath_close(fresh);
	else
		*ret = fresh;
	return result;
}

static int write_build(const struct datapath *datapath, uint64_t build, struct error *err)
{
	int map = datapath->maps[MAP_settings];
	struct nsr_settings settings;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(map, &zero, &settings) == 0) {
		settings.build = build;
		if (bpf_map_update_elem(map, &zero, &settings, BPF_ANY) == 0)
			return 0;
	}
	return error_set(err, -errno, "cannot write the datapath's settings: %s", strerror(errno));
}

int datapath_exchange_begin(const struct datapath *datapath, uint64_t cookie, bool all,
			    struct error *err)
{
	char folder[DATAPATH_PIN_MAX];
	int ret = write_build(datapath, 0, err);

	datapath_folder(folder, cookie, "");
	for (unsigned int i = 0; i < DATAPATH_ALL_PROGRAMS && !ret; i++) {
		if (datapath->programs[i] >= 0)
			ret = pin_over(datapath->programs[i], folder, programs[i].name, err);
		else if (all)
			ret = unpin(folder, programs[i].name, err);
	}
	return ret || !all ? ret : enter_programs6(datapath, err);
}

int datapath_exchange_end(const struct datapath *datapath, struct error *err)
{
	int ret = arm(datapath, err);

	return ret ? ret : write_build(datapath, datapath->build, err);
}
