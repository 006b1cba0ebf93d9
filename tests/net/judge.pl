#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# judge.pl - what nobody outside may see, looked for in a capture.
#
#   judge.pl FILE PREFIX...
#
# FILE is what the outside received by an Ethernet interface, as tcpdump -w writes it, with checksums
# complete (ethtool -K UPLINK tx off). PREFIX is inside, IPv4 or IPv6. Looked for are inside addresses
# as source or destination, in IP options, in ARP, and in what ICMP errors quote; and wrong checksums of
# IPv4, TCP, UDP, ICMP and ICMPv6, also in quotes that have all of the packet. Fragments are put together
# first. It makes every sum itself. Each fault is a line; the last line is how many packets there were.
# Exit status 0: packets and no fault.
use strict;
use warnings;
use Socket qw(inet_pton AF_INET AF_INET6);

my ($file, @prefixes) = @ARGV;
my (@inside, %pieces, $number, $faults, %count);
$number = $faults = 0;

for (@prefixes) {
	my ($address, $length) = m{^(.*)/(\d+)$} or die "not a prefix: $_\n";
	my $bytes = inet_pton($address =~ /:/ ? AF_INET6 : AF_INET, $address) // die "not an address: $_\n";
	push @inside, [length $bytes, $length, unpack("B$length", $bytes)];
}

sub fault {
	print "packet $number: @_\n" if ++$faults <= 20;
}

sub is_inside {
	my $address = shift;
	for (@inside) {
		return 1 if $_->[0] == length $address && unpack("B$_->[1]", $address) eq $_->[2];
	}
	return 0;
}

sub look {
	my ($what, $address) = @_;
	fault("$what is inside: " . join ".", unpack "C*", $address) if is_inside($address);
}

sub sum {
	my $bytes = shift;
	$bytes .= "\0" if length($bytes) % 2;
	my $sum = unpack "%32n*", $bytes;
	$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
	return $sum;
}

sub pseudo4 {
	my ($source, $dest, $protocol, $data) = @_;
	return $source . $dest . pack("nn", $protocol, length $data) . $data;
}

# TCP, UDP and ICMP; $over is what the sum of the first two is made over.
sub transport {
	my ($where, $protocol, $data, $over) = @_;
	if ($protocol == 6) {
		return fault("${where}short TCP") if length $data < 20;
		fault("${where}wrong TCP checksum") if sum($over) != 0xffff;
	} elsif ($protocol == 17) {
		return fault("${where}short UDP") if length $data < 8;
		fault("${where}wrong UDP length") if unpack("x4n", $data) != length $data;
		fault("${where}wrong UDP checksum") if unpack("x6n", $data) && sum($over) != 0xffff;
	} elsif ($protocol == 1) {
		return fault("${where}short ICMP") if length $data < 8;
		fault("${where}wrong ICMP checksum") if sum($data) != 0xffff;
	}
	$count{$protocol}++ unless $where;
}

sub options {
	my $options = shift;
	while (length $options) {
		my ($kind, $length) = unpack "CC", $options;
		last if !$kind;
		if ($kind == 1) {
			substr($options, 0, 1) = "";
			next;
		}
		return if !$length || $length < 2 || $length > length $options;
		# Whatever option it is: addresses are at any place in it.
		look("an address in IP option $kind", substr $options, $_, 4) for 2 .. $length - 4;
		substr($options, 0, $length) = "";
	}
}

# The header of a quoted packet, and what is there of the rest.
sub quote4 {
	my $packet = shift;
	return fault("a short quote") if length $packet < 20;
	my $header = (ord($packet) & 15) * 4;
	my ($total, $fragment, $protocol, $source, $dest) = unpack "x2nx2nxCx2a4a4", $packet;
	look("a quoted source", $source);
	look("a quoted destination", $dest);
	fault("wrong IP checksum of a quote") if sum(substr $packet, 0, $header) != 0xffff;
	options(substr $packet, 20, $header - 20);
	return if $fragment & 0x3fff || length $packet < $total || $protocol == 1;
	my $data = substr $packet, $header, $total - $header;
	transport("quoted: ", $protocol, $data, pseudo4($source, $dest, $protocol, $data));
}

sub whole4 {
	my ($source, $dest, $protocol, $data) = @_;
	transport("", $protocol, $data, pseudo4($source, $dest, $protocol, $data));
	quote4(substr $data, 8)
		if $protocol == 1 && ord($data) =~ /^(3|4|5|11|12)$/ && length $data > 8;
}

# A fragment; all of a datagram are judged when the last has come.
sub piece4 {
	my ($key, $offset, $more, $data) = @_;
	my $of = $pieces{$key} //= {};
	$of->{pieces}{$offset} = $data;
	$of->{end} = $offset + length $data if !$more;
	my ($at, $whole) = (0, "");
	while (defined(my $next = $of->{pieces}{$at})) {
		$whole .= $next;
		last if !length $next;
		$at += length $next;
	}
	return if !defined $of->{end} || $at != $of->{end};
	delete $pieces{$key};
	my ($source, $dest, $protocol) = unpack "a4a4C", $key;
	$count{reassembled}++;
	whole4($source, $dest, $protocol, $whole);
}

sub ip4 {
	my $packet = shift;
	return fault("short IPv4") if length $packet < 20;
	my $header = (ord($packet) & 15) * 4;
	my ($total, $id, $fragment, $protocol, $source, $dest) = unpack "x2nnnxCx2a4a4", $packet;
	return fault("IPv4 that is cut") if $header < 20 || $total < $header || length $packet < $total;
	look("source", $source);
	look("destination", $dest);
	fault("wrong IP checksum") if sum(substr $packet, 0, $header) != 0xffff;
	options(substr $packet, 20, $header - 20) if $header > 20;
	my $data = substr $packet, $header, $total - $header;
	return whole4($source, $dest, $protocol, $data) if !($fragment & 0x3fff);
	piece4(pack("a4a4Cn", $source, $dest, $protocol, $id), ($fragment & 0x1fff) * 8,
	       $fragment & 0x2000, $data);
}

# Extension headers are not looked behind.
sub ip6 {
	my $packet = shift;
	return fault("short IPv6") if length $packet < 40;
	my ($length, $next, $source, $dest) = unpack "x4nCxa16a16", $packet;
	return fault("IPv6 that is cut") if length $packet < 40 + $length;
	my $data = substr $packet, 40, $length;
	my $over = $source . $dest . pack("NN", $length, $next) . $data;
	look("source", $source);
	look("destination", $dest);
	if ($next == 58) {
		fault("wrong ICMPv6 checksum") if sum($over) != 0xffff;
		return if ord($data) > 4 || length $data < 48;
		look("a quoted source", substr $data, 16, 16);
		look("a quoted destination", substr $data, 32, 16);
	} else {
		transport("", $next, $data, $over);
	}
}

sub frame {
	my $frame = shift;
	my $type = unpack "x12n", $frame;
	if ($type == 0x0800) {
		ip4(substr $frame, 14);
	} elsif ($type == 0x86dd) {
		ip6(substr $frame, 14);
	} elsif ($type == 0x0806) {
		look("an ARP sender", substr $frame, 28, 4);
	} else {
		fault(sprintf "unknown type %04x", $type);
	}
}

open my $in, "<:raw", $file or die "$file: $!\n";
read $in, my $start, 24 or die "$file: empty\n";
my ($magic, $link) = unpack "Vx16V", $start;
die "$file: not a capture of Ethernet by tcpdump here\n"
	if ($magic != 0xa1b2c3d4 && $magic != 0xa1b23c4d) || $link != 1;
while (read($in, my $head, 16) == 16) {
	my ($length, $original) = unpack "x8VV", $head;
	last if read($in, my $frame, $length) != $length; # the last one, half-written
	$number++;
	$length < $original ? fault("captured in part") : frame($frame);
}
my %name = (1 => "ICMP", 6 => "TCP", 17 => "UDP");
print "$faults faults in $number packets",
	(map { ", $count{$_} " . ($name{$_} // ($_ eq "reassembled" ? $_ : "protocol $_")) } sort keys %count), "\n";
exit($faults || !$number ? 1 : 0);
