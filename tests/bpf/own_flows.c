/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "own_flows.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "datapath_maps.h"

const struct family over_ipv4 = {AF_INET,   RED_IP,     UPLINK_IP,
				 REMOTE_IP, REMOTE2_IP, MAP_session_by_flow};
const struct family over_ipv6 = {AF_INET6,   RED_IP6,     UPLINK_IP6,
				 REMOTE_IP6, REMOTE2_IP6, MAP_session_by_flow6};

static struct sockaddr_in6 endpoint(const struct family *is, const char *ip, uint16_t port)
{
	struct sockaddr_in6 ret = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in *ret4 = (struct sockaddr_in *)&ret;

	if (is->number == AF_INET)
		*ret4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
	assert_int_equal(
		inet_pton(is->number, ip,
			  is->number == AF_INET ? (void *)&ret4->sin_addr : (void *)&ret.sin6_addr),
		1);
	return ret;
}

int host_opens(const struct family *is, int type, const char *local, const char *remote)
{
	struct sockaddr_in6 at = endpoint(is, local, PORT), to;
	int fd = socket(is->number, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1;

	assert_true(fd >= 0);
	if (is == &over_ipv6) /* the lab's address may still be tentative */
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &yes, sizeof(yes)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	if (!remote)
		return fd;
	to = endpoint(is, remote, REMOTE_PORT);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

struct run *leaves(struct lab *lab, const char *source, const char *dest, uint8_t protocol,
		   uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
	      .protocol = protocol, .sport = PORT, .dport = REMOTE_PORT, .tcp_flags = flags);
	return EXPECT_OUT(lab, UP0, &f, outcome);
}

struct run *arrives_at(struct lab *lab, const struct family *is, const char *remote, uint16_t port,
		       uint8_t protocol, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = remote, .dest = is->uplink,
	      .protocol = protocol, .sport = REMOTE_PORT, .dport = port, .tcp_flags = flags);
	return EXPECT_IN(lab, UP0, &f, outcome);
}

struct run *arrives(struct lab *lab, const struct family *is, const char *remote, uint8_t protocol,
		    uint8_t flags, int outcome)
{
	return arrives_at(lab, is, remote, PORT, protocol, flags, outcome);
}

void open_flows(struct lab *lab, const struct family *is, uint8_t protocol)
{
	struct run *run = leaves(lab, is->red, is->remote, protocol, FRAME_SYN, TRANSLATED);

	assert_int_equal(frame_sport(&run->out), PORT);
	leaves(lab, is->red, is->remote2, protocol, FRAME_SYN, TRANSLATED);
	assert_int_equal(lab_entries(lab, is->sessions), 2);
}

void host_has_flows(struct lab *lab, uint32_t count)
{
	const struct nsr_share share = {.flows = count};
	uint32_t host = NSR_OWNER_HOST;

	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_shares], &host, &share, BPF_ANY), 0);
}

void expect_end(struct lab *lab, const struct family *is)
{
	if (is == &over_ipv4)
		lab_expect_no_flows(lab);
	else
		lab_expect_no_flows6(lab);
}
