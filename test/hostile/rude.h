/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What liars of qrexec share: saying anything on a stream, and seeing how it is taken. What cannot go on ends the program. */
#include "base/attr.h"

struct vchan;

enum { DOMID = 42, PATIENCE_MS = 20000 };

NORETURN void give_up(const char *what);
/** raw() - bytes, also to one who has closed */
void raw(struct vchan *v, const void *bytes, size_t len);
void message(struct vchan *v, uint32_t type, const void *payload, uint32_t len);
/** header() - of a message whose payload does not come */
void header(struct vchan *v, uint32_t type, uint32_t len);
void number(struct vchan *v, uint32_t type, uint32_t n);
/** hello() - ours, of the version that is spoken today */
void hello(struct vchan *v);
void trigger4(struct vchan *v, const char *target, size_t target_len, const char *ident,
	      const void *service, size_t service_len);
/** garbage() - bytes that mean nothing */
void garbage(struct vchan *v);
/** agent_serve() - be the agent of DOMID: its daemon has connected */
struct vchan *agent_serve(const char *dir);
/**
 * cut_off() - the other side has ended the stream, within @patience_ms
 * @ret_refused: it said SERVICE_REFUSED for "S1", and then this is false
 */
bool cut_off(struct vchan *v, unsigned patience_ms, bool *ret_refused);
