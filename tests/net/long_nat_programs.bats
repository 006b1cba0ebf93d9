#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Programs of other people through the masquerade: what finds out about NATs, what looks for routers,
# what opens connections of its own.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # perl has dollars; run sets output; fabric.bash the names
load outside

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

teardown() {
	clean_up
}

# ---- Discovery

# Two addresses, two ports each: what it needs (RFC 5780).
start_coturn() {
	need turnserver turnutils_natdiscovery
	serve turnserver "$outside" turnserver -n --no-auth --no-tls --no-dtls --no-cli --log-file stdout \
		--pidfile "$work/turn.pid" --userdb "$work/turn.db" -L "$server_address" -L "$server_address2"
	await_listener "$outside" udp 3478
	await_listener "$outside" udp 3479
}

discover() { # NAMESPACE OPTION...
	run -0 on "$1" timeout 60 turnutils_natdiscovery "${@:2}" "$server_address"
}

@test "turnutils_natdiscovery: endpoint-independent mapping, of each namespace, padded too" {
	need turnserver turnutils_natdiscovery
	internet_up
	start_coturn
	watch
	for name in "$red" "$green"; do
		discover "$name" -m
		[[ $output == *"NAT with Endpoint Independent Mapping!"* ]]
		[[ $output == *"UDP reflexive addr: $uplink_address:"* ]]
		discover "$name" -m -P
		[[ $output == *"NAT with Endpoint Independent Mapping!"* ]]
	done
	assert_judged
}

@test "turnutils_natdiscovery: a port for each remote is what it sees" {
	need turnserver turnutils_natdiscovery
	internet_up auto "s/masquerade: eth0/masquerade: {uplink: eth0, mapping: address-and-port-dependent}/"
	start_coturn
	watch
	for name in "$red" "$green" "$white"; do
		discover "$name" -m
		[[ $output == *"NAT with Address and Port Dependent Mapping!"* ]]
		discover "$name" -f
		[[ $output == *"NAT with Address and Port Dependent Filtering!"* ]]
	done
	assert_judged
}

@test "turnutils_natdiscovery: a port for each remote, and hairpin works" {
	need turnserver turnutils_natdiscovery
	internet_up auto "s/masquerade: eth0/masquerade: {uplink: eth0, mapping: address-and-port-dependent, \
filtering: endpoint-independent}/"
	start_coturn
	watch
	discover "$red" -m -f -H -P
	echo "$output"
	[[ $output == *"Received a request (maybe a successful hairpinning)"* ]]
	[[ $output == *"NAT with Address and Port Dependent Mapping!"*"NAT with Endpoint Independent Filtering!"* ]]
	assert_judged
}

# The words of discovery for the filtering of the file. A mode that this build refuses is skipped.
sees_filtering() { # MODE WORDS
	need turnserver turnutils_natdiscovery
	new_host
	put_networks
	sed -i "s/masquerade: eth0/masquerade: {uplink: eth0, filtering: $1}/" "$topology"
	run "$NSROUTE" validate "$topology"
	((status == 0)) || skip "not there yet: ${lines[0]#*:*:*: }"
	clean_up
	internet_up auto "s/masquerade: eth0/masquerade: {uplink: eth0, filtering: $1}/"
	start_coturn
	watch
	for name in "$red" "$white"; do
		discover "$name" -f
		[[ $output == *"NAT with $2 Filtering!"* ]]
	done
	discover "$red" -m
	[[ $output == *"NAT with Endpoint Independent Mapping!"* ]]
	assert_judged
}

@test "turnutils_natdiscovery: filtering by address and port is what it sees" {
	sees_filtering address-and-port-dependent "Address and Port Dependent"
	(($(uplink_dropped nat-filtered) > 0))
}

@test "turnutils_natdiscovery: filtering by address is what it sees" {
	sees_filtering address-dependent "Address Dependent"
	(($(uplink_dropped nat-filtered) > 0))
}

@test "turnutils_natdiscovery: no filtering is what it sees" {
	sees_filtering endpoint-independent "Endpoint Independent"
	[[ $(uplink_dropped nat-filtered) == 0 ]]
}

# By its own external address, whose filter has to let in who has not been sent to.
@test "turnutils_natdiscovery: hairpin works" {
	need turnserver turnutils_natdiscovery
	internet_up auto "s/masquerade: eth0/masquerade: {uplink: eth0, filtering: endpoint-independent}/"
	start_coturn
	watch
	for name in "$red" "$green" "$white"; do
		discover "$name" -m -f -H -P
		echo "$output"
		[[ $output == *"Received a request (maybe a successful hairpinning)"* ]]
		[[ $output == *"NAT with Endpoint Independent Mapping!"*"NAT with Endpoint Independent Filtering!"* ]]
	done
	assert_judged
}

@test "stun: the older discovery sees the same, and that ports are preserved" {
	need turnserver stun
	internet_up
	start_coturn
	watch
	run on "$red" timeout 60 stun "$server_address"
	[[ $output == *"Independent Mapping, Port Dependent Filter, preserves ports"* ]]
	assert_judged
}

# ---- Routers on the way

# Each router is named, whatever it is that looks.
@test "mtr shows every router, by ICMP, UDP and TCP" {
	need mtr
	internet_up
	far_away
	watch
	for way in "" --udp "--tcp --port 8080"; do
		# shellcheck disable=SC2086 # several words, or none
		run -0 on "$red" mtr -n -r -w -c 2 -i 0.2 -G 2 $way "$far_address"
		[[ ${lines[2]} == *"1.|-- 192.168.15.1 "* ]]
		[[ ${lines[3]} == *"2.|-- $outside_address "* ]]
		[[ ${lines[4]} == *"3.|-- 192.0.2.2 "* ]]
		[[ ${lines[5]} == *"4.|-- $far_address "* ]]
		[[ $(awk '/\|--/ { print $3 }' <<<"$output" | sort -u) == 0.0% ]]
	done
	assert_judged
}

# What a namespace sees of the way to the far server, which knows nothing of the way back yet.
looks() { # NAMESPACE ADDRESS HEADERS: bytes of IP and ICMP
	local way
	ip -n "$server" route flush cache
	ip -n "$server" -6 route flush cache
	for way in -I -T -U; do
		on "$1" traceroute -n "$way" -q 1 -w 3 "$2"
	done
	on "$1" tracepath -n "$2"
	# Over IPv6 the server is told of the small link by its first answer, which is lost.
	on "$1" ping -n -q -c 3 -i 0.1 -W 3 -s 8000 "$2"
	on "$1" ping -n -q -c 3 -i 0.1 -W 3 -s 8000 "$2"
	ip -n "$1" route flush cache
	ip -n "$1" -6 route flush cache
	on "$1" ping -n -c 1 -W 3 -M "do" -s $((1428 - $3)) "$2" || true
	on "$1" ping -n -c 1 -W 3 -M "do" -s $((1280 - $3)) "$2"
	on "$1" ping -n -c 1 -W 3 -t 3 "$2" || true
	on "$1" ping -n -c 1 -W 3 -t 1 "$2" || true
}

# Its own gateway is "gateway", and its times are no matter.
seen_by() { # NAMESPACE ADDRESS GATEWAY REMOTE HEADERS
	looks "$1" "$4" "$5" | sed -E -e "s/\b$2\b/own/g; s/\b$3(\b|$| )/gateway\1/g" \
		-e 's/ (time[= ])?[0-9.]+ ?ms\b//g; s,^rtt .*,,; s/ +/ /g; s/ $//' >"$work/seen-by-$1"
}

assert_seen_alike() {
	grep -q "Resume: pmtu 1280 hops 4" "$work/seen-by-$grey"
	diff "$work/seen-by-$grey" "$work/seen-by-$red"
	diff "$work/seen-by-$grey" "$work/seen-by-$white"
	assert_judged
}

@test "the way is seen as it is through a plain router: traceroute, tracepath, ping" {
	internet_up
	far_away
	watch
	seen_by "$grey" 192.168.18.11 192.168.18.1 "$far_address" 28
	seen_by "$red" 192.168.15.11 192.168.15.1 "$far_address" 28
	seen_by "$white" 192.168.17.11 192.168.17.1 "$far_address" 28
	# It was a way with three routers and a small link.
	grep -q "From $outside_address icmp_seq=1 Frag needed and DF set (mtu = 1280)" "$work/seen-by-$grey"
	grep -q "8000(8028) bytes" "$work/seen-by-$grey"
	assert_seen_alike
}

@test "the way is seen as it is through a plain router, over IPv6" {
	internet_up
	far_away
	watch
	seen_by "$grey" fd00:18::11 fd00:18::1 "$far_address6" 48
	seen_by "$red" fd00:15::11 fd00:15::1 "$far_address6" 48
	seen_by "$white" fd00:17::11 fd00:17::1 "$far_address6" 48
	grep -q "From $outside_address6 icmp_seq=1 Packet too big: mtu=1280" "$work/seen-by-$grey"
	grep -q "8000 data bytes" "$work/seen-by-$grey"
	assert_seen_alike
}

# A UDP socket that answers each datagram of 8,000 bytes of one letter with it in capitals.
start_shouter() { # ADDRESS
	serve shouter "$server" perl -MIO::Socket::IP -MSocket=:addrinfo -e '
		my $s = IO::Socket::IP->new(Proto => "udp", LocalHost => shift, LocalPort => 8080) or die;
		$| = 1;
		while (defined(my $from = recv($s, my $data, 65535, 0))) {
			my $letter = substr $data, 0, 1;
			my ($error, $host, $port) = getnameinfo($from, NI_NUMERICHOST | NI_NUMERICSERV);
			print "$letter ", length $data, $data eq $letter x length $data ? "" : " mixed",
				" from $host $port\n";
			send($s, uc $data, 0, $from);
		}' "$1"
	await_listener "$server" "udp$family" 8080
}

# Each from a port of its own. All arrives from SEEN, and comes back.
in_pieces() { # NAMESPACE ADDRESS SEEN REMOTE PIECE ORDER...
	local receiving order port=$((5000 + ++id)) open="" close=""
	[[ $2 != *:* ]] || open="[" close="]"
	ip netns exec "$1" timeout 60 perl -MIO::Socket::IP -e '
		my $s = IO::Socket::IP->new(Proto => "udp", LocalHost => shift, LocalPort => shift) or die;
		for (1 .. shift) {
			recv($s, my $data, 65535, 0) // die;
			print substr($data, 0, 1), " ", length $data, $data =~ /^R+$/ ? "\n" : " mixed\n";
		}' "$2" "$port" $(($# - 5)) >"$work/back" 3>&- &
	receiving=$!
	await_listener "$1" "udp$family" "$port"
	for order in "${@:6}"; do
		on "$1" tests/net/fragments.pl "$open$2$close:$port" "$open$4$close:8080" "$((++id))" r "$order" "$5"
	done
	wait "$receiving"
	run -0 cat "$work/back"
	[[ ${#lines[@]} == $(($# - 5)) && $(sort -u <<<"$output") == "R 8000" ]]
	run -0 tail -n $(($# - 5)) "$work/shouter.log"
	[[ $(sort -u <<<"$output") == "r 8000 from $3 $port" ]]
}

@test "8 kB in fragments backwards, across a link of 1,280 bytes, both ways, as by a plain router" {
	local family="" id=100 orders=("5,4,3,2,1,0" "5,4,3,2,1,0" "0,1,2,3,4,5" "3,0,5,1,4,2")
	internet_up
	far_away
	start_shouter "$far_address"
	watch
	in_pieces "$grey" 192.168.18.11 192.168.18.11 "$far_address" 1400 "${orders[@]}"
	in_pieces "$red" 192.168.15.11 "$uplink_address" "$far_address" 1400 "${orders[@]}"
	in_pieces "$white" 192.168.17.11 "$uplink_address" "$far_address" 1400 "${orders[@]}"
	[[ $(nat_drops) == 0 ]]
	assert_judged
}

# No router takes anything to pieces here: the pieces are as small as the link. The server hears of it by its
# first answers.
@test "8 kB in fragments backwards over IPv6, across a link of 1,280 bytes, both ways, as by a plain router" {
	local name family=6 id=100 orders=("6,5,4,3,2,1,0" "6,5,4,3,2,1,0" "0,1,2,3,4,5,6" "3,0,5,1,6,4,2")
	internet_up
	far_away
	start_shouter "$far_address6"
	for name in "$grey" "$red"; do
		on "$name" ping -n -q -c 3 -i 0.2 -W 3 -s 8000 "$far_address6"
	done
	watch
	in_pieces "$grey" fd00:18::11 fd00:18::11 "$far_address6" 1200 "${orders[@]}"
	in_pieces "$red" fd00:15::11 "$uplink_address6" "$far_address6" 1200 "${orders[@]}"
	in_pieces "$white" fd00:17::11 "$uplink_address6" "$far_address6" 1200 "${orders[@]}"
	[[ $(nat_drops) == 0 ]]
	assert_judged
}

@test "TCP finds the way's MTU, in both directions at once" {
	internet_up
	far_away
	watch
	bulk "$red" "$server" "$far_address" -n 4M
	run -0 ip -n "$red" route get "$far_address"
	[[ $output == *"mtu 1280"* ]]
	bulk "$blue" "$server" "$far_address" -n 4M -R
	assert_judged 500
}

# ---- Connections of their own

start_vsftpd() {
	mkdir -p "$work/ftp" "$work/empty"
	head -c 3000000 /dev/urandom >"$work/ftp/file"
	chmod 755 "$work" "$work/ftp"
	cat >"$work/vsftpd.conf" <<-END
		listen=YES
		background=NO
		anonymous_enable=YES
		local_enable=NO
		anon_root=$work/ftp
		no_anon_password=YES
		pasv_min_port=40000
		pasv_max_port=40099
		secure_chroot_dir=$work/empty
		seccomp_sandbox=NO
		xferlog_enable=NO
	END
	serve vsftpd "$outside" vsftpd "$work/vsftpd.conf"
	await_listener "$outside" tcp 21
}

@test "passive FTP: vsftpd and lftp, list and files, several at once" {
	local i
	need vsftpd lftp
	internet_up
	start_vsftpd
	watch
	for i in 1 2 3; do ln "$work/ftp/file" "$work/ftp/file$i"; done
	mkdir "$work/got"
	run -0 on "$red" timeout 60 lftp -c "set net:timeout 5; set net:max-retries 1
		set ftp:passive-mode on; open ftp://$server_address; ls; mirror -P 4 / $work/got"
	[[ $output == *" file3"* ]]
	for i in "" 1 2 3; do cmp "$work/ftp/file" "$work/got/file$i"; done
	[[ $(nat_drops) == 0 ]]
	assert_judged
}

@test "DNS: dnsperf loses no query" {
	need dnsperf
	internet_up
	# Each query is its answer: a name without an address.
	serve resolver "$outside" perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => $ARGV[0], LocalPort => 53) or die;
		while (defined(my $from = recv($s, my $data, 65535, 0))) {
			substr($data, 2, 2) = pack "n", unpack("n", substr $data, 2, 2) | 0x8080;
			send($s, $data, 0, $from);
		}' "$server_address"
	await_listener "$outside" udp 53
	seq -f 'host%g.example A' 1000 >"$work/queries"
	watch
	run -0 on "$red" timeout 60 dnsperf -s "$server_address" -d "$work/queries" -n 20 -c 100 -q 50 -t 5
	echo "$output"
	[[ $output =~ Queries\ completed:\ +20000\  ]]
	[[ $output =~ Queries\ lost:\ +0\  ]]
	[[ $output =~ NOERROR\ 20000 ]]
	[[ $(nat_drops) == 0 ]]
	assert_judged 20000
}

# In the background, by a scenario that sipp has: six messages a call. Exit status 0: each was successful.
call() { # NAMESPACE ADDRESS TRANSPORT
	ip netns exec "$1" timeout 60 sipp -sn uac -i "$2" -p 5060 -t "$3" -max_socket 1000 -nostdin -m 300 -r 150 -d 200 \
		-timeout 40 -timeout_error "$server_address:5060" >"$work/calls-$1" 2>&1 3>&- &
	calling+=($!)
}

@test "SIP: of sipp's calls by UDP and TCP, of one socket or one for each, none fails" {
	local transport one calling
	need sipp
	internet_up
	for transport in u1 t1; do
		serve "sipp-$transport" "$outside" sipp -sn uas -nostdin -i "$server_address" -p 5060 -t "$transport"
	done
	await_listener "$outside" udp 5060
	await_listener "$outside" tcp 5060
	watch
	for transport in u1 un t1 tn; do
		calling=()
		call "$red" 192.168.15.11 "$transport"
		call "$green" 192.168.16.11 "$transport" # from the same port
		for one in "${calling[@]}"; do wait "$one"; done
		run -0 grep -hE '^ *(Successful|Failed) call ' "$work/calls-$red" "$work/calls-$green"
		[[ $(awk '{ print $1, $NF }' <<<"$output" | sort | uniq -c | xargs) == "2 Failed 0 2 Successful 300" ]]
	done
	# By one port, and by one for each call, but for a few that sipp uses again.
	(($(lab -j nat list --protocol udp --namespace "$green" | jq .external_port | sort -u | wc -l) > 250))
	(($(lab -j nat list --protocol tcp --namespace "$green" | jq .external_port | sort -u | wc -l) > 250))
	[[ $(nat_drops) == 0 ]]
	assert_judged 9000
}
