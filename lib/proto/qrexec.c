/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/qrexec.h"

#include "base/bytes.h"
#include "base/str.h"

#include <string.h>

#define WAY(way) (1u << (way))

enum {
	TRIGGER2_LEN = 64 + 32 + 32,
	TRIGGER3_LEN = 64 + 32,
	TRIGGER4_LEN = 64 + 64 + 32,
};

/* the rows of the page: who may send what, since which version, how long */
struct row {
	enum qrexec_type type;
	const char *name;
	unsigned ways;
	uint32_t version;
	uint32_t min, max;
};

#define TO_SERVICE WAY(QREXEC_CALLER_TO_SERVICE)
#define TO_CALLER  WAY(QREXEC_SERVICE_TO_CALLER)
#define TO_AGENT   WAY(QREXEC_DAEMON_TO_AGENT)
#define FROM_AGENT WAY(QREXEC_AGENT_TO_DAEMON)
#define FROM_LOCAL WAY(QREXEC_LOCAL_TO_AGENT)
#define REQUEST    (WAY(QREXEC_CLIENT_TO_DAEMON) | TO_AGENT)
#define ANSWER     WAY(QREXEC_DAEMON_TO_CLIENT)
#define ALL_WAYS   (WAY(QREXEC_N_WAYS) - 1 - FROM_LOCAL)
#define CHUNK      QREXEC_CHUNK_MAX
#define COMMAND    QREXEC_COMMAND_MAX
#define SERVICE    (QREXEC_SERVICE_MAX + 1)

/* clang-format off */
static const struct row rows[] = {
	{QREXEC_DATA_STDIN,            "DATA_STDIN",            TO_SERVICE, 2, 0, CHUNK},
	{QREXEC_DATA_STDOUT,           "DATA_STDOUT",           TO_CALLER,  2, 0, CHUNK},
	{QREXEC_DATA_STDERR,           "DATA_STDERR",           TO_CALLER,  2, 0, CHUNK},
	{QREXEC_DATA_EXIT_CODE,        "DATA_EXIT_CODE",        TO_CALLER,  2, 4, 4},
	{QREXEC_EXEC_CMDLINE,          "EXEC_CMDLINE",          REQUEST,    2, 8 + 2, 8 + COMMAND},
	{QREXEC_EXEC_CMDLINE,          "EXEC_CMDLINE",          ANSWER,     2, 8, 8},
	{QREXEC_JUST_EXEC,             "JUST_EXEC",             REQUEST,    2, 8 + 2, 8 + COMMAND},
	{QREXEC_JUST_EXEC,             "JUST_EXEC",             ANSWER,     2, 8, 8},
	{QREXEC_SERVICE_CONNECT,       "SERVICE_CONNECT",       REQUEST,    2, 8 + 32, 8 + 32},
	{QREXEC_SERVICE_CONNECT,       "SERVICE_CONNECT",       ANSWER,     2, 8, 8},
	{QREXEC_SERVICE_REFUSED,       "SERVICE_REFUSED",       TO_AGENT,   2, 32, 32},
	{QREXEC_TRIGGER_SERVICE,       "TRIGGER_SERVICE",       FROM_AGENT, 2, TRIGGER2_LEN, TRIGGER2_LEN},
	{QREXEC_CONNECTION_TERMINATED, "CONNECTION_TERMINATED", FROM_AGENT, 2, 8, 8},
	{QREXEC_TRIGGER_SERVICE3,      "TRIGGER_SERVICE3",      FROM_AGENT | FROM_LOCAL, 3, TRIGGER3_LEN + 1, TRIGGER3_LEN + SERVICE},
	{QREXEC_TRIGGER_SERVICE4,      "TRIGGER_SERVICE4",      FROM_AGENT | FROM_LOCAL, 4, TRIGGER4_LEN + 1, TRIGGER4_LEN + SERVICE},
	{QREXEC_HELLO,                 "HELLO",                 ALL_WAYS,   2, 4, 4},
};
/* clang-format on */

static const struct row *row_get(enum qrexec_way way, uint32_t version, uint32_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == type && (rows[i].ways & WAY(way)) && rows[i].version <= version)
			return &rows[i];
	return NULL;
}

uint32_t qrexec_version_agree(uint32_t ours, uint32_t theirs)
{
	uint32_t both = theirs < ours ? theirs : ours;

	return both < QREXEC_VERSION_MIN ? 0 : both;
}

uint32_t qrexec_chunk_max(uint32_t version)
{
	return version < 3 ? QREXEC_CHUNK_MAX_2 : QREXEC_CHUNK_MAX;
}

static int header_check(enum qrexec_way way, uint32_t version, const struct qrexec_header *h)
{
	const struct row *row = row_get(way, version, h->type);

	if (!row)
		return QREXEC_E_TYPE;
	if (h->len < row->min || h->len > row->max)
		return QREXEC_E_LENGTH;
	if (row->max == CHUNK && h->len > qrexec_chunk_max(version))
		return QREXEC_E_LENGTH;
	return 0;
}

int qrexec_header_decode(enum qrexec_way way, uint32_t version, const void *bytes,
			 struct qrexec_header *ret)
{
	struct rd r = rd_of(bytes, QREXEC_HEADER_LEN);
	struct qrexec_header h = {0};
	int outcome;

	h.type = rd_le32(&r);
	h.len = rd_le32(&r);
	outcome = header_check(way, version, &h);
	if (outcome == 0)
		*ret = h;
	return outcome;
}

/* a field of fixed size: text, then NULs, at least one, to its end */
static bool field_take(struct rd *r, char *to, size_t size)
{
	size_t len;

	rd_copy(r, to, size);
	len = strnlen(to, size);
	if (len == size)
		return false;
	for (size_t i = len; i < size; i++)
		if (to[i] != '\0')
			return false;
	return true;
}

static bool ident_take(struct rd *r, char to[32])
{
	return field_take(r, to, 32) && to[0] != '\0' && bytes_are_alnum_or(to, strlen(to), "_.- ");
}

/* the rest of a payload: text and one NUL, the last byte */
static bool text_take(struct rd *r, const char **ret, size_t *ret_len)
{
	size_t len;
	const char *text = rd_rest(r, &len);

	if (!text || len == 0 || text[len - 1] != '\0')
		return false;
	*ret = text;
	*ret_len = len - 1;
	return true;
}

static bool exec_take(struct rd *r, struct qrexec_msg *m)
{
	m->domid = rd_le32(r);
	m->port = rd_le32(r);
	if (rd_done(r))
		return true; /* an answer */
	return text_take(r, &m->command, &m->command_len) && m->command_len > 0 &&
	       strlen(m->command) == m->command_len;
}

static bool connect_take(struct rd *r, struct qrexec_msg *m)
{
	m->domid = rd_le32(r);
	m->port = rd_le32(r);
	return rd_done(r) || ident_take(r, m->ident);
}

static bool trigger2_take(struct rd *r, struct qrexec_msg *m)
{
	const char *service = rd_take(r, 64);
	char copy[64];
	struct rd field = rd_of(service, service ? 64 : 0);

	if (!field_take(&field, copy, sizeof(copy)) || !field_take(r, m->target, 32))
		return false;
	m->service = service;
	m->service_len = strlen(copy);
	return ident_take(r, m->ident);
}

static bool trigger_take(struct rd *r, struct qrexec_msg *m)
{
	if (m->type == QREXEC_TRIGGER_SERVICE4 && !field_take(r, m->source, sizeof(m->source)))
		return false;
	return field_take(r, m->target, sizeof(m->target)) && ident_take(r, m->ident) &&
	       text_take(r, &m->service, &m->service_len);
}

static bool payload_take(struct rd *r, struct qrexec_msg *m)
{
	switch (m->type) {
	case QREXEC_DATA_STDIN:
	case QREXEC_DATA_STDOUT:
	case QREXEC_DATA_STDERR:
		m->data = rd_rest(r, &m->data_len);
		return true;
	case QREXEC_DATA_EXIT_CODE:
		m->exit_code = rd_le32(r);
		return true;
	case QREXEC_EXEC_CMDLINE:
	case QREXEC_JUST_EXEC:
		return exec_take(r, m);
	case QREXEC_SERVICE_CONNECT:
		return connect_take(r, m);
	case QREXEC_SERVICE_REFUSED:
		return ident_take(r, m->ident);
	case QREXEC_CONNECTION_TERMINATED:
		m->domid = rd_le32(r);
		m->port = rd_le32(r);
		return true;
	case QREXEC_TRIGGER_SERVICE:
		return trigger2_take(r, m);
	case QREXEC_TRIGGER_SERVICE3:
	case QREXEC_TRIGGER_SERVICE4:
		return trigger_take(r, m);
	case QREXEC_HELLO:
		m->version = rd_le32(r);
		return true;
	}
	return false;
}

int qrexec_payload_decode(enum qrexec_way way, uint32_t version, const struct qrexec_header *header,
			  const void *payload, struct qrexec_msg *ret)
{
	struct rd r = rd_of(payload, header->len);
	struct qrexec_msg m = {.type = (enum qrexec_type)header->type};
	int outcome = header_check(way, version, header);

	if (outcome != 0)
		return outcome;
	if (!payload_take(&r, &m) || !rd_done(&r))
		return QREXEC_E_FORMAT;
	*ret = m;
	return 0;
}

void qrexec_header_encode(enum qrexec_type type, size_t len, uint8_t *bytes)
{
	struct wr w = wr_of(bytes, QREXEC_HEADER_LEN);

	wr_le32(&w, (uint32_t)type);
	wr_le32(&w, (uint32_t)len);
}

static void field_put(struct wr *w, const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	wr_bytes(w, text, len);
	wr_zeros(w, size - len);
}

static void payload_put(struct wr *w, const struct qrexec_msg *m)
{
	switch (m->type) {
	case QREXEC_DATA_STDIN:
	case QREXEC_DATA_STDOUT:
	case QREXEC_DATA_STDERR:
		wr_bytes(w, m->data, m->data_len);
		return;
	case QREXEC_DATA_EXIT_CODE:
		wr_le32(w, m->exit_code);
		return;
	case QREXEC_EXEC_CMDLINE:
	case QREXEC_JUST_EXEC:
		wr_le32(w, m->domid);
		wr_le32(w, m->port);
		if (!m->command)
			return;
		wr_bytes(w, m->command, m->command_len);
		wr_u8(w, 0);
		return;
	case QREXEC_SERVICE_CONNECT:
		wr_le32(w, m->domid);
		wr_le32(w, m->port);
		if (m->ident[0] != '\0')
			field_put(w, m->ident, sizeof(m->ident));
		return;
	case QREXEC_SERVICE_REFUSED:
		field_put(w, m->ident, sizeof(m->ident));
		return;
	case QREXEC_CONNECTION_TERMINATED:
		wr_le32(w, m->domid);
		wr_le32(w, m->port);
		return;
	case QREXEC_TRIGGER_SERVICE:
		wr_bytes(w, m->service, m->service_len);
		wr_zeros(w, m->service_len < 64 ? 64 - m->service_len : 0);
		field_put(w, m->target, 32);
		field_put(w, m->ident, sizeof(m->ident));
		return;
	case QREXEC_TRIGGER_SERVICE3:
	case QREXEC_TRIGGER_SERVICE4:
		if (m->type == QREXEC_TRIGGER_SERVICE4)
			field_put(w, m->source, sizeof(m->source));
		field_put(w, m->target, sizeof(m->target));
		field_put(w, m->ident, sizeof(m->ident));
		wr_bytes(w, m->service, m->service_len);
		wr_u8(w, 0);
		return;
	case QREXEC_HELLO:
		wr_le32(w, m->version);
		return;
	}
}

size_t qrexec_msg_encode(const struct qrexec_msg *m, void *bytes, size_t size)
{
	struct wr w = wr_of(bytes, size);
	size_t len;

	wr_zeros(&w, QREXEC_HEADER_LEN);
	payload_put(&w, m);
	len = wr_done(&w);
	if (len > 0)
		qrexec_header_encode(m->type, len - QREXEC_HEADER_LEN, bytes);
	return len;
}

bool qrexec_service_valid(const char *service, size_t len)
{
	return len > 0 && len <= QREXEC_SERVICE_MAX && service[0] != '+' &&
	       memchr(service, '\0', len) == NULL;
}

const char *qrexec_type_str(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == type)
			return rows[i].name;
	return "unknown";
}

const char *qrexec_outcome_str(int outcome)
{
	switch (outcome) {
	case 0:
		return "fine";
	case QREXEC_E_TYPE:
		return "no such message here";
	case QREXEC_E_LENGTH:
		return "impossible length";
	case QREXEC_E_FORMAT:
		return "malformed";
	default:
		return "unknown";
	}
}
