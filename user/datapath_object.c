/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the skeleton has the bytes of an ELF file. libbpf makes programs and maps of them;
 * we read it ourselves for the build only, which is a sum (FNV-1a) over the sections with code and
 * those that tell which maps the code uses. What compilers note for debuggers, paths and lines
 * among it, does not count.
 */
#include "datapath_object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath_programs.h"
#include "log.h"
#include "nsroute.skel.h"

#define LOG_SIZE (1024 * 1024) /* verifier's words about a program that it refuses */

const uint32_t object_layout = NSR_LAYOUT_VERSION;

const char *const datapath_map_name[] = {
#define X(name) #name,
	DATAPATH_MAPS(X)
#undef X
};
_Static_assert(sizeof(datapath_map_name) / sizeof(datapath_map_name[0]) == DATAPATH_MAPS_COUNT,
	       "map names");

/* ---- The build. */

#define FNV_START 0xcbf29ce484222325 /* www.isthe.com/chongo/tech/comp/fnv: 64 bits */
#define FNV_PRIME 0x100000001b3

static bool counts(Elf *elf, const Elf64_Shdr *header)
{
	const Elf64_Shdr *target = header;

	if (header->sh_type == SHT_REL)
		target = elf64_getshdr(elf_getscn(elf, header->sh_info));
	return target && target->sh_flags & SHF_EXECINSTR;
}

uint64_t object_build(void)
{
	static uint64_t sum;
	Elf_Scn *section = NULL;
	size_t size;
	const unsigned char *bytes = nsroute_bpf__elf_bytes(&size);
	Elf *elf;

	if (sum)
		return sum;
	sum = FNV_START;
	elf_version(EV_CURRENT);
	elf = elf_memory((char *)bytes, size);
	while (elf && (section = elf_nextscn(elf, section))) {
		const Elf64_Shdr *header = elf64_getshdr(section);

		if (!header || !counts(elf, header))
			continue;
		for (size_t i = 0; i < header->sh_size; i++)
			sum = (sum ^ bytes[header->sh_offset + i]) * FNV_PRIME;
	}
	elf_end(elf);
	sum += !sum;
	return sum;
}

/* ---- Loading. */

static int libbpf_words(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];

	(void)level;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	log_debug("%s", line);
	return 0;
}

void object_quiet(void)
{
	libbpf_set_print(libbpf_words);
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
		map = bpf_object__find_map_by_name(object->obj, datapath_map_name[i]);
		if (map)
			datapath->maps[i] = own_descriptor(bpf_map__fd(map));
		if (map && datapath->maps[i] < 0)
			return error_set(err, -errno, "cannot open map '%s': %s",
					 datapath_map_name[i], strerror(errno));
		if (!map)
			return error_set(err, -EINVAL, "the BPF object has no map '%s'",
					 datapath_map_name[i]);
	}
	for (i = 0; i < DATAPATH_ALL_PROGRAMS; i++) {
		const char *name = datapath_program_name(i);

		program = bpf_object__find_program_by_name(object->obj, name);
		if (!program || !bpf_program__autoload(program))
			continue;
		datapath->programs[i] = own_descriptor(bpf_program__fd(program));
		if (datapath->programs[i] < 0)
			return error_set(err, -errno, "cannot open program '%s': %s", name,
					 strerror(errno));
	}
	return 0;
}

/* Tables that have as many entries for each set of sessions. */
static bool is_of_sets(enum datapath_map map)
{
	return map == MAP_sessions || map == MAP_session_bits || map == MAP_session_by_flow ||
	       map == MAP_mapping_by_inside || map == MAP_sessions6 || map == MAP_session_bits6 ||
	       map == MAP_session_by_flow6 || map == MAP_mapping_by_inside6;
}

/* What each CPU may have of an LRU table for itself, in its list of free entries; kernels before
 * the middle of 2025 take as many for the first packet, however few there are. */
#define LRU_OF_A_CPU 128

/* So an LRU table remembers as many as it says, whatever the CPUs have taken. */
static uint32_t entries_of(const struct bpf_map *map, enum datapath_map number, uint32_t sets)
{
	int cpus = libbpf_num_possible_cpus();
	uint32_t entries = bpf_map__max_entries(map);

	if (bpf_map__type(map) == BPF_MAP_TYPE_LRU_HASH)
		return entries + LRU_OF_A_CPU * (uint32_t)(cpus > 0 ? cpus : 1);
	return entries * (is_of_sets(number) ? sets : 1);
}

/* maps NULL: new ones, of so many sets. */
static int prepare_maps(struct nsroute_bpf *object, const int *maps, uint32_t sets)
{
	int ret = 0;

	for (unsigned int i = 0; i < DATAPATH_MAPS_COUNT && !ret; i++) {
		struct bpf_map *map =
			bpf_object__find_map_by_name(object->obj, datapath_map_name[i]);

		if (maps)
			ret = bpf_map__reuse_fd(map, maps[i]);
		else if (entries_of(map, i, sets) != bpf_map__max_entries(map))
			ret = bpf_map__set_max_entries(map, entries_of(map, i, sets));
	}
	return ret;
}

/* Only those that are asked for are verified. */
static int choose_programs(struct nsroute_bpf *object, uint32_t programs)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object->obj)
		bpf_program__set_autoload(program, false);
	for (unsigned int i = 0; i < DATAPATH_ALL_PROGRAMS; i++) {
		if (!(programs >> i & 1))
			continue;
		program = bpf_object__find_program_by_name(object->obj, datapath_program_name(i));
		if (!program)
			return -EINVAL;
		bpf_program__set_autoload(program, true);
	}
	return 0;
}

int object_load(const int *maps, uint32_t sets, uint32_t programs, struct datapath *ret_datapath,
		struct error *err)
{
	char *words = calloc(1, LOG_SIZE);
	LIBBPF_OPTS(bpf_object_open_opts, options, .kernel_log_buf = words,
		    .kernel_log_size = LOG_SIZE);
	struct nsroute_bpf *object;
	int ret = 0;

	if (!words)
		return error_set(err, -ENOMEM, "out of memory");
	object_quiet();
	object = nsroute_bpf__open_opts(&options);
	if (!object)
		ret = -errno;
	else
		ret = prepare_maps(object, maps, sets);
	if (!ret)
		ret = choose_programs(object, programs);
	if (!ret)
		ret = nsroute_bpf__load(object);
	if (ret) {
		error_set(err, ret, "cannot load the BPF programs: %s", strerror(-ret));
		keep_verifier_line(err, words);
	} else {
		ret = take_descriptors(ret_datapath, object, err);
		ret_datapath->build = object_build();
		ret_datapath->session_sets = sets;
	}
	nsroute_bpf__destroy(object);
	free(words);
	return ret;
}

/* ---- Shapes of maps. */

static bool has_shape(const struct bpf_map *map, uint32_t entries, const struct bpf_map_info *info)
{
	return info->type == bpf_map__type(map) && info->key_size == bpf_map__key_size(map) &&
	       info->value_size == bpf_map__value_size(map) && info->max_entries == entries &&
	       info->map_flags == bpf_map__map_flags(map);
}

static int check_map(const struct bpf_map *map, int fd, uint32_t entries, struct error *err)
{
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return error_set(err, -errno, "cannot look at map '%s': %s", bpf_map__name(map),
				 strerror(errno));
	if (has_shape(map, entries, &info))
		return 0;
	return error_set(err, -ENOTSUP,
			 "its table '%s' has %u entries of %u and %u bytes, ours %u of %u and %u",
			 bpf_map__name(map), info.max_entries, info.key_size, info.value_size,
			 entries, bpf_map__key_size(map), bpf_map__value_size(map));
}

int object_check_maps(const struct datapath *datapath, struct error *err)
{
	const struct bpf_map *map;
	struct nsroute_bpf *object;
	int ret = 0;

	object_quiet();
	object = nsroute_bpf__open();
	if (!object)
		return error_set(err, -errno, "cannot read the BPF object: %s", strerror(errno));
	for (unsigned int i = 0; i < DATAPATH_MAPS_COUNT && !ret; i++) {
		map = bpf_object__find_map_by_name(object->obj, datapath_map_name[i]);
		ret = check_map(map, datapath->maps[i], entries_of(map, i, datapath->session_sets),
				err);
	}
	nsroute_bpf__destroy(object);
	return ret;
}
