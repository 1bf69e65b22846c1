/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/escape.h"

#include <string.h>

void escape_filter(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((bytes[i] < 0x20 || bytes[i] > 0x7e) &&
		    (bytes[i] == 0 || !strchr("\n\r\t\b\a", bytes[i])))
			bytes[i] = '_';
}
