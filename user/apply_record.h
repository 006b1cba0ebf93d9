/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply_record - what of an operation the record has to know. For apply*.c only.
 */
#ifndef NSROUTE_APPLY_RECORD_H
#define NSROUTE_APPLY_RECORD_H

#include "error.h"
#include "plan.h"
#include "record.h"

/* Before anything is made. fd is what record_open() gave. */
int note_before(int fd, const struct operation *operation, struct error *err);
/* After a namespace was made. */
int note_namespace(int fd, const char *name, uint64_t cookie, struct error *err);
/* After something was deleted, given back or forgotten. What kept has stays noted; it may be NULL.
 */
int note_after(int fd, const struct record *kept, const struct operation *operation,
	       struct error *err);
/* After what note_before() was told of has not come to be; as note_after(). */
int note_failed(int fd, const struct record *kept, const struct operation *operation,
		struct error *err);

#endif
