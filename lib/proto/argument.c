/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/argument.h"

#include "base/bytes.h"

#include <string.h>
#include <strings.h>

const char *argument_outcome_str(int outcome)
{
	static const char *const texts[] = {
		[ARGUMENT_E_BYTES] = "it holds more than printable ASCII",
		[ARGUMENT_E_FORMAT] = "these are not the words that are expected",
		[ARGUMENT_E_KEY] = "is unknown here, or said twice",
		[ARGUMENT_E_NAME] = "is no name for it",
		[ARGUMENT_E_LABEL] = "is no name of a label",
		[ARGUMENT_E_POOL] = "is no name of a pool or volume",
		[ARGUMENT_E_DIR] = "is not the whole path of a folder",
		[ARGUMENT_E_NUMBER] = "is no such number",
		[ARGUMENT_E_TRUTH] = "is neither True nor False",
		[ARGUMENT_E_MANY] = "there are too many of them",
	};

	return outcome > 0 && (size_t)outcome < ARRAY_LEN(texts) ? texts[outcome] : "";
}

bool argument_is_name(const char *s, size_t len)
{
	return len > 0 && len <= ARGUMENT_NAME_MAX && bytes_are_alnum_or(s, len, "_.-");
}

bool argument_is_label(const char *s, size_t len)
{
	if (len == 0 || len > ARGUMENT_LABEL_MAX || !bytes_are_alnum_or(s, len, "_.-"))
		return false;
	for (size_t i = 0; i < len; i++)
		if (s[i] < '0' || s[i] > '9')
			return true;
	return false;
}

bool argument_is_pool(const char *s, size_t len)
{
	return len > 0 && len <= ARGUMENT_POOL_MAX && s[0] != '.' &&
	       bytes_are_alnum_or(s, len, "_.-");
}

bool argument_is_printable(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		if (at[i] < 0x20 || at[i] >= 0x7f)
			return false;
	return true;
}

/* a part of what is decoded */
struct part {
	const char *at;
	size_t len;
};

static bool part_is(const struct part *p, const char *s)
{
	return p->len == strlen(s) && memcmp(p->at, s, p->len) == 0;
}

/* @all up to the next @end, which is eaten; false when nothing is left. What follows a last @end is one more part, empty. */
static bool part_next(struct part *all, char end, struct part *ret)
{
	const char *stop;

	if (!all->at)
		return false;
	stop = all->len > 0 ? memchr(all->at, end, all->len) : NULL;
	*ret = (struct part){all->at, stop ? (size_t)(stop - all->at) : all->len};
	*all = stop ? (struct part){stop + 1, all->len - ret->len - 1} : (struct part){NULL, 0};
	return true;
}

/* "KEY=VALUE" */
static bool part_split(const struct part *p, struct part *key, struct part *value)
{
	const char *equals = p->len > 0 ? memchr(p->at, '=', p->len) : NULL;

	if (!equals)
		return false;
	*key = (struct part){p->at, (size_t)(equals - p->at)};
	*value = (struct part){equals + 1, p->len - key->len - 1};
	return true;
}

/* @at may be NULL where @len is 0 */
static struct part part_of(const void *bytes, size_t len)
{
	return (struct part){len > 0 ? bytes : "", len};
}

/* the beginning of what was wrong */
static int blame(char *bad, const struct part *p, int outcome)
{
	size_t len = p->len < ARGUMENT_BAD_MAX ? p->len : ARGUMENT_BAD_MAX;

	memcpy(bad, p->at, len);
	bad[len] = '\0';
	return outcome;
}

static int create_pool(struct argument_create *a, const struct part *volume,
		       const struct part *pool)
{
	if (a->n_pools == ARGUMENT_POOLS_MAX)
		return blame(a->bad, pool, ARGUMENT_E_MANY);
	if (!argument_is_pool(pool->at, pool->len))
		return blame(a->bad, pool, ARGUMENT_E_POOL);
	if (volume->len > ARGUMENT_VOLUME_MAX || !bytes_are_alnum_or(volume->at, volume->len, ""))
		return blame(a->bad, volume, ARGUMENT_E_POOL);
	memcpy(a->pools[a->n_pools].volume, volume->at, volume->len);
	memcpy(a->pools[a->n_pools].pool, pool->at, pool->len);
	a->n_pools++;
	return 0;
}

static int create_word(struct argument_create *a, const struct part *word, bool may_pool)
{
	struct part key, value;

	if (!part_split(word, &key, &value))
		return blame(a->bad, word, ARGUMENT_E_FORMAT);
	if (part_is(&key, "name") && a->name[0] == '\0') {
		if (!str_is_qube_name(value.at, value.len))
			return blame(a->bad, &value, ARGUMENT_E_NAME);
		memcpy(a->name, value.at, value.len);
		return 0;
	}
	if (part_is(&key, "label") && a->label[0] == '\0') {
		if (value.len == 0 || value.len > ARGUMENT_LABEL_MAX ||
		    !bytes_are_alnum_or(value.at, value.len, "_.-"))
			return blame(a->bad, &value, ARGUMENT_E_LABEL);
		memcpy(a->label, value.at, value.len);
		return 0;
	}
	if (may_pool && part_is(&key, "pool"))
		return create_pool(a, &(struct part){"", 0}, &value);
	if (may_pool && key.len > 5 && memcmp(key.at, "pool:", 5) == 0)
		return create_pool(a, &(struct part){key.at + 5, key.len - 5}, &value);
	return blame(a->bad, &key, ARGUMENT_E_KEY);
}

int argument_create_decode(const void *bytes, size_t len, bool may_pool,
			   struct argument_create *ret)
{
	struct part all = part_of(bytes, len), word;
	int r = 0;

	*ret = (struct argument_create){0};
	if (!argument_is_printable(bytes, len))
		return ARGUMENT_E_BYTES;
	while (r == 0 && part_next(&all, ' ', &word))
		r = create_word(ret, &word, may_pool);
	if (r == 0 && (ret->name[0] == '\0' || ret->label[0] == '\0'))
		return ARGUMENT_E_FORMAT;
	return r;
}

/* what was said already: a bit each */
enum { SAID_NAME = 1, SAID_DIR = 2, SAID_REVISIONS = 4, SAID_EPHEMERAL = 8 };

static int pool_line(struct argument_pool *a, unsigned *said, const struct part *line)
{
	static const struct {
		const char *key;
		unsigned bit;
	} keys[] = {{"name", SAID_NAME},
		    {"dir_path", SAID_DIR},
		    {"revisions_to_keep", SAID_REVISIONS},
		    {"ephemeral_volatile", SAID_EPHEMERAL}};
	struct part key, value;
	unsigned bit = 0;
	int r = 0;

	if (!part_split(line, &key, &value))
		return blame(a->bad, line, ARGUMENT_E_FORMAT);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (part_is(&key, keys[i].key))
			bit = keys[i].bit;
	if (bit == 0 || *said & bit)
		return blame(a->bad, &key, ARGUMENT_E_KEY);
	*said |= bit;
	if (bit == SAID_NAME && !argument_is_pool(value.at, value.len))
		return blame(a->bad, &value, ARGUMENT_E_NAME);
	if (bit == SAID_DIR &&
	    (value.len == 0 || value.at[0] != '/' || value.len > ARGUMENT_DIR_MAX))
		return blame(a->bad, &value, ARGUMENT_E_DIR);
	if (bit == SAID_NAME)
		memcpy(a->name, value.at, value.len);
	else if (bit == SAID_DIR)
		memcpy(a->dir, value.at, value.len);
	else if (bit == SAID_REVISIONS)
		r = argument_revisions_decode(value.at, value.len, &a->revisions_to_keep);
	else
		r = argument_truth_decode(value.at, value.len, &a->ephemeral);
	return r > 0 ? blame(a->bad, &value, r) : 0;
}

int argument_pool_decode(const void *bytes, size_t len, struct argument_pool *ret)
{
	struct part all = part_of(bytes, len), line;
	unsigned said = 0;
	int r = 0;

	*ret = (struct argument_pool){.revisions_to_keep = 1};
	while (r == 0 && part_next(&all, '\n', &line)) {
		/* the last line may be ended */
		if (line.len == 0 && !all.at && said != 0)
			break;
		if (!argument_is_printable(line.at, line.len))
			return ARGUMENT_E_BYTES;
		r = pool_line(ret, &said, &line);
	}
	if (r == 0 && !(said & SAID_NAME))
		return ARGUMENT_E_NAME;
	if (r == 0 && !(said & SAID_DIR))
		return ARGUMENT_E_DIR;
	return r;
}

static int field_line(struct argument_field *f, const struct part *line)
{
	static const struct {
		const char *prefix;
		enum argument_kind kind;
	} prefixes[] = {{"feature:", ARGUMENT_FEATURE},
			{"size:", ARGUMENT_SIZE},
			{"usage:", ARGUMENT_USAGE}};
	struct part name = *line;

	*f = (struct argument_field){.kind = ARGUMENT_FIELD};
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		size_t len = strlen(prefixes[i].prefix);

		if (line->len < len || memcmp(line->at, prefixes[i].prefix, len) != 0)
			continue;
		f->kind = prefixes[i].kind;
		f->name_at = (unsigned)len;
		name = (struct part){line->at + len, line->len - len};
	}
	if (!argument_is_name(name.at, name.len))
		return ARGUMENT_E_NAME;
	memcpy(f->text, line->at, line->len);
	return 0;
}

int argument_fields_decode(const void *bytes, size_t len, unsigned max, struct argument_field *ret,
			   unsigned *ret_n)
{
	struct part all = part_of(bytes, len), line;
	unsigned n = 0;

	while (part_next(&all, '\n', &line)) {
		int r;

		if (line.len == 0 && !all.at)
			break; /* the last line may be ended; no line is no field */
		if (n == max)
			return ARGUMENT_E_MANY;
		r = field_line(&ret[n], &line);
		if (r > 0)
			return r;
		n++;
	}
	*ret_n = n;
	return 0;
}

int argument_shutdown_decode(const void *bytes, size_t len, bool own, struct argument_shutdown *ret)
{
	struct argument_shutdown a = {0};
	const struct {
		const char *word;
		bool *said, own;
	} words[] = {{"force", &a.force, false},
		     {"wait", &a.wait, false},
		     {"after", &a.after, true},
		     {"later", &a.later, true}};
	struct part all = part_of(bytes, len), word;

	while (len > 0 && part_next(&all, '+', &word)) {
		bool *said = NULL;

		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			if (part_is(&word, words[i].word) && (own || !words[i].own))
				said = words[i].said;
		if (!said || *said)
			return ARGUMENT_E_FORMAT;
		*said = true;
	}
	if (a.wait && a.later)
		return ARGUMENT_E_FORMAT;
	*ret = a;
	return 0;
}

static unsigned hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 16;
}

int argument_color_decode(const void *bytes, size_t len, uint32_t *ret)
{
	const char *at = bytes;
	uint32_t color = 0;

	if (len != 8 || at[0] != '0' || at[1] != 'x')
		return ARGUMENT_E_NUMBER;
	for (unsigned i = 2; i < 8; i++) {
		unsigned digit = hex_digit(at[i]);

		if (digit == 16)
			return ARGUMENT_E_NUMBER;
		color = color << 4 | digit;
	}
	*ret = color;
	return 0;
}

/* no sign, no leading zero */
static bool number(const void *bytes, size_t len, uint64_t max, uint64_t *ret)
{
	char digits[24];

	return len > 0 && !memchr(bytes, 0, len) &&
	       str_copy(digits, sizeof(digits), bytes, len) == 0 && str_u64(digits, max, ret) == 0;
}

int argument_size_decode(const void *bytes, size_t len, uint64_t *ret)
{
	return number(bytes, len, INT64_MAX, ret) ? 0 : ARGUMENT_E_NUMBER;
}

int argument_image_decode(const void *bytes, size_t len, size_t *ret_at)
{
	struct part all = part_of(bytes, len), first;
	uint64_t size;

	if (!part_next(&all, '\n', &first) || !all.at ||
	    argument_size_decode(first.at, first.len, &size) > 0 || size == 0)
		return ARGUMENT_E_FORMAT;
	if (size != all.len)
		return ARGUMENT_E_NUMBER;
	*ret_at = first.len + 1;
	return 0;
}

int argument_revisions_decode(const void *bytes, size_t len, int *ret)
{
	uint64_t n;

	if (len == 2 && memcmp(bytes, "-1", 2) == 0) {
		*ret = -1;
		return 0;
	}
	if (!number(bytes, len, ARGUMENT_REVISIONS_MAX, &n))
		return ARGUMENT_E_NUMBER;
	*ret = (int)n;
	return 0;
}

int argument_truth_decode(const void *bytes, size_t len, bool *ret)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"0", false}, {"no", false}, {"false", false}, {"off", false},
		     {"1", true},  {"yes", true}, {"true", true},   {"on", true}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strlen(words[i].word) == len && strncasecmp(words[i].word, bytes, len) == 0) {
			*ret = words[i].value;
			return 0;
		}
	return ARGUMENT_E_TRUTH;
}
