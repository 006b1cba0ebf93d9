#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# udp_gso.pl - datagrams that are sent many at once (UDP_SEGMENT, udp(7)), and who takes them.
#
#   udp_gso.pl send ADDRESS PORT SEGMENT COUNT BATCHES   each batch is COUNT datagrams of SEGMENT bytes
#   udp_gso.pl serve ADDRESS PORT SEGMENT COUNT          until it is killed
#
# A datagram is its number and a pattern that goes with it. The server looks at every byte, and
# answers the last one of a batch that has come complete and in order; the sender waits for that. So
# nothing is lost for want of room, and "send" fails when one byte is not as it was.
#
# perl, because it is on every Debian.
use strict;
use warnings;
use Socket qw(:DEFAULT inet_pton sockaddr_in6 AF_INET6 INADDR_ANY IN6ADDR_ANY);

use constant {SOL_UDP => 17, UDP_SEGMENT => 103, SO_RCVBUFFORCE => 33};    # linux/udp.h, asm/socket.h

my ($what, $address, $port, $segment, $count, $batches) = @ARGV;
my $six = $address =~ /:/;

sub name {
	return $six ? sockaddr_in6($port, inet_pton(AF_INET6, $address)) : sockaddr_in($port, inet_aton($address));
}

sub datagram {
	my $number = shift;
	return substr(pack("N", $number) x ($segment / 4 + 1), 0, $segment);
}

socket(my $socket, $six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) or die "socket: $!\n";
setsockopt($socket, SOL_SOCKET, SO_RCVBUFFORCE, pack("i", 4 << 20)) or die "receive buffer: $!\n";

if ($what eq "send") {
	setsockopt($socket, SOL_UDP, UDP_SEGMENT, pack("i", $segment)) or die "UDP_SEGMENT: $!\n";
	connect($socket, name()) or die "connect: $!\n";
	alarm 30;
	for my $batch (0 .. $batches - 1) {
		my $data = join "", map { datagram($batch * $count + $_) } 0 .. $count - 1;
		defined(send($socket, $data, 0)) or die "send: $!\n";
		defined(recv($socket, my $answer, 64, 0)) or die "receive: $!\n";
		$answer eq "batch $batch" or die "answer to batch $batch: $answer\n";
	}
	print "$batches batches of $count\n";
} else {
	bind($socket, name()) or die "bind: $!\n";
	for (my $number = 0;; $number++) {
		my $from = recv($socket, my $data, 65536, 0);
		defined $from or die "receive: $!\n";
		$number = 0 if $data eq datagram(0);    # of another sender
		$data eq datagram($number) or die "datagram $number is not what was sent\n";
		next if ($number + 1) % $count;
		send($socket, "batch " . int($number / $count), 0, $from) or die "send: $!\n";
	}
}
