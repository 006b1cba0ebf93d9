// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * nsloop - many namespaces set up by a bare loop over libmnl: the yardstick of tools/scale.
 *
 * How it works: for each namespace its name is made, a veth pair with the inner end created in
 * place, then lo and eth0 up, an address and a default route: one batch of messages in the host
 * namespace and one inside, each answered once. On a bridge the host ends are its ports; "--routed"
 * has no bridge, but the gateway's address and a route on every host end. Nothing is
 * remembered, checked or undone; the first thing that fails ends the process.
 *
 * "--quiet" creates ports as nsroute does: no IPv6 address of the kernel's choice on the host ends,
 * which saves the kernel from sending its router solicitations and group reports from each of them
 * to all ports.
 *
 * "nsloop add" prints how many messages it sent. "nsloop del" removes one name after another, as a
 * loop of "ip netns del" without the processes.
 *
 * It acts in the network namespace that it is started in, and on names that it is given the prefix
 * of.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define NETNS_DIRECTORY "/run/netns"
#define OWN_NETNS       "/proc/self/ns/net"
#define BRIDGE          "nsloop-br"
#define GATEWAY         0x0a140001u /* 10.20.0.1; namespace i has the address i after it */
#define PREFIX_LEN      16
#define LO_IFINDEX      1 /* include/net/net_namespace.h */
#define BATCH_BYTES     8192
#define COUNT_MAX       60000

struct batch {
	struct mnl_socket *socket;
	char bytes[BATCH_BYTES];
	size_t used;
	unsigned int messages; /* that wait for their answer */
};

static const char *prefix;
static bool routed, quiet;
static unsigned long messages_sent;

/* ---- Messages. */

static struct mnl_socket *open_socket(void)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		err(EXIT_FAILURE, "netlink socket");
	return socket;
}

static int find_link(struct mnl_socket *socket, const char *name)
{
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(mnl_socket_get_fd(socket), SIOCGIFINDEX, &request))
		err(EXIT_FAILURE, "%s", name);
	return request.ifr_ifindex;
}

static struct nlmsghdr *add_message(struct batch *batch, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(batch->bytes + batch->used);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	message->nlmsg_seq = ++batch->messages;
	return message;
}

static void end_message(struct batch *batch, const struct nlmsghdr *message)
{
	batch->used += MNL_ALIGN(message->nlmsg_len);
}

static void flush(struct batch *batch)
{
	char answer[MNL_SOCKET_BUFFER_SIZE];
	unsigned int missing = batch->messages;

	messages_sent += batch->messages;
	if (mnl_socket_sendto(batch->socket, batch->bytes, batch->used) < 0)
		err(EXIT_FAILURE, "sendto");
	while (missing) {
		ssize_t length = mnl_socket_recvfrom(batch->socket, answer, sizeof(answer));
		int left = (int)length;

		if (length < 0)
			err(EXIT_FAILURE, "recvfrom");
		for (const struct nlmsghdr *message = (const void *)answer;
		     mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			const struct nlmsgerr *verdict = mnl_nlmsg_get_payload(message);

			if (message->nlmsg_type != NLMSG_ERROR)
				errx(EXIT_FAILURE, "an answer that was not asked for");
			if (verdict->error)
				errx(EXIT_FAILURE, "message %u: %s", message->nlmsg_seq,
				     strerror(-verdict->error));
			missing--;
		}
	}
	batch->used = 0;
	batch->messages = 0;
}

static void put_address(struct batch *batch, int ifindex, uint32_t address, uint8_t prefix_len)
{
	struct nlmsghdr *message = add_message(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));

	header->ifa_family = AF_INET;
	header->ifa_prefixlen = prefix_len;
	header->ifa_index = (uint32_t)ifindex;
	mnl_attr_put_u32(message, IFA_LOCAL, htonl(address));
	mnl_attr_put_u32(message, IFA_ADDRESS, htonl(address));
	end_message(batch, message);
}

/* to 0: the default route; via 0: what is on the link. */
static void put_route(struct batch *batch, int ifindex, uint32_t to, uint32_t via)
{
	struct nlmsghdr *message = add_message(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
	struct rtmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));

	header->rtm_family = AF_INET;
	header->rtm_dst_len = to ? 32 : 0;
	header->rtm_table = RT_TABLE_MAIN;
	header->rtm_protocol = RTPROT_STATIC;
	header->rtm_scope = via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	header->rtm_type = RTN_UNICAST;
	if (to)
		mnl_attr_put_u32(message, RTA_DST, htonl(to));
	if (via)
		mnl_attr_put_u32(message, RTA_GATEWAY, htonl(via));
	mnl_attr_put_u32(message, RTA_OIF, (uint32_t)ifindex);
	end_message(batch, message);
}

static void put_up(struct batch *batch, int ifindex)
{
	struct nlmsghdr *message = add_message(batch, RTM_SETLINK, 0);
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));

	header->ifi_index = ifindex;
	header->ifi_change = IFF_UP;
	header->ifi_flags = IFF_UP;
	end_message(batch, message);
}

/* Without "quiet" it is up from the beginning: what is ignored at creation cannot come before. */
static void put_veth(struct batch *batch, const char *name, int inner_fd, int master)
{
	struct nlmsghdr *message = add_message(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	struct nlattr *info, *data, *peer;

	if (!quiet)
		header->ifi_change = header->ifi_flags = IFF_UP;
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	if (master)
		mnl_attr_put_u32(message, IFLA_MASTER, (uint32_t)master);
	info = mnl_attr_nest_start(message, IFLA_LINKINFO);
	mnl_attr_put_str(message, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(message, IFLA_IFNAME, "eth0");
	mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)inner_fd);
	mnl_attr_nest_end(message, peer);
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, info);
	end_message(batch, message);
}

static void put_quiet_up(struct batch *batch, const char *name)
{
	struct nlmsghdr *message = add_message(batch, RTM_SETLINK, 0);
	struct nlattr *families, *inet6;

	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(message, AF_INET6);
	mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(message, inet6);
	mnl_attr_nest_end(message, families);
	end_message(batch, message);

	message = add_message(batch, RTM_SETLINK, 0);
	((struct ifinfomsg *)mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg)))
		->ifi_flags = IFF_UP;
	((struct ifinfomsg *)mnl_nlmsg_get_payload(message))->ifi_change = IFF_UP;
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	end_message(batch, message);
}

/* ---- Namespaces. */

static void make_path(char path[64], unsigned int number)
{
	snprintf(path, 64, NETNS_DIRECTORY "/%s%u", prefix, number);
}

/* Returns a descriptor of the new namespace, and a socket in it. */
static int add_namespace(unsigned int number, int own_fd, struct mnl_socket **ret_socket)
{
	char path[64];
	int fd;

	make_path(path, number);
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	if (fd < 0)
		err(EXIT_FAILURE, "%s", path);
	close(fd);
	if (unshare(CLONE_NEWNET) || mount(OWN_NETNS, path, NULL, MS_BIND, NULL))
		err(EXIT_FAILURE, "%s", path);
	*ret_socket = open_socket();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(own_fd, CLONE_NEWNET))
		err(EXIT_FAILURE, "%s", path);
	return fd;
}

static void share_registry(void)
{
	if (mkdir(NETNS_DIRECTORY, 0755) && errno != EEXIST)
		err(EXIT_FAILURE, "%s", NETNS_DIRECTORY);
	if (!mount("none", NETNS_DIRECTORY, NULL, MS_SHARED | MS_REC, NULL))
		return;
	if (mount(NETNS_DIRECTORY, NETNS_DIRECTORY, NULL, MS_BIND | MS_REC, NULL) ||
	    mount("none", NETNS_DIRECTORY, NULL, MS_SHARED | MS_REC, NULL))
		err(EXIT_FAILURE, "%s", NETNS_DIRECTORY);
}

/* ---- The loop. */

/* Returns its ifindex. */
static int add_bridge(struct batch *batch)
{
	struct nlmsghdr *message = add_message(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	struct nlattr *info;
	int ifindex;

	header->ifi_change = header->ifi_flags = IFF_UP;
	mnl_attr_put_strz(message, IFLA_IFNAME, BRIDGE);
	info = mnl_attr_nest_start(message, IFLA_LINKINFO);
	mnl_attr_put_str(message, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(message, info);
	end_message(batch, message);
	flush(batch);
	ifindex = find_link(batch->socket, BRIDGE);
	put_address(batch, ifindex, GATEWAY, PREFIX_LEN);
	flush(batch);
	return ifindex;
}

static void add_one(unsigned int number, int own_fd, struct batch *host, int bridge)
{
	struct batch inside = {.used = 0};
	int fd = add_namespace(number, own_fd, &inside.socket);
	uint32_t address = GATEWAY + number;
	char name[IFNAMSIZ];
	int ifindex;

	snprintf(name, sizeof(name), "nsl%u", number);
	put_veth(host, name, fd, bridge);
	if (quiet)
		put_quiet_up(host, name);
	flush(host);
	if (routed) {
		ifindex = find_link(host->socket, name);
		put_address(host, ifindex, GATEWAY, 32);
		put_route(host, ifindex, address, 0);
		flush(host);
	}
	ifindex = find_link(inside.socket, "eth0");
	put_up(&inside, LO_IFINDEX);
	put_address(&inside, ifindex, address, routed ? 32 : PREFIX_LEN);
	put_up(&inside, ifindex);
	if (routed)
		put_route(&inside, ifindex, GATEWAY, 0);
	put_route(&inside, ifindex, 0, GATEWAY);
	flush(&inside);
	mnl_socket_close(inside.socket);
	close(fd);
}

static void add_all(unsigned int count)
{
	struct batch host = {.socket = open_socket()};
	int own_fd = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	int bridge = routed ? 0 : add_bridge(&host);

	if (own_fd < 0)
		err(EXIT_FAILURE, "%s", OWN_NETNS);
	share_registry();
	for (unsigned int number = 1; number <= count; number++)
		add_one(number, own_fd, &host, bridge);
	printf("{\"namespaces\": %u, \"messages\": %lu}\n", count, messages_sent);
}

static void delete_all(unsigned int count)
{
	char path[64];

	for (unsigned int number = 1; number <= count; number++) {
		make_path(path, number);
		if (umount2(path, MNT_DETACH) || unlink(path))
			err(EXIT_FAILURE, "%s", path);
	}
}

static void usage(void)
{
	errx(EXIT_FAILURE, "usage: nsloop [--routed] [--quiet] add|del PREFIX COUNT");
}

int main(int argc, char **argv)
{
	unsigned long count;
	int first = 1;

	for (; first < argc && argv[first][0] == '-'; first++) {
		routed |= !strcmp(argv[first], "--routed");
		quiet |= !strcmp(argv[first], "--quiet");
		if (strcmp(argv[first], "--routed") && strcmp(argv[first], "--quiet"))
			usage();
	}
	if (argc - first != 3)
		usage();
	prefix = argv[first + 1];
	count = strtoul(argv[first + 2], NULL, 10);
	if (!count || count > COUNT_MAX || strlen(prefix) > 32)
		errx(EXIT_FAILURE, "COUNT is 1 to %d, PREFIX at most 32 letters", COUNT_MAX);
	if (!strcmp(argv[first], "add"))
		add_all((unsigned int)count);
	else if (!strcmp(argv[first], "del"))
		delete_all((unsigned int)count);
	else
		usage();
	return EXIT_SUCCESS;
}
