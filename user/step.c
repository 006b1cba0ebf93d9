/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: words are taken from the front. Each object has its verbs, each verb a function
 * that takes the rest; what is left over at the end is a mistake. Of iproute2's abbreviations only
 * those are known that people type: any prefix would make every new word a trap.
 */
#include "step.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "names.h"

#define MTU_MAX 65535

struct words {
	char *const *words;
	int count;
};

static const char *peek(const struct words *words)
{
	return words->count ? words->words[0] : NULL;
}

static const char *take(struct words *words)
{
	words->count--;
	return *words->words++;
}

/* Takes the next word if it is this one. */
static bool take_if(struct words *words, const char *word)
{
	if (!words->count || strcmp(words->words[0], word))
		return false;
	take(words);
	return true;
}

static int take_value(struct words *words, const char *after, const char **ret, struct error *err)
{
	if (!words->count) {
		error_invalid(err, "'%s' needs a value", after);
		return -EINVAL;
	}
	*ret = take(words);
	return 0;
}

static int refuse_rest(const struct words *words, struct error *err)
{
	return words->count ? error_invalid(err, "'%s' is not understood here", words->words[0])
			    : 0;
}

/* ---- Kinds of words. */

static int check_interface(const char *name, struct error *err)
{
	const char *problem = strcmp(name, "lo") ? name_interface_problem(name) : NULL;

	return problem ? error_invalid(err, "interface '%s': the name %s", name, problem) : 0;
}

static int take_interface(struct words *words, const char *after, const char **ret,
			  struct error *err)
{
	int code;

	take_if(words, "dev");
	code = take_value(words, after, ret, err);
	return code ? code : check_interface(*ret, err);
}

/* "host" is the host namespace, as in a file. */
static int take_namespace(struct words *words, const char **ret, struct error *err)
{
	int code = take_value(words, "netns", ret, err);

	if (!code && !strcmp(*ret, "host"))
		*ret = NULL;
	return code;
}

static int take_mac(struct words *words, struct step_end *end, struct error *err)
{
	const char *text;
	int code = take_value(words, "address", &text, err);

	if (code)
		return code;
	if (!mac_parse(text, end->mac))
		return error_invalid(
			err, "'%s' is no MAC address; write one like 02:00:00:00:00:01", text);
	end->has_mac = true;
	return 0;
}

static int take_mtu(struct words *words, uint32_t *ret, struct error *err)
{
	const char *text;
	char *end;
	unsigned long mtu;
	int code = take_value(words, "mtu", &text, err);

	if (code)
		return code;
	mtu = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || !mtu || mtu > MTU_MAX)
		return error_invalid(err, "mtu is a number of bytes up to %d, not '%s'", MTU_MAX,
				     text);
	*ret = (uint32_t)mtu;
	return 0;
}

/* An address of an interface has to say how long its network's prefix is. */
static int take_address(struct words *words, struct ip_address *ret, struct error *err)
{
	const char *text;
	bool has_prefix;
	int code = take_value(words, "addr", &text, err);

	if (code)
		return code;
	if (!ip_parse(text, ret, &has_prefix))
		return error_invalid(err, "'%s' is no IP address", text);
	if (!has_prefix)
		return error_invalid(err,
				     "address %s has no prefix length: it would mean /%u, and no "
				     "route to its network; write, for example, %s/%u",
				     text, ip_bits(ret), text, ret->family == AF_INET ? 24 : 64);
	return 0;
}

static int take_destination(struct words *words, struct ip_address *ret, struct error *err)
{
	struct ip_address network;
	char text[IP_TEXT_MAX];
	const char *word;
	int code = take_value(words, "route", &word, err);

	if (code)
		return code;
	*ret = (struct ip_address){0};
	if (!strcmp(word, "default"))
		return 0; /* the family is that of the next hop */
	if (!ip_parse(word, ret, NULL))
		return error_invalid(err, "'%s' is no destination; write PREFIX/LEN or default",
				     word);
	network = ip_network(ret);
	if (!ip_equal(&network, ret))
		return error_invalid(err, "'%s' has bits set behind its prefix; write %s", word,
				     ip_format_prefix(&network, text));
	return 0;
}

/* ---- netns */

static int parse_netns(struct words *words, struct step *step, struct error *err)
{
	const char *problem;

	if (step->verb == STEP_LIST)
		return 0;
	if (step->verb == STEP_SET)
		return error_invalid(err, "'set' is not for namespaces");
	if (!words->count)
		return error_invalid(err, "the name of a namespace is needed");
	step->names = (const char *const *)words->words;
	for (; words->count; step->names_count++) {
		const char *name = take(words);

		problem = step->verb == STEP_ADD || step->verb == STEP_ADOPT
				  ? name_namespace_problem(name)
				  : NULL; /* what is there has its name */
		if (problem)
			return error_invalid(err, "namespace '%s': the name %s", name, problem);
		for (size_t i = 0; i < step->names_count; i++)
			if (!strcmp(step->names[i], name))
				return error_invalid(err, "namespace '%s' is named twice", name);
	}
	return 0;
}

bool step_is_exec(int count, char *const *words)
{
	return count && !strcmp(words[0], "exec");
}

/* ---- link and bridge */

/* What may stand behind the name of an end: "netns NAME" and "address MAC". True: one was taken. */
static bool take_end(struct words *words, struct step_end *end, int *code, struct error *err)
{
	if (take_if(words, "netns"))
		*code = take_namespace(words, &end->namespace, err);
	else if (take_if(words, "address"))
		*code = take_mac(words, end, err);
	else
		return false;
	return true;
}

static int take_veth(struct words *words, struct step *step, struct error *err)
{
	int code;

	if (!take_if(words, "peer"))
		return error_invalid(err, "a veth has two ends: peer name NAME2 is missing");
	take_if(words, "name");
	code = take_value(words, "peer name", &step->peer.name, err);
	if (!code)
		code = check_interface(step->peer.name, err);
	while (!code && take_end(words, &step->peer, &code, err))
		;
	if (code)
		return code;
	if (!strcmp(step->link.name, step->peer.name) &&
	    !strcmp(step->link.namespace ? step->link.namespace : "",
		    step->peer.namespace ? step->peer.namespace : ""))
		return error_invalid(err, "both ends would be '%s' in the same namespace",
				     step->peer.name);
	return 0;
}

static int parse_link_add(struct words *words, struct step *step, struct error *err)
{
	const char *kind;
	int code = 0;

	take_if(words, "name");
	code = take_interface(words, "add", &step->link.name, err);
	while (!code && (take_end(words, &step->link, &code, err) ||
			 (take_if(words, "mtu") && !(code = take_mtu(words, &step->mtu, err)))))
		;
	if (code)
		return code;
	if (!take_if(words, "type"))
		return peek(words) ? error_invalid(err, "'%s' is not understood here", peek(words))
				   : error_invalid(err, "type veth or type bridge is missing");
	code = take_value(words, "type", &kind, err);
	if (code)
		return code;
	if (!strcmp(kind, "veth"))
		return take_veth(words, step, err);
	if (!strcmp(kind, "bridge"))
		return 0;
	return error_invalid(err, "type '%s' is not supported; veth and bridge are", kind);
}

static int take_change(struct words *words, struct step *step, struct error *err)
{
	const char *word = take(words);

	if (!strcmp(word, "netns")) {
		step->moves = true;
		return take_namespace(words, &step->target, err);
	}
	if (!strcmp(word, "up") || !strcmp(word, "down")) {
		step->up = !strcmp(word, "up");
		step->down = !step->up;
		return 0;
	}
	if (!strcmp(word, "mtu"))
		return take_mtu(words, &step->mtu, err);
	if (!strcmp(word, "address"))
		return take_mac(words, &step->link, err);
	if (!strcmp(word, "nomaster")) {
		step->master = "";
		return 0;
	}
	if (!strcmp(word, "master"))
		return take_interface(words, "master", &step->master, err);
	return error_invalid(err,
			     "'%s' is not understood here (netns, up, down, mtu, address, master "
			     "and nomaster are)",
			     word);
}

static int parse_link(struct words *words, struct step *step, struct error *err)
{
	int code;

	if (step->verb == STEP_ADD)
		return parse_link_add(words, step, err);
	if (step->verb == STEP_LIST && !words->count)
		return 0;
	code = take_interface(words, step->verb == STEP_SET ? "set" : "link", &step->link.name,
			      err);
	if (code || step->verb != STEP_SET)
		return code;
	if (!words->count)
		return error_invalid(err, "nothing is to be set");
	while (!code && words->count)
		code = take_change(words, step, err);
	return code;
}

static int parse_bridge(struct words *words, struct step *step, struct error *err)
{
	if (step->verb == STEP_SET)
		return error_invalid(err, "'set' is not for bridges; \"nsroute link set\" is");
	if (step->verb == STEP_LIST && !words->count)
		return 0;
	return take_interface(words, "bridge", &step->link.name, err);
}

/* ---- addr and route */

/* "dev IF" and "netns NAME" in any order; with_via: "via ADDRESS" too. */
static int take_place(struct words *words, struct step *step, bool with_via, struct error *err)
{
	const char *text;
	int code = 0;

	while (!code && words->count) {
		if (!strcmp(peek(words), "dev")) {
			code = take_interface(words, "dev", &step->link.name, err);
		} else if (take_if(words, "netns")) {
			code = take_namespace(words, &step->link.namespace, err);
		} else if (with_via && take_if(words, "via")) {
			code = take_value(words, "via", &text, err);
			if (!code && (!ip_parse(text, &step->via, NULL) ||
				      step->via.prefix_len != ip_bits(&step->via)))
				code = error_invalid(err, "'%s' is no address of a next hop", text);
		} else {
			return refuse_rest(words, err);
		}
	}
	return code;
}

static int parse_address(struct words *words, struct step *step, struct error *err)
{
	int code = 0;

	if (step->verb == STEP_SET)
		return error_invalid(err, "'set' is not for addresses");
	if (step->verb == STEP_LIST) {
		if (words->count && strcmp(peek(words), "dev") && strcmp(peek(words), "netns"))
			code = take_interface(words, "list", &step->link.name, err);
		return code ? code : take_place(words, step, false, err);
	}
	code = take_address(words, &step->address, err);
	if (!code)
		code = take_place(words, step, false, err);
	if (!code && !step->link.name)
		code = error_invalid(err, "dev INTERFACE is missing");
	return code;
}

static int parse_route(struct words *words, struct step *step, struct error *err)
{
	int code;

	if (step->verb == STEP_SET)
		return error_invalid(err, "'set' is not for routes");
	if (step->verb == STEP_LIST)
		return take_place(words, step, false, err);
	code = take_destination(words, &step->address, err);
	if (!code)
		code = take_place(words, step, true, err);
	if (code)
		return code;
	if (!step->address.family)
		step->address.family = step->via.family ? step->via.family : AF_INET;
	if (step->via.family && step->via.family != step->address.family)
		return error_invalid(err, "the next hop is of another family than the destination");
	if (step->verb == STEP_ADD && !step->via.family && !step->link.name)
		return error_invalid(err, "via ADDRESS or dev INTERFACE is missing");
	return 0;
}

/* ---- All of them. */

static const struct {
	const char *word;
	enum step_verb verb;
} verbs[] = {
	{"list", STEP_LIST},  {"ls", STEP_LIST},       {"show", STEP_LIST}, {"add", STEP_ADD},
	{"del", STEP_DELETE}, {"delete", STEP_DELETE}, {"set", STEP_SET},   {"adopt", STEP_ADOPT},
};

static int take_verb(struct words *words, enum step_object object, enum step_verb *ret,
		     struct error *err)
{
	const char *word;

	*ret = STEP_LIST;
	if (!words->count)
		return 0;
	word = take(words);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(word, verbs[i].word) ||
		    (verbs[i].verb == STEP_ADOPT && object != STEP_NETNS))
			continue;
		*ret = verbs[i].verb;
		return 0;
	}
	return error_invalid(err, "there is no '%s' here", word);
}

int step_parse(enum step_object object, const char *namespace, int count, char *const *list,
	       struct step *ret, struct error *err)
{
	static int (*const parsers[])(struct words *, struct step *, struct error *) = {
		[STEP_NETNS] = parse_netns,   [STEP_LINK] = parse_link,
		[STEP_BRIDGE] = parse_bridge, [STEP_ADDRESS] = parse_address,
		[STEP_ROUTE] = parse_route,
	};
	struct words words = {list, count};
	const char *place = namespace && strcmp(namespace, "host") ? namespace : NULL;
	struct step step = {.object = object};
	int code = take_verb(&words, object, &step.verb, err);

	step.link.namespace = step.peer.namespace = place;
	if (!code)
		code = parsers[object](&words, &step, err);
	if (!code)
		code = refuse_rest(&words, err);
	if (!code)
		*ret = step;
	return code;
}
