/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys and values of sysctls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sysctl_key.h"

static void test_normal(void **state)
{
	static const char *const pairs[][2] = {
		{"net.ipv4.ip_forward", "net/ipv4/ip_forward"},
		{"net/ipv4/conf/eth0.1/mtu", "net/ipv4/conf/eth0.1/mtu"},
		{"net.ipv4.conf.eth0/1.mtu", "net/ipv4/conf/eth0.1/mtu"},
		{"net", "net"},
		{"", ""},
	};
	struct arena arena = {};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		assert_string_equal(sysctl_key_normal(pairs[i][0], &arena), pairs[i][1]);
	arena_free(&arena);
}

static void test_problem(void **state)
{
	static const char *const good[] = {"net/ipv4/ip_forward", "net/ipv4/conf/.a./mtu",
					   "net/ipv6/conf/..a/mtu"};
	static const char *const bad[] = {
		"",
		"net",
		"net/",
		"kernel/hostname",
		"/net/ipv4/ip_forward",
		"net//ip_forward",
		"net/ipv4/",
		"net/../kernel/hostname",
		"net/ipv4/..",
		"net/./ipv4",
		"net/ipv4/conf/a b/mtu",
		"net/ipv4/route/flush",
		"net/ipv4/conf/a\n/mtu",
	};
	char lengthy[SYSCTL_KEY_MAX + 2] = "net/";

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_null(sysctl_key_problem(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_non_null(sysctl_key_problem(bad[i]));
	memset(lengthy + 4, 'a', SYSCTL_KEY_MAX - 3);
	assert_non_null(sysctl_key_problem(lengthy));
	lengthy[SYSCTL_KEY_MAX] = '\0';
	assert_null(sysctl_key_problem(lengthy));
}

static void test_interface(void **state)
{
	char name[NAME_INTERFACE_MAX + 1];

	(void)state;
	assert_true(sysctl_key_interface("net/ipv4/conf/eth0.1/mtu", name));
	assert_string_equal(name, "eth0.1");
	assert_true(sysctl_key_interface("net/ipv6/neigh/p0/retrans_time_ms", name));
	assert_string_equal(name, "p0");
	assert_false(sysctl_key_interface("net/ipv4/conf/all/mtu", name));
	assert_false(sysctl_key_interface("net/ipv6/conf/default/mtu", name));
	assert_false(sysctl_key_interface("net/ipv4/conf/longer-than-15-b/mtu", name));
	assert_false(sysctl_key_interface("net/ipv4/conf/eth0", name));
	assert_false(sysctl_key_interface("net/ipv4/tcp_syncookies", name));
}

static void test_switches(void **state)
{
	(void)state;
	assert_true(sysctl_key_switches_all("net/ipv4/ip_forward"));
	assert_true(sysctl_key_switches_all("net/ipv6/conf/all/disable_ipv6"));
	assert_false(sysctl_key_switches_all("net/ipv6/conf/default/disable_ipv6"));
	assert_false(sysctl_key_switches_all("net/ipv4/conf/eth0/forwarding"));
	assert_string_equal(sysctl_key_identity("net/ipv4/ip_forward"),
			    "net/ipv4/conf/all/forwarding");
}

static void test_values(void **state)
{
	(void)state;
	assert_true(sysctl_value_equal("4096\t131072\t6291456", "4096 131072  6291456 "));
	assert_true(sysctl_value_equal("16", "0x10"));
	assert_true(sysctl_value_equal("-1", " -1"));
	assert_true(sysctl_value_equal("cubic", "cubic"));
	assert_true(sysctl_value_equal("", " "));
	assert_false(sysctl_value_equal("1 2", "1"));
	assert_false(sysctl_value_equal("1", "1 2"));
	assert_false(sysctl_value_equal("cubic", "reno"));
	assert_false(sysctl_value_equal("8", "010a"));
	assert_false(sysctl_value_equal("99999999999999999999", "99999999999999999998"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_normal),    cmocka_unit_test(test_problem),
		cmocka_unit_test(test_interface), cmocka_unit_test(test_switches),
		cmocka_unit_test(test_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
