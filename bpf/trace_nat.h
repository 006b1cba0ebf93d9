/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace_nat.h - what would become of a flow that has no session, for "nsroute trace".
 */
#ifndef NSROUTE_BPF_TRACE_NAT_H
#define NSROUTE_BPF_TRACE_NAT_H

#include "nat.h"

static __always_inline bool trace_any_free(const u64 *words, u32 count)
{
	return words && bits_any_free(words, count);
}

/* As mapping_find(), without a reference. */
static __always_inline u32 trace_mapping(const struct nsr_inside_endpoint *inside)
{
	NAT_KEY(struct nsr_inside_endpoint, key, inside);
	struct nsr_mapping_ref *ref = bpf_map_lookup_elem(&mapping_by_inside, key);
	u32 mapping = ref ? READ_ONCE(ref->mapping) : 0;
	struct nsr_mapping *record = mapping ? nat_mapping(mapping) : NULL;

	if (!record || !READ_ONCE(record->references) || !inside_equal(&record->inside, inside))
		return 0;
	return mapping;
}

/* Whether the host leaves this external port to the flow. */
static __always_inline bool trace_port_is_ours(struct __sk_buff *skb, struct nat_request *request,
					       u32 port, bool published)
{
	return !host_has_port(skb, request, bpf_htons(port), published);
}

/* Whether there is a record for one session more. */
static __always_inline bool trace_has_room(void)
{
	u32 set;

	for (set = 0; set < NSR_SESSION_SETS_MAX; set++)
		if (trace_any_free(nat_session_words(set), NAT_SESSION_WORDS))
			return true;
	return false;
}

/* What session_open() would do. A flow that would take any port is translated to its own one, so
 * that the steps behind see a translated packet. */
int trace_open(struct __sk_buff *skb, struct nat_request *request)
{
	u32 pool, wanted, mapping;
	bool published;
	u64 *words;
	int refused;

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_SESSIONS);
	mapping = mapping_is_own(request) ? 0 : trace_mapping(&request->flow.inside);
	if (mapping && NSR_MAPPING_SLOT(mapping) != request->slot)
		return DROP(NAT_CONTENTION);
	if (mapping &&
	    !trace_port_is_ours(skb, request, NSR_MAPPING_PORT(mapping),
				mapping_is_published(mapping)) &&
	    !host_is_translated(request, bpf_htons(NSR_MAPPING_PORT(mapping))))
		return DROP(NAT_SOCKET);
	published = mapping_is_published(mapping);
	if (published)
		request->owner = NSR_OWNER(NSR_OWNER_INBOUND, NSR_OWNER_NUMBER(request->owner));
	refused = flows_claim(skb, request); /* only looks here */
	if (!refused && !trace_has_room())
		refused = DROP(NAT_SESSIONS);
	if (published && share_is_short(refused)) {
		TELL(OPENS, mapping, NSR_OPENS_NONE, 0);
		request->mapping = mapping;
		return 0;
	}
	if (refused)
		return refused;
	pool = NSR_POOL(request->slot, request->flow.inside.protocol);
	wanted = bpf_ntohs(request->flow.inside.port);
	if (mapping) {
		TELL(OPENS, mapping, NSR_OPENS_KNOWN, 0);
		request->mapping = mapping;
		return 0;
	}
	refused = port_count(request);
	if (refused)
		return refused;
	words = nat_pool_words(NSR_MAPPING(pool, 0));
	if (!trace_any_free(words, NSR_POOL_WORDS))
		return DROP(NAT_PORTS);
	if (bits_is_free(words, NSR_POOL_WORDS, NSR_POOL_BIT(wanted)) &&
	    trace_port_is_ours(skb, request, wanted, false))
		TELL(OPENS, NSR_MAPPING(pool, wanted), NSR_OPENS_SAME, 0);
	else
		TELL(OPENS, NSR_MAPPING(pool, 0), NSR_OPENS_ANY, 0);
	request->mapping = NSR_MAPPING(pool, wanted ? wanted : 1);
	return 0;
}

/* No mapping: there is no port to choose. */
int trace_open_other(int refused, u32 slot)
{
	if (!refused && !trace_has_room())
		refused = DROP(NAT_SESSIONS);
	if (!refused)
		TELL(OPENS, NSR_MAPPING(NSR_POOL(slot, 0), 0), NSR_OPENS_ADDRESS, 0);
	return refused;
}

#endif
