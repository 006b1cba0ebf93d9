/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * error - the one error type that travels up.
 *
 * It is set once, where the cause is known (error_set), and each layer may put one line of context
 * before it (error_context). Only cmd_*.c and main.c print it. Functions return 0 or a negative
 * errno and fill *err only on failure.
 */
#ifndef NSROUTE_ERROR_H
#define NSROUTE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

/* Exit codes that scripts rely on. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_INVALID = 1, /* wrong usage or invalid file */
	EXIT_REFUSED = 2, /* the kernel refused */
	EXIT_DIFFERS = 3, /* plan found differences, doctor found problems */
	EXIT_PARTLY = 4,  /* partly done: undo failed */
};

struct position {
	unsigned int line;   /* from 1; 0: none */
	unsigned int column; /* from 1 */
};

#define ERROR_MESSAGE_MAX 1024

struct error {
	int code;            /* negative errno; 0: no error */
	enum exit_code exit; /* what the process should exit with */
	const char *file;    /* topology file or NULL; borrowed, outlives the error */
	struct position at;
	char message[ERROR_MESSAGE_MAX]; /* "cannot create bridge 'br0': Operation not supported" */
	char kernel[ERROR_MESSAGE_MAX]; /* the kernel's own words (extended ack, verifier), or "" */
};

/* Both return code, so that "return error_set(...)" works. code is a negative errno; exit becomes
 * EXIT_REFUSED; error_invalid() makes it EXIT_INVALID and the code -EINVAL. err may not be NULL. */
int error_set(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int error_invalid(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " before the message. Returns err->code. */
int error_context(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says where in the topology the object stands, unless a position is known already. */
void error_at(struct error *err, const char *file, struct position at);

/* Writes "file:line:column: message (kernel: words)" to buffer, always terminated; returns buffer.
 */
char *error_format(const struct error *err, char *buffer, size_t size);

#endif
