/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the programs tell of drops while a lease runs (bpf/events.h). It is renewed every
 * second and runs for five, so that a listener that is killed costs nothing soon after, and one
 * that does not get to run for a moment misses nothing. Whoever was there before may have left
 * events in the ring: those from before our time are passed over.
 *
 * The claim is a lock on the folder of the pins, which the kernel gives up with the process; and
 * when the folder is removed, so is the datapath.
 */
#include "datapath_listen.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"

#define SECOND_NS 1000000000ull
#define LEASE_NS  (5 * SECOND_NS)

struct datapath_listener {
	const struct datapath *datapath;
	struct ring_buffer *ring;
	datapath_heard heard;
	void *argument;
	uint32_t reasons;
	uint64_t since_ns, renewed_ns, deaf_ns;
	uint64_t left_out[NSR_DROP_SLOTS]; /* as it was when last asked */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now); /* bpf_ktime_get_ns() */
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

int datapath_listen_claim(uint64_t cookie, int *ret_fd, struct error *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), DATAPATH_PINS "/%" PRIu64, cookie);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return error_set(err, -ENOENT, "no datapath is loaded in this host namespace");
	if (fd < 0)
		return error_set(err, -errno, "cannot open folder '%s': %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int ret = errno == EWOULDBLOCK ? -EBUSY : -errno;

		close(fd);
		return ret == -EBUSY
			       ? error_set(
					 err, ret,
					 "another \"nsroute drops\" listens in this host namespace "
					 "already, and there can be one: end it first")
			       : error_set(err, ret, "cannot lock folder '%s': %s", path,
					   strerror(-ret));
	}
	*ret_fd = fd;
	return 0;
}

bool datapath_listen_holds(int claim)
{
	struct stat folder;

	return fstat(claim, &folder) == 0 && folder.st_nlink > 0;
}

static int write_lease(const struct datapath_listener *listener, uint64_t until_ns,
		       struct error *err)
{
	struct nsr_event_lease lease = {.until_ns = until_ns, .reasons = listener->reasons};
	uint32_t zero = 0;

	if (bpf_map_update_elem(listener->datapath->maps[MAP_event_lease], &zero, &lease, BPF_ANY))
		return error_set(err, -errno, "cannot ask the datapath for its drops: %s",
				 strerror(errno));
	return 0;
}

static int renew(struct datapath_listener *listener, struct error *err)
{
	uint64_t now = now_ns();
	int ret;

	if (now - listener->renewed_ns < SECOND_NS)
		return 0;
	ret = write_lease(listener, now + LEASE_NS, err);
	if (ret)
		return ret;
	if (now - listener->renewed_ns > LEASE_NS)
		listener->deaf_ns += now - listener->renewed_ns - LEASE_NS;
	listener->renewed_ns = now;
	return 0;
}

static int hear(void *context, void *data, size_t size)
{
	const struct datapath_listener *listener = context;
	const struct nsr_event *event = data;

	if (size < sizeof(*event) || event->time_ns < listener->since_ns)
		return 0;
	return listener->heard(event, listener->argument) ? -ECANCELED : 0;
}

int datapath_listen(const struct datapath *datapath, uint32_t reasons, datapath_heard heard,
		    void *argument, struct datapath_listener **ret, struct error *err)
{
	struct datapath_listener *listener = calloc(1, sizeof(*listener));
	uint64_t before[NSR_DROP_SLOTS];
	int result;

	if (!listener)
		return error_set(err, -ENOMEM, "out of memory");
	listener->datapath = datapath;
	listener->reasons = reasons;
	listener->heard = heard;
	listener->argument = argument;
	listener->ring = ring_buffer__new(datapath->maps[MAP_events], hear, listener, NULL);
	if (!listener->ring) {
		result = error_set(err, -errno, "cannot read the datapath's events: %s",
				   strerror(errno));
		free(listener);
		return result;
	}
	listener->since_ns = UINT64_MAX; /* what is there */
	ring_buffer__consume(listener->ring);
	datapath_listen_left_out(listener, before);
	listener->since_ns = listener->renewed_ns = now_ns();
	result = write_lease(listener, listener->renewed_ns + LEASE_NS, err);
	if (result)
		datapath_listen_free(listener);
	else
		*ret = listener;
	return result;
}

int datapath_listen_wait(struct datapath_listener *listener, int timeout_ms, struct error *err)
{
	int ret = renew(listener, err);

	if (ret)
		return ret;
	ret = ring_buffer__poll(listener->ring, timeout_ms);
	if (ret < 0 && ret != -EINTR && ret != -ECANCELED)
		return error_set(err, ret, "cannot read the datapath's events: %s", strerror(-ret));
	return 0;
}

bool datapath_listen_left_out(struct datapath_listener *listener,
			      uint64_t ret_packets[NSR_DROP_SLOTS])
{
	static struct nsr_event_limits limits; /* 8 KiB, of which a part is asked for */
	uint32_t zero = 0;
	bool any = false;

	memset(ret_packets, 0, NSR_DROP_SLOTS * sizeof(*ret_packets));
	if (bpf_map_lookup_elem(listener->datapath->maps[MAP_event_limits], &zero, &limits))
		return false;
	for (size_t i = 0; i < NSR_DROP_SLOTS; i++) {
		ret_packets[i] = limits.left_out[i] - listener->left_out[i];
		listener->left_out[i] = limits.left_out[i];
		any |= ret_packets[i] != 0;
	}
	return any;
}

double datapath_listen_deaf_s(struct datapath_listener *listener)
{
	double seconds = (double)listener->deaf_ns / (double)SECOND_NS;

	listener->deaf_ns = 0;
	return seconds;
}

void datapath_listen_stop(struct datapath_listener *listener)
{
	struct error ignored; /* it ends by itself */

	write_lease(listener, 0, &ignored);
	ring_buffer__consume(listener->ring);
}

void datapath_listen_free(struct datapath_listener *listener)
{
	if (!listener)
		return;
	ring_buffer__free(listener->ring);
	free(listener);
}

uint32_t datapath_port_of(const struct datapath *datapath, const struct ip_address *ip)
{
	enum datapath_map map = ip->family == AF_INET ? MAP_hosts4 : MAP_hosts6;
	struct nsr_endpoint endpoint;

	if (!ip->family || bpf_map_lookup_elem(datapath->maps[map], ip->bytes, &endpoint))
		return 0;
	return endpoint.ifindex;
}
