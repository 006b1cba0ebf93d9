#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# nsroute bench: what it builds, measures and prints, and that nothing of it stays. Its figures are not
# judged here: the machine has other work while tests run.

# shellcheck disable=SC2154 # bats sets output and stderr
bats_require_minimum_version 1.5.0
NSROUTE=${NSROUTE:-build/nsroute}

setup() {
	local why
	why=$(tools/preflight 2>&1) || skip "${why//$'\n'/; }"
	work=$(mktemp -d "$BATS_TEST_TMPDIR/bench.XXXXXX")
	before=$(left)
}

teardown() {
	[[ -z $bench ]] || { kill -KILL "$bench" 2>/dev/null && wait "$bench"; } || true
}

# What a run could leave: namespaces, records, and pins that no record is beside. Other files' fabrics
# come and go meanwhile; they have other names, and records as long as they have pins.
left() {
	local pins
	ip netns list | grep '^nsrb-' | sort || true
	grep -rls nsrb- /run/nsroute | sort || true
	for pins in /sys/fs/bpf/nsroute/*/; do
		[[ ! -d $pins || -d /run/nsroute/$(basename "$pins") || ! -d $pins ]] || echo "$pins"
	done
}

assert_nothing_left() {
	local i
	for ((i = 0; i < 100; i++)); do # a killed process's children die a moment later
		[[ $(left) != "$before" ]] || return 0
		sleep 0.1
	done
	diff <(echo "$before") <(left)
}

# Leaves its process id in $bench, and returns when the fabric is being built.
start_bench() { # ARGUMENTS...
	local i
	# The shell would have it ignore SIGINT.
	env --default-signal=INT "$NSROUTE" bench --rounds 999 "$@" >"$work/out" 2>"$work/err" 3>&- &
	bench=$!
	for ((i = 0; i < 300; i++)); do
		[[ $(ip netns list) != *"nsrb-$bench-fabric-white"* ]] || return 0
		kill -0 "$bench" || break
		sleep 0.1
	done
	cat "$work/err"
	return 1
}

# Waits for it; its exit status is $ended.
await_bench() {
	ended=0
	wait "$bench" || ended=$?
	bench=
}

@test "a quick run of two paths: figures, percentiles, a chart, and nothing left" {
	"$NSROUTE" -j bench --quick --paths switched,bridge --tests tcp_rr,udp_small \
		--svg "$work/chart.svg" >"$work/out"
	jq -e '[.paths[].path] == ["direct", "switched", "bridge"] and all(.paths[]; .built)' "$work/out"
	jq -e '.quick and .rounds == 3 and .seconds > 0 and .kernel != ""' "$work/out"
	jq -e 'all(.paths[]; [.results[].test] == ["tcp_rr", "udp_small"])' "$work/out"
	jq -e 'all(.paths[1:][].results[]; .rounds == 3 and .ratio > 0 and .rate > 0
		and .quartile1 <= .ratio and .ratio <= .quartile3)' "$work/out"
	jq -e 'all(.paths[].results[0]; .p50_us > 0 and .p50_us <= .p90_us and .p90_us <= .p99_us
		and .p99_us <= .p999_us)' "$work/out"
	jq -e '.fast_packets > 1000 and .fast_packets > 10 * .slow_packets' "$work/out"
	grep -q '^<svg ' "$work/chart.svg"
	grep -q 'nsroute, one bridge network' "$work/chart.svg"
	! command -v xmllint >/dev/null || xmllint --noout "$work/chart.svg"
	assert_nothing_left
}

@test "frames of the generator arrive at both sinks, and the bare program forwards" {
	"$NSROUTE" -j bench --quick --paths redirect_peer,redirect_neigh,routing,masqueraded \
		--tests udp_rr,frames,frames_xdp >"$work/out"
	jq -e 'all(.paths[]; .built and (.results[] | select(.test == "frames") | .ratio > 0))' "$work/out"
	jq -e 'all(.paths[] | select(.path | IN("redirect_neigh", "routing", "masqueraded"));
		.results[] | select(.test == "frames_xdp") | .ratio > 0)' "$work/out"
	# What goes straight into the namespace never meets XDP there, and that is said.
	jq -e '.paths[] | select(.path == "redirect_peer") | .results[] |
		select(.test == "frames_xdp") | .ratio == null and .note != null' "$work/out"
	assert_nothing_left
}

@test "frames of many flows, and to many addresses" {
	"$NSROUTE" -j bench --quick --rounds 1 --paths routed,masqueraded,redirect_peer \
		--tests flows_1k,hosts_16,hosts_16k >"$work/out"
	jq -e 'all(.paths[].results[] | select(.test == "flows_1k"); .ratio > 0 and (.void | not))' "$work/out"
	jq -e 'all(.paths[] | select(.path != "masqueraded") | .results[] |
		select(.test | startswith("hosts")); .ratio > 0 and (.void | not))' "$work/out"
	jq -e '.paths[] | select(.path == "masqueraded") | .results[] | select(.test == "hosts_16") |
		.ratio == null and .note == "not measured on this path"' "$work/out"
	jq -e '.fast_packets > 10 * .slow_packets' "$work/out"
	assert_nothing_left
}

@test "of nsroute's paths only those are measured that are asked for" {
	"$NSROUTE" -j bench --quick --rounds 1 --seconds 0.01 --paths routed --tests flows_128k >"$work/out"
	# Each flow once, before the measurement, and the measurement.
	jq -e '.fast_packets | . > 131072 and . < 2 * 131072' "$work/out"
	assert_nothing_left
}

@test "without --paths: what the machine has not is named, with the reason" {
	"$NSROUTE" -j bench --quick --rounds 1 --seconds 0.01 --tests udp_rr >"$work/out"
	jq -e '.paths | length == 18' "$work/out"
	jq -e 'all(.paths[]; .built != (.reason != null))' "$work/out"
	jq -e 'all(.paths[] | select(.kind != "peer"); .built)' "$work/out"
	jq -e '.paths[] | select(.path == "routing") | .built' "$work/out"
	run -0 "$NSROUTE" bench --quick --rounds 1 --seconds 0.01 --tests udp_rr --paths routing
	[[ $output == *"Ratio to a direct veth pair"*"routing"*"direct veth, a second: udp_rr"* ]]
	assert_nothing_left
}

@test "a requirement that is not reached is exit 3" {
	run -3 "$NSROUTE" bench --quick --paths bridge --tests udp_rr --require bridge:udp_rr:100
	[[ $output == *"required: bridge udp_rr >= 100.00, measured "*": NOT met"* ]]
	assert_nothing_left
}

@test "SIGINT, SIGTERM: exit 2, and everything is removed" {
	local signal
	for signal in INT TERM; do
		start_bench --paths switched
		[[ $signal != TERM ]] || sleep 3 # in the middle of measuring; INT comes while building
		kill -"$signal" "$bench"
		await_bench
		((ended == 2))
		[[ $(<"$work/err") == *interrupted* ]]
		assert_nothing_left
	done
}

@test "a killed run's namespaces and fabric are removed by the next; no two at a time" {
	start_bench --paths switched
	echo old >"$work/chart.svg"
	run -2 --separate-stderr "$NSROUTE" bench --quick --svg "$work/chart.svg"
	[[ $(<"$work/chart.svg") == old ]]
	[[ $stderr == *"another \"nsroute bench\" is running"* ]]
	kill -KILL "$bench"
	await_bench
	((ended == 137))
	[[ $(left) != "$before" ]]
	"$NSROUTE" bench --quick --rounds 1 --paths bridge --tests udp_rr
	assert_nothing_left
}

@test "a killed run's children are waited for: they hold the lock a moment longer than it" {
	local child
	mkdir -p /run/nsroute
	: >>/run/nsroute/bench.lock
	flock /run/nsroute/bench.lock sleep 2 3>&- &
	child=$!
	while flock -n /run/nsroute/bench.lock true; do kill -0 "$child"; done
	"$NSROUTE" bench --quick --rounds 1 --paths bridge --tests udp_rr
	wait "$child"
	assert_nothing_left
}

@test "a namespace with such a name that is not ours is left alone" {
	ip netns add "nsrb-1-mine$BATS_SUITE_TEST_NUMBER"
	ip netns add "nsrb-1-lab$BATS_SUITE_TEST_NUMBER" # as one of a fabric of that name
	ip -n "nsrb-1-lab$BATS_SUITE_TEST_NUMBER" link set lo alias nsroute:lab
	"$NSROUTE" bench --quick --rounds 1 --paths bridge --tests udp_rr
	ip netns del "nsrb-1-mine$BATS_SUITE_TEST_NUMBER"
	ip netns del "nsrb-1-lab$BATS_SUITE_TEST_NUMBER"
	assert_nothing_left
}

@test "wrong paths, tests and numbers are exit 1, and nothing is built" {
	run -1 --separate-stderr "$NSROUTE" bench --paths switched,nonsense
	[[ $stderr == *"no path is called 'nonsense'; there are direct, switched,"* ]]
	run -1 --separate-stderr "$NSROUTE" bench --tests tcp
	[[ $stderr == *"no test is called 'tcp'; there are tcp_rr,"* ]]
	run -1 --separate-stderr "$NSROUTE" bench --paths direct
	[[ $stderr == *"--paths takes one besides direct"* ]]
	run -1 "$NSROUTE" bench --rounds 0
	run -1 "$NSROUTE" bench --seconds x
	run -1 "$NSROUTE" bench --cpu 100000
	run -1 "$NSROUTE" bench --require bridge:tcp_rr
	run -1 "$NSROUTE" bench --paths nft --require bridge:tcp_rr:1
	run -1 "$NSROUTE" bench something
	run -1 "$NSROUTE" --netns x bench
	run -2 "$NSROUTE" bench --svg "$work/no/such/folder.svg"
	assert_nothing_left
}

@test "a path that is asked for by name and is not here is an error with the reason" {
	local absent
	"$NSROUTE" -j bench --quick --rounds 1 --seconds 0.01 --tests udp_rr >"$work/out"
	absent=$(jq -r '[.paths[] | select(.built | not) | .path][0] // ""' "$work/out")
	[[ $absent ]] || skip "this machine has every peer"
	run -2 --separate-stderr "$NSROUTE" bench --quick --paths "$absent"
	[[ $stderr == *"path '$absent' cannot be built: "* ]]
	assert_nothing_left
}
