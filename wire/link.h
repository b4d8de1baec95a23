/* wire/link.h: connections as pure code sees them, and the two sockets of a node.
 *
 * A link is one connection in one direction of opening: messages arrive whole and in order, or the
 * link goes down. The shell (or the simulator) numbers links; a number is not used again. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/id.h"

struct link_id {
    uint64_t v; /* 0: none */
};

enum link_purpose {
    LINK_CONTROL = 0, /* HELLO, views, metadata, PENDING: never behind a block; CURVE when keyed */
    LINK_DATA = 1,    /* block requests and their payloads */
};

/* Who is at the other end of a link somebody opened to us, as the transport proved it. */
enum link_trust {
    LINK_TRUST_NONE = 0,   /* a data link: a capability proves each request */
    LINK_TRUST_CLIENT = 1, /* CURVE with a key of its own: grants or proofs decide (wire/proof.h) */
    LINK_TRUST_ANYBODY = 2, /* under --insecure */
};

struct link_peer {
    enum link_trust trust;
    uint8_t client_key[32]; /* public key the transport verified; zero when there is none */
};

/* A payload travels beside a message without a copy. `token` names it to whoever owns the bytes. */
struct payload {
    const uint8_t *data;
    uint32_t size;
    uint64_t token; /* 0: no payload */
};
