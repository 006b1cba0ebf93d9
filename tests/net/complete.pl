#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# complete.pl - TCP in VXLAN, of a capture, with the checksums of TCP completed.
#
#   complete.pl FILE >FILE
#
# Within a machine the checksum of TCP in a tunnel is left to be completed, and the tunnel's own, made in
# advance, is right only when it has been. So judge.pl can look at what comes of this, which has those
# frames alone that are TCP in IPv4 in VXLAN in UDP, port 4789, and changes nothing else of them.
use strict;
use warnings;

sub sum {
	my $bytes = shift;
	$bytes .= "\0" if length($bytes) % 2;
	my $sum = unpack "%32n*", $bytes;
	$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
	return $sum;
}

# Of an Ethernet frame in place; false when it is another.
sub complete {
	my $frame = shift;
	my $type = unpack "x12n", $$frame;
	my $udp = $type == 0x0800 ? 14 + (ord(substr $$frame, 14) & 15) * 4 : 14 + 40;
	my $protocol = ord substr $$frame, $type == 0x0800 ? 14 + 9 : 14 + 6;
	return if $protocol != 17 || ($type != 0x0800 && $type != 0x86dd);
	return if unpack("n", substr $$frame, $udp + 2) != 4789;
	my $ip = $udp + 8 + 8 + 14;
	return if length $$frame < $ip + 40 || unpack("n", substr $$frame, $ip - 2) != 0x0800;
	my ($total, $of, $addresses) = unpack "x2nx5Cx2a8", substr $$frame, $ip;
	return if $of != 6;
	my $tcp = $ip + (ord(substr $$frame, $ip) & 15) * 4;
	my $length = $total - ($tcp - $ip);
	substr($$frame, $tcp + 16, 2) = "\0\0";
	my $over = $addresses . pack("nn", 6, $length) . substr($$frame, $tcp, $length);
	substr($$frame, $tcp + 16, 2) = pack "n", ~sum($over) & 0xffff;
	return 1;
}

open(my $in, "<:raw", $ARGV[0]) or die "$ARGV[0]: $!\n";
binmode STDOUT;
read($in, my $header, 24) == 24 or die "no capture\n";
print $header;
my $long = unpack("V", $header) == 0xa1b2c3d4 || unpack("V", $header) == 0xa1b23c4d ? "V" : "N";
while (read($in, my $of, 16) == 16) {
	my $length = unpack "x8$long", $of;
	read($in, my $frame, $length) == $length or die "a capture that is cut\n";
	print $of, $frame if $length >= 14 + 40 + 8 && complete(\$frame);
}
