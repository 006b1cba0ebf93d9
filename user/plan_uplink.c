/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an uplink is where the kernel routes to and where packets are as they will be on
 * the wire: whole, and without what is put around them further down. That is so at interfaces with
 * Ethernet headers (hardware, VLAN, bond, bridge, veth, macvlan) and at layer-3 devices, whose
 * packets begin with the IP header. It is not so at a part of something larger, for the larger
 * thing sends and receives; and not at a tunnel that has no fixed other end, where the packet at
 * the hook already has (GRE), or the route has to tell (ipip, sit), the address of the other end.
 */
#include "plan_uplink.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if_arp.h>

static const char mark[] = "nsroute:"; /* aliases of links that are a fabric's */

/* A tunnel's other end is in its own settings, or in each packet's route. */
static bool has_fixed_end(const struct state_link *link)
{
	return link->flags & IFF_POINTOPOINT;
}

static bool is_tunnel(const struct state_link *link)
{
	switch (link->type) {
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
	case ARPHRD_IP6GRE:
		return true;
	default:
		return false;
	}
}

bool plan_link_is_bare(const struct state_link *link)
{
	return is_tunnel(link) || link->type == ARPHRD_NONE || link->type == ARPHRD_PPP ||
	       link->type == ARPHRD_RAWIP;
}

/* What sends and receives in place of the link; NULL: it does itself, as what is in a VRF does. */
static const struct state_link *larger(const struct view *view, const struct state_link *link)
{
	const struct state_link *master =
		link->master ? view_link_by_index(view, NULL, link->master) : NULL;

	return master && strcmp(master->kind, "vrf") ? master : NULL;
}

static int check_kind(const struct state_link *link, const char *network, struct error *err)
{
	if (link->type == ARPHRD_LOOPBACK)
		return error_set(err, -EOPNOTSUPP,
				 "network '%s' masquerades to '%s', the loopback interface, which "
				 "leads nowhere; name the interface of the default route, or write "
				 "'auto'",
				 network, link->name);
	if (is_tunnel(link) && !has_fixed_end(link))
		return error_set(err, -EOPNOTSUPP,
				 "network '%s' masquerades to '%s', a tunnel without a fixed other "
				 "end; give it one (ip tunnel change %s remote ADDRESS, or make it "
				 "anew with 'remote')",
				 network, link->name, link->name);
	if (link->type != ARPHRD_ETHER && !plan_link_is_bare(link))
		return error_set(err, -EOPNOTSUPP,
				 "network '%s' masquerades to '%s', whose packets have neither an "
				 "Ethernet header nor none (link type %u); name an Ethernet, VLAN, "
				 "bond, bridge or layer-3 interface",
				 network, link->name, link->type);
	return 0;
}

void plan_uplink_as_it_is(struct operation *op, const struct nsr_uplink *uplink)
{
	op->address.family = AF_INET;
	op->address.prefix_len = 32;
	memcpy(op->address.bytes, &uplink->address4, sizeof(uplink->address4));
	if (memcmp(op->address6.bytes, uplink->address6, sizeof(uplink->address6))) {
		op->address6.family = AF_INET6;
		op->address6.prefix_len = 128;
		memcpy(op->address6.bytes, uplink->address6, sizeof(uplink->address6));
	}
	op->fixed = uplink->fixed;
	op->fixed6 = uplink->fixed6;
	op->port_min = uplink->port_min;
	op->port_max = uplink->port_max;
}

int plan_check_uplink(const struct view *view, const struct state_link *link, const char *network,
		      struct error *err)
{
	const struct state_link *master = larger(view, link);

	if (!strncmp(link->alias, mark, strlen(mark)) && strcmp(link->alias, STEPS_ALIAS))
		return error_set(err, -EOPNOTSUPP,
				 "network '%s' masquerades to '%s', which belongs to fabric '%s'; "
				 "name an interface that nsroute did not make, or a network of the "
				 "same file",
				 network, link->name, link->alias + strlen(mark));
	if (master)
		return error_set(
			err, -EOPNOTSUPP,
			"network '%s' masquerades to '%s', a part of '%s', which sends and "
			"receives in its place; name '%s'",
			network, link->name, master->name, master->name);
	return check_kind(link, network, err);
}
