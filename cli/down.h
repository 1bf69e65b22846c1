/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Shutting qubes down in the order of their network: one that gives it goes after those that get it from there, as
 * far as they are to go too.
 */
#include "qubesd.h"

/**
 * struct down
 * @wait:	until they are down; those that take too long are killed
 * @force:	also those that give network to a qube that is to stay
 * @timeout_ms:	with @wait: before they are killed, not counting the time that others take before them; 0: each
 *		qube's shutdown_timeout
 */
struct down {
	bool wait, force;
	uint64_t timeout_ms;
};

/**
 * down_run() - do it
 * @calls:	@list, @n, @verb and @args set
 *
 * Return: as calls_run().
 */
MUST_CHECK int down_run(struct calls *calls, const struct down *how);
