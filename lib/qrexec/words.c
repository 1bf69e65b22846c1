/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec/words.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *service, *words;
} known[] = {
	/* clang-format off */
	{"qubes.ClipboardPaste", "paste into itself the clipboard of"},
	{"qubes.ConnectTCP",     "open a network connection to a port of"},
	{"qubes.Filecopy",       "copy files to"},
	{"qubes.GetDate",        "read the clock of"},
	{"qubes.GetImageRGBA",   "have an image converted in"},
	{"qubes.Gpg",            "use the GnuPG keys of"},
	{"qubes.Gpg2",           "use the GnuPG keys of"},
	{"qubes.InputKeyboard",  "type, as a keyboard, in"},
	{"qubes.InputMouse",     "point and click, as a mouse, in"},
	{"qubes.InputTablet",    "point and touch, as a tablet, in"},
	{"qubes.OpenInVM",       "open a file in"},
	{"qubes.OpenURL",        "open a link in"},
	{"qubes.PdfConvert",     "have a PDF converted in"},
	{"qubes.SshAgent",       "use the SSH keys of"},
	{"qubes.StartApp",       "start an application in"},
	{"qubes.USB",            "use a USB device of"},
	{"qubes.UpdatesProxy",   "download updates through"},
	{"qubes.VMExec",         "run a command in"},
	{"qubes.VMExecGUI",      "run a program in"},
	{"qubes.VMRootExec",     "run a command as root in"},
	{"qubes.VMRootShell",    "run commands as root in"},
	{"qubes.VMShell",        "run any commands in"},
	{"admin.",               "manage qubes (the Admin API) of"},
	{"policy.",              "read or change the policy of"},
	/* clang-format on */
};

const char *words_of_service(const char *service)
{
	size_t len = strcspn(service, "+");

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const char *name = known[i].service;
		size_t name_len = strlen(name);
		bool family = name[name_len - 1] == '.';

		if (family ? str_starts(service, name)
			   : len == name_len && strncmp(service, name, len) == 0)
			return known[i].words;
	}
	return NULL;
}

const char *words_shown(const char *untrusted_text, size_t len, char *to)
{
	size_t n = 0, i;

	for (i = 0; i < len && n <= WORDS_SHOWN_MAX - 4; i++) {
		uint8_t c = (uint8_t)untrusted_text[i];

		if (c == '\\')
			n += (size_t)sprintf(to + n, "\\\\");
		else if (c >= 0x20 && c < 0x7f)
			to[n++] = (char)c;
		else
			n += (size_t)sprintf(to + n, "\\x%02x", c);
	}
	to[n] = '\0';
	if (i < len)
		(void)snprintf(to + n, WORDS_BUF - n, " ... and %zu bytes more", len - i);
	return to;
}
