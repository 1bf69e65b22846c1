/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * prompt-window: one question on the screen, one answer.
 *
 * Runs as	the session's user, started by bulkhead-prompt for this question alone
 * Holds	the question (a sealed file), the socket for the answer, the display
 * Trusts	bulkhead-prompt, the display, GTK with what it loads: themes, fonts, input methods
 * Needs	whatever GTK does, so it is not confined; of a qube it reads the caller's words, decoded
 *		in lib/proto and shown as plain ASCII (qrexec/words.h), never as markup
 *
 * What the person does counts only while the guard is open (guard.h): a controller in front of all
 * widgets takes keys and buttons away until then. Nothing stands selected but what the policy
 * preselects; what is typed selects a target when it is its name, or when no other is left.
 */
#include "window.h"
#include "guard.h"
#include "target.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/prompt.h"
#include "qrexec/words.h"

#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TICK_MS         100
#define WIDTH           460
#define ROWS_HEIGHT_MAX 216 /* then they scroll */

struct window {
	struct prompt_question q;
	struct prompt_qube *targets;
	struct guard guard;
	uint64_t end_ms;
	GMainLoop *loop;
	GtkWindow *window;
	GtkEditable *filter_text;
	GtkFilter *filter;
	GtkSingleSelection *selection;
	GtkListView *list;
	GtkWidget *allow, *left, *hint;
	bool answered;
};

/* ---- the end */

static void answer(struct window *w, enum prompt_result result, uint32_t target)
{
	uint8_t bytes[PROMPT_ANSWER_LEN];

	if (w->answered)
		return;
	w->answered = true;
	prompt_answer_encode(&(struct prompt_answer){result, target}, bytes);
	(void)send(WINDOW_ANSWER_FD, bytes, sizeof(bytes), MSG_NOSIGNAL);
	g_main_loop_quit(w->loop);
}

static Target *chosen(struct window *w)
{
	return gtk_single_selection_get_selected_item(w->selection);
}

static bool may_allow(struct window *w)
{
	return chosen(w) && guard_is_open(&w->guard, io_now_ms());
}

static void allow(struct window *w)
{
	if (may_allow(w))
		answer(w, PROMPT_ALLOWED, target_index(chosen(w)));
}

static void on_allow(GtkWidget *widget, gpointer data)
{
	(void)widget;
	allow(data);
}

static void on_deny(GtkWidget *widget, gpointer data)
{
	(void)widget;
	answer(data, PROMPT_DENIED, 0);
}

static gboolean on_close(GtkWindow *window, gpointer data)
{
	(void)window;
	answer(data, PROMPT_DENIED, 0);
	return TRUE;
}

/* ---- what changes while it is open */

static void refresh(struct window *w)
{
	uint64_t now_ms = io_now_ms();
	unsigned left_s = now_ms < w->end_ms ? (unsigned)((w->end_ms - now_ms + 999) / 1000) : 0;
	bool open = guard_is_open(&w->guard, now_ms);
	char text[64];

	gtk_widget_set_sensitive(w->allow, open && chosen(w));
	if (left_s >= 120)
		(void)snprintf(text, sizeof(text), "Denied in %u minutes", left_s / 60);
	else
		(void)snprintf(text, sizeof(text), "Denied in %u s", left_s);
	gtk_label_set_text(GTK_LABEL(w->left), text);
	gtk_label_set_text(GTK_LABEL(w->hint), !w->guard.focused ? "Click here to answer"
					       : !open           ? "One moment ..."
					       : !chosen(w)      ? "Choose where to"
								 : "");
}

static gboolean on_tick(gpointer data)
{
	struct window *w = data;

	if (io_now_ms() >= w->end_ms)
		answer(w, PROMPT_TIMED_OUT, 0);
	else
		refresh(w);
	return G_SOURCE_CONTINUE;
}

/* bulkhead-prompt is gone, or has taken the question back */
static gboolean on_hangup(gint fd, GIOCondition condition, gpointer data)
{
	struct window *w = data;

	(void)fd, (void)condition;
	w->answered = true;
	g_main_loop_quit(w->loop);
	return G_SOURCE_REMOVE;
}

static void on_map(GtkWidget *widget, gpointer data)
{
	struct window *w = data;

	(void)widget;
	guard_map(&w->guard, io_now_ms());
}

static void on_active(GtkWindow *window, GParamSpec *spec, gpointer data)
{
	struct window *w = data;

	(void)spec;
	guard_focus(&w->guard, gtk_window_is_active(window), io_now_ms());
	refresh(w);
}

static gboolean on_event(GtkEventControllerLegacy *c, GdkEvent *event, gpointer data)
{
	struct window *w = data;
	GdkEventType type = gdk_event_get_event_type(event);

	(void)c;
	if (type == GDK_KEY_PRESS || type == GDK_BUTTON_PRESS || type == GDK_TOUCH_BEGIN) {
		bool meant = guard_input(&w->guard, io_now_ms());

		refresh(w);
		return !meant;
	}
	/* the end of what was taken away, and what else could move something */
	if (type == GDK_KEY_RELEASE || type == GDK_BUTTON_RELEASE || type == GDK_TOUCH_END ||
	    type == GDK_SCROLL)
		return !guard_is_open(&w->guard, io_now_ms());
	return FALSE;
}

/* ---- choosing */

/* targets begin with or contain what was typed, whatever its case: names are ASCII */
static gboolean matches(gpointer item, gpointer data)
{
	const struct window *w = data;
	const char *typed = gtk_editable_get_text(w->filter_text);

	return strcasestr(target_qube(item)->name, typed) != NULL;
}

static void select_at(struct window *w, guint at)
{
	gtk_single_selection_set_selected(w->selection, at);
	if (at != GTK_INVALID_LIST_POSITION)
		(void)gtk_widget_activate_action(GTK_WIDGET(w->list), "list.scroll-to-item", "u",
						 at);
	refresh(w);
}

/* a name that was typed whole, or the only one that is left; two may have one name */
static void on_typed(GtkEditable *editable, gpointer data)
{
	struct window *w = data;
	const char *typed = gtk_editable_get_text(editable);
	GListModel *model = G_LIST_MODEL(w->selection);
	guint n, at = GTK_INVALID_LIST_POSITION, n_same = 0;

	gtk_filter_changed(w->filter, GTK_FILTER_CHANGE_DIFFERENT);
	n = g_list_model_get_n_items(model);
	for (guint i = 0; typed[0] != '\0' && i < n; i++) {
		Target *t = g_list_model_get_item(model, i);

		if (strcasecmp(target_qube(t)->name, typed) == 0) {
			at = i;
			n_same++;
		}
		g_object_unref(t);
	}
	if (typed[0] != '\0' && n == 1)
		at = 0;
	else if (n_same != 1)
		at = GTK_INVALID_LIST_POSITION;
	select_at(w, at);
}

static void on_selected(GtkSingleSelection *selection, GParamSpec *spec, gpointer data)
{
	(void)selection, (void)spec;
	refresh(data);
}

static void on_row(GtkListView *list, guint at, gpointer data)
{
	struct window *w = data;

	(void)list;
	select_at(w, at);
	allow(w);
}

static void move(struct window *w, int by)
{
	guint n = g_list_model_get_n_items(G_LIST_MODEL(w->selection));
	guint at = gtk_single_selection_get_selected(w->selection);

	if (n == 0)
		return;
	if (at == GTK_INVALID_LIST_POSITION)
		at = by > 0 ? 0 : n - 1;
	else if (by > 0)
		at = at + 1 < n ? at + 1 : at;
	else
		at = at > 0 ? at - 1 : 0;
	select_at(w, at);
}

static gboolean on_key(GtkEventControllerKey *c, guint key, guint code, GdkModifierType mods,
		       gpointer data)
{
	(void)c, (void)code;
	if (mods & (GDK_CONTROL_MASK | GDK_ALT_MASK))
		return FALSE;
	switch (key) {
	case GDK_KEY_Escape:
		answer(data, PROMPT_DENIED, 0);
		return TRUE;
	case GDK_KEY_Down:
		move(data, 1);
		return TRUE;
	case GDK_KEY_Up:
		move(data, -1);
		return TRUE;
	default:
		return FALSE;
	}
}

/* ---- what is seen */

static GtkWidget *label(const char *text, const char *class)
{
	GtkWidget *l = gtk_label_new(text); /* no markup */

	gtk_label_set_xalign(GTK_LABEL(l), 0);
	if (class)
		gtk_widget_add_css_class(l, class);
	return l;
}

static GtkWidget *wrapped(GtkWidget *l)
{
	PangoAttrList *attrs = pango_attr_list_new();

	/* a hyphen where a line is broken would be read as one of the name's */
	pango_attr_list_insert(attrs, pango_attr_insert_hyphens_new(FALSE));
	gtk_label_set_attributes(GTK_LABEL(l), attrs);
	pango_attr_list_unref(attrs);
	gtk_label_set_wrap(GTK_LABEL(l), TRUE);
	gtk_label_set_wrap_mode(GTK_LABEL(l), PANGO_WRAP_WORD_CHAR);
	gtk_label_set_max_width_chars(GTK_LABEL(l), 44);
	return l;
}

/* who asks, on a band in the colour of its label */
static GtkWidget *band(const struct window *w)
{
	const struct prompt_qube *source = &w->q.source;
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
	GtkWidget *words = gtk_box_new(GTK_ORIENTATION_VERTICAL, 2);
	char text[160];

	gtk_widget_add_css_class(box, "band");
	gtk_box_append(GTK_BOX(box), qube_icon(source, 48));
	gtk_box_append(GTK_BOX(words), wrapped(label(source->name, "caller")));
	(void)qube_is_text(source, text, sizeof(text));
	gtk_box_append(GTK_BOX(words), label(text, "caller-is"));
	gtk_widget_set_valign(words, GTK_ALIGN_CENTER);
	gtk_box_append(GTK_BOX(box), words);
	return box;
}

static void fact(GtkGrid *grid, int row, const char *what, const char *text, bool is_callers)
{
	GtkWidget *l = label(what, "dim-label");

	gtk_widget_set_valign(l, GTK_ALIGN_START);
	gtk_grid_attach(grid, l, 0, row, 1, 1);
	gtk_grid_attach(grid, wrapped(label(text, is_callers ? "monospace" : NULL)), 1, row, 1, 1);
}

/* what it wants, in words where they are known, and as it said it */
static GtkWidget *request(const struct window *w)
{
	const char *service = w->q.service, *words = words_of_service(service);
	size_t name_len = strcspn(service, "+");
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 10);
	GtkGrid *grid = GTK_GRID(gtk_grid_new());
	char shown[WORDS_BUF], text[160];
	int row = 0;

	(void)snprintf(text, sizeof(text), "wants to %s ...", words ? words : "call a service of");
	gtk_box_append(GTK_BOX(box), wrapped(label(text, "wish")));
	gtk_grid_set_column_spacing(grid, 12);
	gtk_grid_set_row_spacing(grid, 3);
	if (w->q.remote[0] != '\0')
		fact(grid, row++, "On behalf of", w->q.remote, false);
	fact(grid, row++, "Service", words_shown(service, name_len, shown), true);
	if (service[name_len] == '+' && service[name_len + 1] != '\0')
		fact(grid, row++, "Argument",
		     words_shown(service + name_len + 1, strlen(service + name_len + 1), shown),
		     true);
	if (w->q.asked[0] != '\0' && !str_eq(w->q.asked, "@default"))
		fact(grid, row++, "It named", words_shown(w->q.asked, strlen(w->q.asked), shown),
		     true);
	gtk_box_append(GTK_BOX(box), GTK_WIDGET(grid));
	return box;
}

static void row_make(GtkSignalListItemFactory *f, GtkListItem *item, gpointer data)
{
	GtkWidget *row = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 10);
	GtkWidget *name = label("", "target"), *is = label("", "dim-label");

	(void)f, (void)data;
	gtk_box_append(GTK_BOX(row), qube_icon(NULL, 24));
	gtk_widget_set_hexpand(name, TRUE);
	gtk_box_append(GTK_BOX(row), name);
	/* of the two only this one may be cut */
	gtk_label_set_ellipsize(GTK_LABEL(is), PANGO_ELLIPSIZE_END);
	gtk_box_append(GTK_BOX(row), is);
	gtk_list_item_set_child(item, row);
}

static void row_fill(GtkSignalListItemFactory *f, GtkListItem *item, gpointer data)
{
	const struct prompt_qube *q = target_qube(gtk_list_item_get_item(item));
	GtkWidget *icon = gtk_widget_get_first_child(gtk_list_item_get_child(item));
	GtkWidget *name = gtk_widget_get_next_sibling(icon);
	char text[160];

	(void)f, (void)data;
	qube_icon_set(icon, q);
	gtk_label_set_text(GTK_LABEL(name), q->name);
	gtk_label_set_text(GTK_LABEL(gtk_widget_get_next_sibling(name)),
			   qube_is_text(q, text, sizeof(text)));
}

/* @w->targets as a list that what is typed makes shorter */
static GtkWidget *choice(struct window *w)
{
	GListStore *store = g_list_store_new(TARGET_TYPE);
	GtkWidget *scrolled = gtk_scrolled_window_new();
	GtkListItemFactory *factory = gtk_signal_list_item_factory_new();
	GtkFilterListModel *filtered;

	for (uint32_t i = 0; i < w->q.n_targets; i++) {
		Target *t = target_new(&w->targets[i], i);

		g_list_store_append(store, t);
		g_object_unref(t);
	}
	w->filter = GTK_FILTER(gtk_custom_filter_new(matches, w, NULL));
	filtered = gtk_filter_list_model_new(G_LIST_MODEL(store), w->filter);
	w->selection = gtk_single_selection_new(G_LIST_MODEL(filtered));
	gtk_single_selection_set_autoselect(w->selection, FALSE);
	gtk_single_selection_set_can_unselect(w->selection, TRUE);
	gtk_single_selection_set_selected(w->selection, GTK_INVALID_LIST_POSITION);
	g_signal_connect(factory, "setup", G_CALLBACK(row_make), NULL);
	g_signal_connect(factory, "bind", G_CALLBACK(row_fill), NULL);
	w->list = GTK_LIST_VIEW(gtk_list_view_new(GTK_SELECTION_MODEL(w->selection), factory));
	g_signal_connect(w->selection, "notify::selected", G_CALLBACK(on_selected), w);
	g_signal_connect(w->list, "activate", G_CALLBACK(on_row), w);
	gtk_scrolled_window_set_child(GTK_SCROLLED_WINDOW(scrolled), GTK_WIDGET(w->list));
	gtk_scrolled_window_set_max_content_height(GTK_SCROLLED_WINDOW(scrolled), ROWS_HEIGHT_MAX);
	gtk_scrolled_window_set_propagate_natural_height(GTK_SCROLLED_WINDOW(scrolled), TRUE);
	gtk_scrolled_window_set_policy(GTK_SCROLLED_WINDOW(scrolled), GTK_POLICY_NEVER,
				       GTK_POLICY_AUTOMATIC);
	gtk_widget_add_css_class(scrolled, "frame");
	gtk_widget_set_vexpand(scrolled, TRUE);
	return scrolled;
}

static GtkWidget *filter_entry(struct window *w)
{
	GtkWidget *entry = gtk_entry_new();

	gtk_entry_set_placeholder_text(GTK_ENTRY(entry), "Type the name of the target");
	gtk_entry_set_input_hints(GTK_ENTRY(entry), GTK_INPUT_HINT_NO_SPELLCHECK);
	w->filter_text = GTK_EDITABLE(entry);
	return entry;
}

static GtkWidget *buttons(struct window *w)
{
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 8);
	GtkWidget *notes = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
	GtkWidget *deny = gtk_button_new_with_label("Deny");

	w->allow = gtk_button_new_with_label("Allow");
	w->left = label("", "dim-label");
	w->hint = label("", "dim-label");
	gtk_widget_set_hexpand(notes, TRUE);
	gtk_box_append(GTK_BOX(notes), w->hint);
	gtk_box_append(GTK_BOX(notes), w->left);
	gtk_box_append(GTK_BOX(box), notes);
	gtk_box_append(GTK_BOX(box), deny);
	gtk_box_append(GTK_BOX(box), w->allow);
	gtk_widget_set_valign(deny, GTK_ALIGN_CENTER);
	gtk_widget_set_valign(w->allow, GTK_ALIGN_CENTER);
	gtk_widget_add_css_class(w->allow, "suggested-action");
	gtk_widget_set_sensitive(w->allow, FALSE);
	g_signal_connect(deny, "clicked", G_CALLBACK(on_deny), w);
	g_signal_connect(w->allow, "clicked", G_CALLBACK(on_allow), w);
	return box;
}

/* the one thing in it that is not fixed is a number, so nothing of a peer is CSS */
static void style(uint32_t colour)
{
	const unsigned light =
		(299 * (colour >> 16 & 0xff) + 587 * (colour >> 8 & 0xff) + 114 * (colour & 0xff)) /
		1000;
	const char *ink = light > 150 ? "#1a1a1a" : "#ffffff";
	GtkCssProvider *provider = gtk_css_provider_new();
	char css[1024];

	(void)snprintf(css, sizeof(css),
		       ".band { background: #%06x; color: %s; padding: 14px 18px; }\n"
		       ".band drawingarea { color: %s; }\n"
		       ".caller { font-size: 160%%; font-weight: bold; }\n"
		       ".wish { font-size: 115%%; font-weight: bold; }\n"
		       ".target { font-weight: bold; }\n"
		       ".monospace { font-family: monospace; }\n"
		       ".body { padding: 14px 18px 16px 18px; }\n"
		       "listview row { padding: 5px 8px; }\n",
		       colour & 0xffffff, ink, ink);
	gtk_css_provider_load_from_data(provider, css, -1);
	gtk_style_context_add_provider_for_display(gdk_display_get_default(),
						   GTK_STYLE_PROVIDER(provider),
						   GTK_STYLE_PROVIDER_PRIORITY_USER + 1);
	g_object_unref(provider);
}

static void attend(struct window *w)
{
	GtkEventController *all = gtk_event_controller_legacy_new();
	GtkEventController *keys = gtk_event_controller_key_new();

	/* capture: before any widget below; the one that was added last comes first */
	gtk_event_controller_set_propagation_phase(keys, GTK_PHASE_CAPTURE);
	g_signal_connect(keys, "key-pressed", G_CALLBACK(on_key), w);
	gtk_widget_add_controller(GTK_WIDGET(w->window), keys);
	gtk_event_controller_set_propagation_phase(all, GTK_PHASE_CAPTURE);
	g_signal_connect(all, "event", G_CALLBACK(on_event), w);
	gtk_widget_add_controller(GTK_WIDGET(w->window), all);
	g_signal_connect(w->window, "map", G_CALLBACK(on_map), w);
	g_signal_connect(w->window, "notify::is-active", G_CALLBACK(on_active), w);
	g_signal_connect(w->window, "close-request", G_CALLBACK(on_close), w);
	g_signal_connect(w->filter_text, "changed", G_CALLBACK(on_typed), w);
	g_signal_connect(w->filter_text, "activate", G_CALLBACK(on_allow), w);
	g_unix_fd_add(WINDOW_ANSWER_FD, G_IO_IN | G_IO_HUP | G_IO_ERR, on_hangup, w);
	g_timeout_add(TICK_MS, on_tick, w);
}

static void show(struct window *w)
{
	GtkWidget *all = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
	GtkWidget *body = gtk_box_new(GTK_ORIENTATION_VERTICAL, 10);
	char title[QUBE_NAME_MAX + 32];

	w->window = GTK_WINDOW(gtk_window_new());
	(void)snprintf(title, sizeof(title), "%s asks", w->q.source.name);
	gtk_window_set_title(w->window, title);
	/* as high as what is in it at this width; narrower, wrapped words would ask for more */
	gtk_widget_set_size_request(all, WIDTH, -1);
	style(w->q.source.colour);
	gtk_box_append(GTK_BOX(all), band(w));
	gtk_widget_add_css_class(body, "body");
	gtk_box_append(GTK_BOX(body), request(w));
	gtk_box_append(GTK_BOX(body), filter_entry(w));
	gtk_box_append(GTK_BOX(body), choice(w));
	gtk_box_append(GTK_BOX(body), buttons(w));
	gtk_box_append(GTK_BOX(all), body);
	gtk_window_set_child(w->window, all);
	attend(w);
	gtk_window_set_focus(w->window, GTK_WIDGET(w->filter_text));
	if (w->q.preselected != PROMPT_NONE)
		select_at(w, w->q.preselected);
	refresh(w);
	gtk_window_present(w->window);
}

/* ---- the whole */

static int acquire(struct window *w)
{
	char *bytes;
	size_t len, at = 0;
	int r = io_read_all(WINDOW_QUESTION_FD, PROMPT_MAX, &bytes, &len);

	if (r < 0)
		return r;
	/* kept until the end: everything points into it */
	if (prompt_question_decode(bytes, len, &w->q) != 0)
		return -EPROTO;
	w->targets = calloc(w->q.n_targets, sizeof(*w->targets));
	if (!w->targets)
		return -ENOMEM;
	for (unsigned i = 0; i < w->q.n_targets; i++)
		if (!prompt_target_next(&w->q, &at, &w->targets[i]))
			return -EPROTO;
	w->end_ms = io_now_ms() + w->q.timeout_ms;
	return 0;
}

int main(void)
{
	static struct window w;
	int r;

	log_open("prompt-window");
	r = acquire(&w);
	if (r < 0) {
		log_err(NULL, "no question: %s", log_errno_str(r));
		return 1;
	}
	/* a small window needs no GPU, nor what comes with it: drivers and compilers in this process */
	(void)setenv("GSK_RENDERER", "cairo", 1);
	(void)setenv("GDK_DEBUG", "gl-disable", 1);
	/* without a session's bus GTK would start one, for nobody */
	if (!getenv("DBUS_SESSION_BUS_ADDRESS"))
		(void)setenv("GTK_A11Y", "none", 0);
	if (!gtk_init_check())
		return WINDOW_NO_DISPLAY;
	w.loop = g_main_loop_new(NULL, FALSE);
	show(&w);
	g_main_loop_run(w.loop);
	return 0;
}
