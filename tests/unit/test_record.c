/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records: what is written is read again, whatever killed the writer. They live in a fixed folder,
 * so the test looks at a /run of its own; where it may not have one, it is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "record.h"

#define COOKIE    4711
#define FILE_NAME "/run/nsroute/4711/lab.record"

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool written = fd >= 0 && write(fd, text, strlen(text)) > 0;

	close(fd);
	return written;
}

/* Root of a user namespace may mount where an ordinary user may not. */
static bool become_root(void)
{
	char users[64], groups[64];

	snprintf(users, sizeof(users), "0 %u 1", (unsigned int)geteuid());
	snprintf(groups, sizeof(groups), "0 %u 1", (unsigned int)getegid());
	return !unshare(CLONE_NEWUSER | CLONE_NEWNS) &&
	       write_file("/proc/self/setgroups", "deny") &&
	       write_file("/proc/self/uid_map", users) && write_file("/proc/self/gid_map", groups);
}

static bool private_run(void)
{
	if (unshare(CLONE_NEWNS) && !become_root())
		return false;
	return !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("none", "/run", "tmpfs", 0, NULL);
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct arena));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct error err;

	record_remove(COOKIE, "lab", &err);
	arena_free(*state);
	free(*state);
	return 0;
}

static int open_record(void)
{
	struct error err;
	int fd;

	if (record_open(COOKIE, "lab", "/etc/hostname", &fd, &err))
		fail_msg("%s", err.message);
	return fd;
}

static void add(int fd, enum record_kind kind, const char *name, const char *value, const char *set)
{
	struct error err;

	assert_int_equal(record_add(fd, &(struct record_entry){kind, name, value, set}, &err), 0);
}

static struct record *read_record(struct arena *arena)
{
	struct record *record = NULL;
	struct error err;

	if (record_read(COOKIE, "lab", arena, &record, &err))
		fail_msg("%s", err.message);
	return record;
}

static void append(const char *text)
{
	int fd = open(FILE_NAME, O_WRONLY | O_APPEND);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_round_trip(void **state)
{
	const struct record *record;
	struct error err;
	int fd = open_record();

	add(fd, RECORD_NETNS, "red", NULL, NULL);
	add(fd, RECORD_NETNS, "a \"quoted\" name\n", NULL, NULL);
	add(fd, RECORD_LINK, "v-net-0", "02:00:00:00:00:01", NULL);
	add(fd, RECORD_SYSCTL, "net/ipv4/conf/eth0/forwarding", "0", "1");
	assert_int_equal(record_gone(fd, &(struct record_entry){RECORD_NETNS, "red", "", ""}, &err),
			 0);
	close(fd);
	record = read_record(*state);
	assert_string_equal(record->fabric, "lab");
	assert_string_equal(record->file, "/etc/hostname");
	assert_int_equal(record->count, 3);
	assert_false(record_has(record, RECORD_NETNS, "red"));
	assert_string_equal(record->entries[0].name, "a \"quoted\" name\n");
	assert_string_equal(record_find(record, RECORD_LINK, "v-net-0")->value,
			    "02:00:00:00:00:01");
	assert_string_equal(record->entries[2].value, "0");
	assert_string_equal(record->entries[2].set, "1");
}

static void test_added_again(void **state)
{
	const struct record *record;
	struct error err;
	int fd = open_record();

	add(fd, RECORD_LINK, "a", "1", NULL);
	add(fd, RECORD_LINK, "b", "2", NULL);
	add(fd, RECORD_LINK, "a", "3", NULL);
	assert_int_equal(record_gone(fd, &(struct record_entry){RECORD_LINK, "b", "", ""}, &err),
			 0);
	add(fd, RECORD_LINK, "b", "4", NULL);
	close(fd);
	record = read_record(*state);
	assert_int_equal(record->count, 2);
	assert_string_equal(record->entries[0].value, "3");
	assert_string_equal(record->entries[1].value, "4");
}

/* A process that is killed while it writes leaves a line without its end. */
/* What has come and gone all day is left out of the file when it is opened again. */
static void test_does_not_grow(void **state)
{
	const struct record *record;
	struct stat status;
	struct error err;
	int fd = open_record();

	add(fd, RECORD_NETNS, "stays", NULL, NULL);
	for (int i = 0; i < 5000; i++) {
		add(fd, RECORD_NETNS, "comes and goes", NULL, NULL);
		assert_int_equal(record_gone(fd,
					     &(struct record_entry){.kind = RECORD_NETNS,
								    .name = "comes and goes"},
					     &err),
				 0);
	}
	add(fd, RECORD_SYSCTL, "net/key", "0", "1");
	close(fd);
	assert_false(stat(FILE_NAME, &status));
	assert_true(status.st_size > 65536);
	close(open_record());
	assert_false(stat(FILE_NAME, &status));
	assert_true(status.st_size < 1024);
	record = read_record(*state);
	assert_string_equal(record->file, "/etc/hostname");
	assert_int_equal(record->count, 2);
	assert_string_equal(record->entries[0].name, "stays");
	assert_string_equal(record->entries[1].set, "1");
	assert_int_equal(access(FILE_NAME ".new", F_OK), -1);
}

static void test_torn_last_line(void **state)
{
	int fd = open_record();

	add(fd, RECORD_NETNS, "red", NULL, NULL);
	close(fd);
	append("{\"kind\":\"netns\",\"na");
	assert_int_equal(read_record(*state)->count, 1);
	fd = open_record();
	add(fd, RECORD_NETNS, "blue", NULL, NULL);
	close(fd);
	assert_int_equal(read_record(*state)->count, 2);
}

static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* As when /run is full: the kernel takes the beginning of a line. */
static void test_no_room_for_a_line(void **state)
{
	struct record_entry red = {RECORD_NETNS, "red", "", ""};
	struct stat before, after;
	struct error err = {0};
	int fd = open_record();

	assert_int_equal(fstat(fd, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	limit_file_size((rlim_t)before.st_size + 10);
	assert_int_equal(record_add(fd, &red, &err), -ENOSPC);
	limit_file_size(RLIM_INFINITY);
	assert_non_null(strstr(err.message, "/run/nsroute: No space left"));
	assert_int_equal(fstat(fd, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	add(fd, RECORD_NETNS, "blue", NULL, NULL);
	close(fd);
	assert_int_equal(read_record(*state)->count, 1);
}

static void test_damaged(void **state)
{
	struct record *record = NULL;
	struct error err;

	close(open_record());
	append("{\"kind\":\"spaceship\",\"name\":\"x\"}\n");
	assert_int_equal(record_read(COOKIE, "lab", *state, &record, &err), -EBADMSG);
	assert_null(record);
	assert_non_null(strstr(err.message, "spaceship"));
	assert_non_null(strstr(err.message, FILE_NAME));
	assert_non_null(strstr(err.message, "delete it there"));
}

static void test_other_version(void **state)
{
	struct record *record = NULL;
	struct error err;

	close(open_record());
	append("{\"version\":99,\"fabric\":\"lab\",\"file\":\"\"}\n");
	assert_int_equal(record_read(COOKIE, "lab", *state, &record, &err), -ENOTSUP);
}

static void test_none(void **state)
{
	struct record *record = NULL;
	const char **names;
	struct error err;
	size_t count;

	assert_int_equal(record_read(COOKIE, "lab", *state, &record, &err), -ENOENT);
	assert_int_equal(record_list(COOKIE, *state, &names, &count, &err), 0);
	assert_int_equal(count, 0);
	assert_int_equal(record_remove(COOKIE, "lab", &err), 0);
	assert_false(record_has(NULL, RECORD_NETNS, "red"));
}

static void test_listed(void **state)
{
	const char **names;
	struct error err;
	size_t count;
	int fd;

	assert_int_equal(record_open(COOKIE, "zoo", NULL, &fd, &err), 0);
	close(fd);
	close(open_record());
	assert_int_equal(record_list(COOKIE, *state, &names, &count, &err), 0);
	assert_int_equal(count, 2);
	assert_string_equal(names[0], "lab");
	assert_string_equal(names[1], "zoo");
	record_remove(COOKIE, "zoo", &err);
}

static void test_nobody_else_reads(void **state)
{
	struct stat status;

	(void)state;
	close(open_record());
	assert_int_equal(stat("/run/nsroute", &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
	assert_int_equal(stat(FILE_NAME, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

static void test_lock_names_the_holder(void **state)
{
	struct error err = {0};
	char pid[64];
	int first, second;

	(void)state;
	snprintf(pid, sizeof(pid), "process %d, which does a test)", (int)getpid());
	assert_int_equal(record_lock(0, "does a test", &first, &err), 0);
	assert_int_equal(record_lock(0, "does a test", &second, &err), -EBUSY);
	assert_non_null(strstr(err.message, pid));
	close(first);
	assert_int_equal(record_lock(0, "does a test", &second, &err), 0);
	close(second);
}

/* Left out it would not be given back. */
static void test_what_is_not_text(void **state)
{
	struct record_entry entries[] = {{RECORD_NETNS, "\xff", "", ""},
					 {RECORD_NETNS, "red", "\xff", ""},
					 {RECORD_NETNS, "red", "", "\xff"}};
	struct error err = {0};
	int fd = open_record();

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		assert_int_equal(record_add(fd, &entries[i], &err), -EILSEQ);
		assert_non_null(strstr(err.message, "is not UTF-8"));
	}
	assert_int_equal(read_record(*state)->count, 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_added_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_does_not_grow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_last_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room_for_a_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_else_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock_names_the_holder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_not_text, setup, teardown),
	};

	if (!private_run()) {
		puts("1..0 # SKIP no mount namespace of its own for /run");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
