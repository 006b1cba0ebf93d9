/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the sections of code are laid one after the other and linked as libbpf would: a
 * reference to a map becomes the address of our own, a call of a function the distance to it, the
 * address of one its place. A BPF address is an address of this process. Only the context is a
 * copy in the shape that programs see: what they read of it besides data and data_end is memory.
 */
#include "interpreter.h"

#include <assert.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <libelf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interpreter_map.h"

#define CODE_MAX     131072
#define SECTIONS_MAX 128
#define MAPS_MAX     128
#define FRAMES_MAX   8 /* nested calls: MAX_CALL_FRAMES of the kernel */
#define STACK_SIZE   512
#define STEPS_MAX    10000000

struct machine {
	struct bpf_object *object;
	Elf *elf;
	int fd;
	struct bpf_insn code[CODE_MAX];
	size_t code_count;
	size_t start[SECTIONS_MAX]; /* of a section in code */
	struct map maps[MAPS_MAX];
	size_t maps_count;
	struct bpf_fib_lookup route;
	uint32_t route_mtu;
	uint32_t local;
	uint64_t now_ns;
	uint64_t random;
	/* Of one run: */
	struct __sk_buff context;
	struct frame *frame;
	struct work *work;
	uint64_t stacks[FRAMES_MAX][STACK_SIZE / 8];
	size_t depth;
};

/* ---- Maps. */

static struct map *find_map(const struct machine *m, const char *name)
{
	for (size_t i = 0; i < m->maps_count; i++)
		if (!strcmp(m->maps[i].name, name))
			return (struct map *)&m->maps[i];
	fprintf(stderr, "interpreter: there is no map '%s'\n", name), abort();
}

void machine_put(struct machine *m, const char *map, const void *key, const void *value)
{
	map_update(find_map(m, map), key, value, BPF_ANY);
}

void machine_clear(struct machine *m, const char *map)
{
	map_clear(find_map(m, map));
}

uint32_t machine_value_size(const struct machine *m, const char *map)
{
	return find_map(m, map)->value_size;
}

/* ---- Loading. */

static void read_maps(struct machine *m)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, m->object)
	{
		assert(m->maps_count < MAPS_MAX);
		m->maps[m->maps_count++] = (struct map){.name = bpf_map__name(map),
							.type = bpf_map__type(map),
							.key_size = bpf_map__key_size(map),
							.value_size = bpf_map__value_size(map),
							.max_entries = bpf_map__max_entries(map)};
	}
}

static void read_code(struct machine *m)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(m->elf, section))) {
		const Elf64_Shdr *header = elf64_getshdr(section);
		const Elf_Data *data = elf_getdata(section, NULL);
		size_t index = elf_ndxscn(section);

		if (!(header->sh_flags & SHF_EXECINSTR) || !data->d_size)
			continue;
		assert(index < SECTIONS_MAX &&
		       m->code_count + data->d_size / sizeof(*m->code) <= CODE_MAX);
		m->start[index] = m->code_count;
		memcpy(m->code + m->code_count, data->d_buf, data->d_size);
		m->code_count += data->d_size / sizeof(*m->code);
	}
}

static const Elf_Data *symbols_of(const struct machine *m, size_t *ret_names)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(m->elf, section))) {
		const Elf64_Shdr *header = elf64_getshdr(section);

		if (header->sh_type != SHT_SYMTAB)
			continue;
		*ret_names = header->sh_link;
		return elf_getdata(section, NULL);
	}
	return NULL;
}

static void link_one(struct machine *m, size_t at, const Elf64_Sym *symbol, const char *name)
{
	struct bpf_insn *insn = &m->code[at];
	size_t start = symbol->st_shndx < SECTIONS_MAX ? m->start[symbol->st_shndx] : 0;
	uint64_t target;

	if (insn->code == (BPF_JMP | BPF_CALL)) {
		target = start + symbol->st_value / sizeof(*insn) + (uint64_t)(insn->imm + 1);
		insn->imm = (int32_t)(target - at - 1);
		return;
	}
	if (ELF64_ST_TYPE(symbol->st_info) == STT_OBJECT) {
		target = (uintptr_t)find_map(m, name);
	} else {
		target = start + (symbol->st_value + (uint64_t)insn->imm) / sizeof(*insn);
		insn->src_reg = BPF_PSEUDO_FUNC;
	}
	insn[0].imm = (int32_t)target;
	insn[1].imm = (int32_t)(target >> 32);
}

static void link_code(struct machine *m)
{
	size_t names = 0;
	const Elf_Data *symbols = symbols_of(m, &names);
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(m->elf, section))) {
		const Elf64_Shdr *header = elf64_getshdr(section);
		const Elf64_Shdr *target = elf64_getshdr(elf_getscn(m->elf, header->sh_info));
		const Elf_Data *data = elf_getdata(section, NULL);

		if (header->sh_type != SHT_REL || !(target->sh_flags & SHF_EXECINSTR))
			continue;
		for (size_t i = 0; i < data->d_size / sizeof(Elf64_Rel); i++) {
			const Elf64_Rel *rel = &((const Elf64_Rel *)data->d_buf)[i];
			const Elf64_Sym *symbol =
				&((const Elf64_Sym *)symbols->d_buf)[ELF64_R_SYM(rel->r_info)];

			link_one(m, m->start[header->sh_info] + rel->r_offset / 8, symbol,
				 elf_strptr(m->elf, names, symbol->st_name));
		}
	}
}

struct machine *machine_new(const char *path)
{
	struct machine *m = calloc(1, sizeof(*m));

	elf_version(EV_CURRENT);
	m->fd = open(path, O_RDONLY | O_CLOEXEC);
	m->elf = m->fd >= 0 ? elf_begin(m->fd, ELF_C_READ, NULL) : NULL;
	m->object = m->elf ? bpf_object__open_file(path, NULL) : NULL;
	if (!m->object) {
		fprintf(stderr, "interpreter: cannot read '%s': %s\n", path, strerror(errno));
		machine_free(m);
		return NULL;
	}
	read_maps(m);
	read_code(m);
	link_code(m);
	return m;
}

void machine_free(struct machine *m)
{
	for (size_t i = 0; i < m->maps_count; i++)
		map_clear(&m->maps[i]);
	bpf_object__close(m->object);
	elf_end(m->elf);
	if (m->fd >= 0)
		close(m->fd);
	free(m);
}

static size_t program_start(const struct machine *m, const char *program)
{
	size_t names = 0;
	const Elf_Data *symbols = symbols_of(m, &names);

	for (size_t i = 0; i < symbols->d_size / sizeof(Elf64_Sym); i++) {
		const Elf64_Sym *symbol = &((const Elf64_Sym *)symbols->d_buf)[i];

		if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
		    !strcmp(elf_strptr(m->elf, names, symbol->st_name), program))
			return m->start[symbol->st_shndx] + symbol->st_value / 8;
	}
	fprintf(stderr, "interpreter: there is no program '%s'\n", program), abort();
}

/* Functions end before the next symbol's start; what is reached is walked from each call. */
static uint32_t reach(const struct machine *m, size_t at, bool *seen)
{
	uint32_t count = 0;

	while (at < m->code_count && !seen[at]) {
		const struct bpf_insn *insn = &m->code[at];
		uint8_t class = BPF_CLASS(insn->code), op = BPF_OP(insn->code);

		seen[at++] = true;
		count++;
		if (insn->code == (BPF_LD | BPF_IMM | BPF_DW)) {
			if (insn->src_reg == BPF_PSEUDO_FUNC)
				count += reach(m, (uint32_t)insn->imm, seen);
			at++;
			count++;
		} else if (class == BPF_JMP && op == BPF_CALL) {
			if (insn->src_reg == BPF_PSEUDO_CALL)
				count += reach(m, at + (size_t)insn->imm, seen);
		} else if (class == BPF_JMP && op == BPF_EXIT) {
			return count;
		} else if (class == BPF_JMP || class == BPF_JMP32) {
			count += reach(m, at + (size_t)insn->off, seen);
			if (op == BPF_JA)
				return count;
		}
	}
	return count;
}

uint32_t machine_program_size(const struct machine *m, const char *program)
{
	bool *seen = calloc(CODE_MAX, sizeof(*seen));
	uint32_t count = reach(m, program_start(m, program), seen);

	free(seen);
	return count;
}

/* ---- Helpers. */

static void *lookup(struct machine *m, struct map *map, const void *key)
{
	if (map->type == BPF_MAP_TYPE_HASH)
		m->work->hash_lookups++;
	else if (map->type == BPF_MAP_TYPE_LPM_TRIE)
		m->work->trie_lookups++;
	else
		m->work->array_lookups++;
	return map_find(map, key);
}

/* RFC 1624, as net/core/filter.c: bpf_l4_csum_replace(). */
static long l4_csum_replace(struct machine *m, uint32_t offset, uint32_t from, uint32_t to,
			    uint64_t flags)
{
	uint16_t field;
	uint64_t sum;

	if (offset + sizeof(field) > m->frame->length)
		return -EFAULT;
	memcpy(&field, m->frame->bytes + offset, sizeof(field));
	if (flags & BPF_F_MARK_MANGLED_0 && !field)
		return 0;
	sum = (uint64_t)(uint16_t)~field + (uint32_t)~from + to;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	field = (uint16_t)~sum;
	if (flags & BPF_F_MARK_MANGLED_0 && !field)
		field = 0xffff;
	memcpy(m->frame->bytes + offset, &field, sizeof(field));
	return 0;
}

static long fib_lookup(struct machine *m, struct bpf_fib_lookup *asked)
{
	uint32_t length = asked->tot_len;

	m->work->fib_lookups++;
	if (asked->family == 2 && asked->ipv4_dst == m->local)
		return BPF_FIB_LKUP_RET_NOT_FWDED;
	asked->mtu_result = (uint16_t)m->route_mtu;
	if (length > m->route_mtu)
		return BPF_FIB_LKUP_RET_FRAG_NEEDED;
	asked->ifindex = m->route.ifindex;
	if (asked->family == 2 && m->route.ipv4_dst)
		asked->ipv4_dst = m->route.ipv4_dst;
	return BPF_FIB_LKUP_RET_SUCCESS;
}

static long redirect(struct machine *m, uint32_t ifindex, bool neighbour)
{
	m->work->redirect_to = ifindex;
	m->work->redirect_neighbour = neighbour;
	return 7; /* TC_ACT_REDIRECT */
}

static uint64_t execute(struct machine *m, size_t at, const uint64_t args[5]);

static long loop(struct machine *m, uint32_t count, size_t callback, uint64_t context)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (execute(m, callback, (uint64_t[5]){i, context}))
			return i + 1;
	return i;
}

static uint64_t call_helper(struct machine *m, int32_t helper, const uint64_t *r)
{
	if (helper == BPF_FUNC_map_lookup_elem)
		return (uintptr_t)lookup(m, (struct map *)r[1], (void *)r[2]);
	m->work->helpers++;
	switch (helper) {
	case BPF_FUNC_map_update_elem:
		return (uint64_t)map_update((struct map *)r[1], (void *)r[2], (void *)r[3], r[4]);
	case BPF_FUNC_map_delete_elem:
		return (uint64_t)map_delete((struct map *)r[1], (void *)r[2]);
	case BPF_FUNC_get_prandom_u32:
		m->random = m->random * 6364136223846793005 + 1442695040888963407; /* MMIX */
		return m->random >> 32;
	case BPF_FUNC_skb_load_bytes:
		if (r[2] + r[4] > m->frame->length)
			return (uint64_t)-EFAULT;
		memcpy((void *)r[3], m->frame->bytes + r[2], r[4]);
		return 0;
	case BPF_FUNC_skb_store_bytes:
		if (r[2] + r[4] > m->frame->length)
			return (uint64_t)-EFAULT;
		memcpy(m->frame->bytes + r[2], (void *)r[3], r[4]);
		return 0;
	case BPF_FUNC_csum_update: /* no device has summed the packet */
		return (uint64_t)-ENOTSUP;
	case BPF_FUNC_l4_csum_replace:
		return (uint64_t)l4_csum_replace(m, (uint32_t)r[2], (uint32_t)r[3], (uint32_t)r[4],
						 r[5]);
	case BPF_FUNC_skb_change_type:
		m->context.pkt_type = (uint32_t)r[2];
		return 0;
	case BPF_FUNC_skb_pull_data:
		return r[2] <= m->frame->length ? 0 : (uint64_t)-ENOMEM;
	case BPF_FUNC_fib_lookup:
		return (uint64_t)fib_lookup(m, (struct bpf_fib_lookup *)r[2]);
	case BPF_FUNC_redirect_neigh:
		return (uint64_t)redirect(m, (uint32_t)r[1], true);
	case BPF_FUNC_redirect_peer:
		return (uint64_t)redirect(m, (uint32_t)r[1], false);
	case BPF_FUNC_ktime_get_coarse_ns:
		return m->now_ns;
	case BPF_FUNC_skc_lookup_tcp: /* the host has no sockets */
	case BPF_FUNC_sk_lookup_udp:
		return 0;
	case BPF_FUNC_tail_call: /* nothing is loaded but the program itself */
		return (uint64_t)-ENOENT;
	case BPF_FUNC_loop:
		return (uint64_t)loop(m, (uint32_t)r[1], r[2], r[3]);
	default:
		fprintf(stderr, "interpreter: helper %d is not known\n", helper), abort();
	}
}

/* ---- Instructions. */

static uint64_t alu(uint8_t op, bool wide, uint64_t a, uint64_t b)
{
	uint32_t shift = (uint32_t)b & (wide ? 63 : 31);

	a = wide ? a : (uint32_t)a;
	b = wide ? b : (uint32_t)b;
	switch (op) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		return b ? a / b : 0;
	case BPF_MOD:
		return b ? a % b : a;
	case BPF_OR:
		return a | b;
	case BPF_AND:
		return a & b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return a << shift;
	case BPF_RSH:
		return a >> shift;
	case BPF_ARSH:
		return wide ? (uint64_t)((int64_t)a >> shift)
			    : (uint32_t)((int32_t)(uint32_t)a >> shift);
	case BPF_NEG:
		return -a;
	default: /* BPF_MOV */
		return b;
	}
}

static uint64_t swapped(uint64_t value, int32_t bits, bool to_big_endian)
{
	uint64_t kept = bits == 64 ? value : value & ((1ull << bits) - 1);

	return to_big_endian ? __builtin_bswap64(kept) >> (64 - bits) : kept;
}

static bool jumps(uint8_t op, bool wide, uint64_t a, uint64_t b)
{
	int64_t x = wide ? (int64_t)a : (int32_t)a, y = wide ? (int64_t)b : (int32_t)b;

	a = wide ? a : (uint32_t)a;
	b = wide ? b : (uint32_t)b;
	switch (op) {
	case BPF_JA:
		return true;
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JLT:
		return a < b;
	case BPF_JLE:
		return a <= b;
	case BPF_JSET:
		return a & b;
	case BPF_JSGT:
		return x > y;
	case BPF_JSGE:
		return x >= y;
	case BPF_JSLT:
		return x < y;
	default: /* BPF_JSLE */
		return x <= y;
	}
}

static size_t size_of(uint8_t code)
{
	static const uint8_t sizes[] = {
		[BPF_W >> 3] = 4, [BPF_H >> 3] = 2, [BPF_B >> 3] = 1, [BPF_DW >> 3] = 8};

	return sizes[BPF_SIZE(code) >> 3];
}

/* Packet pointers are wider than the context's fields. */
static uint64_t load(struct machine *m, uint64_t address, size_t size)
{
	uint64_t value = 0;

	if (address == (uintptr_t)&m->context.data)
		return (uintptr_t)m->frame->bytes;
	if (address == (uintptr_t)&m->context.data_end)
		return (uintptr_t)(m->frame->bytes + m->frame->length);
	memcpy(&value, (void *)address, size);
	return value;
}

static void atomic(struct machine *m, const struct bpf_insn *insn, uint64_t *r)
{
	uint64_t address = r[insn->dst_reg] + (uint64_t)insn->off, old, new;
	size_t size = size_of(insn->code);

	m->work->atomics++;
	old = load(m, address, size);
	if (insn->imm == BPF_CMPXCHG)
		new = old == (size == 4 ? (uint32_t)r[0] : r[0]) ? r[insn->src_reg] : old;
	else if (insn->imm == BPF_XCHG)
		new = r[insn->src_reg];
	else
		new = alu((uint8_t)insn->imm & 0xf0, size == 8, old, r[insn->src_reg]);
	memcpy((void *)address, &new, size);
	if (insn->imm == BPF_CMPXCHG)
		r[0] = old;
	else if (insn->imm & BPF_FETCH)
		r[insn->src_reg] = old;
}

static void store(struct machine *m, const struct bpf_insn *insn, uint64_t *r)
{
	uint64_t address = r[insn->dst_reg] + (uint64_t)insn->off;
	uint64_t value =
		BPF_CLASS(insn->code) == BPF_ST ? (uint64_t)(int64_t)insn->imm : r[insn->src_reg];

	if (BPF_CLASS(insn->code) == BPF_STX && BPF_MODE(insn->code) == BPF_ATOMIC)
		atomic(m, insn, r);
	else
		memcpy((void *)address, &value, size_of(insn->code));
}

static void arithmetic(const struct bpf_insn *insn, uint64_t *r)
{
	bool wide = BPF_CLASS(insn->code) == BPF_ALU64;
	uint64_t operand =
		BPF_SRC(insn->code) == BPF_X ? r[insn->src_reg] : (uint64_t)(int64_t)insn->imm;
	uint64_t result;

	if (BPF_OP(insn->code) == BPF_END)
		result = swapped(r[insn->dst_reg], insn->imm, BPF_SRC(insn->code) == BPF_TO_BE);
	else
		result = alu(BPF_OP(insn->code), wide, r[insn->dst_reg], operand);
	r[insn->dst_reg] = wide || BPF_OP(insn->code) == BPF_END ? result : (uint32_t)result;
}

/* One function, from its first instruction to its exit; its calls are ours. */
static uint64_t execute(struct machine *m, size_t at, const uint64_t args[5])
{
	uint64_t r[11] = {0};

	assert(m->depth < FRAMES_MAX);
	memcpy(r + 1, args, 5 * sizeof(*r));
	r[10] = (uintptr_t)(m->stacks[m->depth++] + STACK_SIZE / 8);
	while (true) {
		const struct bpf_insn *insn = &m->code[at++];
		uint8_t class = BPF_CLASS(insn->code), op = BPF_OP(insn->code);

		m->work->instructions++;
		assert(at <= m->code_count && m->work->instructions < STEPS_MAX);
		if (insn->code == (BPF_LD | BPF_IMM | BPF_DW)) {
			r[insn->dst_reg] = (uint32_t)insn[0].imm | (uint64_t)(uint32_t)insn[1].imm
									   << 32;
			at++;
		} else if (class == BPF_ALU || class == BPF_ALU64) {
			arithmetic(insn, r);
		} else if (class == BPF_LDX) {
			r[insn->dst_reg] = load(m, r[insn->src_reg] + (uint64_t)insn->off,
						size_of(insn->code));
		} else if (class == BPF_ST || class == BPF_STX) {
			store(m, insn, r);
		} else if (class == BPF_JMP && op == BPF_CALL) {
			r[0] = insn->src_reg == BPF_PSEUDO_CALL
				       ? execute(m, at + (size_t)insn->imm, r + 1)
				       : call_helper(m, insn->imm, r);
		} else if (class == BPF_JMP && op == BPF_EXIT) {
			m->depth--;
			return r[0];
		} else if (jumps(op, class == BPF_JMP, r[insn->dst_reg],
				 BPF_SRC(insn->code) == BPF_X ? r[insn->src_reg]
							      : (uint64_t)(int64_t)insn->imm)) {
			at += (size_t)insn->off;
		}
	}
}

void machine_route(struct machine *m, uint32_t ifindex, uint32_t local, uint32_t next_hop,
		   uint32_t mtu)
{
	m->local = local;
	m->route = (struct bpf_fib_lookup){.ifindex = ifindex, .ipv4_dst = next_hop};
	m->route_mtu = mtu;
}

void machine_clock(struct machine *m, uint64_t now_ns)
{
	m->now_ns = now_ns;
}

int machine_run(struct machine *m, const char *program, const struct machine_link *link,
		struct frame *frame, struct work *ret_work)
{
	struct __sk_buff before = m->context;

	*ret_work = (struct work){0};
	m->context = (struct __sk_buff){
		.len = frame->length,
		.ifindex = link->ifindex,
		.ingress_ifindex = link->ingress_ifindex,
		.gso_size = frame->gso_size,
		.pkt_type = frame_packet_type(frame, link->mac),
		.protocol = frame_eth(frame)->h_proto,
	};
	if (link->handed_on)
		memcpy(m->context.cb, before.cb, sizeof(before.cb));
	m->frame = frame;
	m->work = ret_work;
	m->depth = 0;
	return (int)execute(m, program_start(m, program), (uint64_t[5]){(uintptr_t)&m->context});
}
