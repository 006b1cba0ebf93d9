/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a namespace has of its own what the kernel shows below net/ in it. Which keys are
 * there only the kernel knows; what no kernel has there, or what is no setting, is refused here.
 */
#include "sysctl_key.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SPACES  " \t\n"
#define OFFLOAD "offload/"

char *sysctl_key_normal(const char *text, struct arena *arena)
{
	char *key = arena_strdup(arena, text);
	size_t first = strcspn(key, "./");

	if (key[first] != '.')
		return key;
	for (char *c = key; *c; c++)
		*c = *c == '.' ? '/' : *c == '/' ? '.' : *c;
	return key;
}

static bool is_command(const char *key)
{
	return !strcmp(key, "net/ipv4/route/flush") || !strcmp(key, "net/ipv6/route/flush");
}

const char *sysctl_key_problem(const char *key)
{
	if (strlen(key) > SYSCTL_KEY_MAX)
		return "is longer than 128 bytes";
	for (const unsigned char *byte = (const unsigned char *)key; *byte; byte++)
		if (*byte <= ' ' || *byte == 0x7f)
			return "contains white space or a control character";
	if (strncmp(key, "net/", strlen("net/")))
		return "is not one that each namespace has of its own: those are below 'net', the "
		       "others are the whole machine's";
	for (const char *part = key; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (!*part || *part == '/')
			return "has an empty part";
		if (!strncmp(part, "../", 3) || !strcmp(part, "..") || !strncmp(part, "./", 2) ||
		    !strcmp(part, "."))
			return "leads elsewhere";
	}
	if (is_command(key))
		return "is a command and no setting: it has no value that stays";
	return NULL;
}

const char *sysctl_key_identity(const char *key)
{
	return !strcmp(key, "net/ipv4/ip_forward") ? "net/ipv4/conf/all/forwarding" : key;
}

bool sysctl_key_interface(const char *key, char ret_name[NAME_INTERFACE_MAX + 1])
{
	static const char *const folders[] = {"net/ipv4/conf/",  "net/ipv6/conf/",
					      "net/ipv4/neigh/", "net/ipv6/neigh/",
					      "net/mpls/conf/",  OFFLOAD};

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		const char *name = key + strlen(folders[i]);
		size_t length;

		if (strncmp(key, folders[i], strlen(folders[i])))
			continue;
		length = strcspn(name, "/");
		if (length > NAME_INTERFACE_MAX || !name[length])
			return false;
		memcpy(ret_name, name, length);
		ret_name[length] = '\0';
		return strcmp(ret_name, "all") && strcmp(ret_name, "default");
	}
	return false;
}

char *sysctl_key_of_offload(const char *link, struct arena *arena)
{
	return arena_printf(arena, OFFLOAD "%s/tx-checksum", link);
}

bool sysctl_key_offload(const char *key, char ret_link[NAME_INTERFACE_MAX + 1])
{
	return !strncmp(key, OFFLOAD, strlen(OFFLOAD)) && sysctl_key_interface(key, ret_link);
}

/* net/ipv4/devinet.c: inet_forward_change(); net/ipv6/addrconf.c: addrconf_fixup_forwarding(),
 * addrconf_disable_ipv6() and the like, for every key of "all" that is passed on. */
bool sysctl_key_switches_all(const char *key)
{
	static const char *const folders[] = {"net/ipv4/conf/all/", "net/ipv6/conf/all/"};

	key = sysctl_key_identity(key);
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (!strncmp(key, folders[i], strlen(folders[i])))
			return true;
	return false;
}

static bool word_equal(const char *a, size_t a_length, const char *b, size_t b_length)
{
	long long left, right;
	char *a_end, *b_end;

	if (a_length == b_length && !memcmp(a, b, a_length))
		return true;
	errno = 0;
	left = strtoll(a, &a_end, 0);
	right = strtoll(b, &b_end, 0);
	return !errno && a_end == a + a_length && b_end == b + b_length && left == right;
}

bool sysctl_value_equal(const char *a, const char *b)
{
	for (;;) {
		size_t a_length, b_length;

		a += strspn(a, SPACES);
		b += strspn(b, SPACES);
		a_length = strcspn(a, SPACES);
		b_length = strcspn(b, SPACES);
		if (!a_length || !b_length)
			return a_length == b_length;
		if (!word_equal(a, a_length, b, b_length))
			return false;
		a += a_length;
		b += b_length;
	}
}
