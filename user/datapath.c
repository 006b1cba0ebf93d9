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
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "log.h"
#include "nsroute.skel.h"

#define BPFFS    "/sys/fs/bpf"
#define PIN_MAX  128           /* longest path of a pin */
#define LOG_SIZE (1024 * 1024) /* verifier's words about a program that it refuses */

const char *const datapath_program_name[DATAPATH_PROGRAMS] = {
	[DATAPATH_PORT_IN] = "nsr_port_in",
	[DATAPATH_PORT_OUT] = "nsr_port_out",
	[DATAPATH_UPLINK_IN] = "nsr_uplink_in",
	[DATAPATH_UPLINK_OUT] = "nsr_uplink_out",
};

static const char *const map_name[] = {
#define X(name) #name,
	DATAPATH_MAPS(X)
#undef X
};
_Static_assert(sizeof(map_name) / sizeof(map_name[0]) == DATAPATH_MAPS_COUNT, "map names");

static const char *program_name(unsigned int program)
{
	switch (program) {
	case DATAPATH_ARM:
		return "nsr_arm";
	case DATAPATH_FLUSH:
		return "nsr_flush";
	default:
		return datapath_program_name[program];
	}
}

static void pin_folder(char path[PIN_MAX], uint64_t cookie, const char *suffix)
{
	snprintf(path, PIN_MAX, DATAPATH_PINS "/%" PRIu64 "%s", cookie, suffix);
}

static int libbpf_words(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];

	(void)level;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	log_debug("%s", line);
	return 0;
}

/* The verifier's last words before its statistics are the reason. */
static void keep_verifier_line(struct error *err, const char *words)
{
	const char *line = words, *best = NULL;
	size_t best_length = 0, length;

	for (; *line; line += length + (line[length] == '\n')) {
		length = strcspn(line, "\n");
		if (!length || !strncmp(line, "processed ", 10) || line[0] == '(' ||
		    !strncmp(line, "verification time", 17) || !strncmp(line, "stack depth", 11))
			continue;
		best = line;
		best_length = length;
	}
	if (best)
		snprintf(err->kernel, sizeof(err->kernel), "%.*s", (int)best_length, best);
}

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
	char path[PIN_MAX];

	pin_folder(path, cookie, "");
	return access(path, F_OK) == 0;
}

/* ---- Loading. */

static int first_contents(const struct datapath *datapath, struct error *err)
{
	static const struct nsr_settings settings = {
		.layout_version = NSR_LAYOUT_VERSION,
		.timeout_s =
			{
#define X(name, text, seconds) [NSR_TIMEOUT_##name] = seconds,
				NSR_NAT_TIMEOUTS(X)
#undef X
			},
	};
	uint32_t zero = 0;

	if (bpf_map_update_elem(datapath->maps[MAP_settings], &zero, &settings, BPF_ANY))
		return error_set(err, -errno, "cannot write the datapath's settings: %s",
				 strerror(errno));
	return 0;
}

static int run_program(int program, void *packet, uint32_t size, const char *what,
		       struct error *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = size);
	int ret = bpf_prog_test_run_opts(program, &options);

	if (!ret && (int)options.retval < 0)
		ret = (int)options.retval;
	if (ret)
		return error_set(err, ret, "cannot %s: %s", what, strerror(-ret));
	return 0;
}

static int arm(const struct datapath *datapath, struct error *err)
{
	char packet[ETH_HLEN + 1] = {0};

	return run_program(datapath->programs[DATAPATH_ARM], packet, sizeof(packet),
			   "start the clock that expires flows", err);
}

static int pin_one(int fd, const char *folder, const char *name, struct error *err)
{
	char path[2 * PIN_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (bpf_obj_pin(fd, path))
		return error_set(err, -errno, "cannot pin '%s': %s", path, strerror(errno));
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
		ret = pin_one(datapath->maps[i], folder, map_name[i], err);
	for (i = 0; i < DATAPATH_ALL_PROGRAMS && !ret; i++)
		ret = pin_one(datapath->programs[i], folder, program_name(i), err);
	return ret;
}

static int remove_folder(const char *folder, struct error *err)
{
	char path[2 * PIN_MAX + 256];
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

static int own_descriptor(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* Descriptors of our own: those of the skeleton go away with it. */
static int take_descriptors(struct datapath *datapath, struct nsroute_bpf *object,
			    struct error *err)
{
	const struct bpf_program *program;
	const struct bpf_map *map;
	unsigned int i;

	for (i = 0; i < DATAPATH_MAPS_COUNT; i++) {
		map = bpf_object__find_map_by_name(object->obj, map_name[i]);
		if (map)
			datapath->maps[i] = own_descriptor(bpf_map__fd(map));
		if (map && datapath->maps[i] < 0)
			return error_set(err, -errno, "cannot open map '%s': %s", map_name[i],
					 strerror(errno));
		if (!map)
			return error_set(err, -EINVAL, "the BPF object has no map '%s'",
					 map_name[i]);
	}
	for (i = 0; i < DATAPATH_ALL_PROGRAMS; i++) {
		program = bpf_object__find_program_by_name(object->obj, program_name(i));
		if (program)
			datapath->programs[i] = own_descriptor(bpf_program__fd(program));
		if (program && datapath->programs[i] < 0)
			return error_set(err, -errno, "cannot open program '%s': %s",
					 program_name(i), strerror(errno));
		if (!program)
			return error_set(err, -EINVAL, "the BPF object has no program '%s'",
					 program_name(i));
	}
	return 0;
}

static int load_object(struct nsroute_bpf **ret_object, struct error *err)
{
	char *words = calloc(1, LOG_SIZE);
	LIBBPF_OPTS(bpf_object_open_opts, options, .kernel_log_buf = words,
		    .kernel_log_size = LOG_SIZE);
	struct nsroute_bpf *object;
	int ret = 0;

	if (!words)
		return error_set(err, -ENOMEM, "out of memory");
	libbpf_set_print(libbpf_words);
	object = nsroute_bpf__open_opts(&options);
	if (!object)
		ret = -errno;
	else
		ret = nsroute_bpf__load(object);
	if (ret) {
		error_set(err, ret, "cannot load the BPF programs: %s", strerror(-ret));
		keep_verifier_line(err, words);
		nsroute_bpf__destroy(object);
	} else {
		*ret_object = object;
	}
	free(words);
	return ret;
}

static int load(struct datapath *datapath, uint64_t cookie, struct error *err)
{
	char folder[PIN_MAX], unfinished[PIN_MAX];
	struct nsroute_bpf *object = NULL;
	struct error ignored;
	int ret;

	pin_folder(folder, cookie, "");
	pin_folder(unfinished, cookie, "-new");
	ret = remove_folder(unfinished, err);
	if (ret)
		return ret;
	ret = load_object(&object, err);
	if (ret)
		return ret;
	ret = take_descriptors(datapath, object, err);
	nsroute_bpf__destroy(object);
	if (!ret)
		ret = first_contents(datapath, err);
	if (!ret)
		ret = pin_all(datapath, unfinished, err);
	if (!ret)
		ret = arm(datapath, err);
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
	char path[2 * PIN_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return error_set(err, -errno, "cannot open '%s': %s", path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

/* The settings come first: what else is pinned depends on the layout. */
static int check_layout(const struct datapath *datapath, const char *folder, struct error *err)
{
	struct nsr_settings settings;
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info), zero = 0;
	int fd = datapath->maps[MAP_settings];

	if (bpf_obj_get_info_by_fd(fd, &info, &size) || info.value_size != sizeof(settings) ||
	    bpf_map_lookup_elem(fd, &zero, &settings) ||
	    settings.layout_version != NSR_LAYOUT_VERSION)
		return error_set(err, -ENOTSUP,
				 "the datapath in '%s' is of another version of nsroute: take its "
				 "fabrics down with that version first",
				 folder);
	return 0;
}

static int open_pinned(struct datapath *datapath, uint64_t cookie, struct error *err)
{
	char folder[PIN_MAX];
	unsigned int i;
	int ret;

	pin_folder(folder, cookie, "");
	ret = open_one(folder, map_name[MAP_settings], &datapath->maps[MAP_settings], err);
	if (!ret)
		ret = check_layout(datapath, folder, err);
	for (i = 0; i < DATAPATH_MAPS_COUNT && !ret; i++)
		if (i != MAP_settings)
			ret = open_one(folder, map_name[i], &datapath->maps[i], err);
	for (i = 0; i < DATAPATH_ALL_PROGRAMS && !ret; i++)
		ret = open_one(folder, program_name(i), &datapath->programs[i], err);
	return ret;
}

int datapath_open(struct datapath **ret, uint64_t cookie, bool create, struct error *err)
{
	struct datapath *datapath;
	int result = check_bpffs(err);

	if (result)
		return result;
	if (!create && !datapath_exists(cookie))
		return error_set(err, -ENOENT, "no datapath is loaded in this host namespace");
	datapath = calloc(1, sizeof(*datapath));
	if (!datapath)
		return error_set(err, -ENOMEM, "out of memory");
	memset(datapath->maps, -1, sizeof(datapath->maps));
	memset(datapath->programs, -1, sizeof(datapath->programs));
	result = datapath_exists(cookie) ? open_pinned(datapath, cookie, err)
					 : load(datapath, cookie, err);
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
	free(datapath);
}

/* Away by a rename, as it came: a half-removed folder is never found under its name. */
int datapath_unpin(uint64_t cookie, struct error *err)
{
	char folder[PIN_MAX], unfinished[PIN_MAX];
	int ret;

	pin_folder(folder, cookie, "");
	pin_folder(unfinished, cookie, "-new");
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

int datapath_program_fd(const struct datapath *datapath, enum datapath_program program)
{
	return datapath->programs[program];
}

int datapath_flush(const struct datapath *datapath, const struct nsr_flush *flush,
		   struct error *err)
{
	char packet[ETH_HLEN + sizeof(*flush)] = {0};

	memcpy(packet + ETH_HLEN, flush, sizeof(*flush));
	return run_program(datapath->programs[DATAPATH_FLUSH], packet, sizeof(packet),
			   "end the sessions of the uplink", err);
}
