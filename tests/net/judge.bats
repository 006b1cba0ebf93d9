#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# judge.pl itself, which all tests of fabrics rely on: it finds what it is to find, in captures and in
# what comes by, and a test that lets such out fails.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load fabric

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

teardown() {
	clean_up
}

need_scapy() {
	/usr/bin/python3 -c "import scapy" 2>/dev/null || skip "python3-scapy is not installed: make deps-long"
}

# ---- Captures

# Lines "EXPECTED | PACKETS", in the words of scapy, each a capture of its own: $work/made-NUMBER.
make_captures() {
	/usr/bin/python3 -c '
import sys
from scapy.all import *
ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
outer = ether / IP(src="203.0.113.1", dst="198.51.100.1")
back = IP(src="198.51.100.1", dst="203.0.113.1")
quoted = back / UDP(sport=53, dport=5555) / Raw(b"x" * 9)
outer6 = ether / IPv6(src="2001:db8:113::1", dst="2001:db8:99::1")
back6 = IPv6(src="2001:db8:99::1", dst="2001:db8:113::1")
quoted6 = back6 / UDP(sport=53, dport=5555) / Raw(b"x" * 9)
large = Raw(b"x" * 4001)
# What is said of a destination that is changed on the way.
routed = IPv6ExtHdrRouting(addresses=["2001:db8:99::2"], segleft=1)
def cut(packet, length):
    packet = packet.__class__(raw(packet))
    return Raw(raw(packet)[:length])
for number, line in enumerate(sys.stdin):
    wrpcap(sys.argv[1] % number, eval(line.split(" | ")[1]))' "$BATS_TEST_TMPDIR/made-%d" <"$1"
}

# Line by line: what is found, in a capture of what. A fault begins with a colon.
put_cases() {
	cat >"$BATS_TEST_TMPDIR/cases" <<-'END'
		0 faults in 3 packets, 1 ICMP, 1 UDP, 1 TCP | [outer / UDP() / b"odd", outer / TCP() / b"even", outer / ICMP() / b"x"]
		0 faults in 4 packets, 1 UDP, 1 reassembled | fragment(outer / UDP() / large, 1200)[::-1]
		0 faults in 2 packets, 2 ICMP | [outer / ICMP(type=3, code=3) / quoted, outer / ICMP(type=11) / raw(quoted)[:28]]
		: source is inside: 192.168.15.11 | ether / IP(src="192.168.15.11", dst="198.51.100.1") / UDP()
		: destination is inside: 10.1.2.3 | ether / IP(src="203.0.113.1", dst="10.1.2.3") / UDP()
		: source is inside: 253.0.0.23. | ether / IPv6(src="fd00:17::1", dst="2001:db8::1") / UDP()
		: destination is inside: 253.0.0.23. | ether / IPv6(src="2001:db8::1", dst="fd00:17::1") / UDP()
		0 faults in 2 packets, 2 UDP | [outer / UDP(), ether / IP(src="192.168.18.9", dst="198.51.100.1") / UDP()]
		: an ARP sender is inside: 192.168.16.1 | ether / ARP(psrc="192.168.16.1", pdst="203.0.113.9")
		: an ARP target is inside: 192.168.16.1 | ether / ARP(psrc="203.0.113.9", pdst="192.168.16.1")
		: an address in IP option 7 is inside: 192.168.15.1 | ether / IP(src="203.0.113.1", dst="198.51.100.1", options=IPOption_RR(routers=["192.168.15.1"])) / UDP()
		: an address in IP option 68 is inside: 192.168.15.1 | ether / IP(src="203.0.113.1", dst="198.51.100.1", options=IPOption(b"\x44\x14\x15\x01" + bytes([203, 0, 113, 1, 0, 192, 168, 230, 192, 168, 15, 1, 0, 192, 168, 230]))) / UDP()
		0 faults in 1 packets, 1 UDP | ether / IP(src="203.0.113.1", dst="198.51.100.1", options=IPOption(b"\x44\x0c\x0d\x00" + bytes([0, 192, 168, 230, 0, 192, 168, 230]))) / UDP()
		: a quoted source is inside: 192.168.15.11 | outer / ICMP(type=11) / IP(src="192.168.15.11", dst="198.51.100.1") / UDP()
		: a quoted destination is inside: 192.168.15.11 | outer / ICMP(type=3, code=4) / IP(src="198.51.100.1", dst="192.168.15.11") / UDP()
		: a quoted source is inside: 192.168.15.11 | outer / ICMP(type=3) / cut(IP(src="192.168.15.11", dst="198.51.100.1") / UDP(), 28)
		: a short quote | outer / ICMP(type=3) / cut(quoted, 19)
		: a quote that is cut | outer / ICMP(type=3) / cut(IP(src="198.51.100.1", dst="203.0.113.1", options=IPOption_RR(routers=["198.51.100.9"])) / UDP(), 24)
		: wrong IP checksum | ether / IP(src="203.0.113.1", dst="198.51.100.1", chksum=1) / UDP()
		: wrong TCP checksum | outer / TCP(chksum=1)
		: wrong UDP checksum | outer / UDP(chksum=1)
		: wrong ICMP checksum | outer / ICMP(chksum=1)
		: wrong UDP checksum | fragment(outer / UDP(chksum=1) / large, 1200)
		: quoted: wrong UDP checksum | outer / ICMP(type=3) / back / UDP(chksum=1) / b"x"
		: quoted: wrong TCP checksum | outer / ICMP(type=3) / back / TCP(chksum=1) / b"x"
		: quoted: wrong ICMP checksum | outer / ICMP(type=3) / back / ICMP(type=0, chksum=1) / b"x"
		: wrong IP checksum of a quote | outer / ICMP(type=3) / IP(src="198.51.100.1", dst="203.0.113.1", chksum=1) / UDP() / b"x"
		: wrong IP checksum of a quote | outer / ICMP(type=3) / cut(IP(src="198.51.100.1", dst="203.0.113.1", chksum=1) / UDP() / b"x", 28)
		: a quoted source is inside: 192.168.15.11 | outer / ICMP(type=3) / back / ICMP(type=11) / IP(src="192.168.15.11", dst="198.51.100.1") / UDP()
		: a quoted source is inside: 192.168.15.11 | outer / ICMP(type=3) / cut(back / ICMP(type=11) / IP(src="192.168.15.11", dst="198.51.100.1") / UDP(), 44)
		0 faults in 1 packets, 1 ICMP | outer / ICMP(type=3) / cut(back / ICMP(type=11) / IP(src="203.0.113.1", dst="198.51.100.1") / UDP(), 40)
		0 faults in 3 packets, 1 UDP, 1 ICMPv6, 1 TCP | [outer6 / UDP() / b"odd", outer6 / TCP() / b"even", outer6 / ICMPv6EchoRequest()]
		0 faults in 2 packets, 1 UDP, 1 TCP | [outer6 / IPv6ExtHdrHopByHop(options=RouterAlert()) / IPv6ExtHdrDestOpt() / UDP() / b"odd", outer6 / routed / TCP()]
		0 faults in 4 packets, 1 UDP, 1 reassembled | fragment6(outer6 / IPv6ExtHdrFragment() / UDP() / large, 1280)[::-1]
		0 faults in 1 packets, 1 UDP, 1 reassembled | outer6 / IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt() / UDP()
		0 faults in 3 packets, 3 ICMPv6 | [outer6 / ICMPv6DestUnreach() / quoted6, outer6 / ICMPv6TimeExceeded() / cut(quoted6, 50), outer6 / ICMPv6PacketTooBig() / cut(back6 / IPv6ExtHdrDestOpt() / UDP(), 44)]
		: wrong UDP checksum | outer6 / UDP(chksum=1)
		: no UDP checksum | outer6 / UDP(chksum=0)
		: wrong TCP checksum | outer6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / TCP(chksum=1)
		: wrong TCP checksum | outer6 / routed / TCP(chksum=1)
		: wrong ICMPv6 checksum | outer6 / ICMPv6EchoRequest(cksum=1)
		: wrong ICMPv6 checksum | outer6 / IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(cksum=1)
		: wrong UDP checksum | fragment6(outer6 / IPv6ExtHdrFragment() / UDP(chksum=1) / large, 1280)
		: wrong UDP checksum | fragment6(outer6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment() / UDP(chksum=1) / large, 1280)[::-1]
		: an address in a routing header is inside: 253.0. | outer6 / IPv6ExtHdrRouting(addresses=["fd00:15::11"], segleft=0) / UDP()
		: a home address is inside: 253.0. | outer6 / IPv6ExtHdrDestOpt(nh=59, options=HAO(hoa="fd00:15::11"))
		: a neighbour is inside: 253.0. | outer6 / ICMPv6ND_NS(tgt="fd00:15::11")
		: a quoted source is inside: 253.0. | outer6 / ICMPv6TimeExceeded() / IPv6(src="fd00:15::11", dst="2001:db8:99::1") / UDP()
		: a quoted destination is inside: 253.0. | outer6 / IPv6ExtHdrDestOpt() / ICMPv6DestUnreach() / IPv6(src="2001:db8:99::1", dst="fd00:15::11") / UDP()
		: a quoted destination is inside: 253.0. | outer6 / ICMPv6PacketTooBig() / cut(IPv6(src="2001:db8:99::1", dst="fd00:15::11") / UDP(), 48)
		: a home address is inside: 253.0. | outer6 / ICMPv6DestUnreach() / back6 / IPv6ExtHdrDestOpt(nh=59, options=HAO(hoa="fd00:15::11"))
		: quoted: wrong UDP checksum | outer6 / ICMPv6DestUnreach() / back6 / UDP(chksum=1) / b"x"
		: quoted: wrong TCP checksum | outer6 / ICMPv6DestUnreach() / back6 / IPv6ExtHdrDestOpt() / TCP(chksum=1) / b"x"
		: quoted: wrong ICMPv6 checksum | outer6 / ICMPv6DestUnreach() / back6 / ICMPv6EchoReply(cksum=1)
		: a quoted source is inside: 253.0. | outer6 / ICMPv6DestUnreach() / back6 / ICMPv6TimeExceeded() / IPv6(src="fd00:15::11", dst="2001:db8:99::1") / UDP()
		0 faults in 0 packets | []
	END
}

@test "it finds what it is to find in a capture, and nothing else" {
	local number=0 expected
	need_scapy
	put_cases
	make_captures "$BATS_TEST_TMPDIR/cases"
	while read -r expected; do
		expected=${expected%% | *}
		echo "$number: $expected"
		run tests/net/judge.pl "$BATS_TEST_TMPDIR/made-$((number++))" "${private_prefixes[@]}"
		echo "$output"
		[[ $output == *"$expected"* ]]
		case $expected in
		": "*) [[ $status == 1 && ${#lines[@]} == 2 ]] ;;
		*" 0 packets") [[ $status == 1 && ${#lines[@]} == 1 ]] ;;
		*) [[ $status == 0 && ${#lines[@]} == 1 ]] ;;
		esac
	done <"$BATS_TEST_TMPDIR/cases"
}

# ---- What comes by

# A packet of TCP that has only what a device begins with, in its header or, as the argument says, added to
# that; of so many bytes, which the device is to cut where they are more than a packet may have.
unfinished() { # LENGTH ERROR
	on "$host" perl -e '
		my ($length, $error) = @ARGV;
		sub sum { my $s = unpack "%32n*", $_[0]; $s = ($s & 0xffff) + ($s >> 16) for 1, 2; $s }
		my ($source, $dest) = (pack("C4", 203, 0, 113, 1), pack("C4", 203, 0, 113, 10));
		my $begun = sum($source . $dest . pack("nn", 6, 20 + $length)) + $error;
		my $ip = pack "CCnnnCCna4a4", 0x45, 0, 40 + $length, 1, 0, 64, 6, 0, $source, $dest;
		substr($ip, 10, 2) = pack "n", 0xffff ^ sum($ip);
		my $packet = pack("a6a6n", "\2\0\0\0\0\2", "\2\0\0\0\0\1", 0x800) . $ip .
			pack("nnNNCCnnn", 4000, 9, 1, 1, 0x50, 16, 1000, $begun, 0) . "x" x $length;
		my $cut = $length > 1000;
		socket(my $socket, 17, 3, 0) or die;
		setsockopt($socket, 263, 15, 1) or die; # PACKET_VNET_HDR
		my $to = pack "SnisCCa8", 17, 0x800, `cat /sys/class/net/eth0/ifindex`, 0, 0, 6, "\2\0\0\0\0\2";
		send($socket, pack("CCSSSS", 1, $cut, 54, $cut ? 1000 : 0, 34, 16) . $packet, 0, $to) // die $!;
	' "$@"
}

replay() { # NUMBER: this capture
	on "$host" perl -e '
		socket(my $socket, 17, 3, 0) or die;
		my $to = pack "SnisCCa8", 17, 0x800, `cat /sys/class/net/eth0/ifindex`, 0, 0, 6, "\2\0\0\0\0\2";
		read STDIN, my $start, 24;
		while (read STDIN, my $head, 16) {
			read STDIN, my $frame, unpack "x8V", $head;
			send($socket, $frame, 0, $to) // die $!;
		}' <"$BATS_TEST_TMPDIR/made-$1"
}

@test "of what comes by it finds the same, but for sums that are quoted, and sums that a device is to finish" {
	local number=0 expected tried=
	need_scapy
	new_host
	unwatched "faults are what is looked for"
	put_cases
	make_captures "$BATS_TEST_TMPDIR/cases"
	while read -r expected; do
		expected=${expected%% | *}
		if [[ $expected == ": "* && $expected != ": quoted: "* && $tried != *"$expected"* ]]; then
			tried+=$expected
			echo "$number: $expected"
			anew
			replay "$number"
			found
			[[ $output == *"$expected"* && ${lines[-1]} == "1 faults in "* ]]
		fi
		number=$((number + 1))
	done <"$BATS_TEST_TMPDIR/cases"

	anew
	bulk "$host" "$outside" "$outside_address" -n 10M
	bulk "$host" "$outside" "$outside_address6" -n 10M
	pings "$host" "$outside_address" -s 8000
	exchange udp "$host" "$outside" "$outside_address6"
	unfinished 100 0
	unfinished 9000 0
	found
	[[ ${lines[-1]} == "0 faults in "* ]]
	anew
	unfinished 100 1
	found
	[[ $output == *": wrong TCP checksum"$'\n'"1 faults in "* ]]
	anew
	unfinished 9000 1
	found
	[[ $output == *": wrong TCP checksum to be finished"$'\n'"1 faults in "* ]]
}

anew() {
	local watcher
	watcher=$(<"$(watch_file)")
	end_watch "$watcher"
	start_watch
}

found() {
	end_watch "$(<"$(watch_file)")"
	run -0 cat "$(watch_file).said"
	echo "$output"
	start_watch
}

# ---- Tests

leak() {
	ip -n "$host" address add 192.168.15.11/32 dev lo
	on "$host" bash -c "exec 5<>/dev/udp/$outside_address/9" # the way is there
	pings "$host" "$outside_address" "$@"
}

@test "a test that lets an inside address out fails, if it does not say that it will" {
	new_host
	pings "$host" "$outside_address"
	leak -I 192.168.15.11 || true
	run -1 clean_up
	[[ $output == *": source is inside: 192.168.15.11"* ]]

	new_host
	unwatched "this is one that says so"
	leak -I 192.168.15.11 || true
	run -0 clean_up
}

@test "what goes between two networks that a test names is no fault; to anybody else it is" {
	private_prefixes+=("192.168.15.0/24=$outside_address/32")
	new_host
	pings "$host" "$outside_address" # ARP asks in the sender's name
	leak -I 192.168.15.11 || true
	run -0 clean_up

	private_prefixes[-1]="192.168.15.0/24=203.0.113.99/32"
	new_host
	pings "$host" "$outside_address"
	leak -I 192.168.15.11 || true
	run -1 clean_up
	[[ $output == *": source is inside: 192.168.15.11"* ]]
}
