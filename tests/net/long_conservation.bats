#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# conservation.bats at length: mixes of seeds that nobody has chosen, in both modes.

# shellcheck disable=SC2154 # fabric.bash sets the names
load conservation

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

teardown() {
	clean_up
}

mixes() { # DATAPATH
	local i seed
	conservation_up "$1"
	learn_kernel
	for ((i = 0; i < 8; i++)); do
		seed=${CONSERVATION_SEED:-$(od -An -N2 -tu2 /dev/urandom)}
		echo "# datapath $1: CONSERVATION_SEED=$((seed))" >&3
		assert_mix_conserved $((seed)) 120
	done
}

@test "random mixes, fast path" {
	mixes auto
}

@test "random mixes, datapath kernel" {
	mixes kernel
}
