/* sim/hot.c: reads, questions and loads, a millisecond at a time. */
#include "sim/hot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "gossip/tuning.h"
#include "node/core/shares.h"
#include "ring/ring.h"

#define BLOCK_BYTES (4u << 20)
#define ZIPF 0.99
#define SLOTS_LOG2 18u
#define DELAYS 8u /* milliseconds that a message may take, with the one that runs */
#define DELAY_MS 2u
#define STEP_MS (SHARES_STEP_US / MSEC(1))
#define PROBE_MS 2000u /* from one probe of a member to the next */

enum what { HOT_ASK, HOT_ANSWER, HOT_PING, HOT_ACK };

struct note {
    struct note *next;
    enum what what;
    uint32_t from;
    uint32_t to;
    uint32_t number;
    uint64_t rate; /* asked for, granted, or served */
    uint64_t had;
    uint64_t load; /* of whoever says it, or the mean that it knows */
};

struct heard {
    uint32_t node;
    uint64_t rate;
    usec_t at_us; /* 0: never */
};

struct hot_node {
    struct shares shares;
    struct node_id id;
    void *memory;
    uint32_t observed[OBSERVERS_MAX];
    struct heard heard[LOADS_MAX];
    uint64_t served; /* in this second */
};

struct hot {
    struct hot_options options;
    struct rng rng;
    usec_t now_us;
    struct hot_node *nodes;
    const struct ring *ring;
    void *ring_memory;
    uint32_t *owners; /* by block */
    double *chance;   /* Walker's table of aliases */
    uint32_t *alias;
    struct note *notes[DELAYS];
    uint64_t handed;
    uint64_t reads;
    uint64_t asks;
};

static void *must(void *memory)
{
    CHECK(memory != NULL);
    return memory;
}

/* ---- the beginning --------------------------------------------------------------------------- */

static uint32_t number_of(struct node_id id)
{
    return get_u32(id.b + 12);
}

static struct place place_of(const struct hot *h, uint32_t block)
{
    return (struct place){ hash64_mix(block, h->options.seed) };
}

static void make_nodes(struct hot *h)
{
    const uint32_t count = h->options.nodes;
    struct member *members = must(calloc(count, sizeof *members));
    h->nodes = must(calloc(count, sizeof *h->nodes));
    for (uint32_t i = 0; i < count; i++) {
        struct hot_node *node = &h->nodes[i];
        struct arena mem;
        put_u64(node->id.b, rng_next(&h->rng));
        put_u32(node->id.b + 12, i);
        node->memory = must(malloc(shares_memory()));
        arena_init(&mem, node->memory, shares_memory());
        CHECK(shares_init(&node->shares, &mem, node->id, SHARES_FLOOR) == ERR_OK);
        for (uint32_t k = 0; k < OBSERVERS_MAX; k++) {
            node->observed[k] = (uint32_t)rng_below(&h->rng, count);
        }
        members[i].id = node->id;
        members[i].incarnation = 1;
        members[i].state = MEMBER_OWNING;
        members[i].weight = 100;
    }
    struct arena mem;
    size_t size = ring_memory(count, SLOTS_LOG2);
    h->ring_memory = must(malloc(size));
    arena_init(&mem, h->ring_memory, size);
    const struct ring_options options = { .slots_log2 = SLOTS_LOG2 };
    CHECK(ring_build(&mem, members, count, &options, &h->ring) == ERR_OK);
    free(members);
}

static void make_blocks(struct hot *h)
{
    h->owners = must(calloc(HOT_BLOCKS, sizeof *h->owners));
    for (uint32_t i = 0; i < HOT_BLOCKS; i++) {
        struct node_id owner;
        CHECK(ring_owners(h->ring, place_of(h, i), 1, &owner) == 1);
        h->owners[i] = number_of(owner);
    }
}

/* Each column of a table is one block up to its chance, and another one above it. */
static void make_chances(struct hot *h)
{
    uint32_t *stack = must(calloc(HOT_BLOCKS, sizeof *stack)); /* light from the left, heavy from
                                                                  the right */
    uint32_t light = 0;
    uint32_t heavy = HOT_BLOCKS;
    double sum = 0;
    h->chance = must(calloc(HOT_BLOCKS, sizeof *h->chance));
    h->alias = must(calloc(HOT_BLOCKS, sizeof *h->alias));
    for (uint32_t i = 0; i < HOT_BLOCKS; i++) {
        h->chance[i] = pow(i + 1, -ZIPF);
        h->alias[i] = i;
        sum += h->chance[i];
    }
    for (uint32_t i = 0; i < HOT_BLOCKS; i++) {
        h->chance[i] *= HOT_BLOCKS / sum;
        stack[h->chance[i] < 1 ? light++ : --heavy] = i;
    }
    while (light > 0 && heavy < HOT_BLOCKS) {
        const uint32_t small = stack[--light];
        const uint32_t large = stack[heavy];
        h->alias[small] = large;
        h->chance[large] -= 1 - h->chance[small];
        if (h->chance[large] < 1) {
            heavy++;
            stack[light++] = large;
        }
    }
    free(stack);
}

/* ---- what nodes say to each other -------------------------------------------------------------- */

static void post(struct hot *h, const struct note *note)
{
    struct note *copy = must(malloc(sizeof *copy));
    const uint64_t at = (uint64_t)(h->now_us / MSEC(1)) + 1 + rng_below(&h->rng, DELAY_MS);
    *copy = *note;
    copy->next = h->notes[at % DELAYS];
    h->notes[at % DELAYS] = copy;
}

static bool find_place(void *owner, const struct shares_block *block, uint32_t nth,
                       struct node_id *out)
{
    const struct hot *h = owner;
    return ring_owners(h->ring, shares_place(block->place, nth), 1, out) == 1;
}

static void ask_others(struct hot *h, uint32_t node)
{
    struct shares *shares = &h->nodes[node].shares;
    const struct shares_places places = { .find = find_place, .owner = h };
    uint32_t number;
    while (shares_next(shares, h->now_us, &places, &number)) {
        const struct shares_ask *ask = shares_ask(shares, number);
        h->asks++;
        post(h, &(struct note){ .what = HOT_ASK,
                                .from = node,
                                .to = number_of(ask->node),
                                .number = number,
                                .rate = ask->rate,
                                .had = ask->had,
                                .load = ask->mean });
    }
}

static void hear(struct hot *h, struct hot_node *node, uint32_t from, uint64_t rate)
{
    struct heard *at = &node->heard[0];
    for (uint32_t i = 0; i < LOADS_MAX; i++) {
        struct heard *heard = &node->heard[i];
        if (heard->at_us != 0 && heard->node == from) {
            at = heard;
            break;
        }
        at = heard->at_us < at->at_us ? heard : at;
    }
    *at = (struct heard){ .node = from, .rate = rate, .at_us = h->now_us };
}

static void deliver(struct hot *h, const struct note *note)
{
    struct hot_node *node = &h->nodes[note->to];
    struct note answer = { .from = note->to, .to = note->from, .number = note->number };
    switch (note->what) {
    case HOT_ASK:
        answer.what = HOT_ANSWER;
        answer.rate = shares_grant(&node->shares, note->rate, note->had, note->load);
        answer.load = meter_now(&node->shares.meter);
        post(h, &answer);
        return;
    case HOT_ANSWER:
        shares_granted(&node->shares, h->now_us, note->number, note->rate, note->load);
        ask_others(h, note->to);
        return;
    case HOT_PING:
        hear(h, node, note->from, note->load);
        answer.what = HOT_ACK;
        answer.load = meter_now(&node->shares.meter);
        post(h, &answer);
        return;
    case HOT_ACK:
        hear(h, node, note->from, note->load);
        return;
    }
}

static void deliver_all(struct hot *h, uint32_t ms)
{
    struct note *note = h->notes[ms % DELAYS];
    h->notes[ms % DELAYS] = NULL;
    while (note != NULL) {
        struct note *next = note->next;
        deliver(h, note);
        free(note);
        note = next;
    }
}

/* ---- time ---------------------------------------------------------------------------------------- */

static void step(struct hot *h, uint32_t number)
{
    struct hot_node *node = &h->nodes[number];
    uint64_t rates[LOADS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < LOADS_MAX; i++) {
        const struct heard *heard = &node->heard[i];
        if (heard->at_us != 0 && h->now_us - heard->at_us < LOADS_KEPT_US) {
            rates[count++] = heard->rate;
        }
    }
    meter_told(&node->shares.meter, rates, count);
    shares_step(&node->shares, h->now_us);
    ask_others(h, number);
}

/* Each at times of its own. */
static void step_some(struct hot *h, uint32_t ms)
{
    for (uint32_t i = 0; i < h->options.nodes; i++) {
        const uint32_t offset = (uint32_t)(hash64_mix(i, h->options.seed) % PROBE_MS);
        if ((ms + offset) % STEP_MS == 0) {
            step(h, i);
        }
        for (uint32_t k = 0; k < OBSERVERS_MAX; k++) {
            if ((ms + offset * (k + 1)) % PROBE_MS == 0) {
                post(h, &(struct note){ .what = HOT_PING,
                                        .from = i,
                                        .to = h->nodes[i].observed[k],
                                        .load = meter_now(&h->nodes[i].shares.meter) });
            }
        }
    }
}

static uint32_t draw(struct hot *h, bool is_calm)
{
    const uint64_t bits = rng_next(&h->rng);
    const uint32_t column = (uint32_t)(((bits >> 32) * HOT_BLOCKS) >> 32);
    const double at = (double)(uint32_t)bits / 4294967296.0;
    return is_calm || at < h->chance[column] ? column : h->alias[column];
}

static void read_one(struct hot *h, uint32_t number)
{
    struct shares_block block = { .place = place_of(h, number), .size = BLOCK_BYTES };
    uint32_t server = h->owners[number];
    struct node_id other;
    put_u64(block.id.object.b, block.place.v);
    block.id.index = number;
    h->reads++;
    if (h->options.hands_on &&
        shares_read(&h->nodes[server].shares, h->now_us, &block, BLOCK_BYTES, &other)) {
        server = number_of(other);
        h->handed++;
    }
    meter_served(&h->nodes[server].shares.meter, BLOCK_BYTES);
    h->nodes[server].served += BLOCK_BYTES;
}

static void look(struct hot *h, uint32_t second, hot_tell *tell, void *self)
{
    struct hot_second told = { .handed = (double)h->handed / (double)h->reads };
    uint64_t most = 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < h->options.nodes; i++) {
        struct hot_node *node = &h->nodes[i];
        most = node->served > most ? node->served : most;
        sum += node->served;
        told.copies += node->shares.pool.used;
        node->served = 0;
    }
    told.second = second > h->options.calm_seconds ? second - h->options.calm_seconds : 0;
    told.peak = (double)most * h->options.nodes / (double)sum;
    told.asks = (double)h->asks / h->options.nodes;
    h->handed = 0;
    h->reads = 0;
    h->asks = 0;
    tell(self, &told);
}

static void fini(struct hot *h)
{
    for (uint32_t ms = 0; ms < DELAYS; ms++) {
        for (struct note *note = h->notes[ms]; note != NULL;) {
            struct note *next = note->next;
            free(note);
            note = next;
        }
    }
    for (uint32_t i = 0; i < h->options.nodes; i++) {
        free(h->nodes[i].memory);
    }
    free(h->nodes);
    free(h->ring_memory);
    free(h->owners);
    free(h->chance);
    free(h->alias);
}

void hot_run(const struct hot_options *options, hot_tell *tell, void *self)
{
    struct hot h = { .options = *options };
    CHECK(options->nodes > 0 && options->nodes <= HOT_NODES_MAX && options->reads > 0);
    rng_init(&h.rng, options->seed, 0x686f74);
    make_nodes(&h);
    make_blocks(&h);
    make_chances(&h);
    const uint64_t each_ms = (uint64_t)options->nodes * options->reads / 1000;
    for (uint32_t ms = 1; ms <= (options->calm_seconds + options->seconds) * 1000; ms++) {
        const bool is_calm = ms <= options->calm_seconds * 1000;
        h.now_us = MSEC(ms);
        deliver_all(&h, ms);
        step_some(&h, ms);
        for (uint64_t i = 0; i < each_ms; i++) {
            read_one(&h, draw(&h, is_calm));
        }
        if (ms % 1000 == 0) {
            look(&h, ms / 1000, tell, self);
        }
    }
    fini(&h);
}
