/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Namespaces with names, as "ip netns" sees them, what a command finds in one, and sysctls. Names
 * are random, and removed by the test that made them.
 */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netns.h"
#include "sysctl.h"

static int shell(const char *format, const char *argument)
{
	char command[512];

	snprintf(command, sizeof(command), format, argument);
	return system(command);
}

static bool is_listed(struct scratch *s, const char *name)
{
	const char **names;
	bool found = false;
	size_t count;

	expect_done(s, netns_list(&s->arena, &names, &count, &s->err));
	for (size_t i = 0; i < count; i++) {
		assert_true(i == 0 || strcmp(names[i - 1], names[i]) < 0);
		found |= !strcmp(names[i], name);
	}
	return found;
}

static void test_names_are_those_of_iproute2(void **state)
{
	struct scratch *s = scratch_need_root(state);
	uint64_t made, cookie, again, own;
	const char *name = scratch_name(s);
	int by_name, by_path;
	char path[64];

	assert_int_equal(netns_status(name), NETNS_ABSENT);
	assert_int_equal(netns_open(name, &by_name, &s->err), -ENOENT);
	expect_done(s, netns_cookie(-1, &own, &s->err));
	expect_done(s, netns_add(name, "nsroute:test", &made, &s->err));
	assert_int_equal(netns_add(name, "nsroute:test", &again, &s->err), -EEXIST);
	assert_int_equal(netns_status(name), NETNS_PRESENT);
	assert_true(is_listed(s, name));
	assert_int_equal(shell("ip netns list | grep -qw %s", name), 0);
	assert_int_equal(shell("ip -n %s link show lo | grep -qx '    alias nsroute:test'", name),
			 0);

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	expect_done(s, netns_open(name, &by_name, &s->err));
	expect_done(s, netns_open(path, &by_path, &s->err));
	expect_done(s, netns_cookie(by_name, &cookie, &s->err));
	expect_done(s, netns_cookie(by_path, &again, &s->err));
	assert_true(cookie == made && cookie == again && cookie != own);
	expect_done(s, netns_cookie(-1, &again, &s->err));
	assert_true(again == own);
	close(by_name);
	close(by_path);

	assert_int_equal(shell("ip netns del %s", name), 0);
	assert_int_equal(netns_status(name), NETNS_ABSENT);
	assert_false(is_listed(s, name));
	assert_int_equal(netns_delete(name, &s->err), -ENOENT);
	assert_int_equal(shell("ip netns add %s", name), 0);
	expect_done(s, netns_delete(name, &s->err));
	assert_int_not_equal(shell("ip netns list | grep -qw %s", name), 0);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void test_a_stale_name(void **state)
{
	struct scratch *s = scratch_need_root(state);
	uint64_t cookie;
	const char *name = scratch_name(s);
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	mkdir("/run/netns", 0755);
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(netns_status(name), NETNS_STALE);
	assert_false(is_listed(s, name));
	assert_int_equal(netns_open(name, &fd, &s->err), -EINVAL);
	assert_int_equal(netns_add(name, "nsroute:test", &cookie, &s->err), -EEXIST);
	assert_string_not_equal(s->err.message, "");
	expect_done(s, netns_delete(name, &s->err));
	assert_int_equal(netns_status(name), NETNS_ABSENT);
}

/* What cannot be looked at may be anything, and a link may lead to what is somebody else's. */
static void test_a_name_that_is_a_link(void **state)
{
	struct scratch *s = scratch_need_root(state);
	uint64_t cookie;
	const char *other = scratch_name(s);
	char name[32], path[64];
	int fd;

	snprintf(name, sizeof(name), "%s-l", other);
	snprintf(path, sizeof(path), "/run/netns/%s", name);
	expect_done(s, netns_add(other, "nsroute:test", &cookie, &s->err));
	assert_int_equal(symlink(path, path), 0); /* for ever */
	assert_int_equal(netns_status(name), NETNS_FOREIGN);
	assert_int_equal(netns_open(name, &fd, &s->err), -ELOOP);
	assert_int_equal(unlink(path), 0);

	assert_int_equal(symlink(other, path), 0);
	expect_done(s, netns_delete(name, &s->err));
	assert_int_equal(netns_status(name), NETNS_ABSENT);
	assert_int_equal(netns_status(other), NETNS_PRESENT);
	expect_done(s, netns_delete(other, &s->err));
}

static void test_names_that_cannot_be(void **state)
{
	static const char *const names[] = {"", ".", "..", "a/b"};
	struct scratch *s = scratch_need_root(state);
	uint64_t cookie;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(netns_add(names[i], "nsroute:test", &cookie, &s->err), -EINVAL);
		assert_int_equal(netns_delete(names[i], &s->err), -EINVAL);
		assert_int_equal(s->err.exit, EXIT_INVALID);
		assert_int_equal(netns_status(names[i]), NETNS_ABSENT);
	}
	assert_int_equal(netns_open("/proc/self/ns/mnt", &(int){0}, &s->err), -EINVAL);
	assert_int_equal(netns_open("/dev/null", &(int){0}, &s->err), -EINVAL);
}

static void test_sysctls(void **state)
{
	struct scratch *s = scratch_need_root(state);
	const char *value = "?", *outside, *again;

	scratch_build(s);
	expect_done(s, sysctl_read(-1, "net/ipv4/ip_forward", &s->arena, &outside, &s->err));
	expect_done(s, sysctl_read(s->host_fd, "net/ipv4/ip_forward", &s->arena, &value, &s->err));
	assert_string_equal(value, "0");
	expect_done(s, sysctl_write(s->host_fd, "net/ipv4/ip_forward", "1", &s->err));
	expect_done(s, sysctl_read(s->host_fd, "net/ipv4/ip_forward", &s->arena, &value, &s->err));
	assert_string_equal(value, "1");
	expect_done(s, sysctl_read(s->inner_fd, "net/ipv4/ip_forward", &s->arena, &value, &s->err));
	assert_string_equal(value, "0");
	expect_done(s, sysctl_read(-1, "net/ipv4/ip_forward", &s->arena, &again, &s->err));
	assert_string_equal(again, outside);

	expect_done(s, sysctl_read(s->host_fd, "net/ipv4/conf/port/forwarding", &s->arena, &value,
				   &s->err));
	assert_non_null(value);
	expect_done(s, sysctl_read(s->host_fd, "net/ipv4/conf/absent/forwarding", &s->arena, &value,
				   &s->err));
	assert_null(value);
	assert_int_equal(sysctl_write(s->host_fd, "net/ipv4/ip_forward", "maybe", &s->err),
			 -EINVAL);
	assert_string_equal(s->err.message, "cannot set sysctl 'net/ipv4/ip_forward' to 'maybe': "
					    "Invalid argument");
	assert_int_equal(sysctl_write(s->host_fd, "net/absent", "1", &s->err), -ENOENT);
	assert_int_equal(sysctl_write(s->host_fd, "../kernel/hostname", "x", &s->err), -EINVAL);
	assert_int_equal(sysctl_write(s->host_fd, "net/../kernel/hostname", "x", &s->err), -EINVAL);
	assert_int_equal(sysctl_write(s->host_fd, "/etc/hostname", "x", &s->err), -EINVAL);
}

/* In a child of its own, because there is no way back. Exit status 0: all as it should be. */
static int become_and_look(struct scratch *s, const char *name)
{
	char line[64] = "";
	FILE *file;

	if (netns_become(s->inner_fd, name, &s->err))
		return 1;
	if (access("/sys/class/net/eth0", F_OK) || !access("/sys/class/net/br0", F_OK))
		return 2;
	if (access("/sys/fs/bpf/nsr-test-marker", F_OK))
		return 3;
	file = fopen("/etc/passwd", "re");
	if (!file || !fgets(line, sizeof(line), file) || strcmp(line, "# of the test\n") != 0)
		return 4;
	fclose(file);
	return 0;
}

static void test_becoming_a_namespace(void **state)
{
	struct scratch *s = scratch_need_root(state);
	const char *name = scratch_name(s);
	char directory[64], path[96];
	int status;
	pid_t child;
	FILE *file;

	scratch_build(s);
	mkdir("/etc/netns", 0755);
	snprintf(directory, sizeof(directory), "/etc/netns/%s", name);
	assert_int_equal(mkdir(directory, 0755), 0);
	snprintf(path, sizeof(path), "%s/passwd", directory);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs("# of the test\n", file);
	fclose(file);

	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		/* A host with a bpffs, played in a mount namespace of the child's own. */
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_PRIVATE | MS_REC, NULL) ||
		    mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL) ||
		    mkdir("/sys/fs/bpf/nsr-test-marker", 0700))
			_exit(9);
		_exit(become_and_look(s, name));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRATCH_TEST(test_names_are_those_of_iproute2),
		SCRATCH_TEST(test_a_stale_name),
		SCRATCH_TEST(test_a_name_that_is_a_link),
		SCRATCH_TEST(test_names_that_cannot_be),
		SCRATCH_TEST(test_sysctls),
		SCRATCH_TEST(test_becoming_a_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
