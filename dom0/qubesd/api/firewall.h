/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A qube's firewall, for those that set one without having been asked to by admin.vm.firewall.Set. */
#include "base/attr.h"

struct refusal;
struct text;

/** firewall_parse() - the rules @lines as they are kept; no rule leaves @ret empty. Return: 0; REFUSED; -ENOMEM */
MUST_CHECK int firewall_parse(const char *lines, struct text *ret, struct refusal *why);
