#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Interfaces of the host moved into namespaces and given back (scenario 6), and apply --confirm. The
# device is eth1, a veth whose other end is outside: it has all that an interface may have in the
# host, and has to come back with it.

# shellcheck disable=SC2154 # bats sets output and status; fabric.bash the names
load fabric

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	red=red-$suffix blue=blue-$suffix
	add_device
	host_state >"$work/before"
}

teardown() {
	clean_up
}

add_device() {
	ip link add eth1 netns "$host" type veth peer name eth1 netns "$outside"
	ip -n "$host" link property add dev eth1 altname uplink-two-of-the-host
	ip -n "$host" link set eth1 alias "wire to the lab" mtu 1450 addrgenmode none up
	ip -n "$outside" link set eth1 addrgenmode none up
	await_link "$host" eth1
	ip -n "$outside" address add 198.51.100.1/24 dev eth1
	ip -n "$outside" address add 2001:db8:51::1/64 dev eth1 nodad
	ip -n "$host" address add 198.51.100.7/24 dev eth1
	ip -n "$host" address add 198.51.100.8/32 dev eth1 label eth1:two
	ip -n "$host" address add 2001:db8:51::7/64 dev eth1 nodad
	ip -n "$host" address add fe80::7/64 dev eth1 nodad
	ip -n "$host" route add 10.51.0.0/16 via 198.51.100.1 metric 50 mtu 1300
	ip -n "$host" route add default via 198.51.100.1 table 51
	ip -n "$host" route add 2001:db8:52::/48 via 2001:db8:51::1
	ip -n "$host" neighbour add 198.51.100.33 lladdr 02:00:00:00:00:33 dev eth1
	ip -n "$host" neighbour add proxy 198.51.100.34 dev eth1
	bridge -n "$host" fdb add 02:00:00:00:00:35 dev eth1 self
	on "$host" sysctl -qw net.ipv4.conf.eth1.rp_filter=2 net.ipv6.conf.eth1.accept_ra=0
	device_mac=$(on "$host" cat /sys/class/net/eth1/address)
	await_own_routes
}

# The kernel enters the routes to its own IPv6 addresses a moment after the addresses.
await_own_routes() {
	local i
	for ((i = 0; i < 200; i++)); do
		(($(ip -n "$host" -6 route show table local | grep -cE '^local (2001:|fe80:)') < 4)) ||
			! bridge -n "$host" fdb | grep -q 33:33:ff:00:00:07 || return 0
		sleep 0.05
	done
	return 1
}

put_device() { # [NAMESPACE [KEYS]]: keys of the device besides its name and namespace
	cat >"$topology" <<-END
		version: 1
		name: lab
		namespaces:
		  $red: {}
		  $blue: {}
		devices:
		  - {name: eth1, namespace: ${1:-$red}${2-, addresses: [198.51.100.2/24]}}
	END
}

apply() { lab apply --confirm 0 "$topology"; }

assert_refused() { # STATUS LINE TEXT: of apply
	run -"$1" lab apply --confirm 0 "$topology"
	[[ $output == "$topology:$2:"* && $output == *"$3"* ]]
}

assert_given_back() {
	lab down lab
	[[ $(ip -n "$host" neighbour show proxy) == "198.51.100.34 dev eth1 proxy "* ]]
	assert_as_before
}

# ---- Moved and given back

@test "moved, configured, pinged over, and given back as it was" {
	put_device "$red" ', addresses: [198.51.100.2/24, "2001:db8:51::2/64"], mac: "02:00:00:00:51:02", mtu: 1400'
	sed -i "s/  $red: {}/  $red: {routes: [{to: 10.51.0.0\/16, via: 198.51.100.1}]}/" "$topology"
	apply
	find_cookie
	run ! ip -n "$host" link show eth1
	run -0 ip -n "$red" link show eth1
	[[ $output == *"mtu 1400"* && $output == *02:00:00:00:51:02* ]]
	[[ $output == *"alias nsroute:lab"* ]]
	ip -n "$red" link show uplink-two-of-the-host
	[[ $(ip -n "$red" route get 10.51.0.9) == *"via 198.51.100.1 dev eth1 src 198.51.100.2"* ]]
	pings "$red" 198.51.100.1
	settle
	pings "$red" 2001:db8:51::1
	[[ $(lab apply "$topology") == "fabric 'lab': nothing to do" ]]
	[[ $(lab -j show lab links | jq -r '.links[] | select(.name == "eth1").namespace') == "$red" ]]
	[[ $(lab show lab links) == *"$red"*eth1* ]]
	assert_given_back
}

@test "without addresses, a MAC or an MTU in the file it keeps its own" {
	put_device "$red" ''
	apply
	find_cookie
	run -0 ip -n "$red" link show eth1
	[[ $output == *"mtu 1450"* && $output == *"$device_mac"* ]]
	[[ -z $(ip -n "$red" -4 address show eth1) ]]
	assert_given_back
}

@test "one that is down, without anything, comes back so" {
	ip -n "$host" link add eth2 type veth peer name eth3
	host_state >"$work/before"
	put_device
	sed -i 's/name: eth1/name: eth2/' "$topology"
	apply
	find_cookie
	[[ $(ip -n "$red" link show eth2) == *,UP* || $(ip -n "$red" link show eth2) == *'<NO-CARRIER,'* ]]
	assert_given_back
}

@test "an edited file: another address, MTU and MAC, another namespace, none" {
	put_device
	apply
	find_cookie
	put_device "$red" ', addresses: [198.51.100.3/24], mac: "02:00:00:00:51:03", mtu: 1300'
	apply
	[[ $(ip -n "$red" -4 -o address show eth1) == *198.51.100.3/24* ]]
	[[ $(ip -n "$red" -4 -o address show eth1) != *198.51.100.2/24* ]]
	[[ $(ip -n "$red" link show eth1) == *"mtu 1300"*02:00:00:00:51:03* ]]
	pings "$red" 198.51.100.1
	put_device "$blue"
	run -3 lab plan "$topology"
	[[ ${lines[0]} == "- device eth1 out of $red: as it was before" ]]
	[[ ${lines[1]} == "+ device eth1 into $blue: an interface of the host itself" ]]
	apply
	run ! ip -n "$red" link show eth1
	[[ $(ip -n "$blue" link show eth1) == *"mtu 1450"*"$device_mac"* ]]
	pings "$blue" 198.51.100.1
	[[ $(lab apply "$topology") == "fabric 'lab': nothing to do" ]]
	sed -i '/^devices:/,$d' "$topology"
	apply
	ip -n "$host" route get 10.51.0.9 | grep -q 'via 198.51.100.1 dev eth1 src 198.51.100.7'
	[[ $(ip -n "$host" link show eth1) == *"alias wire to the lab"* ]]
	assert_given_back
}

@test "beside networks that switch on forwarding and masquerade: all of it comes back" {
	on "$host" sysctl -qw net.ipv6.conf.eth1.forwarding=1 net.ipv4.conf.eth1.forwarding=1
	await_own_routes
	host_state >"$work/before"
	put_topology
	cat >>"$topology" <<-END
		devices:
		  - {name: eth1, namespace: $red, addresses: [198.51.100.2/24, "2001:db8:51::2/64"]}
	END
	apply
	find_cookie
	pings "$red" 198.51.100.1
	pings "$green" "$outside_address"
	[[ $(lab apply "$topology") == "fabric 'lab': nothing to do" ]]
	assert_given_back
}

@test "renamed inside: found by its mark, and called as before when it is back" {
	put_device
	apply
	find_cookie
	ip -n "$red" link set eth1 down
	ip -n "$red" link set eth1 name wire0
	ip -n "$red" link set wire0 up
	apply
	ip -n "$red" link show eth1
	run ! ip -n "$red" link show wire0
	ip -n "$red" link set eth1 down
	ip -n "$red" link set eth1 name wire0
	assert_given_back
	apply
	ip -n "$red" link set eth1 alias '' address 02:00:00:00:00:99
	assert_given_back
}

# ---- Refused

@test "refused with the line and the mend: not there, a port, an uplink, ours, carrying others" {
	put_device
	sed -i 's/name: eth1/name: eth7/' "$topology"
	assert_refused 2 7 "there is no interface 'eth7' in the host namespace"
	put_device
	ip -n "$host" link add br7 type bridge
	ip -n "$host" link set eth1 master br7
	assert_refused 2 7 "interface 'eth1' is a port of 'br7'; take it out first (ip link set eth1 nomaster)"
	ip -n "$host" link del br7
	tc -n "$host" qdisc add dev eth1 clsact
	assert_refused 2 7 "tc qdisc del dev eth1 clsact"
	tc -n "$host" qdisc del dev eth1 clsact
	tc -n "$host" qdisc add dev eth1 root handle 1: pfifo
	assert_refused 2 7 "tc qdisc del dev eth1 root"
	tc -n "$host" qdisc del dev eth1 root
	put_topology
	lab apply "$topology"
	find_cookie
	put_device
	sed -i 's/name: lab/name: two/; s/name: eth1/name: eth0/' "$topology"
	sed -i "s/$red:/white-$suffix:/; s/$blue:/black-$suffix:/; s/namespace: $red/namespace: white-$suffix/" "$topology"
	assert_refused 2 7 "interface 'eth0' is the uplink of a fabric"
	sed -i 's/name: eth0/name: v-net-0/' "$topology"
	assert_refused 2 7 "interface 'v-net-0' belongs to fabric 'lab'"
	lab down lab
}

@test "refused: the uplink of the same file, a name that is taken inside, a route of several hops" {
	put_device
	sed -i "s/^namespaces:/networks:\n  br0: {subnets: [10.9.0.0\/24], masquerade: auto}\nnamespaces:/; s/name: eth1/name: eth0/" "$topology"
	assert_refused 2 9 "interface 'eth0' is the uplink of a fabric"
	put_device
	sed -i '/^devices:/,$d' "$topology"
	apply
	find_cookie
	ip -n "$red" link add eth1 type bridge
	put_device
	assert_refused 2 7 "interface 'eth1' exists already in namespace '$red'"
	ip -n "$red" link del eth1
	ip -n "$host" route add 10.77.0.0/16 nexthop via 198.51.100.1 nexthop via "$outside_address"
	assert_refused 2 7 "has a route with several next hops"
	ip -n "$host" route del 10.77.0.0/16
	assert_given_back
}

@test "refused: another fabric has it; the kernel does not move it" {
	put_device
	apply
	find_cookie
	sed "s/name: lab/name: two/; s/$red/white-$suffix/; s/$blue/black-$suffix/" "$topology" >"$work/two.yaml"
	run -2 lab apply --confirm 0 "$work/two.yaml"
	[[ $output == *"fabric 'lab' has it"* ]]
	lab down lab
	ip -n "$host" link add br7 type bridge # bound to its namespace
	put_device
	sed -i 's/name: eth1/name: br7/' "$topology"
	run lab apply --confirm 0 "$topology"
	if ((status == 0)); then # this kernel moves bridges
		lab down lab
	else
		((status == 2))
		[[ $output == *"device 'br7' cannot change namespaces"* && $output == "$topology:7:"* ]]
	fi
	ip -n "$host" link del br7
	assert_as_before
}

# ---- On its way

# As a nsroute leaves it that was killed in the middle of taking or giving back: in the host, with our
# mark, and all that a move takes from it is gone.
leave_on_its_way() {
	ip -n "$red" link set eth1 netns "$host"
	[[ $(lab show) == *incomplete* ]]
	[[ $(ip -n "$host" link show eth1) == *"alias nsroute:lab"* ]]
}

@test "on its way: the next apply takes it, down gives it back" {
	put_device
	apply
	find_cookie
	leave_on_its_way
	run -1 lab apply "$topology"
	[[ $output == *"add --confirm 60"* ]]
	apply
	pings "$red" 198.51.100.1
	assert_given_back
	apply
	leave_on_its_way
	put_device "$blue"
	apply
	pings "$blue" 198.51.100.1
	assert_given_back
	put_device
	apply
	leave_on_its_way
	assert_given_back
}

@test "recorded, and nothing done to it: taken as it is now, or only forgotten" {
	put_device
	apply
	find_cookie
	cp "/run/nsroute/$cookie/lab.record" "$work/record"
	lab down lab
	mkdir -p "/run/nsroute/$cookie"
	cp "$work/record" "/run/nsroute/$cookie/lab.record"
	assert_given_back
	ip -n "$host" address add 198.51.100.77/24 dev eth1
	host_state >"$work/before"
	mkdir -p "/run/nsroute/$cookie"
	cp "$work/record" "/run/nsroute/$cookie/lab.record"
	apply
	assert_given_back
}

@test "what cannot be given again: named, tried again, or left so" {
	put_device
	apply
	find_cookie
	on "$host" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
	run -4 lab down lab
	[[ $output == *"device 'eth1' is back, but not all as it was"*"cannot give interface 'eth1' its address again"* ]]
	[[ $(ip -n "$host" -4 address show eth1) == *198.51.100.7/24* ]]
	run -4 lab down lab
	on "$host" sysctl -qw net.ipv6.conf.default.disable_ipv6=0 net.ipv6.conf.eth1.disable_ipv6=0
	assert_given_back
	apply
	on "$host" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
	run -4 lab down lab
	ip -n "$host" link set eth1 alias ''
	lab down lab
	[[ ! -e /run/nsroute/$cookie ]]
}

# ---- What others do meanwhile

@test "its name is taken in the host: it stays inside with its namespace, and comes back later" {
	put_device
	apply
	find_cookie
	ip -n "$host" link add eth1 type bridge
	run -4 lab down lab
	[[ $output == *"device 'eth1': its name"*"is taken in the host namespace"* ]]
	ip -n "$red" link show eth1
	run ! ip -n "$blue" link
	ip -n "$host" link del eth1
	assert_given_back
}

@test "its namespace is deleted by hand: a virtual device is gone, and that is said" {
	put_device
	apply
	find_cookie
	ip netns del "$red"
	run -2 lab apply --confirm 0 "$topology"
	[[ $output == *"interface 'eth1' is gone: it was in namespace '$red', which somebody deleted"* ]]
	run -0 --separate-stderr lab down lab
	[[ $stderr == *"interface 'eth1' cannot be given back"* ]]
	[[ ! -e /run/nsroute/$cookie ]]
}

@test "sysctls of a device in the file: set inside, and not brought to the host" {
	put_device
	sed -i "s|  $red: {}|  $red: {sysctl: {net/ipv4/conf/eth1/rp_filter: 1, net/ipv4/conf/eth1/arp_ignore: 2}}|" "$topology"
	apply
	find_cookie
	[[ $(on "$red" cat /proc/sys/net/ipv4/conf/eth1/{rp_filter,arp_ignore}) == $'1\n2' ]]
	[[ $(lab apply "$topology") == "fabric 'lab': nothing to do" ]]
	put_device "$blue"
	apply
	[[ $(on "$blue" cat /proc/sys/net/ipv4/conf/eth1/arp_ignore) == 0 ]]
	[[ $(lab apply "$topology") == "fabric 'lab': nothing to do" ]]
	assert_given_back
}

@test "a failure after the move: all is undone, with the device" {
	put_device "$red" ', addresses: [198.51.100.2/24, "2001:db8:51::2/64"]'
	sed -i "s|  $red: {}|  $red: {sysctl: {net/ipv4/conf/eth1/rp_filter: nonsense}}|" "$topology"
	run -2 lab apply --confirm 0 "$topology"
	[[ $output == *"rp_filter"* ]]
	cookie=none
	assert_as_before
	put_device
	apply
	find_cookie
	ip -n "$red" route add 10.52.0.0/16 via 198.51.100.1
	put_device "$blue"
	sed -i "s|  $blue: {}|  $blue: {sysctl: {net/ipv4/conf/eth1/rp_filter: nonsense}}|" "$topology"
	run -2 lab apply --confirm 0 "$topology"
	[[ $(ip -n "$red" -4 -o address show eth1) == *198.51.100.2/24* ]]
	[[ $(ip -n "$red" route) == *"10.52.0.0/16 via 198.51.100.1 dev eth1"* ]]
	pings "$red" 198.51.100.1
	put_device
	[[ $(lab apply "$topology") == "fabric 'lab': nothing to do" ]]
	assert_given_back
}

# ---- Confirmation

@test "without --confirm it is refused; --dry-run needs none, nor does what touches no device" {
	put_device
	run -1 lab apply "$topology"
	[[ $output == "$topology:7:5: \"+ device eth1 into $red"*"add --confirm 60"* ]]
	run -3 lab apply --dry-run "$topology"
	for wrong in x -1 3601 1.5 ''; do
		run -1 lab apply --confirm "$wrong" "$topology"
		[[ $output == *"--confirm takes seconds"* ]]
	done
	sed -i '/^devices:/,$d' "$topology"
	lab apply "$topology"
	find_cookie
	assert_given_back
}

# Starts an apply that waits, with a pipe at descriptor 7 as its standard input, or, behind "script",
# as what is typed; sets waiting to it.
start_waiting() { # SECONDS [terminal]
	local command=("$NSROUTE" --netns "$host" apply --confirm "$1" "$topology")
	rm -f "$work/input"
	mkfifo "$work/input"
	[[ -z ${2-} ]] || command=(script -qec "${command[*]}" /dev/null)
	"${command[@]}" <"$work/input" >"$work/waiting" 2>&1 3>&- &
	waiting=$!
	exec 7>"$work/input"
	await_word 'done, but not for good'
}

await_word() { # TEXT
	local i
	for ((i = 0; i < 400; i++)); do
		! grep -q -- "$1" "$work/waiting" || return 0
		sleep 0.05
	done
	return 1
}

ended() { # STATUS: waits for it
	exec 7>&-
	status=0
	wait "$waiting" || status=$?
	((status == $1))
}

@test "confirmed by ENTER: what destroys comes after it" {
	put_device "$blue"
	apply
	find_cookie
	sed -i "/^  $blue/d; s/namespace: $blue/namespace: $red/" "$topology"
	start_waiting 60 terminal
	ip -n "$red" link show eth1
	ip -n "$blue" link show lo
	echo nonsense >&7
	ended 0
	run ! ip -n "$blue" link show lo
	pings "$red" 198.51.100.1
	assert_given_back
}

@test "confirmed by nsroute confirm; others are told who holds the lock" {
	put_device
	start_waiting 60
	find_cookie
	run -1 lab confirm other
	[[ $output == *"no apply of fabric 'other' waits"* ]]
	[[ $(<"/run/nsroute/lock") == "$waiting, which waits for \"nsroute --netns $host confirm lab\"" ]]
	run -0 lab confirm lab
	[[ $output == "fabric 'lab': confirmed" ]]
	ended 0
	run -1 lab confirm
	[[ $output == *"nothing waits for a confirmation"* ]]
	pings "$red" 198.51.100.1
	put_device "$blue"
	start_waiting 60
	[[ $(lab -j confirm | jq -c .) == '{"fabric":"lab","confirmed":true}' ]]
	ended 0
	pings "$blue" 198.51.100.1
	assert_given_back
}

@test "not confirmed in time, also at the end of standard input, or by a script's next line: undone" {
	put_device
	run -2 lab apply --confirm 1 "$topology" <<<'echo the next line'
	[[ $output == *"Run \"nsroute --netns $host confirm lab\" elsewhere"*"not confirmed within 1 s"* ]]
	run -2 lab apply --confirm 1 "$topology" </dev/null
	[[ $output == *"everything is as it was before: not confirmed within 1 s"* ]]
	cookie=none
	assert_as_before
	run -2 --separate-stderr lab -j apply --confirm 1 "$topology" </dev/null
	[[ $(jq -c .waiting <<<"${stderr_lines[0]}") == '{"fabric":"lab","seconds":1}' ]]
	jq -e '.error.code == "ETIMEDOUT"' <<<"${stderr_lines[1]}"
	put_device
	apply
	find_cookie
	put_device "$blue" ', addresses: [198.51.100.9/24]'
	start_waiting 1
	ended 2
	[[ $(ip -n "$red" -4 -o address show eth1) == *198.51.100.2/24* ]]
	pings "$red" 198.51.100.1
	put_device
	[[ $(lab apply "$topology") == "fabric 'lab': nothing to do" ]]
	assert_given_back
}

@test "on a terminal: the seconds are counted, and an ENTER that came too early does not count" {
	put_device
	cookie=none
	run -2 script -qec "$NSROUTE --netns $host apply --confirm 2 $topology" /dev/null <<<''
	[[ $output == *"2 s left"*"1 s left"*"not confirmed within 2 s"* ]]
	assert_as_before
}

@test "a signal while it waits (SIGHUP: the login died): undone" {
	cookie=none
	for signal in HUP TERM; do # bash keeps SIGINT from what it starts in the background
		put_device
		start_waiting 60
		[[ $signal != HUP ]] || kill -s TSTP "$waiting" # stopped, it could not undo anything
		kill -s "$signal" "$waiting"
		ended 2
		grep -q 'everything is as it was before: interrupted by a signal' "$work/waiting"
		assert_as_before
	done
}

@test "SIGKILL while it waits: undone by its guardian" {
	cookie=none
	put_device
	start_waiting 60
	kill -9 "$waiting"
	ended 137
	await_word 'everything is as it was before: killed while it waited'
	run -1 lab down lab # there is no such fabric; and the lock's file goes
	assert_as_before
	apply
	find_cookie
	put_device "$blue"
	start_waiting 60
	kill -9 "$waiting"
	ended 137
	# Who comes next waits for the lock, which the guardian has until all is undone.
	put_device
	[[ $(lab apply "$topology") == "fabric 'lab': nothing to do" ]]
	pings "$red" 198.51.100.1
	assert_given_back
}
