#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# other.pl - packets of any IPv4 protocol, with what is behind their header made up.
#
#   other.pl serve PROTOCOL...                   sends back what comes of these, until it is killed;
#                                                prints "ready" first
#   other.pl listen PROTOCOL...                  the same, but sends nothing back; a line for each
#   other.pl ask ADDRESS PROTOCOL SIZE SECONDS   sends SIZE bytes each half second until they come
#                                                back, so many seconds at most; 0: once, and waits for
#                                                nothing. Exit status 0: they came back
use strict;
use warnings;
use Socket qw(inet_aton inet_ntoa pack_sockaddr_in AF_INET SOCK_RAW);
use Time::HiRes qw(time);

sub raw {
	socket(my $socket, AF_INET, SOCK_RAW, shift) or die "socket: $!";
	return $socket;
}

# What is behind the header, and who sent it; for some seconds at most.
sub received {
	my ($seconds, @sockets) = @_;
	my $ready = "";
	vec($ready, fileno $_, 1) = 1 for @sockets;
	return if select($ready, undef, undef, $seconds) <= 0;
	for my $socket (@sockets) {
		next unless vec($ready, fileno $socket, 1);
		defined recv($socket, my $packet, 65536, 0) or next;
		return (substr($packet, (ord($packet) & 15) * 4), substr($packet, 12, 4), $socket);
	}
	return;
}

my ($what, @words) = @ARGV;
if ($what ne "ask") {
	my @sockets = map { raw($_) } @words;
	$| = 1;
	print "ready\n";
	while (1) {
		my ($data, $from, $socket) = received(undef, @sockets) or next;
		print "came\n" if $what eq "listen";
		send($socket, $data, 0, pack_sockaddr_in(0, $from)) if $what eq "serve";
	}
}

my ($address, $protocol, $size, $seconds) = @words;
my $socket = raw($protocol);
my $sent = join "", map { chr($_ * 7 & 255) } 1 .. $size;
my $end = time + $seconds;
do {
	send($socket, $sent, 0, pack_sockaddr_in(0, inet_aton($address))) // die "send: $!";
	exit 0 if !$seconds;
	my $again = time + 0.5;
	while ((my $left = $again - time) > 0) {
		my ($data, $from) = received($left, $socket) or last;
		exit 0 if $data eq $sent && $from eq inet_aton($address);
	}
} while (time < $end);
exit 1;
