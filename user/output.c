/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "output.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "log.h"

static void *allocate(size_t size)
{
	void *memory = malloc(size ? size : 1);

	if (!memory) {
		log_error("out of memory");
		exit(EXIT_REFUSED);
	}
	return memory;
}

void output_init(void)
{
	json_set_alloc_funcs(allocate, free);
}

json_t *output_string(const char *text)
{
	json_t *string = json_string(text);
	char *copy;

	if (string)
		return string;
	copy = allocate(strlen(text) + 1);
	strcpy(copy, text);
	for (char *c = copy; *c; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	string = json_string(copy);
	free(copy);
	return string;
}

json_t *output_one_or_many(json_t *fabrics)
{
	json_t *result;

	if (json_array_size(fabrics) == 1) {
		result = json_incref(json_array_get(fabrics, 0));
		json_decref(fabrics);
		return result;
	}
	result = json_object();
	json_object_set_new(result, "fabrics", fabrics);
	return result;
}
