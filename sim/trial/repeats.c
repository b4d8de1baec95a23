/* sim/trial/repeats.c: looks into all nodes at the moment one of them asks the source, and into what
 * that one has had before. */
#include "sim/trial/repeats.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/internal.h"
#include "sim/trial/faults.h"
#include "sim/trial/ledger.h"

#define PREFIXES_MAX 64
#define CALM_US SEC(5)      /* links are open again by then */
#define CHANGE_US MSEC(300) /* what is planned later knows of the change */

struct listed_prefix {
    char prefix[1200];
    uint32_t count;
    usec_t first_us;
};

struct repeats {
    struct trial *trial;
    struct ledger *ledger;
    uint64_t bytes;
    struct listed_prefix prefixes[PREFIXES_MAX];
    uint32_t prefix_count;
};

struct repeats *repeats_new(struct trial *trial)
{
    struct repeats *repeats = calloc(1, sizeof *repeats);
    CHECK(repeats != NULL);
    repeats->trial = trial;
    repeats->ledger = ledger_new(trial);
    return repeats;
}

void repeats_free(struct repeats **repeats)
{
    ledger_free(&(*repeats)->ledger);
    free(*repeats);
    *repeats = NULL;
}

uint64_t repeats_bytes(const struct repeats *repeats)
{
    return repeats->bytes;
}

/* ---- blocks ---------------------------------------------------------------------------------------- */

/* Bytes of [from, to) of a block that this node has, or is fetching from the source. */
static uint64_t had_by(const struct host_node *host, struct block_id id, uint32_t from, uint32_t to)
{
    const struct block *block = blocks_find(host->node, id);
    if (block == NULL) {
        return 0;
    }
    if (block->segment != NULL ||
        (block->flight != NULL && block->flight->phase == FLIGHT_SOURCE)) {
        return to - from;
    }
    const uint32_t arrived = block->buffer == NULL ? 0 : block_available(block);
    return arrived > from ? (arrived < to ? arrived : to) - from : 0;
}

static bool can_be_asked(const struct repeats *repeats, const struct host_node *asker,
                         const struct host_node *host)
{
    const struct net *net = repeats->trial->world->net;
    const uint32_t a = asker->process.index;
    const uint32_t b = host->process.index;
    return host != asker && host->process.up && !host->process.frozen &&
           !net_is_blocked(net, a, b) && !net_is_blocked(net, b, a);
}

/* Had nothing come between this node and others, or the source, for a while by then? */
static bool was_calm(const struct trial *trial, const struct host_node *host, usec_t by_us)
{
    return by_us - usec_max(host->process.started_us, host->process.thawed_us) >= CALM_US &&
           by_us - faults_network_us(trial->faults) >= CALM_US &&
           by_us - faults_source_us(trial->faults) >= FAULTS_BACKOFF_US;
}

static bool is_candidate(const struct flight *flight, struct node_id id)
{
    for (uint32_t i = 0; i < flight->candidate_count; i++) {
        if (node_id_equal(flight->candidates[i], id)) {
            return true;
        }
    }
    return flight->candidate_count == PEEKS_MAX;
}

/* How long ago was it decided whom to ask for it? They may take long. */
static usec_t planned_for_us(const struct node *node, const struct flight *flight)
{
    return flight->candidate_count > 0 ? node->now.mono_us - flight->since_us : 0;
}

/* Has the asker, whose ring had changed, passed by one that had the block before that, and has it yet? */
static bool forgets(const struct trial *trial, const struct host_node *asker,
                    const struct host_node *host, struct block_id id)
{
    const struct node *node = asker->node;
    const struct rings_use *use = &node->rings.use[0];
    const struct block *block = blocks_find(node, id);
    const struct block *theirs = blocks_find(host->node, id);
    const struct member *member = view_find(node->rings.view, host->id);
    if (block == NULL || block->flight == NULL || theirs == NULL ||
        (theirs->segment == NULL && !block_is_whole(theirs)) || member == NULL ||
        member->state == MEMBER_WARMING || !peer_is_open(node, host->id, LINK_DATA)) {
        return false;
    }
    const usec_t ago_us = planned_for_us(node, block->flight);
    const usec_t by_us = trial->world->now_us - ago_us;
    if (node->now.mono_us - ago_us - use->changed_us < CHANGE_US ||
        !was_calm(trial, asker, by_us) || !was_calm(trial, host, by_us)) {
        return false;
    }
    const uint32_t earlier = rings_earlier(node, use);
    for (uint32_t i = 0; i < earlier; i++) {
        struct node_id owner;
        if (ring_owners(use->old[i].ring, block->place, 1, &owner) == 1 &&
            node_id_equal(owner, host->id)) {
            return !is_candidate(block->flight, host->id);
        }
    }
    return false;
}

/* Bytes of a block that a node asks for, of an object with this key. */
struct wanted {
    struct span key;
    struct block_id id;
    uint32_t from;
    uint32_t to;
};

/* May a node ask the source for what another one has? Views differ, or have differed. */
static bool may_repeat(const struct trial *trial, const struct host_node *asker,
                       const struct host_node *host, const struct wanted *wanted)
{
    return faults_may_repeat(trial->faults, wanted->key) &&
           !forgets(trial, asker, host, wanted->id);
}

static void check_block(struct repeats *repeats, struct host_node *asker,
                        const struct wanted *wanted)
{
    struct trial *trial = repeats->trial;
    bool is_told = false;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        const struct host_node *host = trial->nodes[i];
        const uint64_t had = can_be_asked(repeats, asker, host)
                                 ? had_by(host, wanted->id, wanted->from, wanted->to)
                                 : 0;
        if (had > 0 && !is_told) {
            repeats->bytes += had;
            world_say(trial->world, "%s asks the source for block %u that %s has",
                      asker->process.name, wanted->id.index, host->process.name);
            is_told = true;
        }
        if (had > 0 && !may_repeat(trial, asker, host, wanted)) {
            world_fail(trial->world, "%s asks the source for %llu bytes of a block that %s has",
                       asker->process.name, (unsigned long long)had, host->process.name);
            return;
        }
    }
}

static void check_fetch(struct repeats *repeats, struct host_node *asker,
                        const struct node_effect *effect)
{
    const uint32_t block_size = repeats->trial->scenario->block_size;
    const struct object_id object =
        object_id_make(effect->fetch.source, effect->fetch.key, effect->fetch.pin, block_size);
    uint64_t at = effect->fetch.offset;
    const uint64_t end = at + effect->fetch.size;
    while (at < end) {
        const uint32_t index = (uint32_t)(at / block_size);
        const uint64_t block_end = (uint64_t)(index + 1) * block_size;
        const uint64_t to = block_end < end ? block_end : end;
        const struct wanted wanted = { .key = effect->fetch.key,
                                       .id = { .object = object, .index = index },
                                       .from = (uint32_t)(at % block_size),
                                       .to = (uint32_t)(to - (uint64_t)index * block_size) };
        check_block(repeats, asker, &wanted);
        ledger_asked(repeats->ledger, asker, wanted.id,
                     object_block_bytes(effect->fetch.object_size, block_size, index));
        at = to;
    }
}

/* ---- listings --------------------------------------------------------------------------------------- */

static struct listed_prefix *prefix_of(struct repeats *repeats, struct span prefix)
{
    for (uint32_t i = 0; i < repeats->prefix_count; i++) {
        if (span_equal(prefix, span_text(repeats->prefixes[i].prefix))) {
            return &repeats->prefixes[i];
        }
    }
    CHECK(repeats->prefix_count < PREFIXES_MAX && prefix.size < sizeof repeats->prefixes[0].prefix);
    struct listed_prefix *found = &repeats->prefixes[repeats->prefix_count++];
    memcpy(found->prefix, prefix.data, prefix.size);
    found->first_us = repeats->trial->world->now_us;
    return found;
}

static void check_list(struct repeats *repeats, struct host_node *asker,
                       const struct node_effect *effect)
{
    const struct trial *trial = repeats->trial;
    struct listed_prefix *prefix = prefix_of(repeats, effect->list.prefix);
    uint64_t most = 1;
    prefix->count++;
    if (trial->scenario->ttl_us > 0) {
        most += (uint64_t)((trial->world->now_us - prefix->first_us) / trial->scenario->ttl_us) + 1;
    }
    if (prefix->count > most && faults_began(trial->faults) == 0) {
        world_fail(trial->world, "%s lists \"%s\" for the %u. time", asker->process.name,
                   prefix->prefix, prefix->count);
    }
}

void repeats_given(struct repeats *repeats, struct process *node, const struct given *given)
{
    ledger_given(repeats->ledger, node, given);
}

void repeats_asked(struct repeats *repeats, struct process *node, const struct node_effect *effect)
{
    struct host_node *asker = CONTAINER_OF(node, struct host_node, process);
    if (effect->kind == NODE_FETCH) {
        check_fetch(repeats, asker, effect);
    } else if (source_begins_listing(effect)) {
        check_list(repeats, asker, effect);
    }
}
