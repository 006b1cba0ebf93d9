#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# echo.pl - a server that sends back what it gets, and its client.
#
#   echo.pl tcp|udp|tcp6|udp6 PORT                         prints "ADDRESS PORT" of each caller
#   echo.pl PROTOCOL PORT ADDRESS [SOURCE-PORT [SOURCE]]   exit status 0: an echo came back
#
# A client waits for as many seconds as the environment's PATIENCE says, 15 when it says nothing, and
# sends a datagram again after each. What it sends has at least as many bytes as SIZE says. perl, because it is on every Debian.
use strict;
use warnings;
use IO::Select;
use Socket qw(:DEFAULT IPPROTO_IPV6 IPV6_V6ONLY inet_pton inet_ntop pack_sockaddr_in6 unpack_sockaddr_in6);

my ($protocol, $port, $address, $source_port, $source) = @ARGV;
my $family = $protocol =~ s/6$// ? AF_INET6 : AF_INET;
my $tcp = $protocol eq "tcp";
my $patience = $ENV{PATIENCE} // 15;
my $size = $ENV{SIZE} // 1;

$| = 1;
socket(my $socket, $family, $tcp ? SOCK_STREAM : SOCK_DGRAM, 0) or die "socket: $!\n";
setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
setsockopt($socket, IPPROTO_IPV6, IPV6_V6ONLY, 1) if $family == AF_INET6;

sub at { # PORT [ADDRESS]
	my ($port, $address) = @_;
	return pack_sockaddr_in6($port, inet_pton(AF_INET6, $address // "::")) if $family == AF_INET6;
	return sockaddr_in($port, $address ? inet_aton($address) : INADDR_ANY);
}

sub tell_caller {
	my ($from, $where) = $family == AF_INET6 ? unpack_sockaddr_in6(shift) : sockaddr_in(shift);
	print inet_ntop($family, $where), " $from\n";
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
	bind($socket, at($port)) or die "bind: $!\n";
	$SIG{CHLD} = "IGNORE";
	$tcp ? serve_stream() : serve_datagrams();
	exit 1;
}

if ($source_port || $source) {
	bind($socket, at($source_port // 0, $source)) or die "bind: $!\n";
}
$SIG{ALRM} = sub { exit 1 };
alarm $patience if $tcp;
connect($socket, at($port, $address)) or exit 1;
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
