#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What long work shows: a line on a terminal, which is gone at the end, and nothing anywhere else.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names
load fabric

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	put_many 200
}

teardown() {
	clean_up
}

# Runs nsroute with a terminal for its outputs. Sets screen to the lines that were on it one after
# the other, of which only those that end with a newline stay.
on_terminal() { # TERM ARGUMENTS...
	TERM=$1 script -qec "'$NSROUTE' --netns '$host' ${*:2}" /dev/null >"$work/terminal" </dev/null
	screen=$(tr '\r' '\n' <"$work/terminal")
}

@test "a terminal shows how far it is, and in the end only the result" {
	on_terminal xterm apply "$topology"
	grep -E "^fabric 'many': [0-9]+ of [0-9]+ operations, [0-9]+ s *$" <<<"$screen"
	run ! grep -a $'\033' "$work/terminal"
	# The last line of the terminal: overwritten with spaces, then the result.
	[[ $(tail -n 1 "$work/terminal") =~ $'\r'\ +$'\r'"fabric 'many': "[0-9]+' operations done'.?$ ]]
	find_cookie
	on_terminal xterm down many
	[[ $(tail -n 1 "$work/terminal") == *"removed, "* ]]
}

@test "a pipe, a dumb terminal and JSON get no progress" {
	run -0 --separate-stderr lab apply "$topology"
	[[ -z $stderr && ${#lines[@]} == 1 ]]
	find_cookie
	run -0 --separate-stderr lab down many
	[[ -z $stderr && ${#lines[@]} == 1 ]]
	on_terminal dumb apply "$topology"
	run ! grep " of .* operations" <<<"$screen"
	on_terminal xterm -j down many
	run ! grep " of .* operations" <<<"$screen"
}
