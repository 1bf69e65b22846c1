/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The checksum of zip, Ethernet and qubes.Filecopy: CRC-32, polynomial 0xEDB88320, reflected. */
#include "base/attr.h"

/**
 * crc32_add() - the checksum of some bytes and then @len more
 * @crc:	of those before; 0 if there are none
 */
uint32_t crc32_add(uint32_t crc, const void *bytes, size_t len);

/** crc32_add_plain() - the same without the processor's carry-less multiplication, which few lack */
uint32_t crc32_add_plain(uint32_t crc, const void *bytes, size_t len);
