/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "output_table.h"

#include <assert.h>
#include <string.h>

#define GAP 2 /* blanks between columns */

void table_init(struct table *table, struct arena *arena, const struct table_column *columns,
		size_t columns_count)
{
	assert(columns_count > 0 && columns_count <= TABLE_COLUMNS_MAX);
	*table = (struct table){.arena = arena, .columns = columns, .columns_count = columns_count};
}

void table_add_painted(struct table *table, const char *text, enum table_paint paint)
{
	char *copy = arena_strdup(table->arena, *text ? text : "-");
	struct table_cell *cell;

	for (char *c = copy; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	cell = arena_push(table->arena, table->cells, table->count);
	cell->text = copy;
	cell->paint = paint;
}

void table_add(struct table *table, const char *text)
{
	table_add_painted(table, text, TABLE_PLAIN);
}

/* Characters, not bytes: UTF-8 continuation bytes take no room. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void print_cell(FILE *out, const char *text, const char *paint, int padding, bool right,
		       bool last)
{
	if (right)
		fprintf(out, "%*s", padding, "");
	if (*paint)
		fprintf(out, "%s%s\033[0m", paint, text);
	else
		fputs(text, out);
	if (!last)
		fprintf(out, "%*s", GAP + (right ? 0 : padding), "");
}

void table_print(const struct table *table, FILE *out, bool color)
{
	static const char *const paints[] = {"", "\033[32m", "\033[31m"};
	size_t width[TABLE_COLUMNS_MAX], columns = table->columns_count;

	assert(table->count % columns == 0);
	if (table->count == 0)
		return;
	for (size_t i = 0; i < columns; i++)
		width[i] = text_width(table->columns[i].title);
	for (size_t i = 0; i < table->count; i++) {
		size_t cell = text_width(table->cells[i].text);

		if (cell > width[i % columns])
			width[i % columns] = cell;
	}
	for (size_t i = 0; i < columns; i++) {
		const struct table_column *column = &table->columns[i];

		print_cell(out, column->title, color ? "\033[1m" : "",
			   (int)(width[i] - text_width(column->title)), column->right,
			   i + 1 == columns);
	}
	fputc('\n', out);
	for (size_t i = 0; i < table->count; i++) {
		const struct table_cell *cell = &table->cells[i];
		size_t column = i % columns;
		bool last = column + 1 == columns;

		print_cell(out, cell->text, color ? paints[cell->paint] : "",
			   (int)(width[column] - text_width(cell->text)),
			   table->columns[column].right, last);
		if (last)
			fputc('\n', out);
	}
}
