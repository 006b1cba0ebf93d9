/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the frame is built here, once a measurement (UDP from the client to the server, to
 * the MAC that the client's neighbour table has for the next hop); the program copies it, and fills
 * in ports and the end of the address. A child in the
 * client's namespace runs the program in batches of BATCH live frames for the time given. What
 * arrived is read from the sink's counter when the last has had time to arrive; the rest is lost.
 *
 * What is asked of devices goes through ioctls in the namespace of the device, where the calling
 * thread is for a moment.
 */
#include "bench_frames.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/sockios.h>
#include <linux/udp.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "nsroute_bench.h"
#include "bench.skel.h"
#include "netlink.h"
#include "netns.h"
#include "qdisc.h"

#define NS_PER_SECOND 1000000000ull
#define BATCH         64
#define REPEAT        (64 * BATCH) /* of one call */
#define ARRIVAL_NS    20000000     /* time for the last frame to arrive */
#define FRAME_TTL     64

struct bench_frames {
	struct bench_bpf *skeleton;
	int cpus;
};

/* libbpf's own words would go past us to stderr. */
static int be_silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

int bench_frames_open(struct bench_frames **ret, struct error *err)
{
	libbpf_print_fn_t before = libbpf_set_print(be_silent);
	struct bench_frames *frames = calloc(1, sizeof(*frames));

	if (frames) {
		frames->cpus = libbpf_num_possible_cpus();
		frames->skeleton = bench_bpf__open_and_load();
	}
	libbpf_set_print(before);
	if (!frames || !frames->skeleton) {
		error_set(err, -errno, "cannot load the programs of bench: %s", strerror(errno));
		free(frames);
		return err->code;
	}
	*ret = frames;
	return 0;
}

void bench_frames_close(struct bench_frames *frames)
{
	if (!frames)
		return;
	bench_bpf__destroy(frames->skeleton);
	free(frames);
}

/* ---- Devices. */

/* What is known of an interface. */
struct device {
	uint32_t ifindex;
	uint8_t mac[ETH_ALEN];
	struct in_addr address; /* 0: none */
	bool veth;
	uint32_t peer; /* of a veth: ifindex of the other end */
};

/* Moves the thread into the namespace; netns_leave(*ret_previous) must follow. */
static int enter(const char *name, int *ret_previous, struct error *err)
{
	int fd, code;

	if (netns_open(name, &fd, err) != 0)
		return err->code;
	code = netns_enter(fd, ret_previous, err);
	close(fd);
	return code;
}

static int ethtool(int fd, struct ifreq *request, void *command)
{
	request->ifr_data = command;
	return ioctl(fd, SIOCETHTOOL, request);
}

/* The only statistic of a veth that comes first in all kernels: its peer. */
static uint32_t veth_peer(int fd, struct ifreq *request, unsigned int statistics)
{
	struct ethtool_stats *stats =
		calloc(1, sizeof(*stats) + statistics * sizeof(stats->data[0]));
	uint32_t peer = 0;

	if (!stats)
		return 0;
	stats->cmd = ETHTOOL_GSTATS;
	stats->n_stats = statistics;
	if (statistics > 0 && ethtool(fd, request, stats) == 0)
		peer = (uint32_t)stats->data[0];
	free(stats);
	return peer;
}

static int read_device(int fd, const char *name, struct device *ret)
{
	struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {};

	*ret = (struct device){};
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFINDEX, &request) != 0)
		return -errno;
	ret->ifindex = (uint32_t)request.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &request) != 0)
		return -errno;
	memcpy(ret->mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
	if (ioctl(fd, SIOCGIFADDR, &request) == 0)
		ret->address = ((struct sockaddr_in *)(void *)&request.ifr_addr)->sin_addr;
	if (ethtool(fd, &request, &driver) != 0)
		return 0;
	ret->veth = strcmp(driver.driver, "veth") == 0;
	if (ret->veth)
		ret->peer = veth_peer(fd, &request, driver.n_stats);
	return 0;
}

static int device_in(const char *netns, const char *name, struct device *ret, struct error *err)
{
	int previous, fd, code;

	if (enter(netns, &previous, err) != 0)
		return err->code;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	code = fd < 0 ? -errno : read_device(fd, name, ret);
	if (fd >= 0)
		close(fd);
	netns_leave(previous);
	return code ? error_set(err, code, "interface %s in '%s': %s", name, netns, strerror(-code))
		    : 0;
}

static int set_gro(int fd, uint32_t ifindex)
{
	struct ethtool_value on = {.cmd = ETHTOOL_SGRO, .data = 1};
	struct ifreq request = {};

	if (!if_indextoname(ifindex, request.ifr_name))
		return -errno;
	return ethtool(fd, &request, &on) == 0 ? 0 : -errno;
}

static int set_gro_in(const char *netns, uint32_t ifindex, struct error *err)
{
	int previous, fd, code;

	if (enter(netns, &previous, err) != 0)
		return err->code;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	code = fd < 0 ? -errno : set_gro(fd, ifindex);
	if (fd >= 0)
		close(fd);
	netns_leave(previous);
	return code ? error_set(err, code, "cannot turn GRO on: %s", strerror(-code)) : 0;
}

void bench_frames_prepare(struct bench_place *place)
{
	struct device client = {};
	struct error err = {};

	if (device_in(place->client, BENCH_INTERFACE, &client, &err) == 0 && client.veth)
		set_gro_in(place->path == BENCH_DIRECT ? place->server : place->host, client.peer,
			   &err);
	else if (err.code == 0)
		error_set(&err, -EOPNOTSUPP, "its interface takes no frames from XDP programs");
	if (err.code != 0)
		snprintf(place->no_frames, sizeof(place->no_frames), "%.*s", BENCH_REASON_MAX - 1,
			 err.message);
}

/* ---- Attaching. */

static int attach_tc(const char *netns, uint32_t ifindex, const char *link, int program,
		     const char *name, struct error *err)
{
	struct netlink *nl;
	int fd, code;

	if (netns_open(netns, &fd, err) != 0)
		return err->code;
	code = netlink_open(&nl, fd, err);
	close(fd);
	if (code != 0)
		return code;
	qdisc_add_clsact(nl, ifindex, link);
	qdisc_add_filter(nl, ifindex, link, QDISC_INGRESS, program, name);
	code = netlink_flush(nl, NULL, err);
	netlink_close(nl);
	return code;
}

static int detach_tc(const char *netns, uint32_t ifindex, const char *link, struct error *err)
{
	struct netlink *nl;
	int fd, code;

	if (netns_open(netns, &fd, err) != 0)
		return err->code;
	code = netlink_open(&nl, fd, err);
	close(fd);
	if (code != 0)
		return code;
	qdisc_delete_clsact(nl, ifindex, link);
	code = netlink_flush(nl, NULL, err);
	netlink_close(nl);
	return code;
}

/* program -1: takes away. Native only: the generic mode is a measurement of something else. */
static int attach_xdp(const char *netns, uint32_t ifindex, int program, struct error *err)
{
	int previous, code;

	if (enter(netns, &previous, err) != 0)
		return err->code;
	code = bpf_xdp_attach((int)ifindex, program, XDP_FLAGS_DRV_MODE, NULL);
	netns_leave(previous);
	return code ? error_set(err, code, "no native XDP at the server's interface: %s",
				strerror(-code))
		    : 0;
}

int bench_frames_sink(struct bench_frames *frames, const struct bench_place *place,
		      enum bench_test test, bool attach, struct error *err)
{
	const struct bench_bpf *skeleton = frames->skeleton;
	struct device server;

	if (device_in(place->server, BENCH_INTERFACE, &server, err) != 0)
		return err->code;
	if (test == BENCH_FRAMES_XDP)
		return attach_xdp(place->server, server.ifindex,
				  attach ? bpf_program__fd(skeleton->progs.bench_sink_xdp) : -1,
				  err);
	if (!attach)
		return detach_tc(place->server, server.ifindex, BENCH_INTERFACE, err);
	return attach_tc(place->server, server.ifindex, BENCH_INTERFACE,
			 bpf_program__fd(skeleton->progs.bench_sink_tc), "bench_sink_tc", err);
}

static int put_endpoint(struct bench_frames *frames, __be32 address,
			const struct bench_endpoint *endpoint, struct error *err)
{
	if (bpf_map_update_elem(bpf_map__fd(frames->skeleton->maps.endpoints), &address, endpoint,
				BPF_ANY) != 0)
		return error_set(err, -errno, "cannot tell the bare program an address: %s",
				 strerror(errno));
	return 0;
}

/* Tells the bare programs where the address of one end is, and has one of them there. */
static int add_endpoint(struct bench_frames *frames, const struct bench_place *place,
			const char *end, const char *host_end, const struct bpf_program *program,
			struct error *err)
{
	struct bench_endpoint endpoint = {};
	struct device inside, host;

	if (device_in(end, BENCH_INTERFACE, &inside, err) != 0 ||
	    device_in(place->host, host_end, &host, err) != 0)
		return err->code;
	endpoint.ifindex = host.ifindex;
	memcpy(endpoint.mac, inside.mac, ETH_ALEN);
	memcpy(endpoint.gateway_mac, host.mac, ETH_ALEN);
	if (put_endpoint(frames, inside.address.s_addr, &endpoint, err) != 0)
		return err->code;
	return attach_tc(place->host, host.ifindex, host_end, bpf_program__fd(program),
			 bpf_program__name(program), err);
}

int bench_frames_bare(struct bench_frames *frames, const struct bench_place *place,
		      struct error *err)
{
	const struct bpf_program *peer = frames->skeleton->progs.bench_peer;
	const struct bpf_program *out =
		place->path == BENCH_REDIRECT_NEIGH ? frames->skeleton->progs.bench_neigh : peer;

	if (add_endpoint(frames, place, place->client, "c0", out, err) != 0)
		return err->code;
	return add_endpoint(frames, place, place->server, "s0", peer, err);
}

int bench_frames_hosts(struct bench_frames *frames, const struct bench_place *place,
		       unsigned int hosts, struct error *err)
{
	struct bench_endpoint endpoint;
	struct in_addr server;
	int code = 0;

	inet_pton(AF_INET, place->server_address, &server);
	if (bpf_map_lookup_elem(bpf_map__fd(frames->skeleton->maps.endpoints), &server.s_addr,
				&endpoint) != 0)
		return error_set(err, -errno, "the bare program does not know the server");
	for (unsigned int i = 0; code == 0 && i < hosts; i++)
		code = put_endpoint(frames, htonl(BENCH_FIRST_HOST + i), &endpoint, err);
	return code;
}

/* ---- The frame. */

static uint32_t sum_words(const uint8_t *bytes, size_t size, uint32_t sum)
{
	for (size_t i = 0; i < size; i += 2)
		sum += ((uint32_t)bytes[i] << 8) + bytes[i + 1];
	return sum;
}

/* Ports and the lower half of the destination, which differ, are 0, and so are the checksums. */
static void build_frame(struct bench_frame *frame, const struct device *client,
			const uint8_t *next_hop, uint32_t dest)
{
	struct ethhdr eth = {.h_proto = htons(ETH_P_IP)};
	struct iphdr ip = {.version = 4,
			   .ihl = 5,
			   .ttl = FRAME_TTL,
			   .protocol = IPPROTO_UDP,
			   .saddr = client->address.s_addr,
			   .daddr = htonl(dest & 0xffff0000)};
	const size_t length = BENCH_FRAME_SIZE - sizeof(eth) - sizeof(ip);
	struct udphdr udp = {.len = htons((uint16_t)length)};
	uint8_t *ip_at = frame->bytes + sizeof(eth), *udp_at = ip_at + sizeof(ip);

	memcpy(eth.h_dest, next_hop, ETH_ALEN);
	memcpy(eth.h_source, client->mac, ETH_ALEN);
	ip.tot_len = htons((uint16_t)(sizeof(ip) + length));
	*frame = (struct bench_frame){
		.ifindex = client->ifindex, .flows = 1, .hosts = 1, .first_host = dest & 0xffff};
	memcpy(frame->bytes, &eth, sizeof(eth));
	memcpy(ip_at, &ip, sizeof(ip));
	memcpy(udp_at, &udp, sizeof(udp));
	frame->ip_sum = sum_words(ip_at, sizeof(ip), 0);
	/* The pseudo header; what follows the UDP header is zero. */
	frame->udp_sum = sum_words(udp_at, sizeof(udp),
				   sum_words(ip_at + offsetof(struct iphdr, saddr), 8,
					     IPPROTO_UDP + (uint32_t)length));
}

/* From the client's neighbour table: the path has carried traffic before. */
static int find_mac(const char *next_hop, uint8_t *mac)
{
	FILE *table = fopen("/proc/thread-self/net/arp", "re");
	char line[256], address[64], hardware[64];
	int code = -ENOENT;

	if (!table)
		return -errno;
	while (code != 0 && fgets(line, sizeof(line), table)) {
		if (sscanf(line, "%63s %*s %*s %63s", address, hardware) == 2 &&
		    strcmp(address, next_hop) == 0 &&
		    sscanf(hardware, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2],
			   &mac[3], &mac[4], &mac[5]) == ETH_ALEN)
			code = 0;
	}
	fclose(table);
	return code;
}

static int prepare_frame(struct bench_frames *frames, const struct bench_place *place,
			 const struct bench_test_info *test, struct error *err)
{
	struct bench_frame *frame = &frames->skeleton->bss->frame;
	uint8_t mac[ETH_ALEN] = {};
	struct device client;
	struct in_addr server;
	int previous, code;

	if (device_in(place->client, BENCH_INTERFACE, &client, err) != 0 ||
	    enter(place->client, &previous, err) != 0)
		return err->code;
	code = find_mac(place->next_hop, mac);
	netns_leave(previous);
	if (code != 0)
		return error_set(err, code, "the client does not know the MAC of %s",
				 place->next_hop);
	inet_pton(AF_INET, place->server_address, &server);
	build_frame(frame, &client, mac, test->hosts ? BENCH_FIRST_HOST : ntohl(server.s_addr));
	if (test->hosts)
		frame->hosts = test->hosts;
	if (test->flows)
		frame->flows = test->flows;
	return 0;
}

/* ---- A measurement. */

static uint64_t count_arrived(const struct bench_frames *frames)
{
	uint64_t counts[frames->cpus], sum = 0;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(frames->skeleton->maps.arrived), &zero, counts) != 0)
		return 0;
	for (int i = 0; i < frames->cpus; i++)
		sum += counts[i];
	return sum;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* One call of the kernel; 0 or a negative errno. */
static int send_batch(int program, const struct bench_frame *frame)
{
	struct bpf_test_run_opts options = {.sz = sizeof(options),
					    .data_in = frame->bytes,
					    .data_size_in = BENCH_FRAME_SIZE,
					    .repeat = REPEAT,
					    .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
					    .batch_size = BATCH};

	return bpf_prog_test_run_opts(program, &options);
}

static _Noreturn void generate_each_flow(const struct bench_frames *frames)
{
	int program = bpf_program__fd(frames->skeleton->progs.bench_generate);
	uint32_t flows = frames->skeleton->bss->frame.flows;
	int code = 0;

	for (uint32_t sent = 0; code == 0 && sent < flows; sent += REPEAT)
		code = send_batch(program, &frames->skeleton->bss->frame);
	_exit(code == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static _Noreturn void generate(struct bench_frames *frames, double seconds,
			       struct bench_sample *sample)
{
	int program = bpf_program__fd(frames->skeleton->progs.bench_generate);
	const struct bench_frame *frame = &frames->skeleton->bss->frame;
	const struct timespec rest = {.tv_nsec = ARRIVAL_NS};
	uint64_t before, start, end, sent = 0;
	int code;

	send_batch(program, frame); /* neighbours and routes */
	nanosleep(&rest, NULL);
	before = count_arrived(frames);
	start = now_ns();
	do {
		code = send_batch(program, frame);
		sent += REPEAT;
		end = now_ns();
	} while (code == 0 && (double)(end - start) < seconds * (double)NS_PER_SECOND);
	nanosleep(&rest, NULL);
	sample->seconds = (double)(end - start) / (double)NS_PER_SECOND;
	sample->units = count_arrived(frames) - before;
	sample->lost = sent > sample->units ? sent - sample->units : 0;
	if (code != 0)
		snprintf(sample->failure, sizeof(sample->failure), "BPF_PROG_RUN: %s",
			 strerror(-code));
	else if (sample->units == 0)
		snprintf(sample->failure, sizeof(sample->failure), "no frame arrives at the sink");
	_exit(EXIT_SUCCESS);
}

int bench_frames_run(struct bench_frames *frames, const struct bench_world *world,
		     const struct bench_place *place, enum bench_test test, double seconds, int cpu,
		     struct bench_sample *shared, struct error *err)
{
	int status;
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	if (prepare_frame(frames, place, &bench_tests[test], err) != 0) {
		snprintf(shared->failure, sizeof(shared->failure), "%.*s", BENCH_REASON_MAX - 1,
			 err->message);
		return 0;
	}
	if (bench_fork(place->client, cpu, &pid, err) != 0)
		return err->code;
	if (pid == 0) {
		if (seconds > 0)
			generate(frames, seconds, shared);
		generate_each_flow(frames);
	}
	if (bench_wait(world, pid, &status, err) != 0)
		return err->code;
	if (status != 0)
		snprintf(shared->failure, sizeof(shared->failure),
			 "the generator ended with status %d", status);
	return 0;
}
