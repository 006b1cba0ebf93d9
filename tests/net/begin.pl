#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# begin.pl - first packets of many flows, which nobody answers: faster than sockets could, and from any port.
#
#   begin.pl tcp|udp SOURCE FIRST-PORT PORTS DEST FIRST-DEST-PORT DEST-PORTS
#
# One packet from each of PORTS ports to each of DEST-PORTS ports: SYNs, or datagrams. Every few packets it
# waits for a moment, so that no queue on their way is ever full.
use strict;
use warnings;
use Socket qw(inet_aton pack_sockaddr_in AF_INET SOCK_RAW);

my ($what, $source, $port, $ports, $dest, $to, $tos) = @ARGV;
my $protocol = $what eq "tcp" ? 6 : 17;
my ($from4, $to4) = map { inet_aton($_) } $source, $dest;
my $sent = 0;

sub sum {
	my $sum = unpack "%32n*", shift;
	$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
	return 0xffff ^ $sum;
}

sub transport {
	my ($sport, $dport) = @_;
	my $data = $protocol == 6 ? pack("nnNNCCnnn", $sport, $dport, 1, 0, 0x50, 2, 65535, 0, 0)
		: pack("nnnn", $sport, $dport, 8, 0);
	my $sum = sum($from4 . $to4 . pack("nn", $protocol, length $data) . $data);
	substr($data, $protocol == 6 ? 16 : 6, 2) = pack "n", $sum || 0xffff;
	return $data;
}

socket(my $socket, AF_INET, SOCK_RAW, 255) or die "socket: $!\n"; # the header is ours
my $name = pack_sockaddr_in(0, $to4);
for my $dport ($to .. $to + $tos - 1) {
	for my $sport ($port .. $port + $ports - 1) {
		my $data = transport($sport, $dport);
		# The kernel makes its sum and, as it is 0, the identification.
		my $header = pack "CCnnnCCna4a4", 0x45, 0, 20 + length $data, 0, 0x4000, 64, $protocol, 0,
			$from4, $to4;
		defined send($socket, $header . $data, 0, $name) or die "send: $!\n";
		select(undef, undef, undef, 0.001) if ++$sent % 100 == 0;
	}
}
