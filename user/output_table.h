/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * output_table - aligned columns of text.
 *
 * Cells are collected first and printed when all widths are known. Control characters become '?',
 * so that no name can steer the terminal. The last column is not padded.
 */
#ifndef NSROUTE_OUTPUT_TABLE_H
#define NSROUTE_OUTPUT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "arena.h"

#define TABLE_COLUMNS_MAX 16

enum table_paint { TABLE_PLAIN, TABLE_GOOD, TABLE_BAD };

struct table_column {
	const char *title;
	bool right; /* numbers */
};

struct table_cell {
	const char *text;
	enum table_paint paint;
};

struct table {
	struct arena *arena;
	const struct table_column *columns;
	size_t columns_count;
	struct table_cell *cells; /* row after row */
	size_t count;
};

/* columns stay the caller's. */
void table_init(struct table *table, struct arena *arena, const struct table_column *columns,
		size_t columns_count);
/* The next cell; "" shows as "-". The text is copied. */
void table_add(struct table *table, const char *text);
void table_add_painted(struct table *table, const char *text, enum table_paint paint);
/* Nothing when no row was added. */
void table_print(const struct table *table, FILE *out, bool color);

#endif
