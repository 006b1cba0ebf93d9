/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: everything is read before anything is judged. All namespaces of the registry are
 * read, also for one fabric: what is connected to it may be of none. A namespace with two names, or
 * the host's own under a name, is read once.
 *
 * Rules of netfilter are read by the programs that know them, nft and iptables, in the host
 * namespace. iptables-legacy-save is not run where the kernel has no tables of that kind: it would
 * load them.
 */
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fabric.h"
#include "lookup.h"
#include "netns.h"
#include "plan.h"
#include "snapshot.h"
#include "sysctl.h"
#include "topology_read.h"

#define OUTPUT_BYTES_MAX (64 << 20) /* of nft: a ruleset larger than that is not for us */
#define OUTPUT_S_MAX     20
#define KEY_MAX          160

struct look {
	struct doctor_world *world;
	struct arena *arena;
	int host_fd;
	uint64_t cookie;
	struct kernel_state *state;
};

/* ---- Namespaces. */

static int read_records(struct look *look, struct record **ret_records, size_t *ret_count,
			struct error *err)
{
	struct record *records = NULL;
	const char **names;
	size_t names_count, count = 0;
	int ret = record_list(look->cookie, look->arena, &names, &names_count, err);

	for (size_t i = 0; !ret && i < names_count; i++) {
		struct record *record;

		ret = record_read(look->cookie, names[i], look->arena, &record, err);
		if (ret == -ENOENT)
			ret = 0; /* removed meanwhile */
		else if (!ret)
			*arena_push(look->arena, records, count) = *record;
	}
	*ret_records = records;
	*ret_count = count;
	return ret;
}

static void add_name(struct look *look, struct lookup *known, const char *name, const char ***names,
		     size_t *count)
{
	if (!lookup_add(known, look->arena, name, look))
		*arena_push(look->arena, *names, *count) = name;
}

/* Those in the registry, and those recorded that may be gone from it. */
static int collect_names(struct look *look, const struct record *records, size_t records_count,
			 const char ***ret_names, size_t *ret_count, struct error *err)
{
	const char **listed, **names = NULL;
	struct lookup known = {};
	size_t listed_count, count = 0;
	int ret = netns_list(look->arena, &listed, &listed_count, err);

	if (ret)
		return ret;
	for (size_t i = 0; i < listed_count; i++)
		add_name(look, &known, listed[i], &names, &count);
	for (size_t i = 0; i < records_count; i++)
		for (size_t j = 0; j < records[i].count; j++)
			if (records[i].entries[j].kind == RECORD_NETNS)
				add_name(look, &known, records[i].entries[j].name, &names, &count);
	*ret_names = names;
	*ret_count = count;
	return 0;
}

static void leave_out_doubles(struct look *look)
{
	struct kernel_state *state = look->state;
	struct lookup known = {};
	size_t kept = 0;

	for (size_t i = 0; i < state->namespaces_count; i++) {
		const struct state_namespace *namespace = &state->namespaces[i];
		char *cookie =
			arena_printf(look->arena, "%llu", (unsigned long long)namespace->cookie);

		if (namespace->exists && (namespace->cookie == look->cookie ||
					  lookup_add(&known, look->arena, cookie, look)))
			continue;
		state->namespaces[kept++] = *namespace;
	}
	state->namespaces_count = kept;
}

/* Our own tables may be of another version: then the rest can be looked at all the same. */
static int read_state(struct look *look, const char *const *names, size_t count, struct error *err)
{
	struct snapshot_request request = {
		.host_fd = look->host_fd, .namespaces = names, .namespaces_count = count};
	struct error why;
	int ret = snapshot_take(&request, look->arena, &look->state, &why);

	if (!ret)
		return 0;
	request.no_datapath = true;
	ret = snapshot_take(&request, look->arena, &look->state, err);
	if (!ret)
		look->world->datapath_problem = arena_strdup(look->arena, why.message);
	return ret;
}

/* ---- Sysctls. */

static int add_sysctl(struct look *look, int fd, struct state_namespace *namespace,
		      const char *format, const char *name, struct error *err)
{
	struct state_sysctl *sysctl;
	char key[KEY_MAX];
	int ret;

	snprintf(key, sizeof(key), format, name);
	sysctl = arena_push(look->arena, namespace->sysctls, namespace->sysctls_count);
	sysctl->key = arena_strdup(look->arena, key);
	ret = sysctl_read(fd, key, look->arena, &sysctl->value, err);
	return ret;
}

static int read_sysctls_of(struct look *look, int fd, struct state_namespace *namespace,
			   const char *name, struct error *err)
{
	static const char *const keys[] = {
		"net/ipv4/conf/%s/forwarding", "net/ipv4/conf/%s/rp_filter",
		"net/ipv6/conf/%s/forwarding", "net/ipv6/conf/%s/accept_ra"};
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(keys) / sizeof(*keys); i++)
		ret = add_sysctl(look, fd, namespace, keys[i], name, err);
	return ret;
}

static int read_sysctls(struct look *look, int fd, struct state_namespace *namespace,
			struct error *err)
{
	int ret = read_sysctls_of(look, fd, namespace, "all", err);

	for (size_t i = 0; !ret && i < namespace->links_count; i++) {
		const struct state_link *link = &namespace->links[i];

		if (link->master || !link->flags)
			continue;
		ret = read_sysctls_of(look, fd, namespace, link->name, err);
	}
	return ret;
}

static int read_all_sysctls(struct look *look, struct error *err)
{
	static const char *const host_keys[] = {
		"bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables",
		"ipv4/ip_local_port_range", "ipv4/ip_local_reserved_ports"};
	struct kernel_state *state = look->state;
	int ret = read_sysctls(look, look->host_fd, &state->host, err);

	for (size_t i = 0; !ret && i < sizeof(host_keys) / sizeof(*host_keys); i++)
		ret = add_sysctl(look, look->host_fd, &state->host, "net/%s", host_keys[i], err);
	for (size_t i = 0; !ret && i < state->namespaces_count; i++) {
		int fd;

		if (!state->namespaces[i].exists ||
		    netns_open(state->namespaces[i].name, &fd, err) != 0)
			continue; /* gone since it was read */
		ret = read_sysctls(look, fd, &state->namespaces[i], err);
		close(fd);
	}
	return ret;
}

/* ---- Programs. */

static bool is_uplink(const struct doctor_world *world, const char *name)
{
	for (size_t i = 0; i < world->fabrics_count; i++)
		if (record_has(world->fabrics[i].record, RECORD_UPLINK, name))
			return true;
	return false;
}

static bool is_port(const struct state_datapath *datapath, uint32_t ifindex)
{
	for (size_t i = 0; i < datapath->ports_count; i++)
		if (datapath->ports[i].ifindex == ifindex)
			return true;
	return false;
}

static int read_programs(struct look *look, struct error *err)
{
	struct doctor_world *world = look->world;
	struct netlink *nl = NULL;
	int ret = netlink_open(&nl, look->host_fd, err);

	for (size_t i = 0; !ret && i < look->state->host.links_count; i++) {
		const struct state_link *link = &look->state->host.links[i];

		if (!is_uplink(world, link->name) &&
		    !is_port(&look->state->datapath, link->ifindex))
			continue;
		ret = programs_read(nl, look->host_fd, link, look->arena, &world->programs,
				    &world->programs_count, err);
		if (ret == -ENODEV)
			ret = 0; /* gone since it was read */
	}
	netlink_close(nl);
	return ret;
}

static int read_choices(struct look *look, struct error *err)
{
	struct netlink *nl = NULL;
	int ret = netlink_open(&nl, look->host_fd, err);

	if (!ret)
		ret = route_choices_read(nl, look->host_fd, &look->world->choices, err);
	netlink_close(nl);
	return ret;
}

/* ---- Netfilter. */

/* In the child: nothing here may return. */
static void become(int host_fd, int out, char *const *words)
{
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nothing < 0 || setns(host_fd, CLONE_NEWNET) != 0 || dup2(nothing, STDIN_FILENO) < 0 ||
	    dup2(out, STDOUT_FILENO) < 0 || dup2(nothing, STDERR_FILENO) < 0)
		_exit(126);
	execvp(words[0], words);
	_exit(127);
}

/* All that can be read before the time is over, or NULL. */
static char *read_output(int fd, struct arena *arena)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	time_t end = time(NULL) + OUTPUT_S_MAX;
	char *text = NULL, *result = NULL;
	size_t size = 0, used = 0;

	for (;;) {
		ssize_t got;

		if (used + 1 >= size) {
			char *larger = size < OUTPUT_BYTES_MAX
					       ? realloc(text, size ? 2 * size : 65536)
					       : NULL;

			if (!larger)
				break;
			text = larger;
			size = size ? 2 * size : 65536;
		}
		if (time(NULL) > end || poll(&ready, 1, OUTPUT_S_MAX * 1000) <= 0)
			break;
		got = read(fd, text + used, size - used - 1);
		if (got < 0)
			break;
		used += (size_t)got;
		if (got == 0) {
			text[used] = '\0';
			result = arena_strdup(arena, text);
			break;
		}
	}
	free(text);
	return result;
}

/* What a program prints in the host namespace; NULL, and why, when it fails. */
static const char *output_of(struct look *look, char *const *words, const char **ret_why)
{
	int ends[2], status = 0;
	const char *text;
	pid_t child;

	*ret_why = "no process can be started";
	if (pipe2(ends, O_CLOEXEC) != 0)
		return NULL;
	fflush(NULL);
	child = fork();
	if (child == 0)
		become(look->host_fd, ends[1], words);
	close(ends[1]);
	text = child > 0 ? read_output(ends[0], look->arena) : NULL;
	close(ends[0]);
	if (child < 0)
		return NULL;
	if (!text)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (text && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return text;
	*ret_why = arena_printf(look->arena,
				WIFEXITED(status) && WEXITSTATUS(status) == 127
					? "the program %s is not installed"
					: "the program %s failed",
				words[0]);
	return NULL;
}

/* Whether the namespace has tables of iptables-legacy. */
static bool has_legacy(struct look *look, const char *list)
{
	int previous, fd;
	struct error err;
	char first = 0;

	if (netns_enter(look->host_fd, &previous, &err) != 0)
		return false;
	fd = open(list, O_RDONLY | O_CLOEXEC);
	netns_leave(previous);
	if (fd < 0)
		return false;
	if (read(fd, &first, 1) != 1)
		first = 0;
	close(fd);
	return first;
}

static void read_legacy(struct look *look, const char *list, char *program, char *usual,
			const char *family)
{
	char *words[] = {program, NULL};
	const char *text, *why;

	if (!has_legacy(look, list))
		return;
	text = output_of(look, words, &why);
	if (!text) { /* where there is only one, it has the usual name */
		words[0] = usual;
		text = output_of(look, words, &why);
	}
	if (text)
		netfilter_parse_iptables(text, family, look->arena, &look->world->netfilter);
	else
		look->world->netfilter_problem = why;
}

static void read_netfilter(struct look *look)
{
	static char nft[] = "nft", json[] = "-j", list[] = "list", ruleset[] = "ruleset";
	static char save4[] = "iptables-legacy-save", save6[] = "ip6tables-legacy-save",
		    usual4[] = "iptables-save", usual6[] = "ip6tables-save";
	char *const words[] = {nft, json, list, ruleset, NULL};
	struct doctor_world *world = look->world;
	struct error err;
	const char *why, *text;

	if (!world->fabrics_count)
		return;
	text = output_of(look, words, &why);
	if (!text)
		world->netfilter_problem = why;
	else if (netfilter_parse_nft(text, look->arena, &world->netfilter, &err) != 0)
		world->netfilter_problem = arena_strdup(look->arena, err.message);
	read_legacy(look, "/proc/self/net/ip_tables_names", save4, usual4, "ip");
	read_legacy(look, "/proc/self/net/ip6_tables_names", save6, usual6, "ip6");
}

/* ---- Fabrics and their files. */

static void compare(struct look *look, struct doctor_fabric *fabric)
{
	const struct record *record = fabric->record;
	struct error_list errors = {.arena = look->arena};
	struct kernel_state *state;
	struct topology *topology;
	char text[2 * ERROR_MESSAGE_MAX];
	struct plan *plan;
	struct error err;

	if (*record->file != '/' || access(record->file, F_OK) != 0) {
		fabric->file = DOCTOR_FILE_GONE;
		return;
	}
	fabric->file = DOCTOR_FILE_INVALID;
	if (topology_read(record->file, look->arena, &topology, &errors) != 0) {
		fabric->first = arena_strdup(look->arena,
					     error_format(&errors.errors[0], text, sizeof(text)));
		return;
	}
	if (strcmp(topology->name, record->fabric)) {
		fabric->first = arena_printf(look->arena, "its file %s is now of a fabric '%s'",
					     record->file, topology->name);
		return;
	}
	if (fabric_observe(topology, record, look->host_fd, look->arena, &state, &err) != 0 ||
	    plan_build(topology, state, record, look->arena, &plan, &err) != 0) {
		fabric->file = DOCTOR_FILE_REFUSED;
		fabric->first = arena_strdup(look->arena, error_format(&err, text, sizeof(text)));
		return;
	}
	fabric->file = plan->count ? DOCTOR_FILE_DIFFERS : DOCTOR_FILE_SAME;
	fabric->operations = plan->count;
	if (plan->count)
		fabric->first = plan_describe(&plan->operations[0], look->arena);
}

static int choose_fabrics(struct look *look, const struct record *records, size_t count,
			  struct error *err)
{
	struct doctor_world *world = look->world;

	for (size_t i = 0; i < count; i++)
		if (!world->only || !strcmp(records[i].fabric, world->only))
			arena_push(look->arena, world->fabrics, world->fabrics_count)->record =
				&records[i];
	if (!world->only || world->fabrics_count)
		return 0;
	error_set(err, -ENOENT, "there is no fabric '%s'", world->only);
	err->exit = EXIT_INVALID;
	return -ENOENT;
}

/* ---- The host. */

static bool is_in_host(struct look *look, const char *process)
{
	struct stat own, other;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.20s/ns/net", process);
	return fstat(look->host_fd, &own) == 0 && stat(path, &other) == 0 &&
	       own.st_ino == other.st_ino && own.st_dev == other.st_dev;
}

/* The kernel cuts names at 15 bytes. */
static void note_process(struct look *look, const char *process)
{
	struct doctor_managers *managers = &look->world->managers;
	char path[64], name[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", process);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(name, sizeof(name), file))
		*name = '\0';
	fclose(file);
	name[strcspn(name, "\n")] = '\0';
	if (!strcmp(name, "NetworkManager") && is_in_host(look, process))
		managers->network_manager = true;
	if (!strcmp(name, "systemd-network") && is_in_host(look, process))
		managers->networkd = true;
}

static void read_managers(struct look *look)
{
	static const char *const rules[] = {
		"/etc/udev/rules.d/70-nsroute.rules", "/run/udev/rules.d/70-nsroute.rules",
		"/usr/local/lib/udev/rules.d/70-nsroute.rules",
		"/usr/lib/udev/rules.d/70-nsroute.rules", "/lib/udev/rules.d/70-nsroute.rules"};
	DIR *directory = opendir("/proc");
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (*entry->d_name >= '1' && *entry->d_name <= '9')
			note_process(look, entry->d_name);
	if (directory)
		closedir(directory);
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		look->world->managers.told |= access(rules[i], R_OK) == 0;
}

static uint64_t number_in(struct look *look, const char *key)
{
	const char *value = NULL;
	struct error err;

	if (sysctl_read(look->host_fd, key, look->arena, &value, &err) != 0 || !value)
		return 0;
	return strtoull(value, NULL, 10);
}

static uint64_t count_neighbours(const struct state_namespace *namespace, uint8_t family)
{
	uint64_t count = 0;

	for (size_t i = 0; i < namespace->neighbours_count; i++)
		count += namespace->neighbours[i].ip.family == family &&
			 !(namespace->neighbours[i].state & NUD_PERMANENT);
	return count;
}

static void read_limits(struct look *look)
{
	struct doctor_limits *limits = &look->world->limits;
	const struct kernel_state *state = look->state;
	struct rlimit files = {};

	limits->neighbours4 = count_neighbours(&state->host, AF_INET);
	limits->neighbours6 = count_neighbours(&state->host, AF_INET6);
	for (size_t i = 0; i < state->namespaces_count; i++) {
		limits->neighbours4 += count_neighbours(&state->namespaces[i], AF_INET);
		limits->neighbours6 += count_neighbours(&state->namespaces[i], AF_INET6);
	}
	limits->neighbours4_max = number_in(look, "net/ipv4/neigh/default/gc_thresh3");
	limits->neighbours6_max = number_in(look, "net/ipv6/neigh/default/gc_thresh3");
	limits->connections = number_in(look, "net/netfilter/nf_conntrack_count");
	limits->connections_max = number_in(look, "net/netfilter/nf_conntrack_max");
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		limits->files_max = files.rlim_cur;
}

int doctor_look(struct doctor_world *world, int host_fd, uint64_t cookie, struct error *err)
{
	struct look look = {
		.world = world, .arena = world->arena, .host_fd = host_fd, .cookie = cookie};
	struct record *records;
	size_t records_count, names_count;
	const char **names;
	int ret = read_records(&look, &records, &records_count, err);

	if (!ret)
		ret = choose_fabrics(&look, records, records_count, err);
	if (!ret)
		ret = collect_names(&look, records, records_count, &names, &names_count, err);
	if (!ret)
		ret = read_state(&look, names, names_count, err);
	if (ret)
		return ret;
	leave_out_doubles(&look);
	look.state->others = records;
	look.state->others_count = records_count;
	world->state = look.state;
	ret = snapshot_peers(host_fd, look.state, err);
	if (!ret)
		ret = read_all_sysctls(&look, err);
	if (!ret)
		ret = read_programs(&look, err);
	if (!ret)
		ret = read_choices(&look, err);
	if (!ret)
		ret = sockets_read(host_fd, world->arena, &world->sockets, &world->sockets_count,
				   err);
	if (ret)
		return ret;
	read_netfilter(&look);
	for (size_t i = 0; i < world->fabrics_count; i++)
		compare(&look, &world->fabrics[i]);
	read_managers(&look);
	read_limits(&look);
	doctor_look_for_orphans(world, cookie);
	return 0;
}
