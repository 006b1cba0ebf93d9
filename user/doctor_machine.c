/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a table of checks. Each row has what is constant of its finding (name, place,
 * reason, mend); its function fills in the status and what was seen. Rows that need the scratch
 * namespace are skipped when there is none, so that one missing privilege is one problem and not
 * six.
 *
 * Kernel features are tried, not looked up: a configuration file may be missing or of another
 * kernel, and modules load on demand.
 */
#include "doctor.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "link.h"
#include "netlink.h"
#include "netns.h"
#include "qdisc.h"

#define KERNEL_MAJOR                                                                 \
	6 /* the oldest kernel whose verifier and helpers the programs are tested on \
	   */
#define KERNEL_MINOR 1

#define BPFFS    "/sys/fs/bpf"
#define BTF      "/sys/kernel/btf/vmlinux"
#define RUN      "/run"
#define JIT      "/proc/sys/net/core/bpf_jit_enable"
#define PROBE    "probe0" /* names in the scratch namespace, where nothing else is */
#define PROBE_TO "probe1"

struct examination {
	struct arena *arena;
	struct netlink *scratch; /* in the scratch namespace; NULL: there is none */
	struct error no_scratch; /* why */
};

struct check {
	const char *name;
	void (*run)(struct examination *examination, struct doctor_finding *finding);
	bool needs_scratch;
	const char *where, *why, *mend;
};

static void good(struct doctor_finding *finding, const char *what)
{
	finding->status = DOCTOR_GOOD;
	finding->what = what;
}

static void problem(struct doctor_finding *finding, const char *what)
{
	finding->status = DOCTOR_PROBLEM;
	finding->what = what;
}

static void skipped(struct doctor_finding *finding, const char *what)
{
	finding->status = DOCTOR_SKIPPED;
	finding->what = what;
}

/* ---- Privilege. */

int doctor_privilege(struct error *err)
{
	static const struct {
		unsigned int number;
		const char *name;
	} needed[] = {{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
		      {CAP_BPF, "CAP_BPF"},
		      {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}};
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
	char missing[64] = "";

	if (syscall(SYS_capget, &header, data) != 0)
		return error_set(err, -errno, "cannot read capabilities: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		size_t used = strlen(missing);

		if (!(data[CAP_TO_INDEX(needed[i].number)].effective &
		      CAP_TO_MASK(needed[i].number)))
			snprintf(missing + used, sizeof(missing) - used, "%s%s", used ? ", " : "",
				 needed[i].name);
	}
	if (*missing)
		return error_set(err, -EPERM, "needs root (%s): run with sudo", missing);
	return 0;
}

static void check_privilege(struct examination *examination, struct doctor_finding *finding)
{
	struct error err;

	if (doctor_privilege(&err) == 0)
		good(finding, "CAP_NET_ADMIN, CAP_BPF and CAP_SYS_ADMIN are there");
	else
		problem(finding, arena_strdup(examination->arena, err.message));
}

/* ---- Kernel and file systems. */

static void check_kernel(struct examination *examination, struct doctor_finding *finding)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;
	const char *what;

	if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2) {
		skipped(finding, "its version cannot be read");
		return;
	}
	what = arena_printf(examination->arena, "%s (%d.%d or newer is needed)", name.release,
			    KERNEL_MAJOR, KERNEL_MINOR);
	if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
		good(finding, what);
	else
		problem(finding, what);
}

static void check_btf(struct examination *examination, struct doctor_finding *finding)
{
	if (access(BTF, R_OK) == 0)
		good(finding, "there");
	else
		problem(finding,
			arena_printf(examination->arena, "cannot be read: %s", strerror(errno)));
}

static void check_bpffs(struct examination *examination, struct doctor_finding *finding)
{
	struct statfs file_system;

	(void)examination;
	if (statfs(BPFFS, &file_system) != 0 || (unsigned long)file_system.f_type != BPF_FS_MAGIC)
		problem(finding, "no bpf file system is mounted");
	else
		good(finding, "mounted");
}

static void check_writable(struct examination *examination, struct doctor_finding *finding)
{
	if (access(finding->where, W_OK) == 0)
		good(finding, "writable");
	else if (errno == EACCES)
		skipped(finding, "cannot be told without root");
	else
		problem(finding, arena_printf(examination->arena, "cannot be written to: %s",
					      strerror(errno)));
}

/* The file is shown in the initial network namespace only, and not by kernels without a JIT. */
static void check_jit(struct examination *examination, struct doctor_finding *finding)
{
	int fd = open(JIT, O_RDONLY | O_CLOEXEC);
	char value = 0;
	ssize_t got;

	(void)examination;
	if (fd < 0) {
		skipped(finding, "the setting cannot be read from this network namespace");
		return;
	}
	got = read(fd, &value, 1);
	close(fd);
	if (got == 1 && value == '0')
		problem(finding, "off");
	else
		good(finding, "on");
}

/* ---- What the scratch namespace tells. */

/* The finding for a batch of one request; the kernel's own words are the best explanation. */
static void try_request(struct examination *examination, struct doctor_finding *finding)
{
	struct error err;
	char text[2 * ERROR_MESSAGE_MAX];

	if (netlink_flush(examination->scratch, NULL, &err) == 0)
		good(finding, "works");
	else
		problem(finding,
			arena_strdup(examination->arena, error_format(&err, text, sizeof(text))));
}

static void check_namespace(struct examination *examination, struct doctor_finding *finding)
{
	struct error err;

	if (examination->scratch)
		good(finding, "works");
	else if (doctor_privilege(&err) != 0)
		skipped(finding, "cannot be told without root");
	else
		problem(finding, arena_strdup(examination->arena, examination->no_scratch.message));
}

static void check_bridge(struct examination *examination, struct doctor_finding *finding)
{
	link_add_bridge(examination->scratch, "probebr0", NULL, 0);
	try_request(examination, finding);
}

static void check_veth(struct examination *examination, struct doctor_finding *finding)
{
	static const uint8_t mac[6] = {0x02, 0, 0, 0, 0, 1}, peer_mac[6] = {0x02, 0, 0, 0, 0, 2};
	struct link_veth veth = {.name = PROBE,
				 .mac = mac,
				 .peer = PROBE_TO,
				 .peer_mac = peer_mac,
				 .peer_netns_fd = -1};

	link_add_veth(examination->scratch, &veth);
	try_request(examination, finding);
}

/* lo is there when a veth cannot be made, and takes filters as well. */
#define SCRATCH_LO 1

static void check_clsact(struct examination *examination, struct doctor_finding *finding)
{
	qdisc_add_clsact(examination->scratch, SCRATCH_LO, "lo");
	try_request(examination, finding);
}

/* r0 = 0; exit */
static int load_smallest_program(void)
{
	static const struct bpf_insn instructions[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT}};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nsroute_probe", "GPL", instructions,
			     sizeof(instructions) / sizeof(*instructions), NULL);
}

static void check_bpf(struct examination *examination, struct doctor_finding *finding)
{
	int program = load_smallest_program();

	if (program < 0) {
		problem(finding, arena_printf(examination->arena, "cannot load a program: %s",
					      strerror(errno)));
		return;
	}
	qdisc_add_filter(examination->scratch, SCRATCH_LO, "lo", QDISC_INGRESS, program, "probe");
	try_request(examination, finding);
	close(program);
}

static const struct check checks[] = {
	{"privilege", check_privilege, false, "this process",
	 "links, namespaces and BPF programs are made by root only", "sudo nsroute ..."},
	{"kernel", check_kernel, false, "uname -r",
	 "older kernels lack helpers that the programs call",
	 "install a kernel from 6.1 on and boot it"},
	{"btf", check_btf, false, BTF, "the programs are loaded with the kernel's type information",
	 "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y"},
	{"bpffs", check_bpffs, false, BPFFS,
	 "programs and maps are pinned there, so that they stay", "sudo mount -t bpf bpf " BPFFS},
	{"bpffs-writable", check_writable, false, BPFFS, "pins are made there",
	 "sudo mount -o remount,rw " BPFFS},
	{"run", check_writable, false, RUN,
	 "the record of what belongs to nsroute is in /run/nsroute",
	 "sudo mount -o remount,rw " RUN},
	{"jit", check_jit, false, "net.core.bpf_jit_enable",
	 "interpreted programs forward several times slower",
	 "sudo sysctl -w net.core.bpf_jit_enable=1"},
	{"namespaces", check_namespace, false, "unshare(CLONE_NEWNET)",
	 "every namespace of a fabric is one",
	 "boot a kernel built with CONFIG_NET_NS=y; in a container, run it with --privileged"},
	{"veth", check_veth, true, "a scratch namespace", "namespaces are connected by veths",
	 "sudo modprobe veth"},
	{"bridge", check_bridge, true, "a scratch namespace",
	 "a network of type bridge is a Linux bridge", "sudo modprobe bridge"},
	{"clsact", check_clsact, true, "a scratch namespace", "programs are attached to this qdisc",
	 "sudo modprobe sch_ingress"},
	{"cls_bpf", check_bpf, true, "a scratch namespace",
	 "programs are attached through this classifier", "sudo modprobe cls_bpf"},
};

/* A namespace that lives as long as the socket in it. */
static int scratch_open(struct netlink **ret, struct error *err)
{
	int home = -1, scratch = -1, code;

	code = netns_open(NULL, &home, err);
	if (code != 0)
		return code;
	if (unshare(CLONE_NEWNET) != 0) {
		code = error_set(err, -errno, "cannot make a network namespace: %s",
				 strerror(errno));
		goto cleanup;
	}
	code = netns_open(NULL, &scratch, err);
	if (setns(home, CLONE_NEWNET) != 0) /* nothing was changed, and little is left to do */
		code = error_set(err, -errno, "cannot return from a network namespace: %s",
				 strerror(errno));
	if (code == 0)
		code = netlink_open(ret, scratch, err);
cleanup:
	if (scratch >= 0)
		close(scratch);
	close(home);
	return code;
}

void doctor_machine(struct doctor_world *world)
{
	struct examination examination = {.arena = world->arena};

	scratch_open(&examination.scratch, &examination.no_scratch);
	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		const struct check *check = &checks[i];
		struct doctor_finding *finding = doctor_add(world, DOCTOR_GOOD, check->name);

		finding->where = check->where;
		finding->why = check->why;
		if (check->needs_scratch && !examination.scratch)
			skipped(finding, "not tried without a scratch namespace");
		else
			check->run(&examination, finding);
		finding->mend = finding->status == DOCTOR_PROBLEM ? check->mend : "";
	}
	netlink_close(examination.scratch);
}
