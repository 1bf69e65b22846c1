/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Connections: bytes in until end of file, a call, bytes out.
 *
 * A connection costs what it has sent (at most ADMIN_MAX_REQUEST) and what it has not read (a
 * stream: CLIENT_MAX_QUEUE, then it is closed). When all places are taken, the oldest connection
 * that has not finished its request makes room.
 */
#include "api/text.h"
#include "base/attr.h"

#define CLIENT_MAX_QUEUE (1u << 20)

struct call;
struct client;
struct qubesd;

/** enum door - which socket a client came through: what it may call */
enum door { DOOR_ADMIN, DOOR_INTERNAL, DOOR_MISC };

/** clients_listen() - serve on a listening socket, which is taken */
MUST_CHECK int clients_listen(struct qubesd *d, int *fd, enum door door);
/** clients_done() - close everything */
void clients_done(struct qubesd *d);

enum door client_door(const struct client *c);
/** client_send() - queue bytes and send what the socket takes. May free the client, never a
 * caller's: returns false when it is gone */
bool client_send(struct client *c, const void *bytes, size_t len);
/** client_end() - close once all is sent; the client may be gone afterwards */
void client_end(struct client *c);
/** client_release() - its call is over, the connection goes on (a stream of events) */
void client_release(struct client *c);
/** client_subscribe() - it hears events of the qube with this number; 0 = all */
void client_subscribe(struct client *c, unsigned qid);
/** clients_publish() - an encoded event of qube @qid (0 = the system's or dom0's) to those who hear
 * it */
void clients_publish(struct qubesd *d, unsigned qid, const void *bytes, size_t len);
