/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: PROG_RUN puts an Ethernet header in front of whatever a tc program is to see, so
 * the programs of layer-3 devices are attached to a tun device here. What leaves is sent by a
 * packet socket and read from the tun device; what arrives is written to it, and what comes into
 * the namespace of red, which is one of its own then, is read by a packet socket there. All of that
 * is done by the time that send() or write() returns, so nothing has to be waited for.
 */
#include "lab_bare.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"
#include "netns.h"
#include "qdisc.h"
#include "sysctl.h"

#define TUN "tun0"

static struct {
	int tun, outside, inside, inside6; /* the device, and packet sockets at it and at red */
	uint32_t ifindex;
} bare = {.tun = -1};

static int open_tun(void)
{
	struct ifreq request = {.ifr_name = TUN, .ifr_flags = IFF_TUN | IFF_NO_PI};

	bare.tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (bare.tun < 0 && system("modprobe -q tun 2>/dev/null") == 0)
		bare.tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (bare.tun >= 0 && ioctl(bare.tun, TUNSETIFF, &request)) {
		close(bare.tun);
		bare.tun = -1;
	}
	bare.ifindex = if_nametoindex(TUN);
	return bare.tun;
}

/* Of packets of one protocol at an interface; 0: to send by. */
static int packet_socket(const char *interface, uint16_t protocol)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(protocol),
				 .sll_ifindex = (int)if_nametoindex(interface)};
	int fd = socket(AF_PACKET,
			(protocol ? SOCK_RAW : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* Into a namespace of its own: bpf_redirect_peer() goes to none else. */
static void move_red(void)
{
	char command[96];
	struct error err;
	int home, away;

	assert_int_equal(netns_temporary(&away, &err), 0);
	snprintf(command, sizeof(command), "ip link set red-in netns /proc/%d/fd/%d", getpid(),
		 away);
	assert_int_equal(system(command), 0);
	assert_int_equal(netns_enter(away, &home, &err), 0);
	assert_int_equal(system("ip link set red-in up"), 0);
	bare.inside = packet_socket("red-in", ETH_P_IP);
	bare.inside6 = packet_socket("red-in", ETH_P_IPV6);
	netns_leave(home);
	close(away);
}

static void attach(const struct lab *lab)
{
	struct netlink *nl;
	struct error err = {0};

	assert_int_equal(netlink_open(&nl, -1, &err), 0);
	qdisc_add_clsact(nl, bare.ifindex, TUN);
	qdisc_add_filter(nl, bare.ifindex, TUN, QDISC_INGRESS,
			 datapath_program_fd(lab->datapath, DATAPATH_BARE_IN), "nsr_bare_in");
	qdisc_add_filter(nl, bare.ifindex, TUN, QDISC_EGRESS,
			 datapath_program_fd(lab->datapath, DATAPATH_BARE_OUT), "nsr_bare_out");
	assert_int_equal(netlink_flush(nl, NULL, &err), 0);
	netlink_close(nl);
}

bool lab_bare_set_up(struct lab *lab)
{
	struct error err;

	if (open_tun() < 0)
		return false;
	/* Nothing but what is sent here. */
	assert_int_equal(sysctl_write(-1, "net/ipv6/conf/" TUN "/disable_ipv6", "1", &err), 0);
	assert_int_equal(system("ip link set " TUN " up"), 0);
	bare.outside = packet_socket(TUN, 0);
	move_red();
	attach(lab);
	lab->uplink[UP1] = bare.ifindex;
	return true;
}

/* False: nothing is there. */
static bool receive(int fd, struct frame *ret, uint32_t offset)
{
	ssize_t length = read(fd, ret->bytes + offset, FRAME_MAX - offset);

	if (length < 0)
		assert_int_equal(errno, EAGAIN);
	else
		ret->length = offset + (uint32_t)length;
	return length >= 0;
}

/* What comes into red of the frame's family. */
static int inside_of(const struct frame *frame)
{
	return ((const struct ethhdr *)frame->bytes)->h_proto == htons(ETH_P_IPV6) ? bare.inside6
										   : bare.inside;
}

static int run_out(const struct frame *frame, struct frame *ret)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_protocol = ((const struct ethhdr *)frame->bytes)->h_proto,
				 .sll_ifindex = (int)bare.ifindex};
	ssize_t length = (ssize_t)frame->length - ETH_HLEN;

	/* What is dropped is an error to some kernels. */
	if (sendto(bare.outside, frame->bytes + ETH_HLEN, (size_t)length, 0, (struct sockaddr *)&to,
		   sizeof(to)) != length)
		assert_int_equal(errno, ENOBUFS);
	if (receive(bare.tun, ret, ETH_HLEN))
		return TC_ACT_UNSPEC;
	return receive(inside_of(frame), ret, 0) ? TC_ACT_REDIRECT : TC_ACT_SHOT;
}

static int run_in(const struct frame *frame, struct frame *ret)
{
	size_t length = frame->length - ETH_HLEN;

	assert_int_equal(write(bare.tun, frame->bytes + ETH_HLEN, length), length);
	return receive(inside_of(frame), ret, 0) ? TC_ACT_REDIRECT : LAB_UNKNOWN;
}

int lab_bare_run(enum datapath_program which, const struct frame *frame, struct frame *ret)
{
	struct frame dropped;

	while (receive(bare.tun, &dropped, 0) || receive(inside_of(frame), &dropped, 0))
		;
	*ret = *frame;
	return which == DATAPATH_BARE_IN ? run_in(frame, ret) : run_out(frame, ret);
}

bool lab_bare_more(struct frame *ret)
{
	return receive(bare.inside, ret, 0);
}
