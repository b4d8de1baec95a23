/* node/core/budget.h: how many payload bytes a session may have promised or on their way.
 *
 * One greedy session must not take the region from the others: beyond its share a read waits in the
 * session's own queue, and beyond the queue's end the answer is BUSY. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "node/core/node.h"

struct session;

/* The most one session may have outstanding. */
uint64_t budget_limit(const struct node *node);
/* May `size` more bytes be promised now? One request always may when nothing is outstanding. */
bool budget_admits(const struct node *node, const struct session *session, uint64_t size);
void budget_take(struct session *session, uint64_t size);
/* Sent, or promised in vain; then the session's queue moves on (reads_admit). */
void budget_give(struct node *node, struct session *session, uint64_t size);
