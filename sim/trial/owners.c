/* sim/trial/owners.c: each node's own ring says whether it is the right one. */
#include "sim/trial/owners.h"

#include "node/core/catalog.h"
#include "node/core/internal.h"
#include "node/core/reads.h"
#include "sim/trial/faults.h"
#include "wire/dir.h"

/* Nothing has happened that could make a reader turn to another rank, or all of it is over. */
static bool is_orderly(const struct trial *trial)
{
    return trial->began_us != 0 && (trial->is_late || !faults_may_silence(trial->faults));
}

/* Does it know all datasets that this one knows? */
static bool knows_as_much(const struct node *owner, const struct node *node)
{
    const struct catalog_item *item = NULL;
    while ((item = catalog_next(node, item)) != NULL) {
        if (catalog_item(owner, item->id) == NULL) {
            return false;
        }
    }
    return true;
}

/* An owner that does not know the dataset says so, and is passed over in order: its disk was lost,
 * and its clock is so far behind that it refuses the records of others. */
static bool owner_passes(const struct trial *trial, struct node *node, struct place place)
{
    struct node_id owner;
    if (rings_owners(node, span_text(""), place, 1, &owner) == 0) {
        return false;
    }
    const struct host_node *host = trial_node(trial, owner);
    return host != NULL && host->node != NULL && !knows_as_much(host->node, node);
}

void owners_taken(struct trial *trial, const struct process *from, const struct process *to,
                  const struct message *message)
{
    const struct message_get *get = &message->get;
    struct node *node = trial->nodes[to->index]->node;
    struct dataset_id dataset;
    if (!is_orderly(trial) || message->kind != MESSAGE_GET || message->get.mode == GET_COPY) {
        return; /* whom a mount may ask for a copy: elsewhere.c */
    }
    memcpy(dataset.b, get->dataset, ID_SIZE);
    if (get->ring != node_ring_digest(node, dataset)) {
        return; /* the newer ring is on its way */
    }
    const struct place place = { get->place };
    const bool is_right = rings_is_owner(node, span_text(""), place) && get->mode == GET_PLAIN;
    if (!is_right && !owner_passes(trial, node, place)) {
        world_fail(trial->world, "%s asks %s for %.*s block %llu, %s, although all is well",
                   from->name, to->name, (int)get->key.size, (const char *)get->key.data,
                   (unsigned long long)get->index,
                   get->mode == GET_PLAIN ? "which it does not own" : "in place of its owner");
    }
}

/* false: it cannot be told. */
static bool place_of(const struct node *node, const struct node_effect *effect, uint32_t block_size,
                     struct place *out)
{
    const struct object_id object =
        object_id_make(effect->fetch.source, effect->fetch.key, effect->fetch.pin, block_size);
    const uint32_t index = (uint32_t)(effect->fetch.offset / block_size);
    if (effect->fetch.object_size > SMALL_FILE_MAX) {
        *out = place_of_extent(object, index / extent_blocks(block_size));
        return true;
    }
    /* The place of a small file stands in its entry: whoever asks for it says it. */
    const struct block *block =
        blocks_find(node, (struct block_id){ .object = object, .index = index });
    if (block == NULL || block->flight == NULL || list_is_empty(&block->flight->waiters)) {
        return false;
    }
    *out = CONTAINER_OF(block->flight->waiters.next, struct read, waiting)->place;
    return true;
}

void owners_asked(struct trial *trial, const struct process *process,
                  const struct node_effect *effect)
{
    struct node *node = trial->nodes[process->index]->node;
    struct place place;
    if (!is_orderly(trial) || effect->kind != NODE_FETCH ||
        !place_of(node, effect, trial->scenario->block_size, &place)) {
        return;
    }
    if (!rings_is_owner(node, span_text(""), place) && !owner_passes(trial, node, place)) {
        world_fail(trial->world, "%s asks the source for %.*s, which it does not own",
                   process->name, (int)effect->fetch.key.size,
                   (const char *)effect->fetch.key.data);
    }
}
