/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_numbers - which number an uplink gets. For datapath_tables.c.
 */
#ifndef NSROUTE_DATAPATH_NUMBERS_H
#define NSROUTE_DATAPATH_NUMBERS_H

#include "datapath.h"

/* The lowest that is free. Whoever takes it enters an uplink with it before it asks again. */
int datapath_take_number(const struct datapath *datapath, uint32_t *ret_number, struct error *err);

#endif
