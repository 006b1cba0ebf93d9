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
	char message[ERROR_MESSAGE_MAX];
	va_list args;
	size_t used;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	used = strlen(message);
	snprintf(message + used, sizeof(message) - used, ": %s", err->message);
	memcpy(err->message, message, sizeof(message));
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
		snprintf(where, sizeof(where), "%.512s:%u:%u: ", err->file, err->at.line, err->at.column);
	else if (err->file)
		snprintf(where, sizeof(where), "%.512s: ", err->file);
	if (err->kernel[0])
		snprintf(buffer, size, "%s%s (kernel: %s)", where, err->message, err->kernel);
	else
		snprintf(buffer, size, "%s%s", where, err->message);
	return buffer;
}
