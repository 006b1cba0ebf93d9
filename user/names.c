/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the kernel's own rules (net/core/dev.c: dev_valid_name, which takes Latin-1's
 * no-break space for a space, and the '%' of name templates), and what the places demand that a
 * name is used in: a sysctl path, a file name in /run/netns, an endpoint "NAMESPACE:INTERFACE", a
 * terminal.
 */
#include "names.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* What no name of a link may contain; a namespace's name becomes a part of one. */
static const char *letters_problem(const char *name)
{
	if (!*name)
		return "is empty";
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return "is not a name but a directory";
	for (const unsigned char *byte = (const unsigned char *)name; *byte; byte++) {
		if (*byte == '/' || *byte == ':' || *byte == '%')
			return "contains '/', ':' or '%'";
		if (*byte <= ' ' || *byte == 0x7f || *byte == 0xa0)
			return "contains white space or a control character";
	}
	return NULL;
}

const char *name_interface_problem(const char *name)
{
	if (strlen(name) > NAME_INTERFACE_MAX)
		return "is longer than the 15 bytes that the kernel allows";
	if (!strcmp(name, "lo"))
		return "is the name of every namespace's loopback interface";
	/* net.ipv4.conf has entries of these names: the kernel refuses them too. */
	if (!strcmp(name, "all") || !strcmp(name, "default"))
		return "is reserved by the kernel";
	return letters_problem(name);
}

const char *name_namespace_problem(const char *name)
{
	if (strlen(name) > NAME_NAMESPACE_MAX)
		return "is longer than 64 bytes";
	if (!strcmp(name, "host"))
		return "means the host namespace, which is not declared";
	if (*name == '.' || *name == '-')
		return "starts with '.' or '-'";
	return letters_problem(name);
}

static bool fabric_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '-';
}

const char *name_fabric_problem(const char *name)
{
	if (!*name)
		return "is empty";
	if (strlen(name) > NAME_FABRIC_MAX)
		return "is longer than 32 bytes";
	if (*name == '.' || *name == '-')
		return "starts with '.' or '-'"; /* a file name, and a word of the command line */
	for (const char *c = name; *c; c++)
		if (!fabric_letter(*c))
			return "contains something else than letters, digits, '_', '.' and '-'";
	return NULL;
}
