/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * meetings - programs whose updates of maps can be made to fail, and that take their time where two
 * CPUs may meet. meetings.bpf.h is the half of the programs, the tests are test_*_meetings.c; this
 * is what both look at, in the object's global data.
 */
#ifndef TESTS_BPF_MEETINGS_H
#define TESTS_BPF_MEETINGS_H

#include <linux/types.h>

/* Where one CPU finds that another has been there before it: X(NAME, "what it finds"). The last one
 * tells the uplink's counters. */
#define MEETINGS(X)                                                                  \
	X(MAPPING_EXISTS, "its inside endpoint has got a mapping from another CPU")  \
	X(SESSION_EXISTS, "its flow has got a session from another CPU")             \
	X(REFERENCES_MOVED, "another CPU has taken or given back a reference")       \
	X(MAPPING_ENDED, "the mapping that its inside endpoint had has just ended")  \
	X(SESSION_MOVED, "another CPU has changed or ended the session")             \
	X(SESSION_GIVEN_UP, "the session's mapping has ended, so it is given up")    \
	X(BIT_LOST, "the number that looked free has just been claimed")             \
	X(FULL_TAKEN_BACK, "a word that was full has a free number again")           \
	X(SHARE_MOVED, "another CPU has counted for the same namespace")             \
	X(RECLAIM_LOST, "the port that has cooled down has just been published")     \
	X(PUBLISH_LOST, "the port that is to be published has just been given back") \
	X(CONTACT_EXISTS, "its endpoint has got a contact from another CPU")         \
	X(CONTACT_ENDED, "the contact that its endpoint had has just ended")         \
	X(DATAGRAM_NAMED, "another CPU has given the datagram an identification")    \
	X(IDS_BEGUN, "another CPU has begun the counter of identifications")         \
	X(DATAGRAM_KNOWN, "the datagram has an entry from another CPU")              \
	X(FRAGMENT_OVERTAKEN, "the first fragment has come while one was held")      \
	X(ADDRESS_BUSY, "another CPU has just found an address of the uplink")       \
	X(INBOUND_BUSY, "what came in was refused for another CPU that was at it")

/* Where programs update maps, by function, map as it is written there, and flags; and what it is
 * when the entry exists: X(NAME, function, map, flags, meeting). SITES2 are those of both families,
 * whose functions end in 6 in the second one. */
#define SITES2(X)                                                                              \
	X(SESSION, "session_enter", "&session_by_flow", BPF_NOEXIST, MEETING_SESSION_EXISTS)   \
	X(MAPPING, "mapping_enter", "&mapping_by_inside", BPF_NOEXIST, MEETING_MAPPING_EXISTS) \
	X(CONTACT, "contact_enter", "&session_by_flow", BPF_NOEXIST, MEETING_CONTACT_EXISTS)   \
	X(WAITING, "datagram_waiting", "&datagrams_in", BPF_NOEXIST, MEETING_DATAGRAM_KNOWN)   \
	X(WAITING_ANEW, "datagram_waiting", "&datagrams_in", BPF_ANY, MEETINGS_END)            \
	X(HELD, "held_enter_one", "&held_fragments", BPF_NOEXIST, MEETINGS_END)                \
	X(FIRST, "datagram_learn", "&datagrams_in", BPF_NOEXIST, MEETING_DATAGRAM_KNOWN)       \
	X(FIRST_LATE, "datagram_learn", "&datagrams_in", BPF_ANY, MEETINGS_END)                \
	X(DIRECT, "direct_note", "&datagrams_out", BPF_ANY, MEETINGS_END)                      \
	X(HOST_SENDS, "host_note", "&host_remotes", BPF_ANY, MEETINGS_END)                     \
	X(HOST_ECHO, "host_echo_note", "&host_echoes", BPF_ANY, MEETINGS_END)                  \
	X(HOST_HEARS, "host_note", "&host_hears", BPF_ANY, MEETINGS_END)                       \
	X(PUBLISH, "publish_make", "&mapping_by_inside", BPF_ANY, MEETINGS_END)
#define SITES1(X) X(DATAGRAM, "datagram_id", "&datagrams_out", BPF_NOEXIST, MEETING_DATAGRAM_NAMED)

#define MEETINGS_DELAY_MAX 4096 /* the verifier follows each step */

enum meeting {
#define X(name, text) MEETING_##name,
	MEETINGS(X)
#undef X
		MEETINGS_END
};

enum site {
#define X(name, function, map, flags, meeting) SITE_##name, SITE6_##name,
	SITES2(X)
#undef X
#define X(name, function, map, flags, meeting) SITE_##name,
		SITES1(X)
#undef X
			SITE_UNLISTED,
	SITES_END
};

struct meetings {
	__u64 met[MEETINGS_END];
	__u64 updated[SITES_END], refused[SITES_END]; /* the latter: failed, because they should */
	__u64 updates;                                /* of maps, by programs */
	__u64 fail_at;    /* the update of this number fails, counted from 0 ... */
	__u64 fail_every; /* ... and each so many later; 0: none does */
	__u64 failed;
	__u32 delay; /* up to so many steps, at random, wherever CPUs may meet */
	__u32 reserved;
};

#endif
