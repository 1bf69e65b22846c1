/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The language of the policy files: lines of fields, rules, directives.
 *
 * A file is UTF-8; a line ends with LF, CR or CR LF; fields are parted by any white space of Unicode
 * and the separators 1C..1F. What a rule may say is checked here, whether its qubes exist is not.
 */
#include "policy/parse.h"

#include "base/str.h"

#include <string.h>

struct parse {
	const struct policy_files *files;
	int (*sink)(void *context, const struct parsed *rule);
	void *context;
	struct policy_error *error;
	unsigned depth, n_rules, n_loads;
};

/* where a line stands */
struct place {
	const char *file;
	unsigned line;
};

/* as much of @t as a message shows, cut between characters */
static int shown(struct text t)
{
	size_t n = t.len < 60 ? t.len : 60;

	while (n < t.len && n > 0 && ((uint8_t)t.at[n] & 0xc0) == 0x80)
		n--;
	return (int)n;
}

static int fail(const struct parse *p, struct place at, const char *why, struct text what)
{
	struct policy_error *e = p->error;

	/* each of these fits: why is ours, and what is cut */
	(void)!str_copy(e->file, sizeof(e->file), at.file, strlen(at.file));
	e->line = at.line;
	if (what.at)
		(void)!str_format(e->reason, sizeof(e->reason), "%s: '%.*s'", why, shown(what),
				  what.at);
	else
		(void)!str_copy(e->reason, sizeof(e->reason), why, strlen(why));
	return POLICY_E_SYNTAX;
}

static int fail_plain(const struct parse *p, struct place at, const char *why)
{
	return fail(p, at, why, (struct text){NULL, 0});
}

/* --- characters, lines, fields --- */

/* the length of the character of UTF-8 at @s (@len bytes left), its value in *@ret; 0 = it is none */
static size_t utf8_next(const char *s, size_t len, uint32_t *ret)
{
	const uint8_t *b = (const uint8_t *)s;
	uint32_t v, least;
	size_t n;

	if (b[0] < 0x80) {
		*ret = b[0];
		return 1;
	}
	if (b[0] >= 0xc2 && b[0] <= 0xdf) {
		n = 2;
		v = b[0] & 0x1fu;
		least = 0x80;
	} else if ((b[0] & 0xf0) == 0xe0) {
		n = 3;
		v = b[0] & 0x0fu;
		least = 0x800;
	} else if (b[0] >= 0xf0 && b[0] <= 0xf4) {
		n = 4;
		v = b[0] & 0x07u;
		least = 0x10000;
	} else {
		return 0;
	}
	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (b[i] & 0x3fu);
	}
	if (v < least || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	*ret = v;
	return n;
}

static bool is_space(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
	       c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

/* the length of the white space character at the beginning of @t, or 0 */
static size_t space_len(struct text t)
{
	uint32_t c;
	size_t n;

	if (t.len == 0 || (t.at[0] > 0x20 && t.at[0] < 0x7f))
		return 0;
	n = utf8_next(t.at, t.len, &c);
	return n > 0 && is_space(c) ? n : 0;
}

static struct text skip_space(struct text t)
{
	for (size_t n; (n = space_len(t)) > 0;) {
		t.at += n;
		t.len -= n;
	}
	return t;
}

/* takes the next field off *@rest; one of no length at its end */
static struct text next_field(struct text *rest)
{
	struct text t = skip_space(*rest);
	size_t n = 0;

	/* a byte at a time: what follows the first byte of a character begins no white space */
	while (n < t.len && space_len((struct text){t.at + n, t.len - n}) == 0)
		n++;
	*rest = (struct text){t.at + n, t.len - n};
	return (struct text){t.at, n};
}

static bool is_utf8(const char *s, size_t len)
{
	uint32_t c;

	for (size_t n; len > 0; s += n, len -= n) {
		n = utf8_next(s, len, &c);
		if (n == 0 || c == 0)
			return false;
	}
	return true;
}

struct lines {
	struct text rest;
	unsigned line;
};

/* the next line that says something, without white space around it; false at the end. *@ret_bad: it
 * is not UTF-8, or holds a NUL
 */
static bool next_line(struct lines *l, struct text *ret, bool *ret_bad)
{
	while (l->rest.len > 0) {
		size_t n = 0;
		struct text line, end;

		while (n < l->rest.len && l->rest.at[n] != '\n' && l->rest.at[n] != '\r')
			n++;
		line = (struct text){l->rest.at, n};
		if (n < l->rest.len)
			n += l->rest.at[n] == '\r' && n + 1 < l->rest.len &&
					     l->rest.at[n + 1] == '\n'
				     ? 2
				     : 1;
		l->rest.at += n;
		l->rest.len -= n;
		l->line++;
		*ret_bad = !is_utf8(line.at, line.len);
		if (*ret_bad)
			return true;
		line = skip_space(line);
		if (line.len == 0 || line.at[0] == '#')
			continue;
		/* the end of the last field is the end of the line */
		for (end = line; (*ret = next_field(&end)).len > 0;)
			line.len = (size_t)(ret->at + ret->len - line.at);
		*ret = line;
		return true;
	}
	return false;
}

static bool is(struct text t, const char *s)
{
	return t.len == strlen(s) && memcmp(t.at, s, t.len) == 0;
}

/* --- rules --- */

/* as it may stand in columns 1 and 2: with NULL for "*", the argument without its "+" */
static int take_service(struct parse *p, struct place at, struct text service, struct text argument,
			struct parsed *to)
{
	bool any = is(service, "*");

	to->service = to->argument = (struct text){NULL, 0};
	if (!any && !bytes_are_alnum_or(service.at, service.len, "-._"))
		return fail(p, at, "invalid characters in service", service);
	if (!any)
		to->service = service;
	if (is(argument, "*"))
		return 0;
	if (!bytes_are_alnum_or(argument.at, argument.len, "-._+"))
		return fail(p, at, "invalid characters in argument", argument);
	if (argument.len == 0 || argument.at[0] != '+')
		return fail(p, at, "argument does not start with +", argument);
	if (any)
		return fail(p, at, "only * is an argument for service *", argument);
	to->argument = (struct text){argument.at + 1, argument.len - 1};
	return 0;
}

static int take_token(struct parse *p, struct place at, struct text text, enum token_place place,
		      const char *what, struct parsed_token *ret)
{
	char why[64];
	int r = token_parse(text, place, &ret->kind, &ret->value);

	if (r == 0)
		return 0;
	(void)!str_format(why, sizeof(why),
			  r == TOKEN_E_EMPTY ? "empty %s token" : "invalid %s token", what);
	return fail(p, at, why, text);
}

enum { KEY_TARGET = 1, KEY_DEFAULT = 2, KEY_USER = 4, KEY_NOTIFY = 8, KEY_AUTOSTART = 16 };

static const struct {
	const char *name;
	unsigned key;
} keys[] = {
	{"target", KEY_TARGET}, {"default_target", KEY_DEFAULT}, {"user", KEY_USER},
	{"notify", KEY_NOTIFY}, {"autostart", KEY_AUTOSTART},
};

static const struct {
	const char *name;
	unsigned keys; /* that it takes */
} actions[] = {
	[POLICY_DENY] = {"deny", KEY_NOTIFY},
	[POLICY_ALLOW] = {"allow", KEY_TARGET | KEY_USER | KEY_NOTIFY | KEY_AUTOSTART},
	[POLICY_ASK] = {"ask", KEY_TARGET | KEY_DEFAULT | KEY_USER | KEY_NOTIFY | KEY_AUTOSTART},
};

/* one KEY=VALUE; *@seen collects the keys */
static int take_param(struct parse *p, struct place at, struct text param, unsigned *seen,
		      struct parsed *to)
{
	const char *equals = memchr(param.at, '=', param.len);
	struct text name = param, value;
	unsigned key = 0;
	bool yes;

	if (!equals)
		return fail(p, at, "a parameter is not KEY=VALUE", param);
	name.len = (size_t)(equals - param.at);
	value = (struct text){equals + 1, param.len - name.len - 1};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (is(name, keys[i].name))
			key = keys[i].key;
	if (!(actions[to->action].keys & key))
		return fail(p, at, "the action takes no such parameter", name);
	if (*seen & key)
		return fail(p, at, "parameter given twice", name);
	*seen |= key;
	yes = is(value, "yes");
	if (key & (KEY_NOTIFY | KEY_AUTOSTART) && !yes && !is(value, "no"))
		return fail(p, at, "neither yes nor no", param);
	if (key == KEY_TARGET)
		return take_token(p, at, value, PLACE_REDIRECT, "redirect", &to->redirect);
	if (key == KEY_DEFAULT)
		return take_token(p, at, value, PLACE_REDIRECT, "redirect", &to->default_target);
	if (key == KEY_USER)
		to->user = value;
	else if (key == KEY_NOTIFY)
		to->notify = yes;
	else
		to->autostart = yes;
	return 0;
}

/* the rule whose last three columns and parameters are @rest, for the service in @rule */
static int take_rule(struct parse *p, struct place at, struct text rest, struct parsed *rule)
{
	struct text source = next_field(&rest), target = next_field(&rest),
		    action = next_field(&rest);
	unsigned seen = 0, i;
	int r;

	if (action.len == 0)
		return fail_plain(p, at, "wrong number of fields");
	rule->user = rule->redirect.value = rule->default_target.value = (struct text){NULL, 0};
	rule->file = at.file;
	rule->line = at.line;
	r = take_token(p, at, source, PLACE_SOURCE, "source", &rule->source);
	if (r != 0)
		return r;
	r = take_token(p, at, target, PLACE_TARGET, "target", &rule->target);
	if (r != 0)
		return r;
	for (i = 0; i < ARRAY_LEN(actions) && !is(action, actions[i].name); i++)
		;
	if (i == ARRAY_LEN(actions))
		return fail(p, at, "invalid action", action);
	rule->action = (enum policy_action)i;
	rule->notify = rule->action == POLICY_DENY;
	rule->autostart = true;
	for (struct text param; (param = next_field(&rest)).len > 0;) {
		r = take_param(p, at, param, &seen, rule);
		if (r != 0)
			return r;
	}
	if (rule->target.kind == TOKEN_DEFAULT && rule->action == POLICY_ALLOW &&
	    !(seen & KEY_TARGET))
		return fail_plain(p, at, "allow for @default needs target=");
	if (p->n_rules++ == POLICY_RULES_MAX)
		return fail_plain(p, at, "too many rules");
	return p->sink(p->context, rule);
}

/* --- paths --- */

/* @path as it is called below the folder, without "." and ".."; false if it leads out of it */
static bool resolve(struct text path, char *ret, size_t size)
{
	size_t len = 0;

	if (path.len > 0 && path.at[0] == '/')
		return false;
	ret[0] = '\0';
	for (size_t i = 0; i < path.len;) {
		const char *part = path.at + i;
		size_t n = 0;

		while (i + n < path.len && part[n] != '/')
			n++;
		i += n < path.len - i ? n + 1 : n;
		if (n == 0 || (n == 1 && part[0] == '.'))
			continue;
		if (n == 2 && part[0] == '.' && part[1] == '.') {
			char *slash = strrchr(ret, '/');

			if (len == 0)
				return false;
			len = slash ? (size_t)(slash - ret) : 0;
			ret[len] = '\0';
			continue;
		}
		if (n + (len > 0) >= size - len)
			return false;
		if (len > 0)
			ret[len++] = '/';
		memcpy(ret + len, part, n);
		len += n;
		ret[len] = '\0';
	}
	return true;
}

/* the first of @files that is not before @path */
static unsigned lower_bound(const struct policy_file *files, unsigned n, const char *path)
{
	unsigned low = 0;

	while (low < n) {
		unsigned mid = low + (n - low) / 2;

		if (strcmp(files[mid].path, path) < 0)
			low = mid + 1;
		else
			n = mid;
	}
	return low;
}

static const struct policy_file *find(const struct policy_file *files, unsigned n, const char *path)
{
	unsigned i = lower_bound(files, n, path);

	return i < n && path[0] != '\0' && strcmp(files[i].path, path) == 0 ? &files[i] : NULL;
}

/* --- files --- */

static int enter(struct parse *p, struct place at)
{
	/* includes that double at each level would take for ever without making one rule */
	if (p->depth == POLICY_DEPTH_MAX || p->n_loads == POLICY_RULES_MAX)
		return fail_plain(p, at, "includes that do not end");
	p->depth++;
	p->n_loads++;
	return 0;
}

/* a line of an R4.0 file or of one for `!include-service`; an include is left to the caller, with its
 * path in @ret_include, else ""
 */
static int legacy_line(struct parse *p, struct place at, struct text line, struct parsed *rule,
		       char *ret_include, size_t size)
{
	static const char include[] = "$include:";
	char copy[POLICY_LEGACY_LINE_MAX];
	struct text rest = {copy, line.len}, word, path;

	ret_include[0] = '\0';
	if (line.len > sizeof(copy))
		return fail_plain(p, at, "the line is too long");
	memcpy(copy, line.at, line.len);
	/* "$" is "@", "," is white space, and both writings of an include are as long */
	for (size_t i = 0; i < line.len; i++) {
		if (line.len - i >= sizeof(include) - 1 &&
		    memcmp(copy + i, include, sizeof(include) - 1) == 0)
			memcpy(copy + i, "!include ", sizeof(include) - 1);
		else if (copy[i] == '$')
			copy[i] = '@';
		else if (copy[i] == ',')
			copy[i] = ' ';
	}
	if (line.len == 0 || copy[0] != '!')
		return take_rule(p, at, rest, rule);
	word = next_field(&rest);
	path = next_field(&rest);
	if (!is(word, "!include"))
		return fail(p, at, "invalid directive", (struct text){line.at, word.len});
	if (path.len == 0 || next_field(&rest).len > 0)
		return fail_plain(p, at, "invalid number of parameters");
	if (!resolve(path, ret_include, size) || ret_include[0] == '\0')
		return fail_plain(p, at, "not a file");
	return 0;
}

/* all lines of @f are for the service in @rule; @shown_as is its name in messages. Its includes come
 * from @among, and are shown with the same prefix
 */
static int load_legacy(struct parse *p, struct place from, const struct policy_file *f,
		       const char *prefix, const struct policy_file *among, unsigned n_among,
		       const struct parsed *rule)
{
	struct lines l = {{f->text, f->len}, 0};
	char shown_as[POLICY_PATH_MAX + 1], include[POLICY_PATH_MAX + 1];
	struct text line;
	bool bad;
	int r;

	r = enter(p, from);
	if (r != 0)
		return r;
	if (str_format(shown_as, sizeof(shown_as), "%s%s", prefix, f->path) < 0)
		return fail_plain(p, from, "the path of a file is too long");
	while (next_line(&l, &line, &bad)) {
		struct place at = {shown_as, l.line};
		const struct policy_file *next;
		struct parsed copy = *rule;

		if (bad)
			return fail_plain(p, at, "not text in UTF-8");
		r = legacy_line(p, at, line, &copy, include, sizeof(include));
		if (r != 0)
			return r;
		if (include[0] == '\0')
			continue;
		next = find(among, n_among, include);
		if (!next)
			return fail(p, at, "not a file", (struct text){include, strlen(include)});
		r = load_legacy(p, at, next, prefix, among, n_among, rule);
		if (r != 0)
			return r;
	}
	p->depth--;
	return 0;
}

/* the R4.0 file @f: its rules, and what was implied behind those of a single argument */
static int load_compat_file(struct parse *p, struct place at, const struct policy_file *f)
{
	static const char *const denied[] = {"@anyvm @anyvm deny", "@anyvm @adminvm deny"};
	const char *plus = strchr(f->path, '+');
	const struct text service = {f->path, strcspn(f->path, "+")},
			  argument =
				  plus ? (struct text){plus, strlen(plus)} : (struct text){"*", 1};
	char shown_as[POLICY_PATH_MAX + 1];
	struct parsed rule;
	int r;

	r = take_service(p, at, service, argument, &rule);
	if (r != 0)
		return r;
	r = load_legacy(p, at, f, "legacy/", p->files->legacy, p->files->n_legacy, &rule);
	if (r != 0 || !plus)
		return r;
	if (str_format(shown_as, sizeof(shown_as), "legacy/%s", f->path) < 0)
		return fail_plain(p, at, "the path of a file is too long");
	for (unsigned i = 0; i < ARRAY_LEN(denied) && r == 0; i++)
		r = take_rule(p, (struct place){shown_as, 0},
			      (struct text){denied[i], strlen(denied[i])}, &rule);
	return r;
}

static bool is_compat_name(const char *name)
{
	return bytes_are_alnum_or(name, strlen(name), "-._+");
}

/* all that the R4.0 folder holds: by name, but a service's own file behind those of its arguments */
static int load_compat(struct parse *p, struct place at)
{
	const struct policy_file *files = p->files->legacy;
	unsigned n = p->files->n_legacy;
	char service[POLICY_PATH_MAX + 1];
	int r = 0;

	if (!files)
		return fail_plain(p, at, "there is no folder of R4.0 policy");
	for (unsigned i = 0; i < n && r == 0; i++) {
		size_t len = strcspn(files[i].path, "+");

		if (!is_compat_name(files[i].path))
			continue;
		if (str_copy(service, sizeof(service), files[i].path, len) < 0)
			return fail_plain(p, at, "the path of a file is too long");
		if (files[i].path[len] == '+' && find(files, n, service))
			continue; /* came before its service */
		for (unsigned j = i + 1; files[i].path[len] != '+' && j < n && r == 0; j++) {
			if (strncmp(files[j].path, service, len) != 0)
				break;
			if (files[j].path[len] == '+' && is_compat_name(files[j].path))
				r = load_compat_file(p, at, &files[j]);
		}
		if (r == 0)
			r = load_compat_file(p, at, &files[i]);
	}
	return r;
}

static int load_folder(struct parse *p, struct place from, const char *folder);
static int load_file(struct parse *p, struct place from, const struct policy_file *f);

static int directive(struct parse *p, struct place at, struct text line)
{
	struct text words[5];
	char path[POLICY_PATH_MAX + 1];
	const struct policy_file *f;
	struct parsed rule;
	unsigned n = 0, n_wanted;
	int r;

	while (n < ARRAY_LEN(words) && (words[n] = next_field(&line)).len > 0)
		n++;
	if (is(words[0], "!include") || is(words[0], "!include-dir"))
		n_wanted = 2;
	else if (is(words[0], "!include-service"))
		n_wanted = 4;
	else if (is(words[0], "!compat-4.0"))
		n_wanted = 1;
	else
		return fail(p, at, "invalid directive", words[0]);
	if (n != n_wanted)
		return fail_plain(p, at, "invalid number of parameters");
	if (n == 1)
		return load_compat(p, at);
	if (is(words[0], "!include-dir"))
		return resolve(words[1], path, sizeof(path))
			       ? load_folder(p, at, path)
			       : fail(p, at, "not a directory", words[1]);
	if (n == 4) {
		r = take_service(p, at, words[1], words[2], &rule);
		if (r != 0)
			return r;
	}
	f = resolve(words[n - 1], path, sizeof(path))
		    ? find(p->files->files, p->files->n_files, path)
		    : NULL;
	if (!f)
		return fail(p, at, "not a file", words[n - 1]);
	return n == 4 ? load_legacy(p, at, f, "", p->files->files, p->files->n_files, &rule)
		      : load_file(p, at, f);
}

static int load_file(struct parse *p, struct place from, const struct policy_file *f)
{
	struct lines l = {{f->text, f->len}, 0};
	struct text line;
	bool bad;
	int r;

	r = enter(p, from);
	if (r != 0)
		return r;
	if (strlen(f->path) > POLICY_PATH_MAX)
		return fail_plain(p, from, "the path of a file is too long");
	while (next_line(&l, &line, &bad)) {
		struct place at = {f->path, l.line};
		struct text service, argument;
		struct parsed rule;

		if (bad)
			return fail_plain(p, at, "not text in UTF-8");
		if (line.at[0] == '!') {
			r = directive(p, at, line);
			if (r != 0)
				return r;
			continue;
		}
		service = next_field(&line);
		argument = next_field(&line);
		if (argument.len == 0)
			return fail_plain(p, at, "wrong number of fields");
		r = take_service(p, at, service, argument, &rule);
		if (r != 0)
			return r;
		r = take_rule(p, at, line, &rule);
		if (r != 0)
			return r;
	}
	p->depth--;
	return 0;
}

/* the name within the folder of @prefix_len bytes, or NULL if @path is not a file directly in it */
static const char *name_in(const char *path, size_t prefix_len)
{
	const char *name = path + prefix_len;

	return strchr(name, '/') ? NULL : name;
}

bool policy_is_file_name(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len >= 7 && strcmp(name + len - 7, ".policy") == 0;
}

static int load_folder(struct parse *p, struct place from, const char *folder)
{
	const struct policy_file *files = p->files->files;
	unsigned n = p->files->n_files, first;
	char prefix[POLICY_PATH_MAX + 2];
	size_t len = strlen(folder);
	int r;

	(void)!str_format(prefix, sizeof(prefix), "%s%s", folder, len > 0 ? "/" : "");
	len = strlen(prefix);
	first = lower_bound(files, n, prefix);
	if (len > 0 && (first == n || strncmp(files[first].path, prefix, len) != 0))
		return fail(p, from, "not a directory", (struct text){folder, strlen(folder)});
	/* a name that is not clear voids the policy before any file is read */
	for (unsigned i = first; i < n && strncmp(files[i].path, prefix, len) == 0; i++) {
		const char *name = name_in(files[i].path, len);

		if (name && policy_is_file_name(name) &&
		    strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz_.-") != strlen(name))
			return fail(p, (struct place){"", 0}, "invalid file name",
				    (struct text){files[i].path, strlen(files[i].path)});
	}
	r = enter(p, from);
	if (r != 0)
		return r;
	for (unsigned i = first; i < n && strncmp(files[i].path, prefix, len) == 0; i++) {
		const char *name = name_in(files[i].path, len);

		if (!name || !policy_is_file_name(name))
			continue;
		r = load_file(p, from, &files[i]);
		if (r != 0)
			return r;
	}
	p->depth--;
	return 0;
}

static bool in_order(const struct policy_file *files, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		if (strcmp(files[i - 1].path, files[i].path) >= 0)
			return false;
	return true;
}

int policy_parse(const struct policy_files *files,
		 int (*sink)(void *context, const struct parsed *rule), void *context,
		 struct policy_error *error)
{
	struct parse p = {.files = files, .sink = sink, .context = context, .error = error};

	if (!in_order(files->files, files->n_files) || !in_order(files->legacy, files->n_legacy))
		return -EINVAL;
	return load_folder(&p, (struct place){"", 0}, "");
}
