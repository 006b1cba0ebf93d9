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
 * A lap is one transaction, one write or one batch. The laps' durations go into a histogram whose
 * buckets are 3 % wide. The first lap is a warm-up (neighbours, routes, flow tables).
 *
 * Limits: an error leaves nothing to report, so each ends the process through err(3). Nothing runs
 * for ever: sockets time out, a client has an alarm a few seconds after its due end, a server has
 * its lifetime, and both die with the process that started them.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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
#define TCP_TIMEOUT_US    3000000 /* longer than the first two retransmissions of a SYN */
#define UDP_TIMEOUT_US    100000
#define UDP_UNANSWERED    20 /* time-outs in a row after which the path counts as dead */
#define ALARM_GRACE_S     10
#define SECONDS_MAX       3600
#define STREAM_WRITE_SIZE (128 * 1024)
#define UDP_BATCH         64

/* 32 buckets an octave: values below 32 ns are exact, 59 octaves of a uint64_t follow. */
#define HISTOGRAM_SUBBITS 5
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_SUBBITS + 1) << HISTOGRAM_SUBBITS)

/* Payload of udp_small; 18 bytes make the shortest Ethernet frame over IPv4. */
struct probe {
	uint64_t batch;
	uint16_t index; /* in a probe: position in the batch; in an answer: probes received of it */
	uint8_t padding[8];
} __attribute__((packed));
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
	int socket_type;
	struct sockaddr_storage server;
	socklen_t server_size;
	uint64_t duration_ns;
	uint64_t start_ns; /* 0 until the warm-up lap is over */
	uint64_t lap_ns;   /* end of the last lap */
	uint64_t laps;
	uint64_t units; /* transactions, bytes or packets */
	uint64_t lost;
	uint64_t histogram[HISTOGRAM_BUCKETS];
};

/* One kind of measurement: serve() never returns, drive() returns when the time is up. */
struct test {
	const char *name;
	const char *unit;
	int socket_type;
	void (*serve)(int listener);
	void (*drive)(struct run *run);
};

static uint64_t now_ns(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		err(EXIT_FAILURE, "clock_gettime");
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static size_t histogram_bucket(uint64_t value)
{
	unsigned int octave;

	if (value < 1u << HISTOGRAM_SUBBITS)
		return value;
	octave = 63 - (unsigned int)__builtin_clzll(value) - HISTOGRAM_SUBBITS;
	return ((size_t)octave << HISTOGRAM_SUBBITS) + (value >> octave);
}

/* The smallest value that falls into a bucket. */
static uint64_t histogram_value(size_t bucket)
{
	size_t subbuckets = 1u << HISTOGRAM_SUBBITS;
	size_t octave;

	if (bucket < 2 * subbuckets)
		return bucket;
	octave = (bucket >> HISTOGRAM_SUBBITS) - 1;
	return (uint64_t)(bucket % subbuckets + subbuckets) << octave;
}

static double histogram_quantile_us(const struct run *run, double quantile)
{
	double wanted = quantile * (double)run->laps;
	uint64_t seen = 0;
	size_t bucket;

	for (bucket = 0; bucket < HISTOGRAM_BUCKETS - 1; bucket++) {
		seen += run->histogram[bucket];
		if (seen > 0 && (double)seen >= wanted)
			break;
	}
	return (double)histogram_value(bucket) / 1000;
}

/* Ends a lap that moved so many units; false when the time is up. */
static bool run_lap(struct run *run, uint64_t units)
{
	uint64_t now = now_ns();

	if (run->start_ns == 0) {
		run->start_ns = now;
	} else {
		run->histogram[histogram_bucket(now - run->lap_ns)]++;
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
	int fd = socket_open(run->server.ss_family, run->socket_type);
	struct timeval timeout = {};

	timeout.tv_sec = run->socket_type == SOCK_STREAM ? TCP_TIMEOUT_US / 1000000 : 0;
	timeout.tv_usec = run->socket_type == SOCK_STREAM ? 0 : UDP_TIMEOUT_US;
	socket_option(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	socket_option(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (const struct sockaddr *)&run->server, run->server_size) != 0)
		err(EXIT_FAILURE, "connect");
	return fd;
}

static int listener_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 && errno != ECONNABORTED)
		err(EXIT_FAILURE, "accept");
	return fd;
}

/* tcp_rr */

static void serve_tcp_rr(int listener)
{
	for (;;) {
		int fd = listener_accept(listener);
		char byte;

		if (fd < 0)
			continue;
		while (recv(fd, &byte, 1, 0) == 1 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1)
			;
		close(fd);
	}
}

static void tcp_transaction(int fd)
{
	char byte = 'x';

	if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
		err(EXIT_FAILURE, "send");
	if (recv(fd, &byte, 1, 0) != 1)
		err(EXIT_FAILURE, "no answer");
}

static void drive_tcp_rr(struct run *run)
{
	int fd = client_connect(run);

	do
		tcp_transaction(fd);
	while (run_lap(run, 1));
	close(fd);
}

/* tcp_crr */

static void serve_tcp_crr(int listener)
{
	for (;;) {
		int fd = listener_accept(listener);
		char byte;

		if (fd < 0)
			continue;
		if (recv(fd, &byte, 1, 0) == 1)
			(void)send(fd, &byte, 1, MSG_NOSIGNAL); /* the client notices a failure */
		close(fd);
	}
}

static void drive_tcp_crr(struct run *run)
{
	do {
		int fd = client_connect(run);
		char byte;

		tcp_transaction(fd);
		if (recv(fd, &byte, 1, 0) != 0)
			err(EXIT_FAILURE, "the server did not close");
		close(fd);
	} while (run_lap(run, 1));
}

/* stream */

static void serve_stream(int listener)
{
	static char buffer[STREAM_WRITE_SIZE];

	for (;;) {
		int fd = listener_accept(listener);
		uint64_t total = 0;
		ssize_t size;

		if (fd < 0)
			continue;
		while ((size = recv(fd, buffer, sizeof(buffer), 0)) > 0)
			total += (uint64_t)size;
		(void)send(fd, &total, sizeof(total), MSG_NOSIGNAL); /* the client notices */
		close(fd);
	}
}

static void drive_stream(struct run *run)
{
	static char buffer[STREAM_WRITE_SIZE];
	int fd = client_connect(run);
	uint64_t received;

	run_lap(run, 0); /* the connection is the warm-up */
	do {
		if (send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL) != (ssize_t)sizeof(buffer))
			err(EXIT_FAILURE, "send");
	} while (run_lap(run, 0));
	if (shutdown(fd, SHUT_WR) != 0)
		err(EXIT_FAILURE, "shutdown");
	if (recv(fd, &received, sizeof(received), MSG_WAITALL) != (ssize_t)sizeof(received))
		err(EXIT_FAILURE, "no total from the sink");
	run_lap(run, received);
	close(fd);
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

/* Counts packets as lost after a time-out; a path that never answers ends the run. */
static void run_time_out(struct run *run, unsigned int *unanswered, uint64_t packets)
{
	if (errno != EAGAIN)
		err(EXIT_FAILURE, "no answer");
	if (++*unanswered == UDP_UNANSWERED)
		errx(EXIT_FAILURE, "no answer to %d packets in a row", UDP_UNANSWERED);
	run->lost += packets;
}

static void drive_udp_rr(struct run *run)
{
	int fd = client_connect(run);
	unsigned int unanswered = 0;
	uint8_t sequence = 0, answer;
	bool answered;

	do {
		ssize_t size;

		if (send(fd, &sequence, 1, 0) != 1)
			err(EXIT_FAILURE, "send");
		do /* an answer with another number belongs to a packet already called lost */
			size = recv(fd, &answer, 1, 0);
		while (size == 1 && answer != sequence);
		answered = size == 1;
		if (answered)
			unanswered = 0;
		else
			run_time_out(run, &unanswered, 1);
		sequence++;
	} while (run_lap(run, answered));
	close(fd);
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
			if (messages[i].msg_len != sizeof(probes[i]))
				continue;
			if (probes[i].batch != answer.batch)
				answer.index = 0;
			answer.batch = probes[i].batch;
			answer.index++;
			if (probes[i].index == UDP_BATCH - 1)
				(void)sendto(fd, &answer, sizeof(answer), 0,
					     (struct sockaddr *)&peer,
					     messages[0].msg_hdr.msg_namelen);
		}
	}
}

static void drive_udp_small(struct run *run)
{
	struct mmsghdr messages[UDP_BATCH];
	struct iovec vectors[UDP_BATCH];
	struct probe probes[UDP_BATCH];
	struct probe answer = {};
	unsigned int unanswered = 0;
	int fd = client_connect(run);
	uint64_t batch = now_ns(); /* numbers that no earlier client of this server has used */
	uint16_t received;

	messages_prepare(messages, vectors, probes);
	do {
		ssize_t size;

		batch++;
		for (uint16_t i = 0; i < UDP_BATCH; i++) {
			probes[i].batch = batch;
			probes[i].index = i;
		}
		if (sendmmsg(fd, messages, UDP_BATCH, 0) != UDP_BATCH)
			err(EXIT_FAILURE, "sendmmsg");
		do
			size = recv(fd, &answer, sizeof(answer), 0);
		while (size == (ssize_t)sizeof(answer) && answer.batch != batch);
		received = size == (ssize_t)sizeof(answer) ? answer.index : 0;
		if (received > 0) {
			unanswered = 0;
			run->lost += UDP_BATCH - received;
		} else {
			run_time_out(run, &unanswered, UDP_BATCH);
		}
	} while (run_lap(run, received));
	close(fd);
}

static const struct test tests[] = {
	{"tcp_rr", "transactions", SOCK_STREAM, serve_tcp_rr, drive_tcp_rr},
	{"udp_rr", "transactions", SOCK_DGRAM, serve_udp_rr, drive_udp_rr},
	{"tcp_crr", "transactions", SOCK_STREAM, serve_tcp_crr, drive_tcp_crr},
	{"stream", "bytes", SOCK_STREAM, serve_stream, drive_stream},
	{"udp_small", "packets", SOCK_DGRAM, serve_udp_small, drive_udp_small},
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

	run.socket_type = test->socket_type;
	run.server_size = address_resolve(options, test, &run.server);
	run.duration_ns = (uint64_t)(options->seconds * (double)NS_PER_SECOND);
	alarm((unsigned int)options->seconds + ALARM_GRACE_S);
	test->drive(&run);
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

static void usage(FILE *stream)
{
	fputs("usage: nsperf server|TEST [--address A] [--port P] [--seconds S] [--lifetime S]\n"
	      "              [--cpu N] [--netns NAME]\n"
	      "tests:",
	      stream);
	for (size_t i = 0; i < TESTS_COUNT; i++)
		fprintf(stream, " %s", tests[i].name);
	fputs("\ndefaults: --address 127.0.0.1 --port 7700 --seconds 1 --lifetime 600\n"
	      "--seconds is the client's, --lifetime the server's; server and client take the "
	      "same --port\n",
	      stream);
}

static struct options options_parse(int argc, char *argv[])
{
	static const struct option longs[] = {
		{"address", required_argument, NULL, 'a'},
		{"port", required_argument, NULL, 'p'},
		{"seconds", required_argument, NULL, 's'},
		{"lifetime", required_argument, NULL, 'l'},
		{"cpu", required_argument, NULL, 'c'},
		{"netns", required_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},
		{},
	};
	struct options options = {
		.address = "127.0.0.1", .port = 7700, .seconds = 1, .lifetime_s = 600, .cpu = -1};
	int letter;

	while ((letter = getopt_long(argc, argv, "a:p:s:l:c:n:h", longs, NULL)) != -1) {
		if (letter == 'a')
			options.address = optarg;
		else if (letter == 'p')
			options.port = (uint16_t)number(optarg, 1, 65536 - (double)TESTS_COUNT);
		else if (letter == 's')
			options.seconds = number(optarg, 0.01, SECONDS_MAX);
		else if (letter == 'l')
			options.lifetime_s = (unsigned int)number(optarg, 1, SECONDS_MAX);
		else if (letter == 'c')
			options.cpu = (int)number(optarg, 0, CPU_SETSIZE - 1);
		else if (letter == 'n')
			options.netns = optarg;
		else {
			usage(letter == 'h' ? stdout : stderr);
			exit(letter == 'h' ? EXIT_SUCCESS : EXIT_FAILURE);
		}
	}
	return options;
}

int main(int argc, char *argv[])
{
	pid_t parent = getppid();
	struct options options = options_parse(argc, argv);

	if (optind != argc - 1) {
		usage(stderr);
		return EXIT_FAILURE;
	}
	die_with_parent(parent);
	if (options.netns)
		enter_netns(options.netns);
	if (options.cpu >= 0)
		pin_to_cpu(options.cpu);
	if (strcmp(argv[optind], "server") == 0)
		return server_main(&options);
	for (size_t i = 0; i < TESTS_COUNT; i++) {
		if (strcmp(argv[optind], tests[i].name) == 0)
			return client_main(&options, &tests[i]);
	}
	usage(stderr);
	return EXIT_FAILURE;
}
