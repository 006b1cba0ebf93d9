/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What takes the place of an external address that has gone is never one that another uplink has:
 * each hands out its ports by itself, so two live flows could have one translation.
 */
#include "lab.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <stdlib.h>
#include <string.h>

#include "datapath_maps.h"

static const struct family {
	const char *inside, *remote, *old_ip, *new_ip;
	const char *change; /* a command for the namespace that the lab is in */
	const char *back;   /* the old address comes back, at the other uplink */
	bool ipv6;
} families[] = {
	{RED_IP, REMOTE_IP, UPLINK_IP, "198.18.7.2",
	 "ip address del 198.51.100.2/24 dev up0 && ip address add 198.18.7.2/24 dev up0 && "
	 "ip route add default via 198.18.7.1",
	 NULL, false},
	{RED_IP6, REMOTE_IP6, UPLINK_IP6, "2001:db8:7::2",
	 "ip address del 2001:db8:1::2/64 dev up0 && "
	 "ip address add 2001:db8:7::2/64 dev up0 nodad",
	 "ip address del 2001:db8:7::2/64 dev up0 && "
	 "ip address add 2001:db8:1::2/128 dev up1 nodad",
	 true},
};

/* Since 6.7, and in what was made of older ones: Debian's 6.1 among them. */
static bool kernel_chooses(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool chooses;

	assert_non_null(btf);
	chooses = btf__find_str(btf, "BPF_FIB_LOOKUP_SRC") > 0;
	btf__free(btf);
	return chooses;
}

static struct run *out(struct lab *lab, const struct family *family, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->inside,
	      .dest = family->remote, .sport = 3000, .dport = 80);
	return EXPECT_OUT(lab, UP0, &f, outcome);
}

static void expect_source(struct lab *lab, const struct family *family, const char *address)
{
	struct run *run = out(lab, family, TRANSLATED);
	const struct ip_address ip = lab_ip(address);

	if (family->ipv6)
		assert_memory_equal(&frame_ip6(&run->out)->saddr, ip.bytes, 16);
	else
		assert_memory_equal(&frame_ip4(&run->out)->saddr, ip.bytes, 4);
}

static void put_uplink(struct lab *lab, const struct nsr_uplink *uplink)
{
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[UP1],
					     uplink, BPF_EXIST),
			 0);
}

/* The other uplink has an address now, of this family, as its first or its second; before is what
 * it had. */
static void give_other(struct lab *lab, const struct family *family, const char *address,
		       bool as_second, struct nsr_uplink *ret_before)
{
	const struct ip_address given = lab_ip(address);
	struct nsr_uplink other;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[UP1],
					     ret_before),
			 0);
	other = *ret_before;
	if (as_second) {
		other.slots[0] = NSR_UPLINKS_MAX;
		other.flags = family->ipv6 ? NSR_UPLINK_MORE6 : NSR_UPLINK_MORE4;
		memcpy(family->ipv6 ? (void *)other.more6[0] : &other.more4[0], given.bytes,
		       family->ipv6 ? 16 : 4);
	} else if (family->ipv6) {
		memcpy(other.address6, given.bytes, 16);
	} else {
		memcpy(&other.address4, given.bytes, 4);
	}
	put_uplink(lab, &other);
}

static void expect_apart(struct lab *lab, const struct family *family, uint32_t *seconds)
{
	struct nsr_uplink before;

	expect_source(lab, family, family->old_ip);
	give_other(lab, family, family->new_ip, false, &before);
	assert_int_equal(system(family->change), 0);
	lab_clock_offset(lab, ++*seconds);
	out(lab, family, DROPPED(NAT_CLOSED));
	/* Only now it is nobody's. */
	put_uplink(lab, &before);
	lab_clock_offset(lab, ++*seconds);
	expect_source(lab, family, family->new_ip);
}

/* The same of one that is followed to, or gone back to, while another uplink is given it. */
static void expect_yields(struct lab *lab, const struct family *family, uint32_t *seconds)
{
	struct nsr_uplink before;

	for (int as_second = 0; as_second < 2; as_second++) {
		give_other(lab, family, family->new_ip, as_second, &before);
		lab_clock_offset(lab, ++*seconds);
		out(lab, family, DROPPED(NAT_CLOSED));
		put_uplink(lab, &before);
		lab_clock_offset(lab, ++*seconds);
		expect_source(lab, family, family->new_ip);
	}
	if (!family->ipv6) /* the kernel would choose one of another interface */
		return;
	assert_int_equal(system(family->back), 0);
	give_other(lab, family, family->old_ip, false, &before);
	lab_clock_offset(lab, ++*seconds);
	out(lab, family, DROPPED(NAT_CLOSED));
	put_uplink(lab, &before);
	lab_clock_offset(lab, ++*seconds);
	expect_source(lab, family, family->old_ip);
}

static void test_not_another_uplinks(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t seconds = 0;

	if (!kernel_chooses())
		skip();
	for (size_t i = 0; i < 2; i++) {
		expect_apart(lab, &families[i], &seconds);
		expect_yields(lab, &families[i], &seconds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_not_another_uplinks),
	};

	return LAB_MAIN(tests);
}
