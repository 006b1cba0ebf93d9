# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# fabric.bash - what the files about fabrics share: scratch namespaces, traffic, captures, counters.
#
# How it works: new_host makes a namespace that plays the host and one that plays the outside, with a
# veth pair between them as the uplink eth0. Fabrics are built in the first by "lab ARGUMENTS...",
# which is nsroute --netns there. Every name that the whole machine sees carries $suffix, which is
# random for a file and numbered for a test; so files run beside each other. clean_up, called by
# teardown, removes all of it whatever state the test left, and assert_nothing_left, called by
# teardown_file, looks for what bears the file's suffix anywhere.
#
# From new_host to the end of clean_up all that arrives outside is judged by tests/net/judge.pl: not one
# inside address, not one wrong checksum, whatever the test is about. A test that lets such out on purpose
# says so, and why: "unwatched REASON"; one that excepts destinations from masquerade adds them to
# private_prefixes, as INSIDE=DESTINATION.
#
# A file's setup_file calls new_suffix. Commands that go on in the background start as
# "ip netns exec NAMESPACE COMMAND &" and not by a function, so that $! is the command itself.

# shellcheck disable=SC2154 # bats sets output, stderr and the rest
bats_require_minimum_version 1.5.0

NSROUTE=${NSROUTE:-build/nsroute}
uplink_address=203.0.113.1
outside_address=203.0.113.10
uplink_address6=2001:db8:113::1
outside_address6=2001:db8:113::10
# What nobody outside may see: all that is private, but for put_networks' network that is not
# masqueraded. A file whose fabrics differ says so before new_host.
private_prefixes=(10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 '!192.168.18.0/24' '!fd00:18::/64')

# ---- Namespaces

new_suffix() {
	local why
	why=$(tools/preflight 2>&1) || skip "${why//$'\n'/; }"
	file_suffix=$(printf '%04x' $((RANDOM * RANDOM % 65536)))
	export file_suffix
}

new_namespace() { # NAME
	ip netns add "$1"
	ip -n "$1" link set lo up
}

# The kernel tells the rest of itself a moment after a link is up.
await_link() { # NAMESPACE INTERFACE
	local i
	for ((i = 0; i < 200; i++)); do
		[[ $(ip -n "$1" -o link show "$2") != *" state UP "* ]] || return 0
		sleep 0.02
	done
	return 1
}

# A process that holds a namespace. Sets sleeper.
start_sleeper() { # NAMESPACE
	local i
	ip netns exec "$1" sleep 300 3>&- &
	# shellcheck disable=SC2034 # for tests
	sleeper=$!
	for ((i = 0; i < 100; i++)); do
		[[ -z $(ip netns pids "$1") ]] || return 0
		sleep 0.1
	done
	return 1
}

# Nor of its addresses: their local routes come with it.
await_address() { # NAMESPACE ADDRESS
	local i
	for ((i = 0; i < 200; i++)); do
		[[ -z $(ip -n "$1" -6 route show table local type local "$2") ]] || return 0
		sleep 0.02
	done
	return 1
}

# Sets suffix, host, outside, work (a folder) and topology (a file's name). The number is the test's
# own; tests that share a fabric, which setup_file makes, give it number 0.
name_host() { # [NUMBER]
	suffix=$file_suffix-${1:-$BATS_TEST_NUMBER}
	host=nsr-host-$suffix outside=nsr-out-$suffix
	work=${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}
	topology=$work/lab-$suffix.yaml
	[[ ${1-} != 0 ]] || topology=$BATS_FILE_TMPDIR/lab-$suffix.yaml
}

# The uplink's link-local addresses are given by hand, for late ones would make a difference between
# before and after.
new_host() { # [NUMBER]
	name_host "$@"
	new_namespace "$host"
	new_namespace "$outside"
	start_watch
	ip link add eth0 netns "$host" type veth peer name eth0 netns "$outside"
	ip -n "$host" link set eth0 addrgenmode none up
	ip -n "$outside" link set eth0 addrgenmode none up
	await_link "$host" eth0
	await_link "$outside" eth0
	ip -n "$host" address add "$uplink_address/24" dev eth0
	ip -n "$outside" address add "$outside_address/24" dev eth0
	ip -n "$host" address add "$uplink_address6/64" dev eth0 nodad
	ip -n "$outside" address add "$outside_address6/64" dev eth0 nodad
	ip -n "$host" address add fe80::1/64 dev eth0 nodad
	ip -n "$outside" address add fe80::10/64 dev eth0 nodad
	await_address "$host" "$uplink_address6"
	await_address "$host" fe80::1
	ip -n "$host" route add default via "$outside_address"
	ip -n "$host" route add default via "$outside_address6"
}

# A veth pair, up.
cable() { # NAMESPACE INTERFACE ADDRESS NAMESPACE INTERFACE ADDRESS MTU
	ip link add "$2" netns "$1" mtu "$7" type veth peer name "$5" netns "$4" mtu "$7"
	ip -n "$1" address add "$3/24" dev "$2"
	ip -n "$4" address add "$6/24" dev "$5"
	ip -n "$1" link set "$2" up
	ip -n "$4" link set "$5" up
	await_link "$1" "$2"
	await_link "$4" "$5"
}

# Namespaces of this test, its own and the fabrics'.
test_namespaces() {
	ip netns list | awk -v "suffix=-$suffix" \
		'substr($1, length($1) - length(suffix) + 1) == suffix { print $1 }'
}

clean_up() {
	local namespace processes watcher
	[[ -n ${suffix-} ]] || return 0
	watcher=$(cat "$(watch_file)" 2>/dev/null) || true
	for namespace in $(test_namespaces); do
		processes=$(ip netns pids "$namespace" | grep -vx "${watcher:-none}") || true
		# shellcheck disable=SC2086 # several; whatever runs there is of this test
		[[ -z $processes ]] || kill -9 $processes 2>/dev/null || true
	done
	if ip netns pids "$host" >/dev/null 2>&1; then
		# A device of a process that has just been ended may go at the same time.
		lab down --all >/dev/null 2>&1 || lab down --all >/dev/null 2>&1 || true
	fi
	[[ -z $watcher ]] || end_watch "$watcher"
	for namespace in $(test_namespaces); do
		ip netns del "$namespace"
	done
	assert_watched
}

# In teardown_file a command that fails ends nothing, and only its own status is looked at.
assert_nothing_left() {
	[[ -n ${file_suffix-} ]] || return 0
	run ! grep -rls -e "-$file_suffix-" /run/nsroute || return
	run ! grep -- "-$file_suffix-" /proc/self/mountinfo || return
	run ! compgen -G "/run/netns/*-$file_suffix-*" || return
	local cookie
	while read -r cookie; do
		[[ ! -e /sys/fs/bpf/nsroute/$cookie && ! -e /run/nsroute/$cookie ]] || return
	done < <(sort -u "$BATS_FILE_TMPDIR/cookies" 2>/dev/null)
}

# ---- The watch

# Of the fabric, so that a test finds what its file has begun. It has the watcher's process; beside it are
# what it said, and why that is not to be believed.
watch_file() {
	echo "$BATS_FILE_TMPDIR/watch-$suffix"
}

start_watch() {
	local file i
	file=$(watch_file)
	: >"$file.said"
	# No child of the test's: those it may wait for.
	(
		ip netns exec "$outside" perl tests/net/judge.pl - "${private_prefixes[@]}" \
			>"$file.said" 2>&1 3>&- &
		echo $! >"$file"
	)
	for ((i = 0; i < 1000; i++)); do
		! grep -q listening "$file.said" || return 0
		sleep 0.01
	done
	cat "$file.said"
	return 1
}

end_watch() { # PROCESS
	local i
	kill -TERM "$1" || true
	for ((i = 0; i < 1000; i++)); do
		! grep -q ' faults in ' "$(watch_file).said" || return 0
		sleep 0.01
	done
	kill -KILL "$1"
}

unwatched() { # REASON: this test lets out what nobody should see
	echo "$1" >"$(watch_file).not"
}

assert_watched() {
	local file
	file=$(watch_file)
	[[ -e $file ]] || return 0
	cat "$file.said"
	rm "$file"
	[[ ! -e $file.not ]] || { rm "$file.not" && return 0; }
	grep -q '^0 faults in ' "$file.said"
}

mac_of() { # NAMESPACE INTERFACE
	on "$1" cat "/sys/class/net/$2/address"
}

on() { # NAMESPACE COMMAND...
	ip netns exec "$@"
}

lab() { "$NSROUTE" --netns "$host" "$@"; }

# The kernel's number of the host namespace, once a fabric is there. It names records and pins.
find_cookie() {
	cookie=$(grep -ls -e "-$suffix" /run/nsroute/*/*.record | head -n 1)
	cookie=${cookie%/*} cookie=${cookie##*/}
	[[ -n $cookie ]]
	echo "$cookie" >>"$BATS_FILE_TMPDIR/cookies"
}

# ---- Fabrics

name_namespaces() {
	red=red-$suffix blue=blue-$suffix green=green-$suffix far=far-$suffix
	white=white-$suffix black=black-$suffix grey=grey-$suffix loose=loose-$suffix
}

# Networks v-net-0 and v-net-1, masqueraded; red and blue on the first, green on the second; far is
# behind blue, by a cable.
put_topology() { # [DATAPATH]
	name_namespaces
	cat >"$topology" <<-END
		version: 1
		name: lab
		defaults: {datapath: ${1:-auto}}
		networks:
		  v-net-0: {subnets: [192.168.15.0/24, "fd00:15::/64"], masquerade: eth0}
		  v-net-1: {subnets: [192.168.16.0/24, "fd00:16::/64"], masquerade: eth0}
		namespaces:
		  $red:
		    interfaces:
		      eth0: {network: v-net-0, addresses: [192.168.15.11/24, "fd00:15::11/64"]}
		    routes: [{to: 10.99.0.0/24, via: 192.168.15.12}]
		  $blue:
		    interfaces:
		      eth0: {network: v-net-0, addresses: [192.168.15.12/24, "fd00:15::12/64"]}
		  $green:
		    interfaces:
		      eth0: {network: v-net-1, addresses: [192.168.16.11/24, "fd00:16::11/64"]}
		  $far:
		    routes: [{to: default, via: 10.99.0.1}]
		links:
		  - endpoints: ["$blue:p0", "$far:p0"]
		    addresses: [10.99.0.1/24, 10.99.0.2/24]
	END
}

# That, and white and black on a network without a bridge, grey and loose on one that
# is not masqueraded. Nobody checks what loose says.
put_networks() { # [DATAPATH]
	put_topology "$@"
	cat >"$work/more" <<-END
		  v-net-2: {type: routed, subnets: [192.168.17.0/24, "fd00:17::/64"], masquerade: eth0}
		  v-net-3: {subnets: [192.168.18.0/24, "fd00:18::/64"]}
		namespaces:
		  $white: {interfaces: {eth0: {network: v-net-2, addresses: [192.168.17.11/24, "fd00:17::11/64"]}}}
		  $black: {interfaces: {eth0: {network: v-net-2, addresses: [192.168.17.12/24, "fd00:17::12/64"]}}}
		  $grey: {interfaces: {eth0: {network: v-net-3, addresses: [192.168.18.11/24, "fd00:18::11/64"]}}}
		  $loose:
		    interfaces:
		      eth0: {network: v-net-3, addresses: [192.168.18.12/24, "fd00:18::12/64"], spoof_check: off}
	END
	sed -i -e "/^namespaces:/{r $work/more" -e 'd}' "$topology"
}

# A fabric of one network whose namespaces are n1 to nCOUNT.
put_many() { # COUNT
	local i
	{
		cat <<-END
			version: 1
			name: many
			networks:
			  br-many: {subnets: [10.20.0.0/16, "fd00:20::/64"], masquerade: eth0}
			namespaces:
		END
		for ((i = 1; i <= $1; i++)); do
			echo "  n$i-$suffix: {interfaces: {eth0: {network: br-many, addresses: [10.20.1.$i/16]}}}"
		done
	} >"$topology"
}

# A link has its carrier, and the kernel, which looks at such links once a second, has not made it run.
starting_links() { # NAMESPACE
	ip -n "$1" -o link show up | grep 'LOWER_UP' | grep -vE ' state (UP|UNKNOWN) '
}

# Until the links of the test's namespaces run and no address is tentative any more.
settle() {
	local namespace i
	for namespace in $(test_namespaces); do
		for ((i = 0; i < 100; i++)); do
			[[ -n $(starting_links "$namespace"; ip -n "$namespace" -o -6 address show tentative) ]] || break
			sleep 0.1
		done
	done
}

up() { # [DATAPATH]
	put_topology "$@"
	lab apply "$topology"
	find_cookie
	on "$blue" sysctl -qw net.ipv4.ip_forward=1
}

# ---- Examples

# The example with the suffix on its namespaces, in $topology.
put_example() { # FILE
	echo "== $1"
	local name edits=()
	while read -r name; do
		edits+=(-e "s/^  $name:/  $name-$suffix:/" -e "s/\"$name:/\"$name-$suffix:/")
		edits+=(-e "s/exec $name -- /exec $name-$suffix -- /")
		edits+=(-e "s/namespace: $name$/namespace: $name-$suffix/") # of a device
	done < <(sed -n '/^namespaces:/,/^[a-z]*:/s/^  \([a-z0-9-]*\):.*/\1/p' "$1")
	sed -E "${edits[@]}" "$1" >"$topology"
}

# Commands that the comments tell to try, without the remarks behind them, and with less patience.
commands_in() { # FILE
	sed -nE 's/^# ((nsroute|ping) .*)/\1/p' "$1" | sed -E 's/   .*//; s/ping -c 3 /&-i 0.05 /'
}

run_command() { # WORDS...
	case $1 in
	nsroute)
		shift
		[[ $1 != apply ]] || set -- apply --confirm 0 "$topology" # nobody is there to press ENTER
		echo "nsroute $*"
		lab "$@"
		;;
	ping) on "$host" "$@" ;;
	esac
}

# All of them, in their order, from apply to down.
run_example() {
	local words tried=
	run -0 "$NSROUTE" validate "$topology"
	run -3 lab plan "$topology"
	while read -ra words; do
		tried+=" ${words[1]}"
		if [[ ${words[1]} == down ]]; then
			run -0 lab plan "$topology"
			find_cookie
		fi
		run_command "${words[@]}"
	done < <(commands_in "$topology")
	[[ $tried == *apply*down ]]
}

# ---- Traffic

pings() { # NAMESPACE ADDRESS [OPTION...]
	local namespace=$1 address=$2
	shift 2
	on "$namespace" ping -n -q -c 3 -i 0.05 -W 3 "$@" "$address"
}

# Three packets of a protocol that nobody listens to.
send_ipv6() { # NAMESPACE ADDRESS PROTOCOL
	on "$1" perl -MSocket=:all -e '
		socket(my $s, AF_INET6, SOCK_RAW, $ARGV[1]) or die "socket: $!";
		for (1 .. 3) {
			send($s, "\0" x 8, 0, pack_sockaddr_in6(0, inet_pton(AF_INET6, $ARGV[0]))) or
				die "send: $!";
		}' "$2" "$3"
}

# A datagram from a port, of one byte; nobody waits for an answer.
sends() { # NAMESPACE SOURCE-PORT ADDRESS PORT
	# shellcheck disable=SC2016 # perl's
	on "$1" perl -MSocket=:all -e '
		my ($from, $address, $to) = @ARGV;
		my $six = $address =~ /:/;
		socket(my $s, $six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) or die "socket: $!\n";
		bind($s, $six ? pack_sockaddr_in6($from, inet_pton(AF_INET6, "::")) :
			sockaddr_in($from, INADDR_ANY)) or die "bind: $!\n";
		send($s, "x", 0, $six ? pack_sockaddr_in6($to, inet_pton(AF_INET6, $address)) :
			sockaddr_in($to, inet_aton($address))) or die "send: $!\n";' "${@:2}"
}

await_listener() { # NAMESPACE tcp|udp|tcp6|udp6 PORT
	local i options=("--${2%6}")
	[[ $2 != *6 ]] || options+=(-6)
	for ((i = 0; i < 200; i++)); do
		[[ -z $(on "$1" ss -Hln "${options[@]}" "sport = $3") ]] || return 0
		sleep 0.02
	done
	return 1
}

# A line each way. Sets caller to the address that the server was called from.
exchange() { # tcp|udp CLIENT SERVER ADDRESS
	local server server_options=(-n -v -l) client_options=(-n)
	if [[ $1 == udp ]]; then
		server_options+=(-u -W 1) client_options+=(-u -W 1)
	else
		client_options+=(-N)
	fi
	[[ $4 != *:* ]] || server_options+=(-6)
	ip netns exec "$3" timeout 20 nc "${server_options[@]}" 8080 \
		<<<pong >"$work/received" 2>"$work/log" 3>&- &
	server=$!
	await_listener "$3" "$1" 8080
	run -0 on "$2" timeout 10 nc "${client_options[@]}" "$4" 8080 <<<ping
	[[ $output == pong ]]
	wait "$server"
	[[ $(<"$work/received") == ping ]]
	caller=$(sed -nE 's/^Connection received on ([^ ]+) .*/\1/p' "$work/log")
}

# All ways through the fabric of put_topology.
traffic() {
	local protocol name
	pings "$red" 192.168.15.12
	pings "$red" 192.168.16.11
	pings "$red" 192.168.15.1
	pings "$red" fd00:15::12
	pings "$red" fd00:16::11
	pings "$red" fd00:15::1
	pings "$red" 10.99.0.2
	for protocol in tcp udp; do
		exchange "$protocol" "$red" "$blue" 192.168.15.12
		[[ $caller == 192.168.15.11 ]]
		exchange "$protocol" "$green" "$red" 192.168.15.11
		[[ $caller == 192.168.16.11 ]]
		exchange "$protocol" "$red" "$blue" fd00:15::12
		[[ $caller == fd00:15::11 ]]
		exchange "$protocol" "$red" "$green" fd00:16::11
		[[ $caller == fd00:15::11 ]]
		exchange "$protocol" "$red" "$far" 10.99.0.2
		[[ $caller == 192.168.15.11 ]]
	done
	for name in "$red" "$blue" "$green"; do
		pings "$name" "$outside_address"
		for protocol in tcp udp; do
			exchange "$protocol" "$name" "$outside" "$outside_address"
			[[ $caller == "$uplink_address" ]]
		done
	done
}

bulk() { # CLIENT SERVER ADDRESS [OPTION...]: for a second, or as much as option -n says
	local server client=$1 length=(-t 1)
	[[ " $* " != *" -n "* ]] || length=()
	ip netns exec "$2" timeout 60 iperf3 -s -1 >/dev/null 2>&1 3>&- &
	server=$!
	await_listener "$2" tcp 5201
	shift 2
	on "$client" timeout 30 iperf3 "${length[@]}" -C cubic -c "$@"
	wait "$server"
}

host_end_of() { # NAMESPACE: of its eth0
	lab -j show lab | jq -r --arg name "$1" \
		'.namespaces[] | select(.name == $name) | .interfaces[] | select(.name == "eth0") | .host_end'
}

# Sends a group's frames from red, and sets sent to their number.
forge() { # GROUP
	local host_end
	host_end=$(host_end_of "$red")
	sent=$(on "$red" perl tests/net/forge.pl "$1" interface=eth0 own="$(mac_of "$red" eth0)" \
		near="$(mac_of "$blue" eth0)" far="$(mac_of "$green" eth0)" \
		gateway="$(mac_of "$host" v-net-0)" host_end="$(mac_of "$host" "$host_end")" \
		own4=192.168.15.11 near4=192.168.15.12 far4=192.168.16.11 gateway4=192.168.15.1 \
		outside4="$outside_address" unknown4=10.88.0.1 \
		own6=fd00:15::11 near6=fd00:15::12 far6=fd00:16::11 gateway6=fd00:15::1)
	((sent > 0))
}

# ---- Captures

# Starts tcpdump and waits until it listens. Sets tcpdump to its process number.
# The buffer that it has by itself, 2 MiB, has room for some 30 packets, each as if it were 64 KiB.
capture_to() { # FILE NAMESPACE INTERFACE [FILTER [OPTION...]]: what arrives there
	ip netns exec "$2" tcpdump -nn -Q in -U --immediate-mode -B 16384 -w "$1" -i "$3" "${@:5}" "${4-}" \
		>/dev/null 2>"$1.log" 3>&- &
	tcpdump=$!
	local i
	for ((i = 0; i < 500; i++)); do
		! grep -q '^tcpdump: listening' "$1.log" || return 0
		sleep 0.02
	done
	return 1
}

# Ends a capture when it has written what had arrived: when asked twice, it names the same number.
end_capture() { # FILE NUMBER
	local i answers
	for ((i = 0; i < 200; i++)); do
		kill -USR1 "$2" || break
		sleep 0.05
		mapfile -t answers < <(sed -n 's/^tcpdump: \([0-9]*\) packets\? captured.*/\1/p' "$1.log" | tail -n 2)
		((${#answers[@]} < 2)) || [[ ${answers[0]} != "${answers[1]}" ]] || break
	done
	kill "$2" || true
	wait "$2" || true
}

start_capture() { # NAMESPACE INTERFACE [FILTER [OPTION...]]: into $work/capture
	capture_to "$work/capture" "$@"
	capture=$tcpdump
}

stop_capture() {
	end_capture "$work/capture" "$capture"
}

# Of several namespaces' eth0 at once, each into $work/at-NAMESPACE.
capture_in() { # NAMESPACE...
	local name
	for name in "$@"; do
		capture_to "$work/at-$name" "$name" eth0
		captures[$name]=$tcpdump
	done
}

stop_captures() {
	local name
	for name in "${!captures[@]}"; do
		end_capture "$work/at-$name" "${captures[$name]}"
	done
	captures=()
}
declare -gA captures=()

captured() { # FILTER [NAMESPACE]: prints what of the capture (in the namespace) matches it
	tcpdump -nn -vv -r "$work/${2:+at-}${2:-capture}" "$1" 2>/dev/null
}

# Not one packet with a source that the outside has no business to see.
assert_no_leak() {
	run -0 captured "(ip or arp) and not src host $uplink_address"
	[[ -z $output ]]
	run -0 captured "ip6 and not src host $uplink_address6 and not src net fe80::/10"
	[[ -z $output ]]
}

# ---- Counters

# How many uplinks have an external address.
uplinks_with() { # ADDRESS
	lab -j show lab | jq --arg address "$1" '[.uplinks[] | select(.addresses | index($address))] | length'
}

stats() { # JQ-EXPRESSION: on the only fabric
	lab -j stats | jq -r "$1"
}

total() { # COUNTER: its sum over all namespaces
	stats "[.namespaces[].interfaces[].$1] | add"
}

counter() { # NAMESPACE JQ-EXPRESSION: of its eth0
	stats ".namespaces[] | select(.name == \"$1\") | .interfaces[] | select(.name == \"eth0\") | $2"
}

dropped() { # NAMESPACE REASON
	counter "$1" ".drops.\"$2\""
}

uplink_dropped() { # REASON
	stats ".uplinks[] | select(.name == \"eth0\") | .drops.\"$1\""
}

# Of what the namespaces sent since mark_counters, in percent.
mark_counters() {
	fast_before=$(total fast_packets) slow_before=$(total slow_packets)
}
fast_share() {
	local fast slow
	fast=$(($(total fast_packets) - fast_before))
	slow=$(($(total slow_packets) - slow_before))
	echo $((100 * fast / (fast + slow)))
}

# Whether this kernel counts at the namespace's end what bpf_redirect_peer() delivers: since 6.8.
peer_is_counted() {
	local before after
	before=$(on "$blue" cat /sys/class/net/eth0/statistics/rx_packets)
	on "$red" ping -n -q -c 20 -i 0.01 192.168.15.12 >/dev/null
	after=$(on "$blue" cat /sys/class/net/eth0/statistics/rx_packets)
	((after - before >= 20))
}

# What each namespace's interfaces counted: by the kernel, and by nsroute.
kernel_counts() {
	local name
	for name in $(stats '.namespaces[].name'); do
		ip -n "$name" -s -j link show | jq -r --arg name "$name" '.[] |
			select(.ifname != "lo") | "\($name) \(.ifname) " +
			"tx \(.stats64.tx.packets) \(.stats64.tx.bytes) " +
			"rx \(.stats64.rx.packets) \(.stats64.rx.bytes)"'
	done | sort
}
nsroute_counts() {
	stats '.namespaces[] | .name as $name | .interfaces[] | "\($name) \(.name) " +
		"tx \(.tx_packets) \(.tx_bytes) rx \(.rx_packets) \(.rx_bytes)"' | sort
}

# From here on: assert_counts_equal leaves out what either has counted until now. While interfaces come
# up, the kernel drops what has been counted.
mark_counts() {
	local i
	for ((i = 0; i < 20; i++)); do
		kernel_counts >"$BATS_FILE_TMPDIR/kernel-mark"
		nsroute_counts >"$BATS_FILE_TMPDIR/nsroute-mark"
		! kernel_counts | cmp -s - "$BATS_FILE_TMPDIR/kernel-mark" || return 0
	done
	return 1
}

since_mark() { # kernel|nsroute: that one's counts
	local mark=$BATS_FILE_TMPDIR/$1-mark
	[[ -e $mark ]] || mark=/dev/null
	"$1_counts" | awk -v mark="$mark" '
		BEGIN { while ((getline <mark) > 0) for (i = 4; i <= NF; i++) before[$1, $2, i] = $i }
		{ for (i = 4; i <= NF; i++) if ($i != "rx") $i -= before[$1, $2, i]; print }'
}

# The two are read one after the other, so a packet in between is not a fault: look again then.
assert_counts_equal() { # [WHAT-TO-LEAVE-OUT]: an extended regular expression
	local i
	for ((i = 0; i < 20; i++)); do
		since_mark kernel | sed -E "s/${1:-^$}//" >"$work/kernel"
		since_mark nsroute | sed -E "s/${1:-^$}//" >"$work/nsroute"
		! cmp -s "$work/kernel" "$work/nsroute" || break
		sleep 0.3
	done
	[[ -s $work/kernel ]]
	diff "$work/kernel" "$work/nsroute"
	# Each packet that a namespace sent is in exactly one of fast, slow and drops.
	stats '.namespaces[].interfaces[] | select(.port) |
		.tx_packets - .fast_packets - .slow_packets - (([.drops[]] | add) - .rx_dropped)' >"$work/missing"
	run ! grep -vx 0 "$work/missing"
}

# ---- The state of the host namespace

# As stock tools show it. Of neighbours only what somebody entered: the others come and go. What is
# the machine's is looked at as far as it bears this test's suffix or the host namespace's number.
host_state() {
	echo "== links"
	ip -n "$host" -o -d link | sed -E 's/ state [A-Z]+//; s/_timer +[0-9.]+//g'
	echo "== addresses, routes, rules, neighbours"
	ip -n "$host" -o -batch - <<-END | sed 's/ valid_lft.*//'
		address
		maddress
		route show table all
		rule
		nexthop
		neighbour show nud permanent
		neighbour show proxy
	END
	ip -n "$host" -6 -o -batch - <<-END
		route show table all
		rule
	END
	echo "== forwarding databases"
	bridge -n "$host" fdb
	echo "== queueing disciplines and filters"
	{
		echo "qdisc show"
		ip -n "$host" -br link | awk '{ sub("@.*", "", $1)
			print "filter show dev", $1, "ingress"; print "filter show dev", $1, "egress" }'
	} | tc -n "$host" -force -batch - 2>/dev/null || true # not every link has them
	echo "== sysctls"
	# Some are write-only. The congestion control follows the machine's.
	{ on "$host" grep -rs . /proc/sys/net || true; } |
		grep -vE '_congestion_control|/conntrack_count|/nf_conntrack_count|/netdev_rss_key'
	echo "== firewall"
	on "$host" nft list ruleset
	echo "== namespaces and mounts"
	test_namespaces | sort
	find /run/netns /etc/netns -name "*-$suffix" -printf '%p %y %m\n' 2>/dev/null | sort
	grep -F -- "-$suffix" /proc/self/mountinfo | cut -d ' ' -f 3- | sort
	findmnt -rno TARGET,FSTYPE -t bpf
	echo "== pins and records"
	find /sys/fs/bpf/nsroute /run/nsroute -path "*/${cookie:-none}*" 2>/dev/null | sort
	{ grep -rls -e "-$suffix" /run/nsroute || true; } | sort
}

# Down has left the host as $work/before says. The kernel ends namespaces a moment later.
assert_as_before() {
	local i
	for ((i = 0; i < 20; i++)); do
		host_state >"$work/after"
		! cmp -s "$work/before" "$work/after" || break
		sleep 0.1
	done
	diff "$work/before" "$work/after"
	[[ ! -e /sys/fs/bpf/nsroute/$cookie && ! -e /run/nsroute/$cookie ]]
}
