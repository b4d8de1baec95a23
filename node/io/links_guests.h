/* node/io/links_guests.h: connections that others opened, and what each has sent beyond its last
 * whole message. For links.c and links_turn.c.
 *
 * ZeroMQ hands out whole messages only. It keeps the frames of one that is not whole yet, limits
 * the size of a frame and the number of messages, and not the number of frames: whoever reaches a
 * port could fill this process's memory with one message that never ends. ZeroMQ does not tell, but
 * the kernel knows how much a connection has sent, and we know when we took a message of it: who
 * goes on sending and completes nothing is cut off, and ZeroMQ drops what it kept of him. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/time.h"
#include "wire/link.h"

#define GUESTS_LOOK_US MSEC(20) /* between two looks */
/* A message of ours that is on its way is less than this: one frame of WIRE_REQUEST_MAX. */
#define GUESTS_BYTES 32768u
/* All that is on its way together. Beyond it, who has more than GUESTS_LITTLE goes. An empty frame
 * has two bytes on the wire and costs 64 in memory: this stands for 64 MiB. */
#define GUESTS_ALL_BYTES (2u << 20)
#define GUESTS_LITTLE 1024u
#define GUESTS_SILENT_US SEC(10) /* who is let in says HELLO at once */
#define GUESTS_SILENT_MAX 1024u
#define GUESTS_SHUT_US SEC(2) /* a link that we closed: the other side ends the connection */

struct guests;

enum err guests_new(struct guests **out) MUST_USE;
void guests_free(struct guests **guests);

/* Where a connection came in. */
struct guests_port {
    enum link_purpose purpose;
    uint16_t number;
};
/* A connection was accepted. */
void guests_came(struct guests *guests, usec_t now_us, int fd, struct guests_port port);
/* It is gone. */
void guests_left(struct guests *guests, int fd, enum link_purpose purpose);
/* A whole message of it was taken. Unknown descriptors, and -1, are fine. */
void guests_said(struct guests *guests, int fd);
/* Its link was closed by us: it has GUESTS_SHUT_US to go. */
void guests_shut(struct guests *guests, usec_t now_us, int fd);

/* When the next look is due; USEC_NEVER: nobody is there. */
usec_t guests_due(const struct guests *guests);
/* Look at those that have sent something, and cut off who has to go; how many. `drained`: every
 * whole message that had come was taken before. */
uint32_t guests_look(struct guests *guests, usec_t now_us, bool drained);
