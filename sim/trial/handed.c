/* sim/trial/handed.c: looks into the nodes at the moment one says that it is drained. */
#include "sim/trial/handed.h"

#include "node/core/internal.h"

/* Has it perhaps lost again what it was given? */
static bool may_have_lost(const struct node *node)
{
    const struct metrics *metrics = &node->metrics;
    return metrics->evicted_disk > 0 || metrics->disk_write_errors > 0 ||
           metrics->disk_read_errors > 0 || metrics->disk_corrupt > 0 ||
           metrics->disk_skipped > 0 || (!store_takes(node) && metrics->evicted_memory > 0);
}

/* Its ring may be of before they were lost to it. */
static bool believes_in(const struct node *node, struct node_id id)
{
    const struct member *member = view_find(node->rings.view, id);
    return member != NULL && member_is_living(member);
}

/* The owner of that block, when nothing excuses it for not having it. */
static const struct host_node *owner_of(const struct trial *trial, const struct node *node,
                                        const struct block *block)
{
    const struct ring *ring = node->rings.use[0].ring;
    struct node_id id;
    if (!handover_can_tell(block) || catalog_find(node, block->dataset) == NULL || ring == NULL ||
        ring_owners(ring, block->place, 1, &id) == 0 || !believes_in(node, id)) {
        return NULL;
    }
    const struct host_node *owner = trial_node(trial, id);
    if (owner == NULL || !owner->process.up || owner->process.frozen || owner->node->leaving ||
        may_have_lost(owner->node)) {
        return NULL;
    }
    const struct ring *theirs = owner->node->rings.use[0].ring;
    return theirs != NULL && ring_digest(theirs) == ring_digest(ring) ? owner : NULL;
}

void handed_look(struct trial *trial, const struct host_node *host, bool *was_drained)
{
    const struct node *node = host->node;
    const bool now = node != NULL && node->leave.drained && node->leave.handed_over &&
                     node->metrics.handover_full == 0;
    if (!now || *was_drained) {
        *was_drained = now;
        return;
    }
    *was_drained = true;
    const struct pool *pool = &node->blocks.pool;
    for (uint32_t i = 0; i < pool_top(pool); i++) {
        const struct block *block = pool_at(pool, i);
        const struct host_node *owner =
            pool_is_taken(pool, i) ? owner_of(trial, node, block) : NULL;
        if (owner != NULL && blocks_find(owner->node, block->id) == NULL) {
            world_fail(trial->world, "%s has left, and %s lacks a block that it held",
                       host->process.name, owner->process.name);
            return;
        }
    }
}
