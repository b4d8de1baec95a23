/* node/core/sends.h: payloads on their way out. A send holds a reference to a buffer, or a payload
 * that was received and is passed on, until SENT names its token. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"
#include "node/core/memory.h"
#include "wire/message.h"

struct session;

struct sends {
    struct pool pool;
    uint64_t bytes; /* out and not yet SENT */
    uint32_t generation;
};

size_t sends_memory(const struct node_options *options);
enum err sends_init(struct sends *sends, struct arena *mem, const struct node_options *options)
    MUST_USE;
/* Can another payload go out? When not, wait for a SENT. */
bool sends_room(const struct node *node);

/* Send `size` bytes of `buffer` from `offset` beside `message`, without a copy; takes a reference
 * of its own. The bytes count against `session` until SENT (session may be NULL). */
struct send_what {
    struct session *session;
    struct buffer *buffer;
    uint32_t offset;
    uint32_t size;
};
void send_buffer(struct node *node, struct link_id link, const struct message *message,
                 const struct send_what *what);
/* Pass a received payload on; it is RELEASEd on SENT. */
void send_received(struct node *node, struct link_id link, const struct message *message,
                   struct payload payload, struct session *session);
void sends_on_sent(struct node *node, uint64_t token);
/* The session is gone: its sends count against nobody. */
void sends_forget_session(struct node *node, struct session *session);
