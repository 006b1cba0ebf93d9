/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ports.h - sets of numbers that are handed out: external ports, and slots of the session table.
 *
 * One bit a number, set while it is in use, cooling down or reserved. Above the words, one summary
 * bit for each word that is full, and one for each summary word that is full. Claiming is one
 * atomic fetch-or: whoever changed the bit from 0 to 1 owns the number, so two CPUs can never have
 * the same one. Finding the next free one takes at most three bit scans, however full the set is.
 *
 * Summary bits are hints. Setting one may race with a release, so it is followed by a second look
 * at what it sums up, which takes it back: a word with a free bit is never hidden for good. That
 * may take back the mark of a word that has become full meanwhile; a search that finds such a word
 * marks it again. Bits of words that do not exist are set by whoever prepares the set.
 */
#ifndef NSROUTE_BPF_PORTS_H
#define NSROUTE_BPF_PORTS_H

#include "common.h"

#define BITS_NONE  0xffffffffu
#define BITS_TRIES 8 /* races with other CPUs before giving up */

/* How many bits are set. */
static __always_inline u32 bits_count(u64 x)
{
	x -= x >> 1 & 0x5555555555555555ull;
	x = (x & 0x3333333333333333ull) + (x >> 2 & 0x3333333333333333ull);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return x * 0x0101010101010101ull >> 56;
}

/* Number of the lowest set bit; x is not 0. Counts the ones below it, without a branch, so that it
 * is one path for the verifier (and clang 14 has no BPF code for __builtin_ctzll()). */
static __always_inline u32 lowest_bit(u64 x)
{
	return bits_count((x & -x) - 1);
}

/* The word that a number is in. clang would leave the mask out where it knows the range of the
 * number; kernels 6.1 and 6.12 have forgotten it by then. */
static __always_inline u32 bits_word(u32 number, u32 count)
{
	u32 word = number / 64;

	barrier_var(word);
	return word & (count - 1);
}

/* A set of count words at words, with its summaries behind; count is a power of two up to 4096 and
 * a constant where this is inlined, so that the masks below are the bounds that a verifier needs.
 */
static __always_inline void bits_mark_full(u64 *words, u32 count, u32 word)
{
	u32 summary = count + bits_word(word, count / 64), top = count + count / 64;
	u64 bit = 1ull << (word % 64), top_bit = 1ull << bits_word(word, count / 64);

	if (~(__sync_fetch_and_or(&words[summary], bit) | bit) == 0) {
		__sync_fetch_and_or(&words[top], top_bit);
		if (~READ_ONCE(words[summary]))
			__sync_fetch_and_and(&words[top], ~top_bit);
	}
	if (~READ_ONCE(words[word])) {
		__sync_fetch_and_and(&words[summary], ~bit);
		__sync_fetch_and_and(&words[top], ~top_bit);
	}
}

static __always_inline bool bits_claim(u64 *words, u32 count, u32 number)
{
	u32 word = bits_word(number, count);
	u64 bit = 1ull << (number % 64);
	u64 old = __sync_fetch_and_or(&words[word], bit);

	if (old & bit)
		return false;
	if (~(old | bit) == 0)
		bits_mark_full(words, count, word);
	return true;
}

/* Only by the owner of the number. */
static __always_inline void bits_release(u64 *words, u32 count, u32 number)
{
	u32 word = bits_word(number, count);

	__sync_fetch_and_and(&words[word], ~(1ull << (number % 64)));
	__sync_fetch_and_and(&words[count + bits_word(word, count / 64)], ~(1ull << (word % 64)));
	__sync_fetch_and_and(&words[count + count / 64], ~(1ull << (word / 64)));
}

static __always_inline bool bits_is_free(const u64 *words, u32 count, u32 number)
{
	return !(READ_ONCE(words[bits_word(number, count)]) >> number % 64 & 1);
}

/* Whether there is one that is free, by the summary. */
static __always_inline bool bits_any_free(const u64 *words, u32 count)
{
	return ~READ_ONCE(words[count + count / 64]);
}

/* The lowest free number from this one on; BITS_NONE: there is none. What is returned may be taken:
 * by another CPU just now, or because a mark was missing, which is then made. */
static __always_inline u32 bits_next(u64 *words, u32 count, u32 from)
{
	u32 word = bits_word(from, count), summary = bits_word(word, count / 64);
	u64 free = ~READ_ONCE(words[word]) & ~0ull << from % 64;

	if (free)
		return word * 64 + lowest_bit(free);
	free = ~READ_ONCE(words[count + summary]) & ~1ull << word % 64;
	if (!free) {
		free = ~READ_ONCE(words[count + count / 64]) & ~1ull << summary;
		if (!free)
			return BITS_NONE;
		summary = bits_word(lowest_bit(free) * 64, count / 64);
		free = ~READ_ONCE(words[count + summary]);
	}
	word = bits_word((summary * 64 + (free ? lowest_bit(free) : 0)) * 64, count);
	free = ~READ_ONCE(words[word]);
	if (!free)
		bits_mark_full(words, count, word);
	return word * 64 + (free ? lowest_bit(free) : 0);
}

/* Claims any free number; the search begins at start. */
static __always_inline u32 bits_claim_any(u64 *words, u32 count, u32 start)
{
	u32 from = start & (count * 64 - 1), number, i;

	for (i = 0; i <= BITS_TRIES; i++) {
		number = bits_next(words, count, from);
		if (number == BITS_NONE && !from)
			return BITS_NONE;
		if (number == BITS_NONE)
			from = 0;
		else if (bits_claim(words, count, number))
			return number;
	}
	return BITS_NONE;
}

/* ---- Which ports come first: those of the wanted one's class and parity; those of its class, for
 * servers ask for it (RFC 4787 REQ-3a); those of its parity (REQ-4); the others. Each are numbers
 * in a row in the set of a pool. */

#define PORT_PARTS 4
#define PORT_HALF  (NSR_POOL_PORTS / 2) /* the first odd port's number */
#define PORT_LOW   512                  /* ports of a parity that are privileged: below 1024 */

struct port_part {
	u32 first, end; /* the number behind the last */
};

static __always_inline struct port_part port_part(u32 wanted, u32 part)
{
	u32 low = (wanted < 2 * PORT_LOW) ^ (part >> 1 & 1), odd = (wanted ^ part) & 1;
	u32 base = odd ? PORT_HALF : 0;

	return (struct port_part){
		.first = base + (low ? 0 : PORT_LOW),
		.end = base + (low ? PORT_LOW : PORT_HALF),
	};
}

/* Where the search of a part begins: at a random one of those that are in the range (RFC 6056). */
static __always_inline u32 port_start(struct port_part part, u32 port_min, u32 port_max, u32 random)
{
	u32 odd = part.first >= PORT_HALF, base = odd ? PORT_HALF : 0;
	u32 first = base + ((port_min + !odd) >> 1), end = base + ((port_max + 2 - odd) >> 1);

	if (first < part.first)
		first = part.first;
	if (end > part.end)
		end = part.end;
	return first < end ? first + random % (end - first) : part.first;
}

#endif
