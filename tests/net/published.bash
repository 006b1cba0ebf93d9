# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# published.bash - what the files about published ports share: what is published, servers and callers.

# shellcheck disable=SC2016,SC2154 # perl has dollars; fabric.bash sets the names
load fabric

publish() { # NAMESPACE [LIST]: in the file; without a list nothing
	sed -i "/^  $1:/,/^  [a-z]/{/^    publish:/d}" "$topology"
	[[ -z ${2-} ]] || sed -i "s|^  $1:|&\n    publish: [$2]|" "$topology"
}

published_up() { # [DATAPATH]
	put_topology "$@"
	publish "$red" '"8080:8080/tcp", "8080:8080/udp"'
	lab apply "$topology"
	find_cookie
	settle
}

# ---- Servers

# An echo for every connection or datagram. Sets server.
serve() { # NAMESPACE tcp|udp|tcp6|udp6 PORT
	ip netns exec "$1" timeout 120 perl tests/net/echo.pl "$2" "$3" >>"$work/callers-$3" 3>&- &
	# shellcheck disable=SC2034 # for tests
	server=$!
	await_listener "$1" "$2" "$3"
}

# Whether an echo comes back.
calls() { # NAMESPACE tcp|udp|tcp6|udp6 ADDRESS PORT [SOURCE-PORT]
	on "$1" timeout 30 perl tests/net/echo.pl "$2" "$4" "$3" "${5:-0}"
}

calls_in_vain() { # NAMESPACE tcp|udp|tcp6|udp6 ADDRESS PORT [SOURCE-PORT]
	PATIENCE=2 run ! calls "$@"
}

# What a UDP client learns of a port where nobody listens: its second datagram fails.
is_refused() { # NAMESPACE ADDRESS PORT
	on "$1" timeout 30 perl -MIO::Socket::IP -e '
		my $s = IO::Socket::IP->new(Proto => "udp", PeerHost => $ARGV[0], PeerPort => $ARGV[1]) or die;
		for (1 .. 100) {
			defined($s->send("x")) or exit !$!{ECONNREFUSED};
			select undef, undef, undef, 0.1;
		}
		exit 1' "$2" "$3"
}

last_caller() { # PORT
	tail -n 1 "$work/callers-$1"
}

# A connection that goes on: what is written to descriptor 7 comes back in $work/held.
hold() { # NAMESPACE ADDRESS PORT
	mkfifo "$work/sent"
	ip netns exec "$1" timeout 100 nc -n "$2" "$3" <"$work/sent" >"$work/held" 2>/dev/null 3>&- &
	exec 7>"$work/sent"
	still_held one
}

still_held() { # WORD [TRIES]: comes back
	local i
	echo "$1" >&7
	for ((i = 0; i < ${2-500}; i++)); do
		[[ $(tail -n 1 "$work/held") != "$1" ]] || return 0
		sleep 0.02
	done
	return 1
}

sessions() { # OPTION...: how many
	lab -j nat list "$@" | wc -l
}

dropped() { # REASON: how often, at any port or uplink
	lab -j stats | jq --arg reason "$1" '[.. | .drops? // empty | .[$reason] // 0] | add'
}
