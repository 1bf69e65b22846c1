/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/refusal.h"

#include <stdarg.h>
#include <stdio.h>

int refuse(struct refusal *why, const char *type, const char *format, ...)
{
	va_list args;

	(void)snprintf(why->type, sizeof(why->type), "%s", type);
	va_start(args, format);
	(void)vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return REFUSED;
}
