/* tests/unit/node/core/test_storm.c: random requests and faults; every byte right, and afterwards
 * nothing is left open and every byte of memory accounted for. */
#include "tests/unit/node/core/lab_inside.h"

#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>

#define NODES 3
#define MOUNTS 3
#define SEEDS 100
#define STEPS 400
#define OBJECTS 6

struct storm {
    struct lab *lab;
    struct rng rng;
    char keys[OBJECTS][32];
    uint64_t sizes[OBJECTS];
    uint64_t answers;
};

static const char *marks_wanted[] = {
    "asks.late",          "asks.cancel",          "asks.link_down",        "gets.queue",
    "memory.full",        "reads.forward.silent", "peek.unanswered",       "fetch.unwanted",
    "store.quota",        "store.read.corrupt",   "peek.previous_owner",   "calls.silent",
    "node.paused",        "reads.wait.tiers",     "flights.found_on_disk", "fetch.gathered",
    "store.write.failed", "sends.session.gone",   "flights.ahead.nomem",
};

/* All DATA that has come is of the object it was asked of, byte for byte. */
static void check_inbox(struct storm *storm, uint32_t client)
{
    struct client *c = &storm->lab->clients[client];
    for (uint32_t i = 0; i < c->count; i++) {
        const struct received *received = &c->inbox[i];
        if (received->message.kind != MESSAGE_DATA) {
            continue;
        }
        uint64_t request = received->message.data.request; /* says which object and block */
        uint64_t hash = lab_key_hash(storm->keys[request >> 40 & 0xff]);
        uint64_t begin = (request >> 24 & 0xffff) * LAB_BLOCK + received->message.data.offset;
        for (uint64_t k = 0; k < received->payload_size; k += 977) {
            assert_int_equal(received->payload[k], lab_object_byte(hash, begin + k));
        }
        storm->answers++;
    }
    lab_client_forget(storm->lab, client);
}

static void reopen(struct storm *storm, uint32_t client)
{
    struct lab *lab = storm->lab;
    uint32_t node = (uint32_t)rng_below(&storm->rng, NODES);
    struct client *c = &lab->clients[client];
    check_inbox(storm, client);
    lab_close(lab, c->control);
    lab_close(lab, c->data);
    lab_run(lab, MSEC(1));
    c->open = false;
    if (lab->nodes[node].up && !lab->nodes[node].frozen) {
        lab_client_forget(lab, client);
        lab_client_open(lab, client, node);
    }
}

static void ask(struct storm *storm, uint32_t client)
{
    struct rng *rng = &storm->rng;
    struct lab *lab = storm->lab;
    uint64_t object = rng_below(rng, OBJECTS);
    uint64_t blocks = object_block_count(storm->sizes[object], LAB_BLOCK);
    uint32_t index = (uint32_t)rng_below(rng, blocks);
    struct message get = lab_get(lab, storm->keys[object], storm->sizes[object], index);
    get.get.mode = rng_below(rng, 4);
    get.get.extent = rng_below(rng, 2);
    get.get.class = rng_below(rng, 3);
    get.get.remaining_us = (uint64_t)rng_between(rng, MSEC(1), SEC(4));
    if (rng_chance(rng, 300000) && get.get.length > CHUNK_SIZE) {
        get.get.length = CHUNK_SIZE;
    }
    struct client *c = &lab->clients[client];
    c->next_request = (c->next_request + 1) & 0xffffff;
    get.get.request = object << 40 | (uint64_t)index << 24 | c->next_request;
    lab_client_send(lab, c->data, &get);
    if (rng_chance(rng, 100000)) {
        struct message cancel = { .kind = MESSAGE_CANCEL,
                                  .cancel = { .request = get.get.request } };
        lab_client_send(lab, c->data, &cancel);
    }
}

static void plan_failure(struct storm *storm)
{
    static const enum err errs[] = { ERR_SOURCE_UNREACHABLE, ERR_SOURCE_THROTTLED, ERR_CHANGED,
                                     ERR_SOURCE_NOT_FOUND, ERR_SOURCE_PROTOCOL };
    struct source *source = &storm->lab->source;
    if (source->plan_count < LAB_PLANS) {
        source->plans[source->plan_count++] =
            (struct plan){ .bytes = rng_below(&storm->rng, 600000),
                           .err = errs[rng_below(&storm->rng, ARRAY_COUNT(errs))] };
    }
}

/* The disk takes its time to tell what it holds; reads come meanwhile. */
static void start_slowly(struct storm *storm, uint32_t node)
{
    struct lab *lab = storm->lab;
    lab_start_unscanned(lab, node);
    lab_tell_members(lab);
    for (uint32_t i = 0; i < 6; i++) {
        lab_run(lab, MSEC(20));
        if (lab->clients[0].open) {
            ask(storm, 0);
        }
    }
    lab_disk_scan(lab, node);
}

static void kill_node(struct storm *storm, uint32_t node)
{
    struct lab *lab = storm->lab;
    for (uint32_t i = 0; i < MOUNTS; i++) {
        lab->clients[i].open = lab->clients[i].open && lab->clients[i].node != node;
    }
    lab_kill(lab, node);
}

static void kill_or_start(struct storm *storm, uint32_t node)
{
    if (storm->lab->nodes[node].up) {
        kill_node(storm, node);
    } else if (rng_chance(&storm->rng, 300000)) {
        start_slowly(storm, node);
    } else {
        lab_start(storm->lab, node);
    }
    lab_tell_members(storm->lab);
}

static void fault(struct storm *storm)
{
    struct lab *lab = storm->lab;
    struct rng *rng = &storm->rng;
    uint32_t node = (uint32_t)rng_below(rng, NODES);
    switch (rng_below(rng, 8)) {
    case 0:
        if (lab->nodes[node].up) {
            lab->nodes[node].frozen = !lab->nodes[node].frozen;
        }
        return;
    case 1:
        if (!lab->nodes[node].frozen) {
            kill_or_start(storm, node);
        }
        return;
    case 2:
        lab->sent_us = rng_chance(rng, 500000) ? rng_between(rng, 1, SEC(2)) : 0;
        return;
    case 3:
        lab->nodes[node].disk.write_err = rng_chance(rng, 300000) ? ERR_SYSTEM : ERR_OK;
        lab->nodes[node].disk.latency_us =
            rng_chance(rng, 300000) ? rng_between(rng, 0, SEC(3)) : 0;
        return;
    case 4:
        lab->source.latency_us = rng_between(rng, MSEC(1), MSEC(300));
        lab->source.step_us = rng_between(rng, 0, MSEC(10));
        return;
    case 5:
        lab_disk_corrupt(lab, node);
        return;
    case 6:
        reopen(storm, (uint32_t)rng_below(rng, MOUNTS));
        return;
    default:
        plan_failure(storm);
        return;
    }
}

static void step(struct storm *storm)
{
    struct lab *lab = storm->lab;
    uint32_t client = (uint32_t)rng_below(&storm->rng, MOUNTS);
    if (rng_chance(&storm->rng, 150000)) {
        fault(storm);
    }
    if (!lab->clients[client].open) {
        reopen(storm, client);
    } else {
        ask(storm, client);
    }
    if (lab->clients[client].count > INBOX_MAX / 2) {
        check_inbox(storm, client);
    }
    lab_run(lab, rng_between(&storm->rng, 0, MSEC(40)));
}

/* All faults are over and all deadlines passed: what does a node still hold? */
static void check_quiet(const struct lab *lab, uint32_t index)
{
    const struct node *node = lab->nodes[index].node;
    assert_int_equal(node->asks.open, 0);
    assert_int_equal(node->reads.pool.used, 0);
    assert_int_equal(node->flights.pool.used, 0);
    assert_int_equal(node->flights.ahead, 0);
    assert_int_equal(node->fetches.pool.used, 0);
    assert_int_equal(node->objects.short_pool.used + node->objects.long_pool.used,
                     node->objects.kept);
    assert_int_equal(node->sends.bytes, 0);
    assert_int_equal(node->reads.forwarding, 0);
    assert_int_equal(node->store.ops.used, 0);
    assert_int_equal(node->store.dirty, 0);
    assert_int_equal(node->store.debts, 0);
    assert_int_equal(node->store.debt_count, 0);
    assert_int_equal(node->flights.line_count, 0);
    assert_int_equal(buddy_used(node->memory.buddy), node->memory.cached);
    for (uint32_t i = 0; i < pool_top(&node->blocks.pool); i++) {
        const struct block *block = pool_at(&node->blocks.pool, i);
        const struct block *known = blocks_find(node, block->id);
        assert_true(known != block || block->writing == 0);
    }
    struct map_node *at = NULL;
    while ((at = map_walk(&node->sessions.by_id, at)) != NULL) {
        const struct session *session = CONTAINER_OF(at, struct session, by_id);
        assert_int_equal(session->outstanding, 0);
        assert_int_equal(session->queued, 0);
    }
}

static void settle(struct storm *storm)
{
    struct lab *lab = storm->lab;
    lab->source.plan_count = 0;
    lab->sent_us = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        lab->nodes[i].frozen = false;
        if (!lab->nodes[i].up) {
            lab_start(lab, i);
        }
    }
    lab_tell_members(lab);
    lab_run(lab, SEC(90));
    for (uint32_t i = 0; i < MOUNTS; i++) {
        check_inbox(storm, i);
    }
    for (uint32_t i = 0; i < NODES; i++) {
        check_quiet(lab, i);
    }
    assert_null(lab->payloads); /* every received payload was given back */
}

static void run_seed(uint64_t seed, struct marks *marks)
{
    static const uint64_t sizes[OBJECTS] = { 1000, 65536, 300000, 700000, 2 << 20, 20 << 20 };
    struct storm storm = { .lab = lab_new(NODES, (size_t)3 << 20, (uint64_t)8 << 20) };
    rng_init(&storm.rng, seed, 0);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        struct text text;
        text_init(&text, storm.keys[i], sizeof storm.keys[i]);
        text_str(&text, "storm-");
        text_u64(&text, seed * OBJECTS + i);
        storm.sizes[i] = sizes[i];
    }
    for (uint32_t i = 0; i < MOUNTS; i++) {
        lab_client_open(storm.lab, i, i);
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        step(&storm);
    }
    settle(&storm);
    assert_true(storm.answers > STEPS / 10);
    for (uint32_t i = 0; i < storm.lab->marks.used; i++) {
        for (uint64_t k = 0; k < storm.lab->marks.slot[i].count; k++) {
            marks_hit(marks, storm.lab->marks.slot[i].name);
            k += storm.lab->marks.slot[i].count; /* once is enough */
        }
    }
    lab_free(storm.lab);
}

static void nothing_breaks_and_nothing_is_left_open(void **state)
{
    (void)state;
    static struct marks marks;
    const char *first = getenv("STORM_SEED");
    uint64_t from = first == NULL ? 1 : strtoull(first, NULL, 10);
    uint64_t count = first == NULL ? SEEDS : 1;
    for (uint64_t seed = from; seed < from + count; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run_seed(seed, &marks);
    }
    for (uint32_t i = 0; first == NULL && i < ARRAY_COUNT(marks_wanted); i++) {
        if (marks_count(&marks, marks_wanted[i]) == 0) {
            fail_msg("never came to %s", marks_wanted[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_breaks_and_nothing_is_left_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
