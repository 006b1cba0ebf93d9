/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: names are noted before anything is made, and the end removes whatever of them is
 * there. What a killed run left is known by its name, nsrb-PID-..., and by the mark on its lo; the
 * locks, which the kernel takes from killed processes, tell that no other run is alive. A fabric
 * that it left is removed first, by its record, and then the namespaces.
 *
 * Commands and measurements are children with default signals. ^C reaches them as it reaches us, so
 * none outlives it, and a signal that only we get ends the wait for them.
 */
#include "bench_world.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_fabric.h"
#include "link.h"
#include "netlink.h"
#include "netns.h"

#define PREFIX       "nsrb-"
#define ALIAS        "nsroute:bench" /* on lo, the mark */
#define RUN_FOLDER   "/run/nsroute"
#define LOCK_FILE    RUN_FOLDER "/bench.lock"
#define SEARCH_PATH  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define WORDS_MAX    48
#define COMPLAINT    512
#define COMMAND_MAX  1024
#define EXIT_NO_EXEC 127

#define CHILDREN_END_MS 30000 /* a killed run's children end at once where nothing starves them */
#define LOCK_POLL_MS    20

/* ---- Namespaces. */

/* lo's alias; false when there is no telling. */
static bool is_marked(const char *name)
{
	struct state_link *links;
	struct arena arena = {};
	struct netlink *nl;
	struct error err;
	bool marked = false;
	size_t count;
	int fd;

	if (netns_open(name, &fd, &err) != 0)
		return false;
	if (netlink_open(&nl, fd, &err) == 0) {
		if (link_read(nl, &arena, &links, &count, &err) == 0) {
			for (size_t i = 0; i < count; i++)
				marked |= strcmp(links[i].name, "lo") == 0 &&
					  strcmp(links[i].alias, ALIAS) == 0;
		}
		netlink_close(nl);
	}
	close(fd);
	arena_free(&arena);
	return marked;
}

/* nsrb-DIGITS-REST: the rest, else NULL. */
static const char *name_rest(const char *name)
{
	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return NULL;
	name += strlen(PREFIX);
	if (!isdigit((unsigned char)*name))
		return NULL;
	while (isdigit((unsigned char)*name))
		name++;
	return *name == '-' ? name + 1 : NULL;
}

static bool is_left(const char *name)
{
	return name_rest(name) && (netns_status(name) == NETNS_STALE || is_marked(name));
}

static int remove_left(struct error *err)
{
	struct arena arena = {};
	const char **names;
	size_t count;
	int code = netns_list(&arena, &names, &count, err);

	for (size_t i = 0; code == 0 && i < count; i++) {
		if (is_left(names[i]) && strcmp(name_rest(names[i]), BENCH_FABRIC_HOST) == 0)
			code = bench_fabric_remove(names[i], err);
	}
	for (size_t i = 0; code == 0 && i < count; i++) {
		if (is_left(names[i])) /* the fabric's own are gone with it */
			code = netns_delete(names[i], err);
	}
	arena_free(&arena);
	return code ? error_context(err, "removing what a killed run left") : 0;
}

/*
 * Two locks on one file. The record lock is the process's own: it ends with it, and says that a run
 * is under way. The other is shared with the children that were forked, and says that one of them
 * lives: when a run was killed they are killed as well, but may have a moment left.
 */
static int take_lock(int *ret_fd, struct error *err)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	unsigned int waited_ms = 0;
	int fd;

	if (mkdir(RUN_FOLDER, 0700) != 0 && errno != EEXIST)
		return error_set(err, -errno, "cannot create %s: %s", RUN_FOLDER, strerror(errno));
	fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, -errno, "cannot open %s: %s", LOCK_FILE, strerror(errno));
	if (fcntl(fd, F_SETLK, &whole) != 0) {
		close(fd);
		return error_set(err, -EBUSY,
				 "another \"nsroute bench\" is running; each would "
				 "measure the other");
	}
	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (waited_ms >= CHILDREN_END_MS) {
			close(fd);
			return error_set(err, -EBUSY,
					 "processes of an \"nsroute bench\" that was killed have "
					 "not ended in %d s",
					 CHILDREN_END_MS / 1000);
		}
		nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_MS * 1000000L}, NULL);
		waited_ms += LOCK_POLL_MS;
	}
	*ret_fd = fd;
	return 0;
}

int bench_world_open(struct bench_world *world, const volatile sig_atomic_t *interrupted,
		     struct error *err)
{
	int lock = -1;

	if (take_lock(&lock, err) != 0)
		return err->code;
	if (remove_left(err) != 0) {
		close(lock);
		return err->code;
	}
	*world = (struct bench_world){.interrupted = interrupted, .lock = lock};
	return 0;
}

int bench_world_close(struct bench_world *world, struct error *err)
{
	struct error another;
	int code = 0;

	if (*world->fabric_host)
		code = bench_fabric_remove(world->fabric_host, err);
	for (size_t i = 0; i < world->count; i++) {
		if (netns_status(world->names[i]) != NETNS_ABSENT &&
		    netns_delete(world->names[i], code ? &another : err) != 0 && code == 0)
			code = err->code;
	}
	close(world->lock);
	arena_free(&world->arena);
	return code;
}

const char *bench_world_name(struct bench_world *world, const char *path, const char *what)
{
	const char *name = arena_printf(&world->arena, PREFIX "%d-%s%s%s", (int)getpid(), path,
					*path ? "-" : "", what);

	for (size_t i = 0; i < world->count; i++) {
		if (strcmp(world->names[i], name) == 0)
			return world->names[i];
	}
	*arena_push(&world->arena, world->names, world->count) = name;
	return name;
}

int bench_world_add(struct bench_world *world, const char *name, struct error *err)
{
	uint64_t cookie;

	if (netns_add(name, ALIAS, &cookie, err) != 0)
		return err->code;
	return bench_command(world, name, "ip link set lo up", err);
}

void bench_world_drop(struct bench_world *world, const char *name)
{
	struct error err;

	(void)world; /* whose end will try again */
	if (netns_status(name) != NETNS_ABSENT)
		(void)netns_delete(name, &err);
}

/* ---- Processes. */

/* What the parent ignores (nohup) stays ignored. */
static void reset_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	struct sigaction action;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		sigaction(numbers[i], NULL, &action);
		if (action.sa_handler != SIG_IGN || numbers[i] == SIGPIPE)
			signal(numbers[i], SIG_DFL);
	}
}

/* The child's side; a failure has no way to be told but the exit status. */
static void become_child(pid_t parent, int netns, int cpu)
{
	cpu_set_t set;

	reset_signals();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(EXIT_NO_EXEC);
	if (netns >= 0 && setns(netns, CLONE_NEWNET) != 0)
		_exit(EXIT_NO_EXEC);
	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		_exit(EXIT_NO_EXEC);
}

int bench_fork(const char *netns, int cpu, pid_t *ret_pid, struct error *err)
{
	pid_t parent = getpid(), pid;
	int fd = -1;

	if (netns && netns_open(netns, &fd, err) != 0)
		return err->code;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		become_child(parent, fd, cpu);
	if (fd >= 0)
		close(fd);
	if (pid < 0)
		return error_set(err, -errno, "cannot fork: %s", strerror(errno));
	*ret_pid = pid;
	return 0;
}

void bench_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int interrupted(struct error *err)
{
	return error_set(err, -EINTR, "interrupted");
}

int bench_wait(const struct bench_world *world, pid_t pid, int *ret_status, struct error *err)
{
	int status;

	for (;;) {
		if (waitpid(pid, &status, 0) == pid)
			break;
		if (errno != EINTR)
			return error_set(err, -errno, "waitpid: %s", strerror(errno));
		if (*world->interrupted) {
			bench_kill(pid);
			return interrupted(err);
		}
	}
	if (*world->interrupted)
		return interrupted(err);
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return 0;
}

/* ---- Commands. */

static _Noreturn void execute(const char *line, int out)
{
	char copy[COMMAND_MAX], *words[WORDS_MAX + 1] = {copy}, *rest = copy, *word;
	size_t count = 0;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	snprintf(copy, sizeof(copy), "%s", line);
	while ((word = strsep(&rest, " ")) && count < WORDS_MAX)
		words[count++] = word;
	words[count] = NULL;
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	setenv("PATH", SEARCH_PATH, 1);
	setenv("LC_ALL", "C", 1);
	execvp(words[0], words);
	dprintf(STDERR_FILENO, "%s: %s\n", words[0], strerror(errno));
	_exit(EXIT_NO_EXEC);
}

/* As much as fits; the rest is read and forgotten, so that nobody blocks. */
static void collect(int fd, char *text, size_t size)
{
	char more[COMPLAINT];
	size_t used = 0;
	ssize_t got;

	while ((got = read(fd, more, sizeof(more))) > 0 || (got < 0 && errno == EINTR)) {
		size_t kept = got < 0 ? 0 : (size_t)got;

		if (kept > size - 1 - used)
			kept = size - 1 - used;
		memcpy(text + used, more, kept);
		used += kept;
	}
	text[used] = '\0';
}

static void first_line(char *text)
{
	text[strcspn(text, "\n")] = '\0';
}

int bench_command_output(const struct bench_world *world, const char *netns, const char *line,
			 char *ret_text, size_t size, struct error *err)
{
	int pipes[2], status = 0, code;
	pid_t pid = -1;

	if (*world->interrupted)
		return interrupted(err);
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return error_set(err, -errno, "pipe: %s", strerror(errno));
	code = bench_fork(netns, -1, &pid, err);
	if (code == 0 && pid == 0)
		execute(line, pipes[1]);
	close(pipes[1]);
	if (code == 0) {
		collect(pipes[0], ret_text, size);
		code = bench_wait(world, pid, &status, err);
	}
	close(pipes[0]);
	if (code != 0 || status == 0)
		return code;
	first_line(ret_text);
	return error_set(err, -ENOTSUP, "\"%s\": %s", line,
			 *ret_text ? ret_text : "failed without a word");
}

int bench_command(const struct bench_world *world, const char *netns, const char *line,
		  struct error *err)
{
	char text[COMPLAINT];

	return bench_command_output(world, netns, line, text, sizeof(text), err);
}
