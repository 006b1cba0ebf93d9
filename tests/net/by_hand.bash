# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# by_hand.bash - what steps.bats and long_faults_steps.bats share: a cable made by single steps, and
# the file that names it.

# shellcheck disable=SC2154 # fabric.bash sets the names

# What single steps made is recorded from the first of them on.
first_step() {
	lab "$@"
	find_cookie
}

put_cable() {
	cat >"$topology" <<-END
		version: 1
		name: cable
		namespaces: {$red: {}, $blue: {}}
		links:
		  - endpoints: ["$red:p0", "$blue:p0"]
		    addresses: [10.0.0.1/24, 10.0.0.2/24]
	END
}

make_cable() {
	lab netns add "$red" "$blue"
	lab link add p0 netns "$red" type veth peer name p0 netns "$blue"
	lab addr -n "$red" add 10.0.0.1/24 dev p0
	lab addr -n "$blue" add 10.0.0.2/24 dev p0
	lab link -n "$red" set p0 up
	lab link -n "$blue" set p0 up
}
