/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A real policyd for a world, below a folder of its own; the bench is its qubesd. */
#include "world.h"

struct server {
	struct world *w;
	char dir[32];
	int feed_fd, pidfd;
};

void server_start(struct server *s, struct world *w);
void server_end(struct server *s);
/** questions_us() - the median of a question and its answer, of both in turn, into @socket_us */
void questions_us(struct server *a, struct server *b);
/** server_reload_ms() - from the change of the policy to the first answer by it */
double server_reload_ms(struct server *s);
/** bare_us() - a connection that brings a line and gets one from a program that does nothing else */
double bare_us(void);
