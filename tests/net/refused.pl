#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# refused.pl - begins connections, or tells what becomes of one, or of a datagram.
#
#   refused.pl tcp|udp ADDRESS PORT       prints the error, or "answered"; fails when it takes long
#   refused.pl begin ADDRESS PORT COUNT   sends the first packet of so many connections
#
# perl, because it is on every Debian.
use strict;
use warnings;
use Errno;
use Socket qw(:DEFAULT SOCK_NONBLOCK);

my ($protocol, $address, $port, $count) = @ARGV;
my $name = sockaddr_in($port, inet_aton($address));

if ($protocol eq "begin") {
	my @sockets;
	for (1 .. $count) {
		socket(my $socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) or die "socket: $!\n";
		connect($socket, $name) or $!{EINPROGRESS} or die "connect: $!\n";
		push @sockets, $socket;
	}
	exit 0;
}

sub told {
	print "$!\n";
	exit 0;
}

$SIG{ALRM} = sub { die "nothing was told\n" };
alarm 20;
socket(my $socket, AF_INET, $protocol eq "tcp" ? SOCK_STREAM : SOCK_DGRAM, 0) or die "socket: $!\n";
connect($socket, $name) or told();
defined(send($socket, "hello\n", 0)) or told();
defined(recv($socket, my $answer, 64, 0)) or told();
print "answered\n";
