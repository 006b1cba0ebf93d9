/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fault - ends or fails nsroute at a chosen step, for the tests of what is left then.
 *
 * How it works: build/nsroute-faults is linked from the very objects of build/nsroute and this
 * file, with ld --wrap for each function that stands here as STEP or WRAP. So the program itself
 * knows nothing of it, and what it comes to do through one of these functions is stepped through
 * without anybody having to say so. NSROUTE_FAULT is a list, separated by commas:
 *
 *	kill:N		SIGKILL just before the N-th change. Whatever happens between two changes
 *			is memory of the process, so these are all the instants there are
 *	stop:N		SIGSTOP there
 *	fail:N[:ERRNO]	the N-th step is not done, and fails with ERRNO (EIO when it is left out),
 *			which standard error tells
 *	blind		what /proc keeps from us is not there at all
 *	count		at the end, "fault: C changes, S steps" on standard error
 *	trace		each step on standard error, with its two numbers
 *
 * Steps are changes and what is asked of the kernel in order to make them. A step is a change when
 * it makes a difference that outlives the process. A batch of netlink requests is sent one by one,
 * and the answer to one that fails is put in front of what the socket receives. Steps are counted
 * in this process only, not in its children; that a program is run is one step.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAILURES_MAX 8
#define ANSWERS_MAX  64

struct answer {
	int fd; /* the socket; 0: free */
	struct {
		struct nlmsghdr header;
		struct nlmsgerr verdict;
	} message;
};

static struct {
	bool counts, traces, blind;
	pid_t process;
	unsigned int changes, steps;
	unsigned int kill_at, stop_at;
	struct {
		unsigned int at;
		int code;
	} failures[FAILURES_MAX];
	struct answer answers[ANSWERS_MAX];
} fault;

__attribute__((constructor)) static void read_environment(void)
{
	const char *list = getenv("NSROUTE_FAULT");
	unsigned int number, failures = 0;
	int code;

	fault.process = getpid();
	for (; list && *list; list += strcspn(list, ","), list += *list == ',') {
		code = EIO;
		if (!strncmp(list, "count", 5))
			fault.counts = true;
		else if (!strncmp(list, "blind", 5))
			fault.blind = true;
		else if (!strncmp(list, "trace", 5))
			fault.traces = true;
		else if (sscanf(list, "kill:%u", &number) == 1)
			fault.kill_at = number;
		else if (sscanf(list, "stop:%u", &number) == 1)
			fault.stop_at = number;
		else if (sscanf(list, "fail:%u:%d", &number, &code) >= 1 && failures < FAILURES_MAX)
			fault.failures[failures].at = number,
			fault.failures[failures++].code = code;
		else
			fprintf(stderr, "fault: NSROUTE_FAULT is not understood: %s\n", list),
				abort();
	}
}

__attribute__((destructor)) static void print_count(void)
{
	if (fault.counts && getpid() == fault.process)
		fprintf(stderr, "fault: %u changes, %u steps\n", fault.changes, fault.steps);
}

/* 0, or what the step is to fail with. */
static int step(const char *what, const char *which, bool changes)
{
	if (getpid() != fault.process)
		return 0;
	fault.steps++;
	fault.changes += changes;
	if (fault.traces)
		fprintf(stderr, "fault: change %u step %u: %s %s\n", changes ? fault.changes : 0,
			fault.steps, what, which);
	if (changes && fault.changes == fault.kill_at)
		kill(fault.process, SIGKILL);
	if (changes && fault.changes == fault.stop_at)
		kill(fault.process, SIGSTOP);
	for (size_t i = 0; i < FAILURES_MAX; i++) {
		if (fault.failures[i].at != fault.steps)
			continue;
		fprintf(stderr, "fault: step %u fails: %s %s\n", fault.steps, what, which);
		return fault.failures[i].code;
	}
	return 0;
}

/* Sets errno. */
static bool fails(const char *what, const char *which, bool changes)
{
	int code = step(what, which, changes);

	errno = code ? code : errno;
	return code;
}

#define WRAP(type, name, parameters)   \
	type __real_##name parameters; \
	type __wrap_##name parameters; \
	type __wrap_##name parameters

/* Fails with -1, and with a negative errno as libbpf does. */
#define STEP(type, name, which, parameters, arguments)                           \
	WRAP(type, name, parameters)                                             \
	{                                                                        \
		return fails(#name, which, true) ? -1 : __real_##name arguments; \
	}
#define STEP_BPF(name, which, parameters, arguments)                                 \
	WRAP(int, name, parameters)                                                  \
	{                                                                            \
		return fails(#name, which, true) ? -errno : __real_##name arguments; \
	}

/* ---- Files and mounts. */

STEP(int, mkdir, path, (const char *path, mode_t mode), (path, mode))
STEP(int, rmdir, path, (const char *path), (path))
STEP(int, unlink, path, (const char *path), (path))
STEP(int, rename, from, (const char *from, const char *to), (from, to))
STEP(int, symlink, path, (const char *to, const char *path), (to, path))
STEP(int, link, path, (const char *from, const char *path), (from, path))
STEP(int, chmod, path, (const char *path, mode_t mode), (path, mode))
STEP(int, fchmod, "", (int fd, mode_t mode), (fd, mode))
STEP(int, mkdirat, path, (int fd, const char *path, mode_t mode), (fd, path, mode))
STEP(int, unlinkat, path, (int fd, const char *path, int flags), (fd, path, flags))
STEP(int, renameat, from, (int fd, const char *from, int other, const char *to),
     (fd, from, other, to))
STEP(int, renameat2, to, (int fd, const char *from, int other, const char *to, unsigned int flags),
     (fd, from, other, to, flags))
STEP(int, ftruncate, "", (int fd, off_t size), (fd, size))
STEP(int, mount, target,
     (const char *source, const char *target, const char *type, unsigned long flags,
      const void *data),
     (source, target, type, flags, data))
STEP(int, umount2, path, (const char *path, int flags), (path, flags))
STEP(int, unshare, "", (int flags), (flags))
STEP(ssize_t, pwrite, data, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))

ssize_t __real_readlink(const char *path, char *target, size_t room);

/* Whether the file is to take the place of another one. */
static bool is_new(int fd)
{
	char path[32], target[256];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = __real_readlink(path, target, sizeof(target));
	return length > 4 && !memcmp(target + length - 4, ".new", 4);
}

WRAP(ssize_t, write, (int fd, const void *data, size_t size))
{
	char shown[80];

	if (fd == STDOUT_FILENO || fd == STDERR_FILENO)
		return __real_write(fd, data, size);
	snprintf(shown, sizeof(shown), "%s%.*s", is_new(fd) ? ".new " : "",
		 (int)strcspn(data, "\n"), (const char *)data);
	return fails("write", shown, true) ? -1 : __real_write(fd, data, size);
}

/* Reading what /proc tells is done for hundreds of values, and is no step. */
WRAP(int, open, (const char *path, int flags, ...))
{
	bool looks = !(flags & O_ACCMODE) && !strncmp(path, "/proc/", strlen("/proc/"));
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	if (!looks && fails("open", path, flags & (O_CREAT | O_TRUNC)))
		return -1;
	return __real_open(path, flags, mode);
}

static void look_away(void)
{
	if (fault.blind && errno == EACCES)
		errno = ENOENT;
}

WRAP(ssize_t, readlink, (const char *path, char *target, size_t room))
{
	ssize_t length = __real_readlink(path, target, room);

	if (length < 0)
		look_away();
	return length;
}

WRAP(DIR *, opendir, (const char *path))
{
	DIR *folder = __real_opendir(path);

	if (!folder)
		look_away();
	return folder;
}

WRAP(FILE *, fopen, (const char *path, const char *mode))
{
	FILE *file = __real_fopen(path, mode);

	if (!file)
		look_away();
	return file;
}

/* ---- Programs that are run: those of Open vSwitch, which change its database by these words. */

WRAP(int, posix_spawnp,
     (pid_t * pid, const char *file, const posix_spawn_file_actions_t *actions,
      const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]))
{
	const char *change = NULL;

	for (char *const *argument = arguments; *argument; argument++)
		if (!strcmp(*argument, "add-port") || (!change && !strcmp(*argument, "del-port")))
			change = *argument;
	if (fails(file, change ? change : "", change))
		return errno;
	return __real_posix_spawnp(pid, file, actions, attributes, arguments, environment);
}

/* ---- BPF. */

STEP_BPF(bpf_map_update_elem, "", (int fd, const void *key, const void *value, __u64 flags),
	 (fd, key, value, flags))
STEP_BPF(bpf_map_delete_elem, "", (int fd, const void *key), (fd, key))
STEP_BPF(bpf_obj_pin, path, (int fd, const char *path), (fd, path))
STEP_BPF(bpf_prog_test_run_opts, "", (int fd, struct bpf_test_run_opts *options), (fd, options))
STEP_BPF(bpf_object__load_skeleton, "", (struct bpf_object_skeleton * skeleton), (skeleton))
STEP_BPF(bpf_map_create, name,
	 (enum bpf_map_type type, const char *name, __u32 key_size, __u32 value_size, __u32 entries,
	  const struct bpf_map_create_opts *options),
	 (type, name, key_size, value_size, entries, options))

/* ---- Netlink. */

WRAP(struct mnl_socket *, mnl_socket_open2, (int bus, int flags))
{
	return fails("socket", "", false) ? NULL : __real_mnl_socket_open2(bus, flags);
}

/* Each group of types of rtnetlink is NEW, DEL, GET, SET. */
static bool asks(const struct nlmsghdr *message)
{
	return message->nlmsg_type < RTM_BASE || (message->nlmsg_type & 3) == 2;
}

static void answer(int fd, const struct nlmsghdr *message, int code)
{
	struct answer *place = fault.answers;

	while (place->fd && place < fault.answers + ANSWERS_MAX - 1)
		place++;
	place->fd = fd;
	place->message.header = (struct nlmsghdr){
		.nlmsg_len = sizeof(place->message),
		.nlmsg_type = NLMSG_ERROR,
		.nlmsg_seq = message->nlmsg_seq,
		.nlmsg_flags = NLM_F_CAPPED,
	};
	place->message.verdict = (struct nlmsgerr){.error = -code, .msg = *message};
}

WRAP(ssize_t, mnl_socket_sendto, (const struct mnl_socket *socket, const void *data, size_t size))
{
	const struct nlmsghdr *message = data;
	int left = (int)size, code;
	char shown[32];

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		snprintf(shown, sizeof(shown), "type %u", message->nlmsg_type);
		code = step("netlink", shown, !asks(message));
		if (code)
			answer(mnl_socket_get_fd(socket), message, code);
		else if (__real_mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
			return -1;
	}
	return (ssize_t)size;
}

WRAP(ssize_t, recv, (int fd, void *buffer, size_t size, int flags))
{
	for (struct answer *place = fault.answers; place < fault.answers + ANSWERS_MAX; place++) {
		if (place->fd != fd || size < sizeof(place->message))
			continue;
		memcpy(buffer, &place->message, sizeof(place->message));
		place->fd = 0;
		return sizeof(place->message);
	}
	return __real_recv(fd, buffer, size, flags);
}
