/* node/core/lent.h: to which nodes copies of this node's blocks have gone, for when it has lost one.
 *
 * A share ends; the copy stays where it is as long as there is room. Whoever lost the block itself (no
 * disk, or a full one) asks there before it asks the source. Only so many are remembered, the last. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"

#define LENT_MAX 1024u
#define LENT_BITS 8192u

struct lent_copy {
    struct block_id id;
    struct node_id node;
};

struct lent {
    struct lent_copy copies[LENT_MAX]; /* a ring */
    uint32_t next;
    uint32_t count;
    uint64_t bits[LENT_BITS / 64]; /* by hash: nearly all blocks have no copy, and one look tells */
};

void lent_note(struct lent *lent, struct block_id id, struct node_id node);
/* May there be copies of it? */
bool lent_is(const struct lent *lent, struct block_id id);
/* Where, the last first, at most `most` of them. */
uint32_t lent_find(const struct lent *lent, struct block_id id, struct node_id *out, uint32_t most);
