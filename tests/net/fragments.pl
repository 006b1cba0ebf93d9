#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# fragments.pl - pieces of one UDP datagram, in whatever order.
#
#   fragments.pl SOURCE:PORT DEST:PORT ID LETTER ORDER [PIECE [BYTES]]
#
# The datagram is BYTES times LETTER, 8,000 unless told, in pieces of PIECE bytes, a multiple of 8, six
# of 1,400 unless told. ORDER has the numbers of those to send, separated by commas: 5,4,3,2,1,0 sends
# all of them, the last first. An IPv6 address is in brackets.
use strict;
use warnings;
use Socket qw(inet_pton pack_sockaddr_in pack_sockaddr_in6 AF_INET AF_INET6 SOCK_RAW);

my ($source, $dest, $id, $letter, $order, $piece, $bytes) = @ARGV;
$piece //= 1400;
$bytes //= 8000;
my ($from, $sport) = $source =~ /^\[?(.+?)\]?:(\d+)$/;
my ($to, $dport) = $dest =~ /^\[?(.+?)\]?:(\d+)$/;
my $ipv6 = $from =~ /:/;
my $family = $ipv6 ? AF_INET6 : AF_INET;
my ($saddr, $daddr) = (inet_pton($family, $from), inet_pton($family, $to));
my $udp = pack("nnnn", $sport, $dport, 8 + $bytes, 0) . $letter x $bytes;

sub checksum {
	my $sum = unpack("%32n*", shift);
	$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
	return ~$sum & 0xffff;
}

# What is in front of a piece; offset in units of 8 bytes.
sub headers {
	my ($length, $offset, $more) = @_;
	return pack("NnCCa16a16CCnN", 0x60000000, 8 + $length, 44, 64, $saddr, $daddr, 17, 0,
		    $offset << 3 | $more, $id)
		if $ipv6;
	return pack("CCnnnCCna4a4", 0x45, 0, 20 + $length, $id, $more << 13 | $offset, 64, 17, 0,
		    $saddr, $daddr);
}

my $pseudo = $saddr . $daddr . pack($ipv6 ? "NN" : "nn", $ipv6 ? (length($udp), 17) : (17, length($udp)));
substr($udp, 6, 2) = pack("n", checksum($pseudo . $udp) || 0xffff);
socket(my $socket, $family, SOCK_RAW, 255) or die "socket: $!"; # IPPROTO_RAW: with IP headers
my $address = $ipv6 ? pack_sockaddr_in6(0, $daddr) : pack_sockaddr_in(0, $daddr);
for my $number (split /,/, $order) {
	my $data = substr($udp, $number * $piece, $piece);
	my $more = ($number + 1) * $piece < length($udp) ? 1 : 0;
	send($socket, headers(length($data), $number * $piece / 8, $more) . $data, 0, $address)
		// die "send: $!";
}
