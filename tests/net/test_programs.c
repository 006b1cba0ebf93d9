/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Somebody else's programs at a link, by the ways that stock tools of this age cannot attach them.
 */
#include "scratch.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "link.h"
#include "netns.h"
#include "programs.h"

#define TCX_INGRESS 46 /* BPF_TCX_INGRESS, since Linux 6.6 */

/* r0 = -1 (TCX_NEXT); exit */
static int load(void)
{
	static const struct bpf_insn instructions[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT}};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "stranger", "GPL", instructions,
			     sizeof(instructions) / sizeof(*instructions), NULL);
}

/* A descriptor of the BPF link, or a negative errno. */
static int attach_tcx(struct scratch *s, uint32_t ifindex, int program)
{
	union bpf_attr attributes = {};
	int previous, fd;

	attributes.link_create.prog_fd = (uint32_t)program;
	attributes.link_create.target_ifindex = ifindex;
	attributes.link_create.attach_type = TCX_INGRESS;
	expect_done(s, netns_enter(s->host_fd, &previous, &s->err));
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, sizeof(attributes));
	netns_leave(previous);
	return fd;
}

static void a_tcx_program_is_seen_with_its_link(void **state)
{
	struct scratch *s = scratch_need_root(state);
	struct state_link link = {.name = "port"};
	struct program *programs = NULL;
	int program, attached;
	size_t count = 0;

	scratch_build(s);
	link.ifindex = index_of(s, s->host, "port");
	expect_done(s, programs_read(s->host, s->host_fd, &link, &s->arena, &programs, &count,
				     &s->err));
	assert_int_equal(count, 0);
	program = load();
	assert_true(program >= 0);
	attached = attach_tcx(s, link.ifindex, program);
	if (attached < 0) {
		close(program);
		print_message("skip: no tcx in this kernel\n");
		skip();
	}
	expect_done(s, programs_read(s->host, s->host_fd, &link, &s->arena, &programs, &count,
				     &s->err));
	close(attached);
	close(program);
	assert_int_equal(count, 1);
	assert_string_equal(programs[0].link, "port");
	assert_string_equal(programs[0].name, "stranger");
	assert_int_equal(programs[0].place, PROGRAM_TCX_INGRESS);
	assert_int_not_equal(programs[0].number, 0);
	assert_int_not_equal(programs[0].link_id, 0);
	assert_false(programs[0].goes_on);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCRATCH_TEST(a_tcx_program_is_seen_with_its_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
