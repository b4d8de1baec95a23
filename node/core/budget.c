/* node/core/budget.c: shares of the region. */
#include "node/core/budget.h"

#include "node/core/internal.h"
#include "node/core/reads.h"

uint64_t budget_limit(const struct node *node)
{
    uint64_t region = node->options.region_size;
    uint64_t share = region / 8;
    uint64_t two_blocks = (uint64_t)2 * BLOCK_SIZE_MAX;
    uint64_t limit = share > two_blocks ? share : two_blocks;
    return limit < region / 2 ? limit : region / 2; /* in a small region half is left to others */
}

bool budget_admits(const struct node *node, const struct session *session, uint64_t size)
{
    return session->outstanding == 0 || session->outstanding + size <= budget_limit(node);
}

void budget_take(struct session *session, uint64_t size)
{
    session->outstanding += size;
}

void budget_give(struct node *node, struct session *session, uint64_t size)
{
    CHECK(session->outstanding >= size);
    session->outstanding -= size;
    if (!list_is_empty(&session->queue)) {
        reads_admit(node, session);
    }
}
