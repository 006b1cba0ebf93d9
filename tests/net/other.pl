#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# other.pl - packets of any protocol over IPv4 or IPv6, with what is behind their header made up.
#
#   other.pl serve 4|6 PROTOCOL...               sends back what comes of these, until it is killed;
#                                                prints "ready" first
#   other.pl listen 4|6 PROTOCOL...              the same, but sends nothing back; a line for each
#   other.pl ask ADDRESS PROTOCOL SIZE SECONDS   sends SIZE bytes each half second until they come
#                                                back, so many seconds at most; 0: once, and waits for
#                                                nothing. Exit status 0: they came back
use strict;
use warnings;
use Socket qw(inet_pton pack_sockaddr_in pack_sockaddr_in6 unpack_sockaddr_in6 AF_INET AF_INET6 SOCK_RAW);
use Time::HiRes qw(time);

my ($what, @words) = @ARGV;
my $six = $words[0] eq "6" || $words[0] =~ /:/;

sub raw {
	socket(my $socket, $six ? AF_INET6 : AF_INET, SOCK_RAW, shift) or die "socket: $!";
	return $socket;
}

sub named {
	return $six ? pack_sockaddr_in6(0, shift) : pack_sockaddr_in(0, shift);
}

# What is behind the header, which IPv6 does not show, and who sent it; for some seconds at most.
sub received {
	my ($seconds, @sockets) = @_;
	my $ready = "";
	vec($ready, fileno $_, 1) = 1 for @sockets;
	return if select($ready, undef, undef, $seconds) <= 0;
	for my $socket (@sockets) {
		next unless vec($ready, fileno $socket, 1);
		my $from = recv($socket, my $packet, 65536, 0) // next;
		return ($packet, (unpack_sockaddr_in6 $from)[1], $socket) if $six;
		return (substr($packet, (ord($packet) & 15) * 4), substr($packet, 12, 4), $socket);
	}
	return;
}

if ($what ne "ask") {
	shift @words;
	my @sockets = map { raw($_) } @words;
	$| = 1;
	print "ready\n";
	while (1) {
		my ($data, $from, $socket) = received(undef, @sockets) or next;
		print "came\n" if $what eq "listen";
		send($socket, $data, 0, named($from)) if $what eq "serve";
	}
}

my ($text, $protocol, $size, $seconds) = @words;
my $address = inet_pton($six ? AF_INET6 : AF_INET, $text) // die "not an address: $text";
my $socket = raw($protocol);
my $sent = join "", map { chr($_ * 7 & 255) } 1 .. $size;
my $end = time + $seconds;
connect($socket, named($address)) or die "connect: $!"; # so that it hears of a smaller MTU
do {
	send($socket, $sent, 0, named($address)) // die "send: $!";
	exit 0 if !$seconds;
	my $again = time + 0.5;
	while ((my $left = $again - time) > 0) {
		my ($data, $from) = received($left, $socket) or last;
		exit 0 if $data eq $sent && $from eq $address;
	}
} while (time < $end);
exit 1;
