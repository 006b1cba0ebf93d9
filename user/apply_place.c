/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: sockets keep the namespace they were opened in, so each namespace is entered once.
 * An ifindex is kept from the first time somebody asks for it until the link or its namespace is
 * deleted by us.
 */
#include "apply_place.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "link.h"
#include "netns.h"

#define LINK_KEY_MAX 128

static void place_close(struct place *place)
{
	netlink_close(place->nl);
	if (place->name)
		close(place->fd);
	*place = (struct place){.fd = -1};
}

int places_open(struct places *places, int host_fd, struct arena *arena, struct error *err)
{
	memset(places, 0, sizeof(*places));
	places->arena = arena;
	places->host.fd = host_fd;
	return netlink_open(&places->host.nl, host_fd, err);
}

void places_close(struct places *places)
{
	netlink_close(places->host.nl);
	places->host.nl = NULL;
	while (places->count)
		place_close(&places->open[--places->count]);
}

static struct place *find(struct places *places, const char *namespace)
{
	for (size_t i = 0; i < places->count; i++)
		if (!strcmp(places->open[i].name, namespace))
			return &places->open[i];
	return NULL;
}

/* A free slot; the one that was not used for longest is closed when there is none. */
static struct place *make_room(struct places *places)
{
	struct place *oldest = &places->open[0];

	if (places->count < PLACES_MAX)
		return &places->open[places->count++];
	for (size_t i = 1; i < places->count; i++)
		if (places->open[i].used < oldest->used)
			oldest = &places->open[i];
	place_close(oldest);
	return oldest;
}

static int open_place(struct places *places, const char *namespace, struct place **ret,
		      struct error *err)
{
	struct place opened = {.name = namespace};
	int code;

	code = netns_open(namespace, &opened.fd, err);
	if (code)
		return code;
	code = netlink_open(&opened.nl, opened.fd, err);
	if (code) {
		close(opened.fd);
		return code;
	}
	*ret = make_room(places);
	**ret = opened;
	return 0;
}

int place_get(struct places *places, const char *namespace, struct place **ret, struct error *err)
{
	struct place *place = &places->host;
	int code;

	if (namespace) {
		place = find(places, namespace);
		code = place ? 0 : open_place(places, namespace, &place, err);
		if (code)
			return code;
	}
	place->used = ++places->clock;
	*ret = place;
	return 0;
}

static char *link_key(char buffer[LINK_KEY_MAX], const char *namespace, const char *link)
{
	snprintf(buffer, LINK_KEY_MAX, "%s/%s", namespace ? namespace : "", link);
	return buffer;
}

static uint32_t *ifindex_slot(const struct places *places, const char *namespace, const char *link)
{
	char key[LINK_KEY_MAX];

	return lookup_find(&places->ifindexes, link_key(key, namespace, link));
}

void place_forget_link(struct places *places, const char *namespace, const char *link)
{
	uint32_t *slot = ifindex_slot(places, namespace, link);

	if (slot)
		*slot = 0;
}

void place_forget(struct places *places, const char *namespace)
{
	struct place *place = find(places, namespace);

	if (!place)
		return;
	place_close(place);
	*place = places->open[--places->count];
}

static void remember(struct places *places, const char *namespace, const char *link,
		     uint32_t ifindex)
{
	uint32_t *slot = ifindex_slot(places, namespace, link);
	char key[LINK_KEY_MAX];

	if (!slot) {
		slot = arena_alloc(places->arena, sizeof(*slot));
		lookup_add(&places->ifindexes, places->arena,
			   arena_strdup(places->arena, link_key(key, namespace, link)), slot);
	}
	*slot = ifindex;
}

int place_resolve(struct places *places, const char *namespace, const char *const *links,
		  size_t count, struct error *err)
{
	const char *unknown[RESOLVE_MAX];
	uint32_t ifindexes[RESOLVE_MAX];
	struct place *place;
	size_t n = 0;
	int ret;

	for (size_t i = 0; i < count; i++) {
		uint32_t *slot = ifindex_slot(places, namespace, links[i]);

		if ((slot && *slot) || (n && !strcmp(unknown[n - 1], links[i])))
			continue;
		assert(n < RESOLVE_MAX);
		unknown[n++] = links[i];
	}
	if (!n)
		return 0;
	ret = place_get(places, namespace, &place, err);
	if (!ret)
		ret = link_indexes(place->nl, unknown, n, ifindexes, err);
	for (size_t i = 0; !ret && i < n; i++)
		remember(places, namespace, unknown[i], ifindexes[i]);
	return ret;
}

uint32_t place_ifindex(const struct places *places, const char *namespace, const char *link)
{
	uint32_t *slot = link ? ifindex_slot(places, namespace, link) : NULL;

	return slot ? *slot : 0;
}
