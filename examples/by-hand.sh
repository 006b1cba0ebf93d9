#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# by-hand.sh [SUFFIX] - what tutorials about network namespaces do one "ip" command after the other,
# with nsroute's single steps: namespaces, lo, a cable between two of them, a cable to the host, a
# bridge. SUFFIX is added to the namespaces' names. At the end "nsroute down @steps" removes it all.
set -ex
red=red$1 blue=blue$1 green=green$1

# Namespaces. In a new one there is lo only, and it is down.
nsroute netns add "$red" "$blue" "$green"
nsroute netns list
nsroute netns exec "$red" -- ip link
nsroute link -n "$red" set lo up
nsroute exec "$red" -- ping -c 1 127.0.0.1

# A cable between two namespaces: an address at each end, both ends up.
nsroute link add veth-red netns "$red" type veth peer name veth-blue netns "$blue"
nsroute addr -n "$red" add 192.168.15.1/24 dev veth-red
nsroute addr -n "$blue" add 192.168.15.2/24 dev veth-blue
nsroute link -n "$red" set veth-red up
nsroute link -n "$blue" set veth-blue up
nsroute exec "$red" -- ping -c 1 192.168.15.2
nsroute exec "$blue" -- ping -c 1 192.168.15.1
nsroute exec "$red" -- ip neighbour
nsroute exec "$red" -- ip route

# A bridge in the host, with an address, and a namespace at it that has a default route by it.
nsroute bridge add v-net-0
nsroute addr add 192.168.16.1/24 dev v-net-0
nsroute link set v-net-0 up
nsroute link add veth-green netns "$green" type veth peer name veth-green-br
nsroute link set veth-green-br master v-net-0 up
nsroute addr -n "$green" add 192.168.16.2/24 dev veth-green
nsroute link -n "$green" set veth-green up
nsroute route -n "$green" add default via 192.168.16.1
nsroute exec "$green" -- ping -c 1 192.168.16.1

nsroute show @steps
nsroute down @steps
