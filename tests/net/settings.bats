#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# sysctl and dns of namespaces: set before anything runs there, changed in place, given back, refused
# with the place in the file, and never at the cost of what others put there.

# shellcheck disable=SC2030,SC2031,SC2154 # bats sets output; fabric.bash the names
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
	resolv=/etc/netns/$red/resolv.conf
	find /etc/netns 2>/dev/null | sort >"$work/files-before" || true
	put_settings "{net.ipv4.tcp_syncookies: 2, net.ipv4.ip_forward: 1, net/ipv4/conf/p0.1/forwarding: 0}" \
		"{nameservers: [192.0.2.53, \"2001:db8::53\"], search: [lab.example]}"
}

teardown() {
	[[ -z ${read_only-} ]] || umount "$read_only"
	clean_up
	rm -rf "/etc/netns/$red"
}

put_settings() { # SYSCTL DNS
	cat >"$topology" <<-END
		version: 1
		name: settings
		namespaces:
		  $red:
		    sysctl: $1
		    dns: $2
		  $blue: {}
		links:
		  - {endpoints: ["$red:p0.1", "$blue:p0"], addresses: [10.0.0.1/30, 10.0.0.2/30]}
	END
}

inside() { # KEY: its value in red, as sysctl(8) sees it
	on "$red" sysctl -n "$1" | tr '\t' ' '
}

assert_files_as_before() {
	find /etc/netns 2>/dev/null | sort | diff "$work/files-before" -
}

@test "they are as the file says, for stock tools too" {
	host_state >"$work/before"
	run -0 lab apply "$topology"
	find_cookie
	[[ $(inside net.ipv4.tcp_syncookies) == 2 ]]
	[[ $(inside net.ipv4.ip_forward) == 1 ]]
	[[ $(inside net/ipv4/conf/p0.1/forwarding) == 0 ]]
	[[ $(on "$host" sysctl -n net.ipv4.tcp_syncookies) == 1 ]]
	run -0 on "$red" cat /etc/resolv.conf
	[[ $output == "# nsroute:settings made this file"*$'\nsearch lab.example\nnameserver 192.0.2.53\n'*2001:db8::53 ]]
	run -0 --separate-stderr "$NSROUTE" exec "$red" -- cat /etc/resolv.conf
	[[ $output == "$(<"$resolv")" ]]
	[[ $(stat -c %a "$resolv") == 644 ]]
	run -0 lab plan "$topology"
	run -0 lab down settings
	assert_as_before
	assert_files_as_before
}

@test "an edited file changes them in place, and what it leaves out goes back" {
	lab apply "$topology"
	find_cookie
	before=$(inside net.ipv4.tcp_rmem)
	put_settings "{net.ipv4.tcp_syncookies: 0x0, net.ipv4.tcp_rmem: 4096 65536 1048576}" "{nameservers: [192.0.2.1]}"
	run -3 lab plan "$topology"
	[[ $output == *"sysctl net/ipv4/ip_forward = 0 in $red (is 1): as it was before"* ]]
	[[ $output == *"file $resolv"* ]]
	run -0 lab apply "$topology"
	[[ $(inside net.ipv4.tcp_syncookies) == 0 ]]
	[[ $(inside net.ipv4.ip_forward) == 0 ]]
	[[ $(inside net.ipv4.tcp_rmem) == "4096 65536 1048576" ]]
	[[ $(tail -n +2 "$resolv") == "nameserver 192.0.2.1" ]]
	run -0 lab plan "$topology"
	# By hand.
	on "$red" sysctl -qw net.ipv4.tcp_syncookies=2
	echo "nameserver 192.0.2.9" >>"$resolv"
	run -3 lab plan "$topology"
	[[ ${#lines[@]} == 2 ]]
	run -0 lab apply "$topology"
	[[ $(inside net.ipv4.tcp_syncookies) == 0 ]]
	[[ $(tail -n +2 "$resolv") == "nameserver 192.0.2.1" ]]
	put_settings "{}" "null"
	sed -i '/dns: null/d' "$topology"
	run -0 lab apply "$topology"
	[[ $(inside net.ipv4.tcp_syncookies) == 1 ]]
	[[ $(inside net.ipv4.tcp_rmem) == "$before" ]]
	run -0 lab plan "$topology"
	assert_files_as_before
}

@test "a namespace that was deleted by hand gets them again" {
	lab apply "$topology"
	find_cookie
	ip netns del "$red"
	rm -r "/etc/netns/$red"
	run -0 lab apply "$topology"
	[[ $(inside net.ipv4.tcp_syncookies) == 2 ]]
	[[ -e $resolv ]]
	run -0 lab plan "$topology"
}

@test "a sysctl that is not there, or not so, is refused with its place and all is undone" {
	host_state >"$work/before"
	export cookie=none
	for bad in "net.ipv4.no_such: 1" "net.ipv4.conf.eth7.mtu: 1" "net.ipv4.tcp_syncookies: 7000" \
		"net.ipv4.conf.all.tag: 010z"; do
		put_settings "{net.ipv4.ip_forward: 1, $bad}" "{search: [a]}"
		run -2 --separate-stderr lab apply "$topology"
		[[ $stderr == *"lab-$suffix.yaml:5:"*"$red"* ]]
		assert_as_before
		assert_files_as_before
	done
	# The same when the namespace is there: it keeps what it had.
	put_settings "{net.ipv4.tcp_syncookies: 2}" "{search: [a]}"
	lab apply "$topology"
	find_cookie
	cp "$resolv" "$work/resolv"
	put_settings "{net.ipv4.tcp_syncookies: 0, net.ipv4.conf.all.tag: x}" "{search: [b]}"
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"lab-$suffix.yaml:5:"*tag* ]]
	[[ $(inside net.ipv4.tcp_syncookies) == 2 ]]
	cmp "$resolv" "$work/resolv"
	put_settings "{}" "{search: [a]}"
	run -0 lab apply "$topology"
	[[ $(inside net.ipv4.tcp_syncookies) == 1 ]]
}

@test "a resolv.conf of somebody else is refused and stays" {
	mkdir -p "/etc/netns/$red"
	echo "nameserver 192.0.2.77" >"$resolv"
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"lab-$suffix.yaml:6:5: $resolv exists already and is not ours"* ]]
	[[ $(<"$resolv") == "nameserver 192.0.2.77" ]]
	rm "$resolv"
	ln -s "$work/elsewhere" "$resolv"
	run -2 --separate-stderr lab apply "$topology"
	[[ -L $resolv && ! -e $work/elsewhere ]]
	rm "$resolv"
	run -0 lab apply "$topology"
	find_cookie
	# Exchanged by hand for one that is not ours: down leaves it, with its folder.
	echo "nameserver 192.0.2.77" >"$resolv"
	run -0 --separate-stderr lab down settings
	[[ $stderr == *"$resolv is not the file"* ]]
	[[ $(<"$resolv") == "nameserver 192.0.2.77" ]]
}

@test "a folder that is not empty stays, and what a killed nsroute left beside goes" {
	lab apply "$topology"
	find_cookie
	echo 127.0.0.1 red >"/etc/netns/$red/hosts"
	echo half >"$resolv.nsroute"
	put_settings "{}" "{nameservers: [192.0.2.1]}"
	run -0 lab apply "$topology"
	[[ ! -e $resolv.nsroute ]]
	echo half >"$resolv.nsroute"
	rm "$resolv"
	run -0 lab down settings
	[[ $(ls -A "/etc/netns/$red") == hosts ]]
}

@test "with a read-only /etc it fails with the place in the file, and undoes the rest" {
	mkdir -p "/etc/netns/$red"
	host_state >"$work/before"
	export cookie=none
	mount -t tmpfs -o ro tmpfs "/etc/netns/$red"
	read_only=/etc/netns/$red
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"lab-$suffix.yaml:6:5: cannot write $resolv: Read-only file system"* ]]
	umount "$read_only"
	read_only=
	assert_as_before
}
