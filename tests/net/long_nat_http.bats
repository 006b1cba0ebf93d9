#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Connections by the hundred thousand through the masquerade: ab against nginx.

# shellcheck disable=SC2154 # run sets output; fabric.bash the names
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

@test "200,000 connections of one namespace to one server, and not one fails" {
	need nginx ab
	internet_up
	start_nginx
	watch "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0"
	connections "$red" 200000
	[[ $(nat_drops) == 0 ]]
	assert_judged 400000
}
