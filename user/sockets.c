/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the kernel's tables in /proc/net, a line a socket: number, own address and port,
 * the remote's, state, inode. Addresses are words in hexadecimal as they lie in memory (proc(5)).
 * Whether one of IPv6 leaves IPv4 alone is not there: that tells the kernel's sock_diag(7), where
 * it has it (tcp_diag, udp_diag). Where it has not, sockets of all addresses are taken to have
 * both.
 */
#include "sockets.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>

#include "netns.h"
#include "nsroute_abi.h"

#define LINE_MAX_BYTES 512

#define SECONDS_MAX 2 /* that the kernel may take for an answer */

/* include/net/tcp_states.h */
#define STATE_LISTEN       0x0a
#define STATE_WITHOUT_PEER 0x07 /* of UDP: TCP_CLOSE */

static const struct table {
	const char *path;
	uint8_t protocol, family;
	unsigned int state;
} tables[] = {
	{"/proc/thread-self/net/tcp", NSR_NAT_TCP, AF_INET, STATE_LISTEN},
	{"/proc/thread-self/net/tcp6", NSR_NAT_TCP, AF_INET6, STATE_LISTEN},
	{"/proc/thread-self/net/udp", NSR_NAT_UDP, AF_INET, STATE_WITHOUT_PEER},
	{"/proc/thread-self/net/udp6", NSR_NAT_UDP, AF_INET6, STATE_WITHOUT_PEER},
};

/* The words of an address; false: it is none of the family. */
static bool read_address(const char *text, uint8_t family, struct ip_address *ret)
{
	const size_t words = family == AF_INET ? 1 : 4;
	uint32_t word;

	*ret = (struct ip_address){.family = family,
				   .prefix_len = (uint8_t)(family == AF_INET ? 32 : 128)};
	if (strlen(text) != 8 * words)
		return false;
	for (size_t i = 0; i < words; i++) {
		if (sscanf(text + 8 * i, "%8x", &word) != 1)
			return false;
		memcpy(ret->bytes + 4 * i, &word, sizeof(word));
	}
	return true;
}

/* An IPv4 address as IPv6 has it (RFC 4291 2.5.5.2) is one of IPv4. */
static void unmap(struct ip_address *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct ip_address ipv4 = {.family = AF_INET, .prefix_len = 32};

	if (address->family != AF_INET6 || memcmp(address->bytes, mapped, sizeof(mapped)))
		return;
	memcpy(ipv4.bytes, address->bytes + sizeof(mapped), 4);
	*address = ipv4;
}

static bool read_line(const struct table *table, const char *line, struct socket_open *ret,
		      unsigned int *ret_inode)
{
	unsigned int port, state;
	char address[33];

	if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%4x %*s %2x %*s %*s %*s %*s %*s %u", address, &port,
		   &state, ret_inode) != 4 ||
	    state != table->state || !read_address(address, table->family, &ret->address))
		return false;
	unmap(&ret->address);
	ret->only6 = false;
	ret->port = (uint16_t)port;
	ret->protocol = table->protocol;
	return true;
}

/* ---- What sock_diag tells. */

/* Inodes of sockets of IPv6 that leave IPv4 alone. */
struct only6 {
	struct arena *arena;
	unsigned int *inodes;
	size_t count;
};

static int take_diag(const struct nlmsghdr *message, void *context)
{
	const struct inet_diag_msg *diag = mnl_nlmsg_get_payload(message);
	struct only6 *only6 = context;
	const struct nlattr *attribute;

	if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*diag))
	{
		if (mnl_attr_get_type(attribute) == INET_DIAG_SKV6ONLY &&
		    mnl_attr_get_payload_len(attribute) && mnl_attr_get_u8(attribute))
			*arena_push(only6->arena, only6->inodes, only6->count) = diag->idiag_inode;
	}
	return MNL_CB_OK;
}

static void ask_diag(struct mnl_socket *socket, const struct table *table, struct only6 *ret)
{
	_Alignas(struct nlmsghdr) char bytes[16384];
	const struct timeval patience = {.tv_sec = SECONDS_MAX};
	struct nlmsghdr *message = mnl_nlmsg_put_header(bytes);
	struct inet_diag_req_v2 *asked;
	int more = MNL_CB_OK;
	ssize_t size;

	message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	asked = mnl_nlmsg_put_extra_header(message, sizeof(*asked));
	asked->sdiag_family = AF_INET6;
	asked->sdiag_protocol = table->protocol == NSR_NAT_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	asked->idiag_states = 1u << table->state;
	if (setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) ||
	    mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return;
	while (more > MNL_CB_STOP) {
		size = mnl_socket_recvfrom(socket, bytes, sizeof(bytes));
		if (size <= 0)
			return;
		more = mnl_cb_run(bytes, (size_t)size, 0, 0, take_diag, ret);
	}
}

/* Nothing where the kernel does not tell. */
static void read_diag(const struct table *table, struct only6 *ret)
{
	struct mnl_socket *socket;

	if (table->family != AF_INET6)
		return;
	socket = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	if (!socket)
		return;
	if (!mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID))
		ask_diag(socket, table, ret);
	mnl_socket_close(socket);
}

static bool is_only6(const struct only6 *only6, unsigned int inode)
{
	for (size_t i = 0; i < only6->count; i++)
		if (only6->inodes[i] == inode)
			return true;
	return false;
}

/* ---- Tables. */

/* Without IPv6 its tables are not there. */
static int read_table(const struct table *table, struct arena *arena, struct socket_open **ret,
		      size_t *ret_count, struct error *err)
{
	struct only6 only6 = {.arena = arena};
	FILE *file = fopen(table->path, "re");
	struct socket_open open;
	char line[LINE_MAX_BYTES];
	unsigned int inode;

	if (!file)
		return errno == ENOENT ? 0
				       : error_set(err, -errno, "cannot read %s: %s", table->path,
						   strerror(errno));
	read_diag(table, &only6);
	while (fgets(line, sizeof(line), file)) {
		if (!read_line(table, line, &open, &inode))
			continue;
		open.only6 = is_only6(&only6, inode);
		*arena_push(arena, *ret, *ret_count) = open;
	}
	fclose(file);
	return 0;
}

int sockets_read(int netns_fd, struct arena *arena, struct socket_open **ret, size_t *ret_count,
		 struct error *err)
{
	int previous, code = netns_enter(netns_fd, &previous, err);

	if (code)
		return code;
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables) && !code; i++)
		code = read_table(&tables[i], arena, ret, ret_count, err);
	netns_leave(previous);
	return code;
}
