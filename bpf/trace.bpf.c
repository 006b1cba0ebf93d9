/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.bpf.c - the programs of nsroute.bpf.c once more, for "nsroute trace": the same steps, which
 * tell what they find and change nothing (trace.h). They run by BPF_PROG_RUN only, on the maps of
 * the datapath, and sit at no hook.
 */
#define NSR_TRACE

#include "nsroute.bpf.c"

_Static_assert(NSR_FIB_KERNEL == FIB_KERNEL && NSR_FIB_UPLINK == FIB_UPLINK &&
		       NSR_FIB_UPLINK_KERNEL == FIB_UPLINK_KERNEL &&
		       NSR_FIB_ELSEWHERE == FIB_ELSEWHERE,
	       "told as they are");
_Static_assert(NSR_INBOUND_HOST == NAT_INBOUND_HOST && NSR_INBOUND_SESSION == NAT_INBOUND_SESSION &&
		       NSR_INBOUND_HELD == NAT_INBOUND_HELD &&
		       NSR_INBOUND_REFUSED == NAT_INBOUND_REFUSED,
	       "told as they are");

static __always_inline bool bits_any_free(const u64 *words, u32 count)
{
	return words && ~READ_ONCE(words[count + count / 64]);
}

static __always_inline bool bits_is_free(const u64 *words, u32 count, u32 number)
{
	return words && !(READ_ONCE(words[bits_word(number, count)]) >> number % 64 & 1);
}

/* As mapping_find(), without a reference. */
static __always_inline u32 trace_mapping(const struct nsr_inside_endpoint *inside)
{
	struct nsr_inside_endpoint key = *inside;
	struct nsr_mapping_ref *ref = bpf_map_lookup_elem(&mapping_by_inside, &key);
	u32 mapping = ref ? READ_ONCE(ref->mapping) : 0;
	struct nsr_mapping *record = mapping ? nat_mapping(mapping) : NULL;

	if (!record || !READ_ONCE(record->references) || !inside_equal(&record->inside, inside))
		return 0;
	return mapping;
}

/* Whether the host leaves this external port to the flow. */
static __always_inline bool trace_port_is_ours(struct __sk_buff *skb,
					       const struct nat_request *request, u32 port)
{
	return !host_has_socket(skb, request->flow.inside.protocol, request->flow.remote_address,
				request->flow.remote_port, request->external, bpf_htons(port));
}

/* What session_open() would do. A flow that would take any port is translated to its own one, so
 * that the steps behind see a translated packet. */
int trace_open(struct __sk_buff *skb, struct nat_request *request)
{
	u32 pool, wanted, mapping;
	u64 *words;

	if (!request || !bits_any_free(nat_session_words(), NSR_SESSION_WORDS))
		return DROP(NAT_SESSIONS);
	mapping = trace_mapping(&request->flow.inside);
	if (mapping && !trace_port_is_ours(skb, request, NSR_MAPPING_PORT(mapping)))
		return DROP(NAT_SOCKET);
	pool = NSR_POOL(request->flow.inside.uplink, request->flow.inside.protocol);
	wanted = bpf_ntohs(request->flow.inside.port);
	if (mapping) {
		TELL(OPENS, mapping, NSR_OPENS_KNOWN, 0);
		request->mapping = mapping;
		return 0;
	}
	words = nat_pool_words(NSR_MAPPING(pool, 0));
	if (!bits_any_free(words, NSR_POOL_WORDS))
		return DROP(NAT_PORTS);
	if (bits_is_free(words, NSR_POOL_WORDS, wanted) && trace_port_is_ours(skb, request, wanted))
		TELL(OPENS, NSR_MAPPING(pool, wanted), NSR_OPENS_SAME, 0);
	else
		TELL(OPENS, 0, NSR_OPENS_ANY, 0);
	request->mapping = NSR_MAPPING(pool, wanted ? wanted : 1);
	return 0;
}
