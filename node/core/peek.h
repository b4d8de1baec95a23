/* node/core/peek.h: asking other nodes for a block before the source is asked.
 *
 * Owners of earlier tables while a hand-over lasts; the first three ranks when this node acts for a
 * silent owner, is not the owner, or was away. They are asked one after the other, a new one beside
 * the old after 25 ms, all within 100 ms, unless one says that it works on it. Who is itself asking
 * others answers at once that it has nothing: two nodes never wait for each other. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "node/core/calls.h"
#include "node/core/flights.h"

#define PEEK_IN_ALL_US MSEC(100)
#define PEEK_BESIDE_US MSEC(25)

/* Fill in whom to ask; false: nobody, go to the source. */
bool peek_plan(struct node *node, struct flight *flight, const struct read *read);
/* Ask the next one; when nobody is left the flight goes to the source. */
void peek_next(struct node *node, struct flight *flight);
/* Forget all calls. */
void peek_stop(struct node *node, struct flight *flight);
enum call_more peek_on_answer(struct node *node, const struct call *call,
                              const struct message *message, struct payload payload);
void peek_on_failure(struct node *node, const struct call *call, enum err err);
