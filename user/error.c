/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void fill(struct error *err, int code, enum exit_code exit, const char *format, va_list args)
{
	*err = (struct error){.code = code, .exit = exit};
	vsnprintf(err->message, sizeof(err->message), format, args);
}

int error_set(struct error *err, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fill(err, code, EXIT_REFUSED, format, args);
	va_end(args);
	return code;
}

int error_invalid(struct error *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fill(err, -EINVAL, EXIT_INVALID, format, args);
	va_end(args);
	return -EINVAL;
}

int error_context(struct error *err, const char *format, ...)
{
	char context[ERROR_MESSAGE_MAX];
	char both[2 * ERROR_MESSAGE_MAX + 2];
	va_list args;

	va_start(args, format);
	vsnprintf(context, sizeof(context), format, args);
	va_end(args);
	snprintf(both, sizeof(both), "%s: %s", context, err->message);
	both[ERROR_MESSAGE_MAX - 1] = '\0'; /* too long: its end is lost */
	memcpy(err->message, both, ERROR_MESSAGE_MAX);
	return err->code;
}

void error_at(struct error *err, const char *file, struct position at)
{
	if (err->at.line)
		return;
	err->file = file;
	err->at = at;
}

char *error_format(const struct error *err, char *buffer, size_t size)
{
	char where[600] = "";

	if (err->file && err->at.line)
		snprintf(where, sizeof(where), "%.512s:%u:%u: ", err->file, err->at.line,
			 err->at.column);
	else if (err->file)
		snprintf(where, sizeof(where), "%.512s: ", err->file);
	if (err->kernel[0])
		snprintf(buffer, size, "%s%s (kernel: %s)", where, err->message, err->kernel);
	else
		snprintf(buffer, size, "%s%s", where, err->message);
	return buffer;
}
