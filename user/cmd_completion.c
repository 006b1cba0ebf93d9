/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the words of a command are read out of its usage in the table, so that completion
 * cannot fall behind: small letters are words, a minus begins an option, capitals stand for
 * something that the shell looks up when it is asked - files, namespaces, interfaces, fabrics.
 */
#include "command.h"

#include <stdio.h>
#include <string.h>

const char cmd_completion_help[] =
	"Prints what makes a shell complete nsroute's commands, options, namespaces, interfaces and\n"
	"fabrics (these for root only).\n"
	"\n"
	"Examples:\n"
	"  nsroute completion bash | sudo tee /etc/bash_completion.d/nsroute >/dev/null\n"
	"  source <(nsroute completion bash)                                  # this shell only\n"
	"  nsroute completion zsh >\"${fpath[1]}/_nsroute\"\n"
	"  nsroute completion fish >~/.config/fish/completions/nsroute.fish\n";

static const char global_words[] =
	"--netns --json --color=auto --color=always --color=never --help";

/* What capitals in a usage stand for; all of them can be asked for without a colon in a name. */
static const struct lookup_words {
	const char *capitals;
	const char *command; /* NULL: of any */
	const char *function;
} sources[] = {
	{"NAMESPACE", NULL, "__nsroute_namespaces"}, {"NS", NULL, "__nsroute_namespaces"},
	{"NAME", "netns", "__nsroute_namespaces"},   {"NAME", "link", "__nsroute_interfaces"},
	{"NAME", "bridge", "__nsroute_interfaces"},  {"NAME", NULL, "__nsroute_fabrics"},
	{"INTERFACE", NULL, "__nsroute_interfaces"}, {"FILE", NULL, "files"},
	{"[COMMAND]", "help", "commands"},
};

/* The commands that the functions above run, in the words that bash, zsh and fish share. */
static const struct {
	const char *name, *command;
} functions[] = {
	{"__nsroute_namespaces", "command ls /run/netns 2>/dev/null"},
	{"__nsroute_interfaces", "command ls /sys/class/net 2>/dev/null"},
	{"__nsroute_fabrics", "nsroute show 2>/dev/null | awk 'NR > 1 { print $1 }'"},
};

#define LIST_MAX 1024

struct usage {
	char words[LIST_MAX];
	bool files, commands;
	bool functions[sizeof(functions) / sizeof(*functions)];
};

static void take_capitals(const struct command *command, const char *token, struct usage *usage)
{
	const char *found = "";

	for (size_t i = 0; !*found && i < sizeof(sources) / sizeof(*sources); i++) {
		const char *only = sources[i].command;

		if (strcmp(token, sources[i].capitals) == 0 &&
		    (!only || strcmp(only, command->name) == 0))
			found = sources[i].function;
	}
	usage->files |= strcmp(found, "files") == 0;
	usage->commands |= strcmp(found, "commands") == 0;
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
		usage->functions[i] |= strcmp(found, functions[i].name) == 0;
}

static void take_token(const struct command *command, const char *token, struct usage *usage)
{
	size_t used = strlen(usage->words), length = strlen(token);
	const char *at = strstr(usage->words, token);

	if (token[strspn(token, "abcdefghijklmnopqrstuvwxyz0123456789-")] ||
	    (*token != '-' && (*token < 'a' || *token > 'z'))) {
		take_capitals(command, token, usage);
		return;
	}
	while (at && ((at > usage->words && at[-1] != ' ') || (at[length] && at[length] != ' ')))
		at = strstr(at + 1, token);
	if (!at && used + length + 2 < sizeof(usage->words))
		snprintf(usage->words + used, sizeof(usage->words) - used, "%s%s", used ? " " : "",
			 token);
}

static struct usage read_usage(const struct command *command)
{
	struct usage usage = {.words = ""};
	char text[LIST_MAX], *rest = text, *token;

	snprintf(text, sizeof(text), "%s", command->usage);
	usage.commands = strcmp(command->name, "help") == 0;
	while ((token = strsep(&rest, " |[]")))
		if (*token)
			take_token(command, token, &usage);
	return usage;
}

static void print_functions(const char *format)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
		printf(format, functions[i].name, functions[i].command);
}

static void print_commands(void)
{
	for (const struct command *command = commands; command->name; command++)
		if (command->run)
			printf("%s ", command->name);
}

/* "a) words='b c'; words+=" $(f)" ;;" */
static void print_cases(const char *if_files)
{
	for (const struct command *command = commands; command->name; command++) {
		struct usage usage = read_usage(command);

		if (!command->run)
			continue;
		printf("\t%s)\n\t\twanted='", command->name);
		if (usage.commands)
			print_commands();
		printf("%s'\n", usage.words);
		for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
			if (usage.functions[i])
				printf("\t\twanted+=\" $(%s)\"\n", functions[i].name);
		if (usage.files)
			printf("\t\t%s\n", if_files);
		printf("\t\t;;\n");
	}
}

/* The command is the first word that is neither an option nor the value of one. */
static const char find_command[] =
	"	for ((i = first; i < last; i++)); do\n"
	"		case $previous in\n"
	"		--netns) ;;\n"
	"		*) [[ ${all[i]} == -* ]] || { command=${all[i]}; break; } ;;\n"
	"		esac\n"
	"		previous=${all[i]}\n"
	"	done\n"
	"	case $before in\n"
	"	-n | --netns | --namespace) command=--netns ;;\n"
	"	esac\n"
	"	case $command in\n"
	"	--netns) wanted=$(__nsroute_namespaces) ;;\n";

static void print_start(const char *shell)
{
	printf("# %s completion of nsroute: nsroute completion %s\n\n", shell, shell);
}

static void print_global(void)
{
	printf("\t'')\n\t\twanted='");
	print_commands();
	printf("%s'\n\t\t;;\n", global_words);
}

static void print_bash(void)
{
	print_start("bash");
	print_functions("%s() { %s; }\n");
	printf("\n_nsroute() {\n"
	       "	local all=(\"${COMP_WORDS[@]}\") first=1 last=$COMP_CWORD command='' previous='' wanted='' i\n"
	       "	local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
	       "	COMPREPLY=()\n%s",
	       find_command);
	print_global();
	print_cases("mapfile -t COMPREPLY < <(compgen -f -- \"$current\")");
	printf("	esac\n"
	       "	mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W \"$wanted\" -- "
	       "\"$current\")\n"
	       "}\n"
	       "complete -o filenames -F _nsroute nsroute\n");
}

static void print_zsh(void)
{
	printf("#compdef nsroute\n");
	print_start("zsh");
	print_functions("%s() { %s; }\n");
	printf("\n_nsroute() {\n"
	       "	local -a all=(\"${words[@]}\")\n"
	       "	local first=2 last=$CURRENT command='' previous='' wanted='' i\n"
	       "	local before=${words[CURRENT - 1]}\n%s",
	       find_command);
	print_global();
	print_cases("_files");
	printf("	esac\n"
	       "	compadd -- ${=wanted}\n"
	       "}\n"
	       "if [[ ${funcstack[1]} == _nsroute ]]; then\n"
	       "	_nsroute \"$@\"\n"
	       "else\n"
	       "	compdef _nsroute nsroute\n"
	       "fi\n");
}

static void print_fish(void)
{
	print_start("fish");
	print_functions("function %s\n\t%s\nend\n");
	printf("complete -c nsroute -f\n"
	       "complete -c nsroute -l netns -x -a '(__nsroute_namespaces)'\n"
	       "complete -c nsroute -s j -l json\n"
	       "complete -c nsroute -l color -x -a 'auto always never'\n");
	for (const struct command *command = commands; command->name; command++) {
		struct usage usage = read_usage(command);

		if (!command->run)
			continue;
		printf("complete -c nsroute -n __fish_use_subcommand -a %s -d '%s'\n",
		       command->name, command->summary);
		printf("complete -c nsroute -n '__fish_seen_subcommand_from %s' -a '%s",
		       command->name, usage.words);
		if (usage.commands)
			print_commands();
		for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
			if (usage.functions[i])
				printf(" (%s)", functions[i].name);
		printf("'%s\n", usage.files ? " -F" : "");
	}
}

int cmd_completion(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	const char *shell;

	if (command_option(context, argc, argv, options) != -1)
		return EXIT_INVALID;
	shell = argc - optind == 1 ? argv[optind] : "";
	if (strcmp(shell, "bash") == 0)
		print_bash();
	else if (strcmp(shell, "zsh") == 0)
		print_zsh();
	else if (strcmp(shell, "fish") == 0)
		print_fish();
	else
		return command_usage(context, "one shell is needed: bash, zsh or fish");
	return EXIT_DONE;
}
