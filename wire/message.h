/* wire/message.h: the messages of messages.def as structures, and their bounded codec.
 *
 * Encoding is msgpack-c's packer into a caller's buffer; decoding is our own reader: it allocates
 * nothing, never recurses, and refuses a frame over WIRE_HEADER_MAX, a value over its limit, a
 * repeated field and bytes after the end. Spans in a decoded message point into the frame. */
#pragma once
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "base/next.h"

#define WIRE_VERSION_LOWEST 1
#define WIRE_VERSION_HIGHEST (IS_NEXT ? 2 : 1)
#define WIRE_HEADER_MAX (4u << 20) /* a VIEW of 10,000 members, a root of 1e6 entries */
#define WIRE_REQUEST_MAX 16384u    /* what a socket that takes requests from strangers accepts */

enum wire_role { WIRE_NODE = 1, WIRE_MOUNT = 2, WIRE_COMMAND = 3 };

enum get_mode {
    GET_PLAIN = 0,     /* owner fetches; others answer from what they have or forward once */
    GET_FORWARDED = 1, /* no further hop */
    GET_PEEK = 2,      /* what you have or are fetching; no fetch, no forward */
    GET_ACTING = 3,    /* the earlier ranks are silent: fetch, single flight */
    GET_COPY = 4,      /* the owner sends us: what you have, or bring it from the owner */
};
enum get_class { CLASS_READER = 0, CLASS_LOAD = 1, CLASS_BACKGROUND = 2 };
enum data_tier { TIER_MEMORY = 0, TIER_DISK = 1, TIER_PEER = 2, TIER_SOURCE = 3 };
enum report_kind { REPORT_NODE = 1, REPORT_BLOCKS = 2 };

enum message_kind {
#define MESSAGE(NAME, name, number, fields) MESSAGE_##NAME = number,
#include "wire/messages.def"
#undef MESSAGE
};

#define ID(number, name) uint8_t name[ID_SIZE];
#define U64(number, name, max) uint64_t name;
#define BYTES(number, name, max) struct span name;
#define MESSAGE(NAME, name, number, fields) \
    struct message_##name {                 \
        fields                              \
    };
#include "wire/messages.def"
#undef MESSAGE
#undef BYTES
#undef U64
#undef ID

/* Any message: `kind` says which member of the union holds. */
struct message {
    enum message_kind kind;
    union {
#define MESSAGE(NAME, name, number, fields) struct message_##name name;
#include "wire/messages.def"
#undef MESSAGE
    };
};

/* Encode into `buffer`; *used is the frame's size. ERR_FULL: it does not fit (buffer undefined).
 * A value over its limit is a bug of the caller (CHECK). */
enum err message_encode(const struct message *message, uint8_t *buffer, size_t room, size_t *used)
    MUST_USE;
/* ERR_MALFORMED, or ERR_UNSUPPORTED for a message number we do not know. *out is untouched then. */
enum err message_decode(struct span frame, struct message *out) MUST_USE;
/* "GET", for logs; "?" when unknown. */
const char *message_name(enum message_kind kind);
