/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What doctor finds of published ports that the host may give to its own sockets, or has.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "doctor_world.h"

/* The host's sockets can get those that are in the range and not reserved. */
TEST(published_ports)
{
	world->entries[world->record.count++] = (struct record_entry){
		RECORD_PUBLISHED, "eth0/udp/50000-50009", "192.168.15.11:7000", ""};
	set_sysctl(world, HOST, "net/ipv4/ip_local_port_range", "32768\t50007");
	set_sysctl(world, HOST, "net/ipv4/ip_local_reserved_ports", "40000,50000-50004");
	assert_non_null(strstr(expect(world, DOCTOR_PROBLEM, "unreserved",
				      "net/ipv4/ip_local_reserved_ports",
				      "nsroute apply /etc/nsroute/lab.yaml")
				       ->what,
			       "ports 50005-50007,"));
}

TEST(published_ports_without_file)
{
	world->entries[world->record.count++] =
		(struct record_entry){RECORD_PUBLISHED, "eth0/tcp/50000", "192.168.15.11:80", ""};
	world->fabric.file = DOCTOR_FILE_REFUSED;
	world->fabric.first = "refused";
	set_sysctl(world, HOST, "net/ipv4/ip_local_port_range", "32768\t60999");
	doctor_judge(&world->doctor);
	assert_string_equal(finding_of(world, "unreserved")->mend,
			    "sysctl -w net/ipv4/ip_local_reserved_ports=50000");
}

TEST(published_ports_reserved)
{
	world->entries[world->record.count++] =
		(struct record_entry){RECORD_PUBLISHED, "eth0/tcp/50000", "192.168.15.11:80", ""};
	set_sysctl(world, HOST, "net/ipv4/ip_local_port_range", "50000\t50000");
	set_sysctl(world, HOST, "net/ipv4/ip_local_reserved_ports", "50000");
	doctor_judge(&world->doctor);
	assert_null(finding_of(world, "unreserved"));
}

/* One of the host's programs has a published port: at that address, of all, of another, of another
 * protocol. */
static const struct doctor_finding *taken_by(struct world *world, const char *address,
					     uint16_t port, uint8_t protocol)
{
	static struct socket_open socket;

	world->entries[world->record.count++] = (struct record_entry){
		RECORD_PUBLISHED, "eth0/udp/5000-5009", "192.168.15.11:7000", ""};
	socket = (struct socket_open){ip(address), port, protocol, false};
	world->doctor.sockets = &socket;
	world->doctor.sockets_count = 1;
	doctor_judge(&world->doctor);
	return finding_of(world, "port-taken");
}

TEST(published_port_taken)
{
	const struct doctor_finding *finding = taken_by(world, "203.0.113.1", 5009, NSR_NAT_UDP);

	assert_non_null(finding);
	assert_int_equal(finding->status, DOCTOR_PROBLEM);
	assert_string_equal(finding->where, "eth0 udp port 5009");
	assert_non_null(strstr(finding->what, "on 203.0.113.1"));
	assert_non_null(strstr(finding->mend, "/etc/nsroute/lab.yaml"));
}

TEST(published_port_taken_of_all)
{
	const struct doctor_finding *finding = taken_by(world, "0.0.0.0", 5000, NSR_NAT_UDP);

	assert_non_null(finding);
	assert_int_equal(finding->status, DOCTOR_NOTE);
	assert_non_null(strstr(finding->what, "on all addresses"));
}

TEST(published_port_taken_of_all_ipv6)
{
	assert_int_equal(taken_by(world, "::", 5000, NSR_NAT_UDP)->status, DOCTOR_NOTE);
}

/* The published port is one of IPv4. */
TEST(published_port_taken_of_all_ipv6_alone)
{
	static struct socket_open socket;

	world->entries[world->record.count++] = (struct record_entry){
		RECORD_PUBLISHED, "eth0/udp/5000-5009", "192.168.15.11:7000", ""};
	socket = (struct socket_open){ip("::"), 5000, NSR_NAT_UDP, true};
	world->doctor.sockets = &socket;
	world->doctor.sockets_count = 1;
	doctor_judge(&world->doctor);
	assert_null(finding_of(world, "port-taken"));
}

TEST(published_port_of_another_address)
{
	assert_null(taken_by(world, "203.0.113.2", 5000, NSR_NAT_UDP));
}

TEST(published_port_beside)
{
	assert_null(taken_by(world, "203.0.113.1", 5010, NSR_NAT_UDP));
}

TEST(published_port_of_another_protocol)
{
	assert_null(taken_by(world, "203.0.113.1", 5000, NSR_NAT_TCP));
}

int main(void)
{
#define T(name) cmocka_unit_test(test_##name)
	static const struct CMUnitTest tests[] = {
		T(published_ports),
		T(published_ports_without_file),
		T(published_ports_reserved),
		T(published_port_taken),
		T(published_port_taken_of_all),
		T(published_port_taken_of_all_ipv6),
		T(published_port_taken_of_all_ipv6_alone),
		T(published_port_of_another_address),
		T(published_port_beside),
		T(published_port_of_another_protocol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
