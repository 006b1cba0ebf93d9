#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# link_sizes.pl LINK BYTES - the largest packets of TCP over IPv4 that a link takes and makes, which
# ip(8) cannot set before 6.3. Fails where the kernel has no such sizes.
#
# perl, because it is on every Debian.
use strict;
use warnings;
use Socket;

use constant {AF_NETLINK => 16, RTM_GETLINK => 18, RTM_SETLINK => 19, NLM_F_REQUEST => 1, NLM_F_ACK => 4};
use constant {IFLA_IFNAME => 3, IFLA_GSO_IPV4_MAX_SIZE => 63, IFLA_GRO_IPV4_MAX_SIZE => 64};

my ($link, $bytes) = @ARGV;

sub attribute {
	my ($type, $value) = @_;
	my $padding = "\0" x (-length($value) & 3);
	return pack("SS", 4 + length $value, $type) . $value . $padding;
}

sub ask {
	my ($type, $body) = @_;
	my $message = pack("LSSLL", 16 + length $body, $type, NLM_F_REQUEST | NLM_F_ACK, 1, 0) . $body;
	socket(my $netlink, AF_NETLINK, SOCK_RAW, 0) or die "netlink: $!\n";
	defined(send($netlink, $message, 0)) or die "send: $!\n";
	defined(recv($netlink, my $answer, 32768, 0)) or die "receive: $!\n";
	return $answer;
}

my $name = pack("CxSlLL", 0, 0, 0, 0, 0) . attribute(IFLA_IFNAME, "$link\0");
my @sizes = map { attribute($_, pack("L", $bytes)) } IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE;

$! = -unpack("l", substr(ask(RTM_SETLINK, join("", $name, @sizes)), 16, 4));
$! == 0 or die "sizes of $link: $!\n";
my $answer = ask(RTM_GETLINK, $name);
index($answer, $_) > 0 or die "this kernel has no sizes for IPv4\n" for @sizes;
