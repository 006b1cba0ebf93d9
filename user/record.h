/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * record - what is ours, written before it is created.
 *
 * One file a fabric, /run/nsroute/COOKIE/FABRIC.record (root, 0700/0600), JSON lines: the first
 * describes the fabric (format version, name, file), each further one an object that is about to be
 * created (or a sysctl that is about to be changed, with the value it had), or one that is gone
 * again. A process that is killed leaves at most a last line that is incomplete, which is ignored.
 * COOKIE is the host namespace's SO_NETNS_COOKIE. /run/nsroute/lock is held while one changes
 * things.
 */
#ifndef NSROUTE_RECORD_H
#define NSROUTE_RECORD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "error.h"

/* What single steps made is recorded as if it were a fabric's; no file's can be called so. */
#define RECORD_STEPS     "@steps"
#define RECORD_DIRECTORY "/run/nsroute"

enum record_kind {
	RECORD_NETNS,   /* name; value = its cookie, once it is there */
	RECORD_LINK,    /* name, in the host namespace: bridges, host ends, host ends of "links";
			 * value = MAC it was made with */
	RECORD_SYSCTL,  /* name = key, value = what it was, set = what we made of it */
	RECORD_CLSACT,  /* name = uplink that had none */
	RECORD_UPLINK,  /* name = interface that our programs are attached to */
	RECORD_NETWORK, /* name; value = its number in the datapath, set = its type */
	RECORD_INSIDE,  /* name = masqueraded prefix; value = uplink */
	RECORD_NETNS_SYSCTL, /* name = "NAMESPACE/KEY", value = what it was */
	RECORD_FOLDER,       /* name = path */
	RECORD_FILE,         /* name = path, of a file that begins with our mark */
	RECORD_DEVICE, /* name, in the host namespace; value = "MAC MTU NAMESPACE": what it had and
			* where it is; set = all that it lost by the move (device.h) */
	RECORD_LINK_INSIDE, /* name = NAMESPACE/LINK, made by a single step; value = MAC */
	RECORD_MAC,         /* name = NAMESPACE/LINK, of the host /LINK, that was taken over from
			     * single steps; value = MAC, which it keeps */
	RECORD_OVS_PORT,    /* name, of a port of Open vSwitch; value = bridge */
	RECORD_STRIPPED,    /* RECORD_STRIPPED_NAME: host ends may lack routes that the kernel made,
			     * because a removal has begun (apply_strip.h) */
	RECORD_PUBLISHED,   /* name = UPLINK/PROTOCOL/PORTS; value = ADDRESS:PORT inside */
	RECORD_RESERVED,    /* RESERVED_KEY; value = ports that we put into that sysctl, set = and
			     * those that were ours before a change that may not have been made */
	RECORD_KINDS
};

#define RECORD_STRIPPED_NAME "host ends"

struct record_entry {
	enum record_kind kind;
	const char *name;
	const char *value; /* "" when the kind has none; here and below */
	const char *set;
};

struct record {
	const char *fabric;
	const char *file;             /* absolute path of the topology file at the last apply */
	struct record_entry *entries; /* in the order of creation; those that are gone left out */
	size_t count;
};

/* Takes the lock; waits up to wait_s seconds, then -EBUSY naming the holder's process id and what
 * it said that it does ("applies fabric 'lab'"). Returns a descriptor to close. */
int record_lock(unsigned int wait_s, const char *what, int *ret_fd, struct error *err);
/* From now on the holder does something else. */
void record_lock_says(int fd, const char *what);

/* -ENOENT when the fabric has none. */
int record_read(uint64_t cookie, const char *fabric, struct arena *arena, struct record **ret,
		struct error *err);
/* Names of all fabrics recorded for this host namespace, sorted. */
int record_list(uint64_t cookie, struct arena *arena, const char ***ret_names, size_t *ret_count,
		struct error *err);

/* Appending: opens (creates) the fabric's record. */
int record_open(uint64_t cookie, const char *fabric, const char *file, int *ret_fd,
		struct error *err);
int record_add(int fd, const struct record_entry *entry, struct error *err);
int record_gone(int fd, const struct record_entry *entry, struct error *err);
/* Where a process that waits for a confirmation listens (confirm.h). */
void record_confirm_path(char path[PATH_MAX], uint64_t cookie, const char *fabric);
int record_remove(uint64_t cookie, const char *fabric, struct error *err);
/* That of the host namespace; stays when there is anything in it. */
int record_remove_folder(uint64_t cookie, struct error *err);

/* NULL when there is none; record may be NULL. */
const struct record_entry *record_find(const struct record *record, enum record_kind kind,
				       const char *name);
/* Whether a RECORD_NETNS, which may be NULL, is of the namespace with this cookie, and not of one
 * of its name: another host namespace may have a fabric of the same name, or single steps, and with
 * them a namespace of the same name, when somebody has deleted ours. */
bool record_is_namespace(const struct record_entry *entry, uint64_t cookie);
bool record_has(const struct record *record, enum record_kind kind, const char *name);

#endif
