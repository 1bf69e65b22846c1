/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What qubesd tells qrexec-policyd about the qubes, and what policyd asks of qubesd
 * (doc/protocol/picture.md). A stream of frames, one message each.
 */
#include "base/attr.h"

/** PICTURE_MAX - bytes of a frame with its length: a qube with all its tags fits */
#define PICTURE_MAX 327680
/** PICTURE_TAGS_MAX - tags of a qube */
#define PICTURE_TAGS_MAX 1000
/** PICTURE_QID_MAX - largest number of a qube */
#define PICTURE_QID_MAX 9999

enum picture_type {
	/* from qubesd */
	PICTURE_QUBE = 1, /* this qube is now so */
	PICTURE_GONE,     /* there is no such qube any more */
	PICTURE_SETTLED,  /* what was told so far holds together; answered by PICTURE_KNOWN */
	PICTURE_DONE,     /* what became of a wish */
	/* from policyd */
	PICTURE_KNOWN = 16, /* every answer from now on takes into account what was told before */
	PICTURE_START,      /* a wish: start this qube if it is halted */
};

/**
 * struct picture_qube - what a decision may depend on; texts are never NULL, "" is none
 * @colour:	of its label, 0xRRGGBB
 * @tags:	@n_tags texts, one behind the NUL of the other; of a decoded one
 */
struct picture_qube {
	unsigned qid;
	const char *name, *uuid, *type, *label, *default_dispvm, *relayvm, *transport_rpc;
	uint32_t colour;
	bool template_for_dispvms, internal, running;
	unsigned n_tags;
	const char *tags;
};

/**
 * struct picture_wish - of policyd
 * @id:		chosen by policyd, said again in PICTURE_DONE
 * @qid:	of the qube
 * @source:	name of the qube whose call it is for
 */
struct picture_wish {
	uint32_t id;
	unsigned qid;
	const char *source;
};

/** struct picture_done - @text: name of the qube that runs now, or why there is none */
struct picture_done {
	uint32_t id;
	bool ok;
	const char *text;
};

struct picture_msg {
	enum picture_type type;
	union {
		struct picture_qube qube;
		unsigned gone;   /* qid */
		uint32_t serial; /* SETTLED, KNOWN */
		struct picture_wish wish;
		struct picture_done done;
	};
};

enum picture_outcome {
	PICTURE_E_FORMAT = 1, /* not what the page describes */
	PICTURE_E_SHORT,      /* the frame's end has not come */
};

/**
 * picture_frame() - the first frame of what has come so far
 * @ret_len:	its length
 *
 * Return: 0; PICTURE_E_SHORT; PICTURE_E_FORMAT.
 */
MUST_CHECK int picture_frame(const void *bytes, size_t len, size_t *ret_len);
/**
 * picture_decode() - a whole frame
 * @ret:	texts point into @bytes
 *
 * Return: 0; PICTURE_E_FORMAT.
 */
MUST_CHECK int picture_decode(const void *bytes, size_t len, struct picture_msg *ret);
/** picture_encode() - length of the frame; 0 if it does not fit @size or goes over a limit */
MUST_CHECK size_t picture_encode(const struct picture_msg *m, void *buf, size_t size);
