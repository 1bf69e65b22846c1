/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Between bulkhead-prompt and prompt-window, which it starts for one question. */

/** WINDOW_QUESTION_FD - where the question can be read, to its end */
#define WINDOW_QUESTION_FD 3
/** WINDOW_ANSWER_FD - a SEQPACKET socket: one answer goes out; its end is the question's */
#define WINDOW_ANSWER_FD 4
/** WINDOW_NO_DISPLAY - its exit code when no display lets it in */
#define WINDOW_NO_DISPLAY 3
