#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# judge.pl - what nobody outside may see, looked for in a capture, or in what comes by.
#
#   judge.pl FILE [!]PREFIX...
#   judge.pl - [!]PREFIX...
#
# PREFIX may be PREFIX=PREFIX: whatever goes between an address in the one and one in the other is no fault of
# these two, in quotes either.
#
# FILE is what the outside received by an Ethernet interface, as tcpdump -w writes it, with checksums
# complete (ethtool -K UPLINK tx off). PREFIX is inside, IPv4 or IPv6, but for what is in one with an
# exclamation mark. Looked for are inside addresses as source or destination, in options and routing
# headers, in ARP and neighbour discovery, and in what ICMP errors quote, and errors quoted by these; and
# wrong checksums of IPv4, TCP, UDP, ICMP and ICMPv6, also in quotes that have all of the packet. Fragments
# are put together first. It makes every sum itself. Each fault is a line; the last line is how many
# packets there were. Exit status 0: packets and no fault.
#
# With "-" it looks at what arrives in its network namespace, from the line "listening" until it is ended
# by SIGTERM, and then says the same; no packet at all is no fault. Here checksums need not be complete: the
# kernel tells which are to be made by a device (PACKET_VNET_HDR). Such a one is finished as the device
# would; of a packet that is longer than what is read of it, what is there for the device to begin with
# must be the sum of the pseudo-header. Quoted ones may be unfinished, which nothing tells: of quotes the
# addresses and the sum of the IP header are looked at.
use strict;
use warnings;
use Errno qw(EAGAIN EINTR);
use Socket qw(inet_pton AF_INET AF_INET6 MSG_DONTWAIT SOCK_RAW SOL_SOCKET SO_RCVTIMEO);

# Of include/uapi/linux, and asm-generic: what perl has no names for.
use constant {
	AF_PACKET => 17, ETH_P_ALL => 3, ARPHRD_ETHER => 1, SO_RCVBUFFORCE => 33, SOL_PACKET => 263,
	PACKET_STATISTICS => 6, PACKET_VNET_HDR => 15, PACKET_IGNORE_OUTGOING => 23,
	VNET_HDR_LENGTH => 10, VNET_HDR_F_NEEDS_CSUM => 1,
};
use constant READ_LENGTH => 4096; # of a packet; all of most
use constant MOST_PIECES => 4096; # datagrams that lack a fragment

my ($file, @prefixes) = @ARGV;
my $live = $file eq "-";
my (@inside, @except, @pairs, %pieces, $number, $faults, %count);
# Whether the sum of this packet's transport is to be finished, and the packet is not all here.
my $unfinished = 0;
# Whether a device is to cut it: it may be longer than its header can say then, which says 0.
my $large = 0;
$number = $faults = 0;

sub prefix {
	my ($address, $length) = $_[0] =~ m{^(.*)/(\d+)$} or die "not a prefix: $_[0]\n";
	my $bytes = inet_pton($address =~ /:/ ? AF_INET6 : AF_INET, $address) // die "not an address: $_[0]\n";
	return [length $bytes, $length, unpack("B$length", $bytes)];
}

for (@prefixes) {
	if (/=/) {
		push @pairs, [map { [prefix($_)] } split /=/, $_, 2];
	} else {
		my ($not, $prefix) = /^(!?)(.*)$/;
		push @{$not ? \@except : \@inside}, prefix($prefix);
	}
}

sub fault {
	print "packet $number: @_\n" if ++$faults <= 20;
}

sub is_in {
	my ($address, $prefixes) = @_;
	for (@$prefixes) {
		return 1 if $_->[0] == length $address && unpack("B$_->[1]", $address) eq $_->[2];
	}
	return 0;
}

sub look {
	my ($what, $address) = @_;
	fault("$what is inside: " . join ".", unpack "C*", $address)
		if is_in($address, \@inside) && !is_in($address, \@except);
}

# The two of a packet, or of what is there of a quoted one.
sub look_at_both {
	my ($what, $source, $dest) = @_;
	for (@pairs) {
		my ($one, $other) = @$_;
		return if is_in($source, $one) && is_in($dest, $other) || is_in($dest, $one) && is_in($source, $other);
	}
	look("${what}source", $source);
	look("${what}destination", $dest);
}

sub sum {
	my $bytes = shift;
	$bytes .= "\0" if length($bytes) % 2;
	my $sum = unpack "%32n*", $bytes;
	$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
	return $sum;
}

# What the sum of TCP, UDP and ICMPv6 is made over before the packet.
sub pseudo {
	my ($source, $dest, $protocol, $length) = @_;
	return $source . $dest . pack(length $source == 4 ? "nn" : "NN", $protocol, $length);
}

# A sum of TCP or UDP that is at this place, or of ICMPv6. Of a packet of which not all is here: what a
# device is to begin with.
sub check {
	my ($where, $what, $at, $pseudo, $data) = @_;
	if (!$unfinished) {
		fault("${where}wrong $what checksum") if sum($pseudo . $data) != 0xffff;
	} else {
		fault("${where}wrong $what checksum to be finished") if unpack("x${at}n", $data) != sum($pseudo);
	}
}

# TCP, UDP, ICMP and ICMPv6. The length is what there should be of data.
sub transport {
	my ($where, $source, $dest, $protocol, $data, $length) = @_;
	my $six = length $source == 16;
	my $pseudo = pseudo($source, $dest, $protocol, $length);
	my $judged = $length == length $data || $unfinished;
	if ($protocol == 6) {
		return fault("${where}short TCP") if length $data < 20;
		check($where, "TCP", 16, $pseudo, $data) if $judged;
	} elsif ($protocol == 17) {
		return fault("${where}short UDP") if length $data < 8;
		fault("${where}wrong UDP length") if unpack("x4n", $data) != $length;
		if (unpack "x6n", $data) {
			check($where, "UDP", 6, $pseudo, $data) if $judged;
		} elsif ($six) {
			fault("${where}no UDP checksum");
		}
	} elsif ($protocol == 1 && !$six) {
		return fault("${where}short ICMP") if length $data < 8;
		fault("${where}wrong ICMP checksum") if $judged && sum($data) != 0xffff;
	} elsif ($protocol == 58 && $six) {
		return fault("${where}short ICMPv6") if length $data < 8;
		check($where, "ICMPv6", 2, $pseudo, $data) if $judged;
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
		# Whatever option it is: addresses are at any place in it. But a timestamp, milliseconds
		# since midnight, may look like one, so of those (68) only what is one is looked at.
		my @places = 2 .. $length - 4;
		@places = ord(substr $options, 3) & 15 ? grep { $_ % 8 == 4 } @places : ()
			if $kind == 68 && $length > 3;
		look("an address in IP option $kind", substr $options, $_, 4) for @places;
		substr($options, 0, $length) = "";
	}
}

# What is there of a quoted packet's transport; an error may quote in its turn.
sub quoted {
	my ($source, $dest, $protocol, $data, $length) = @_;
	transport("quoted: ", $source, $dest, $protocol, $data, $length) if $length == length $data && !$live;
	inner($source, $protocol, $data, "deep");
}

sub quote4 {
	my ($packet, $deep) = @_;
	look("a quoted source", substr $packet, 12, 4) if length $packet >= 16 && length $packet < 20;
	look_at_both("a quoted ", unpack "x12a4a4", $packet) if length $packet >= 20;
	return $deep || fault("a short quote") if length $packet < 20;
	my $header = (ord($packet) & 15) * 4;
	my ($total, $fragment, $protocol, $source, $dest) = unpack "x2nx2nxCx2a4a4", $packet;
	return $deep || fault("a quote that is cut")
		if $header < 20 || $total < $header || length $packet < $header;
	fault("wrong IP checksum of a quote") if sum(substr $packet, 0, $header) != 0xffff;
	options(substr $packet, 20, $header - 20);
	quoted($source, $dest, $protocol, substr($packet, $header, $total - $header), $total - $header)
		if !($fragment & 0x3fff);
}

sub quote6 {
	my ($packet, $deep) = @_;
	look("a quoted source", substr $packet, 8, 16) if length $packet >= 24 && length $packet < 40;
	look_at_both("a quoted ", unpack "x8a16a16", $packet) if length $packet >= 40;
	return $deep || fault("a short quote") if length $packet < 40;
	my ($length, $next, $source, $dest) = unpack "x4nCxa16a16", $packet;
	my ($protocol, $at, $final, $fragment) = behind($next, substr($packet, 40, $length), $dest);
	quoted($source, $final, $protocol, substr($packet, 40 + $at, $length - $at), $length - $at)
		if defined $protocol && !$fragment;
}

# What an ICMP error quotes, and the addresses of neighbour discovery. A quote that is in a quote may be
# cut anywhere.
sub inner {
	my ($source, $protocol, $data, $deep) = @_;
	return if length $data <= 8;
	if (length $source == 4) {
		quote4(substr($data, 8), $deep) if $protocol == 1 && ord($data) =~ /^(3|4|5|11|12)$/;
	} elsif ($protocol == 58) {
		quote6(substr($data, 8), $deep) if ord($data) < 128;
		look("a neighbour", substr $data, 8, 16) if ord($data) =~ /^13[567]$/;
	}
}

sub whole {
	my ($source, $dest, $protocol, $data, $length) = @_;
	transport("", $source, $dest, $protocol, $data, $length // length $data);
	inner($source, $protocol, $data);
}

# A fragment; all of a datagram are judged when the last has come.
sub piece {
	my ($source, $dest, $protocol, $id, $offset, $more, $data) = @_;
	my $key = "$source$dest$id" . (length $source == 4 ? chr $protocol : "");
	%pieces = () if keys %pieces > MOST_PIECES;
	my $of = $pieces{$key} //= {};
	$of->{pieces}{$offset} = $data;
	$of->{protocol} = $protocol if !$offset; # that of IPv6's first is what counts
	$of->{end} = $offset + length $data if !$more;
	my ($at, $whole) = (0, "");
	while (defined(my $next = $of->{pieces}{$at})) {
		$whole .= $next;
		last if !length $next;
		$at += length $next;
	}
	return if !defined $of->{end} || $at != $of->{end};
	delete $pieces{$key};
	$count{reassembled}++;
	return ($of->{protocol}, $whole);
}

sub ip4 {
	my $packet = shift;
	return fault("short IPv4") if length $packet < 20;
	my $header = (ord($packet) & 15) * 4;
	my ($total, $id, $fragment, $protocol, $source, $dest) = unpack "x2nnnxCx2a4a4", $packet;
	my $cut = length $packet < $total;
	my $endless = $large && !$total;
	return fault("IPv4 that is cut")
		if $header < 20 || !$endless && $total < $header || $cut && !$live;
	look_at_both("", $source, $dest);
	fault("wrong IP checksum") if sum(substr $packet, 0, $header) != 0xffff;
	options(substr $packet, 20, $header - 20) if $header > 20;
	return if $endless;
	my $data = substr $packet, $header, $total - $header;
	return whole($source, $dest, $protocol, $data, $total - $header) if !($fragment & 0x3fff);
	return if $cut;
	($protocol, $data) = piece($source, $dest, $protocol, $id, ($fragment & 0x1fff) * 8,
				   $fragment & 0x2000, $data);
	whole($source, $dest, $protocol, $data) if defined $protocol;
}

# Addresses in a header of options: the home address (RFC 6275).
sub options6 {
	my $options = shift;
	while (length $options > 1) {
		my ($kind, $length) = unpack "CC", $options;
		look("a home address", substr $options, 2, 16) if $kind == 0xc9;
		substr($options, 0, $kind ? 2 + $length : 1) = "";
	}
}

# Behind extension headers: the protocol and where it begins, whom sums are made for, and of a fragment,
# which is not looked behind, its header. Nothing when they do not end here.
sub behind {
	my ($next, $data, $dest) = @_;
	my $at = 0;
	while ($next =~ /^(0|43|44|51|60|135)$/) {
		return if length $data < $at + 8;
		my ($after, $length) = unpack "x${at}CC", $data;
		return ($after, $at + 8, $dest, substr $data, $at, 8) if $next == 44;
		$length = $next == 51 ? ($length + 2) * 4 : ($length + 1) * 8;
		my $header = substr $data, $at, $length;
		return if length $header < $length;
		options6(substr $header, 2) if $next == 0 || $next == 60;
		if ($next == 43) {
			my ($type, $left) = unpack "x2CC", $header;
			my @addresses = unpack "x8(a16)" . int(($length - 8) / 16), $header;
			look("an address in a routing header", $_) for @addresses;
			# The last one to be visited; a segment routing header (4) has it first.
			$dest = $addresses[$type == 4 ? 0 : -1] if $left && @addresses;
		}
		($next, $at) = ($after, $at + $length);
	}
	return ($next, $at, $dest);
}

sub ip6 {
	my $packet = shift;
	return fault("short IPv6") if length $packet < 40;
	my ($length, $next, $source, $dest) = unpack "x4nCxa16a16", $packet;
	my $cut = length $packet < 40 + $length;
	return fault("IPv6 that is cut") if $cut && !$live;
	look_at_both("", $source, $dest);
	return if $large && !$length;
	my $data = substr $packet, 40, $length;
	my ($protocol, $at, $final, $fragment) = behind($next, $data, $dest);
	return $cut || fault("extension headers that are cut") if !defined $protocol;
	$data = substr $data, $at;
	return whole($source, $final, $protocol, $data, $length - $at) if !$fragment;
	return if $cut;
	my ($place, $id) = unpack "x2na4", $fragment;
	($protocol, $data) = piece($source, $dest, $protocol, $id, $place & 0xfff8, $place & 1, $data);
	return if !defined $protocol;
	# Between the fragment header and the transport there may be more.
	($protocol, $at, $final) = behind($protocol, $data, $final);
	return fault("extension headers that are cut") if !defined $protocol;
	whole($source, $final, $protocol, substr $data, $at);
}

sub frame {
	my $frame = shift;
	my $type = unpack "x12n", $frame;
	if ($type == 0x0800) {
		ip4(substr $frame, 14);
	} elsif ($type == 0x86dd) {
		ip6(substr $frame, 14);
	} elsif ($type == 0x0806 && length $frame >= 42) {
		look("an ARP sender", substr $frame, 28, 4);
		look("an ARP target", substr $frame, 38, 4);
	} else {
		fault(sprintf "unknown type %04x", $type);
	}
}

sub judge_file {
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
}

# ---- What comes by

# As the device does; SCTP's is another sum, and not looked at.
sub finish {
	my ($frame, $start, $offset) = @_;
	return if length $frame < $start + $offset + 2;
	my $made = 0xffff ^ sum(substr $frame, $start);
	substr($frame, $start + $offset, 2) = pack "n", $made || 0xffff;
	return $frame;
}

sub arrived {
	my $packet = shift;
	my ($flags, $cutting, $start, $offset) = unpack "CCxxxxSS", $packet;
	my $frame = substr $packet, VNET_HDR_LENGTH;
	$number++;
	($unfinished, $large) = (0, $cutting);
	if ($flags & VNET_HDR_F_NEEDS_CSUM) {
		$unfinished = length $packet == READ_LENGTH;
		$frame = finish($frame, $start, $offset) // $frame if !$unfinished;
	}
	frame($frame);
}

# Not all that this namespace's loopback carries, or sends.
sub watch {
	my ($ended, $unread) = (0, 0);
	$SIG{TERM} = sub { $ended = 1 };
	socket(my $socket, AF_PACKET, SOCK_RAW, 0) or die "socket: $!\n";
	setsockopt($socket, SOL_PACKET, PACKET_VNET_HDR, 1) or die "PACKET_VNET_HDR: $!\n";
	setsockopt($socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) or die "PACKET_IGNORE_OUTGOING: $!\n";
	setsockopt($socket, SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20) or die "SO_RCVBUFFORCE: $!\n";
	# A signal may come just before a call that waits.
	setsockopt($socket, SOL_SOCKET, SO_RCVTIMEO, pack "qq", 0, 200000) or die "SO_RCVTIMEO: $!\n";
	bind($socket, pack "SnisCCa8", AF_PACKET, ETH_P_ALL, 0, 0, 0, 0, "") or die "bind: $!\n";
	print "listening\n";
	while (1) {
		my $last = $ended;
		my $from = recv $socket, my $packet, READ_LENGTH, $last ? MSG_DONTWAIT : 0;
		if (defined $from) {
			arrived($packet) if unpack("x8S", $from) == ARPHRD_ETHER;
		} elsif ($! != EAGAIN && $! != EINTR) {
			$unread++; # what the header has no words for
		} elsif ($last) {
			last;
		}
	}
	(undef, my $dropped) = unpack "LL", getsockopt $socket, SOL_PACKET, PACKET_STATISTICS;
	$count{"not seen"} = $dropped + $unread if $dropped + $unread;
}

$| = 1;
$live ? watch() : judge_file();
my %name = (1 => "ICMP", 6 => "TCP", 17 => "UDP", 58 => "ICMPv6");
print "$faults faults in $number packets",
	(map { ", $count{$_} " . ($name{$_} // (/^\d/ ? "protocol $_" : $_)) } sort keys %count), "\n";
exit($faults || !$number && !$live ? 1 : 0);
