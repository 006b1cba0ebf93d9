#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# forge.pl - frames that no honest namespace sends, put on an interface as they are.
#
#   forge.pl GROUP KEY=VALUE...     sends the frames of a group, one each, and prints their number
#
# Keys: interface (its name), own, near, far, gateway, host_end (MAC addresses: the interface's, of
# a namespace of its network and one of another, the network's gateway, and the host's end of the
# interface's veth), own4, near4, far4, gateway4, unknown4, outside4 and own6, near6, far6, gateway6
# (addresses). Groups are called after the reason that their frames are dropped for, with what they
# are behind a colon. Each frame has the mark "nsr-forged" in it, so that a capture is easily
# searched, unless it is cut off before.
#
# perl, because it is on every Debian.
use strict;
use warnings;
use Socket qw(inet_pton AF_INET AF_INET6);

my ($group, %is) = (shift @ARGV, map { split /=/, $_, 2 } @ARGV);
my $mark = "nsr-forged" . "\0" x 6;
my $stranger = "02:00:00:00:00:99";
my $broadcast = "ff:ff:ff:ff:ff:ff";
my @frames;

# ---- Building

sub mac { return pack("H*", shift =~ s/://gr) }
sub v4 { return inet_pton(AF_INET, shift) }
sub v6 { return inet_pton(AF_INET6, shift) }
sub own_local {
	my @b = unpack("C6", mac($is{own}));
	return sprintf("fe80::%02x%02x:%02xff:fe%02x:%02x%02x", $b[0] ^ 2, @b[1 .. 5]);
}

sub checksum {
	my $data = shift;
	my $sum = unpack("%32n*", length($data) % 2 ? "$data\0" : $data);
	$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
	return ~$sum & 0xffff;
}

sub udp { return pack("nnnn", 9, 9, 8 + length($mark), 0) . $mark }

# source, dest, then options: protocol, payload, fragment, options, ttl, version, words, total
sub ip4 {
	my ($source, $dest, %o) = @_;
	my $payload = $o{payload} // udp();
	my $options = $o{options} // "";
	my $words = $o{words} // 5 + length($options) / 4;
	my $header = pack("CCnnnCCna4a4", ($o{version} // 4) << 4 | $words, 0,
			  $o{total} // 20 + length($options) + length($payload), 7, $o{fragment} // 0,
			  $o{ttl} // 64, $o{protocol} // 17, 0, v4($source), v4($dest)) . $options;
	substr($header, 10, 2) = pack("n", checksum($header));
	return [0x0800, $header . $payload];
}

# A chain of headers, [next, bytes behind it...], is put before the payload.
sub ip6 {
	my ($source, $dest, %o) = @_;
	my ($protocol, $payload) = ($o{protocol} // 17, $o{payload});
	if (!defined $payload) {
		$payload = udp();
		substr($payload, 6, 2) = pack("n", checksum(v6($source) . v6($dest) .
			pack("NN", length($payload), 17) . $payload) || 0xffff);
	} elsif ($protocol == 58 && length($payload) >= 4) {
		substr($payload, 2, 2) = pack("n", checksum(v6($source) . v6($dest) .
			pack("NN", length($payload), 58) . $payload));
	}
	for my $header (reverse @{$o{headers} // []}) {
		my ($kind, $rest) = @$header;
		$payload = pack("C", $protocol) . $rest . $payload;
		$protocol = $kind;
	}
	return [0x86dd, pack("NnCC", ($o{version} // 6) << 28, $o{total} // length($payload), $protocol,
			     $o{hops} // 255) . v6($source) . v6($dest) . $payload];
}

sub arp {
	my ($operation, $sender_mac, $sender, $target) = @_;
	return [0x0806, pack("nnCCna6a4a6a4", 1, 0x0800, 6, 4, $operation, mac($sender_mac),
			     v4($sender), mac($broadcast), v4($target)) . $mark];
}

# A message of neighbour discovery; option: [type, MAC].
sub nd {
	my ($type, $target, @options) = @_;
	my $message = pack("CCnN", $type, 0, 0, $type == 136 ? 0x60000000 : 0);
	$message = pack("CCnCCnNN", $type, 0, 0, 64, 0, 1800, 0, 0) if $type == 134;
	$message .= v6($target) if defined $target;
	$message .= v6($is{near6}) if $type == 137;
	$message .= pack("CCa6", $_->[0], 1, mac($_->[1])) for @options;
	return $message . pack("CC", 200, 3) . $mark . "\0" x 6;
}

# kind: the next header's number; for a fragment, offset and more. Eight bytes, without the first.
my $pad = pack("C", 0) . pack("CC", 1, 4) . "\0" x 4;
sub extension { return [shift, $pad] }
sub fragment {
	my ($offset, $more) = @_;
	return [44, pack("CnN", 0, $offset << 3 | $more, 77)];
}

sub frame {
	my ($to, $packet, %o) = @_;
	push @frames, mac($to) . mac($o{from} // $is{own}) . ($o{tag} // "") .
		      pack("n", $packet->[0]) . $packet->[1];
}

# ---- Groups

my %groups;

# Source MACs: another's, the gateway's, the host's end, a multicast one; in frames of each kind.
$groups{'spoofed-mac'} = sub {
	for my $from ($stranger, @is{qw(near gateway host_end)}, "01:00:5e:00:00:01", $broadcast,
		      "00:00:00:00:00:00") {
		frame($is{near}, ip4($is{own4}, $is{near4}), from => $from);
		frame($is{near}, ip6($is{own6}, $is{near6}), from => $from);
		frame($is{gateway}, ip4($is{own4}, $is{far4}), from => $from);
		frame($broadcast, arp(1, $is{own}, $is{own4}, $is{near4}), from => $from);
		frame($is{near}, [0x88b5, $mark x 3], from => $from);
	}
};

# Source addresses: others' of either network, the host's, and those that nobody has; to the
# neighbour, to the gateway by each of its MACs, and to everybody.
$groups{'spoofed-address:ipv4'} = sub {
	for my $source (@is{qw(near4 far4 gateway4 outside4 unknown4)}, "0.0.0.0", "127.0.0.1",
			"224.0.0.1", "240.0.0.1", "255.255.255.255", "169.254.1.1") {
		frame($is{near}, ip4($source, $is{near4}));
		frame($is{gateway}, ip4($source, $is{far4}));
		frame($is{host_end}, ip4($source, $is{outside4}));
		frame($is{far}, ip4($source, $is{far4}));
		frame($broadcast, ip4($source, "255.255.255.255"));
		frame($is{near}, ip4($source, $is{near4}, fragment => 0x2000));
		frame($is{near}, ip4($source, $is{near4}, fragment => 1));
		frame($is{gateway}, ip4($source, $is{gateway4}, options => pack("CCCx37", 7, 39, 4)));
	}
};
$groups{'spoofed-address:ipv6'} = sub {
	for my $source (@is{qw(near6 far6 gateway6)}, "::1", "ff02::1", "::ffff:$is{own4}", "::",
			"fe80::1", "2001:db8::1") {
		frame($is{near}, ip6($source, $is{near6}));
		frame($is{gateway}, ip6($source, $is{far6}));
		frame($is{host_end}, ip6($source, $is{gateway6}));
		frame("33:33:00:00:00:01", ip6($source, "ff02::1"));
		frame($is{near}, ip6($source, $is{near6}, headers => [extension($_)])) for (0, 43, 60, 253);
		frame($is{near}, ip6($source, $is{near6}, headers => [fragment($_, 0)])) for (0, 1);
	}
};
$groups{'spoofed-address:arp'} = sub {
	for my $to ($is{near}, $is{gateway}, $is{host_end}, $broadcast) {
		for my $sender (@is{qw(near4 far4 gateway4 outside4)}, "127.0.0.1") {
			frame($to, arp($_, $is{own}, $sender, $sender)) for (1, 2);
			frame($to, arp($_, $is{own}, $sender, $is{near4})) for (1, 2);
		}
		frame($to, arp(2, $_, $is{own4}, $is{near4})) for ($stranger, @is{qw(near gateway)});
		frame($to, arp(1, $is{own}, "0.0.0.0", $is{near4}));
	}
};

# To one, to the gateway, and to all; plain and behind extension headers.
$groups{'spoofed-neighbour'} = sub {
	my $local = own_local();
	my @forged = (nd(136, $is{near6}, [2, $is{own}]), nd(136, $is{gateway6}, [2, $is{own}]),
		      nd(136, $is{far6}), nd(136, "fe80::1", [2, $is{own}]),
		      nd(136, $is{own6}, [2, $stranger]), nd(135, $is{near6}, [1, $stranger]),
		      nd(133, undef, [1, $stranger]), nd(134, undef, [1, $is{own}]),
		      nd(137, $local, [2, $is{own}]));
	for my $message (@forged) {
		for my $to ([$is{near}, $is{near6}], [$is{gateway}, $is{gateway6}],
			    ["33:33:00:00:00:01", "ff02::1"]) {
			for my $source ($is{own6}, $local) {
				frame($to->[0], ip6($source, $to->[1], protocol => 58,
						    payload => $message));
			}
			for my $headers ([extension(0)], [extension(60)], [extension(43)],
					 [extension(253)], [fragment(0, 0)], [fragment(0, 1)],
					 [extension(0), extension(60), fragment(0, 1)],
					 [(extension(60)) x 8]) {
				frame($to->[0], ip6($local, $to->[1], protocol => 58,
						    payload => $message, headers => $headers));
			}
		}
	}
	frame("33:33:ff:00:00:12", ip6("::", "ff02::1:ff00:12", protocol => 58,
				       payload => nd(135, $is{near6})));
};

# Both in the bytes and beside them: the receiving kernel moves the first tag out.
$groups{'vlan-tag'} = sub {
	for my $tag ("81000005", "81000000", "88a80005", "8100000581000005", "88a8000581000005",
		     "8100ffff") {
		for my $to (@is{qw(near gateway host_end far)}, $broadcast) {
			frame($to, ip4($is{own4}, $is{far4}), tag => pack("H*", $tag));
			frame($to, ip6($is{near6}, $is{far6}), tag => pack("H*", $tag));
			frame($to, arp(2, $is{own}, $is{near4}, $is{near4}), tag => pack("H*", $tag));
		}
	}
};

$groups{'malformed'} = sub {
	my $good4 = ip4($is{own4}, $is{far4})->[1];
	my $good6 = ip6($is{own6}, $is{far6})->[1];
	for my $to (@is{qw(near gateway host_end)}) {
		frame($to, ip4($is{own4}, $is{far4}, version => $_)) for (0, 5, 6);
		frame($to, ip4($is{own4}, $is{far4}, words => $_)) for (0, 4);
		frame($to, ip4($is{own4}, $is{far4}, total => $_)) for (1, 19, 65535);
		frame($to, [0x0800, substr($good4, 0, $_)]) for (0, 1, 12, 19, 20, 27);
		frame($to, ip6($is{own6}, $is{far6}, version => $_)) for (0, 4);
		frame($to, ip6($is{own6}, $is{far6}, total => 65535));
		frame($to, [0x86dd, substr($good6, 0, $_)]) for (0, 1, 39, 40, 47);
		frame($to, ip6($is{own6}, $is{far6}, protocol => 60, payload => "\x3a" . "\0" x 3));
		frame($to, ip6($is{own6}, $is{far6}, protocol => 58, payload => ""));
		frame($to, ip6($is{own6}, $is{near6}, headers => [(extension(60)) x 9]));
		frame($to, ip6($is{own6}, $is{near6}, protocol => 58,
			       payload => nd(136, $is{near6}), headers => [(extension(60)) x 12]));
		frame($to, ip6($is{own6}, $is{near6}, protocol => 60, payload => "",
			       headers => [fragment(0, 1)]));
		frame($to, ip6($is{own6}, $is{near6}, protocol => 58,
			       payload => pack("CCnN", 136, 0, 0, 0) . v6($is{own6}) . "\x02\0" . "\0" x 6));
		frame($to, [0x0806, substr(arp(1, $is{own}, $is{own4}, $is{near4})->[1], 0, 27)]);
		frame($to, [0x0806, pack("nnCCn", 1, 0x86dd, 6, 16, 1) . $mark x 3]);
	}
};

# To a namespace of another network that its source may not reach. All fragments are of one datagram:
# those that begin at 8 overlap those that begin at 0, and pieces of 8 bytes have no more than a part
# of TCP's header.
$groups{'isolated'} = sub {
	for my $to (@is{qw(gateway host_end)}) {
		for my $fragment (0, 0x2000, 0x2001, 0x0001, 0x1fff) {
			frame($to, ip4($is{own4}, $is{far4}, fragment => $fragment));
			frame($to, ip4($is{own4}, $is{far4}, fragment => $fragment, protocol => 6,
				       payload => substr($mark, 0, 8)));
		}
		frame($to, ip4($is{own4}, $is{far4}, ttl => $_)) for (0, 1, 2, 255);
		frame($to, ip4($is{own4}, $is{far4}, protocol => $_)) for (0, 1, 4, 41, 47, 50, 132, 255);
		frame($to, ip4($is{own4}, $is{far4}, payload => $mark x 90));
		# Record route, loose and strict source route, router alert, and one nobody knows.
		frame($to, ip4($is{own4}, $is{far4}, options => $_))
			for (pack("CCCx37", 7, 39, 4), pack("CCCa4x", 131, 7, 4, v4($is{near4})),
			     pack("CCCa4x", 137, 7, 4, v4($is{far4})), pack("CCn", 148, 4, 0),
			     pack("CCn", 222, 4, 0));
		frame($to, ip6($is{own6}, $is{far6}, hops => $_)) for (0, 1, 64);
		frame($to, ip6(own_local(), $is{far6}));
		frame($to, ip6($is{own6}, $is{far6}, headers => [extension($_)])) for (0, 43, 60, 253);
		frame($to, ip6($is{own6}, $is{far6}, headers => [fragment(@$_)]))
			for ([0, 1], [1, 1], [1, 0], [0, 0]);
		frame($to, ip6($is{own6}, $is{far6}, protocol => 6, payload => substr($mark, 0, 8),
			       headers => [fragment(@$_)])) for ([0, 1], [1, 1], [0x1fff, 0]);
		frame($to, ip6($is{own6}, $is{far6}, protocol => $_, payload => $mark)) for (4, 41, 99);
		# A jumbogram, RFC 2675, and one that only says so.
		frame($to, ip6($is{own6}, $is{far6}, total => 0,
			       headers => [[0, pack("CCCN", 0, 0xc2, 4, $_)]])) for (32, 70000);
	}
};

# What the ingress hook cannot tell: it goes to the kernel, which must not deliver it either.
$groups{'slow'} = sub {
	# A source route by the gateway, and by a neighbour, to the other network.
	frame($is{gateway}, ip4($is{own4}, $is{gateway4}, options => pack("CCCa4x", $_, 7, 4, v4($is{far4}))))
		for (131, 137);
	frame($is{gateway}, ip4($is{own4}, $is{unknown4}));
	frame($is{host_end}, ip4($is{own4}, $is{unknown4}, fragment => 0x2000));
	frame($is{gateway}, ip4($is{own4}, $is{unknown4}, options => pack("CCCx37", 7, 39, 4)));
	# Straight to a MAC of the other network.
	frame($is{far}, ip4($is{own4}, $is{far4}));
	frame($is{far}, ip6($is{own6}, $is{far6}));
	frame($is{far}, arp(1, $is{own}, $is{own4}, $is{far4}));
};

# One that is told by other keys: to (a MAC), source, dest, protocol (tcp, udp, icmp), sport and dport
# (of an echo sport is the identifier), ttl and size (from the IP header on).
$groups{'packet'} = sub {
	my $ipv6 = $is{source} =~ /:/;
	my $room = $is{size} - ($ipv6 ? 40 : 20);
	my %payload = (
		tcp => sub { pack("nnNNCCnnn", $is{sport}, $is{dport}, 0, 0, 5 << 4, 2, 0xffff, 0, 0) },
		udp => sub { pack("nnnn", $is{sport}, $is{dport}, $room, 0) },
		icmp => sub { pack("CCnnn", $ipv6 ? 128 : 8, 0, 0, $is{sport}, 1) },
	);
	my ($number, $check) = @{{tcp => [6, 16], udp => [17, 6], icmp => [$ipv6 ? 58 : 1, 2]}->{$is{protocol}}};
	my $payload = $payload{$is{protocol}}->();
	$payload .= "\0" x ($room - length($payload));
	my $pseudo = ($ipv6 ? v6($is{source}) . v6($is{dest}) : v4($is{source}) . v4($is{dest})) .
		pack("NN", length($payload), $number);
	substr($payload, $check, 2) = pack("n", checksum(($number == 1 ? "" : $pseudo) . $payload) || 0xffff);
	frame($is{to}, $ipv6 ? ip6($is{source}, $is{dest}, protocol => $number, payload => $payload, hops => $is{ttl})
			     : ip4($is{source}, $is{dest}, protocol => $number, payload => $payload,
				   ttl => $is{ttl}, fragment => 0x4000));
};

# ---- Sending

die "no group '$group'\n" unless $groups{$group};
$groups{$group}->();
open(my $file, "<", "/sys/class/net/$is{interface}/ifindex") or die "$is{interface}: $!";
chomp(my $ifindex = <$file>);
# AF_PACKET, SOCK_RAW; the address is a struct sockaddr_ll
socket(my $socket, 17, 3, 0) or die "socket: $!";
for my $frame (@frames) {
	send($socket, $frame, 0, pack("SniSCCx8", 17, 0x0800, $ifindex, 0, 0, 6)) or die "send: $!";
}
print scalar(@frames), "\n";
