/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the parent opens the listening socket in the server's namespace and forks the
 * process that serves it, so a server listens before anybody may come. A client is a process too,
 * which writes its sample into shared memory. Both block in plain system calls, with no event loop,
 * because whatever the tool itself costs moves every ratio of paths towards 1.
 *
 * A lap is one transaction, one write or one batch. The first lap is a warm-up: neighbours, routes,
 * flow tables.
 *
 * Limits: in a child an error leaves nothing to measure, so it is told in the sample and ends the
 * process. Nothing runs for ever: sockets time out, a client has an alarm a few seconds after its
 * due end, and both die with the process that started them.
 */
#include "bench_traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "netns.h"

#define NS_PER_SECOND     1000000000ull
#define PORT_FIRST        7700
#define TCP_TIMEOUT_S     3 /* a SYN is repeated after 1 s */
#define UDP_TIMEOUT_US    100000
#define UDP_SILENT        20 /* time-outs in a row after which the path counts as dead */
#define ALARM_GRACE_S     10
#define STREAM_WRITE_SIZE (128 * 1024)
#define UDP_BATCH         64

static const char congestion_control[] = "cubic";

/* Payload of udp_small; 18 bytes make the shortest Ethernet frame over IPv4. */
struct probe {
	uint8_t sequence; /* of the batch */
	uint8_t index;    /* in a probe: position in the batch; in an answer: probes received */
	uint8_t padding[16];
};
_Static_assert(sizeof(struct probe) == 18, "fills the shortest Ethernet frame");

/* One client's measurement. */
struct run {
	const struct traffic *traffic;
	struct bench_sample *sample;
	struct sockaddr_in server;
	int fd;
	unsigned int silent; /* time-outs in a row */
	uint8_t sequence;    /* number of the UDP packet or batch that waits for its answer */
	uint64_t duration_ns;
	uint64_t start_ns; /* 0 until the warm-up lap is over */
	uint64_t lap_ns;   /* end of the last lap */
};

/* One kind of traffic. */
struct traffic {
	int socket_type;
	void (*serve)(int listener);         /* never returns */
	uint64_t (*lap)(struct run *run);    /* returns the units it moved */
	uint64_t (*finish)(struct run *run); /* optional: one more lap when the time is up */
};

/* Ends a client that cannot go on. */
static _Noreturn void give_up(const struct run *run, const char *what)
{
	snprintf(run->sample->failure, sizeof(run->sample->failure), "%s: %s", what,
		 strerror(errno));
	_exit(EXIT_FAILURE);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* Ends a lap that moved so many units; false when the time is up. */
static bool run_lap(struct run *run, uint64_t units)
{
	uint64_t now = now_ns();

	if (run->start_ns == 0) {
		run->start_ns = now;
	} else {
		bench_histogram_add(&run->sample->laps, now - run->lap_ns);
		run->sample->units += units;
	}
	run->lap_ns = now;
	return now - run->start_ns < run->duration_ns;
}

/* ---- Sockets. */

/* A socket as all of them are; -1 and errno. Accepted ones inherit it. */
static int socket_open(int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || type != SOCK_STREAM)
		return fd;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion_control,
		       sizeof(congestion_control) - 1) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int client_connect(const struct run *run)
{
	static const struct timeval tcp_timeout = {.tv_sec = TCP_TIMEOUT_S};
	static const struct timeval udp_timeout = {.tv_usec = UDP_TIMEOUT_US};
	bool tcp = run->traffic->socket_type == SOCK_STREAM;
	const struct timeval *timeout = tcp ? &tcp_timeout : &udp_timeout;
	int fd = socket_open(run->traffic->socket_type);

	if (fd < 0)
		give_up(run, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, sizeof(*timeout)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, timeout, sizeof(*timeout)) != 0)
		give_up(run, "setsockopt");
	if (connect(fd, (const struct sockaddr *)&run->server, sizeof(run->server)) != 0)
		give_up(run, "cannot connect");
	return fd;
}

static int listener_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		_exit(EXIT_FAILURE); /* clients notice */
	return fd;
}

/* ---- tcp_rr and tcp_crr. A failing server closes, and the client reports it. */

static void echo_connections(int listener, uint64_t bytes_each)
{
	for (;;) {
		int fd = listener_accept(listener);
		uint64_t left = bytes_each;
		char byte;

		while (left > 0 && recv(fd, &byte, 1, 0) == 1 &&
		       send(fd, &byte, 1, MSG_NOSIGNAL) == 1)
			left--;
		close(fd);
	}
}

static void serve_tcp_rr(int listener)
{
	echo_connections(listener, UINT64_MAX);
}

static void serve_tcp_crr(int listener)
{
	echo_connections(listener, 1);
}

static void tcp_transaction(const struct run *run)
{
	char byte = 'x';

	if (send(run->fd, &byte, 1, MSG_NOSIGNAL) != 1)
		give_up(run, "cannot send");
	if (recv(run->fd, &byte, 1, 0) != 1)
		give_up(run, "no answer");
}

static uint64_t lap_tcp_rr(struct run *run)
{
	tcp_transaction(run);
	return 1;
}

/* Takes over a fresh connection and leaves the next one. */
static uint64_t lap_tcp_crr(struct run *run)
{
	char byte;

	tcp_transaction(run);
	if (recv(run->fd, &byte, 1, 0) != 0)
		give_up(run, "the server did not close");
	close(run->fd);
	run->fd = client_connect(run);
	return 1;
}

/* ---- stream */

static void serve_stream(int listener)
{
	static char buffer[STREAM_WRITE_SIZE];

	for (;;) {
		int fd = listener_accept(listener);
		uint64_t total = 0;
		ssize_t size;

		while ((size = recv(fd, buffer, sizeof(buffer), 0)) > 0)
			total += (uint64_t)size;
		(void)send(fd, &total, sizeof(total), MSG_NOSIGNAL); /* the client notices */
		close(fd);
	}
}

static uint64_t lap_stream(struct run *run)
{
	static const char buffer[STREAM_WRITE_SIZE];

	if (send(run->fd, buffer, sizeof(buffer), MSG_NOSIGNAL) != (ssize_t)sizeof(buffer))
		give_up(run, "cannot send");
	return 0; /* what arrived is the sink's to say */
}

static uint64_t finish_stream(struct run *run)
{
	uint64_t total;

	if (shutdown(run->fd, SHUT_WR) != 0)
		give_up(run, "shutdown");
	if (recv(run->fd, &total, sizeof(total), MSG_WAITALL) != (ssize_t)sizeof(total))
		give_up(run, "no total from the sink");
	return total;
}

/* ---- udp_rr */

static void serve_udp_rr(int fd)
{
	for (;;) {
		struct sockaddr_storage peer;
		socklen_t size = sizeof(peer);
		uint8_t sequence;

		if (recvfrom(fd, &sequence, 1, 0, (struct sockaddr *)&peer, &size) == 1)
			(void)sendto(fd, &sequence, 1, 0, (struct sockaddr *)&peer, size);
	}
}

/* Waits for the answer with the number just sent; others belong to packets that already count as
 * lost. False after a time-out; a path that never answers ends the run. */
static bool udp_answer(struct run *run, struct probe *ret_answer)
{
	do {
		if (recv(run->fd, ret_answer, sizeof(*ret_answer), 0) < 0) {
			if (errno != EAGAIN || ++run->silent == UDP_SILENT)
				give_up(run, "no answer");
			return false;
		}
	} while (ret_answer->sequence != run->sequence);
	run->silent = 0;
	return true;
}

static uint64_t lap_udp_rr(struct run *run)
{
	struct probe answer;
	bool answered;

	run->sequence++;
	if (send(run->fd, &run->sequence, 1, 0) != 1)
		give_up(run, "cannot send");
	answered = udp_answer(run, &answer);
	run->sample->lost += !answered;
	return answered;
}

/* ---- udp_small */

static void messages_prepare(struct mmsghdr *messages, struct iovec *vectors, struct probe *probes)
{
	memset(messages, 0, UDP_BATCH * sizeof(*messages));
	memset(probes, 0, UDP_BATCH * sizeof(*probes));
	for (size_t i = 0; i < UDP_BATCH; i++) {
		vectors[i].iov_base = &probes[i];
		vectors[i].iov_len = sizeof(probes[i]);
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static void serve_udp_small(int fd)
{
	struct mmsghdr messages[UDP_BATCH];
	struct iovec vectors[UDP_BATCH];
	struct probe probes[UDP_BATCH];
	struct probe answer = {};
	struct sockaddr_storage peer;

	messages_prepare(messages, vectors, probes);
	for (;;) {
		int count;

		messages[0].msg_hdr.msg_name = &peer; /* one client: any message's sender will do */
		messages[0].msg_hdr.msg_namelen = sizeof(peer);
		count = recvmmsg(fd, messages, UDP_BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < count; i++) {
			if (probes[i].sequence != answer.sequence || probes[i].index == 0)
				answer.index = 0;
			answer.sequence = probes[i].sequence;
			answer.index++;
			if (probes[i].index == UDP_BATCH - 1)
				(void)sendto(fd, &answer, sizeof(answer), 0,
					     (struct sockaddr *)&peer,
					     messages[0].msg_hdr.msg_namelen);
		}
	}
}

static uint64_t lap_udp_small(struct run *run)
{
	struct mmsghdr messages[UDP_BATCH];
	struct iovec vectors[UDP_BATCH];
	struct probe probes[UDP_BATCH];
	struct probe answer;
	uint64_t received;

	run->sequence++;
	messages_prepare(messages, vectors, probes);
	for (uint8_t i = 0; i < UDP_BATCH; i++) {
		probes[i].sequence = run->sequence;
		probes[i].index = i;
	}
	if (sendmmsg(run->fd, messages, UDP_BATCH, 0) != UDP_BATCH)
		give_up(run, "cannot send");
	received = udp_answer(run, &answer) ? answer.index : 0;
	run->sample->lost += UDP_BATCH - received;
	return received;
}

/* The tests of the generator have none. */
static const struct traffic traffics[BENCH_TESTS] = {
	[BENCH_TCP_RR] = {SOCK_STREAM, serve_tcp_rr, lap_tcp_rr, NULL},
	[BENCH_UDP_RR] = {SOCK_DGRAM, serve_udp_rr, lap_udp_rr, NULL},
	[BENCH_TCP_CRR] = {SOCK_STREAM, serve_tcp_crr, lap_tcp_crr, NULL},
	[BENCH_STREAM] = {SOCK_STREAM, serve_stream, lap_stream, finish_stream},
	[BENCH_UDP_SMALL] = {SOCK_DGRAM, serve_udp_small, lap_udp_small, NULL},
};

/* ---- The two sides. */

static struct sockaddr_in address_of(const struct bench_place *place, enum bench_test test)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)(PORT_FIRST + (int)test))};

	inet_pton(AF_INET, place->server_address, &address.sin_addr);
	return address;
}

/* In the namespace of the calling thread; -1 and errno. */
static int listener_open(const struct bench_place *place, enum bench_test test)
{
	struct sockaddr_in address = address_of(place, test);
	int fd = socket_open(traffics[test].socket_type);
	int on = 1, code;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
	    (traffics[test].socket_type != SOCK_STREAM || listen(fd, SOMAXCONN) == 0))
		return fd;
	code = errno;
	close(fd);
	errno = code;
	return -1;
}

static int listener_open_in(const struct bench_place *place, enum bench_test test, int *ret_fd,
			    struct error *err)
{
	int netns, previous, fd;

	if (netns_open(place->server, &netns, err) != 0)
		return err->code;
	if (netns_enter(netns, &previous, err) != 0) {
		close(netns);
		return err->code;
	}
	fd = listener_open(place, test);
	netns_leave(previous); /* keeps errno */
	if (fd < 0)
		error_set(err, -errno, "%s: cannot listen at %s for %s: %s",
			  bench_paths[place->path].name, place->server_address,
			  bench_tests[test].name, strerror(errno));
	close(netns);
	if (fd < 0)
		return err->code;
	*ret_fd = fd;
	return 0;
}

int bench_server_start(const struct bench_place *place, enum bench_test test, int cpu,
		       pid_t *ret_pid, struct error *err)
{
	pid_t pid;
	int fd = -1;

	if (listener_open_in(place, test, &fd, err) != 0)
		return err->code;
	if (bench_fork(place->server, cpu, &pid, err) == 0) {
		if (pid == 0)
			traffics[test].serve(fd);
		*ret_pid = pid;
	} else {
		pid = -1;
	}
	close(fd);
	return pid < 0 ? err->code : 0;
}

static _Noreturn void client_main(struct run *run)
{
	struct bench_sample *sample = run->sample;

	alarm((unsigned int)(run->duration_ns / NS_PER_SECOND) + ALARM_GRACE_S);
	run->fd = client_connect(run);
	while (run_lap(run, run->traffic->lap(run)))
		;
	if (run->traffic->finish)
		run_lap(run, run->traffic->finish(run));
	sample->seconds = (double)(run->lap_ns - run->start_ns) / (double)NS_PER_SECOND;
	_exit(EXIT_SUCCESS);
}

int bench_client_run(const struct bench_world *world, const struct bench_place *place,
		     enum bench_test test, double seconds, int cpu, struct bench_sample *shared,
		     struct error *err)
{
	struct run run = {.traffic = &traffics[test],
			  .sample = shared,
			  .server = address_of(place, test),
			  .duration_ns = (uint64_t)(seconds * (double)NS_PER_SECOND)};
	int status;
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	if (bench_fork(place->client, cpu, &pid, err) != 0)
		return err->code;
	if (pid == 0)
		client_main(&run);
	if (bench_wait(world, pid, &status, err) != 0)
		return err->code;
	if (status != 0 && !*shared->failure)
		snprintf(shared->failure, sizeof(shared->failure),
			 "the client ended with status %d", status);
	return 0;
}
