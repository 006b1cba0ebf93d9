/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the kernel's tables in /proc/net, a line a socket: number, own address and port,
 * the remote's, state. Addresses are words in hexadecimal as they lie in memory (proc(5)).
 */
#include "sockets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "netns.h"
#include "nsroute_abi.h"

#define LINE_MAX_BYTES 512

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

static bool read_line(const struct table *table, const char *line, struct socket_open *ret)
{
	unsigned int port, state;
	char address[33];

	if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%4x %*s %2x", address, &port, &state) != 3 ||
	    state != table->state || !read_address(address, table->family, &ret->address))
		return false;
	ret->port = (uint16_t)port;
	ret->protocol = table->protocol;
	return true;
}

/* Without IPv6 its tables are not there. */
static int read_table(const struct table *table, struct arena *arena, struct socket_open **ret,
		      size_t *ret_count, struct error *err)
{
	FILE *file = fopen(table->path, "re");
	struct socket_open open;
	char line[LINE_MAX_BYTES];

	if (!file)
		return errno == ENOENT ? 0
				       : error_set(err, -errno, "cannot read %s: %s", table->path,
						   strerror(errno));
	while (fgets(line, sizeof(line), file))
		if (read_line(table, line, &open))
			*arena_push(arena, *ret, *ret_count) = open;
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
