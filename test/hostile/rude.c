/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rude.h"

#include "base/io.h"
#include "proto/qrexec.h"
#include "vchan/vchan.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

NORETURN void give_up(const char *what)
{
	(void)fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
	exit(1);
}

void raw(struct vchan *v, const void *bytes, size_t len)
{
	int r = vchan_write_full(v, bytes, len);

	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		give_up("write failed");
}

void header(struct vchan *v, uint32_t type, uint32_t len)
{
	uint8_t head[QREXEC_HEADER_LEN];

	qrexec_header_encode((enum qrexec_type)type, len, head);
	raw(v, head, sizeof(head));
}

void message(struct vchan *v, uint32_t type, const void *payload, uint32_t len)
{
	header(v, type, len);
	if (len > 0)
		raw(v, payload, len);
}

void number(struct vchan *v, uint32_t type, uint32_t n)
{
	const uint8_t le[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16),
			       (uint8_t)(n >> 24)};

	message(v, type, le, sizeof(le));
}

void hello(struct vchan *v)
{
	number(v, QREXEC_HELLO, 4);
}

void trigger4(struct vchan *v, const char *target, size_t target_len, const char *ident,
	      const void *service, size_t service_len)
{
	static uint8_t p[160 + 70000];

	memset(p, 0, sizeof(p));
	memcpy(p + 64, target, target_len);
	memcpy(p + 128, ident, strlen(ident));
	memcpy(p + 160, service, service_len);
	message(v, QREXEC_TRIGGER_SERVICE4, p, (uint32_t)(160 + service_len));
}

void garbage(struct vchan *v)
{
	uint8_t b[4096];

	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * 37 + 11);
	raw(v, b, sizeof(b));
}

struct vchan *agent_serve(const char *dir)
{
	struct vchan *v;

	if (vchan_server_new(dir, DOMID, 0, QREXEC_PORT_CONTROL, &v) < 0)
		give_up("cannot listen");
	for (;;) {
		struct pollfd p = {.fd = vchan_fd(v), .events = POLLIN};

		if (poll(&p, 1, PATIENCE_MS) <= 0)
			give_up("the daemon did not come");
		if (vchan_accept(v) == 0)
			return v;
	}
}

bool cut_off(struct vchan *v, unsigned patience_ms, bool *ret_refused)
{
	const uint64_t until = io_now_ms() + patience_ms;
	static uint8_t all[1 << 16];
	size_t len = 0;

	*ret_refused = false;
	for (uint64_t now; (now = io_now_ms()) < until;) {
		struct pollfd p = {.fd = vchan_fd(v), .events = POLLIN};
		size_t n = 0;
		int r;

		(void)poll(&p, 1, (int)(until - now));
		r = vchan_read(v, all + len, sizeof(all) - len, &n);
		if (r == -EAGAIN)
			continue;
		if (r < 0 || n == 0)
			return true;
		len += n;
		if (memmem(all, len, "\3\2\0\0\x20\0\0\0S1", 10)) {
			*ret_refused = true;
			return false;
		}
		if (len == sizeof(all))
			len = 0;
	}
	return false;
}
