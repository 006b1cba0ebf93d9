/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * publish.h - mappings that user space makes: published ports.
 *
 * A published port is a mapping like any other, of which user space holds one reference, so that it
 * lives without a session, and which lets in whoever sends (endpoint-independent filtering, RFC
 * 4787 8). What its inside endpoint sends first uses it too, for it is the one that is entered
 * under the endpoint. Its bit is set, so that it is not handed out; when it is given back it cools
 * down like any other, and one outside the range of its uplink then stays reserved.
 *
 * One process does one step for one port at a time (it holds the lock of nsroute), while packets go
 * on. So each step can be done again, and says by the flags what it has done.
 *
 * It also sets ports aside that the host wants handed out to nobody, and gives them back.
 *
 * One text for both families, as nat4.h tells.
 */
#ifndef NSROUTE_BPF_PUBLISH_H
#define NSROUTE_BPF_PUBLISH_H

#include "nat.h"

/* No new session finds what packets have entered under the inside endpoint. */
static __always_inline void publish_forget(const struct nsr_inside_endpoint *inside)
{
	struct nsr_inside_endpoint key = *inside;
	u32 mapping = mapping_entered(&key);

	if (mapping && !mapping_is_held(mapping))
		bpf_map_delete_elem(&mapping_by_inside, &key);
}

NSR_STEP int publish_clear(u32 mapping, const struct nsr_inside_endpoint *inside, u32 unpaired)
{
	struct nsr_mapping *record = nat_mapping(mapping);
	struct nsr_inside_endpoint other;

	if (!inside || !record)
		return -ENOENT;
	if (!(record->flags & NSR_MAPPING_HELD) && READ_ONCE(record->references)) {
		other = record->inside;
		publish_forget(&other);
	}
	if (!unpaired)
		publish_forget(inside);
	return 0;
}

/* Flags that are set in place of those that there are; what is reserved stays so. */
static __always_inline void publish_mark(struct nsr_mapping *record, u16 flags)
{
	record->flags = (record->flags & NSR_MAPPING_RESERVED) | flags;
}

/* Takes the port, which nobody else has now; 0, or -EBUSY. */
static __always_inline int publish_claim(u32 mapping, struct nsr_mapping *record,
					 const struct nsr_inside_endpoint *inside)
{
	u32 released_s = READ_ONCE(record->released_s);
	u32 pool = NSR_MAPPING_POOL(mapping), port = NSR_MAPPING_PORT(mapping);

	if (READ_ONCE(record->references))
		return -EBUSY;
	if (released_s) { /* its bit is set */
		if (__sync_val_compare_and_swap(&record->released_s, released_s, 0) != released_s)
			return -EBUSY;
		if (released_s != NSR_RELEASED_ASIDE) { /* it cools down, and is counted as used */
			port_uncount(record->owner, inside->protocol);
			return 0;
		}
	} else if (pool_claim(pool, port) == BITS_NONE && mapping_is_in_range(mapping)) {
		return -EBUSY; /* about to be used, or just given back */
	}
	count_nat(inside->uplink, ports_used, inside->protocol, 1);
	return 0;
}

static __always_inline int publish_hold(u32 mapping, struct nsr_mapping *record,
					const struct nsr_inside_endpoint *inside)
{
	int result;

	if (record->flags & NSR_MAPPING_HELD)
		return inside_equal(&record->inside, inside) ? 0 : -EEXIST;
	result = publish_claim(mapping, record, inside);
	if (result)
		return result;
	record->inside = *inside;
	record->generation++;
	publish_mark(record, NSR_MAPPING_HELD);
	record->owner = 0;
	barrier();
	WRITE_ONCE(record->references, 1);
	count_nat(inside->uplink, mappings_created, inside->protocol, 1);
	return 0;
}

/* Of several ports that lead to one endpoint the first is what it sends from, of those at the
 * external address that it has for what it begins (unpaired: this is another). */
NSR_STEP int publish_make(u32 mapping, const struct nsr_inside_endpoint *inside, u32 unpaired)
{
	struct nsr_mapping *record = nat_mapping(mapping);
	struct nsr_inside_endpoint key;
	struct nsr_mapping_ref ref = {};
	int result;

	if (!inside || !record)
		return -ENOENT;
	result = publish_hold(mapping, record, inside);
	if (result)
		return result;
	key = *inside;
	ref.mapping = mapping_entered(&key);
	if (unpaired) {
		if (ref.mapping == mapping)
			bpf_map_delete_elem(&mapping_by_inside, &key);
	} else if (!ref.mapping || !mapping_is_held(ref.mapping) ||
		   NSR_MAPPING_SLOT(ref.mapping) != NSR_MAPPING_SLOT(mapping)) {
		ref.mapping = mapping;
		ref.generation = record->generation;
		result = bpf_map_update_elem(&mapping_by_inside, &key, &ref, BPF_ANY);
	}
	publish_mark(record, NSR_MAPPING_HELD | NSR_MAPPING_PUBLISHED);
	return result;
}

NSR_STEP int publish_close(u32 mapping)
{
	struct nsr_mapping *record = nat_mapping(mapping);
	struct nsr_inside_endpoint key;

	if (!record || !(record->flags & NSR_MAPPING_HELD))
		return 0;
	publish_mark(record, NSR_MAPPING_HELD);
	key = record->inside;
	if (mapping_entered(&key) == mapping)
		bpf_map_delete_elem(&mapping_by_inside, &key);
	return 0;
}

NSR_STEP int publish_release(u32 mapping, u32 now_s)
{
	struct nsr_mapping *record = nat_mapping(mapping);

	if (!record || !(record->flags & NSR_MAPPING_HELD))
		return 0;
	publish_mark(record, 0);
	barrier();
	mapping_put(mapping, now_s);
	return 0;
}

/* Whether the host has a socket that gets what anybody sends to the port. */
NSR_STEP int publish_is_taken(struct __sk_buff *skb, const struct nsr_publish *asked)
{
	const nat_address anybody = {0};

	return asked && !mapping_is_held(asked->mapping) && !address_is_none(&asked->external) &&
	       host_has_socket(skb, asked->inside.protocol, &anybody, 0, &asked->external,
			       bpf_htons(NSR_MAPPING_PORT(asked->mapping)), false);
}

/* ---- Ports that are not handed out. */

struct publish_range {
	u32 mapping; /* of the first */
	u32 step;
};

/* A port that is free is taken, and its record says that it is nobody's; one that somebody has
 * becomes so when it has cooled down (reclaim.h), which also gives back what is reserved no more.
 */
static long publish_reserve_one(u32 i, const struct publish_range *range)
{
	u32 mapping = range->mapping + i;
	struct nsr_mapping *record = nat_mapping(mapping);

	if (!record)
		return 1;
	if (range->step == NSR_PUBLISH_UNRESERVE) {
		record->flags &= ~NSR_MAPPING_RESERVED;
		return 0;
	}
	record->flags |= NSR_MAPPING_RESERVED;
	barrier();
	if (pool_claim(NSR_MAPPING_POOL(mapping), NSR_MAPPING_PORT(mapping)) != BITS_NONE)
		WRITE_ONCE(record->released_s, NSR_RELEASED_ASIDE);
	return 0;
}

static __always_inline int publish_reserve(const struct nsr_publish *asked)
{
	struct publish_range range = {.mapping = asked->mapping, .step = asked->step};
	u32 count = asked->count;

	if (count > NSR_POOL_PORTS - NSR_MAPPING_PORT(asked->mapping))
		return -EINVAL;
	bpf_loop(count, publish_reserve_one, &range, 0);
	return 0;
}

NSR_STEP int publish_share(u32 mapping, u32 share)
{
	u32 pool = NSR_MAPPING_POOL(mapping);
	struct nsr_pool_bits *bits = bpf_map_lookup_elem(&pool_bits, &pool);

	if (!bits)
		return -ENOENT;
	WRITE_ONCE(bits->share, share);
	return 0;
}

static __always_inline int publish_do(struct __sk_buff *skb, const struct nsr_publish *asked)
{
	const struct nsr_settings *settings = nat_settings();

	if (!settings)
		return -ENOENT;
	switch (asked->step) {
	case NSR_PUBLISH_CLEAR:
		return publish_clear(asked->mapping, &asked->inside, asked->unpaired);
	case NSR_PUBLISH_MAKE:
		if (publish_is_taken(skb, asked))
			return -EADDRINUSE;
		return publish_make(asked->mapping, &asked->inside, asked->unpaired);
	case NSR_PUBLISH_CLOSE:
		return publish_close(asked->mapping);
	case NSR_PUBLISH_RELEASE:
		return publish_release(asked->mapping, nat_now_s(settings));
	case NSR_PUBLISH_RESERVE:
	case NSR_PUBLISH_UNRESERVE:
		return publish_reserve(asked);
	case NSR_PUBLISH_SHARE:
		return publish_share(asked->mapping, asked->count);
	default:
		return -EINVAL;
	}
}

#endif
