/* node/core/hot.h: hot blocks in a node: who is handed on, who is asked, and copies of others' blocks.
 *
 * shares.h decides; here it is carried out. An owner that is too busy answers a mount's GET by
 * ELSEWHERE and the id of a node that has agreed to serve the block; the mount asks that one by
 * GET_COPY, which brings the block from the owner once and never from the source (flights.h). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/timers.h"
#include "node/core/calls.h"
#include "node/core/lent.h"
#include "node/core/node.h"
#include "node/core/shares.h"
#include "wire/message.h"

struct link;

struct hot {
    struct shares shares;
    struct lent lent;
    struct timer timer; /* a step; while there are peers */
    uint32_t steps;
};

size_t hot_memory(void);
enum err hot_init(struct hot *hot, struct arena *mem, const struct node_options *options) MUST_USE;

/* A mount asks for a block that this node owns. true: it has been told to ask another node. */
bool hot_hands_on(struct node *node, struct link *link, const struct message_get *get,
                  struct block_id id);
/* There are peers now. */
void hot_wake(struct node *node);
void hot_on_timer(struct node *node);
void hot_on_loads(struct node *node, const uint64_t *rates, uint32_t count);
void hot_on_share_ask(struct node *node, struct link *link, const struct message_share_ask *ask);
enum call_more hot_on_answer(struct node *node, const struct call *call,
                             const struct message *message, struct payload payload);
void hot_on_failure(struct node *node, const struct call *call);
