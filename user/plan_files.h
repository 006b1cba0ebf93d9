/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_files - /etc/netns/NAME/resolv.conf. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_FILES_H
#define NSROUTE_PLAN_FILES_H

#include "plan_builder.h"
#include "plan_extra.h"

void want_files(struct builder *builder);
bool directory_missing(const struct view *view, struct operation *op);
bool file_missing(const struct view *view, struct operation *op);
/* -EEXIST when something that is not ours is in its place. */
int check_directory(const struct view *view, const struct operation *op, struct error *err);
int check_file(const struct view *view, const struct operation *op, struct error *err);
void plan_extra_files(struct extra *extra);

#endif
