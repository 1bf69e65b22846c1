/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A walk's visitor: what it finds goes to the receiver. The walk's context is a struct sink. */
#include "walk.h"

extern const struct walk_visitor send_visitor;

/** send_end() - the end of all. Return: 0; SINK_E_ANSWERED; -errno */
struct sink;
MUST_CHECK int send_end(struct sink *s);
