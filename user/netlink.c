/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works
 *
 * The batch is one growing buffer of netlink messages, back to back, and a table with a row for
 * each: where it starts, the words for its failure, what became of it. Request N of a batch has the
 * sequence number base + N, which is how an answer finds its row.
 *
 * rtnetlink works in the context of the sender: when sendto() returns, every request in it has been
 * tried and every answer is in the socket's receive queue. So a flush sends a chunk, then reads
 * without waiting until all of the chunk is answered; an empty queue before that means that answers
 * were lost (ENOBUFS), and waiting for them would be for ever. Chunks are bounded so that the
 * answers fit: each takes a socket buffer of its own, of which the kernel counts the real size.
 *
 * A dump is collected whole before anybody sees it, because one that was disturbed by a change
 * (NLM_F_DUMP_INTR) has to be thrown away and asked for again. Not every dump is marked: that of
 * IPv6 routes begins at the root when the tree has changed, and skips as many nodes as it has told
 * (fib6_dump_table(), net/ipv6/ip6_fib.c), so that routes are left out or told twice. Such a dump
 * is taken as a member of the group that hears of the changes. The kernel sends these within the
 * lock that the dump takes for each piece, so what disturbed it is in the queue before its end.
 *
 * libmnl's ready-made callbacks drop the extended acknowledgement, so the messages are walked here.
 */
#include "netlink.h"

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "netns.h"

#define CHUNK_BYTES   65536 /* of one sendto(): below the default send buffer, 208 KiB */
#define RECEIVE_BYTES (4 * 1024 * 1024) /* receive buffer asked for; the kernel doubles it */
#define ACK_ROOM      2048              /* what an acknowledgement takes of it, rounded up */
#define ANSWER_ROOM   16384             /* what an answer with data takes */
#define MESSAGE_MAX   65536             /* a read of a dump is at most 32 KiB (af_netlink.c) */
#define DUMP_TRIES    100
#define WATCH_MS      1000 /* for so long an undisturbed dump is tried for, where changes never end */
#define STRING_MAX    300 /* longer than IFALIASZ, 256, the longest string there is */
#define TOLERATED_MAX 3

struct request {
	size_t offset; /* in netlink.buffer */
	int result;
	bool answered;
	int tolerated[TOLERATED_MAX];
	char text[NETLINK_TEXT_MAX];
};

struct netlink {
	struct mnl_socket *socket;
	size_t receive_room; /* bytes that the receive queue may hold */
	uint32_t sequence;   /* of the first request of the batch */
	char *buffer;
	size_t used, room;
	struct request *requests;
	size_t count, requests_room;
	bool out_of_memory;
	int group; /* whose messages disturb dumps (netlink_watch()), or 0 */
	_Alignas(struct nlmsghdr) char spare[NETLINK_REQUEST_MAX]; /* for builders when it is set */
};

struct flush {
	struct netlink *nl;
	netlink_callback callback;
	void *context;
	struct error *err;
	int code; /* first failure */
};

struct dump {
	char *buffer;
	size_t used, room;
	bool done, disturbed;
	bool changed; /* a message of the watched group came meanwhile */
};

/* ---- Socket. */

static int set_options(struct netlink *nl)
{
	static const int options[] = {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK};
	int fd = mnl_socket_get_fd(nl->socket), bytes = RECEIVE_BYTES, on = 1;
	socklen_t size = sizeof(bytes);

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (mnl_socket_setsockopt(nl->socket, options[i], &on, sizeof(on)))
			return -errno;
	/* Whoever may not force it gets what net.core.rmem_max allows, and smaller chunks. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)))
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &size))
		return -errno;
	nl->receive_room = (size_t)bytes;
	return 0;
}

static int open_here(struct netlink *nl)
{
	nl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl->socket || mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	return set_options(nl);
}

int netlink_open(struct netlink **ret, int netns_fd, struct error *err)
{
	struct netlink *nl;
	int previous, code;

	code = netns_enter(netns_fd, &previous, err);
	if (code)
		return code;
	nl = calloc(1, sizeof(*nl));
	code = nl ? open_here(nl) : -ENOMEM;
	netns_leave(previous);
	if (code) {
		netlink_close(nl);
		return error_set(err, code, "cannot open a netlink socket: %s", strerror(-code));
	}
	*ret = nl;
	return 0;
}

int netlink_cookie(const struct netlink *nl, uint64_t *ret_cookie, struct error *err)
{
	socklen_t size = sizeof(*ret_cookie);
	uint64_t cookie;

	if (getsockopt(mnl_socket_get_fd(nl->socket), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size))
		return error_set(err, -errno, "cannot read the cookie of a namespace: %s",
				 strerror(errno));
	*ret_cookie = cookie;
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (!nl)
		return;
	if (nl->socket)
		mnl_socket_close(nl->socket);
	free(nl->buffer);
	free(nl->requests);
	free(nl);
}

/* Length of the packet, 0 when the queue is empty and waiting was not asked for, or a negative
 * errno. A message that is longer than the room would be cut, which is an error. */
static ssize_t receive(struct netlink *nl, char *buffer, size_t room, int flags)
{
	ssize_t length;

	do
		length = recv(mnl_socket_get_fd(nl->socket), buffer, room, flags | MSG_TRUNC);
	while (length < 0 && errno == EINTR);
	if (length < 0)
		return errno == EAGAIN ? 0 : -errno;
	return (size_t)length > room ? -EMSGSIZE : length;
}

static int send_all(struct netlink *nl, const void *data, size_t size)
{
	ssize_t sent;

	do
		sent = mnl_socket_sendto(nl->socket, data, size);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

static int find_words(const struct nlattr *attribute, void *ret_words)
{
	if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
	    mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
		*(const char **)ret_words = mnl_attr_get_str(attribute);
	return MNL_CB_OK;
}

/* The code of a message of type NLMSG_ERROR or NLMSG_DONE, and the kernel's words with it or "". */
static int read_verdict(const struct nlmsghdr *message, const char **ret_words)
{
	const struct nlmsgerr *verdict = mnl_nlmsg_get_payload(message);
	size_t skip = message->nlmsg_type == NLMSG_ERROR ? sizeof(*verdict) : sizeof(int);
	int code;

	*ret_words = "";
	if (mnl_nlmsg_get_payload_len(message) < skip)
		return message->nlmsg_type == NLMSG_ERROR ? -EBADMSG : 0;
	memcpy(&code, verdict, sizeof(code)); /* both payloads start with it */
	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
		return code;
	if (message->nlmsg_type == NLMSG_ERROR && !(message->nlmsg_flags & NLM_F_CAPPED))
		skip += verdict->msg.nlmsg_len - MNL_NLMSG_HDRLEN;
	if (skip <= mnl_nlmsg_get_payload_len(message))
		mnl_attr_parse(message, (unsigned int)skip, find_words, ret_words);
	return code;
}

static int refuse(struct error *err, int code, const char *text, const char *words)
{
	error_set(err, code, "cannot %s: %s", text, strerror(-code));
	snprintf(err->kernel, sizeof(err->kernel), "%s", words);
	return code;
}

/* ---- Queueing. */

/* The builder of the last request is done with it when anything else is called. */
static void finish_last(struct netlink *nl)
{
	if (nl->count) {
		size_t offset = nl->requests[nl->count - 1].offset;
		const struct nlmsghdr *last = (const void *)(nl->buffer + offset);

		nl->used = offset + MNL_ALIGN(last->nlmsg_len);
	}
}

static bool grow(void **array, size_t *room, size_t needed, size_t size)
{
	size_t bigger = *room ? *room : 64;
	void *moved;

	while (bigger < needed)
		bigger *= 2;
	if (bigger == *room)
		return true;
	moved = realloc(*array, bigger * size);
	if (!moved)
		return false;
	*array = moved;
	*room = bigger;
	return true;
}

static struct request *add_request(struct netlink *nl)
{
	struct request *request;
	void *buffer = nl->buffer, *requests = nl->requests;

	finish_last(nl);
	if (!grow(&requests, &nl->requests_room, nl->count + 1, sizeof(*request)))
		return NULL;
	nl->requests = requests;
	if (!grow(&buffer, &nl->room, nl->used + NETLINK_REQUEST_MAX, 1))
		return NULL;
	nl->buffer = buffer;
	request = &nl->requests[nl->count++];
	*request = (struct request){.offset = nl->used};
	return request;
}

struct nlmsghdr *netlink_queue(struct netlink *nl, uint16_t type, uint16_t flags,
			       size_t header_size, const char *format, ...)
{
	struct request *request = nl->out_of_memory ? NULL : add_request(nl);
	struct nlmsghdr *message;
	va_list args;

	if (request) {
		va_start(args, format);
		vsnprintf(request->text, sizeof(request->text), format, args);
		va_end(args);
	} else {
		nl->out_of_memory = true;
	}
	message = mnl_nlmsg_put_header(request ? nl->buffer + request->offset : nl->spare);
	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	message->nlmsg_seq = nl->sequence + (uint32_t)nl->count - 1;
	mnl_nlmsg_put_extra_header(message, header_size);
	return message;
}

void netlink_put_string(struct nlmsghdr *message, uint16_t type, const char *string)
{
	mnl_attr_put(message, type, strnlen(string, STRING_MAX), string);
}

size_t netlink_pending(const struct netlink *nl)
{
	return nl->count;
}

void netlink_tolerate(struct netlink *nl, int code)
{
	struct request *last;
	size_t i = 0;

	if (nl->out_of_memory)
		return;
	assert(nl->count && code < 0);
	last = &nl->requests[nl->count - 1];
	while (i < TOLERATED_MAX && last->tolerated[i])
		i++;
	assert(i < TOLERATED_MAX);
	last->tolerated[i] = code;
}

/* ---- Flushing. */

static bool is_tolerated(const struct request *request, int code)
{
	for (size_t i = 0; i < TOLERATED_MAX; i++)
		if (request->tolerated[i] == code)
			return true;
	return false;
}

static void settle(struct flush *flush, size_t index, int code, const char *words)
{
	struct request *request = &flush->nl->requests[index];

	request->answered = true;
	request->result = code;
	if (code && !flush->code && !is_tolerated(request, code))
		flush->code = refuse(flush->err, code, request->text, words);
}

/* Returns how many requests of first..end-1 the message settles. What belongs to none of them is
 * an answer to an earlier batch that failed in the middle. */
static size_t take_answer(struct flush *flush, const struct nlmsghdr *message, size_t first,
			  size_t end)
{
	size_t index = message->nlmsg_seq - flush->nl->sequence;
	const char *words;
	int code;

	if (index < first || index >= end || flush->nl->requests[index].answered)
		return 0;
	if (message->nlmsg_type == NLMSG_ERROR) {
		code = read_verdict(message, &words);
		settle(flush, index, code, words);
		return 1;
	}
	if (message->nlmsg_type >= NLMSG_MIN_TYPE && flush->callback && !flush->code)
		flush->code = flush->callback(message, index, flush->context);
	return 0;
}

/* Sends the requests first..end-1 and settles each of them. */
static void exchange(struct flush *flush, size_t first, size_t end)
{
	struct netlink *nl = flush->nl;
	size_t from = nl->requests[first].offset;
	size_t to = end < nl->count ? nl->requests[end].offset : nl->used;
	_Alignas(struct nlmsghdr) char answer[ANSWER_ROOM];
	ssize_t length = send_all(nl, nl->buffer + from, to - from);
	size_t missing = end - first;

	while (missing && length >= 0) {
		length = receive(nl, answer, sizeof(answer), MSG_DONTWAIT);
		int left = (int)length;

		for (const struct nlmsghdr *message = (const void *)answer;
		     left > 0 && mnl_nlmsg_ok(message, left);
		     message = mnl_nlmsg_next(message, &left))
			missing -= take_answer(flush, message, first, end);
		if (length == -ENOBUFS)
			length = 1; /* some answers were lost; what follows them is still there */
		else if (length == 0)
			length = -ENOBUFS;
	}
	for (size_t i = first; i < end; i++)
		if (!nl->requests[i].answered)
			settle(flush, i, (int)length, "");
}

/* Where the chunk that starts with request first ends. */
static size_t chunk_end(const struct netlink *nl, size_t first, size_t requests_max)
{
	size_t end = first + 1;

	while (end < nl->count && end - first < requests_max &&
	       nl->requests[end].offset - nl->requests[first].offset <
		       CHUNK_BYTES - NETLINK_REQUEST_MAX)
		end++;
	return end;
}

int netlink_flush_answers(struct netlink *nl, int *results, netlink_callback callback,
			  void *context, struct error *err)
{
	struct flush flush = {nl, callback, context, err, 0};
	size_t requests_max = nl->receive_room / (callback ? ANSWER_ROOM + ACK_ROOM : ACK_ROOM);

	finish_last(nl);
	if (nl->out_of_memory)
		flush.code = error_set(err, -ENOMEM, "cannot queue %zu requests: %s", nl->count + 1,
				       strerror(ENOMEM));
	for (size_t first = 0, end; first < nl->count && !nl->out_of_memory; first = end) {
		end = chunk_end(nl, first, requests_max);
		exchange(&flush, first, end);
	}
	for (size_t i = 0; results && i < nl->count; i++)
		results[i] = nl->out_of_memory ? -ENOMEM : nl->requests[i].result;
	nl->sequence += (uint32_t)nl->count;
	nl->count = 0;
	nl->used = 0;
	nl->out_of_memory = false;
	return flush.code;
}

int netlink_flush(struct netlink *nl, int *results, struct error *err)
{
	return netlink_flush_answers(nl, results, NULL, NULL, err);
}

/* ---- Dumps. */

int netlink_watch(struct netlink *nl, int group, struct error *err)
{
	if (mnl_socket_setsockopt(nl->socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
		return error_set(err, -errno, "cannot listen to a netlink group: %s",
				 strerror(errno));
	nl->group = group;
	return 0;
}

/* What is left in the queue is nobody's answer. */
static void empty_queue(struct netlink *nl)
{
	char message;

	while (recv(mnl_socket_get_fd(nl->socket), &message, sizeof(message), MSG_DONTWAIT) >= 0 ||
	       errno == ENOBUFS || errno == EINTR)
		;
}

void netlink_unwatch(struct netlink *nl)
{
	mnl_socket_setsockopt(nl->socket, NETLINK_DROP_MEMBERSHIP, &nl->group, sizeof(nl->group));
	nl->group = 0;
	empty_queue(nl);
}

/* Looks for the end of the dump, and for errors, in the packet that was added last. */
static int check_packet(struct dump *dump, const char *packet, int length, uint32_t sequence,
			const char **ret_words)
{
	const struct nlmsghdr *message = (const void *)packet;

	for (; mnl_nlmsg_ok(message, length); message = mnl_nlmsg_next(message, &length)) {
		int code = 0;

		if (message->nlmsg_seq != sequence)
			continue;
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			dump->disturbed = true;
		if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
			dump->done = true;
			code = read_verdict(message, ret_words);
		}
		if (code)
			return code;
	}
	return 0;
}

/* A verdict is; and of what others' requests change is told with their port, of what the kernel
 * changes itself with none. */
static bool is_answer(const struct netlink *nl, const char *packet, ssize_t length)
{
	const struct nlmsghdr *message = (const void *)packet;

	return !mnl_nlmsg_ok(message, (int)length) || message->nlmsg_type < NLMSG_MIN_TYPE ||
	       message->nlmsg_pid == mnl_socket_get_portid(nl->socket);
}

/* Reads one whole dump to the buffer, from its beginning. */
static int collect(struct netlink *nl, struct dump *dump, uint32_t sequence, const char **ret_words)
{
	dump->used = 0;
	dump->done = false;
	dump->disturbed = false;
	dump->changed = false;
	while (!dump->done) {
		void *buffer = dump->buffer;
		ssize_t length;
		int code;

		if (!grow(&buffer, &dump->room, dump->used + MESSAGE_MAX, 1))
			return -ENOMEM;
		dump->buffer = buffer;
		length = receive(nl, dump->buffer + dump->used, MESSAGE_MAX, 0);
		if (length == -ENOBUFS) { /* read on: an unfinished dump blocks the next one */
			dump->disturbed = true;
			continue;
		}
		if (length <= 0)
			return length ? (int)length : -EBADMSG;
		if (nl->group && !is_answer(nl, dump->buffer + dump->used, length)) {
			dump->changed = true;
			continue;
		}
		code = check_packet(dump, dump->buffer + dump->used, (int)length, sequence,
				    ret_words);
		if (code)
			return code;
		dump->used += MNL_ALIGN((size_t)length);
	}
	return 0;
}

static int hand_over(const struct dump *dump, uint32_t sequence, netlink_callback callback,
		     void *context)
{
	const struct nlmsghdr *message = (const void *)dump->buffer;
	int left = (int)dump->used;

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		int code = 0;

		if (message->nlmsg_seq == sequence && message->nlmsg_type >= NLMSG_MIN_TYPE)
			code = callback(message, 0, context);
		if (code)
			return code;
	}
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Until nothing came in between; where changes never end, the last is taken as it is. */
static int collect_calm(struct netlink *nl, struct dump *dump, struct nlmsghdr *request,
			const char **ret_words)
{
	uint64_t until = now_ms() + WATCH_MS;
	int code = 0, tries = 0;

	do {
		if (nl->group) /* of before; and where it overflowed nothing more is told */
			empty_queue(nl);
		request->nlmsg_seq = nl->sequence++;
		code = send_all(nl, request, request->nlmsg_len);
		if (!code)
			code = collect(nl, dump, request->nlmsg_seq, ret_words);
		tries += dump->disturbed;
	} while (!code &&
		 ((dump->disturbed && tries < DUMP_TRIES) || (dump->changed && now_ms() < until)));
	return code;
}

int netlink_dump(struct netlink *nl, uint16_t type, const void *header, size_t header_size,
		 const char *what, netlink_callback callback, void *context, struct error *err)
{
	_Alignas(struct nlmsghdr) char buffer[NETLINK_REQUEST_MAX];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct dump dump = {0};
	const char *words = "";
	int code;

	assert(!nl->count);
	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	memcpy(mnl_nlmsg_put_extra_header(request, header_size), header, header_size);
	code = collect_calm(nl, &dump, request, &words);
	if (code)
		refuse(err, code, what, words);
	else if (dump.disturbed)
		code = error_set(err, -EAGAIN, "cannot %s: changed each of the %d times", what,
				 DUMP_TRIES);
	else
		code = hand_over(&dump, request->nlmsg_seq, callback, context);
	free(dump.buffer);
	return code;
}
