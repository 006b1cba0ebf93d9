# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# ovs.bash - an Open vSwitch of a test's own. To be loaded after fabric.bash.
#
# How it works: database and switch are processes of the test's host namespace, so that clean_up ends
# them with the rest, with all their files in one folder, which OVS_RUNDIR names. The switch's
# datapath is the one in userspace, which needs no kernel module.

# shellcheck disable=SC2154 # fabric.bash sets host and work

need_ovs() {
	local program
	for program in ovs-vsctl ovs-vswitchd ovsdb-server ovsdb-tool; do
		type -P "$program" >/dev/null || skip "no $program here: openvswitch-switch is not installed"
	done
}

start_database() {
	export OVS_RUNDIR=$work/ovs
	mkdir -p "$OVS_RUNDIR"
	[[ -e $OVS_RUNDIR/conf.db ]] ||
		ovsdb-tool create "$OVS_RUNDIR/conf.db" /usr/share/openvswitch/vswitch.ovsschema
	ip netns exec "$host" ovsdb-server "$OVS_RUNDIR/conf.db" "--remote=punix:$OVS_RUNDIR/db.sock" \
		"--unixctl=$OVS_RUNDIR/ovsdb.ctl" -vconsole:off >/dev/null 2>&1 3>&- &
	database=$!
	local i
	for ((i = 0; i < 200; i++)); do
		! ovs-vsctl --timeout=1 --no-wait init >/dev/null 2>&1 || return 0
		sleep 0.02
	done
	return 1
}

start_switch() { # NAMESPACE
	ip netns exec "$1" ovs-vswitchd "unix:$OVS_RUNDIR/db.sock" \
		"--unixctl=$OVS_RUNDIR/switch.ctl" "--log-file=$OVS_RUNDIR/switch.log" -vconsole:off \
		>/dev/null 2>&1 3>&- &
	switch=$!
}

start_ovs() {
	need_ovs
	start_database
	start_switch "$host"
	ovs-vsctl --timeout=20 add-br ovs-br0 -- set Bridge ovs-br0 datapath_type=netdev
}

stop_switch() {
	kill "$switch"
	wait "$switch" || true
}

stop_ovs() {
	stop_switch
	kill "$database"
	wait "$database" || true
	rm -f "$OVS_RUNDIR/db.sock"
}

# What is left of it; without a word, unless the test failed.
end_ovs() {
	local process
	[[ -n ${BATS_TEST_COMPLETED-} || ! -e $work/ovs/switch.log ]] || tail -n 40 "$work/ovs/switch.log"
	for process in ${switch-} ${database-}; do
		kill "$process" 2>/dev/null || true
		wait "$process" 2>/dev/null || true
	done
}

ports() { # [BRIDGE]: on one line
	ovs-vsctl --timeout=5 list-ports "${1:-ovs-br0}" | sort | tr '\n' ' '
}
