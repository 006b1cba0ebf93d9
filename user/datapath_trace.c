/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the traced object has the same maps as the datapath's, by name, and is given those
 * of the open datapath in place of its own; only the buffer that the steps tell into is new. The
 * kernel looks up the ifindex of a run in the namespace of the calling thread, and asks that
 * namespace's FIB and sockets, so the thread visits the host namespace for it.
 */
#include "datapath_trace.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "datapath_maps.h"
#include "datapath_object.h"
#include "netns.h"
#include "trace.skel.h"

struct datapath_tracer {
	const struct datapath *datapath;
	struct trace_bpf *object;
};

bool datapath_is_other_build(const struct datapath *datapath)
{
	return datapath->build != object_build();
}

/* Whether a walk may come by it. Packets have Ethernet headers there: at an uplink of layer 3 the
 * others' programs stand in for its own. */
static bool is_traced(const struct datapath *datapath, unsigned int program)
{
	const int *has = datapath->programs;

	switch (program) {
	case DATAPATH_PORT_IN:
	case DATAPATH_PORT_OUT:
	case DATAPATH_HAIRPIN6:
	case DATAPATH_GUEST:
	case DATAPATH_GUEST6:
		return has[program] >= 0;
	case DATAPATH_UPLINK_IN:
		return has[program] >= 0 || has[DATAPATH_BARE_IN] >= 0;
	case DATAPATH_UPLINK_OUT:
		return has[program] >= 0 || has[DATAPATH_BARE_OUT] >= 0;
	case DATAPATH_UPLINK_IN6:
		return has[program] >= 0 || has[DATAPATH_BARE_IN6] >= 0;
	case DATAPATH_UPLINK_OUT6:
		return has[program] >= 0 || has[DATAPATH_BARE_OUT6] >= 0;
	case DATAPATH_OTHER_IN6:
		return has[program] >= 0 || has[DATAPATH_OBARE_IN6] >= 0;
	case DATAPATH_OTHER_OUT6:
		return has[program] >= 0 || has[DATAPATH_OBARE_OUT6] >= 0;
	default:
		return false;
	}
}

/* The datapath's programs once more: what it has not need not be verified. */
static int prepare(struct trace_bpf *object, const struct datapath *datapath)
{
	int ret = 0;

	for (unsigned int i = 0; i < DATAPATH_ALL_PROGRAMS && !ret; i++)
		ret = bpf_program__set_autoload(
			bpf_object__find_program_by_name(object->obj, datapath_program_name(i)),
			is_traced(datapath, i));
	for (unsigned int i = 0; i < DATAPATH_MAPS_COUNT && !ret; i++)
		ret = bpf_map__reuse_fd(
			bpf_object__find_map_by_name(object->obj, datapath_map_name[i]),
			datapath->maps[i]);
	return ret;
}

int datapath_tracer_open(const struct datapath *datapath, struct datapath_tracer **ret,
			 struct error *err)
{
	struct datapath_tracer *tracer = calloc(1, sizeof(*tracer));
	int result;

	if (!tracer)
		return error_set(err, -ENOMEM, "out of memory");
	tracer->datapath = datapath;
	object_quiet();
	tracer->object = trace_bpf__open();
	result = tracer->object ? prepare(tracer->object, datapath) : -errno;
	if (!result)
		result = trace_bpf__load(tracer->object);
	if (result) {
		datapath_tracer_close(tracer);
		return error_set(err, result, "cannot load the traced BPF programs: %s",
				 strerror(-result));
	}
	*ret = tracer;
	return 0;
}

void datapath_tracer_close(struct datapath_tracer *tracer)
{
	if (!tracer)
		return;
	trace_bpf__destroy(tracer->object);
	free(tracer);
}

static int run(int program, uint32_t ifindex, uint32_t came_in, struct datapath_packet *packet)
{
	struct __sk_buff context = {.ifindex = ifindex, .ingress_ifindex = came_in};
	struct datapath_packet out;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet->bytes,
		    .data_size_in = packet->length, .data_out = out.bytes,
		    .data_size_out = sizeof(out.bytes), .ctx_in = &context,
		    .ctx_size_in = sizeof(context));
	int ret = bpf_prog_test_run_opts(program, &options);

	if (ret)
		return ret;
	memcpy(packet->bytes, out.bytes, options.data_size_out);
	packet->length = options.data_size_out;
	return 0;
}

/* That a program hands IPv6 over to; NULL: not traced. */
static const struct bpf_program *program6_of(const struct datapath_tracer *tracer, uint64_t number)
{
	switch (number) {
	case NSR_PROGRAM6_OUT:
		return tracer->object->progs.nsr_uplink_out6;
	case NSR_PROGRAM6_IN:
		return tracer->object->progs.nsr_uplink_in6;
	case NSR_PROGRAM6_HAIRPIN:
		return tracer->object->progs.nsr_hairpin6;
	case NSR_PROGRAM_GUEST:
		return tracer->object->progs.nsr_guest;
	case NSR_PROGRAM6_GUEST:
		return tracer->object->progs.nsr_guest6;
	case NSR_PROGRAM6_OTHER_OUT:
		return tracer->object->progs.nsr_other_out6;
	case NSR_PROGRAM6_OTHER_IN:
		return tracer->object->progs.nsr_other_in6;
	default:
		return NULL;
	}
}

/* Where a program has told that it hands the packet over; the number of all: it does not. */
static uint32_t handed_over(const struct nsr_trace *told)
{
	uint32_t i;

	for (i = 0; i < told->count && i < NSR_TRACE_MAX; i++)
		if (told->told[i].what == NSR_TELLS_PROGRAM6)
			return i;
	return told->count;
}

/* A traced program makes no tail calls: it tells which one it would make, and what it told besides
 * is of a packet that was not taken over. The packet is unchanged then. Each is called by others
 * than itself, so this has an end. */
static int run_hook(struct datapath_tracer *tracer, enum datapath_program hook, uint32_t ifindex,
		    uint32_t came_in, struct datapath_packet *packet)
{
	const struct bpf_program *program =
		bpf_object__find_program_by_name(tracer->object->obj, datapath_program_name(hook));
	struct nsr_trace *told = &tracer->object->bss->trace;
	uint32_t i;
	int result;

	memset(told, 0, sizeof(*told));
	result = run(bpf_program__fd(program), ifindex, came_in, packet);
	for (i = handed_over(told); !result && i < told->count; i = handed_over(told)) {
		program = program6_of(tracer, told->told[i].a);
		if (!program || bpf_program__fd(program) < 0)
			break;
		if (hook == DATAPATH_PORT_IN)
			told->count = i; /* all of it is true until then */
		else
			memset(told, 0, sizeof(*told));
		result = run(bpf_program__fd(program), ifindex, came_in, packet);
	}
	return result;
}

int datapath_trace(struct datapath_tracer *tracer, enum datapath_program hook, int host_fd,
		   uint32_t ifindex, uint32_t came_in, struct datapath_packet *packet,
		   struct nsr_trace *ret, struct error *err)
{
	int previous, result;

	result = netns_enter(host_fd, &previous, err);
	if (result)
		return result;
	result = run_hook(tracer, hook, ifindex, came_in, packet);
	netns_leave(previous);
	if (result == -EINVAL)
		return error_set(err, -EMSGSIZE,
				 "this kernel runs no BPF program on a packet of %u bytes",
				 packet->length);
	if (result)
		return error_set(err, result, "cannot run the traced program '%s': %s",
				 datapath_program_name(hook), strerror(-result));
	*ret = tracer->object->bss->trace;
	if (ret->count > NSR_TRACE_MAX)
		ret->count = NSR_TRACE_MAX;
	return 0;
}

bool datapath_find_port(const struct datapath *datapath, uint32_t ifindex, struct nsr_port *ret)
{
	return bpf_map_lookup_elem(datapath->maps[MAP_ports], &ifindex, ret) == 0;
}

bool datapath_find_uplink(const struct datapath *datapath, uint32_t ifindex, struct nsr_uplink *ret)
{
	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &ifindex, ret))
		return false;
	datapath_follow(datapath, ret);
	return true;
}

bool datapath_find_host(const struct datapath *datapath, const struct ip_address *ip,
			struct nsr_endpoint *ret)
{
	enum datapath_map map = ip->family == AF_INET ? MAP_hosts4 : MAP_hosts6;

	return bpf_map_lookup_elem(datapath->maps[map], ip->bytes, ret) == 0;
}

bool datapath_find_uplink_of(const struct datapath *datapath, const struct nsr_port *port,
			     struct nsr_uplink *ret)
{
	uint32_t index = port->uplink - 1u, ifindex;

	return port->uplink &&
	       bpf_map_lookup_elem(datapath->maps[MAP_uplink_by_index], &index, &ifindex) == 0 &&
	       datapath_find_uplink(datapath, ifindex, ret);
}

bool datapath_leads_inside(const struct datapath *datapath, uint32_t uplink_ifindex)
{
	struct nsr_inner_link inner;

	return bpf_map_lookup_elem(datapath->maps[MAP_inner_links], &uplink_ifindex, &inner) == 0;
}
