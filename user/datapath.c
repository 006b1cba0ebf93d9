/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Loading: the object is loaded, its maps get their first contents, everything is pinned into a
 * folder of its own beside the real one, the clock that expires flows is started, and then the
 * folder is renamed. So whoever finds COOKIE/ finds all of it, whenever a process was killed; what
 * a killed one left is removed by the next.
 *
 * Opening takes descriptors of what is pinned, and looks first whether its layout is the one that
 * this binary was built with.
 */
#include "datapath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_object.h"
#include "datapath_programs.h"

#define BPFFS "/sys/fs/bpf"

#define LAYOUT_SIZE_MAX 4096 /* of the settings of any version */
#define FLUSH_WORDS     256  /* of session_bits in one run: 16,384 sessions */

static int check_bpffs(struct error *err)
{
	struct statfs fs;

	if (statfs(BPFFS, &fs) == 0 && fs.f_type == BPF_FS_MAGIC)
		return 0;
	return error_set(err, -ENOTSUP,
			 "no bpffs is mounted at " BPFFS ": mount it with 'mount -t bpf bpf " BPFFS
			 "'");
}

bool datapath_exists(uint64_t cookie)
{
	char path[DATAPATH_PIN_MAX];

	datapath_folder(path, cookie, "");
	return access(path, F_OK) == 0;
}

/* ---- Loading. */

static int first_contents(const struct datapath *datapath, struct error *err)
{
	struct nsr_settings settings = {
		.layout_version = object_layout,
		.build = datapath->build,
	};
	static struct nsr_session_bits6 bits; /* 17 KiB: not for the stack */
	uint32_t zero = 0;
	int ret;

	if (getrandom(&settings.secret, sizeof(settings.secret), 0) !=
	    (ssize_t)sizeof(settings.secret))
		return error_set(err, -errno, "no random number: %s", strerror(errno));
	/* Summaries that do not exist are full. */
	bits.words[NSR_SESSION6_BITS_WORDS - 1] = ~0ull << NSR_SESSION6_WORDS / 64;
	ret = bpf_map_update_elem(datapath->maps[MAP_settings], &zero, &settings, BPF_ANY);
	for (uint32_t set = 0; set < datapath->session_sets && !ret; set++)
		ret = bpf_map_update_elem(datapath->maps[MAP_session_bits6], &set, &bits, BPF_ANY);
	if (ret)
		return error_set(err, -errno, "cannot write the datapath's settings: %s",
				 strerror(errno));
	return 0;
}

static int pin_all(const struct datapath *datapath, const char *folder, struct error *err)
{
	unsigned int i;
	int ret = 0;

	if ((mkdir(DATAPATH_PINS, 0700) && errno != EEXIST) || mkdir(folder, 0700))
		return error_set(err, -errno, "cannot create folder '%s': %s", folder,
				 strerror(errno));
	for (i = 0; i < DATAPATH_MAPS_COUNT && !ret; i++)
		ret = datapath_pin(datapath->maps[i], folder, datapath_map_name[i], err);
	return ret ? ret : programs_pin(datapath, folder, err);
}

static int remove_folder(const char *folder, struct error *err)
{
	char path[2 * DATAPATH_PIN_MAX + 256];
	struct dirent *entry;
	DIR *listing = opendir(folder);
	int ret = 0;

	if (!listing)
		return errno == ENOENT ? 0
				       : error_set(err, -errno, "cannot open folder '%s': %s",
						   folder, strerror(errno));
	while ((entry = readdir(listing))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (unlink(path) && errno != ENOENT)
			ret = error_set(err, -errno, "cannot remove '%s': %s", path,
					strerror(errno));
	}
	closedir(listing);
	if (!ret && rmdir(folder))
		ret = error_set(err, -errno, "cannot remove folder '%s': %s", folder,
				strerror(errno));
	return ret;
}

static int load(struct datapath *datapath, uint64_t cookie, const struct datapath_new *fresh,
		struct error *err)
{
	uint32_t sets = (fresh->flows + NSR_SESSION_SET - 1) / NSR_SESSION_SET;
	char folder[DATAPATH_PIN_MAX], unfinished[DATAPATH_PIN_MAX];
	struct error ignored;
	int ret;

	datapath_folder(folder, cookie, "");
	datapath_folder(unfinished, cookie, "-new");
	ret = remove_folder(unfinished, err);
	if (ret)
		return ret;
	ret = object_load(NULL, sets, programs_for(fresh->uses), datapath, err);
	if (!ret)
		ret = first_contents(datapath, err);
	if (!ret)
		ret = pin_all(datapath, unfinished, err);
	if (!ret)
		ret = programs_start(datapath, err);
	if (!ret && rename(unfinished, folder))
		ret = error_set(err, -errno, "cannot rename '%s': %s", unfinished, strerror(errno));
	if (ret) {
		remove_folder(unfinished, &ignored);
		rmdir(DATAPATH_PINS);
	}
	return ret;
}

/* ---- Opening. */

static int open_one(const char *folder, const char *name, int *ret_fd, struct error *err)
{
	char path[2 * DATAPATH_PIN_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return error_set(err, -errno, "cannot open '%s': %s", path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

/* What to do about a datapath that is of no use to this binary. */
static int refuse(const char *folder, const char *why, struct error *err)
{
	return error_set(
		err, -ENOTSUP,
		"the datapath in '%s' is of another version of nsroute, whose flows cannot "
		"be taken over (%s): take its fabrics down with that version, or all of "
		"them with \"nsroute down --all\", and apply them again",
		folder, why);
}

/* The settings come first: what else is pinned depends on the layout, which is their first word. */
static int check_layout(struct datapath *datapath, const char *folder, struct error *err)
{
	char bytes[LAYOUT_SIZE_MAX] = {0}, why[64];
	const struct nsr_settings *settings = (const void *)bytes;
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info), zero = 0;
	int fd = datapath->maps[MAP_settings];

	if (bpf_obj_get_info_by_fd(fd, &info, &size) || info.value_size > sizeof(bytes) ||
	    bpf_map_lookup_elem(fd, &zero, bytes))
		return refuse(folder, "it has no settings that we could read", err);
	snprintf(why, sizeof(why), "its layout is %u, ours %u", settings->layout_version,
		 object_layout);
	if (settings->layout_version != object_layout || info.value_size != sizeof(*settings))
		return refuse(folder, why, err);
	datapath->build = settings->build;
	return 0;
}

/* Tables of a build that is not ours may differ all the same. */
static int check_tables(const struct datapath *datapath, const char *folder, struct error *err)
{
	struct error why;
	int ret = 0;

	if (datapath->build != object_build())
		ret = object_check_maps(datapath, &why);
	return ret ? refuse(folder, why.message, err) : 0;
}

/* Two builds that were made beside each other may call different tables by one layout. But where
 * the folder has gone meanwhile, somebody has taken all of it down. */
static int open_tables(struct datapath *datapath, const char *folder, struct error *err)
{
	char why[64];
	int ret = 0;

	for (unsigned int i = 0; i < DATAPATH_MAPS_COUNT && !ret; i++) {
		if (i == MAP_settings)
			continue;
		ret = open_one(folder, datapath_map_name[i], &datapath->maps[i], err);
		if (ret != -ENOENT || access(folder, F_OK))
			continue;
		snprintf(why, sizeof(why), "it has no table '%s'", datapath_map_name[i]);
		ret = refuse(folder, why, err);
	}
	return ret;
}

/* How many sets it was made for: the bits of one are an entry. */
static int read_sets(struct datapath *datapath, const char *folder, struct error *err)
{
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(datapath->maps[MAP_session_bits], &info, &size) ||
	    !info.max_entries || info.max_entries > NSR_SESSION_SETS_MAX)
		return refuse(folder, "its table of flows has another size than ours can have",
			      err);
	datapath->session_sets = info.max_entries;
	return 0;
}

/* What is not used is not there. */
static int open_programs(struct datapath *datapath, const char *folder, struct error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < DATAPATH_ALL_PROGRAMS && !ret; i++) {
		ret = open_one(folder, datapath_program_name(i), &datapath->programs[i], err);
		if (ret == -ENOENT)
			ret = 0;
	}
	return ret;
}

static int open_pinned(struct datapath *datapath, uint64_t cookie, struct error *err)
{
	char folder[DATAPATH_PIN_MAX];
	int ret;

	datapath_folder(folder, cookie, "");
	ret = open_one(folder, datapath_map_name[MAP_settings], &datapath->maps[MAP_settings], err);
	if (!ret)
		ret = check_layout(datapath, folder, err);
	if (!ret)
		ret = open_tables(datapath, folder, err);
	if (!ret)
		ret = open_programs(datapath, folder, err);
	if (!ret)
		ret = read_sets(datapath, folder, err);
	return ret ? ret : check_tables(datapath, folder, err);
}

struct datapath *datapath_none(void)
{
	struct datapath *datapath = calloc(1, sizeof(*datapath));

	if (!datapath)
		return NULL;
	memset(datapath->maps, -1, sizeof(datapath->maps));
	memset(datapath->programs, -1, sizeof(datapath->programs));
	return datapath;
}

int datapath_open(struct datapath **ret, uint64_t cookie, const struct datapath_new *fresh,
		  struct error *err)
{
	struct datapath *datapath;
	int result = check_bpffs(err);

	if (result)
		return result;
	if (!fresh && !datapath_exists(cookie))
		return error_set(err, -ENOENT, "no datapath is loaded in this host namespace");
	datapath = datapath_none();
	if (!datapath)
		return error_set(err, -ENOMEM, "out of memory");
	result = datapath_exists(cookie) ? open_pinned(datapath, cookie, err)
					 : load(datapath, cookie, fresh, err);
	if (result)
		datapath_close(datapath);
	else
		*ret = datapath;
	return result;
}

void datapath_close(struct datapath *datapath)
{
	unsigned int i;

	if (!datapath)
		return;
	for (i = 0; i < DATAPATH_MAPS_COUNT; i++)
		if (datapath->maps[i] >= 0)
			close(datapath->maps[i]);
	for (i = 0; i < DATAPATH_ALL_PROGRAMS; i++)
		if (datapath->programs[i] >= 0)
			close(datapath->programs[i]);
	free(datapath->port_numbers);
	free(datapath->inside_slots);
	free(datapath);
}

/* Away by a rename, as it came: a half-removed folder is never found under its name. */
int datapath_unpin(uint64_t cookie, struct error *err)
{
	char folder[DATAPATH_PIN_MAX], unfinished[DATAPATH_PIN_MAX];
	int ret;

	datapath_folder(folder, cookie, "");
	datapath_folder(unfinished, cookie, "-new");
	ret = remove_folder(unfinished, err);
	if (!ret && datapath_exists(cookie)) {
		if (rename(folder, unfinished))
			return error_set(err, -errno, "cannot rename '%s': %s", folder,
					 strerror(errno));
		ret = remove_folder(unfinished, err);
	}
	if (!ret)
		rmdir(DATAPATH_PINS); /* stays when another host namespace has a datapath */
	return ret;
}

bool datapath_is_port(const struct datapath *datapath, uint32_t ifindex)
{
	struct nsr_port port;

	return bpf_map_lookup_elem(datapath->maps[MAP_ports], &ifindex, &port) == 0;
}

bool datapath_is_uplink(const struct datapath *datapath, uint32_t ifindex)
{
	struct nsr_uplink uplink;

	return bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &ifindex, &uplink) == 0;
}

/* Runs a program that ends sessions, or changes their timeouts, a part of the table at a time, so
 * that no CPU is kept from its packets for long. request is what the program is asked, first_word
 * its member. */
static int flush_parts(int program, void *request, uint32_t size, uint32_t *first_word,
		       uint32_t words, const char *what, uint64_t *ret_count, struct error *err)
{
	char packet[ETH_HLEN + sizeof(struct nsr_flush6)];
	uint64_t count = 0;
	int ret;

	for (*first_word = 0; *first_word < words; *first_word += FLUSH_WORDS) {
		memset(packet, 0, sizeof(packet));
		memcpy(packet + ETH_HLEN, request, size);
		ret = datapath_run(program, packet, ETH_HLEN + size, what, err);
		if (ret < 0)
			return ret;
		count += (uint64_t)ret;
	}
	if (ret_count)
		*ret_count = count;
	return 0;
}

/* Without the program nothing was ever masqueraded, or somebody removed it. */
static int flush_nothing(const struct datapath *datapath, bool ipv6, const char *what,
			 uint64_t *ret_count, struct error *err)
{
	if (ret_count)
		*ret_count = 0;
	if (!datapath_has_sessions(datapath, ipv6))
		return 0;
	return error_set(
		err, -ENOENT,
		"cannot %s: the program for it was removed; \"nsroute apply\" loads it again",
		what);
}

static int run_flush(const struct datapath *datapath, struct nsr_flush flush, const char *what,
		     uint64_t *ret_count, struct error *err)
{
	const int program = datapath->programs[DATAPATH_FLUSH];

	flush.words = FLUSH_WORDS;
	if (program < 0)
		return flush_nothing(datapath, false, what, ret_count, err);
	return flush_parts(program, &flush, sizeof(flush), &flush.first_word,
			   datapath->session_sets * NSR_SESSION_WORDS, what, ret_count, err);
}

static int run_flush6(const struct datapath *datapath, struct nsr_flush6 flush, const char *what,
		      uint64_t *ret_count, struct error *err)
{
	const int program = datapath->programs[DATAPATH_FLUSH6];

	flush.words = FLUSH_WORDS;
	if (program < 0)
		return flush_nothing(datapath, true, what, ret_count, err);
	return flush_parts(program, &flush, sizeof(flush), &flush.first_word,
			   datapath->session_sets * NSR_SESSION6_WORDS, what, ret_count, err);
}

int datapath_flush(const struct datapath *datapath, const struct nsr_selection *selection,
		   uint64_t *ret_ended, struct error *err)
{
	const struct nsr_flush flush = {.selection = *selection};

	return run_flush(datapath, flush, "end sessions", ret_ended, err);
}

int datapath_flush6(const struct datapath *datapath, const struct nsr_selection6 *selection,
		    uint64_t *ret_ended, struct error *err)
{
	const struct nsr_flush6 flush = {.selection = *selection};

	return run_flush6(datapath, flush, "end sessions", ret_ended, err);
}

int datapath_flush_ports(const struct datapath *datapath, bool ipv6, uint32_t slot,
			 struct error *err)
{
	const struct nsr_flush flush = {.what = NSR_FLUSH_PORTS, .slot = slot};
	const struct nsr_flush6 flush6 = {.what = NSR_FLUSH_PORTS, .slot = slot};
	const uint32_t size = ipv6 ? sizeof(flush6) : sizeof(flush);
	const int program = datapath->programs[ipv6 ? DATAPATH_FLUSH6 : DATAPATH_FLUSH];
	char packet[ETH_HLEN + sizeof(flush6)] = {0};
	int ret;

	if (program < 0)
		return 0;
	memcpy(packet + ETH_HLEN, ipv6 ? (const void *)&flush6 : &flush, size);
	ret = datapath_run(program, packet, ETH_HLEN + size, "give back ports", err);
	return ret < 0 ? ret : 0;
}

int datapath_renew(const struct datapath *datapath, const struct nsr_selection *selection,
		   struct error *err)
{
	const struct nsr_flush flush = {.what = NSR_FLUSH_RENEW, .selection = *selection};

	return run_flush(datapath, flush, "change timeouts", NULL, err);
}

int datapath_renew6(const struct datapath *datapath, const struct nsr_selection6 *selection,
		    struct error *err)
{
	const struct nsr_flush6 flush = {.what = NSR_FLUSH_RENEW, .selection = *selection};

	return run_flush6(datapath, flush, "change timeouts", NULL, err);
}
