#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tunnel.pl - a layer-3 tunnel between two network namespaces, as a VPN program would make it.
#
#   tunnel.pl INTERFACE NAMESPACE NAMESPACE     makes INTERFACE, a tun device, in both of them, and
#                                               carries packets between the two until it is killed
#   tunnel.pl INTERFACE                         one end: packets of its INTERFACE to and from stdin
#
# How it works: a tun device belongs to the namespace that it is opened in. So each end is a process
# in its namespace, and a pair of datagram sockets connects the two. The devices go with them.
use strict;
use warnings;
use Socket;

my ($interface, @namespaces) = @ARGV;
use constant {TUNSETIFF => 0x400454ca, IFF_TUN => 1, IFF_NO_PI => 0x1000};

if (@namespaces) {
	socketpair(my $left, my $right, AF_UNIX, SOCK_DGRAM, PF_UNSPEC) or die "socketpair: $!";
	my $other = fork() // die "fork: $!";
	open(STDIN, "<&", $other ? $left : $right) or die "dup: $!";
	exec("ip", "netns", "exec", $namespaces[$other ? 0 : 1], $^X, $0, $interface) or die "exec: $!";
}

open(my $tun, "+<", "/dev/net/tun") or die "/dev/net/tun: $!";
ioctl($tun, TUNSETIFF, pack("a16s x22", $interface, IFF_TUN | IFF_NO_PI)) or die "$interface: $!";
open(my $wire, "+<&", 0) or die "stdin: $!";
$SIG{PIPE} = "IGNORE";

my ($from_tun, $from_wire) = (fileno $tun, fileno $wire);
while (1) {
	my $ready = "";
	vec($ready, $from_tun, 1) = vec($ready, $from_wire, 1) = 1;
	select($ready, undef, undef, undef) > 0 or next;
	if (vec($ready, $from_tun, 1) && sysread($tun, my $packet, 65536)) {
		send($wire, $packet, 0) // exit;
	}
	if (vec($ready, $from_wire, 1)) {
		defined recv($wire, my $packet, 65536, 0) or exit;
		length $packet or exit;
		syswrite($tun, $packet);
	}
}
