/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nsroute.bpf.c - the programs, one a hook. Each reads like a list: parse, classify, translate,
 * route, count, act. One object, so that they share their maps.
 *
 *   nsr_port_in     tc ingress of the host's end of a namespace's veth: what the namespace sends
 *   nsr_port_out    tc egress there: what the kernel delivers to the namespace
 *   nsr_uplink_out  tc egress of an uplink: source translation, and the guard against leaks
 *   nsr_uplink_in   tc ingress of an uplink: reverse translation
 *   nsr_bare_out, nsr_bare_in	the same of a layer-3 device, whose packets have no Ethernet header
 *   nsr_uplink_out6, nsr_uplink_in6, nsr_bare_out6, nsr_bare_in6
 *                   the same for IPv6 that the NAT may have a part in, by a tail call
 *   nsr_other_out6, nsr_other_in6, nsr_obare_out6, nsr_obare_in6
 *                   what of that has no ports, by a tail call of these four
 *   nsr_own_out, nsr_bare_own
 *                   IPv4 of the host's own, likewise, where any of it has another port outside
 *   nsr_hairpin6    IPv6 of a namespace to its uplink's address, likewise
 *   nsr_local_out   tc egress of the loopback interface: what the host sends to itself
 *   nsr_local_out6  the same for IPv6, by a tail call
 *   nsr_hairpin     what a namespace sends to an external address, by a tail call
 *   nsr_guest, nsr_guest6
 *                   the same of another uplink than its own, and the answers, likewise
 *   nsr_arm         run once after loading: starts the clock that expires flows
 *   nsr_flush       run to end the sessions of an uplink or of an inside prefix
 *   nsr_flush6      those of IPv6
 *   nsr_publish     run to make or end the mapping of a published port
 *   nsr_publish6    one of IPv6
 *
 * What they leave alone gets TC_ACT_UNSPEC, so that other people's programs still run.
 */
#include "common.h"

#include "counters.h"
#include "events.h"
#include "expire.h"
#include "guest6.h"
#include "hairpin6.h"
#include "inbound.h"
#include "local6.h"
#include "maps.h"
#include "mark.h"
#include "other6.h"
#include "port.h"
#include "publish.h"
#include "refuse.h"
#include "refuse6.h"
#include "rewrite.h"
#include "uplink.h"

/* No actions: not decided yet. */
#define ACTION_RARE    0x100
#define ACTION_INBOUND 0x101
#define ACTION_OWN     0x102

char LICENSE[] SEC("license") = "GPL";

/* A program of its own, so that ports are verified without it. */
static __always_inline int to_hairpin(struct __sk_buff *skb, u32 port)
{
	const int failed = DROP(NAT_HAIRPIN);

	INSTEAD(port_hairpin(skb));
	bpf_tail_call(skb, &programs6, NSR_PROGRAM_HAIRPIN);
	count_port_tx(port, skb->len, failed); /* it is not loaded */
	return drop(skb, failed, NSR_HOOK_PORT_IN);
}

SEC("tc")
int nsr_hairpin(struct __sk_buff *skb)
{
	return port_hairpin(skb);
}

SEC("tc")
int nsr_hairpin6(struct __sk_buff *skb)
{
	return port_hairpin6(skb);
}

/* Where it is not loaded nothing is published in that family, and the packet is the kernel's. */
NSR_STEP int guest_is_missing(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	const struct nsr_port *port = bpf_map_lookup_elem(&ports, &ifindex);
	int verdict;

	if (!port)
		return TC_ACT_UNSPEC;
	verdict = leave(skb, port);
	count_port_tx(port->index, skb->len, verdict);
	return verdict < 0 ? drop(skb, verdict, NSR_HOOK_PORT_IN) : TC_ACT_UNSPEC;
}

static __always_inline int to_guest(struct __sk_buff *skb)
{
	to_program6(skb, skb->protocol == bpf_htons(ETH_P_IPV6) ? NSR_PROGRAM6_GUEST
								: NSR_PROGRAM_GUEST);
	return guest_is_missing(skb);
}

SEC("tc")
int nsr_guest(struct __sk_buff *skb)
{
	return port_guest(skb);
}

SEC("tc")
int nsr_guest6(struct __sk_buff *skb)
{
	return port_guest6(skb);
}

SEC("tc")
int nsr_port_in(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_port *port = bpf_map_lookup_elem(&ports, &ifindex);
	const struct nsr_endpoint *to = NULL;
	struct route route;
	int verdict;

	if (!port)
		return TC_ACT_UNSPEC;
	verdict = port_judge(skb, port, length, &route, &to);
	if (to) {
		count_port_tx(port->index, length, VERDICT_PEER);
		count_port_rx(to->port, length);
		return deliver(skb, to->ifindex);
	}
	if (verdict >= VERDICT_HAIRPIN) {
		if (verdict == VERDICT_HAIRPIN)
			return to_hairpin(skb, port->index);
		if (verdict == VERDICT_GUEST)
			return to_guest(skb);
		to_program6(skb, NSR_PROGRAM6_HAIRPIN);
		verdict = DROP(NAT_HAIRPIN); /* it is not loaded */
	}
	count_port_tx(port->index, length, verdict);
	if (verdict < 0)
		return drop(skb, verdict, NSR_HOOK_PORT_IN);
	if (verdict == VERDICT_KERNEL)
		return TC_ACT_UNSPEC;
	return to_neighbour(&route);
}

SEC("tc")
int nsr_port_out(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	const struct nsr_port *port = bpf_map_lookup_elem(&ports, &ifindex);
	int refused;

	if (!port)
		return TC_ACT_UNSPEC;
	refused = policy_delivery(skb, port);
	if (refused) {
		count_port_rx_drop(port->index, refused);
		return drop(skb, refused, NSR_HOOK_PORT_OUT);
	}
	count_port_rx(port->index, skb->len);
	return TC_ACT_UNSPEC;
}

/* What leaves by an uplink; ACTION_RARE: see out_rare(), ACTION_OWN: see own_out(). bare: a
 * constant, that of the two programs. */
static __always_inline int uplink_out(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	struct nat_request request;
	enum packet_kind kind;
	struct packet p;
	int verdict;

	if (!uplink)
		return TC_ACT_UNSPEC;
	request_begin(&request);
	kind = load_as(skb, &p, bare);
	if (!bare && skb->vlan_present)
		verdict = uplink_tagged(skb);
	else if (kind != PACKET_IPV4)
		verdict = bare ? bare_leaks(skb, uplink, &p, kind)
			       : uplink_leaks(skb, uplink, &p, kind);
	else
		verdict = uplink_masquerade(skb, uplink, &p, &request);
	if (verdict > VERDICT_KERNEL)
		return verdict == VERDICT_OWN ? ACTION_OWN : ACTION_RARE;
	count_uplink_tx(uplink->index, length, verdict, request.mapping || request.forwarded);
	return verdict < 0 ? refuse(skb, address_of(uplink), verdict, bare) : TC_ACT_UNSPEC;
}

/* Functions of their own, so that what they keep on the stack is not there below rare steps. */
static __noinline int uplink_leave(struct __sk_buff *skb)
{
	return uplink_out(skb, false);
}

static __noinline int bare_leave(struct __sk_buff *skb)
{
	return uplink_out(skb, true);
}

SEC("tc")
int nsr_uplink_out(struct __sk_buff *skb)
{
	int action;

	if (mark_counted(skb))
		return TC_ACT_UNSPEC;
	action = uplink_leave(skb);
	if (action < ACTION_RARE)
		return action;
	if (action == ACTION_RARE)
		return uplink_out_rare(skb);
	to_program6(skb, NSR_PROGRAM_OWN);
	return own_passes(skb);
}

SEC("tc")
int nsr_bare_out(struct __sk_buff *skb)
{
	int action;

	if (mark_counted(skb))
		return TC_ACT_UNSPEC;
	action = bare_leave(skb);
	if (action < ACTION_RARE)
		return action;
	if (action == ACTION_RARE)
		return bare_out_rare(skb);
	to_program6(skb, NSR_PROGRAM_BARE_OWN);
	return own_passes(skb);
}

SEC("tc")
int nsr_own_out(struct __sk_buff *skb)
{
	return own_out(skb, false);
}

SEC("tc")
int nsr_bare_own(struct __sk_buff *skb)
{
	return own_out(skb, true);
}

/* What arrives at an uplink; ACTION_RARE: see in_rare(), ACTION_INBOUND: see inbound.h. */
static __always_inline int uplink_in(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	enum nat_inbound whom = NAT_INBOUND_HOST;
	const struct nsr_endpoint *to = NULL;
	struct nat_request request;
	struct transport t = {};
	enum packet_kind kind;
	struct packet p;
	int verdict = VERDICT_KERNEL;
	enum tag tag;
	bool options;
	__be32 source, dest;

	if (!uplink)
		return TC_ACT_UNSPEC;
	request_begin(&request);
	kind = load_as(skb, &p, bare);
	if (!bare && skb->vlan_present && (tag = tag_look(skb)) != TAG_NONE) {
		/* for an interface upon the uplink, or nobody */
		verdict = tag == TAG_TWICE ? DROP(VLAN_TAG) : VERDICT_KERNEL;
	} else if (skb->pkt_type == PACKET_OTHERHOST) {
		verdict = VERDICT_KERNEL; /* for somebody else */
	} else if (kind == PACKET_IPV4) {
		dest = p.ip4->daddr;
		source = p.ip4->saddr;
		options = p.ip4->ihl != 5;
		if (address_find(uplink, dest, &request.slot)) {
			source = 0;
			whom = uplink_classify(skb, &p, &t, &request);
		}
		if (whom == NAT_INBOUND_RARE)
			return ACTION_RARE;
		if (whom != NAT_INBOUND_SESSION)
			verdict = options && options_do(skb, link_bytes(bare)) & OPTION_ROUTES
					  ? DROP(IP_OPTIONS)
					  : uplink_judge(skb, uplink->index, whom, source, dest);
	} else if (kind == PACKET_IPV6) {
		if (address6_is_external(uplink, (void *)&p.ip6->daddr)) {
			to_program6(skb, bare ? NSR_PROGRAM6_BARE_IN : NSR_PROGRAM6_IN);
			/* It is not there; to kernel 6.12 the call has changed the packet. */
			kind = parse_as(skb, &p, bare);
		}
		if (kind == PACKET_IPV6)
			verdict = uplink6_judge_other(skb, uplink->index, p.ip6);
	}
	if (verdict == DROP(INBOUND))
		return ACTION_INBOUND;
	if (whom == NAT_INBOUND_SESSION) {
		verdict = rewrite_endpoint4(skb, &p, &t, false, request.flow.inside.address,
					    request.flow.inside.port);
		if (!verdict)
			verdict = uplink_deliver(skb, &p, &to);
	}
	return uplink_arrived(skb, uplink, to, verdict, length, bare, whom == NAT_INBOUND_SESSION);
}

static __noinline int uplink_arrive(struct __sk_buff *skb)
{
	return uplink_in(skb, false);
}

static __noinline int bare_arrive(struct __sk_buff *skb)
{
	return uplink_in(skb, true);
}

SEC("tc")
int nsr_uplink_in(struct __sk_buff *skb)
{
	int action = uplink_arrive(skb);

	if (action == ACTION_INBOUND && skb->protocol == bpf_htons(ETH_P_IPV6))
		to_program6(skb, NSR_PROGRAM6_IN); /* not there: dropped below */
	if (action == ACTION_INBOUND)
		return uplink_inbound(skb);
	return action == ACTION_RARE ? uplink_in_rare(skb) : action;
}

SEC("tc")
int nsr_bare_in(struct __sk_buff *skb)
{
	int action = bare_arrive(skb);

	if (action == ACTION_INBOUND && skb->protocol == bpf_htons(ETH_P_IPV6))
		to_program6(skb, NSR_PROGRAM6_BARE_IN); /* not there: dropped below */
	if (action == ACTION_INBOUND)
		return bare_inbound(skb);
	return action == ACTION_RARE ? bare_in_rare(skb) : action;
}

/* What leaves by an uplink, of IPv6, and has been handed over. */
static __always_inline int uplink_out6(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	struct nat_work6 *work;
	bool translated = false;
	int verdict = DROP(NAT_SESSIONS);

	if (!uplink)
		return TC_ACT_UNSPEC;
	work = uplink6_work(uplink, bare);
	if (work) {
		verdict = uplink6_send(skb, uplink, work, bare);
		if (verdict == VERDICT_RARE) {
			to_program6(skb, bare ? NSR_PROGRAM6_OBARE_OUT : NSR_PROGRAM6_OTHER_OUT);
			verdict = uplink6_not_sent(uplink, work);
		}
		translated = work->request.mapping || work->request.forwarded;
	}
	count_uplink_tx(uplink->index, length, verdict, translated);
	if (verdict >= 0)
		return TC_ACT_UNSPEC;
	uplink_drop(skb, verdict, NSR_HOOK_UPLINK_OUT, bare);
	INSTEAD(TC_ACT_SHOT);
	return is_refused(verdict) ? refuse6(skb, bare, 0) : TC_ACT_SHOT;
}

SEC("tc")
int nsr_uplink_out6(struct __sk_buff *skb)
{
	return uplink_out6(skb, false);
}

SEC("tc")
int nsr_bare_out6(struct __sk_buff *skb)
{
	return uplink_out6(skb, true);
}

/* The last step of what arrives, of IPv6: it is delivered, left to the kernel, or dropped, for the
 * reason refused. straight: nothing of it has been translated. */
static __always_inline int arrived6(struct __sk_buff *skb, const struct nsr_uplink *uplink,
				    enum nat_inbound whom, int refused, u32 length, bool bare,
				    bool straight)
{
	const struct nsr_endpoint *to = NULL;
	int verdict = whom == NAT_INBOUND_SESSION ? uplink6_deliver(skb, bare, &to) : refused;

	return uplink_arrived(skb, uplink, to, verdict, length, bare,
			      whom == NAT_INBOUND_SESSION && !straight);
}

/* What arrives at the external address, or for an inside one straight, of IPv6. */
static __always_inline int uplink_in6(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	enum nat_inbound whom = NAT_INBOUND_HOST;
	int refused = DROP(INBOUND);
	struct nat_work6 *work;
	bool straight;

	if (!uplink)
		return TC_ACT_UNSPEC;
	work = uplink6_work(uplink, bare);
	straight = uplink6_is_inbound(skb, uplink, bare);
	if (work && straight)
		whom = uplink6_inbound(skb, work, bare, &refused);
	else if (work)
		whom = uplink6_receive(skb, uplink, work, bare);
	if (whom == NAT_INBOUND_RARE && !straight)
		to_program6(skb, bare ? NSR_PROGRAM6_OBARE_IN : NSR_PROGRAM6_OTHER_IN);
	if (!straight) {
		TELL(INBOUND, whom, false, 0);
		refused = inbound_refused(whom);
	}
	if (whom == NAT_INBOUND_HELD)
		return TC_ACT_STOLEN; /* counted when it goes on */
	return arrived6(skb, uplink, whom, refused, length, bare, straight);
}

SEC("tc")
int nsr_uplink_in6(struct __sk_buff *skb)
{
	return uplink_in6(skb, false);
}

SEC("tc")
int nsr_bare_in6(struct __sk_buff *skb)
{
	return uplink_in6(skb, true);
}

/* Those of protocols without ports, and errors about them, that these have handed over. */
static __always_inline int other_out6(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	struct nat_work6 *work;
	int verdict = DROP(NAT_SESSIONS);

	if (!uplink)
		return TC_ACT_UNSPEC;
	work = uplink6_work(uplink, bare);
	if (work)
		verdict = other6_send(skb, uplink, work, bare);
	count_uplink_tx(uplink->index, length, verdict, work && work->request.forwarded);
	return verdict < 0 ? uplink_drop(skb, verdict, NSR_HOOK_UPLINK_OUT, bare) : TC_ACT_UNSPEC;
}

SEC("tc")
int nsr_other_out6(struct __sk_buff *skb)
{
	return other_out6(skb, false);
}

SEC("tc")
int nsr_obare_out6(struct __sk_buff *skb)
{
	return other_out6(skb, true);
}

static __always_inline int other_in6(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	enum nat_inbound whom = NAT_INBOUND_HOST;
	struct nat_work6 *work;

	if (!uplink)
		return TC_ACT_UNSPEC;
	work = uplink6_work(uplink, bare);
	if (work)
		whom = other6_receive(skb, uplink, work, bare);
	TELL(INBOUND, whom, 0, 0);
	return arrived6(skb, uplink, whom, inbound_refused(whom), length, bare, false);
}

SEC("tc")
int nsr_other_in6(struct __sk_buff *skb)
{
	return other_in6(skb, false);
}

SEC("tc")
int nsr_obare_in6(struct __sk_buff *skb)
{
	return other_in6(skb, true);
}

SEC("tc")
int nsr_local_out(struct __sk_buff *skb)
{
	return local_out(skb);
}

SEC("tc")
int nsr_local_out6(struct __sk_buff *skb)
{
	return local_out6(skb);
}

SEC("tc")
int nsr_arm(struct __sk_buff *skb)
{
	(void)skb;
	return expire_arm();
}

SEC("tc")
int nsr_flush(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct nsr_flush *flush = data + sizeof(struct ethhdr);

	if ((void *)(flush + 1) > end)
		return -EINVAL;
	return expire_flush(flush);
}

SEC("tc")
int nsr_flush6(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct nsr_flush6 *flush = data + sizeof(struct ethhdr);

	if ((void *)(flush + 1) > end)
		return -EINVAL;
	return expire_flush6(flush);
}

SEC("tc")
int nsr_publish(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct nsr_publish *publish = data + sizeof(struct ethhdr);
	struct nsr_publish asked;

	if ((void *)(publish + 1) > end)
		return -EINVAL;
	asked = *publish;
	return publish_do(skb, &asked);
}

SEC("tc")
int nsr_publish6(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct nsr_publish6 *publish = data + sizeof(struct ethhdr);
	struct nsr_publish6 asked;

	if ((void *)(publish + 1) > end)
		return -EINVAL;
	asked = *publish;
	return publish_do6(skb, &asked);
}
