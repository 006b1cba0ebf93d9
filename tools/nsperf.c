// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * nsperf - request/response and bulk traffic between two network namespaces.
 *
 * How it works: "nsperf server" opens one listening socket a test, on consecutive ports, and forks
 * one child for each, which serves one client at a time. "nsperf TEST" is the client of one test:
 * it runs for a given time and prints one JSON object. Both sides block in plain system calls, with
 * no event loop, because whatever the tool itself costs moves every ratio of paths towards 1.
 *
 * tcp_rr, udp_rr  one byte there and back on one connection, again and again
 * tcp_crr         connect, one byte there and back, close; the server closes first, so TIME_WAIT
 *                 stays on its side and the client does not run out of ports
 * stream          bulk TCP; the figure is what the sink says it received, not what was written
 * udp_small       frames of the smallest size, UDP_BATCH in one sendmmsg(). The sink acknowledges
 *                 each batch, and the next one waits for that: on one CPU a sender without
 *                 feedback measures only how much of its flood the receive queue throws away.
 *
 * A lap is one transaction, one write or one batch. The first lap is a warm-up: neighbours, routes,
 * flow tables.
 *
 * Limits: an error leaves nothing to report, so each ends the process through err(3). Nothing runs
 * for ever: sockets time out, a client has an alarm a few seconds after its due end, a server has
 * its lifetime, and both die with the process that started them.
 */
#include <assert.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NETNS_DIRECTORY "/run/netns"

#define NS_PER_SECOND     1000000000ull
#define TCP_TIMEOUT_S     3 /* a SYN is repeated after 1 s */
#define UDP_TIMEOUT_US    100000
#define UDP_SILENT        20 /* time-outs in a row after which the path counts as dead */
#define ALARM_GRACE_S     10
#define SECONDS_MAX       3600
#define STREAM_WRITE_SIZE (128 * 1024)
#define UDP_BATCH         64

#define HISTOGRAM_STEP_NS 10
#define HISTOGRAM_BUCKETS 1000000 /* up to 10 ms; the last one takes all that is longer */

/* Payload of udp_small; 18 bytes make the shortest Ethernet frame over IPv4. */
struct probe {
	uint8_t sequence; /* of the batch */
	uint8_t index;    /* in a probe: position in the batch; in an answer: probes received */
	uint8_t padding[16];
};
_Static_assert(sizeof(struct probe) == 18, "fills the shortest Ethernet frame");

struct options {
	const char *address;
	uint16_t port; /* of the first test; the others follow in the order of the table */
	double seconds;
	unsigned int lifetime_s;
	int cpu; /* -1: not pinned */
	const char *netns;
};

/* One client's measurement. */
struct run {
	const struct test *test;
	struct sockaddr_storage server;
	socklen_t server_size;
	int fd;
	unsigned int silent; /* time-outs in a row */
	uint8_t sequence;    /* number of the UDP packet or batch that waits for its answer */
	uint64_t duration_ns;
	uint64_t start_ns; /* 0 until the warm-up lap is over */
	uint64_t lap_ns;   /* end of the last lap */
	uint64_t laps;
	uint64_t units; /* transactions, bytes or packets */
	uint64_t lost;
	uint32_t histogram[HISTOGRAM_BUCKETS]; /* durations of laps */
};

/* One kind of measurement. */
struct test {
	const char *name;
	const char *unit;
	int socket_type;
	void (*serve)(int listener);         /* never returns */
	uint64_t (*lap)(struct run *run);    /* returns the units it moved */
	uint64_t (*finish)(struct run *run); /* optional: one more lap when the time is up */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		err(EXIT_FAILURE, "clock_gettime");
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static double histogram_quantile_us(const struct run *run, double quantile)
{
	double left = quantile * (double)run->laps;
	size_t bucket = 0;

	while (bucket < HISTOGRAM_BUCKETS - 1 && (left -= run->histogram[bucket]) > 0)
		bucket++;
	return (double)(bucket * HISTOGRAM_STEP_NS) / 1000;
}

/* Ends a lap that moved so many units; false when the time is up. */
static bool run_lap(struct run *run, uint64_t units)
{
	uint64_t now = now_ns();

	if (run->start_ns == 0) {
		run->start_ns = now;
	} else {
		uint64_t bucket = (now - run->lap_ns) / HISTOGRAM_STEP_NS;

		run->histogram[bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1]++;
		run->laps++;
		run->units += units;
	}
	run->lap_ns = now;
	return now - run->start_ns < run->duration_ns;
}

/* Sockets */

static void socket_option(int fd, int level, int name, const void *value, size_t size)
{
	if (setsockopt(fd, level, name, value, (socklen_t)size) != 0)
		err(EXIT_FAILURE, "setsockopt %d/%d", level, name);
}

static int socket_open(int family, int type)
{
	static const char congestion_control[] = "cubic";
	int fd = socket(family, type | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		err(EXIT_FAILURE, "socket");
	if (type == SOCK_STREAM) { /* accepted sockets inherit both */
		socket_option(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		socket_option(fd, IPPROTO_TCP, TCP_CONGESTION, congestion_control,
			      strlen(congestion_control));
	}
	return fd;
}

static int client_connect(const struct run *run)
{
	static const struct timeval tcp_timeout = {.tv_sec = TCP_TIMEOUT_S};
	static const struct timeval udp_timeout = {.tv_usec = UDP_TIMEOUT_US};
	bool tcp = run->test->socket_type == SOCK_STREAM;
	const struct timeval *timeout = tcp ? &tcp_timeout : &udp_timeout;
	int fd = socket_open(run->server.ss_family, run->test->socket_type);

	socket_option(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, sizeof(*timeout));
	socket_option(fd, SOL_SOCKET, SO_SNDTIMEO, timeout, sizeof(*timeout));
	if (connect(fd, (const struct sockaddr *)&run->server, run->server_size) != 0)
		err(EXIT_FAILURE, "connect");
	return fd;
}

static int listener_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		err(EXIT_FAILURE, "accept");
	return fd;
}

/* tcp_rr and tcp_crr. A failing server closes, and the client reports it. */

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

static void tcp_transaction(int fd)
{
	char byte = 'x';

	if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
		err(EXIT_FAILURE, "send");
	if (recv(fd, &byte, 1, 0) != 1)
		err(EXIT_FAILURE, "no answer");
}

static uint64_t lap_tcp_rr(struct run *run)
{
	tcp_transaction(run->fd);
	return 1;
}

/* Takes over a fresh connection and leaves the next one. */
static uint64_t lap_tcp_crr(struct run *run)
{
	char byte;

	tcp_transaction(run->fd);
	if (recv(run->fd, &byte, 1, 0) != 0)
		err(EXIT_FAILURE, "the server did not close");
	close(run->fd);
	run->fd = client_connect(run);
	return 1;
}

/* stream */

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
		err(EXIT_FAILURE, "send");
	return 0; /* what arrived is the sink's to say */
}

static uint64_t finish_stream(struct run *run)
{
	uint64_t total;

	if (shutdown(run->fd, SHUT_WR) != 0)
		err(EXIT_FAILURE, "shutdown");
	if (recv(run->fd, &total, sizeof(total), MSG_WAITALL) != (ssize_t)sizeof(total))
		err(EXIT_FAILURE, "no total from the sink");
	return total;
}

/* udp_rr */

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
			if (errno != EAGAIN)
				err(EXIT_FAILURE, "no answer");
			if (++run->silent == UDP_SILENT)
				errx(EXIT_FAILURE, "no answer %d times in a row", UDP_SILENT);
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
		err(EXIT_FAILURE, "send");
	answered = udp_answer(run, &answer);
	run->lost += !answered;
	return answered;
}

/* udp_small */

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
		err(EXIT_FAILURE, "sendmmsg");
	received = udp_answer(run, &answer) ? answer.index : 0;
	run->lost += UDP_BATCH - received;
	return received;
}

static const struct test tests[] = {
	{"tcp_rr", "transactions", SOCK_STREAM, serve_tcp_rr, lap_tcp_rr, NULL},
	{"udp_rr", "transactions", SOCK_DGRAM, serve_udp_rr, lap_udp_rr, NULL},
	{"tcp_crr", "transactions", SOCK_STREAM, serve_tcp_crr, lap_tcp_crr, NULL},
	{"stream", "bytes", SOCK_STREAM, serve_stream, lap_stream, finish_stream},
	{"udp_small", "packets", SOCK_DGRAM, serve_udp_small, lap_udp_small, NULL},
};
#define TESTS_COUNT (sizeof(tests) / sizeof(tests[0]))

/* The two modes */

static socklen_t address_resolve(const struct options *options, const struct test *test,
				 struct sockaddr_storage *ret_address)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found;
	socklen_t size;
	char port[16];
	int code;

	hints.ai_socktype = test->socket_type;
	snprintf(port, sizeof(port), "%u", (unsigned int)(options->port + (test - tests)));
	code = getaddrinfo(options->address, port, &hints, &found);
	if (code != 0)
		errx(EXIT_FAILURE, "address %s: %s", options->address, gai_strerror(code));
	size = found->ai_addrlen;
	assert(size <= sizeof(*ret_address));
	memcpy(ret_address, found->ai_addr, size);
	freeaddrinfo(found);
	return size;
}

/* Children get SIGKILL when their parent dies, also when it died before this call. */
static void die_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		err(EXIT_FAILURE, "prctl");
	if (getppid() != parent)
		errx(EXIT_FAILURE, "the parent is gone");
}

static void server_fork(const struct options *options, const struct test *test)
{
	struct sockaddr_storage address;
	socklen_t size = address_resolve(options, test, &address);
	int fd = socket_open(address.ss_family, test->socket_type);
	pid_t parent = getpid(), child;
	int on = 1;

	socket_option(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&address, size) != 0)
		err(EXIT_FAILURE, "bind to %s for %s", options->address, test->name);
	if (test->socket_type == SOCK_STREAM && listen(fd, SOMAXCONN) != 0)
		err(EXIT_FAILURE, "listen for %s", test->name);
	child = fork();
	if (child < 0)
		err(EXIT_FAILURE, "fork");
	if (child == 0) {
		die_with_parent(parent);
		test->serve(fd);
	}
	close(fd);
}

/* Prints "ready" once clients may come; returns only when a child has failed. */
static int server_main(const struct options *options)
{
	alarm(options->lifetime_s);
	for (size_t i = 0; i < TESTS_COUNT; i++)
		server_fork(options, &tests[i]);
	puts("ready");
	fflush(stdout);
	wait(NULL);
	return EXIT_FAILURE;
}

static int client_main(const struct options *options, const struct test *test)
{
	static struct run run;
	double seconds;

	run.test = test;
	run.server_size = address_resolve(options, test, &run.server);
	run.duration_ns = (uint64_t)(options->seconds * (double)NS_PER_SECOND);
	alarm((unsigned int)options->seconds + ALARM_GRACE_S);
	run.fd = client_connect(&run);
	while (run_lap(&run, test->lap(&run)))
		;
	if (test->finish)
		run_lap(&run, test->finish(&run));
	seconds = (double)(run.lap_ns - run.start_ns) / (double)NS_PER_SECOND;
	printf("{\"test\": \"%s\", \"unit\": \"%s\", \"transactions\": %llu, \"lost\": %llu, "
	       "\"seconds\": %.6f, \"rate\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n",
	       test->name, test->unit, (unsigned long long)run.units, (unsigned long long)run.lost,
	       seconds, (double)run.units / seconds, histogram_quantile_us(&run, 0.5),
	       histogram_quantile_us(&run, 0.99));
	return EXIT_SUCCESS;
}

/* The command line */

static double number(const char *text, double min, double max)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (errno != 0 || end == text || *end != '\0' || !(value >= min && value <= max))
		errx(EXIT_FAILURE, "'%s' is not a number from %g to %g", text, min, max);
	return value;
}

static void pin_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		err(EXIT_FAILURE, "cannot run on CPU %d", cpu);
}

static void enter_netns(const char *name)
{
	char path[256];
	int fd;

	if (snprintf(path, sizeof(path), NETNS_DIRECTORY "/%s", name) >= (int)sizeof(path))
		errx(EXIT_FAILURE, "namespace name too long: %s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		err(EXIT_FAILURE, "network namespace %s", name);
	close(fd);
}

static _Noreturn void usage(void)
{
	fputs("usage: nsperf server|TEST [--address A] [--port P] [--seconds S] [--lifetime S]\n"
	      "              [--cpu N] [--netns NAME]\n"
	      "--seconds is the client's, --lifetime the server's; both take the same --port\n"
	      "tests:",
	      stderr);
	for (size_t i = 0; i < TESTS_COUNT; i++)
		fprintf(stderr, " %s", tests[i].name);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

static void option_set(struct options *options, const char *name, const char *value)
{
	if (strcmp(name, "--address") == 0)
		options->address = value;
	else if (strcmp(name, "--port") == 0)
		options->port = (uint16_t)number(value, 1, 65536 - (double)TESTS_COUNT);
	else if (strcmp(name, "--seconds") == 0)
		options->seconds = number(value, 0.01, SECONDS_MAX);
	else if (strcmp(name, "--lifetime") == 0)
		options->lifetime_s = (unsigned int)number(value, 1, SECONDS_MAX);
	else if (strcmp(name, "--cpu") == 0)
		options->cpu = (int)number(value, 0, CPU_SETSIZE - 1);
	else if (strcmp(name, "--netns") == 0)
		options->netns = value;
	else
		usage();
}

int main(int argc, char *argv[])
{
	struct options options = {
		.address = "127.0.0.1", .port = 7700, .seconds = 1, .lifetime_s = 600, .cpu = -1};
	pid_t parent = getppid();

	if (argc % 2 != 0) /* the program, the mode, and pairs of option and value */
		usage();
	for (int i = 2; i < argc; i += 2)
		option_set(&options, argv[i], argv[i + 1]);
	die_with_parent(parent);
	if (options.netns)
		enter_netns(options.netns);
	if (options.cpu >= 0)
		pin_to_cpu(options.cpu);
	if (strcmp(argv[1], "server") == 0)
		return server_main(&options);
	for (size_t i = 0; i < TESTS_COUNT; i++) {
		if (strcmp(argv[1], tests[i].name) == 0)
			return client_main(&options, &tests[i]);
	}
	usage();
}
