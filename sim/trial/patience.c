/* sim/trial/patience.c: adds up how long nodes wait before they ask again for what they were refused.
 *
 * One pause may be any share of its length (node_backoff), so several are looked at together: that
 * five of up to 0.2, 0.4 ... 3.2 s are less than 0.1 s is 2.5e-7 likely (0.1^5 / 5! over the product
 * of these lengths). */
#include "sim/trial/patience.h"

#include <stdlib.h>

#include "base/hash.h"

#define TABLE_LOG2 12
#define PAUSES 5u
#define LEAST_US MSEC(100)

/* A place in an object that a node was refused. Another one in the same place of the table takes
 * its room. */
struct refusal {
    uint64_t key; /* 0: none */
    uint32_t pauses;
    usec_t refused_us;
    usec_t waited_us; /* in all pauses together */
};

struct patience {
    struct trial *trial;
    struct refusal refusals[1u << TABLE_LOG2];
};

struct patience *patience_new(struct trial *trial)
{
    struct patience *patience = calloc(1, sizeof *patience);
    CHECK(patience != NULL);
    patience->trial = trial;
    return patience;
}

void patience_free(struct patience **patience)
{
    free(*patience);
    *patience = NULL;
}

static uint64_t key_of(const struct process *node, struct span key, uint64_t offset)
{
    return hash64(key.data, key.size, hash64_mix(offset, node->life)) | 1;
}

static struct refusal *place(struct patience *patience, uint64_t key)
{
    return &patience->refusals[key >> (64 - TABLE_LOG2)];
}

void patience_asked(struct patience *patience, const struct process *node,
                    const struct node_effect *effect)
{
    struct world *world = patience->trial->world;
    if (effect->kind != NODE_FETCH) {
        return;
    }
    const uint64_t key = key_of(node, effect->fetch.key, effect->fetch.offset);
    struct refusal *refusal = place(patience, key);
    if (refusal->key != key) {
        return;
    }
    refusal->pauses++;
    refusal->waited_us += world->now_us - refusal->refused_us;
    if (refusal->pauses >= PAUSES && refusal->waited_us < LEAST_US) {
        world_fail(world,
                   "%s asks the source %u times for what it is refused, and waits %.3f s in all",
                   node->name, refusal->pauses + 1, (double)refusal->waited_us / 1e6);
    }
}

void patience_given(struct patience *patience, const struct process *node,
                    const struct given *given)
{
    const uint64_t key = key_of(node, given->key, given->offset);
    struct refusal *refusal = place(patience, key);
    if (refusal->key == key) {
        *refusal = (struct refusal){ 0 };
    }
}

void patience_refused(struct patience *patience, const struct process *node,
                      const struct given *asked)
{
    const uint64_t key = key_of(node, asked->key, asked->offset);
    struct refusal *refusal = place(patience, key);
    if (refusal->key != key) {
        *refusal = (struct refusal){ .key = key };
    }
    refusal->refused_us = patience->trial->world->now_us;
}
