#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# echo_udp.pl - datagrams that have to come back to where they came from.
#
#   echo_udp.pl serve ADDRESS PORT            sends back what comes; prints the sender of each
#   echo_udp.pl ask ADDRESS PORT FROM COUNT   sends so many from a port of its own, and waits for each; one
#                                             that is lost is sent again. Exit status 0: all came back, and
#                                             nothing that is another's
use strict;
use warnings;
use Socket qw(:DEFAULT inet_ntoa);

my ($what, $address, $port, $from, $count) = @ARGV;
socket(my $socket, PF_INET, SOCK_DGRAM, 0) or die "socket: $!\n";
$| = 1;

if ($what eq "serve") {
	bind($socket, pack_sockaddr_in($port, inet_aton($address))) or die "bind: $!\n";
	while (1) {
		my $sender = recv($socket, my $data, 2000, 0) // next;
		my ($its_port, $its_address) = unpack_sockaddr_in($sender);
		print inet_ntoa($its_address), ":$its_port\n";
		send($socket, $data, 0, $sender);
	}
}

bind($socket, pack_sockaddr_in($from, INADDR_ANY)) or die "bind: $!\n";
connect($socket, pack_sockaddr_in($port, inet_aton($address))) or die "connect: $!\n";
setsockopt($socket, SOL_SOCKET, SO_RCVTIMEO, pack "qq", 1, 0) or die "SO_RCVTIMEO: $!\n";
my $mine = "$$ " . rand();
for my $number (1 .. $count) {
	my ($answer, $tries) = ("", 0);
	while ($answer ne "$mine $number") {
		die "$number of $count did not come back\n" if ++$tries > 5;
		send($socket, "$mine $number", 0);
		defined recv($socket, $answer, 2000, 0) or $answer = "";
		die "what is another's: $answer\n" if $answer !~ /^(\Q$mine\E |$)/;
	}
	select(undef, undef, undef, 0.005);
}
