#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# clash.pl - the first datagrams of a socket, sent by several processes at the same instant.
#
#   clash.pl serve REMOTE...                        tells each sender its address and port, and what it sent
#   clash.pl ask SOCKETS PROCESSES PORT REMOTE...   each process sends by each socket to each remote; the first
#                                                   socket has PORT, the others have those behind it
#
# REMOTE is ADDRESS:PORT, an IPv6 address in brackets. ask prints two numbers: of how many ports the
# remotes have seen a socket, and of how many each remote by itself has. Exit status 0: all that was sent
# came back, to the socket and from the remote that it was sent by and to, at the second try at last; and the
# numbers are the same for all sockets.
use strict;
use warnings;
use Socket qw(:DEFAULT :addrinfo inet_pton pack_sockaddr_in6 SOCK_DGRAM SO_RCVTIMEO);
use Time::HiRes qw(time usleep);

use constant APART => 0.004; # seconds, of two sockets
use constant SO_RCVBUFFORCE => 33; # asm-generic/socket.h: room for what comes while somebody else runs

sub name_of {
	my ($error, $host, $port) = getnameinfo($_[0], NI_NUMERICHOST | NI_NUMERICSERV);
	return "$host $port";
}

sub address {
	my ($host, $port) = @_;
	return $host =~ /:/ ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $host))
		: pack_sockaddr_in($port, inet_aton($host));
}

sub new_socket {
	my $address = shift;
	socket(my $socket, sockaddr_family($address), SOCK_DGRAM, 0) or die "socket: $!\n";
	bind($socket, $address) or die "bind: $!\n";
	setsockopt($socket, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23) or die "SO_RCVBUFFORCE: $!\n";
	return $socket;
}

sub serve {
	my (@sockets) = map { new_socket($_) } @_;
	my $all = "";
	vec($all, fileno $_, 1) = 1 for @sockets;
	while (1) {
		select(my $ready = $all, undef, undef, undef);
		for my $socket (grep { vec($ready, fileno $_, 1) } @sockets) {
			my $sender = recv($socket, my $data, 100, 0) // next;
			send($socket, name_of($sender) . " $data", 0, $sender);
		}
	}
}

# By all sockets, one after the other; each process in an order of its own.
sub send_all {
	my ($process, $begin, $sockets, $remotes) = @_;
	for my $i (0 .. $#$sockets) {
		my $at = $begin + $i * APART;
		my $early = $at - time - 0.0005;
		usleep($early * 1e6) if $early > 0;
		1 while time < $at;
		for my $j (0 .. $#$remotes) {
			my $remote = $remotes->[($process + $j) % @$remotes];
			send($sockets->[$i], $process, 0, $remote) // die "send: $!\n";
		}
	}
}

# What comes to a socket: which ports the remotes saw it by, and which each saw.
sub collect {
	my ($socket, $processes, $remotes) = @_;
	my %missing = map { my $remote = $_; map { (name_of($remote) . " $_" => [$_, $remote]) } 1 .. $processes } @$remotes;
	my (%ports, %of_remote, $again);
	setsockopt($socket, SOL_SOCKET, SO_RCVTIMEO, pack "qq", 2, 0) or die "SO_RCVTIMEO: $!\n";
	while (%missing) {
		my $remote = recv($socket, my $data, 100, 0);
		if (!defined $remote) {
			print STDERR "to ", name_of(getsockname $socket), " is missing: ", join(", ", keys %missing), "\n";
			$again++ and exit 1;
			send($socket, $_->[0], 0, $_->[1]) // die "send: $!\n" for values %missing;
			next;
		}
		my ($address, $port, $process) = split / /, $data;
		$remote = name_of($remote);
		delete $missing{"$remote $process"} or die "what nobody has sent: $process, from $remote\n";
		$ports{"$address $port"} = $of_remote{$remote}{"$address $port"} = 1;
	}
	my ($most) = sort { $b <=> $a } map { scalar keys %$_ } values %of_remote;
	return scalar(keys %ports) . " $most";
}

sub ask {
	my ($count, $processes, $port, @remotes) = @_;
	my $any = sockaddr_family($remotes[0]) == AF_INET6 ? "::" : "0.0.0.0";
	my @sockets = map { new_socket(address($any, $port + $_)) } 0 .. $count - 1;
	my $begin = time + 0.2;
	my (@children, %seen);
	for my $process (1 .. $processes) {
		my $child = fork // die "fork: $!\n";
		send_all($process, $begin, \@sockets, \@remotes), exit 0 if !$child;
		push @children, $child;
	}
	for (@children) {
		waitpid $_, 0;
		die "a process failed\n" if $?;
	}
	$seen{collect($_, $processes, \@remotes)}++ for @sockets;
	print "$_\n" for sort keys %seen;
	exit(keys %seen != 1);
}

my $what = shift;
my @numbers = $what eq "ask" ? splice(@ARGV, 0, 3) : ();
my @remotes = map { /^\[?(.+?)\]?:(\d+)$/ or die "not a remote: $_\n"; address($1, $2) } @ARGV;
$what eq "ask" ? ask(@numbers, @remotes) : serve(@remotes);
