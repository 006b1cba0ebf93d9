/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * budgets OBJECT FILE [--update] [NAME=VALUE...] - what packets, programs and flows cost, in
 * figures that do not depend on the machine, compared with those that FILE has.
 *
 * How it works: each path of paths.c is run by the interpreter over the tables of a small fabric,
 * and counted. As root the programs are loaded as well, for what the verifier says of them; those
 * figures are the running kernel's, and compared on no other. NAME=VALUE are figures that the
 * caller has measured (tools/budgets). A figure that has grown by more than 2 % fails; what was
 * not measured here is left as FILE has it. --update writes the file.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bpf/interpreter.h"
#include "bpf/lab.h"
#include "bpf/paths.h"

#define FIGURES_MAX     256
#define FIGURE_NAME_MAX 64
#define GROWTH_PERCENT  2
#define LOG_SIZE        65536

enum { RED_IFINDEX = 11, BLUE_IFINDEX, GREEN_IFINDEX, BR1_IFINDEX, BR2_IFINDEX, UP0_IFINDEX };

struct figure {
	char name[FIGURE_NAME_MAX];
	unsigned long value;
	unsigned long goal; /* 0: none */
};

struct figures {
	struct figure list[FIGURES_MAX];
	size_t count;
};

static void add(struct figures *figures, unsigned long value, unsigned long goal,
		const char *format, ...) __attribute__((format(printf, 4, 5)));

static void add(struct figures *figures, unsigned long value, unsigned long goal,
		const char *format, ...)
{
	struct figure *figure = &figures->list[figures->count];
	va_list args;

	if (figures->count == FIGURES_MAX)
		abort();
	figures->count++;
	va_start(args, format);
	vsnprintf(figure->name, sizeof(figure->name), format, args);
	va_end(args);
	figure->value = value;
	figure->goal = goal;
}

static struct figure *find_figure(struct figures *figures, const char *name)
{
	for (size_t i = 0; i < figures->count; i++)
		if (!strcmp(figures->list[i].name, name))
			return &figures->list[i];
	return NULL;
}

/* ---- The fabric: red and blue in one network, green in another, masqueraded to up0. */

static void put_host(struct machine *m, const char *ip, const uint8_t mac[6], uint32_t ifindex,
		     uint16_t network)
{
	struct nsr_endpoint endpoint = {.ifindex = ifindex,
					.port = ifindex - RED_IFINDEX,
					.mtu = LAB_MTU,
					.network = network,
					.flags = NSR_PORT_FAST};
	struct ip_address address = lab_ip(ip);
	struct nsr_fdb_key key = {.network = network};

	memcpy(endpoint.mac, mac, 6);
	memcpy(endpoint.gateway_mac, network == 1 ? mac_br1 : mac_br2, 6);
	memcpy(key.mac, mac, 6);
	machine_put(m, strchr(ip, ':') ? "hosts6" : "hosts4", address.bytes, &endpoint);
	machine_put(m, "fdb", &key, &endpoint);
}

static void put_port(struct machine *m, uint32_t ifindex, const uint8_t mac[6], const char *ip,
		     const char *ip6, uint16_t network)
{
	struct nsr_port port = {.index = ifindex - RED_IFINDEX,
				.gateway_ifindex = network == 1 ? BR1_IFINDEX : BR2_IFINDEX,
				.network = network,
				.flags = NSR_PORT_FAST | NSR_PORT_SPOOF_CHECK,
				.uplink = 1,
				.address4 = address4(ip)};
	struct ip_address address6 = lab_ip(ip6);

	memcpy(port.mac, mac, 6);
	memcpy(port.gateway_mac, network == 1 ? mac_br1 : mac_br2, 6);
	memcpy(port.address6, address6.bytes, 16);
	machine_put(m, "ports", &ifindex, &port);
	put_host(m, ip, mac, ifindex, network);
	put_host(m, ip6, mac, ifindex, network);
}

static void put_inside(struct machine *m, const char *prefix)
{
	struct ip_address address = lab_ip(prefix);
	struct nsr_inside4_key key4 = {.prefix_len = address.prefix_len};
	struct nsr_inside6_key key6 = {.prefix_len = address.prefix_len};
	struct nsr_inside inside = NSR_INSIDE_DEFAULT;

	memcpy(&key4.address, address.bytes, 4);
	memcpy(key6.address, address.bytes, 16);
	if (strchr(prefix, ':'))
		machine_put(m, "inside6", &key6, &inside);
	else
		machine_put(m, "inside4", &key4, &inside);
}

/* Ports below 1,024 are not handed out. */
static void put_pools(struct machine *m)
{
	static struct nsr_pool_bits bits;
	uint32_t pool, port, zero = 0;

	for (port = 0; port < LAB_PORT_MIN; port += 64) {
		/* A half of them are even. */
		uint32_t words[] = {port / 128, NSR_POOL_WORDS / 2 + port / 128};

		for (int i = 0; i < 2; i++) {
			bits.words[words[i]] = ~0ull;
			bits.words[NSR_POOL_WORDS + words[i] / 64] |= 1ull << words[i] % 64;
		}
	}
	bits.words[NSR_POOL_BITS_WORDS - 1] = ~0ull << NSR_POOL_WORDS / 64;
	bits.share = NSR_POOL_PORTS / 2;
	for (pool = 0; pool < NSR_NAT_PROTOCOLS; pool++) {
		machine_put(m, "pools", &pool, &zero);
		machine_put(m, "pool_bits", &pool, &bits);
	}
}

static void put_uplink(struct machine *m)
{
	struct nsr_uplink uplink = {.address4 = address4(UPLINK_IP),
				    .port_min = LAB_PORT_MIN,
				    .port_max = LAB_PORT_MAX,
				    .ifindex = UP0_IFINDEX};
	/* Something is published. */
	const struct nsr_uplink loopback = {.address4 = address4("127.0.0.1"),
					    .port_min = 1,
					    .port_max = 65535,
					    .index = 1,
					    .ifindex = STATE_LOOPBACK};
	uint32_t ifindex = UP0_IFINDEX, first = STATE_LOOPBACK;

	machine_put(m, "uplinks", &ifindex, &uplink);
	machine_put(m, "uplink_by_index", &uplink.index, &ifindex);
	machine_put(m, "uplinks", &first, &loopback);
	machine_put(m, "uplink_by_index", &loopback.index, &first);
	put_inside(m, "192.168.15.0/24");
	put_inside(m, "192.168.16.0/24");
	put_inside(m, "fd00:15::/64");
	put_pools(m);
	machine_route(m, UP0_IFINDEX, address4(UPLINK_IP), address4("198.51.100.1"), LAB_MTU);
	machine_clock(m, 1000ull * 1000000000);
}

static void put_fabric(struct machine *m)
{
	static const struct nsr_settings settings = {.layout_version = NSR_LAYOUT_VERSION,
						     .secret = 0x5ec4e7};
	uint32_t zero = 0, bridges[] = {BR1_IFINDEX, BR2_IFINDEX};
	uint8_t nothing = 0;

	machine_put(m, "settings", &zero, &settings);
	machine_put(m, "inner_links", &bridges[0], &nothing);
	machine_put(m, "inner_links", &bridges[1], &nothing);
	put_port(m, RED_IFINDEX, mac_red, RED_IP, RED_IP6, 1);
	put_port(m, BLUE_IFINDEX, mac_blue, BLUE_IP, "fd00:15::12", 1);
	put_port(m, GREEN_IFINDEX, mac_green, GREEN_IP, GREEN_IP6, 2);
	put_uplink(m);
}

/* ---- Figures. */

static void measure_path(struct machine *m, const struct path *path, uint16_t *port,
			 struct figures *figures)
{
	static const uint32_t ifindexes[] = {RED_IFINDEX, GREEN_IFINDEX, UP0_IFINDEX};
	struct machine_link link = {.ifindex = ifindexes[path->at],
				    .ingress_ifindex = path->forwarded ? RED_IFINDEX : 0,
				    .handed_on = path->forwarded};
	struct frame frame;
	struct work work;

	memcpy(link.mac, path->at == PATH_UPLINK ? mac_up0 : mac_port_red, 6);
	path->build(&frame, *port);
	machine_run(m, path->program, &link, &frame, &work);
	if (path_opens(path))
		*port = frame_sport(&frame);
	if (!path->name)
		return;
	add(figures, work.instructions, path->instructions_goal, "path %s instructions",
	    path->name);
	add(figures, work.hash_lookups, path->hash_goal, "path %s hash-lookups", path->name);
	add(figures, work.array_lookups, 0, "path %s array-lookups", path->name);
	add(figures, work.trie_lookups, 0, "path %s trie-lookups", path->name);
	add(figures, work.helpers, 0, "path %s helper-calls", path->name);
	add(figures, work.atomics, 0, "path %s atomics", path->name);
}

/* Both hooks of what is masqueraded, together. */
static void add_both_hooks(struct figures *figures)
{
	static const char *const kinds[] = {"instructions", "hash-lookups"};
	static const unsigned long goals[] = {220, 0};
	char out[FIGURE_NAME_MAX], uplink[FIGURE_NAME_MAX];

	for (size_t i = 0; i < 2; i++) {
		snprintf(out, sizeof(out), "path masqueraded-out %s", kinds[i]);
		snprintf(uplink, sizeof(uplink), "path masqueraded-out-uplink %s", kinds[i]);
		add(figures, find_figure(figures, out)->value + find_figure(figures, uplink)->value,
		    goals[i], "path masqueraded-out-both-hooks %s", kinds[i]);
	}
}

/* An element of a preallocated hash: kernel/bpf/hashtab.c, struct htab_elem is 48 bytes, and the
 * bucket of its own (the number of buckets is that of elements) 16. */
static unsigned long hash_element(size_t key, size_t value)
{
	return 16 + 48 + (key + 7) / 8 * 8 + (value + 7) / 8 * 8;
}

/* Of a mapping with one session. */
static unsigned long bytes_of_flow(void)
{
	return sizeof(struct nsr_session) + sizeof(struct nsr_mapping) +
	       hash_element(sizeof(struct nsr_flow), sizeof(struct nsr_session_ref)) +
	       hash_element(sizeof(struct nsr_inside_endpoint), sizeof(struct nsr_mapping_ref));
}

static bool measure(const char *object, struct figures *figures)
{
	static const char *const programs[] = {"nsr_port_in",    "nsr_port_out", "nsr_uplink_in",
					       "nsr_uplink_out", "nsr_arm",      "nsr_flush"};
	struct machine *m = machine_new(object);
	uint16_t port = 0;

	if (!m)
		return false;
	put_fabric(m);
	for (unsigned int i = 0; i < paths_count; i++)
		measure_path(m, &paths[i], &port, figures);
	add_both_hooks(figures);
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		add(figures, machine_program_size(m, programs[i]), 0, "program %s instructions",
		    programs[i]);
	add(figures, bytes_of_flow(), 1048576 / 3500, "flow bytes");
	machine_free(m);
	return true;
}

/* ---- Figures of the running kernel. */

static void measure_program(const struct bpf_program *program, const char *words,
			    const char *release, struct figures *figures)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);
	unsigned int processed;
	const char *line = strstr(words, "processed ");
	const char *name = bpf_program__name(program);

	if (line && sscanf(line, "processed %u insns", &processed) == 1)
		add(figures, processed, 0, "kernel-%s %s verified", release, name);
	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
		return;
	add(figures, info.xlated_prog_len / 8, 0, "kernel-%s %s xlated", release, name);
	add(figures, info.jited_prog_len, 0, "kernel-%s %s jited-bytes", release, name);
}

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

static void measure_kernel(const char *path, struct figures *figures)
{
	struct bpf_object *object;
	struct bpf_program *program;
	struct utsname name;
	char *words = NULL, *release = name.release;
	size_t count = 0, i = 0;

	uname(&name);
	release[strspn(release, "0123456789.")] = '\0';
	libbpf_set_print(silent);
	object = bpf_object__open_file(path, NULL);
	bpf_object__for_each_program(program, object) count++;
	words = calloc(count, LOG_SIZE);
	bpf_object__for_each_program(program, object)
	{
		bpf_program__set_log_buf(program, words + i++ * LOG_SIZE, LOG_SIZE);
		bpf_program__set_log_level(program, 4); /* BPF_LOG_STATS */
	}
	i = 0;
	if (bpf_object__load(object) == 0)
		bpf_object__for_each_program(program, object)
			measure_program(program, words + i++ * LOG_SIZE, release, figures);
	bpf_object__close(object);
	free(words);
}

/* ---- The file. */

static void read_file(const char *path, struct figures *figures)
{
	FILE *file = fopen(path, "r");
	char line[256], *end;

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		end = strrchr(line, ' ');
		if (line[0] == '#' || !end)
			continue;
		*end = '\0';
		add(figures, strtoul(end + 1, NULL, 10), 0, "%s", line);
	}
	if (file)
		fclose(file);
}

static int write_file(const char *path, struct figures *known, struct figures *figures)
{
	FILE *file = fopen(path, "w");

	if (!file) {
		perror(path);
		return 1;
	}
	fputs("# What packets, programs and flows cost; \"make budgets\" writes it, \"make "
	      "check-budgets\" compares.\n",
	      file);
	for (size_t i = 0; i < figures->count; i++)
		fprintf(file, "%s %lu\n", figures->list[i].name, figures->list[i].value);
	for (size_t i = 0; i < known->count; i++) /* of other kernels */
		if (!strncmp(known->list[i].name, "kernel-", 7) &&
		    !find_figure(figures, known->list[i].name))
			fprintf(file, "%s %lu\n", known->list[i].name, known->list[i].value);
	return fclose(file) ? 1 : 0;
}

static bool has_grown(const struct figure *known, const struct figure *figure)
{
	return figure->value * 100 > known->value * (100 + GROWTH_PERCENT);
}

/* In TAP, as the other tests. */
static int compare(struct figures *known, struct figures *figures)
{
	int grown = 0;

	printf("1..%zu\n", figures->count);
	for (size_t i = 0; i < figures->count; i++) {
		const struct figure *figure = &figures->list[i];
		const struct figure *before = find_figure(known, figure->name);
		bool bad = !before && strncmp(figure->name, "kernel-", 7);

		bad |= before && has_grown(before, figure);
		printf("%s %zu %s %lu", bad ? "not ok" : "ok", i + 1, figure->name, figure->value);
		if (before && before->value != figure->value)
			printf(" was %lu", before->value);
		if (figure->goal)
			printf(" goal %lu%s", figure->goal,
			       figure->value > figure->goal ? " missed" : "");
		if (!before && !bad)
			printf(" # SKIP not in the file");
		putchar('\n');
		grown += bad;
	}
	if (grown)
		printf("# grown by more than %d %%, or new: \"make budgets\" records the figures as "
		       "they are\n",
		       GROWTH_PERCENT);
	return grown ? 1 : 0;
}

int main(int argc, char **argv)
{
	static struct figures known, figures;
	bool update = false;
	char *value;

	if (argc < 3) {
		fprintf(stderr, "usage: budgets OBJECT FILE [--update] [NAME=VALUE...]\n");
		return 2;
	}
	read_file(argv[2], &known);
	if (!measure(argv[1], &figures))
		return 2;
	if (geteuid() == 0)
		measure_kernel(argv[1], &figures);
	for (int i = 3; i < argc; i++) {
		update |= !strcmp(argv[i], "--update");
		value = strchr(argv[i], '=');
		if (value)
			add(&figures, strtoul(value + 1, NULL, 10), 0, "%.*s",
			    (int)(value - argv[i]), argv[i]);
	}
	return update ? write_file(argv[2], &known, &figures) : compare(&known, &figures);
}
