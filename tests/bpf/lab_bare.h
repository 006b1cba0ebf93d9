/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lab_bare - a layer-3 device in the lab: a tun device, which takes the place of up1. Its packets
 * are written as frames all the same; the Ethernet header never gets to the device.
 */
#ifndef TESTS_BPF_LAB_BARE_H
#define TESTS_BPF_LAB_BARE_H

#include "lab.h"

#define LAB_UNKNOWN 0x7f /* the action: not seen from here */

/* For a group's set-up, after the lab's. From here on UP1 is the device, and red-in is in another
 * namespace. False: there are no tun devices here. */
bool lab_bare_set_up(struct lab *lab);
/* Sends the frame by the device, or has it arrive there. *ret is what came out at the device, or
 * into red's namespace, and otherwise a copy of it. Returns the action. */
int lab_bare_run(enum datapath_program which, const struct frame *frame, struct frame *ret);
/* One more that came into red's namespace by the last run; false: no more. */
bool lab_bare_more(struct frame *ret);

#define EXPECT_BARE_OUT(lab, frame, outcome) \
	lab_expect(lab, DATAPATH_BARE_OUT, (lab)->uplink[UP1], frame, outcome, __FILE__, __LINE__)
#define EXPECT_BARE_IN(lab, frame, outcome) \
	lab_expect(lab, DATAPATH_BARE_IN, (lab)->uplink[UP1], frame, outcome, __FILE__, __LINE__)

#endif
