/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Single steps: their words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "step.h"

#define WORDS_MAX 24

static char buffer[256];
static char *words[WORDS_MAX];

static int split(const char *text)
{
	char *rest = buffer, *word;
	int count = 0;

	strncpy(buffer, text, sizeof(buffer) - 1);
	while ((word = strsep(&rest, " ")))
		if (*word)
			words[count++] = word;
	return count;
}

static struct step understood(enum step_object object, const char *namespace, const char *text)
{
	struct error err = {0};
	struct step step;
	int count = split(text);

	if (step_parse(object, namespace, count, words, &step, &err))
		fail_msg("\"%s\": %s", text, err.message);
	return step;
}

static void test_netns(void **state)
{
	struct step step = understood(STEP_NETNS, NULL, "add red blue");

	(void)state;
	assert_int_equal(step.verb, STEP_ADD);
	assert_int_equal(step.names_count, 2);
	assert_string_equal(step.names[1], "blue");
	assert_int_equal(understood(STEP_NETNS, NULL, "del .odd").verb, STEP_DELETE);
	assert_int_equal(understood(STEP_NETNS, NULL, "delete red").verb, STEP_DELETE);
	assert_int_equal(understood(STEP_NETNS, NULL, "adopt red").verb, STEP_ADOPT);
	assert_int_equal(understood(STEP_NETNS, NULL, "").verb, STEP_LIST);
	assert_int_equal(understood(STEP_NETNS, NULL, "ls").verb, STEP_LIST);
	assert_int_equal(understood(STEP_NETNS, NULL, "show").verb, STEP_LIST);
	split("exec red ip link");
	assert_true(step_is_exec(4, words));
	assert_false(step_is_exec(0, words));
}

static void test_link_add(void **state)
{
	struct step step =
		understood(STEP_LINK, NULL, "add p0 netns red type veth peer name p0 netns blue");

	(void)state;
	assert_string_equal(step.link.name, "p0");
	assert_string_equal(step.link.namespace, "red");
	assert_string_equal(step.peer.name, "p0");
	assert_string_equal(step.peer.namespace, "blue");
	assert_false(step.link.has_mac);
	/* -n is for both ends, unless they say otherwise; host is the host. */
	step = understood(
		STEP_LINK, "red",
		"add name a mtu 9000 address 02:00:00:00:00:01 type veth peer b netns host");
	assert_string_equal(step.link.namespace, "red");
	assert_null(step.peer.namespace);
	assert_int_equal(step.mtu, 9000);
	assert_true(step.link.has_mac && !step.peer.has_mac);
	step = understood(STEP_LINK, NULL, "add a type veth peer name b address 02:00:00:00:00:02");
	assert_true(step.peer.has_mac && step.peer.mac[5] == 2);
	step = understood(STEP_LINK, NULL, "add br0 type bridge");
	assert_null(step.peer.name);
	assert_string_equal(understood(STEP_BRIDGE, NULL, "add br0").link.name, "br0");
}

static void test_link_set(void **state)
{
	struct step step = understood(STEP_LINK, NULL, "set dev p0 netns red mtu 1400 up");

	(void)state;
	assert_true(step.moves && step.up && !step.down);
	assert_string_equal(step.target, "red");
	assert_null(step.link.namespace);
	assert_int_equal(step.mtu, 1400);
	step = understood(STEP_LINK, "red", "set p0 netns host down");
	assert_true(step.moves && step.down);
	assert_null(step.target);
	assert_string_equal(understood(STEP_LINK, NULL, "set p0 master br0").master, "br0");
	assert_string_equal(understood(STEP_LINK, NULL, "set p0 nomaster").master, "");
	assert_null(understood(STEP_LINK, NULL, "set lo up").master);
}

static void test_addr(void **state)
{
	struct step step = understood(STEP_ADDRESS, "red", "add 192.168.15.1/24 dev veth-red");

	(void)state;
	assert_int_equal(step.address.prefix_len, 24);
	assert_string_equal(step.link.name, "veth-red");
	assert_string_equal(step.link.namespace, "red");
	step = understood(STEP_ADDRESS, NULL, "del fd00::1/64 dev p0 netns blue");
	assert_int_equal(step.verb, STEP_DELETE);
	assert_int_equal(step.address.family, AF_INET6);
	assert_string_equal(step.link.namespace, "blue");
	assert_string_equal(understood(STEP_ADDRESS, NULL, "show p0").link.name, "p0");
	assert_string_equal(understood(STEP_ADDRESS, NULL, "list dev p0").link.name, "p0");
	assert_string_equal(understood(STEP_ADDRESS, NULL, "list netns red").link.namespace, "red");
}

static void test_route(void **state)
{
	struct step step = understood(STEP_ROUTE, "red", "add default via fd00::1 dev p0");

	(void)state;
	assert_int_equal(step.address.family, AF_INET6);
	assert_int_equal(step.address.prefix_len, 0);
	assert_int_equal(step.via.prefix_len, 128);
	step = understood(STEP_ROUTE, NULL, "add 10.0.0.0/8 dev p0 netns red");
	assert_int_equal(step.via.family, 0);
	step = understood(STEP_ROUTE, NULL, "del default");
	assert_int_equal(step.address.family, AF_INET);
	assert_null(step.link.name);
}

static void test_refusals(void **state)
{
	static const struct {
		enum step_object object;
		const char *text, *words;
	} cases[] = {
		{STEP_NETNS, "add", "name of a namespace is needed"},
		{STEP_NETNS, "add host", "means the host namespace"},
		{STEP_NETNS, "add red red", "named twice"},
		{STEP_NETNS, "set red", "not for namespaces"},
		{STEP_NETNS, "frob red", "no 'frob'"},
		{STEP_LINK, "adopt p0", "no 'adopt'"},
		{STEP_LINK, "add p0", "type veth or type bridge is missing"},
		{STEP_LINK, "add p0 type", "'type' needs a value"},
		{STEP_LINK, "add p0 type veth", "peer name NAME2 is missing"},
		{STEP_LINK, "add p0 type veth peer name", "'peer name' needs a value"},
		{STEP_LINK, "add p0 type veth peer name p0", "both ends would be 'p0'"},
		{STEP_LINK, "add p0 type vlan id 4", "type 'vlan' is not supported"},
		{STEP_LINK, "add a-name-that-is-too-long type bridge", "15 bytes"},
		{STEP_LINK, "add br0 type bridge vlan", "'vlan' is not understood"},
		{STEP_LINK, "set p0", "nothing is to be set"},
		{STEP_LINK, "set p0 txqueuelen 5", "'txqueuelen' is not understood"},
		{STEP_LINK, "set p0 mtu many", "not 'many'"},
		{STEP_LINK, "set p0 mtu 0", "not '0'"},
		{STEP_LINK, "set p0 mtu 70000", "not '70000'"},
		{STEP_LINK, "set p0 address 02:00", "no MAC address"},
		{STEP_LINK, "set p0 netns", "'netns' needs a value"},
		{STEP_LINK, "del p0 p1", "'p1' is not understood"},
		{STEP_BRIDGE, "set br0 up", "link set"},
		{STEP_ADDRESS, "add 10.0.0.1 dev p0", "no prefix length: it would mean /32"},
		{STEP_ADDRESS, "add fd00::1 dev p0", "it would mean /128"},
		{STEP_ADDRESS, "add 10.0.0.1/24", "dev INTERFACE is missing"},
		{STEP_ADDRESS, "add 10.0.0.x/24 dev p0", "no IP address"},
		{STEP_ADDRESS, "add 10.0.0.1/24 dev", "'dev' needs a value"},
		{STEP_ADDRESS, "add 10.0.0.1/24 dev p0 scope link", "'scope' is not understood"},
		{STEP_ROUTE, "add default", "via ADDRESS or dev INTERFACE is missing"},
		{STEP_ROUTE, "add 10.0.0.1/8 via 10.0.0.2", "write 10.0.0.0/8"},
		{STEP_ROUTE, "add 10.0.0.0/8 via fd00::1", "of another family"},
		{STEP_ROUTE, "add 10.0.0.0/8 via 10.0.0.0/8", "no address of a next hop"},
		{STEP_ROUTE, "add nowhere via 10.0.0.1", "no destination"},
	};
	struct step step;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int count = split(cases[i].text);

		assert_int_equal(step_parse(cases[i].object, NULL, count, words, &step, &err),
				 -EINVAL);
		assert_int_equal(err.exit, EXIT_INVALID);
		if (!strstr(err.message, cases[i].words))
			fail_msg("\"%s\": \"%s\" does not say \"%s\"", cases[i].text, err.message,
				 cases[i].words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_netns),    cmocka_unit_test(test_link_add),
		cmocka_unit_test(test_link_set), cmocka_unit_test(test_addr),
		cmocka_unit_test(test_route),    cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
