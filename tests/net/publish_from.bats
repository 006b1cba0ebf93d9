#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Published ports, at the uplink's address, from namespaces that do not leave by that uplink: of networks
# that are not masqueraded, that leave by another uplink, and of another fabric. red, on v-net-0, publishes
# at eth0; grey's network, v-net-3, is not masqueraded; white's, v-net-2, has no bridge.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # perl has dollars; run sets output; fabric.bash the names
load published

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
}

teardown() {
	clean_up
}

other_address=192.0.2.1 # the host's, at eth1
other_address6=2001:db8:2::1

# Another uplink, with an outside of its own.
new_uplink() {
	other=nsr-other-$suffix
	new_namespace "$other"
	cable "$host" eth1 "$other_address" "$other" eth0 192.0.2.10 1500
	ip -n "$host" address add "$other_address6/64" dev eth1 nodad
}

# Of put_networks' networks, with red's ports. white leaves by no uplink.
put_published() { # [DATAPATH]
	put_networks "$@"
	sed -i '/^  v-net-2:/s/, masquerade: eth0//' "$topology"
	publish "$red" '"8080:8080/tcp", "8080:8080/udp", "5201:5201/tcp"'
}

apply_published() {
	lab apply "$topology"
	find_cookie
	settle
}

callers() { # PORT: the addresses
	cut -d ' ' -f 1 "$work/callers-$1" | sort -u | tr '\n' ' '
}

# By all protocols, at both addresses; the namespace sees the client's own address.
reaches() { # CLIENT ADDRESS ADDRESS6
	exchange tcp "$1" "$red" "$uplink_address"
	[[ $caller == "$2" ]]
	exchange udp "$1" "$red" "$uplink_address"
	[[ $caller == "$2" ]]
	exchange tcp "$1" "$red" "$uplink_address6"
	[[ $caller == "$3" ]]
	exchange udp "$1" "$red" "$uplink_address6"
	[[ $caller == "$3" ]]
}

@test "from networks without masquerade: with the client's own address" {
	put_published
	apply_published
	reaches "$grey" 192.168.18.11 fd00:18::11
	reaches "$white" 192.168.17.11 fd00:17::11
	[[ $(dropped nat-hairpin) == 0 ]]
}

@test "datapath: kernel: from networks without masquerade" {
	put_published kernel
	apply_published
	reaches "$grey" 192.168.18.11 fd00:18::11
	reaches "$white" 192.168.17.11 fd00:17::11
}

@test "from a network that leaves by another uplink, and the other way round" {
	new_uplink
	put_published
	sed -i '/^  v-net-1:/s/masquerade: eth0/masquerade: eth1/' "$topology"
	publish "$green" '"8080:8080/tcp", "8080:8080/udp"'
	apply_published
	reaches "$green" 192.168.16.11 fd00:16::11
	exchange tcp "$red" "$green" "$other_address"
	[[ $caller == 192.168.15.11 ]]
	exchange udp "$red" "$green" "$other_address6"
	[[ $caller == fd00:15::11 ]]
}

@test "from a network of another fabric" {
	put_published
	apply_published
	cat >"$work/second.yaml" <<-END
		version: 1
		name: second
		networks:
		  br-second: {subnets: [10.30.0.0/16, "fd00:30::/64"]}
		namespaces:
		  two-$suffix: {interfaces: {eth0: {network: br-second, addresses: [10.30.1.1/16, "fd00:30::11/64"]}}}
	END
	lab apply "$work/second.yaml"
	settle
	reaches "two-$suffix" 10.30.1.1 fd00:30::11
}

@test "in bulk, both ways, in fragments, and what does not fit is told" {
	local name
	put_published
	apply_published
	for name in "$grey" "$white"; do
		bulk "$name" "$red" "$uplink_address"
		bulk "$name" "$red" "$uplink_address" -R
		bulk "$name" "$red" "$uplink_address6"
		bulk "$name" "$red" "$uplink_address6" -R
	done
	serve "$red" udp 8080
	SIZE=5000 calls "$grey" udp "$uplink_address" 8080
	[[ $(last_caller 8080) == "192.168.18.11 "* ]]
	serve "$red" udp6 8080
	SIZE=5000 calls "$grey" udp6 "$uplink_address6" 8080
	[[ $(last_caller 8080) == "fd00:18::11 "* ]]
	[[ $(dropped nat-hairpin) == 0 && $(dropped nat-fragment) == 0 ]]
}

@test "a closed port is told, and a client that has gone, too" {
	local protocol address name told=0
	put_published
	apply_published
	for address in "$uplink_address" "$uplink_address6"; do
		for name in "$grey" "$white"; do
			is_refused "$name" "$address" 8080
			# By the namespace: the host would refuse it, too, and keep no session.
			[[ $(sessions --protocol udp --port 8080) == "$((++told))" ]]
		done
	done
	# The server's second answer meets nobody.
	for address in 192.168.18.11 fd00:18::11; do
		protocol=udp
		[[ $address != *:* ]] || protocol=udp6
		ip netns exec "$red" timeout 60 perl -MSocket=:all -MIO::Socket::IP -e '
			my $s = IO::Socket::IP->new(Proto => "udp", LocalHost => $ARGV[0], LocalPort => 8080) or die;
			my $client = recv($s, my $data, 100, 0);
			connect($s, $client) or die;
			send($s, $data, 0);
			for (1 .. 200) {
				select undef, undef, undef, 0.1;
				defined(send($s, "late", 0)) or exit !$!{ECONNREFUSED};
			}
			exit 1' "$([[ $protocol == udp ]] && echo 0.0.0.0 || echo ::)" 3>&- &
		server=$!
		await_listener "$red" "$protocol" 8080
		calls "$grey" "$protocol" "$([[ $protocol == udp ]] && echo "$uplink_address" || echo "$uplink_address6")" 8080
		wait "$server"
	done
}

@test "isolation is not gone around" {
	local protocol
	put_published
	sed -i 's/^  v-net-3: {/&isolate: true, /' "$topology"
	apply_published
	for protocol in tcp udp; do
		serve "$red" "$protocol" 8080
		serve "$red" "${protocol}6" 8080
		calls_in_vain "$grey" "$protocol" "$uplink_address" 8080
		calls_in_vain "$grey" "${protocol}6" "$uplink_address6" 8080
		calls "$white" "$protocol" "$uplink_address" 8080
		calls "$white" "${protocol}6" "$uplink_address6" 8080
		kill "$server"
	done
	run ! grep -qE '192.168.18.11|fd00:18::11' "$work/callers-8080"
	(($(dropped isolated) >= 4))
}

@test "told by nat list and trace; flushed, a connection goes on; the host keeps its own" {
	put_published
	apply_published
	serve "$red" tcp 8080
	hold "$grey" "$uplink_address" 8080
	run -0 lab -j nat list --protocol tcp --port 8080
	[[ $(jq -r '[.namespace, .inside, .external, .remote] | join(" ")' <<<"$output") == \
		"$red 192.168.15.11 $uplink_address 192.168.18.11" ]]
	run -0 lab trace --from "$grey" --to "$uplink_address:8080" --proto tcp
	echo "$output"
	[[ $output == *"delivered to $red"* ]]
	# Of a session, by the address that it has: not by one of the client's network, which has none.
	serve "$red" udp 8080
	serve "$red" udp6 8080
	calls "$grey" udp "$uplink_address" 8080 4000
	calls "$grey" udp6 "$uplink_address6" 8080 4000
	run -0 lab trace --from "$grey" --to "$uplink_address:8080" --proto udp --source :4000
	[[ $output == *"session: known outside as $uplink_address:8080"*"delivered to $red"* ]]
	run -0 lab trace --from "$grey" --to "[$uplink_address6]:8080" --proto udp --source :4000
	[[ $output == *"session: known outside as [$uplink_address6]:8080"*"delivered to $red"* ]]
	run -0 lab nat flush
	still_held two
	[[ $(sessions --protocol tcp --port 8080) == 1 ]]

	# What is not published is the host's.
	serve "$host" tcp 2222
	serve "$host" udp 2223
	serve "$host" tcp6 2224
	calls "$grey" tcp "$uplink_address" 2222
	SIZE=5000 PATIENCE=1 run calls "$grey" udp "$uplink_address" 2223 # answered from the gateway's address
	[[ $(last_caller 2223) == "192.168.18.11 "* ]]
	calls "$grey" tcp6 "$uplink_address6" 2224
	pings "$grey" "$uplink_address"
	pings "$grey" "$uplink_address6"
	is_refused "$grey" "$uplink_address" 8081
	calls_in_vain "$outside" udp "$uplink_address" 8081
}

@test "straight to the publisher beside it: each answered as it was asked" {
	local i
	put_published
	apply_published
	serve "$red" tcp 8080
	serve "$red" tcp6 8080
	calls "$grey" tcp "$uplink_address" 8080 4000
	calls "$grey" tcp 192.168.15.11 8080 4000
	calls "$grey" tcp "$uplink_address" 8080 4000
	calls "$grey" tcp6 "$uplink_address6" 8080 4000
	calls "$grey" tcp6 fd00:15::11 8080 4000
	calls "$grey" tcp6 "$uplink_address6" 8080 4000
	# Of UDP a client has a port for each.
	serve "$grey" udp 7000
	calls "$red" udp 192.168.18.11 7000 8080
	[[ $(last_caller 7000) == "192.168.15.11 8080" ]]
	serve "$red" udp 8080
	serve "$red" udp6 8080
	for ((i = 0; i < 2; i++)); do
		calls "$grey" udp "$uplink_address" 8080 4000
		calls "$grey" udp 192.168.15.11 8080 4001
		calls "$grey" udp6 "$uplink_address6" 8080 4000
		calls "$grey" udp6 fd00:15::11 8080 4001
	done
	[[ $(sessions --protocol udp --port 8080) == 2 ]]
	pings "$red" 192.168.18.11
}

@test "published and unpublished on a live fabric" {
	put_published
	publish "$red"
	apply_published
	serve "$red" udp 8080
	calls_in_vain "$grey" udp "$uplink_address" 8080
	publish "$red" '"8080:8080/udp"'
	lab apply "$topology"
	calls "$grey" udp "$uplink_address" 8080 4000
	[[ $(last_caller 8080) == "192.168.18.11 4000" ]]
	run -0 lab plan "$topology"
	publish "$red"
	lab apply "$topology"
	calls_in_vain "$grey" udp "$uplink_address" 8080
	calls "$grey" udp 192.168.15.11 8080 4000 # no session is left that would turn the answer
	run -0 lab plan "$topology"
}

@test "published for programs of the host alone: not for a namespace" {
	put_published
	publish "$red" '"127.0.0.1:8080:8080/udp", "[::1]:8080:8080/udp"'
	apply_published
	serve "$red" udp 8080
	serve "$red" udp6 8080
	calls "$host" udp 127.0.0.1 8080
	calls "$host" udp6 ::1 8080
	is_refused "$grey" "$uplink_address" 8080
	is_refused "$grey" "$uplink_address6" 8080
	is_refused "$grey" 192.168.18.1 8080
	run ! grep -qE '192.168.18.11|fd00:18::11' "$work/callers-8080"
	[[ $(sessions --protocol udp --port 8080) == 2 ]]
	calls "$grey" udp 192.168.15.11 8080
}

@test "published on one of several addresses, and ports in a row on each" {
	local address second=${uplink_address%.*}.101 second6=${uplink_address6%:*}:101
	ip -n "$host" address add "$second/32" dev eth0
	ip -n "$host" address add "$second6/128" dev eth0 nodad
	put_published
	sed -i "s/masquerade: eth0/masquerade: {uplink: eth0, addresses: [$uplink_address, $second, \"$uplink_address6\", \"$second6\"]}/" "$topology"
	publish "$red" "\"$second:8080:8080/udp\", \"[$second6]:8080:8080/udp\", \"8090-8092:7000-7002/udp\""
	apply_published
	serve "$red" udp 8080
	serve "$red" udp6 8080
	serve "$red" udp 7002
	serve "$red" udp6 7002
	calls "$grey" udp "$second" 8080
	calls "$grey" udp6 "$second6" 8080
	is_refused "$grey" "$uplink_address" 8080
	is_refused "$grey" "$uplink_address6" 8080
	for address in "$uplink_address" "$second"; do
		calls "$grey" udp "$address" 8092
		is_refused "$grey" "$address" 8093
	done
	for address in "$uplink_address6" "$second6"; do
		calls "$grey" udp6 "$address" 8092
		is_refused "$grey" "$address" 8093
	done
	[[ $(callers 8080) == "192.168.18.11 fd00:18::11 " && $(callers 7002) == "192.168.18.11 fd00:18::11 " ]]
}

@test "published at another network's gateway: from that network, and from a third one" {
	put_published
	sed -i '/^  v-net-0:/s/masquerade: eth0/masquerade: v-net-1/' "$topology"
	sed -i '/^  v-net-1:/s/, masquerade: eth0//' "$topology"
	apply_published
	serve "$red" udp 8080
	serve "$red" udp6 8080
	calls "$green" udp 192.168.16.1 8080
	[[ $(last_caller 8080) == "192.168.16.11 "* ]]
	SIZE=5000 calls "$green" udp 192.168.16.1 8080 # in fragments
	SIZE=5000 calls "$green" udp6 fd00:16::1 8080
	calls "$grey" udp 192.168.16.1 8080
	[[ $(last_caller 8080) == "192.168.18.11 "* ]]
	calls "$grey" udp6 fd00:16::1 8080
	[[ $(last_caller 8080) == "fd00:18::11 "* ]]
}

@test "from a network that is masqueraded to the publisher's: not with an address that is hidden there" {
	put_published
	sed -i '/^  v-net-0:/s/masquerade: eth0/masquerade: v-net-1/' "$topology"
	publish "$red"
	publish "$green" '"8080:8080/udp"'
	apply_published
	serve "$green" udp 8080
	calls_in_vain "$red" udp "$uplink_address" 8080
	[[ ! -s $work/callers-8080 ]]
	(($(dropped nat-hairpin) > 0))
	calls "$grey" udp "$uplink_address" 8080
}
