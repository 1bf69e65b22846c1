/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Making an sd-event loop fit for a life without open().
 *
 * While it runs, sd-event needs epoll_ctl, epoll_wait or epoll_pwait2, timerfd_settime, reads of
 * its timerfd and signalfd, clocks and getpid: all in the sandbox's base set. But it makes a
 * timerfd and reads the boot id, to spread wake-ups over machines, only when it arms its first
 * timer; signal sources make a signalfd and child sources a pidfd when they are added.
 */
#include "base/attr.h"

typedef struct sd_event sd_event;

/**
 * loop_warm() - let @e do now what it would do at its first timer
 *
 * Should: be called before sandbox_enter(), with no source ready yet that must not be dispatched by
 * this call. Return: 0; -errno.
 */
MUST_CHECK int loop_warm(sd_event *e);
