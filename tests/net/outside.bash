# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# outside.bash - what the files long_nat*.bats and nat_kernel.bats share: an internet, its servers, and a
# judged capture.
#
# How it works: the namespace outside plays the internet: it has $server_address and $server_address2, and
# two of IPv6, besides its own. watch captures all that the host sends there, with complete checksums, and
# assert_judged has tests/net/judge.pl look at it: not one inside address, not one wrong checksum. Every
# test of those files watches. Programs of other people that are not installed skip a test (make
# deps-long installs them). Servers run in the foreground of their namespace with files of the test.

# shellcheck disable=SC2154 # fabric.bash sets the names
load fabric

server_address=198.51.100.1
server_address2=198.51.100.2
server_address6=2001:db8:80::1
server_address62=2001:db8:80::2
# What is masqueraded. 192.168.18.0/24 is not, and the outside knows the way.
inside_prefixes=(192.168.15.0/24 192.168.16.0/23 10.0.0.0/8 fd00:15::/64 fd00:16::/31)

need() { # COMMAND...
	local command
	for command in "$@"; do
		type -P "$command" >/dev/null || skip "$command is not installed: make deps-long"
	done
}

# A host, an internet, and the fabric of put_networks, where edits of sed are made before.
internet_up() { # [DATAPATH [SED-OPTION...]]
	new_host
	on "$outside" sysctl -qw net.ipv4.ip_forward=1
	ip -n "$outside" address add "$server_address/32" dev lo
	ip -n "$outside" address add "$server_address2/32" dev lo
	ip -n "$outside" address add "$server_address6/128" dev lo nodad
	ip -n "$outside" address add "$server_address62/128" dev lo nodad
	on "$outside" sysctl -qw net.ipv6.conf.all.forwarding=1
	ip -n "$outside" route add 192.168.18.0/24 via "$uplink_address"
	ip -n "$outside" route add fd00:18::/64 via "$uplink_address6"
	put_networks "${1-auto}"
	(($# < 2)) || sed -i "${@:2}" "$topology"
	lab apply "$topology"
	find_cookie
	settle
}

# No packet is longer than 2,000 bytes then, and 32,768 may wait to be written.
watch() { # [FILTER]
	on "$host" ethtool -K eth0 tx off >/dev/null
	start_capture "$outside" eth0 "${1-}" -s 2000 -B 65536
}

# The capture has all that came, and nothing in it is wrong.
assert_judged() { # [PACKETS]: at least so many
	stop_capture
	run -0 tests/net/judge.pl "$work/capture" "${inside_prefixes[@]}"
	echo "$output"
	[[ ${lines[-1]} =~ ^0\ faults\ in\ ([0-9]+)\ packets ]]
	((BASH_REMATCH[1] >= ${1-1}))
	run -0 cat "$work/capture.log"
	[[ $output == *"0 packets dropped by kernel"* ]]
}

# Starts a program in the background of a namespace, with its words in $work/NAME.log. Sets serving.
serve() { # NAME NAMESPACE COMMAND...
	ip netns exec "$2" timeout 600 "${@:3}" >"$work/$1.log" 2>&1 </dev/null 3>&- &
	# shellcheck disable=SC2034 # for tests
	serving=$!
}

# Of the uplink, all reasons that are of the masquerade.
nat_drops() {
	stats '[.uplinks[].drops | to_entries[] | select(.key | startswith("nat-")) | .value] | add'
}

# ---- HTTP

start_nginx() {
	cat >"$work/nginx.conf" <<-END
		worker_processes 1;
		daemon off;
		pid $work/nginx.pid;
		error_log $work/nginx.error;
		events { worker_connections 4096; }
		http {
			access_log off;
			client_body_temp_path $work/body;
			proxy_temp_path $work/proxy;
			fastcgi_temp_path $work/fastcgi;
			uwsgi_temp_path $work/uwsgi;
			scgi_temp_path $work/scgi;
			keepalive_timeout 0;
			server {
				listen 80 backlog=4096;
				location / { return 200 "here\n"; }
			}
		}
	END
	on "$outside" sysctl -qw net.core.somaxconn=4096
	serve nginx "$outside" nginx -c "$work/nginx.conf"
	await_listener "$outside" tcp 80
}

# So many connections of a namespace, each of one request; none may fail.
connections() { # NAMESPACE COUNT
	run -0 on "$1" ab -q -r -n "$2" -c 100 "http://$server_address/"
	grep -E '^(Time taken|Complete|Failed|Non-2xx|Requests per second)' <<<"$output" | sed "s/^/# /" >&3
	[[ $output =~ Complete\ requests:\ +$2$'\n' ]]
	[[ $output =~ Failed\ requests:\ +0$'\n' ]]
	[[ $output != *Non-2xx* ]]
}

# ---- Further away

# A server behind another router, by a link of MTU 1280: $far_address, $far_address6. Sets far_router and
# server.
# shellcheck disable=SC2034 # for tests
far_away() {
	local router
	far_router=nsr-far-$suffix server=nsr-server-$suffix
	far_address=198.18.0.80 far_address6=2001:db8:88::80
	new_namespace "$far_router"
	new_namespace "$server"
	cable "$outside" eth1 192.0.2.1 "$far_router" eth0 192.0.2.2 1280
	cable "$far_router" eth1 198.18.0.1 "$server" eth0 "$far_address" 1500
	on "$far_router" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	ip -n "$outside" address add 2001:db8:2::1/64 dev eth1 nodad
	ip -n "$far_router" address add 2001:db8:2::2/64 dev eth0 nodad
	ip -n "$far_router" address add 2001:db8:88::1/64 dev eth1 nodad
	ip -n "$server" address add "$far_address6/64" dev eth0 nodad
	await_address "$server" "$far_address6"
	# They answer all that asks them by one address, at once.
	for router in "$host" "$outside" "$far_router" "$server"; do
		on "$router" sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
	done
	on "$server" ethtool -K eth0 tx off >/dev/null
	ip -n "$outside" route add default via 192.0.2.2
	ip -n "$far_router" route add default via 192.0.2.1
	ip -n "$server" route add default via 198.18.0.1
	ip -n "$outside" route add default via 2001:db8:2::2
	ip -n "$far_router" route add default via 2001:db8:2::1
	ip -n "$server" route add default via 2001:db8:88::1
	settle
}
