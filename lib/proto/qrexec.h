/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The qrexec wire: who may send which message, in which protocol version, of which length, and what
 * it says. doc/protocol/qrexec.md has the table. Pure: no I/O, no allocation.
 *
 * A message is a header {u32 type, u32 len} and len bytes. Readers look at the header first, with
 * qrexec_header_decode(), and take no byte of a payload that the header alone refuses; so a peer
 * never makes anybody allocate more than the longest message of its direction.
 */
#include "base/attr.h"

/** QREXEC_HEADER_LEN - bytes of a header */
#define QREXEC_HEADER_LEN 8u
/** QREXEC_COMMAND_MAX - bytes of a command with its NUL */
#define QREXEC_COMMAND_MAX 65535u
/** QREXEC_SERVICE_MAX - bytes of a service and its argument without the NUL */
#define QREXEC_SERVICE_MAX 65000u
/** QREXEC_CHUNK_MAX_2, QREXEC_CHUNK_MAX - data bytes of one message: protocol 2, and 3 and later */
#define QREXEC_CHUNK_MAX_2 4096u
#define QREXEC_CHUNK_MAX   65536u
/** QREXEC_MESSAGE_MAX - the longest message of all, with its header: a command, for which domain and port */
#define QREXEC_MESSAGE_MAX (QREXEC_HEADER_LEN + 8 + QREXEC_COMMAND_MAX)

/** enum - versions: the oldest accepted, what agents speak, what dom0's own socket speaks */
enum {
	QREXEC_VERSION_MIN = 2,
	QREXEC_VERSION_LOCAL = 3,
	QREXEC_VERSION = 4,
};

/** enum - ports: the control channel, the first data channel, and how many there are */
enum {
	QREXEC_PORT_CONTROL = 512,
	QREXEC_PORT_DATA = 513,
	QREXEC_N_PORTS = 256,
};

/** enum - exit codes that qrexec itself gives */
enum {
	QREXEC_EXIT_PROBLEM = 125,
	QREXEC_EXIT_REFUSED = 126,
	QREXEC_EXIT_NO_SERVICE = 127,
	QREXEC_EXIT_SIGNAL = 128, /* + the signal's number */
	QREXEC_EXIT_DROPPED = 255,
};

enum qrexec_type {
	QREXEC_DATA_STDIN = 0x190,
	QREXEC_DATA_STDOUT = 0x191,
	QREXEC_DATA_STDERR = 0x192,
	QREXEC_DATA_EXIT_CODE = 0x193,
	QREXEC_EXEC_CMDLINE = 0x200,
	QREXEC_JUST_EXEC = 0x201,
	QREXEC_SERVICE_CONNECT = 0x202,
	QREXEC_SERVICE_REFUSED = 0x203,
	QREXEC_TRIGGER_SERVICE = 0x210,
	QREXEC_CONNECTION_TERMINATED = 0x211,
	QREXEC_TRIGGER_SERVICE3 = 0x212,
	QREXEC_TRIGGER_SERVICE4 = 0x213,
	QREXEC_HELLO = 0x300,
};

/** enum qrexec_way - a direction of one of the wires; each has its own set of messages */
enum qrexec_way {
	QREXEC_DAEMON_TO_AGENT, /* control channel */
	QREXEC_AGENT_TO_DAEMON,
	QREXEC_CLIENT_TO_DAEMON, /* local socket in dom0 */
	QREXEC_DAEMON_TO_CLIENT,
	QREXEC_CALLER_TO_SERVICE, /* data channel */
	QREXEC_SERVICE_TO_CALLER,
	QREXEC_LOCAL_TO_AGENT, /* local socket in a qube */
	QREXEC_N_WAYS,
};

/** enum - outcomes: why a message is refused */
enum {
	QREXEC_E_TYPE = 1, /* no such message in this direction and version */
	QREXEC_E_LENGTH,   /* its length cannot be */
	QREXEC_E_FORMAT,   /* its content is not as the page describes */
};

struct qrexec_header {
	uint32_t type, len;
};

/**
 * struct qrexec_msg - a message, decoded
 *
 * Which members count follows from @type; the others are zero. Pointers borrow from the payload.
 *
 * @version:	HELLO
 * @domid, @port: EXEC_CMDLINE, JUST_EXEC, SERVICE_CONNECT, CONNECTION_TERMINATED
 * @command, @command_len: EXEC_CMDLINE, JUST_EXEC: NUL-terminated, without inner NUL; the length is
 *		that of the text, at least 1. NULL in the daemon's answer to a client
 * @ident:	SERVICE_CONNECT (NULL-string in an answer to a client), SERVICE_REFUSED, TRIGGER_*:
 *		[0-9A-Za-z_.- ], NUL-terminated, not empty
 * @source, @target: TRIGGER_*: any bytes but NUL; may be empty
 * @service, @service_len: TRIGGER_*: any bytes, also NUL; may be empty: qrexec_service_valid()
 * @data, @data_len: DATA_STD*; no bytes are the end of that stream
 * @exit_code:	DATA_EXIT_CODE
 */
struct qrexec_msg {
	enum qrexec_type type;
	uint32_t version;
	uint32_t domid, port;
	const char *command;
	size_t command_len;
	char ident[32];
	char source[64], target[64];
	const char *service;
	size_t service_len;
	const uint8_t *data;
	size_t data_len;
	uint32_t exit_code;
};

/**
 * qrexec_header_decode() - a header, and whether a message like that may come now
 * @version:	what both sides agreed on; before that QREXEC_VERSION_MIN
 * @bytes:	QREXEC_HEADER_LEN of them
 *
 * Return: 0; QREXEC_E_TYPE, QREXEC_E_LENGTH.
 */
MUST_CHECK int qrexec_header_decode(enum qrexec_way way, uint32_t version, const void *bytes,
				    struct qrexec_header *ret);

/**
 * qrexec_payload_decode() - the @header->len bytes behind a header that was accepted
 *
 * Return: 0; QREXEC_E_TYPE, QREXEC_E_LENGTH, QREXEC_E_FORMAT.
 */
MUST_CHECK int qrexec_payload_decode(enum qrexec_way way, uint32_t version,
				     const struct qrexec_header *header, const void *payload,
				     struct qrexec_msg *ret);

/** qrexec_header_encode() - @bytes has room for QREXEC_HEADER_LEN */
void qrexec_header_encode(enum qrexec_type type, size_t len, uint8_t *bytes);

/**
 * qrexec_msg_encode() - a whole message with its header
 *
 * Return: its length; 0 if it does not fit into @size.
 */
MUST_CHECK size_t qrexec_msg_encode(const struct qrexec_msg *m, void *bytes, size_t size);

/** qrexec_version_agree() - what two sides speak, of which the other said @theirs; 0 if too old */
uint32_t qrexec_version_agree(uint32_t ours, uint32_t theirs);

/** qrexec_chunk_max() - most data bytes of one message */
uint32_t qrexec_chunk_max(uint32_t version);

/** qrexec_service_valid() - a service may be asked for: not empty, no NUL, no leading '+' */
bool qrexec_service_valid(const char *service, size_t len);

/** qrexec_type_str() - the name of a message, "unknown" for others */
const char *qrexec_type_str(uint32_t type);
/** qrexec_outcome_str() - why a message was refused, as text for a log line */
const char *qrexec_outcome_str(int outcome);
