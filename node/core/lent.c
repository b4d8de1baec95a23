/* node/core/lent.c: a ring of the last copies. */
#include "node/core/lent.h"

#include <string.h>

static uint32_t bit_of(struct block_id id)
{
    return (uint32_t)(block_id_hash(id) % LENT_BITS);
}

static void set_bit(struct lent *lent, struct block_id id)
{
    const uint32_t bit = bit_of(id);
    lent->bits[bit / 64] |= 1ull << (bit % 64);
}

bool lent_is(const struct lent *lent, struct block_id id)
{
    const uint32_t bit = bit_of(id);
    return (lent->bits[bit / 64] >> (bit % 64) & 1) != 0;
}

static bool is_equal(const struct lent_copy *copy, struct block_id id, struct node_id node)
{
    return block_id_equal(copy->id, id) && node_id_equal(copy->node, node);
}

void lent_note(struct lent *lent, struct block_id id, struct node_id node)
{
    for (uint32_t i = 0; lent_is(lent, id) && i < lent->count; i++) {
        if (is_equal(&lent->copies[i], id, node)) {
            return;
        }
    }
    if (lent->next == LENT_MAX) { /* those that are forgotten from now on keep no bit */
        lent->next = 0;
        memset(lent->bits, 0, sizeof lent->bits);
        for (uint32_t i = 0; i < lent->count; i++) {
            set_bit(lent, lent->copies[i].id);
        }
    }
    lent->copies[lent->next] = (struct lent_copy){ .id = id, .node = node };
    lent->next++;
    lent->count = lent->next > lent->count ? lent->next : lent->count;
    set_bit(lent, id);
}

uint32_t lent_find(const struct lent *lent, struct block_id id, struct node_id *out, uint32_t most)
{
    uint32_t found = 0;
    for (uint32_t i = 0; lent_is(lent, id) && i < lent->count && found < most; i++) {
        const uint32_t at = (lent->next + lent->count - 1 - i) % lent->count;
        if (block_id_equal(lent->copies[at].id, id)) {
            out[found++] = lent->copies[at].node;
        }
    }
    return found;
}
