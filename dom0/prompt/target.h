/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The targets of a question as what GTK's lists hold, and how a qube is shown: its icon in the
 * colour of its label, its name, what it is.
 */
#include "proto/prompt.h"

#include <gtk/gtk.h>

#define TARGET_TYPE (target_get_type())
G_DECLARE_FINAL_TYPE(Target, target, BULKHEAD, TARGET, GObject)

/** target_new() - @qube is borrowed, @index its place in the question */
Target *target_new(const struct prompt_qube *qube, uint32_t index);
const struct prompt_qube *target_qube(Target *t);
uint32_t target_index(Target *t);

/** qube_icon() - a widget of @size pixels that shows @qube, which is borrowed; NULL: none yet */
GtkWidget *qube_icon(const struct prompt_qube *qube, int size);
void qube_icon_set(GtkWidget *icon, const struct prompt_qube *qube);
/** qube_is_text() - "template, black" */
const char *qube_is_text(const struct prompt_qube *qube, char *to, size_t size);
