/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* PROP_netvm..., GLOBAL_default_netvm...: the rows of property_rows.h as numbers. */
enum property_id {
#define PROPERTY(name, ...) PROP_##name,
#include "store/property_rows.h"
#undef PROPERTY
	N_PROPERTIES
};
enum global_id {
#define GLOBAL(name, ...) GLOBAL_##name,
#include "store/property_rows.h"
#undef GLOBAL
	N_GLOBALS
};
