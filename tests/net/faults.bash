# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# faults.bash - what faults.bats and the long_fault*.bats share: a small fabric that has one of
# everything, its edited form, and nsroute ended or failed at a step (tests/fault/fault.c).
#
# How it works: an undisturbed run counts the changes and the steps of a command; then the command
# is ended before, or failed at, each of them. While a test runs, the outside watches its end of the
# uplink, and whatever is left of the fabric by a kill is made to send there (probe).

# shellcheck disable=SC2154,SC2034 # bats sets output; fabric.bash the names, and uses some of ours

faulty() { # FAULT ARGUMENTS...: sets status and message
	local fault=$1
	shift
	status=0
	[[ $1 != apply ]] || set -- apply --confirm 0 "${@:2}"
	NSROUTE_FAULT=$fault "$NSROUTE-faults" --netns "$host" "$@" >"$work/faulty" 2>&1 || status=$?
	message=$(<"$work/faulty")
}

# Sets changes and steps to how many an undisturbed command has.
count_points() { # ARGUMENTS...
	faulty count "$@"
	echo "$message"
	((status == 0))
	[[ $message =~ fault:\ ([0-9]+)\ changes,\ ([0-9]+)\ steps ]]
	changes=${BASH_REMATCH[1]} steps=${BASH_REMATCH[2]}
}

# Sets points to the numbers of the changes, or of all steps, of an undisturbed command, or of one
# with another fault. Of the many that pin and unpin one datapath, which are a loop each, the first
# two and the last stand for all: between them nothing differs but how far it came.
find_points() { # changes|steps [FAULT,]trace ARGUMENTS...
	faulty "${@:2}"
	points=$(awk -v which="$1" '
		!/^fault: change / || (which == "changes" && $3 == 0) { next }
		{
			number[++count] = which == "changes" ? $3 : $5 + 0
			loop[count] = $6 ~ /^(bpf_obj_pin|unlink)$/ && $7 ~ "^/sys/fs/bpf/" ? $6 : count
		}
		END {
			for (i = 1; i <= count; i++)
				if (loop[i] != loop[i - 2] || loop[i] != loop[i + 1])
					print number[i]
		}' <<<"$message")
	[[ -n $points ]]
	echo "$1 of ${*:3}: ${points//$'\n'/ }"
}

killed_at() { # NUMBER ARGUMENTS...: nsroute just before this change, and not one later
	local number=$1
	shift
	faulty "kill:$number" "$@"
	echo "kill:$number $*: $status"
	((status == 137))
	probe
}

# apply that stops before a change, in its middle. Sets stopped to its process.
stop_at() { # NUMBER ARGUMENTS...
	local number=$1 i
	shift
	NSROUTE_FAULT=stop:$number "$NSROUTE-faults" --netns "$host" "$@" >"$work/stopped" 2>&1 3>&- &
	stopped=$!
	for ((i = 0; i < 500; i++)); do
		[[ $(<"/proc/$stopped/stat") != *") T "* ]] || return 0
		sleep 0.02
	done
	return 1
}

go_on() {
	kill -CONT "$stopped"
	wait "$stopped"
	stopped=
}

# One of everything. To be extended with what the fabric learns. Of the ports that it publishes the
# host has one reserved already, and another one.
put_fabric() {
	on "$host" sysctl -qw net.ipv4.ip_local_reserved_ports=8081,9999
	red=red-$suffix blue=blue-$suffix green=green-$suffix yellow=yellow-$suffix
	edited=$work/edited-$suffix.yaml
	cat >"$topology" <<-END
		version: 1
		name: lab
		networks:
		  v-net-0: {subnets: [192.168.15.0/24, "fd00:15::/64"], masquerade: eth0}
		  far-0: {type: routed, subnets: [192.168.17.0/24], masquerade: eth0}
		namespaces:
		  $red:
		    interfaces:
		      eth0: {network: v-net-0, addresses: [192.168.15.11/24, "fd00:15::11/64"]}
		    routes: [{to: 10.99.0.0/24, via: 192.168.15.12}]
		    dns: {nameservers: [192.0.2.53], search: [lab.example]}
		    publish: ["8080-8081:80-81/tcp"]
		  $blue:
		    interfaces:
		      eth0: {network: v-net-0, addresses: [192.168.15.12/24, "fd00:15::12/64"]}
		    sysctl: {net.ipv4.ip_default_ttl: 99}
		  $yellow:
		    interfaces:
		      eth0: {network: far-0, addresses: [192.168.17.11/24]}
		links:
		  - endpoints: ["$blue:p0", "host:h0"]
		    addresses: [10.98.0.1/30, 10.98.0.2/30]
	END
}

# The same after a change of network, namespace, interface, address, route and link, and with far-0
# not masqueraded any more.
put_edited() {
	cat >"$edited" <<-END
		version: 1
		name: lab
		defaults: {mtu: 1400}
		networks:
		  v-net-0: {subnets: [192.168.15.0/24, "fd00:15::/64"], masquerade: eth0}
		  v-net-1: {subnets: [192.168.16.0/24], masquerade: eth0}
		  far-0: {type: routed, subnets: [192.168.17.0/24]}
		namespaces:
		  $red:
		    interfaces:
		      eth0: {network: v-net-0, addresses: [192.168.15.21/24, "fd00:15::11/64"]}
		    routes: [{to: 10.99.1.0/24, via: 192.168.15.13}]
		    dns: {nameservers: [192.0.2.54]}
		    publish: ["8081:81/tcp", "53:53/udp"]
		    sysctl: {net.ipv4.ip_default_ttl: 98}
		  $green:
		    interfaces:
		      eth0: {network: v-net-1, addresses: [192.168.16.13/24]}
		      eth2: {network: v-net-0, addresses: [192.168.15.13/24]}
		  $yellow:
		    interfaces:
		      eth0: {network: far-0, addresses: [192.168.17.12/24]}
		links:
		  - endpoints: ["$red:p0", "host:h0"]
		    addresses: [10.98.0.1/30, 10.98.0.2/30]
	END
}

# And an interface of the host, in both files; after both of them are written.
put_device() {
	ip link add eth1 netns "$host" type veth peer name eth1 netns "$outside"
	cat >>"$topology" <<-END
		devices:
		  - {name: eth1, namespace: $blue, addresses: [198.51.100.2/24]}
	END
	cat >>"$edited" <<-END
		devices:
		  - {name: eth1, namespace: $green, addresses: [198.51.100.3/24]}
	END
}

# All of them, none of which is there yet, and what was before; probes are seen from here on.
new_faulty_host() {
	private_prefixes+=('!192.168.17.0/24') # not masqueraded by the edited form: see assert_guarded
	new_host
	put_fabric
	put_edited
	put_device
	lab apply "$topology"
	find_cookie
	lab down lab
	host_state >"$work/before"
	start_capture "$outside" eth0
}

# A device asks for a confirmation, which nobody is here to give.
lab() {
	[[ $1 != apply ]] || set -- apply --confirm 0 "${@:2}"
	"$NSROUTE" --netns "$host" "$@"
}

assert_whole() { # [FILE]: nothing is left to do
	run -0 lab plan "${1-$topology}"
}

# Sent by what is left of the fabric, to be seen by the outside if nothing stops it.
probe() {
	local name target
	for name in "$red" "$blue" "$green" "$yellow"; do
		[[ -e /run/netns/$name ]] || continue
		for target in "$outside_address" "$outside_address6"; do
			on "$name" timeout 2 bash -c "echo leak >/dev/udp/$target/9" 2>/dev/null || true
		done
	done
}

# Something of the probes has come out, and nothing that had not been translated; but for the
# network whose masquerade the edited form ends.
assert_guarded() { # [edited]
	stop_capture
	run -0 captured "udp dst port 9 and src host $uplink_address"
	[[ -n $output ]]
	[[ $# == 0 ]] || leave_out "src net 192.168.17.0/24"
	assert_no_leak
}

leave_out() { # FILTER: of the capture
	tcpdump -nn -r "$work/capture" -w "$work/rest" "not ($1)" 2>/dev/null
	mv "$work/rest" "$work/capture"
}

failed_at() { # NUMBER ARGUMENTS...: this step of nsroute fails. Sets step to what it was
	local number=$1
	shift
	faulty "fail:$number" "$@"
	echo "fail:$number $*: $status: $message"
	step=${message#*fault: step * fails: }
	message=${step#*$'\n'} step=${step%%$'\n'*}
}

# Steps whose failure changes nothing: what cannot be looked at is looked at closer; a folder that
# every datapath is in stays for the next one; the lock holds without the holder's number; what is
# gone need not be noted in a record that goes too; a file is written, synced or not; a record that
# cannot be written anew is as good as it was.
is_harmless() {
	case $step in
	"open /run/netns/"* | "rmdir /sys/fs/bpf/nsroute" | "ftruncate " | "pwrite "*) ;;
	'write {"gone":'* | "open /etc/netns/$red") ;;
	"write .new "* | "open "*.record.new | "rename "*.record.new | "unlink "*.record.new) ;;
	*) false ;;
	esac
}

# Looking that can fail: what is asked for once more, and what only undoing would need to know.
is_look() {
	[[ $step == "netlink type "@(18|22|26|30) ]]
}

# A failure has its message, which has the place in the file when it is an object's of the file.
assert_told() { # [FILE]
	[[ $message == *"Input/output error"* ]]
	[[ $# == 1 ]] || return 0
	case $message in # of the whole host namespace's
	*"the datapath's settings"* | *"let a program be called"* | *"ports that are set aside"*) return 0 ;;
	esac
	case $step in
	netlink\ type\ 1[89] | netlink\ type\ 2[26] | netlink\ type\ 3[08]) ;; # looking
	netlink* | bpf_map*) [[ $message == "$1":[0-9]*:[0-9]*:* ]] ;;
	esac
}
