/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "target.h"

#include <math.h>
#include <stdio.h>

struct _Target {
	GObject parent;
	const struct prompt_qube *qube;
	uint32_t index;
};

G_DEFINE_FINAL_TYPE(Target, target, G_TYPE_OBJECT)

static void target_class_init(TargetClass *class)
{
	(void)class;
}

static void target_init(Target *t)
{
	(void)t;
}

Target *target_new(const struct prompt_qube *qube, uint32_t index)
{
	Target *t = g_object_new(TARGET_TYPE, NULL);

	t->qube = qube;
	t->index = index;
	return t;
}

const struct prompt_qube *target_qube(Target *t)
{
	return t->qube;
}

uint32_t target_index(Target *t)
{
	return t->index;
}

const char *qube_is_text(const struct prompt_qube *qube, char *to, size_t size)
{
	static const char *const kinds[] = {
		[PROMPT_APP] = "qube",
		[PROMPT_TEMPLATE] = "template",
		[PROMPT_STANDALONE] = "standalone qube",
		[PROMPT_DISPOSABLE] = "disposable",
		[PROMPT_NEW_DISPOSABLE] = "new disposable",
		[PROMPT_DOM0] = "the trusted side",
		[PROMPT_REMOTE] = "remote qube",
	};

	(void)snprintf(to, size, "%s, %s", kinds[qube->kind], qube->label);
	return to;
}

/* ---- the icon: a box in the label's colour; what is on it tells the kinds apart */

static void set_colour(cairo_t *cr, uint32_t colour, double shade)
{
	cairo_set_source_rgb(cr, (colour >> 16 & 0xff) / 255.0 * shade,
			     (colour >> 8 & 0xff) / 255.0 * shade, (colour & 0xff) / 255.0 * shade);
}

/* on a unit square */
static void box(cairo_t *cr, double at, double side, double radius)
{
	double low = at + radius, high = at + side - radius;

	cairo_new_sub_path(cr);
	cairo_arc(cr, high, low, radius, -M_PI_2, 0);
	cairo_arc(cr, high, high, radius, 0, M_PI_2);
	cairo_arc(cr, low, high, radius, M_PI_2, M_PI);
	cairo_arc(cr, low, low, radius, M_PI, 3 * M_PI_2);
	cairo_close_path(cr);
}

/* the edges of a cube, seen from a corner */
static void cube(cairo_t *cr)
{
	static const double edges[][4] = {
		{.5, .22, .76, .36}, {.76, .36, .76, .65}, {.76, .65, .5, .79},
		{.5, .79, .24, .65}, {.24, .65, .24, .36}, {.24, .36, .5, .22},
		{.24, .36, .5, .5},  {.5, .5, .76, .36},   {.5, .5, .5, .79},
	};

	for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
		cairo_move_to(cr, edges[i][0], edges[i][1]);
		cairo_line_to(cr, edges[i][2], edges[i][3]);
	}
}

static void draw(GtkDrawingArea *area, cairo_t *cr, int width, int height, gpointer data)
{
	const struct prompt_qube *q = g_object_get_data(G_OBJECT(area), "qube");
	static const double dashes[] = {.12, .09};
	double light;
	bool is_new;

	(void)data;
	if (!q)
		return;
	is_new = q->kind == PROMPT_NEW_DISPOSABLE || q->kind == PROMPT_DISPOSABLE;
	cairo_scale(cr, width, height);
	box(cr, .05, .9, .2);
	set_colour(cr, q->colour, 1);
	cairo_fill_preserve(cr);
	/* an edge, so that a colour like the window's own is seen */
	set_colour(cr, q->colour, .7);
	cairo_set_line_width(cr, .05);
	cairo_stroke(cr);
	light = .299 * (q->colour >> 16 & 0xff) + .587 * (q->colour >> 8 & 0xff) +
		.114 * (q->colour & 0xff);
	cairo_set_source_rgb(cr, light > 150 ? .1 : 1, light > 150 ? .1 : 1, light > 150 ? .1 : 1);
	cairo_set_line_width(cr, .07);
	cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
	cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
	if (q->kind == PROMPT_DOM0) {
		/* a screen on its foot */
		cairo_rectangle(cr, .22, .25, .56, .38);
		cairo_move_to(cr, .5, .63);
		cairo_line_to(cr, .5, .77);
		cairo_move_to(cr, .34, .77);
		cairo_line_to(cr, .66, .77);
	} else {
		if (is_new)
			cairo_set_dash(cr, dashes, ARRAY_LEN(dashes), 0);
		cube(cr);
	}
	cairo_stroke(cr);
	if (q->kind == PROMPT_TEMPLATE) {
		cairo_rectangle(cr, .24, .47, .52, .06);
		cairo_fill(cr);
	}
}

GtkWidget *qube_icon(const struct prompt_qube *qube, int size)
{
	GtkWidget *area = gtk_drawing_area_new();

	gtk_drawing_area_set_content_width(GTK_DRAWING_AREA(area), size);
	gtk_drawing_area_set_content_height(GTK_DRAWING_AREA(area), size);
	gtk_widget_set_valign(area, GTK_ALIGN_CENTER);
	gtk_drawing_area_set_draw_func(GTK_DRAWING_AREA(area), draw, NULL, NULL);
	qube_icon_set(area, qube);
	return area;
}

void qube_icon_set(GtkWidget *icon, const struct prompt_qube *qube)
{
	g_object_set_data(G_OBJECT(icon), "qube", (gpointer)(uintptr_t)qube);
	gtk_widget_queue_draw(icon);
}
