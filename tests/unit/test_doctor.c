/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What doctor finds in a world made by hand: nothing in a healthy fabric, and one thing at a time
 * that is wrong in it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "doctor_world.h"

TEST(healthy)
{
	doctor_judge(&world->doctor);
	if (count_status(world, DOCTOR_GOOD) != world->doctor.findings_count)
		print_findings(world);
	assert_int_equal(world->doctor.findings_count, 1);
	assert_string_equal(world->doctor.findings[0].check, "fabric");
	assert_string_equal(world->doctor.findings[0].where, "lab");
}

TEST(lo_down)
{
	SPACE(RED)->links[0].flags &= ~(unsigned)IFF_UP;
	expect(world, DOCTOR_PROBLEM, "lo-down", "red:lo", "ip -n red link set lo up");
}

TEST(peer_down)
{
	const struct doctor_finding *finding;

	SPACE(RED)->links[1].flags &= ~(unsigned)IFF_UP;
	HOST->links[RED_END].carrier = false;
	finding = expect(world, DOCTOR_PROBLEM, "peer-down", "red:eth0",
			 "ip -n red link set eth0 up");
	assert_non_null(strstr(finding->what, "host:red-eth0"));
	assert_string_equal(finding->fabric, "lab");
	assert_string_equal(finding->namespace, "red");
	assert_string_equal(finding->interface, "eth0");
}

TEST(uplink_down)
{
	world->doctor.netns = "lab host";
	HOST->links[ETH0].flags &= ~(unsigned)IFF_UP;
	expect(world, DOCTOR_PROBLEM, "link-down", "host:eth0",
	       "ip -n 'lab host' link set eth0 up");
}

TEST(no_cable)
{
	HOST->links[ETH0].carrier = false;
	expect(world, DOCTOR_NOTE, "no-carrier", "host:eth0", "");
}

TEST(pair_mtu)
{
	world->doctor.netns = "/run/user/host";
	HOST->links[RED_END].mtu = 9000;
	HOST->links[BRIDGE].mtu = 9000;
	HOST->links[BLUE_END].mtu = SPACE(BLUE)->links[1].mtu = 9000;
	HOST->links[ETH0].mtu = 9000;
	expect(world, DOCTOR_PROBLEM, "mtu", "host:red-eth0",
	       "nsenter --net=/run/user/host ip link set red-eth0 mtu 1500");
}

TEST(bridge_mtu)
{
	HOST->links[BRIDGE].mtu = 1400;
	expect(world, DOCTOR_PROBLEM, "mtu", "host:v-net-0",
	       "ip link set blue-eth0 mtu 1400 && ip -n blue link set eth0 mtu 1400 && "
	       "ip link set red-eth0 mtu 1400 && ip -n red link set eth0 mtu 1400");
}

TEST(uplink_mtu)
{
	HOST->links[ETH0].mtu = 1400;
	expect(world, DOCTOR_NOTE, "uplink-mtu", "host:eth0",
	       "${EDITOR:-vi} /etc/nsroute/lab.yaml && nsroute apply /etc/nsroute/lab.yaml");
}

TEST(no_prefix)
{
	SPACE(RED)->addresses[0].address = ip("192.168.15.11");
	SPACE(RED)->routes_count = 0;
	doctor_judge(&world->doctor);
	assert_non_null(finding_of(world, "address-prefix"));
	assert_string_equal(finding_of(world, "address-prefix")->mend,
			    "ip -n red address del 192.168.15.11/32 dev eth0 && "
			    "ip -n red address add 192.168.15.11/24 dev eth0");
}

TEST(single_address_with_routes) /* as routed networks and clouds have it */
{
	struct state_route *gateway = &SPACE(RED)->routes[0];

	SPACE(RED)->addresses[0].address = ip("192.168.15.11");
	gateway->to = ip("192.168.15.1");
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
}

TEST(duplicate)
{
	SPACE(BLUE)->addresses[0].address = ip("192.168.15.11/24");
	doctor_judge(&world->doctor);
	assert_non_null(finding_of(world, "duplicate-address"));
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 1);
}

TEST(no_duplicate_over_vlans)
{
	HOST->links[BRIDGE].vlan_filtering = true;
	SPACE(BLUE)->addresses[0].address = ip("192.168.15.11/24");
	memcpy(SPACE(BLUE)->links[1].mac, SPACE(RED)->links[1].mac, 6);
	memcpy(world->ports[1].port.mac, SPACE(RED)->links[1].mac, 6);
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
}

TEST(detection_failed)
{
	add_address(world, SPACE(RED), 2, "fd00::1/64")->flags = IFA_F_DADFAILED | IFA_F_TENTATIVE;
	expect(world, DOCTOR_PROBLEM, "duplicate-address", "red:eth0",
	       "ip -n red address del fd00::1/64 dev eth0");
}

TEST(tentative)
{
	struct state_address *address = add_address(world, SPACE(RED), 2, "fd00::1/64");

	address->flags = IFA_F_TENTATIVE;
	address->age_s = 1;
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
	address->age_s = 60;
	world->doctor.findings_count = 0;
	expect(world, DOCTOR_PROBLEM, "address-tentative", "red:eth0",
	       "ip -n red address del fd00::1/64 dev eth0 && "
	       "ip -n red address add fd00::1/64 dev eth0 nodad");
}

TEST(overlap)
{
	add_link(world, SPACE(RED), "eth1", "dummy");
	add_address(world, SPACE(RED), 3, "192.168.0.1/16");
	expect(world, DOCTOR_PROBLEM, "subnet-overlap", "red:eth1",
	       "ip -n red address del 192.168.0.1/16 dev eth1");
}

TEST(overlap_of_the_host)
{
	add_route(world, HOST, 2, "192.168.15.128/25", "203.0.113.7");
	expect(world, DOCTOR_PROBLEM, "host-overlap", "host:v-net-0",
	       "${EDITOR:-vi} /etc/nsroute/lab.yaml && nsroute apply /etc/nsroute/lab.yaml");
}

TEST(overlap_of_a_wide_route)
{
	add_route(world, HOST, 2, "192.168.0.0/16", "203.0.113.7");
	assert_int_equal(expect(world, DOCTOR_NOTE, "host-overlap", "host:v-net-0",
				"${EDITOR:-vi} /etc/nsroute/lab.yaml && "
				"nsroute apply /etc/nsroute/lab.yaml")
				 ->status,
			 DOCTOR_NOTE);
}

TEST(no_default_route)
{
	SPACE(RED)->routes_count = 1;
	expect(world, DOCTOR_PROBLEM, "no-route-out", "red:eth0",
	       "ip -n red route add default via 192.168.15.1");
}

TEST(gateway_of_nobody)
{
	SPACE(RED)->routes[1].via = ip("192.168.15.99");
	SPACE(RED)->routes[1].metric = 5;
	expect(world, DOCTOR_PROBLEM, "gateway-unreachable", "red:eth0",
	       "ip -n red route replace default via 192.168.15.1 dev eth0 metric 5");
}

TEST(gateway_that_may_be_outside) /* a NIC on the bridge: who knows who is there */
{
	SPACE(RED)->routes[1].via = ip("192.168.15.99");
	add_link(world, HOST, "eth1", "")->master = 3;
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
}

TEST(gateway_off_the_link)
{
	SPACE(RED)->routes[1].via = ip("10.0.0.1");
	expect(world, DOCTOR_PROBLEM, "gateway-unreachable", "red:eth0",
	       "ip -n red route add 10.0.0.1/32 dev eth0");
	SPACE(RED)->routes[1].onlink = true;
	HOST->addresses[1].address = ip("10.0.0.1/24");
	SPACE(BLUE)->routes_count = 1;
	world->doctor.findings_count = 0;
	doctor_judge(&world->doctor);
	assert_null(finding_of(world, "gateway-unreachable"));
}

TEST(no_forwarding)
{
	world->doctor.prefix = "sudo ";
	set_sysctl(world, HOST, "net/ipv4/conf/v-net-0/forwarding", "0");
	expect(world, DOCTOR_PROBLEM, "forwarding-off", "host:v-net-0",
	       "sudo sysctl -w net/ipv4/conf/v-net-0/forwarding=1");
}

TEST(no_forwarding_at_the_uplink)
{
	set_sysctl(world, HOST, "net/ipv4/conf/eth0/forwarding", "0");
	expect(world, DOCTOR_PROBLEM, "forwarding-off", "host:eth0",
	       "sysctl -w net/ipv4/conf/eth0/forwarding=1");
}

TEST(no_forwarding_in_a_namespace)
{
	add_route(world, SPACE(RED), 2, "10.99.0.0/16", "192.168.15.12");
	set_sysctl(world, SPACE(BLUE), "net/ipv4/conf/eth0/forwarding", "0");
	expect(world, DOCTOR_NOTE, "forwarding-off", "blue:eth0",
	       "ip netns exec blue sysctl -w net/ipv4/conf/eth0/forwarding=1");
}

TEST(strict_reverse_path)
{
	add_link(world, SPACE(RED), "eth1", "dummy");
	add_route(world, SPACE(RED), 3, "192.168.15.12/32", NULL);
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
	set_sysctl(world, SPACE(RED), "net/ipv4/conf/all/rp_filter", "1");
	expect(world, DOCTOR_PROBLEM, "rp-filter", "red:eth0",
	       "ip netns exec red sysctl -w net/ipv4/conf/eth0/rp_filter=2");
}

TEST(loose_reverse_path)
{
	add_link(world, SPACE(RED), "eth1", "dummy");
	add_route(world, SPACE(RED), 3, "192.168.15.12/32", NULL);
	set_sysctl(world, SPACE(RED), "net/ipv4/conf/all/rp_filter", "1");
	set_sysctl(world, SPACE(RED), "net/ipv4/conf/eth0/rp_filter", "2");
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
}

TEST(uplink_and_marks)
{
	const struct doctor_finding *finding;

	world->doctor.choices.marks = 1;
	finding = expect(world, DOCTOR_NOTE, "policy-routing", "host:eth0", "");
	assert_string_equal(finding->what, "1 rules by firewall mark, 0 XFRM policies outbound");
}
TEST(uplink_and_policies)
{
	world->doctor.choices.policies = 2;
	expect(world, DOCTOR_NOTE, "policy-routing", "host:eth0", "");
}
TEST(uplink_without_a_route)
{
	HOST->routes_count = 2;
	expect(world, DOCTOR_PROBLEM, "uplink-route", "host:eth0",
	       "ip route add default via GATEWAY dev eth0");
}

TEST(uplink_beside_the_route)
{
	add_link(world, HOST, "eth1", "");
	HOST->routes[2].ifindex = 6;
	expect(world, DOCTOR_NOTE, "uplink-route", "host:eth0",
	       "${EDITOR:-vi} /etc/nsroute/lab.yaml && nsroute apply /etc/nsroute/lab.yaml");
}

TEST(uplink_renumbered)
{
	HOST->addresses[0].address = ip("203.0.113.2/24");
	expect(world, DOCTOR_PROBLEM, "uplink-address", "host:eth0",
	       "nsroute apply /etc/nsroute/lab.yaml");
}

TEST(advertisements)
{
	add_route(world, HOST, 2, "::/0", "fe80::1")->protocol = RTPROT_RA;
	set_sysctl(world, HOST, "net/ipv6/conf/eth0/forwarding", "1");
	set_sysctl(world, HOST, "net/ipv6/conf/eth0/accept_ra", "1");
	expect(world, DOCTOR_PROBLEM, "accept-ra", "host:eth0",
	       "sysctl -w net/ipv6/conf/eth0/accept_ra=2");
}

TEST(namespace_gone)
{
	SPACE(BLUE)->exists = false;
	SPACE(BLUE)->links_count = SPACE(BLUE)->addresses_count = SPACE(BLUE)->routes_count = 0;
	HOST->links[BLUE_END].peer_namespace = NULL;
	expect(world, DOCTOR_PROBLEM, "namespace-missing", "blue",
	       "nsroute apply /etc/nsroute/lab.yaml");
}

TEST(link_gone)
{
	strcpy(HOST->links[BLUE_END].name, "renamed");
	expect(world, DOCTOR_PROBLEM, "link-missing", "host:blue-eth0",
	       "nsroute apply /etc/nsroute/lab.yaml");
}

TEST(mac_changed)
{
	world->entries[5].value = "02:00:00:00:00:09";
	expect(world, DOCTOR_PROBLEM, "mac-changed", "host:red-eth0",
	       "ip link set red-eth0 address 02:00:00:00:00:09");
}

TEST(mac_changed_inside)
{
	memcpy(world->ports[0].port.mac, "\2\0\0\0\0\7", 6);
	expect(world, DOCTOR_PROBLEM, "mac-changed", "red:eth0",
	       "ip -n red link set eth0 address 02:00:00:00:00:07");
}

TEST(program_gone)
{
	HOST->links[RED_END].hook_out = false;
	expect(world, DOCTOR_PROBLEM, "program-missing", "host:red-eth0",
	       "nsroute apply /etc/nsroute/lab.yaml");
}

TEST(ingress_qdisc)
{
	HOST->links[ETH0].hook_in = HOST->links[ETH0].hook_out = false;
	HOST->links[ETH0].ingress_qdisc = true;
	expect(world, DOCTOR_PROBLEM, "ingress-qdisc", "host:eth0",
	       "tc qdisc del dev eth0 ingress && nsroute apply /etc/nsroute/lab.yaml");
}

TEST(queueing)
{
	HOST->links[RED_END].other_qdisc = true;
	expect(world, DOCTOR_NOTE, "qdisc", "host:red-eth0",
	       "tc qdisc del dev red-eth0 root && nsroute apply /etc/nsroute/lab.yaml");
}

TEST(xdp)
{
	HOST->links[RED_END].xdp_program = 7;
	expect(world, DOCTOR_PROBLEM, "foreign-xdp", "host:red-eth0",
	       "ip link set dev red-eth0 xdp off");
}

TEST(programs_of_others)
{
	static struct program programs[] = {
		{"eth0", PROGRAM_TC_INGRESS, "counter", 1, 0, 5, true},
		{"eth0", PROGRAM_TCX_EGRESS, "stranger", 0, 12, 6, false}};

	world->doctor.programs = programs;
	world->doctor.programs_count = COUNT(programs);
	expect(world, DOCTOR_PROBLEM, "foreign-program", "host:eth0", "bpftool link detach id 12");
}

TEST(orphan)
{
	strcpy(add_link(world, HOST, "lost", "")->alias, "nsroute:gone");
	expect(world, DOCTOR_PROBLEM, "orphan", "host:lost", "ip link del lost");
}

TEST(file_differs)
{
	world->fabric.file = DOCTOR_FILE_DIFFERS;
	world->fabric.operations = 3;
	world->fabric.first = "+ namespace green";
	assert_non_null(strstr(expect(world, DOCTOR_PROBLEM, "differs", "lab",
				      "nsroute apply /etc/nsroute/lab.yaml")
				       ->what,
			       "in 3 operations"));
}

TEST(file_gone)
{
	world->fabric.file = DOCTOR_FILE_GONE;
	expect(world, DOCTOR_NOTE, "file-gone", "lab", "");
}

TEST(managers)
{
	world->doctor.managers.network_manager = true;
	doctor_judge(&world->doctor);
	assert_int_equal(finding_of(world, "manager")->status, DOCTOR_NOTE);
	world->doctor.managers.told = true;
	world->doctor.findings_count = 0;
	doctor_judge(&world->doctor);
	assert_null(finding_of(world, "manager"));
}

TEST(full_tables)
{
	world->doctor.limits = (struct doctor_limits){.neighbours4 = 950,
						      .neighbours4_max = 1024,
						      .neighbours6 = 10,
						      .neighbours6_max = 1024,
						      .files_max = 1024};
	expect(world, DOCTOR_PROBLEM, "neighbours", "net/ipv4/neigh/default/gc_thresh3",
	       "sysctl -w net/ipv4/neigh/default/gc_thresh3=8192");
}

TEST(full_connections)
{
	world->doctor.limits =
		(struct doctor_limits){.connections = 65000, .connections_max = 65536};
	expect(world, DOCTOR_PROBLEM, "connections", "net/netfilter/nf_conntrack_max",
	       "sysctl -w net/netfilter/nf_conntrack_max=524288");
}

TEST(few_files)
{
	world->doctor.limits.files_max = 67;
	expect(world, DOCTOR_PROBLEM, "files", "ulimit -n", "ulimit -n 136");
}

/* What is of no fabric is looked at only when no fabric is asked for. */
TEST(foreign_namespace)
{
	struct state_namespace *other = SPACE(OTHER);

	world->state.namespaces_count = 3;
	*other = (struct state_namespace){.name = "other", .exists = true, .alias = ""};
	add_link(world, other, "lo", "")->flags = IFF_LOOPBACK;
	add_link(world, other, "tunl0", "ipip")->flags = 0; /* the kernel's own: not a finding */
	expect(world, DOCTOR_PROBLEM, "lo-down", "other:lo", "ip -n other link set lo up");
	assert_null(finding_of(world, "lo-down")->fabric);
	assert_non_null(finding_of(world, "fabric"));
	assert_null(finding_of(world, "namespaces"));
	world->doctor.findings_count = 0;
	world->doctor.only = "lab";
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test(test_##name)
	static const struct CMUnitTest tests[] = {
		T(healthy),
		T(lo_down),
		T(peer_down),
		T(uplink_down),
		T(no_cable),
		T(pair_mtu),
		T(bridge_mtu),
		T(uplink_mtu),
		T(uplink_and_marks),
		T(uplink_and_policies),
		T(no_prefix),
		T(single_address_with_routes),
		T(duplicate),
		T(no_duplicate_over_vlans),
		T(detection_failed),
		T(tentative),
		T(overlap),
		T(overlap_of_the_host),
		T(overlap_of_a_wide_route),
		T(no_default_route),
		T(gateway_of_nobody),
		T(gateway_that_may_be_outside),
		T(gateway_off_the_link),
		T(no_forwarding),
		T(no_forwarding_at_the_uplink),
		T(no_forwarding_in_a_namespace),
		T(strict_reverse_path),
		T(loose_reverse_path),
		T(uplink_without_a_route),
		T(uplink_beside_the_route),
		T(uplink_renumbered),
		T(advertisements),
		T(namespace_gone),
		T(link_gone),
		T(mac_changed),
		T(mac_changed_inside),
		T(program_gone),
		T(ingress_qdisc),
		T(queueing),
		T(xdp),
		T(programs_of_others),
		T(orphan),
		T(file_differs),
		T(file_gone),
		T(managers),
		T(full_tables),
		T(full_connections),
		T(few_files),
		T(foreign_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
