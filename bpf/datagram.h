/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * datagram.h - whom the fragments of a datagram are for that arrives at an uplink.
 *
 * Only the first one tells; "datagrams_in" remembers that for those that follow. One that comes
 * before the first is held: a copy of it is kept, which is put on the uplink again when the first
 * has come, in the way of a packet that has just arrived.
 *
 *   none -> HELD      a later fragment came: copied to "held_fragments"; more of them are, too
 *   any  -> known     the first came: what was held is let go, and who was about to hold one sees
 * it any  -> none      in time
 *
 * How long that is says the network that the datagram is for; before the first has come nobody
 * knows which, so what is held waits as long as any network of the uplink has it, and is looked at
 * again when it is let go.
 *
 * The table is LRU: an entry is worth something for as long as a datagram takes to arrive, so a
 * flood of them costs others next to nothing, which it would do if they had to expire. What is held
 * is in a plain table, and given up by the clock of expire.h. A held packet is counted when
 * it goes on, or is given up. What there is no room for is the host's, who will not miss the rest.
 */
#ifndef NSROUTE_BPF_DATAGRAM_H
#define NSROUTE_BPF_DATAGRAM_H

#include "nat.h"

static __always_inline bool datagram_is_old(u32 since_s, u32 now_s, u32 lasts_s)
{
	u32 age = now_s - since_s;

	return age < 0x80000000 && age >= lasts_s;
}

/* How long the datagrams of an inside address last. */
static __always_inline u32 datagram_lasts(const nat_address *address)
{
	const struct nsr_inside *inside = nat_inside_of(address);

	return inside ? inside->timeout_s[NSR_TIMEOUT_FRAGMENT] : NSR_DATAGRAM_S;
}

/* How long what is held at an uplink waits. */
static __always_inline u32 held_lasts(u32 uplink)
{
	const u32 *found = bpf_map_lookup_elem(&held_waits, &uplink);
	u32 wait_s = found ? READ_ONCE(*found) : 0;

	return wait_s > NSR_DATAGRAM_S ? wait_s : NSR_DATAGRAM_S;
}

/* How long an entry counts. */
NSR_STEP u32 datagram_counts(u32 whom, u32 uplink, const nat_address *inside)
{
	if (whom == NAT_INBOUND_HELD)
		return held_lasts(uplink);
	return whom == NAT_INBOUND_SESSION && inside ? datagram_lasts(inside) : NSR_DATAGRAM_S;
}

/* Whom the first fragment was for, and the inside address; NAT_INBOUND_HELD: it has not come. */
static __always_inline enum nat_inbound datagram_whom(const struct nsr_datagram *datagram,
						      u32 now_s, nat_address *ret_inside)
{
	NAT_KEY(struct nsr_datagram, key, datagram);
	struct nsr_datagram_in *known = bpf_map_lookup_elem(&datagrams_in, key);
	u32 whom, since_s;

	if (!known)
		return NAT_INBOUND_HELD;
	since_s = READ_ONCE(known->since_s);
	whom = READ_ONCE(known->whom);
	*ret_inside = READ_ONCE(known->inside);
	barrier();
	/* The entry may have been recycled while it was read. */
	if (!datagram_equal(&known->datagram, key) ||
	    datagram_is_old(since_s, now_s, datagram_counts(whom, key->uplink, ret_inside)))
		return NAT_INBOUND_HELD;
	return whom;
}

static __always_inline bool fragment_copy(struct __sk_buff *skb, struct nsr_held *held)
{
	u32 last = skb->len - 1; /* one less, so that the verifier sees that it is never none */

	if (last >= NSR_HELD_BYTES)
		return false;
	held->length = last + 1;
	barrier_var(last); /* clang knows the range and would leave the test out */
	return last < NSR_HELD_BYTES && !bpf_skb_load_bytes(skb, 0, held->bytes, last + 1);
}

/* The entry of a datagram whose first fragment has not come, made here for the first of those that
 * have; of one whose first has come meanwhile, that one. */
static __always_inline struct nsr_datagram_in *datagram_waiting(const struct nsr_datagram *datagram,
								u32 now_s)
{
	struct nsr_datagram_in entry = {
		.datagram = *datagram, .whom = NAT_INBOUND_HELD, .since_s = now_s};
	struct nsr_datagram_in *known;
	nat_address inside;

	if (bpf_map_update_elem(&datagrams_in, &entry.datagram, &entry, BPF_NOEXIST)) {
		known = bpf_map_lookup_elem(&datagrams_in, &entry.datagram);
		inside = known ? READ_ONCE(known->inside) : entry.inside;
		if (known && datagram_is_old(READ_ONCE(known->since_s), now_s,
					     datagram_counts(READ_ONCE(known->whom),
							     datagram->uplink, &inside)))
			bpf_map_update_elem(&datagrams_in, &entry.datagram, &entry, BPF_ANY);
	}
	return bpf_map_lookup_elem(&datagrams_in, &entry.datagram);
}

/*
 * A later fragment whose first has not come: NAT_INBOUND_HELD, once a copy is kept. The first may
 * come at this very moment, by another CPU, so the entry is looked at once more; whoever then takes
 * the copy out of the table again goes on with it. Otherwise whom the datagram is for.
 */
static __always_inline enum nat_inbound
fragment_hold(struct __sk_buff *skb, struct nsr_held_key *key, u32 now_s, nat_address *ret_inside)
{
	struct nsr_datagram_in *entry;
	struct nsr_held *held;
	enum nat_inbound whom;
	u32 zero = 0;

	INSTEAD(NAT_INBOUND_HELD);
	held = bpf_map_lookup_elem(&held_scratch, &zero);
	if (!held || !fragment_copy(skb, held))
		return NAT_INBOUND_HOST;
	held->since_s = now_s;
	entry = datagram_waiting(&key->datagram, now_s);
	if (!entry)
		return NAT_INBOUND_HOST;
	key->number = __sync_fetch_and_add(&entry->held, 1);
	if (key->number >= NSR_HELD_NUMBERS ||
	    bpf_map_update_elem(&held_fragments, key, held, BPF_NOEXIST))
		return NAT_INBOUND_HOST;
	whom = datagram_whom(&key->datagram, now_s, ret_inside);
	if (whom != NAT_INBOUND_HELD && !bpf_map_delete_elem(&held_fragments, key))
		return whom;
	return NAT_INBOUND_HELD;
}

struct held_release {
	struct __sk_buff *skb;
	struct nsr_held_key key;
	u32 now_s;
	u32 lasts_s; /* of whom the first was for */
};

/* Turns the packet at hand into one that is held, and puts it on the uplink again. Who deletes a
 * held one has it; what fails stays, and is given up in time. */
static long held_release_one(u32 number, struct held_release *release)
{
	struct __sk_buff *skb = release->skb;
	struct nsr_held_key key = release->key;
	struct nsr_held *held;
	u32 last;

	key.number = number;
	held = bpf_map_lookup_elem(&held_fragments, &key);
	if (!held || datagram_is_old(held->since_s, release->now_s, release->lasts_s))
		return 0;
	last = held->length - 1;
	barrier_var(last);
	if (last >= NSR_HELD_BYTES || bpf_skb_change_tail(skb, last + 1, 0) ||
	    bpf_skb_store_bytes(skb, 0, held->bytes, last + 1, BPF_F_RECOMPUTE_CSUM))
		return 0;
	if (!bpf_map_delete_elem(&held_fragments, &key))
		bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	return 0;
}

/* Writes down whom a datagram is for, by its first fragment. True when others of it are held. */
static __always_inline bool datagram_learn(const struct nsr_datagram_in *entry)
{
	struct nsr_datagram_in *known;
	bool held;

	INSTEAD(false);
	if (!bpf_map_update_elem(&datagrams_in, &entry->datagram, entry, BPF_NOEXIST))
		return false;
	known = bpf_map_lookup_elem(&datagrams_in, &entry->datagram);
	held = known && READ_ONCE(known->whom) == NAT_INBOUND_HELD;
	bpf_map_update_elem(&datagrams_in, &entry->datagram, entry, BPF_ANY);
	return held;
}

/* The packet at hand is put on the uplink again, and behind it what is held of its datagram. */
static __always_inline int datagram_release(struct held_release *release)
{
	struct __sk_buff *skb = release->skb;

	INSTEAD(0);
	bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	bpf_loop(NSR_HELD_NUMBERS, held_release_one, release, 0);
	return 0;
}

#endif
