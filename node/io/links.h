/* node/io/links.h: all ZeroMQ sockets of one process as links that open, speak and end
 * (wire/link.h). One thread owns them: the peer thread. Nobody else calls in here.
 *
 * A message is one header frame and perhaps one payload frame; anything else ends its link. An
 * empty header frame is how one side tells the other that the link is closed.
 * Links to us appear with their first message. A link that links_connect opens is tried again
 * (100 ms to 2 s apart) until it was up once or is closed; when it goes down later it is gone.
 *
 * Payloads are never copied on their way to a socket or from it; between two links of one process
 * (LINKS_PRIVATE) one copy is made, so that what a mount keeps does not pin the node's region. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "node/io/queue.h"
#include "ring/view.h"
#include "wire/link.h"

/* Set in the token of every received payload, and never in one that links_send is given unless it
 * came from here (a payload passed on). */
#define LINKS_RECEIVED 0x8000000000000000u

struct links;

enum links_transport {
    LINKS_TCP,
    LINKS_PRIVATE, /* inproc://: a node and a mount in one process, over one context */
};

/* CURVE, all raw 32 bytes. */
struct links_keys {
    uint8_t public_key[32]; /* our own pair, for links that we open */
    uint8_t secret_key[32];
    uint8_t server_key[32];    /* the cluster's public key */
    uint8_t server_secret[32]; /* the cluster's secret key: of nodes, for links of others */
};

struct links_options {
    enum links_transport transport;
    void *zmq;                     /* the context; NULL: one of our own */
    const struct links_keys *keys; /* copied; NULL: --insecure */
    struct queue *wake;            /* links_poll returns when it has something; may be NULL */
    uint32_t links_max;
};

enum links_event_kind {
    LINKS_UP,
    LINKS_DOWN, /* only of links that were up, and not of those that we closed */
    LINKS_MESSAGE,
    LINKS_SENT,
};

struct links_event {
    enum links_event_kind kind;
    struct link_id link;
    /* UP */
    enum link_purpose purpose;
    bool outbound;
    struct address address; /* outbound: as given to links_connect */
    struct node_id node;    /* outbound: as given to links_connect */
    struct link_peer peer;  /* inbound */
    /* MESSAGE; the frame holds during the call, the payload until links_release */
    struct span frame;
    struct payload payload;
    /* SENT: the payload of a links_send is not needed any more */
    uint64_t token;
};

typedef void links_handler(void *self, const struct links_event *event);

enum err links_new(const struct links_options *options, struct links **out) MUST_USE;
/* Closes everything; what was unsent is dropped, held payloads are freed, no event comes. Buffers
 * given to links_send are free when it returns. */
void links_free(struct links **links);

/* Take links of others. `control` is CURVE when there are keys. ERR_ADDRESS_IN_USE and others with
 * a line for a person in `why`; nothing is bound then. */
enum err links_bind(struct links *links, const struct address *control, const struct address *data,
                    struct text *why) MUST_USE;
/* What LINKS_PRIVATE has in place of addresses: `number` is the caller's, one for each node. */
struct address links_private_address(uint16_t number);

/* Open a link. A link to the same address for the same purpose that is still being tried is the
 * one that is returned. `node` is told again by LINKS_UP (mounts leave it zero). v 0: all
 * links_max are in use. */
struct link_id links_connect(struct links *links, const struct address *address,
                             enum link_purpose purpose, struct node_id node);
/* The other side sees its link go down. No LINKS_DOWN here. An unknown link is fine. */
void links_close(struct links *links, struct link_id link);
/* The frame is copied. A payload with a token stays the caller's until LINKS_SENT with that token,
 * which comes exactly once, also when the link is gone. */
void links_send(struct links *links, struct link_id link, struct span frame,
                struct payload payload);
/* Give a received payload back. */
void links_release(struct links *links, uint64_t token);

/* Wait until something happened or `wait_us` is over (USEC_NEVER: no limit), and tell each event.
 * The handler may call everything here but links_poll and links_free. */
void links_poll(struct links *links, usec_t wait_us, links_handler *handler, void *self);

struct links_totals {
    uint64_t open;
    uint64_t messages_in, messages_out;
    uint64_t bytes_in, bytes_out;
    uint64_t malformed;    /* messages that were none, and links ended for it */
    uint64_t refused;      /* links over links_max */
    uint64_t cut;          /* connections of others cut off: without end, silent, or not gone */
    uint64_t held_bytes;   /* received payloads not yet released */
    uint64_t unsent_bytes; /* given to links_send and not yet LINKS_SENT */
};
void links_totals(const struct links *links, struct links_totals *out);
