/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --help, the manual pages and the completions, all from the tables of commands. */
#include "args.h"
#include "base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 30
#define WIDTH       79

static void put_spaces(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)putchar(' ');
}

/* @text broken into lines; the cursor stands in column @column, further lines begin in @indent */
static void put_wrapped(const char *text, unsigned column, unsigned indent)
{
	bool first = true;

	for (const char *at = text; *at != '\0';) {
		unsigned len = (unsigned)strcspn(at, " ");

		if (!first && column + 1 + len > WIDTH) {
			(void)putchar('\n');
			put_spaces(indent);
			column = indent;
		} else if (!first) {
			(void)putchar(' ');
			column++;
		}
		(void)fwrite(at, 1, len, stdout);
		column += len;
		first = false;
		at += len + strspn(at + len, " ");
	}
	(void)putchar('\n');
}

/* each long name of an option in turn; *@at begins at names, NULL at the end */
static bool next_name(const char **at, char *to, size_t size)
{
	size_t len;

	if (!*at || **at == '\0')
		return false;
	len = strcspn(*at, ",");
	if (str_copy(to, size, *at, len) < 0)
		return false;
	*at += len;
	if (**at == ',')
		++*at;
	return true;
}

static void option_title(const struct option *o, char *to, size_t size)
{
	char name[48] = "";
	const char *at = o->names;
	const char *more = o->many ? "..." : "";

	if (!next_name(&at, name, sizeof(name)))
		(void)snprintf(to, size, "-%c%s%s%s", o->letter, o->value ? " " : "",
			       o->value ? o->value : "", more);
	else if (o->letter)
		(void)snprintf(to, size, "-%c, --%s%s%s%s", o->letter, name, o->value ? "=" : "",
			       o->value ? o->value : "", more);
	else
		(void)snprintf(to, size, "    --%s%s%s%s%s%s", name, o->optional ? "[" : "",
			       o->value ? "=" : "", o->value ? o->value : "",
			       o->optional ? "]" : "", more);
}

static void put_options(const struct option *o)
{
	for (; o && o->key != 0; o++) {
		char title[120];
		unsigned n;

		if (!o->help)
			continue;
		option_title(o, title, sizeof(title));
		n = (unsigned)strlen(title) + 2;
		(void)printf("  %s", title);
		if (n + 1 >= HELP_COLUMN) {
			(void)putchar('\n');
			n = 0;
		}
		put_spaces(HELP_COLUMN - n);
		put_wrapped(o->help, HELP_COLUMN, HELP_COLUMN);
	}
}

int describe_help(const struct program *p, const struct command *c)
{
	char title[64];

	(void)command_title(p, c, title, sizeof(title));
	for (unsigned i = 0; i < COMMAND_MAX_SYNOPSES && c->synopses[i]; i++)
		(void)printf("%s %s %s\n", i == 0 ? "usage:" : "      ", title, c->synopses[i]);
	(void)putchar('\n');
	(void)putchar(toupper((unsigned char)c->summary[0]));
	put_wrapped(c->summary + 1, 1, 0);
	(void)putchar('\n');
	put_options(c->options);
	put_options(option_common);
	if (p->links)
		(void)printf("\nMore: man %s\n", title);
	return 0;
}

int describe_program(const struct program *p)
{
	unsigned width = 14;

	(void)printf("usage: %s COMMAND [OPTION]... [ARGUMENT]...\n\n", p->name);
	put_wrapped(p->summary, 0, 0);
	(void)putchar('\n');
	for (const struct command *const *c = p->commands; *c; c++)
		if (strlen((*c)->name) + 4 > width)
			width = (unsigned)strlen((*c)->name) + 4;
	for (const struct command *const *c = p->commands; *c; c++) {
		(void)printf("  %-*s", (int)width - 2, (*c)->name);
		put_wrapped((*c)->summary, width, width);
	}
	(void)printf("\nEach answers --help.%s\n",
		     p->links ? " Each is also a program of its own: qvm ls is qvm-ls." : "");
	return 0;
}

/* text for roff: what would be markup is escaped, a dash stays a dash */
static void man_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\')
			(void)fputs("\\e", stdout);
		else if (text[i] == '-')
			(void)fputs("\\-", stdout);
		else if ((text[i] == '.' || text[i] == '\'') && (i == 0 || text[i - 1] == '\n'))
			(void)printf("\\&%c", text[i]);
		else
			(void)putchar(text[i]);
	}
}

static void man_line(const char *text)
{
	man_text(text, strlen(text));
	(void)putchar('\n');
}

/* paragraphs, and lines shown as they are */
static void man_paragraphs(const char *text)
{
	bool example = false;

	for (const char *at = text; at && *at != '\0';) {
		size_t len = strcspn(at, "\n");

		if (at[0] == '\t') {
			if (!example)
				(void)puts(".PP\n.RS 4\n.nf");
			example = true;
			man_text(at + 1, len - 1);
			(void)putchar('\n');
		} else {
			if (example)
				(void)puts(".fi\n.RE");
			example = false;
			if (len == 0) {
				if (at[1] != '\0' && at[1] != '\t')
					(void)puts(".PP");
			} else {
				man_text(at, len);
				(void)putchar('\n');
			}
		}
		at += len;
		if (*at == '\n')
			at++;
	}
	if (example)
		(void)puts(".fi\n.RE");
}

static void man_options(const struct option *o)
{
	for (; o && o->key != 0; o++) {
		const char *names = o->names;
		char name[48];
		bool first = true;

		if (!o->help)
			continue;
		(void)puts(".TP");
		if (o->letter) {
			(void)printf("\\fB\\-%c\\fR", o->letter);
			if (o->value)
				(void)printf(" \\fI%s\\fR%s", o->value, o->many ? "..." : "");
			first = false;
		}
		while (next_name(&names, name, sizeof(name))) {
			(void)printf("%s\\fB", first ? "" : ", ");
			man_text("--", 2);
			man_text(name, strlen(name));
			(void)fputs("\\fR", stdout);
			if (o->value)
				(void)printf("%s=\\fI%s\\fR%s%s", o->optional ? "[" : "", o->value,
					     o->optional ? "]" : "", o->many ? "..." : "");
			first = false;
		}
		(void)putchar('\n');
		(void)putchar(toupper((unsigned char)o->help[0]));
		man_text(o->help + 1, strlen(o->help + 1));
		(void)puts(".");
	}
}

static void man_head(const char *title, const char *summary)
{
	(void)fputs(".TH \"", stdout);
	for (const char *at = title; *at != '\0'; at++)
		(void)putchar(*at == ' ' ? '-' : toupper((unsigned char)*at));
	(void)fputs("\" 1 \"\" \"Bulkhead " BULKHEAD_VERSION "\" \"Bulkhead\"\n.SH NAME\n", stdout);
	man_text(title, strlen(title));
	(void)fputs(" \\- ", stdout);
	man_line(summary);
}

static void man_synopses(const char *title, const struct command *c)
{
	for (unsigned i = 0; i < COMMAND_MAX_SYNOPSES && c->synopses[i]; i++) {
		if (i > 0)
			(void)puts(".br");
		(void)fputs("\\fB", stdout);
		man_text(title, strlen(title));
		(void)fputs("\\fR ", stdout);
		man_line(c->synopses[i]);
	}
}

static void man_sections(const struct section *s)
{
	for (unsigned i = 0; i < COMMAND_MAX_SECTIONS && s[i].title; i++) {
		(void)printf(".SH %s\n", s[i].title);
		man_paragraphs(s[i].text);
	}
}

static void man_see_also(const struct program *p, const struct command *but)
{
	bool first = true;
	char title[64];

	(void)puts(".SH SEE ALSO");
	if (!p->links) {
		(void)puts(".BR qvm (1)");
		return;
	}
	(void)puts(but ? ".BR bulkhead (1),\n.BR qvm (1)," : ".BR bulkhead (1),");
	for (const struct command *const *c = p->commands; *c; c++) {
		if (*c == but)
			continue;
		(void)printf("%s.BR ", first ? "" : ",\n");
		(void)command_title(p, *c, title, sizeof(title));
		man_text(title, strlen(title));
		(void)fputs(" (1)", stdout);
		first = false;
	}
	(void)putchar('\n');
}

/* the page of the program itself: all its commands */
static void man_program(const struct program *p)
{
	man_head(p->name, p->summary);
	(void)printf(".SH SYNOPSIS\n\\fB%s\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]... "
		     "[\\fIARGUMENT\\fR]...\n",
		     p->name);
	(void)puts(".SH DESCRIPTION");
	man_paragraphs(p->text);
	(void)puts(".SH COMMANDS");
	for (const struct command *const *c = p->commands; *c; c++) {
		char title[64];

		(void)command_title(p, *c, title, sizeof(title));
		if (p->links) {
			(void)puts(".TP");
			(void)fputs(".BR ", stdout);
			man_text(title, strlen(title));
			(void)puts(" (1)");
			(void)putchar(toupper((unsigned char)(*c)->summary[0]));
			man_text((*c)->summary + 1, strlen((*c)->summary + 1));
			(void)puts(".");
			continue;
		}
		(void)fputs(".SS ", stdout);
		man_line((*c)->name);
		man_synopses(title, *c);
		(void)puts(".PP");
		man_paragraphs((*c)->text);
		man_options((*c)->options);
	}
	if (!p->links)
		(void)puts(".SS Options of every command");
	else
		(void)puts(".SH OPTIONS");
	man_options(option_common);
	man_sections(p->sections);
	man_see_also(p, NULL);
}

int describe_man(const struct program *p, const char *command)
{
	char title[64];

	if (!command || str_eq(command, p->name)) {
		man_program(p);
		return 0;
	}
	for (const struct command *const *c = p->commands; *c; c++) {
		(void)command_title(p, *c, title, sizeof(title));
		if (!str_eq(command, title) && !str_eq(command, (*c)->name))
			continue;
		man_head(title, (*c)->summary);
		(void)puts(".SH SYNOPSIS");
		man_synopses(title, *c);
		(void)puts(".SH DESCRIPTION");
		man_paragraphs((*c)->text);
		(void)puts(".SH OPTIONS");
		man_options((*c)->options);
		man_options(option_common);
		man_sections((*c)->sections);
		man_see_also(p, *c);
		return 0;
	}
	(void)fprintf(stderr, "%s: there is no command %s\n", p->name, command);
	return 1;
}

/* names of enum words as --words takes them */
static const char *const words_names[] = {
	[WORDS_NONE] = "none",         [WORDS_QUBE] = "qube",
	[WORDS_ANY_QUBE] = "any-qube", [WORDS_HALTED] = "halted",
	[WORDS_RUNNING] = "running",   [WORDS_PAUSED] = "paused",
	[WORDS_TEMPLATE] = "template", [WORDS_LABEL] = "label",
	[WORDS_CLASS] = "class",       [WORDS_PROPERTY] = "property",
	[WORDS_GLOBAL] = "global",     [WORDS_FEATURE] = "feature",
	[WORDS_SERVICE] = "service",   [WORDS_TAG] = "tag",
	[WORDS_TAG_VERB] = "tag-verb", [WORDS_FIREWALL_VERB] = "firewall-verb",
	[WORDS_POOL] = "pool",         [WORDS_VOLUME] = "volume",
	[WORDS_ON_OFF] = "on-off",     [WORDS_COLUMN] = "column",
	[WORDS_FORMAT] = "format",     [WORDS_INSTALLABLE] = "installable",
	[WORDS_TEXT] = "text",         [WORDS_FILE] = "file",
};

/* each verb in turn, and what stands behind it or ""; *@at begins at the verbs, false at the end */
static bool next_verb(const char **at, char verb[32], char words[32])
{
	size_t len, name;

	if (!*at || **at == '\0')
		return false;
	len = strcspn(*at, " ");
	name = strcspn(*at, " :");
	(void)snprintf(verb, 32, "%.*s", (int)name, *at);
	(void)snprintf(words, 32, "%.*s", name < len ? (int)(len - name - 1) : 0,
		       *at + name + (name < len));
	*at += len;
	*at += strspn(*at, " ");
	return true;
}

/* the verbs alone */
static void put_verbs(const char *verbs)
{
	char verb[32], words[32];
	const char *before = "";

	while (next_verb(&verbs, verb, words)) {
		(void)printf("%s%s", before, verb);
		before = " ";
	}
}

/* all forms of all options of one kind: those whose value is of @words (or, with NULL values, any)
 */
static void put_forms(const struct option *o, const char *between, bool with_value,
		      enum words words)
{
	for (; o && o->key != 0; o++) {
		const char *names = o->names;
		char name[48];

		if (!o->help || (with_value && (!o->value || o->optional || o->words != words)))
			continue;
		if (o->letter)
			(void)printf("-%c%s", o->letter, between);
		while (next_name(&names, name, sizeof(name)))
			(void)printf("--%s%s", name, between);
	}
}

static bool has_value_of(const struct command *c, enum words words)
{
	for (const struct option *o = c->options; o && o->key != 0; o++) {
		if (o->help && o->value && !o->optional && o->words == words)
			return true;
	}
	return false;
}

/* the programs that are its commands, each behind a space */
static void put_links(const struct program *p)
{
	char title[64];

	for (const struct command *const *c = p->commands; *c && p->links; c++)
		(void)printf(" %s", command_title(p, *c, title, sizeof(title)));
}

static void bash_case(const struct command *c)
{
	char verb[32], words[32];

	(void)printf("\t%s)\n\t\toptions=\"", c->name);
	put_forms(c->options, " ", false, WORDS_NONE);
	put_forms(option_common, " ", false, WORDS_NONE);
	(void)fputs("\"\n\t\tverbs=\"", stdout);
	put_verbs(c->verbs);
	(void)fputs("\"\n\t\twords=(", stdout);
	for (unsigned i = 0; i < COMMAND_MAX_WORDS && (i == 0 || c->words[i] != WORDS_NONE); i++)
		(void)printf("%s%s", i > 0 ? " " : "", words_names[c->words[i]]);
	(void)puts(")");
	for (const char *at = c->verbs; next_verb(&at, verb, words);) {
		if (words[0] != '\0')
			(void)printf("\t\t[[ ${COMP_WORDS[first]} != %s ]] || words=(%s)\n", verb,
				     words);
	}
	(void)puts("\t\tcase $before in");
	for (enum words w = WORDS_NONE; w <= WORDS_FILE; w++) {
		if (!has_value_of(c, w))
			continue;
		(void)fputs("\t\t", stdout);
		/* a case pattern: --a|--b) ; the last bar is closed by no word at all */
		put_forms(c->options, "|", true, w);
		(void)printf("'') value=%s ;;\n", words_names[w]);
	}
	(void)puts("\t\tesac\n\t\t;;");
}

static void bash(const struct program *p)
{
	(void)printf("# bash completion of %s, made from its tables of commands\n", p->name);
	(void)printf("_%s() {\n", p->name);
	(void)printf(
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
		"\tlocal command=${COMP_WORDS[0]##*/} first=1 i n=0 options= verbs= value= kind= colon= "
		"program=%s\n"
		"\tlocal -a words=()\n"
		"\tCOMPREPLY=()\n"
		"\tif [[ $before == = ]]; then\n"
		"\t\tbefore=${COMP_WORDS[COMP_CWORD-2]}\n"
		"\telif [[ $cur == = ]]; then\n"
		"\t\tcur=\n"
		"\tfi\n"
		/* bash parts words at a colon, of which it completes what follows */
		"\tif [[ $cur == : ]]; then\n"
		"\t\tcolon=$before: cur=$before:\n"
		"\telif [[ $before == : ]]; then\n"
		"\t\tcolon=${COMP_WORDS[COMP_CWORD-2]}: cur=${COMP_WORDS[COMP_CWORD-2]}:$cur\n"
		"\tfi\n"
		"\tif [[ $command == %s ]]; then\n"
		"\t\tif ((COMP_CWORD == 1)); then\n"
		"\t\t\tCOMPREPLY=($(compgen -W \"",
		p->name, p->name);
	for (const struct command *const *c = p->commands; *c; c++)
		(void)printf("%s ", (*c)->name);
	(void)printf("--help --version\" -- \"$cur\"))\n"
		     "\t\t\treturn\n"
		     "\t\tfi\n"
		     "\t\tcommand=${COMP_WORDS[1]} first=2\n"
		     "\telse\n"
		     "\t\tcommand=${command#%s-}\n"
		     "\tfi\n"
		     "\tcase $command in\n",
		     p->name);
	for (const struct command *const *c = p->commands; *c; c++)
		bash_case(*c);
	(void)puts(
		"\t*) return ;;\n"
		"\tesac\n"
		"\tif [[ -n $value ]]; then\n"
		"\t\tkind=$value\n"
		"\telif [[ $cur == -* ]]; then\n"
		"\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
		"\t\treturn\n"
		"\telse\n"
		"\t\tfor ((i = first; i < COMP_CWORD; i++)); do\n"
		"\t\t\t[[ ${COMP_WORDS[i]} == -* ]] || ((n++))\n"
		"\t\tdone\n"
		"\t\tif [[ -n $verbs ]]; then\n"
		"\t\t\tif ((n == 0)); then\n"
		"\t\t\t\tCOMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\"))\n"
		"\t\t\t\treturn\n"
		"\t\t\tfi\n"
		"\t\t\t((n--))\n"
		"\t\tfi\n"
		"\t\t((n < ${#words[@]})) || n=$((${#words[@]} - 1))\n"
		"\t\tkind=${words[n]}\n"
		"\tfi\n"
		"\tcase $kind in\n"
		"\tnone | text) ;;\n"
		"\tfile) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
		"\t*) COMPREPLY=($(compgen -W \"$(command qvm --words \"$kind\" 2>/dev/null)\" -- "
		"\"$cur\")) ;;\n"
		"\tesac\n"
		"\t[[ -z $colon ]] || COMPREPLY=(\"${COMPREPLY[@]#\"$colon\"}\")\n"
		"}");
	(void)printf("complete -F _%s %s", p->name, p->name);
	put_links(p);
	(void)putchar('\n');
}

/* text inside '...' of zsh's _arguments: brackets, colons and quotes mean something there */
static void zsh_text(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			(void)fputs("'\\''", stdout);
		else if (strchr("[]:\\", *text))
			(void)printf("\\%c", *text);
		else
			(void)putchar(*text);
	}
}

static void zsh_action(enum words words)
{
	if (words == WORDS_FILE)
		(void)fputs("_files", stdout);
	else if (words == WORDS_NONE || words == WORDS_TEXT)
		(void)fputs(" ", stdout);
	else
		(void)printf("(${(f)\"$(command qvm --words %s 2>/dev/null)\"})",
			     words_names[words]);
}

static void zsh_options(const struct option *o)
{
	for (; o && o->key != 0; o++) {
		const char *names = o->names;
		char forms[24][50];
		unsigned n = 0;

		if (!o->help)
			continue;
		if (o->letter)
			(void)snprintf(forms[n++], sizeof(forms[0]), "-%c", o->letter);
		while (n < ARRAY_LEN(forms) &&
		       next_name(&names, forms[n] + 2, sizeof(forms[0]) - 2)) {
			forms[n][0] = forms[n][1] = '-';
			n++;
		}
		for (unsigned i = 0; i < n; i++) {
			bool is_long = str_starts(forms[i], "--");

			(void)printf("\t\t'*%s%s[", forms[i], !o->value ? "" : is_long ? "=" : "+");
			zsh_text(o->help);
			(void)putchar(']');
			if (o->value) {
				(void)printf("%s", o->optional ? "::" : ":");
				zsh_text(o->value);
				(void)putchar(':');
				zsh_action(o->words);
			}
			(void)puts("' \\");
		}
	}
}

/* $behind: what stands behind the verb that was typed */
static void zsh_verb_words(const struct command *c)
{
	char verb[32], words[32];

	(void)printf("\tlocal behind=%s\n", words_names[c->words[0]]);
	for (const char *at = c->verbs; next_verb(&at, verb, words);) {
		if (words[0] != '\0')
			(void)printf("\t[[ ${words[2]} != %s ]] || behind=%s\n", verb, words);
	}
}

static void zsh(const struct program *p)
{
	(void)printf("#compdef %s", p->name);
	put_links(p);
	(void)printf("\n# made from the tables of commands of %s\n"
		     "local command=${words[1]:t}\n"
		     "if [[ $command == %s ]]; then\n"
		     "\tif ((CURRENT == 2)); then\n"
		     "\t\tlocal -a commands=(\n",
		     p->name, p->name);
	for (const struct command *const *c = p->commands; *c; c++) {
		(void)printf("\t\t\t'%s:", (*c)->name);
		zsh_text((*c)->summary);
		(void)puts("'");
	}
	(void)printf("\t\t)\n"
		     "\t\t_describe command commands\n"
		     "\t\treturn\n"
		     "\tfi\n"
		     "\tshift words\n"
		     "\t((CURRENT--))\n"
		     "\tcommand=%s-${words[1]}\n"
		     "fi\n"
		     "case ${command#%s-} in\n",
		     p->name, p->name);
	for (const struct command *const *c = p->commands; *c; c++) {
		(void)printf("%s)\n", (*c)->name);
		if ((*c)->verbs)
			zsh_verb_words(*c);
		(void)puts("\t_arguments \\");
		zsh_options((*c)->options);
		zsh_options(option_common);
		if ((*c)->verbs) {
			(void)fputs("\t\t'1:verb:(", stdout);
			put_verbs((*c)->verbs);
			(void)puts(")' \\");
		}
		for (unsigned i = 0; i < COMMAND_MAX_WORDS; i++) {
			bool last = i + 1 == COMMAND_MAX_WORDS || (*c)->words[i + 1] == WORDS_NONE;

			if ((*c)->words[i] == WORDS_NONE)
				break;
			if (last)
				(void)fputs("\t\t'*:", stdout);
			else
				(void)printf("\t\t'%u:", i + 1 + ((*c)->verbs ? 1 : 0));
			(void)printf("%s:", words_names[(*c)->words[i]]);
			if ((*c)->verbs)
				(void)fputs(
					"(${(f)\"$(command qvm --words $behind 2>/dev/null)\"})",
					stdout);
			else
				zsh_action((*c)->words[i]);
			(void)puts("' \\");
			if (last)
				break;
		}
		(void)puts("\t\t&& return\n\t;;");
	}
	(void)puts("esac");
}

/* text inside '...' of fish */
static void fish_text(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\'' || *text == '\\')
			(void)putchar('\\');
		(void)putchar(*text);
	}
}

/* files, or anything but */
static const char *fish_files(enum words words)
{
	return words == WORDS_FILE ? " -F" : " -f";
}

static void fish_words(enum words words)
{
	if (words != WORDS_NONE && words != WORDS_TEXT && words != WORDS_FILE)
		(void)printf(" -a '(command qvm --words %s 2>/dev/null)'", words_names[words]);
}

/* the verbs, and what stands behind those that have words of their own */
static void fish_verbs(const char *program, const char *condition, const char *verbs)
{
	char verb[32], words[32];

	if (!verbs)
		return;
	(void)printf("complete -c %s -f%s -a '", program, condition);
	put_verbs(verbs);
	(void)puts("'");
	while (next_verb(&verbs, verb, words)) {
		if (words[0] != '\0')
			(void)printf("complete -c %s -f%s -n '__fish_seen_subcommand_from %s' "
				     "-a '(command qvm --words %s 2>/dev/null)'\n",
				     program, condition, verb, words);
	}
}

/* the condition that none of the verbs with words of their own was typed */
static void fish_other_verbs(const char *verbs)
{
	char verb[32], words[32];

	(void)fputs(" -n 'not __fish_seen_subcommand_from", stdout);
	while (next_verb(&verbs, verb, words)) {
		if (words[0] != '\0')
			(void)printf(" %s", verb);
	}
	(void)putchar('\'');
}

/* one command's completions for a program, or where @condition holds */
static void fish_command(const char *program, const char *condition, const struct command *c)
{
	const struct option *tables[] = {c->options, option_common};

	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (const struct option *o = tables[t]; o && o->key != 0; o++) {
			const char *names = o->names;
			char name[48];

			if (!o->help)
				continue;
			(void)printf("complete -c %s%s%s", program, fish_files(o->words),
				     condition);
			if (o->letter)
				(void)printf(" -s %c", o->letter);
			while (next_name(&names, name, sizeof(name)))
				(void)printf(" -l %s", name);
			if (o->value && !o->optional) {
				(void)fputs(" -r", stdout);
				fish_words(o->words);
			}
			(void)fputs(" -d '", stdout);
			fish_text(o->help);
			(void)puts("'");
		}
	}
	fish_verbs(program, condition, c->verbs);
	for (unsigned i = 0; i < COMMAND_MAX_WORDS && c->words[i] != WORDS_NONE; i++) {
		(void)printf("complete -c %s%s%s", program, fish_files(c->words[i]), condition);
		if (c->verbs)
			fish_other_verbs(c->verbs);
		fish_words(c->words[i]);
		(void)putchar('\n');
	}
}

static void fish(const struct program *p)
{
	(void)printf("# fish completion of %s, made from its tables of commands\n", p->name);
	for (const struct command *const *c = p->commands; *c; c++) {
		char title[64], condition[96];

		(void)printf("complete -c %s -f -n __fish_use_subcommand -a %s -d '", p->name,
			     (*c)->name);
		fish_text((*c)->summary);
		(void)puts("'");
		(void)snprintf(condition, sizeof(condition), " -n '__fish_seen_subcommand_from %s'",
			       (*c)->name);
		fish_command(p->name, condition, *c);
		if (p->links)
			fish_command(command_title(p, *c, title, sizeof(title)), "", *c);
	}
}

int describe_completion(const struct program *p, const char *shell)
{
	if (str_eq(shell, "bash"))
		bash(p);
	else if (str_eq(shell, "zsh"))
		zsh(p);
	else if (str_eq(shell, "fish"))
		fish(p);
	else
		return 1;
	return 0;
}
