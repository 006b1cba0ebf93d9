#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# fragments.pl - pieces of one UDP datagram, in whatever order.
#
#   fragments.pl SOURCE:PORT DEST:PORT ID LETTER ORDER
#
# The datagram is 8,000 times LETTER, in six pieces. ORDER has the numbers of those to send, separated
# by commas: 5,4,3,2,1,0 sends all of them, the last first.
use strict;
use warnings;
use Socket qw(inet_aton pack_sockaddr_in AF_INET SOCK_RAW);

my ($source, $dest, $id, $letter, $order) = @ARGV;
my $piece = 1400; # a multiple of 8
my ($from, $sport) = split /:/, $source;
my ($to, $dport) = split /:/, $dest;
my ($saddr, $daddr) = (inet_aton($from), inet_aton($to));
my $udp = pack("nnnn", $sport, $dport, 8 + 8000, 0) . $letter x 8000;

sub checksum {
	my $sum = unpack("%32n*", shift);
	$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
	return ~$sum & 0xffff;
}

substr($udp, 6, 2) =
	pack("n", checksum($saddr . $daddr . pack("nn", 17, length($udp)) . $udp) || 0xffff);
socket(my $socket, AF_INET, SOCK_RAW, 255) or die "socket: $!"; # IPPROTO_RAW: with IP headers
for my $number (split /,/, $order) {
	my $data = substr($udp, $number * $piece, $piece);
	my $more = ($number + 1) * $piece < length($udp) ? 0x2000 : 0;
	send($socket, pack("CCnnnCCna4a4", 0x45, 0, 20 + length($data), $id,
			   $more | $number * $piece / 8, 64, 17, 0, $saddr, $daddr) . $data,
	     0, pack_sockaddr_in(0, $daddr)) // die "send: $!";
}
