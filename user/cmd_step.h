/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cmd_step - what the commands of single steps share: netns, link, bridge, addr, route.
 */
#ifndef NSROUTE_CMD_STEP_H
#define NSROUTE_CMD_STEP_H

#include "command.h"
#include "step.h"

/* Prints what STEP_LIST asks for. */
typedef json_t *(*step_model)(const struct host *host, const struct step *step,
			      const struct kernel_state *state, struct error *err);
typedef void (*step_text)(FILE *out, const json_t *model, bool color);

/* Understands the words, and lists or does what they say. Returns the exit code. */
int cmd_step(struct context *context, int argc, char **argv, enum step_object object,
	     step_model model, step_text text);

#endif
