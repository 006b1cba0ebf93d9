/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * datagram.h - whom the fragments of a datagram are for that arrives at an uplink.
 *
 * Only the first one tells; "datagrams_in" remembers that for those that follow. One that comes
 * before the first is held: a copy of it is kept, which is put on the uplink again when the first
 * has come, in the way of a packet that has just arrived.
 *
 *   none -> HELD      a later fragment came: copied to "held_fragments"; more of them are, too
 *   HELD -> LEFT      one was too large to be held, so the host has it, and gets those that follow
 *   any  -> known     the first came: what is held is let go; who is about to hold one sees it
 *   LEFT -> LOST      the first came, and was for the inside: all are dropped, and counted
 *   any  -> none      in time
 *
 * How long that is says the network that the datagram is for; before the first has come nobody
 * knows which, so what is held waits as long as any network of the uplink has it, and is looked at
 * again when it is let go.
 *
 * The table is LRU: an entry is worth something for as long as a datagram takes to arrive, so a
 * flood of them costs others next to nothing, which it would do if they had to expire. What is held
 * is in a plain table, and given up by the clock of reclaim.h. A held packet is counted when it
 * goes on, or is given up. What cannot be held may be the host's own, so it is left to it. That
 * there was no room is not noted: who sends enough to fill the table could have datagrams dropped
 * by it that come in order (RFC 4787 REQ-14a).
 *
 * A copy is in parts of NSR_HELD_BYTES, so that a large fragment takes what it needs and a small
 * one no more. Part 0 stands for all: it is the last to be entered and the first to be taken out,
 * and who has taken it out has the others too.
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
	if (whom == NAT_INBOUND_HELD || whom == NAT_INBOUND_LEFT)
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

/* Bytes of a part of a frame, less one, so that the verifier sees that they are never none. */
static __always_inline u32 held_last(u32 length, u32 part)
{
	u32 last = length - part * NSR_HELD_BYTES - 1;

	if (last >= NSR_HELD_BYTES)
		last = NSR_HELD_BYTES - 1;
	barrier_var(last); /* clang knows the range and would leave the next test out */
	return last;
}

struct held_copy {
	struct __sk_buff *skb;
	struct nsr_held_key key; /* of part 0 */
	u32 since_s;
	u32 length;
	u32 parts;
	u32 entered;
};

static long held_enter_one(u32 index, struct held_copy *copy)
{
	u32 part = copy->parts - 1 - index, zero = 0, last = held_last(copy->length, part);
	struct nsr_held *held = bpf_map_lookup_elem(&held_scratch, &zero);
	struct nsr_held_key key = copy->key;

	key.number += part;
	if (!held || last >= NSR_HELD_BYTES ||
	    bpf_skb_load_bytes(copy->skb, part * NSR_HELD_BYTES, held->bytes, last + 1))
		return 1;
	held->since_s = copy->since_s;
	held->length = copy->length;
	held->part = part;
	if (bpf_map_update_elem(&held_fragments, &key, held, BPF_NOEXIST))
		return 1;
	copy->entered++;
	return 0;
}

/* From the last that was entered, in the order of their numbers. */
static long held_remove_one(u32 index, struct held_copy *copy)
{
	struct nsr_held_key key = copy->key;

	key.number += copy->parts - copy->entered + index;
	bpf_map_delete_elem(&held_fragments, &key);
	return 0;
}

/* The other parts are his who has taken out part 0. */
static __always_inline bool held_take_back(struct held_copy *copy)
{
	struct nsr_held_key key = copy->key;

	if (bpf_map_delete_elem(&held_fragments, &key))
		return false;
	copy->entered--;
	bpf_loop(copy->entered, held_remove_one, copy, 0);
	return true;
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

/* A copy is kept in parts that have numbers of their own. False: there is no room for it. */
static __always_inline bool held_enter(struct held_copy *copy, struct nsr_datagram_in *entry)
{
	if (READ_ONCE(entry->held) >= NSR_HELD_NUMBERS)
		return false;
	copy->key.number = __sync_fetch_and_add(&entry->held, copy->parts);
	if (copy->key.number + copy->parts > NSR_HELD_NUMBERS)
		return false;
	bpf_loop(copy->parts, held_enter_one, copy, 0);
	if (copy->entered == copy->parts)
		return true;
	bpf_loop(copy->entered, held_remove_one, copy, 0);
	return false;
}

/*
 * A later fragment whose first has not come, of the datagram in copy's key: NAT_INBOUND_HELD, once
 * a copy is kept; NAT_INBOUND_HOST or NAT_INBOUND_LEFT: the host gets it. The first may come at
 * this very moment, by another CPU, so the entry is looked at once more; whoever then takes the
 * copy out of the table again goes on with it. Otherwise whom the datagram is for.
 */
static __always_inline enum nat_inbound fragment_hold(struct __sk_buff *skb, struct held_copy *copy,
						      u32 now_s, nat_address *ret_inside)
{
	struct nsr_datagram_in *entry;
	enum nat_inbound whom;
	bool held = false;

	INSTEAD(NAT_INBOUND_HELD);
	copy->skb = skb;
	copy->since_s = now_s;
	copy->length = skb->len;
	copy->parts = (copy->length + NSR_HELD_BYTES - 1) / NSR_HELD_BYTES;
	entry = datagram_waiting(&copy->key.datagram, now_s);
	if (!entry)
		return NAT_INBOUND_HOST;
	if (copy->parts <= NSR_HELD_PARTS)
		held = held_enter(copy, entry);
	else
		__sync_val_compare_and_swap(&entry->whom, NAT_INBOUND_HELD, NAT_INBOUND_LEFT);
	whom = datagram_whom(&copy->key.datagram, now_s, ret_inside);
	if (!held)
		return whom == NAT_INBOUND_HELD ? NAT_INBOUND_HOST : whom;
	return whom == NAT_INBOUND_HELD || !held_take_back(copy) ? NAT_INBOUND_HELD : whom;
}

struct held_release {
	struct __sk_buff *skb;
	struct nsr_held_key key;
	u32 now_s;
	u32 lasts_s; /* of whom the first was for */
	u32 length;  /* of the frame that is being put together */
	u32 next;    /* part of it; 0: none is */
};

/* Puts a part where it belongs in the packet at hand, and takes it out of the table. */
static __always_inline bool held_put(struct held_release *release, const struct nsr_held_key *key,
				     const struct nsr_held *held)
{
	u32 last = held_last(release->length, release->next);

	return last < NSR_HELD_BYTES &&
	       !bpf_skb_store_bytes(release->skb, release->next * NSR_HELD_BYTES, held->bytes,
				    last + 1, BPF_F_RECOMPUTE_CSUM) &&
	       !bpf_map_delete_elem(&held_fragments, key);
}

/* Turns the packet at hand into one that is held, part by part, and puts it on the uplink again.
 * Who deletes part 0 has it; what fails before stays, and is given up in time. */
static long held_release_one(u32 number, struct held_release *release)
{
	struct nsr_held_key key = release->key;
	struct nsr_held *held;
	u32 uplink = key.datagram.uplink;

	key.number = number;
	held = bpf_map_lookup_elem(&held_fragments, &key);
	if (held && !held->part &&
	    !datagram_is_old(held->since_s, release->now_s, release->lasts_s)) {
		release->next = 0;
		release->length = held->length;
		if (bpf_skb_change_tail(release->skb, release->length, 0))
			return 0;
	} else if (!release->next) {
		return 0;
	}
	if (!held || held->part != release->next || !held_put(release, &key, held)) {
		if (release->next)
			count_uplink_rx(uplink, release->length, DROP(NAT_FRAGMENT), false);
		release->next = 0;
		return 0;
	}
	release->next++;
	if (release->next * NSR_HELD_BYTES < release->length)
		return 0;
	release->next = 0;
	bpf_clone_redirect(release->skb, release->skb->ifindex, BPF_F_INGRESS);
	return 0;
}

/*
 * Writes down whom a datagram is for, by its first fragment. NAT_INBOUND_HELD: others of it are
 * held, and to be let go. NAT_INBOUND_LOST: it was for the inside, and has gone to the host in
 * part.
 *
 * An update puts a new entry in the place of the old. Who cannot hold a fragment marks the old one,
 * and then looks for the new; so the old one is looked at again after it.
 */
static __always_inline enum nat_inbound datagram_learn(struct nsr_datagram_in *entry)
{
	struct nsr_datagram_in *known;
	u32 before, after;

	INSTEAD(NAT_INBOUND_HOST);
	if (!bpf_map_update_elem(&datagrams_in, &entry->datagram, entry, BPF_NOEXIST))
		return NAT_INBOUND_HOST;
	known = bpf_map_lookup_elem(&datagrams_in, &entry->datagram);
	before = known ? READ_ONCE(known->whom) : NAT_INBOUND_HOST;
	if (known && datagram_is_old(READ_ONCE(known->since_s), entry->since_s,
				     held_lasts(entry->datagram.uplink)))
		before = NAT_INBOUND_HOST;
	bpf_map_update_elem(&datagrams_in, &entry->datagram, entry, BPF_ANY);
	if (!known || (before != NAT_INBOUND_HELD && before != NAT_INBOUND_LEFT))
		return NAT_INBOUND_HOST;
	after = READ_ONCE(known->whom);
	if (entry->whom != NAT_INBOUND_SESSION ||
	    (before != NAT_INBOUND_LEFT &&
	     (after != NAT_INBOUND_LEFT || !datagram_equal(&known->datagram, &entry->datagram))))
		return NAT_INBOUND_HELD;
	entry->whom = NAT_INBOUND_LOST;
	bpf_map_update_elem(&datagrams_in, &entry->datagram, entry, BPF_ANY);
	return NAT_INBOUND_LOST;
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
