/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works
 *
 * Both texts become chains of rules. A packet walks a chain rule by rule: one that surely matches
 * ends its way with the rule's verdict, one that perhaps matches leaves two possibilities, of which
 * the worse is remembered. Chains that call each other in a circle cannot be loaded, but a depth
 * limit costs nothing.
 */
#include "netfilter.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define DEPTH_MAX 32 /* the kernel's own limit is 16 (NFT_JUMP_STACK_SIZE) */
#define WORDS_MAX 128

/* ---- nft's JSON. */

static const char *string_in(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool take_name(const json_t *match, const char *key, bool not, struct netfilter_name *name,
		      struct arena *arena)
{
	const char *meta =
		string_in(json_object_get(json_object_get(match, "left"), "meta"), "key");
	const char *value = json_string_value(json_object_get(match, "right"));
	size_t length = strlen(key);

	/* "iif" and "iifname" */
	if (!value || strncmp(meta, key, length) || (meta[length] && strcmp(meta + length, "name")))
		return false;
	*name = (struct netfilter_name){arena_strdup(arena, value), not };
	return true;
}

static bool take_network(const json_t *match, const char *field, bool not,
			 struct netfilter_network *network)
{
	const json_t *payload = json_object_get(json_object_get(match, "left"), "payload");
	const json_t *right = json_object_get(match, "right");
	const json_t *prefix = json_object_get(right, "prefix");
	const char *address = prefix ? string_in(prefix, "addr") : json_string_value(right);
	struct ip_address ip;

	if (strcmp(string_in(payload, "field"), field) || !address || !ip_parse(address, &ip, NULL))
		return false;
	if (prefix)
		ip.prefix_len = (uint8_t)json_integer_value(json_object_get(prefix, "len"));
	*network = (struct netfilter_network){ip, not };
	return true;
}

static bool names_new(const json_t *states)
{
	const json_t *set = json_object_get(states, "set");
	const char *one = json_string_value(states);
	json_t *state;
	size_t i;

	if (one)
		return !strcmp(one, "new");
	json_array_foreach(set ? set : states, i,
			   state) if (json_is_string(state) &&
				      !strcmp(json_string_value(state), "new")) return true;
	return false;
}

/* "ct state established,related" */
static bool take_state(const json_t *match, bool not, struct netfilter_rule *rule)
{
	const json_t *ct = json_object_get(json_object_get(match, "left"), "ct");

	if (not || strcmp(string_in(ct, "key"), "state") ||
	    names_new(json_object_get(match, "right")))
		return false;
	rule->established = true;
	return true;
}

static void take_match(const json_t *match, struct netfilter_rule *rule, struct arena *arena)
{
	const char *word = string_in(match, "op"); /* "in": one of several */
	bool not = !strcmp(word, "!=");

	if (take_state(match, not, rule))
		return;
	if ((strcmp(word, "==") && !not ) || (!take_name(match, "iif", not, &rule->in, arena) &&
					      !take_name(match, "oif", not, &rule->out, arena) &&
					      !take_network(match, "saddr", not, &rule->from) &&
					      !take_network(match, "daddr", not, &rule->to)))
		rule->other = true;
}

static enum netfilter_verdict verdict_of(const char *word)
{
	static const struct {
		const char *word;
		enum netfilter_verdict verdict;
	} verdicts[] = {{"accept", NETFILTER_ACCEPT},
			{"drop", NETFILTER_DROP},
			{"reject", NETFILTER_DROP},
			{"jump", NETFILTER_JUMP},
			{"goto", NETFILTER_GOTO},
			{"return", NETFILTER_RETURN},
			{"masquerade", NETFILTER_TRANSLATE},
			{"snat", NETFILTER_TRANSLATE},
			{"counter", NETFILTER_NOTHING},
			{"log", NETFILTER_NOTHING},
			{"comment", NETFILTER_NOTHING},
			{"mangle", NETFILTER_NOTHING}};

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++)
		if (!strcasecmp(verdicts[i].word, word))
			return verdicts[i].verdict;
	return NETFILTER_UNKNOWN;
}

/* Of iptables-nft: extensions that nft itself does not know. */
static void take_extension(const json_t *value, struct netfilter_rule *rule)
{
	bool comment = !strcmp(string_in(value, "name"), "comment");

	if (!strcmp(string_in(value, "type"), "target"))
		rule->verdict = verdict_of(string_in(value, "name"));
	else if (!comment)
		rule->other = true;
}

static void take_expression(const json_t *expression, struct netfilter_rule *rule,
			    struct arena *arena)
{
	const char *key = json_object_iter_key(json_object_iter((json_t *)expression));
	const json_t *value = key ? json_object_get(expression, key) : NULL;

	if (!key)
		return;
	if (!strcmp(key, "match")) {
		take_match(value, rule, arena);
	} else if (!strcmp(key, "xt")) {
		take_extension(value, rule);
	} else {
		enum netfilter_verdict verdict = verdict_of(key);

		if (verdict == NETFILTER_NOTHING)
			return;
		rule->verdict = verdict;
		rule->target = arena_strdup(arena, string_in(value, "target"));
	}
}

static struct netfilter_chain *find_chain(const struct netfilter *netfilter, bool legacy,
					  const char *family, const char *table, const char *name)
{
	for (size_t i = 0; i < netfilter->count; i++) {
		struct netfilter_chain *chain = &netfilter->chains[i];

		if (chain->legacy == legacy && !strcmp(chain->family, family) &&
		    !strcmp(chain->table, table) && !strcmp(chain->name, name))
			return chain;
	}
	return NULL;
}

static enum netfilter_hook hook_of(const char *name)
{
	if (!strcasecmp(name, "forward"))
		return NETFILTER_FORWARD;
	return strcasecmp(name, "postrouting") ? NETFILTER_NO_HOOK : NETFILTER_POSTROUTING;
}

static void take_chain(const json_t *object, struct arena *arena, struct netfilter *netfilter)
{
	struct netfilter_chain *chain = arena_push(arena, netfilter->chains, netfilter->count);

	chain->family = arena_strdup(arena, string_in(object, "family"));
	chain->table = arena_strdup(arena, string_in(object, "table"));
	chain->name = arena_strdup(arena, string_in(object, "name"));
	chain->hook = hook_of(string_in(object, "hook"));
	chain->drops = !strcmp(string_in(object, "policy"), "drop");
}

static void take_rule(const json_t *object, struct arena *arena, const struct netfilter *netfilter)
{
	struct netfilter_chain *chain =
		find_chain(netfilter, false, string_in(object, "family"),
			   string_in(object, "table"), string_in(object, "chain"));
	struct netfilter_rule *rule;
	json_t *expression;
	size_t i;

	if (!chain)
		return;
	rule = arena_push(arena, chain->rules, chain->count);
	rule->handle = (unsigned int)json_integer_value(json_object_get(object, "handle"));
	json_array_foreach(json_object_get(object, "expr"), i, expression)
		take_expression(expression, rule, arena);
}

int netfilter_parse_nft(const char *text, struct arena *arena, struct netfilter *netfilter,
			struct error *err)
{
	json_error_t why;
	json_t *root = json_loads(text, 0, &why), *list, *item;
	size_t i;

	list = json_object_get(root, "nftables");
	if (!json_is_array(list)) {
		json_decref(root);
		return error_set(err, -EINVAL, "cannot read what nft printed: %s",
				 root ? "there is no ruleset in it" : why.text);
	}
	json_array_foreach(list, i, item)
	{
		if (json_object_get(item, "chain"))
			take_chain(json_object_get(item, "chain"), arena, netfilter);
		if (json_object_get(item, "rule"))
			take_rule(json_object_get(item, "rule"), arena, netfilter);
	}
	json_decref(root);
	return 0;
}

/* ---- iptables-save's lines. */

/* Splits in place; quoted words keep their spaces. */
static size_t split(char *line, char *words[WORDS_MAX])
{
	size_t count = 0;

	while (*line && count < WORDS_MAX) {
		char end = ' ';

		line += strspn(line, " ");
		if (!*line)
			break;
		if (*line == '"') {
			end = '"';
			line++;
		}
		words[count++] = line;
		while (*line && *line != end)
			line += *line == '\\' && line[1] ? 2 : 1;
		if (*line)
			*line++ = '\0';
	}
	return count;
}

/* "eth+" of iptables is "eth*" of nft. */
static const char *plus_to_star(const char *name, struct arena *arena)
{
	size_t length = strlen(name);

	return length && name[length - 1] == '+'
		       ? arena_printf(arena, "%.*s*", (int)length - 1, name)
		       : arena_strdup(arena, name);
}

static void take_target(char *const *words, size_t count, size_t *at, struct netfilter_rule *rule,
			struct arena *arena)
{
	bool jump = !strcmp(words[*at], "-j");
	enum netfilter_verdict verdict = NETFILTER_UNKNOWN;

	if (*at + 1 >= count)
		return;
	(*at)++;
	if (jump)
		verdict = verdict_of(words[*at]);
	/* Targets are in capitals; what is none of those that we know is perhaps a chain. */
	if (verdict == NETFILTER_UNKNOWN)
		verdict = jump ? NETFILTER_JUMP : NETFILTER_GOTO;
	rule->verdict = verdict;
	rule->target = arena_strdup(arena, words[*at]);
	*at = count; /* what follows are the target's options */
}

static void take_words(char *const *words, size_t count, struct netfilter_rule *rule,
		       struct arena *arena)
{
	bool not = false;

	for (size_t i = 0; i < count; i++) {
		const char *value = i + 1 < count ? words[i + 1] : "";

		if (!strcmp(words[i], "!")) {
			not = true;
			continue;
		}
		if (!strcmp(words[i], "-i")) {
			rule->in = (struct netfilter_name){plus_to_star(value, arena), not };
			i++;
		} else if (!strcmp(words[i], "-o")) {
			rule->out = (struct netfilter_name){plus_to_star(value, arena), not };
			i++;
		} else if (!strcmp(words[i], "-s") && ip_parse(value, &rule->from.ip, NULL)) {
			rule->from.not = not ;
			i++;
		} else if (!strcmp(words[i], "-d") && ip_parse(value, &rule->to.ip, NULL)) {
			rule->to.not = not ;
			i++;
		} else if (!strcmp(words[i], "-j") || !strcmp(words[i], "-g")) {
			take_target(words, count, &i, rule, arena);
		} else if (!strcmp(words[i], "-m") && !strcmp(value, "comment")) {
			i += 3;
		} else if (!strcmp(words[i], "-m") &&
			   (!strcmp(value, "conntrack") || !strcmp(value, "state"))) {
			i++;
		} else if ((!strcmp(words[i], "--ctstate") || !strcmp(words[i], "--state")) &&
			   !not &&!strstr(value, "NEW")) {
			rule->established = true;
			i++;
		} else {
			rule->other = true;
		}
		not = false;
	}
}

/* ":FORWARD DROP [0:0]" */
static void take_chain_line(char *line, const char *family, const char *table, struct arena *arena,
			    struct netfilter *netfilter)
{
	struct netfilter_chain *chain = arena_push(arena, netfilter->chains, netfilter->count);
	char *words[WORDS_MAX];
	size_t count = split(line + 1, words);

	chain->legacy = true;
	chain->family = family;
	chain->table = table;
	chain->name = arena_strdup(arena, count ? words[0] : "");
	if (!strcmp(table, "filter") || !strcmp(table, "nat"))
		chain->hook = hook_of(chain->name);
	chain->drops = count > 1 && !strcmp(words[1], "DROP");
}

/* "-A FORWARD -i br0 -j DROP" */
static void take_rule_line(char *line, const char *family, const char *table, struct arena *arena,
			   const struct netfilter *netfilter)
{
	const char *whole = arena_strdup(arena, line);
	struct netfilter_chain *chain;
	struct netfilter_rule *rule;
	char *words[WORDS_MAX];
	size_t count = split(line, words);

	if (count < 2)
		return;
	chain = find_chain(netfilter, true, family, table, words[1]);
	if (!chain)
		return;
	rule = arena_push(arena, chain->rules, chain->count);
	rule->words = whole + strlen("-A ") + strlen(words[1]);
	rule->words += *rule->words == ' ';
	take_words(words + 2, count - 2, rule, arena);
}

void netfilter_parse_iptables(const char *text, const char *family, struct arena *arena,
			      struct netfilter *netfilter)
{
	char *copy = arena_strdup(arena, text), *next;
	const char *table = "";

	if (strstr(text, "(nf_tables)"))
		return;
	for (char *line = copy; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (*line == '*')
			table = arena_strdup(arena, line + 1);
		else if (*line == ':')
			take_chain_line(line, family, table, arena, netfilter);
		else if (!strncmp(line, "-A ", 3))
			take_rule_line(line, family, table, arena, netfilter);
	}
}

/* ---- Packets. */

enum answer { NO, PERHAPS, YES };

static enum answer least(enum answer a, enum answer b)
{
	return a < b ? a : b;
}

static enum answer negated(enum answer answer, bool not )
{
	return not ? YES - answer : answer;
}

static enum answer name_matches(const struct netfilter_name *name, const char *interface)
{
	size_t length;
	bool same;

	if (!name->name)
		return YES;
	if (!interface)
		return PERHAPS;
	length = strlen(name->name);
	same = length && name->name[length - 1] == '*' ? !strncmp(name->name, interface, length - 1)
						       : !strcmp(name->name, interface);
	return negated(same ? YES : NO, name->not );
}

static enum answer network_matches(const struct netfilter_network *network,
				   const struct ip_address *ip)
{
	if (!network->ip.family)
		return YES;
	if (!ip->family)
		return PERHAPS;
	if (!ip_overlap(&network->ip, ip))
		return negated(NO, network->not );
	if (network->ip.prefix_len > ip->prefix_len)
		return PERHAPS; /* a part of the network */
	return negated(YES, network->not );
}

static enum answer matches(const struct netfilter_rule *rule, const struct netfilter_packet *packet)
{
	enum answer answer = rule->other ? PERHAPS : YES;

	answer = least(answer, name_matches(&rule->in, packet->in));
	answer = least(answer, name_matches(&rule->out, packet->out));
	if (rule->established && !packet->reply)
		answer = NO;
	answer = least(answer, network_matches(&rule->from, &packet->from));
	return least(answer, network_matches(&rule->to, &packet->to));
}

bool netfilter_may_match(const struct netfilter_rule *rule, const struct netfilter_packet *packet)
{
	return matches(rule, packet) != NO;
}

const struct netfilter_chain *netfilter_find_chain(const struct netfilter *netfilter,
						   const struct netfilter_chain *beside,
						   const char *name)
{
	return find_chain(netfilter, beside->legacy, beside->family, beside->table, name);
}

/* Where a walk through a chain ends: accepted, dropped, or at its end. */
struct walk {
	const struct netfilter *netfilter;
	const struct netfilter_packet *packet;
	bool perhaps_dropped;
	bool perhaps_accepted; /* then a drop later on is no longer sure */
};

enum end { END_ACCEPTED, END_DROPPED, END_OF_CHAIN };

static enum end walk_chain(struct walk *walk, const struct netfilter_chain *chain,
			   unsigned int depth);

/* What an end that is only possible leaves behind. */
static void note_possible(struct walk *walk, enum end end)
{
	walk->perhaps_dropped |= end == END_DROPPED;
	walk->perhaps_accepted |= end == END_ACCEPTED;
}

static enum end walk_rule(struct walk *walk, const struct netfilter_chain *chain,
			  const struct netfilter_rule *rule, unsigned int depth)
{
	const struct netfilter_chain *target;

	switch (rule->verdict) {
	case NETFILTER_ACCEPT:
		return END_ACCEPTED;
	case NETFILTER_DROP:
		return END_DROPPED;
	case NETFILTER_JUMP:
	case NETFILTER_GOTO:
		target = netfilter_find_chain(walk->netfilter, chain, rule->target);
		return target && depth < DEPTH_MAX ? walk_chain(walk, target, depth + 1)
						   : END_OF_CHAIN;
	default:
		return END_OF_CHAIN;
	}
}

static enum end walk_chain(struct walk *walk, const struct netfilter_chain *chain,
			   unsigned int depth)
{
	for (size_t i = 0; i < chain->count; i++) {
		const struct netfilter_rule *rule = &chain->rules[i];
		enum answer answer = matches(rule, walk->packet);
		enum end end;

		if (answer == NO)
			continue;
		end = walk_rule(walk, chain, rule, depth);
		if (answer == PERHAPS) {
			note_possible(walk, end);
			continue;
		}
		if (end != END_OF_CHAIN || rule->verdict == NETFILTER_RETURN ||
		    rule->verdict == NETFILTER_GOTO)
			return end;
	}
	return END_OF_CHAIN;
}

enum netfilter_fate netfilter_forward(const struct netfilter *netfilter,
				      const struct netfilter_chain *chain,
				      const struct netfilter_packet *packet)
{
	struct walk walk = {.netfilter = netfilter, .packet = packet};
	enum end end = walk_chain(&walk, chain, 0);

	if (end == END_OF_CHAIN)
		end = chain->drops ? END_DROPPED : END_ACCEPTED;
	if (end == END_DROPPED && !walk.perhaps_accepted)
		return NETFILTER_DROPPED;
	return end == END_DROPPED || walk.perhaps_dropped ? NETFILTER_PERHAPS_DROPPED
							  : NETFILTER_PASSES;
}
