#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# errors.pl - which errors come back to which of several sockets.
#
#   errors.pl ADDRESS PORT WHAT...
#
# Each WHAT is a UDP socket, connected to ADDRESS, that sends one datagram, all of them at once; the first
# has PORT, the others have those behind it. "old" does not live for a fourth hop, "large" is 1,400 bytes
# that nobody may take to pieces, both to port 8080, as is "good"; "closed" is to port 8081. For each the
# errors that it was told of within two seconds are printed.
use strict;
use warnings;
use Errno qw(EHOSTUNREACH EMSGSIZE ECONNREFUSED);
use Socket qw(inet_pton inet_aton pack_sockaddr_in pack_sockaddr_in6 AF_INET AF_INET6 SOCK_DGRAM SOL_SOCKET SO_ERROR);

# Of linux/in.h and linux/in6.h: time to live, errors are told of, the path's MTU is heeded.
my ($remote, $port, @what) = @ARGV;
my $ipv6 = $remote =~ /:/;
my ($level, $ttl, $recverr, $mtu_discover) = $ipv6 ? (41, 16, 25, 23) : (0, 2, 11, 10);
my %names = (EHOSTUNREACH, "EHOSTUNREACH", EMSGSIZE, "EMSGSIZE", ECONNREFUSED, "ECONNREFUSED");
my (@sockets, @told);

sub address {
	my ($host, $number) = @_;
	return $ipv6 ? pack_sockaddr_in6($number, inet_pton(AF_INET6, $host))
		: pack_sockaddr_in($number, inet_aton($host));
}

for (@what) {
	socket(my $s, $ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) or die "socket: $!\n";
	bind($s, address($ipv6 ? "::" : "0.0.0.0", $port++)) or die "bind: $!\n";
	setsockopt($s, $level, $recverr, pack "i", 1) or die "RECVERR: $!\n";
	setsockopt($s, $level, $mtu_discover, pack "i", 2) or die "MTU_DISCOVER: $!\n";
	$_ ne "old" or setsockopt($s, $level, $ttl, pack "i", 3) or die "TTL: $!\n";
	connect($s, address($remote, $_ eq "closed" ? 8081 : 8080)) or die "connect: $!\n";
	push @sockets, $s;
}
send($sockets[$_], "x" x ($what[$_] eq "large" ? 1400 : 10), 0) // die "send: $!\n" for 0 .. $#what;
for (1 .. 40) {
	select(undef, undef, undef, 0.05);
	for my $i (0 .. $#what) {
		my $error = unpack "i", getsockopt($sockets[$i], SOL_SOCKET, SO_ERROR);
		push @{$told[$i]}, $names{$error} // $error if $error;
	}
}
print "$what[$_]: ", join(" ", @{$told[$_] // []}), "\n" for 0 .. $#what;
