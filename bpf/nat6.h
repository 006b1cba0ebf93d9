/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nat6.h - masquerade of IPv6: the text of the NAT once more, on the tables of IPv6.
 *
 * What a mapping and a session are, how they are made, found and ended, and why no race does harm,
 * is one text for both families (nat4.h says which headers). It is compiled twice: here the names
 * of types, tables and functions in it stand for those of IPv6, and what nat4.h brings for IPv4 is
 * brought for IPv6. A name of the text that is missing in the list does not compile.
 *
 * Addresses are large and the stack is small, so a request is in "nat_scratch6", where steps find
 * it again: kernel 6.1 takes no key that is somebody else's argument. That is safe: the programs
 * run with bottom halves off, and none of them is run while another one is on this CPU.
 */
#ifndef NSROUTE_BPF_NAT6_H
#define NSROUTE_BPF_NAT6_H

#include "address6.h"
#include "direct.h"
#include "guest_session.h"
#include "nat.h"
#include "other.h"
#include "own.h"
#include "publish.h"
#include "reclaim.h"
#ifdef NSR_TRACE
#include "trace_nat.h"
#endif

#define NAT_WORK_MAX 512

/* Where in it a step that enters a flow without ports has its key, behind all that is anybody's. */
#define NAT_WORK_ENTRY (NAT_WORK_MAX - sizeof(struct nsr_flow6))

/* Of one: struct nat_request6, and what else a step puts behind it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, NAT_WORK_MAX);
} nat_scratch6 SEC(".maps");

/* The request that this CPU is about. */
static __always_inline struct nat_request6 *nat_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&nat_scratch6, &zero);
}

#undef NSROUTE_BPF_CONNTRACK_H
#undef NSROUTE_BPF_SLOTS_H
#undef NSROUTE_BPF_CONTACT_H
#undef NSROUTE_BPF_MAPPING_H
#undef NSROUTE_BPF_FLOWS_H
#undef NSROUTE_BPF_NAT_H
#undef NSROUTE_BPF_GUEST_SESSION_H
#undef NSROUTE_BPF_OWN_H
#undef NSROUTE_BPF_OTHER_H
#undef NSROUTE_BPF_DATAGRAM_H
#undef NSROUTE_BPF_DIRECT_H
#undef NSROUTE_BPF_RECLAIM_H
#undef NSROUTE_BPF_PUBLISH_H
#undef NSROUTE_BPF_TRACE_NAT_H
#undef NAT_SESSION_WORDS
#undef NAT_SHARE_FIRST
#undef NAT_FAMILY
#undef NAT_KEY
#undef NAT_ENTRY
#undef nat_request_here
#undef nat_told

#define NAT_SESSION_WORDS             NSR_SESSION6_WORDS
#define NAT_SHARE_FIRST               (NSR_SHARE_PORTS / 2)
#define NAT_FAMILY                    1
#define NAT_KEY(key_type, name, from) const key_type *name = (from)
#define NAT_ENTRY(name, from)         const struct nsr_flow *name = flow_entry(from)
#define nat_request_here(request)     ((request) ? nat_scratch() : NULL)

/* The half that hosts of one network differ by. */
#define nat_told(address) ((address).words[2] | (u64)(address).words[3] << 32)

/* Types. */
#define nsr_inside_endpoint nsr_inside_endpoint6
#define nsr_flow            nsr_flow6
#define nsr_mapping         nsr_mapping6
#define nsr_session         nsr_session6
#define nsr_session_bits    nsr_session_bits6
#define nsr_selection       nsr_selection6
#define nsr_selects         nsr_selects6
#define nsr_timeout_of      nsr_timeout_of6
#define nsr_flush           nsr_flush6
#define nat_address         nat_address6
#define nat_request         nat_request6
#define session_view        session_view6
#define contact_entry       contact_entry6
#define expire_slice        expire_slice6
#define nsr_datagram        nsr_datagram6
#define nsr_datagram_in     nsr_datagram_in6
#define nsr_held_key        nsr_held_key6
#define nsr_publish         nsr_publish6
#define held_release        held_release6
#define nsr_host_remote     nsr_host_remote6
#define other_session       other_session6

/* Tables. */
#define pools             pools6
#define pool_bits         pool_bits6
#define mapping_by_inside mapping_by_inside6
#define sessions          sessions6
#define session_bits      session_bits6
#define session_by_flow   session_by_flow6
#define nat_counters      nat_counters6
#define datagrams_in      datagrams_in6
#define datagrams_out     datagrams_out6
#define held_fragments    held_fragments6
#define host_remotes      host_remotes6
#define host_hears        host_hears6

/* What a family brings with it. */
#define address_equal   address_equal6
#define address_is_none address_is_none6
#define address_spell   address_spell6
#define inside_equal    inside_equal6
#define flow_equal      flow_equal6
#define flow_to_key     flow_to_key6
#define flow_entry      flow_entry6
#define nat_number      nat_number6
#define nat_inside_of   nat_inside_of6
#define nat_owner_of    nat_owner_of6
#define nat_is_client   nat_is_client6
#define nat_is_excepted nat_is_excepted6
#define nat_address_of  nat_address_of6
#define nat_fate        nat_fate6
#define nat_is_more     nat_is_more6
#define nat_is_changing nat_is_changing6
#define nat_is_repaired nat_is_repaired6
#define host_socket     host_socket6
#define datagram_equal  datagram_equal6
#define datagram_is_by  datagram_is_by6

/* conntrack.h */
#define external_is_stranded external_is_stranded6
#define seen_by              seen_by6
#define session_is_over      session_is_over6
#define session_next         session_next6
#define reset_doubted        reset_doubted6
#define session_revives      session_revives6
#define session_is_expired   session_is_expired6
#define session_matches      session_matches6
#define session_swap         session_swap6
#define session_begin        session_begin6
#define session_finish       session_finish6
#define session_keep_route   session_keep_route6

/* slots.h */
#define nat_session_words nat_session_words6
#define session_sets      session_sets6
#define session_room      session_room6
#define session_claim_in  session_claim_in6
#define session_claim     session_claim6
#define session_release   session_release6
#define session_vacate    session_vacate6

/* contact.h */
#define contact_key        contact_key6
#define contact_entry_read contact_entry_read6
#define contact_put        contact_put6
#define contact_forget     contact_forget6
#define contact_join       contact_join6
#define contact_enter      contact_enter6
#define contact_make       contact_make6
#define contact_get        contact_get6
#define contact_known      contact_known6

/* mapping.h */
#define request_begin        request_begin6
#define request_no_limits    request_no_limits6
#define nat_settings         nat_settings6
#define nat_now_s            nat_now_s6
#define nat_mapping          nat_mapping6
#define nat_pool_words       nat_pool_words6
#define mapping_free_port    mapping_free_port6
#define mapping_is_in_range  mapping_is_in_range6
#define mapping_is_held      mapping_is_held6
#define mapping_is_published mapping_is_published6
#define mapping_entered      mapping_entered6
#define mapping_is_own       mapping_is_own6
#define mapping_put          mapping_put6
#define mapping_get          mapping_get6
#define mapping_find         mapping_find6
#define host_echo            host_echo6
#define host_echo_note       host_echo_note6
#define host_has_echo        host_has_echo6
#define host_has_port        host_has_port6
#define host_has_socket      host_has_socket6
#define nat_pool_uplink      nat_pool_uplink6
#define pool_claim           pool_claim6
#define port_count           port_count6
#define port_uncount         port_uncount6
#define mapping_undo         mapping_undo6
#define port_search          port_search6
#define port_looks           port_looks6
#define port_take            port_take6
#define port_look            port_look6
#define port_look_again      port_look_again6
#define port_find            port_find6
#define port_claim_same      port_claim_same6
#define port_claim           port_claim6
#define mapping_enter        mapping_enter6

/* nat.h */
#define flows_claim          flows_claim6
#define flows_give           flows_give6
#define flows_owner          flows_owner6
#define session_end          session_end6
#define session_life         session_life6
#define session_life_host    session_life_host6
#define request_limits       request_limits6
#define session_turn         session_turn6
#define session_turn_host    session_turn_host6
#define session_give_up      session_give_up6
#define session_change       session_change6
#define session_seen         session_seen6
#define session_find         session_find6
#define session_peek         session_peek6
#define host_is_translated   host_is_translated6
#define session_enter        session_enter6
#define mapping_use          mapping_use6
#define mapping_open         mapping_open6
#define session_make         session_make6
#define session_make_counted session_make_counted6
#define session_reset        session_reset6
#define session_open         session_open6
#define session_use          session_use6
#define session_goes_on      session_goes_on6
#define session_leaves       session_leaves6
#define session_waits        session_waits6
#define session_join         session_join6
#define session_open_or_join session_open_or_join6
#define filter_admits        filter_admits6
#define session_admit        session_admit6
#define nat_admit            nat_admit6
#define nat_in_unknown       nat_in_unknown6
#define nat_in_unmapped      nat_in_unmapped6
#define nat_in_outside       nat_in_outside6
#define nat_in               nat_in6

/* guest_session.h */
#define guest_limits guest_limits6
#define guest_enter  guest_enter6
#define guest_open   guest_open6
#define guest_answer guest_answer6
#define guest_knows  guest_knows6
#define guest_learn  guest_learn6
#define guest_ask    guest_ask6

#define guest_is_ours  guest_is_ours6
#define guest_has_gone guest_has_gone6

/* own.h */
#define own_port_is_taken own_port_is_taken6
#define own_begins        own_begins6
#define own_session       own_session6
#define own_limits        own_limits6
#define own_translate     own_translate6

/* other.h */
#define other_ask    other_ask6
#define host_remote  host_remote6
#define host_known   host_known6
#define host_note    host_note6
#define host_did     host_did6
#define host_has     host_has6
#define other_is_end other_is_end6
#define other_find   other_find6
#define other_look   other_look6
#define other_seen   other_seen6
#define other_open   other_open6
#define other_try    other_try6
#define other_join   other_join6

/* datagram.h */
#define datagram_is_old  datagram_is_old6
#define datagram_lasts   datagram_lasts6
#define held_lasts       held_lasts6
#define datagram_counts  datagram_counts6
#define datagram_whom    datagram_whom6
#define held_last        held_last6
#define held_copy        held_copy6
#define held_enter_one   held_enter_one6
#define held_remove_one  held_remove_one6
#define held_take_back   held_take_back6
#define held_enter       held_enter6
#define held_put         held_put6
#define datagram_waiting datagram_waiting6
#define fragment_hold    fragment_hold6
#define held_release_one held_release_one6
#define datagram_learn   datagram_learn6
#define datagram_release datagram_release6

/* direct.h */
#define direct_inside        direct_inside6
#define direct_since         direct_since6
#define direct_is_stranded   direct_is_stranded6
#define direct_find          direct_find6
#define direct_change        direct_change6
#define direct_seen          direct_seen6
#define direct_use           direct_use6
#define direct_known         direct_known6
#define direct_is_translated direct_is_translated6
#define direct_would_be      direct_would_be6
#define direct_open          direct_open6
#define direct_arrives       direct_arrives6
#define direct_refused       direct_refused6
#define direct_note          direct_note6
#define direct_is_of         direct_is_of6
#define direct_later         direct_later6

/* reclaim.h */
#define expire_selects       expire_selects6
#define expire_stranded      expire_stranded6
#define expire_due           expire_due6
#define expire_is_idle       expire_is_idle6
#define expire_hurried       expire_hurried6
#define expire_one_session   expire_one_session6
#define expire_session_word  expire_session_word6
#define expire_sessions      expire_sessions6
#define expire_one_port      expire_one_port6
#define expire_port_word     expire_port_word6
#define expire_pool          expire_pool6
#define expire_ports_at_once expire_ports_at_once6
#define expire_ports_of      expire_ports_of6
#define expire_flush         expire_flush6
#define expire_held          expire_held6

/* publish.h */
#define publish_forget   publish_forget6
#define publish_clear    publish_clear6
#define publish_claim    publish_claim6
#define publish_hold     publish_hold6
#define publish_make     publish_make6
#define publish_close    publish_close6
#define publish_release  publish_release6
#define publish_is_taken publish_is_taken6
#define publish_do       publish_do6
#define publish_mark     publish_mark6
#define publish_range    publish_range6
#define publish_reserve  publish_reserve6
#define publish_share    publish_share6

#define publish_reserve_one publish_reserve_one6

/* trace_nat.h */
#define trace_any_free     trace_any_free6
#define trace_mapping      trace_mapping6
#define trace_port_is_ours trace_port_is_ours6
#define trace_has_room     trace_has_room6
#define trace_open         trace_open6
#define trace_open_other   trace_open_other6

typedef struct nsr_address6 nat_address;

static __always_inline bool address_equal(const nat_address *a, const nat_address *b)
{
	return !((a->words[0] ^ b->words[0]) | (a->words[1] ^ b->words[1]) |
		 (a->words[2] ^ b->words[2]) | (a->words[3] ^ b->words[3]));
}

static __always_inline bool address_is_none(const nat_address *a)
{
	return !(a->words[0] | a->words[1] | a->words[2] | a->words[3]);
}

static __always_inline void nat_number(u32 number, nat_address *ret)
{
	ret->words[0] = number;
	ret->words[1] = ret->words[2] = ret->words[3] = 0;
}

static __always_inline void address_spell(__be32 *words, const nat_address *address)
{
	__builtin_memcpy(words, address, sizeof(*address));
}

static __always_inline bool inside_equal(const struct nsr_inside_endpoint *a,
					 const struct nsr_inside_endpoint *b)
{
	return a->port == b->port && a->protocol == b->protocol && a->uplink == b->uplink &&
	       address_equal(&a->address, &b->address);
}

static __always_inline bool flow_equal(const struct nsr_flow *a, const struct nsr_flow *b)
{
	return inside_equal(&a->inside, &b->inside) && a->remote_port == b->remote_port &&
	       a->kind == b->kind && address_equal(&a->remote_address, &b->remote_address);
}

static __always_inline void flow_to_key(struct nsr_flow *flow)
{
	if (flow->inside.protocol == NSR_NAT_OTHER)
		__builtin_memset(&flow->inside.address, 0, sizeof(flow->inside.address));
}

/* Of the request's flow, which begins "nat_scratch6". */
static __always_inline const struct nsr_flow *flow_entry(const struct nsr_flow *flow)
{
	struct nsr_flow *entry = (void *)flow + NAT_WORK_ENTRY;

	if (flow->inside.protocol != NSR_NAT_OTHER)
		return flow;
	*entry = *flow;
	flow_to_key(entry);
	return entry;
}

static __always_inline bool datagram_equal(const struct nsr_datagram *a,
					   const struct nsr_datagram *b)
{
	return a->id == b->id && a->uplink == b->uplink && address_equal(&a->source, &b->source) &&
	       address_equal(&a->dest, &b->dest);
}

/* Identifications of IPv6 are the same for all protocols. */
static __always_inline bool datagram_is_by(const struct nsr_datagram *datagram, u8 protocol)
{
	return datagram && protocol <= NSR_NAT_ICMP;
}

static __always_inline const struct nsr_inside *nat_inside_of(const nat_address *address)
{
	return inside_of6(address);
}

static __always_inline const struct nsr_endpoint *nat_owner_of(const nat_address *address)
{
	return fib_host6(address);
}

NSR_STEP int nat_fate(u32 index, u32 slot, const nat_address *address)
{
	const struct nsr_uplink *uplink = uplink_at(index);
	nat_address now;

	if (!uplink || !address)
		return ADDRESS_GONE;
	now = address6_at(uplink, slot);
	if (address_equal(address, &now))
		return ADDRESS_STAYS;
	return address_is_none(&now) ? ADDRESS_GONE : ADDRESS_REPLACED;
}

/* Whether it is being changed which addresses the uplink of this number has: nothing begins then.
 */
NSR_STEP int nat_is_changing(u32 index)
{
	const struct nsr_uplink *uplink = uplink_at(index);

	return !uplink || uplink->flags & NSR_UPLINK_CHANGING6;
}

static __always_inline bool nat_is_more(const struct nsr_uplink *uplink, const nat_address *address)
{
	return uplink->flags & NSR_UPLINK_MORE6 &&
	       address6_more_slot(uplink, address) != NSR_SLOTS_MAX;
}

static __always_inline bool nat_is_repaired(const nat_address *inside)
{
	u32 zero = 0, slot;
	const struct nsr_repairing *sets = bpf_map_lookup_elem(&repairing, &zero);
	nat_address before, after;

	if (!sets)
		return true;
	slot = address6_pair(&sets->before, inside);
	if (address6_pair(&sets->after, inside) != slot)
		return true;
	address6_entered(&sets->before, slot, &before);
	address6_entered(&sets->after, slot, &after);
	return !address_equal(&before, &after);
}

static __always_inline bool nat_is_client(const nat_address *address)
{
	return local6_is_client(address);
}

/* Whether what the flow's inside address sends to the remote is not translated. To an external
 * address it is: that is a hairpin, or the host. */
static __always_inline bool nat_is_excepted(const struct nsr_inside *inside,
					    const struct nsr_flow *flow)
{
	return is_excepted6(inside, &flow->inside.address, &flow->remote_address) &&
	       !address6_is_one_of(flow->inside.uplink, &flow->remote_address);
}

/* The external address as it was last found. */
static __always_inline nat_address nat_address_of(const struct nsr_uplink *uplink)
{
	return address6_of(uplink);
}

#define SOCKET_ADDRESS6(socket) \
	((socket)->src_ip6[0] | (socket)->src_ip6[1] | (socket)->src_ip6[2] | (socket)->src_ip6[3])

static __always_inline struct bpf_sock *host_socket(struct __sk_buff *skb, u8 protocol,
						    const nat_address *remote, __be16 remote_port,
						    const nat_address *local, __be16 local_port,
						    bool *ret_wild)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;

	__builtin_memcpy(tuple.ipv6.saddr, remote, sizeof(*remote));
	__builtin_memcpy(tuple.ipv6.daddr, local, sizeof(*local));
	tuple.ipv6.sport = remote_port;
	tuple.ipv6.dport = local_port;
	if (protocol == NSR_NAT_TCP) {
		socket =
			bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
		if (socket)
			SOCKET_READ("tcp6", socket, SOCKET_ADDRESS6, ret_wild);
	} else {
		socket = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
		if (socket)
			SOCKET_READ("udp6", socket, SOCKET_ADDRESS6, ret_wild);
	}
	return socket;
}

#include "direct.h"
#include "guest_session.h"
#include "nat.h"
#include "other.h"
#include "own.h"
#include "publish.h"
#include "reclaim.h"
#ifdef NSR_TRACE
#include "trace_nat.h"
#endif

#include "nat6_end.h"

#endif
