/* node/core/peek.h: asking other nodes for a block before the source is asked.
 *
 * Owners of earlier tables while a hand-over lasts; the first three ranks when this node acts for a
 * silent owner, is not the owner, or was away; and where this node has lent the block. They are asked
 * one after the other, a new one beside the old after 25 ms, and after 100 ms all that are left at
 * once. Until then, or for 25 ms at least, each has time to say anything at all; who has is waited
 * for as for any answer. Whom the asker found silent is asked last, for 25 ms: perhaps only the way
 * between these two is cut, or not yet there again. Who is itself asking others answers at once that
 * it has nothing: two nodes never wait for each other. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "node/core/calls.h"
#include "node/core/flights.h"

#define PEEK_IN_ALL_US MSEC(100)
#define PEEK_BESIDE_US MSEC(25)
#define PEEK_GATHER_US \
    MSEC(2) /* neighbours hear the same at about the same time: one GET for all */

struct peek_list {
    struct node_id ids[PEEKS_MAX];
    uint32_t count;
    uint32_t sure; /* of them; those behind are silent to the asker */
};

/* Whom to ask for this read's block and its neighbours; count 0: nobody, go to the source. */
void peek_plan(struct node *node, const struct read *read, struct peek_list *out);
/* Ask them one after the other; when nobody has it the flight goes to the source. */
void peek_start(struct node *node, struct flight *flight, const struct peek_list *list);
/* The same for the absent neighbours in the extent of block `index`, ahead of their readers. */
void peek_neighbours(struct node *node, struct object *object, uint32_t index,
                     const struct peek_list *list);
void peek_on_timer(struct node *node, struct flight *flight);
/* Forget all calls. */
void peek_stop(struct node *node, struct flight *flight);
enum call_more peek_on_answer(struct node *node, const struct call *call,
                              const struct message *message, struct payload payload);
void peek_on_failure(struct node *node, const struct call *call, enum err err);
