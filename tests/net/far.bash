# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# far.bash - what the files about masquerade of either family share: a server behind two routers.
# They are outside, and far away over a link with a small MTU, and behind that is the server.
# A file sets server_address, which says what the family is.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # perl has dollars; run sets output; fabric.bash the names
load fabric

new_server() { # CABLE SYSCTL NEAR FAR BEYOND: what makes a cable, what forwards, addresses of routers
	far_router=nsr-far-$suffix server=nsr-server-$suffix
	new_namespace "$far_router"
	new_namespace "$server"
	on "$outside" sysctl -qw "$2=1"
	on "$far_router" sysctl -qw "$2=1"
	"$1" "$outside" eth1 "$3" "$far_router" eth0 "$4" 1280
	"$1" "$far_router" eth1 "$5" "$server" eth0 "$server_address" 1500
	ip -n "$outside" route add default via "$4"
	ip -n "$far_router" route add default via "$3"
	ip -n "$server" route add default via "$5"
}

# Checksums on the wire are complete then, those of quoted packets too, so that the capture can judge
# them.
watch() {
	on "$host" ethtool -K eth0 tx off >/dev/null
	on "$server" ethtool -K eth0 tx off >/dev/null
	start_capture "$outside" eth0
}

# ---- UDP, by perl: a socket $s of the family of the first argument, at the port that is the second.
# address() is of a host and a port, named() the other way round.

socket='
	my $six = (my $like = shift) =~ /:/;
	sub address {
		return $six ? pack_sockaddr_in6($_[1], inet_pton(AF_INET6, $_[0]))
			: pack_sockaddr_in($_[1], inet_aton($_[0]));
	}
	sub named {
		my ($error, $host, $port) = getnameinfo($_[0], NI_NUMERICHOST | NI_NUMERICSERV);
		return ($six ? "[$host]" : $host) . ":$port";
	}
	$| = 1;
	socket(my $s, $six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) or die;
	bind($s, address($six ? "::" : "0.0.0.0", shift)) or die;'

# The server waits for a datagram, and then does with its sender ($from) what it is told; prints what
# came of it.
serve() { # PERL
	ip netns exec "$server" timeout 20 perl -MSocket=:all -MErrno -e "$socket"'
		my $from = recv($s, my $data, 100, 0) // die;
		'"$1" "$server_address" 8080 >"$work/served" 3>&- &
	serving=$!
	await_listener "$server" udp 8080
}

# Prints letter and length of so many datagrams, and who sent each.
receive() { # NAMESPACE PORT [COUNT]
	ip netns exec "$1" timeout 20 perl -MSocket=:all -e "$socket"'
		for (1 .. $ARGV[0]) {
			my $from = recv($s, my $data, 65535, 0) // die;
			my $letter = substr($data, 0, 1);
			my $whole = $data eq $letter x length($data) ? "" : " mixed";
			print $letter, " ", length($data), "$whole from ", named($from), "\n";
		}' "$server_address" "$2" "${3-1}" >"$work/served" 3>&- &
	serving=$!
	await_listener "$1" udp "$2"
}

served() {
	wait "$serving"
	run -0 cat "$work/served"
}

# One datagram to the server, from a port that is closed again at once.
send_early() { # NAMESPACE [PORT]
	on "$1" perl -MSocket=:all -e "$socket"'
		send($s, "early", 0, address($like, 8080)) or die' "$server_address" "${2-0}"
}

# RFC 4787 REQ-14 where the uplink's link carries more: of MTU 9000 fragments are held. The outside
# sends them in the server's name.
large_fragments_pass() { # SERVER-ADDRESS:PORT UPLINK-ADDRESS:PORT
	local order ids=300 mtu=12000
	ip -n "$host" link set eth0 mtu "$mtu"
	ip -n "$outside" link set eth0 mtu "$mtu"
	put_topology
	sed -i "s/^defaults: {/&mtu: $mtu, /" "$topology"
	lab apply "$topology"
	find_cookie
	settle
	watch
	for order in 0,1,2,3 3,2,1,0 1,3,0,2; do
		send_early "$red" 5555
		receive "$red" 5555
		on "$outside" tests/net/fragments.pl "$1" "$2" "$((++ids))" s "$order" 8944 30000
		served
		[[ $output == "s 30000 from $1" ]]
	done
	[[ $(uplink_dropped nat-fragment) == 0 ]]
	on "$outside" tests/net/fragments.pl "$1" "$2" "$((++ids))" s 2,1,0 10000 30000
	[[ $(uplink_dropped nat-fragment) == 1 ]]
	receive "$red" 5555
	on "$outside" tests/net/fragments.pl "$1" "$2" "$((++ids))" s 0,2,1,3 10000 30000
	served
	[[ $output == "s 30000 from $1" ]]
}

# ---- Another address of the uplink

# Which address takes the place of one that has gone: since 6.7, and in what was made of older ones
# (Debian's 6.1).
kernel_chooses() {
	grep -qa BPF_FIB_LOOKUP_SRC /sys/kernel/btf/vmlinux
}

# Nobody tells us of it. What is sent is captured.
uplink_becomes() { # NAMESPACE OLD NEW PREFIX-LENGTH REMOTE
	local tries
	pings "$1" "$5"
	ip -n "$host" address del "$2/$4" dev eth0
	if [[ $3 == *:* ]]; then
		ip -n "$host" address add "$3/$4" dev eth0 nodad
		await_address "$host" "$3"
	else
		ip -n "$host" address add "$3/$4" dev eth0
		ip -n "$host" route add default via "$5"
	fi
	if kernel_chooses; then
		for ((tries = 0; tries < 50; tries++)); do
			on "$1" ping -nqc 1 -W 1 "$5" || true
			run -0 captured "src host $3"
			[[ $output != *"$3 > $5: "*"echo request"* ]] || break
			sleep 0.1
		done
		[[ $output == *"$3 > $5: "*"echo request"* ]]
	else
		sleep 1.5
		run -1 on "$1" ping -nqc 1 -W 1 "$5"
		(($(uplink_dropped nat-uplink-closed) > 0))
		lab apply "$topology"
	fi
	run -0 lab plan "$topology"
}

# ---- The way

routers_show() { # -4|-6 GATEWAY ROUTER...: as traceroute sees them, and tracepath
	local way i
	for way in -I -T -U; do
		run -0 on "$red" traceroute "$1" -n "$way" -q 1 -w 3 "$server_address"
		for ((i = 2; i <= $#; i++)); do
			[[ ${lines[i - 1]} == *" ${!i} "* ]]
		done
		[[ ${lines[i - 1]} == *" $server_address "* ]]
		((${#lines[@]} == i))
	done
	run -0 on "$red" tracepath "$1" -n "$server_address"
	[[ $output == *"Resume: pmtu 1280 hops 4"* ]]
}
