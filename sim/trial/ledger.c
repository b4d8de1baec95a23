/* sim/trial/ledger.c: a hash table of blocks by node and life. */
#include "sim/trial/ledger.h"

#include <stdlib.h>

#include "base/hash.h"
#include "node/core/internal.h"
#include "node/core/record.h"
#include "sim/trial/faults.h"

#define ROOM_FIRST 1024u

struct line {
    uint64_t life; /* of the node; 0: free */
    struct block_id id;
    uint32_t came; /* bytes of it, from the start, without a gap */
};

struct ledger {
    struct trial *trial;
    struct line *lines;
    uint32_t room; /* a power of two */
    uint32_t used;
};

struct ledger *ledger_new(struct trial *trial)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);
    CHECK(ledger != NULL);
    ledger->trial = trial;
    ledger->room = ROOM_FIRST;
    ledger->lines = calloc(ledger->room, sizeof *ledger->lines);
    CHECK(ledger->lines != NULL);
    return ledger;
}

void ledger_free(struct ledger **ledger)
{
    free((*ledger)->lines);
    free(*ledger);
    *ledger = NULL;
}

/* Its line, or the free one where it belongs. */
static struct line *line_of(const struct ledger *ledger, uint64_t life, struct block_id id)
{
    const uint64_t hash = hash64_mix(get_u64(id.object.b), life * 1000003 + id.index);
    for (uint32_t i = (uint32_t)hash;; i++) {
        struct line *line = &ledger->lines[i & (ledger->room - 1)];
        if (line->life == 0 || (line->life == life && block_id_equal(line->id, id))) {
            return line;
        }
    }
}

static void grow(struct ledger *ledger)
{
    struct line *old = ledger->lines;
    const uint32_t count = ledger->room;
    ledger->room *= 2;
    ledger->lines = calloc(ledger->room, sizeof *ledger->lines);
    CHECK(ledger->lines != NULL);
    for (uint32_t i = 0; i < count; i++) {
        if (old[i].life != 0) {
            *line_of(ledger, old[i].life, old[i].id) = old[i];
        }
    }
    free(old);
}

/* Bytes [from, to) of a block came. */
static void note(struct ledger *ledger, uint64_t life, struct block_id id, uint32_t from,
                 uint32_t to)
{
    if (ledger->used > ledger->room / 2) {
        grow(ledger);
    }
    struct line *line = line_of(ledger, life, id);
    ledger->used += line->life == 0;
    line->life = life;
    line->id = id;
    /* From the beginning: what an earlier GET brought is gone. */
    if (from == 0 || (from <= line->came && to > line->came)) {
        line->came = to;
    }
}

void ledger_given(struct ledger *ledger, struct process *node, const struct given *given)
{
    const uint32_t block_size = ledger->trial->scenario->block_size;
    const uint64_t end = given->offset + given->size;
    struct block_id id = {
        .object = object_id_make(given->source, given->key, given->pin, block_size),
    };
    for (uint64_t at = given->offset; at < end;) {
        id.index = (uint32_t)(at / block_size);
        const uint64_t begin = (uint64_t)id.index * block_size;
        const uint64_t to = begin + block_size < end ? begin + block_size : end;
        note(ledger, node->life, id, (uint32_t)(at - begin), (uint32_t)(to - begin));
        at = to;
    }
}

/* Would such a block be there for good? */
static bool keeps(const struct ledger *ledger, const struct host_node *host, uint32_t bytes)
{
    return host->options.tier_quota > 0 && record_size(bytes) <= host->options.segment_size &&
           host->node->metrics.evicted_disk == 0 &&
           !faults_troubled_disk(ledger->trial->faults, host->process.index);
}

void ledger_asked(struct ledger *ledger, struct host_node *host, struct block_id id, uint32_t bytes)
{
    const struct line *line = line_of(ledger, host->process.life, id);
    if (line->life != 0 && line->came == bytes && keeps(ledger, host, bytes)) {
        world_fail(ledger->trial->world,
                   "%s asks the source for block %u, which it has had whole in this life",
                   host->process.name, id.index);
    }
}
