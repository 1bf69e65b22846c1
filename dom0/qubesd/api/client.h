/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Connections: bytes in until end of file, a call, bytes out.
 *
 * A connection costs what it has sent (at most ADMIN_MAX_REQUEST) and what it has not read (an
 * answer: TEXT_MAX; a stream: CLIENT_MAX_QUEUE, then it is closed). All together may have sent
 * CLIENTS_MAX_ASKED without coming to the end of their requests: then the oldest of them makes room,
 * as it does when all places are taken. And they may have left CLIENTS_MAX_QUEUE unread for a
 * while, twice as much for a moment: then who has read nothing for longest is closed.
 */
#include "api/text.h"
#include "base/attr.h"

#define CLIENT_MAX_QUEUE  (1u << 20)
#define CLIENTS_MAX_QUEUE (64u << 20)
#define CLIENTS_MAX_ASKED (16u << 20)

struct call;
struct client;
struct qube;
struct qubesd;

/** enum door - which socket a client came through: what it may call */
enum door { DOOR_ADMIN, DOOR_INTERNAL, DOOR_MISC, DOOR_GATE };

/** clients_listen() - serve on a listening socket, which is taken */
MUST_CHECK int clients_listen(struct qubesd *d, int *fd, enum door door);
/** clients_done() - close everything */
void clients_done(struct qubesd *d);

enum door client_door(const struct client *c);
/** client_send() - queue bytes and send what the socket takes. May free the client, never a
 * caller's: returns false when it is gone */
bool client_send(struct client *c, const void *bytes, size_t len);
/** client_answer() - the same with "0" NUL and the bytes of @result, which is empty afterwards */
bool client_answer(struct client *c, struct text *result);
/** client_end() - close once all is sent; the client may be gone afterwards */
void client_end(struct client *c);
/** client_release() - its call is over, the connection goes on (a stream of events) */
void client_release(struct client *c);
/** enum topic - what a stream is about: admin.Events, admin.vm.Stats */
enum topic { TOPIC_EVENTS, TOPIC_STATS };
#define N_TOPICS 2

/** client_subscribe() - it hears what is published about @q; dom0: about all. A stream about a qube
 * that has been removed stays silent, whoever gets its number */
void client_subscribe(struct client *c, enum topic topic, const struct qube *q);
/** client_allow() - what is queued for it now (a snapshot) does not count as not read */
void client_allow(struct client *c);
/** clients_publish() - an encoded event about @q (NULL or dom0: those who hear all) to who hears it */
void clients_publish(struct qubesd *d, enum topic topic, const struct qube *q, const void *bytes,
		     size_t len);
