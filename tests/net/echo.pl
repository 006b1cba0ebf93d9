#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# echo.pl - a server that sends back what it gets, and its client.
#
#   echo.pl tcp|udp PORT                                   prints "ADDRESS PORT" of each caller
#   echo.pl tcp|udp PORT ADDRESS [SOURCE-PORT [SOURCE]]    exit status 0: an echo came back
#
# A client waits for as many seconds as the environment's PATIENCE says, 15 when it says nothing, and
# sends a datagram again after each. What it sends has at least as many bytes as SIZE says. perl, because it is on every Debian.
use strict;
use warnings;
use IO::Select;
use Socket;

my ($protocol, $port, $address, $source_port, $source) = @ARGV;
my $tcp = $protocol eq "tcp";
my $patience = $ENV{PATIENCE} // 15;
my $size = $ENV{SIZE} // 1;

$| = 1;
socket(my $socket, AF_INET, $tcp ? SOCK_STREAM : SOCK_DGRAM, 0) or die "socket: $!\n";
setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);

sub tell_caller {
	my ($from, $where) = sockaddr_in(shift);
	print inet_ntoa($where), " $from\n";
}

sub serve_stream {
	listen($socket, 16) or die "listen: $!\n";
	while (my $caller = accept(my $stream, $socket)) {
		tell_caller($caller);
		next if fork;
		while (sysread($stream, my $data, 4096)) { syswrite($stream, $data) }
		exit 0;
	}
}

sub serve_datagrams {
	for (;;) {
		my $caller = recv($socket, my $data, 65536, 0);
		next if !$caller; # an ICMP error
		tell_caller($caller);
		send($socket, $data, 0, $caller);
	}
}

if (!defined $address) {
	bind($socket, sockaddr_in($port, INADDR_ANY)) or die "bind: $!\n";
	$SIG{CHLD} = "IGNORE";
	$tcp ? serve_stream() : serve_datagrams();
	exit 1;
}

if ($source_port || $source) {
	my $from = $source ? inet_aton($source) : INADDR_ANY;
	bind($socket, sockaddr_in($source_port // 0, $from)) or die "bind: $!\n";
}
$SIG{ALRM} = sub { exit 1 };
alarm $patience if $tcp;
connect($socket, sockaddr_in($port, inet_aton($address))) or exit 1;
for my $try (1 .. ($tcp ? 1 : $patience)) {
	my $word = "echo $try $$";
	$word .= "." x ($size - length $word) if length $word < $size;
	send($socket, $word, 0);
	next if !IO::Select->new($socket)->can_read($tcp ? $patience : 1);
	my $echo = "";
	recv($socket, $echo, 65536, 0);
	exit 0 if length $echo >= $size;
}
exit 1;
