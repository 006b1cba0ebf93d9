/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * log - diagnostics on stderr. Results never go through here.
 */
#ifndef NSROUTE_LOG_H
#define NSROUTE_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Default LOG_WARNING. The only mutable global of the program. */
void log_set_level(enum log_level level);
void log_message(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...)   log_message(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_message(LOG_DEBUG, __VA_ARGS__)

#endif
