/* tests/unit/node/core/test_meta_storm.c: random questions for directories while nodes die and
 * return, the source fails, files change and memory is short. In the end nothing is left over. */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "node/core/meta.h"

#define SEEDS 12
#define STEPS 400
#define DIRS 6
#define NODES_MOST 4
#define MOUNTS (LAB_CLIENTS - 1)

static struct shelf *storm;
static struct rng dice;

static void small_and_mixed(struct shelf *shelf)
{
    static const enum metadata_policy policies[] = { METADATA_ONCE, METADATA_TTL, METADATA_ALWAYS };
    shelf->dataset.policy = policies[rng_below(&dice, 3)];
    shelf->dataset.ttl_us = SEC(2);
    shelf->page = 50 + (uint32_t)rng_below(&dice, 950);
    shelf->region_size = (size_t)1 << (18 + rng_below(&dice, 6));
}

static void dir_name(uint64_t dir, char out[16])
{
    snprintf(out, 16, "p/d%u/", (uint32_t)dir);
}

/* Some directories are large, names nest so that some come late. */
static void change_source(void)
{
    char key[64];
    uint64_t dir = rng_below(&dice, DIRS);
    uint64_t count = rng_chance(&dice, 50000) ? 3500 : rng_below(&dice, 8);
    for (uint64_t i = 0; i < count && storm->key_count < SHELF_KEYS_MAX - 10; i++) {
        char pin[8];
        snprintf(pin, sizeof pin, "v%u", (uint32_t)rng_below(&dice, 4));
        snprintf(key, sizeof key, "p/d%u/%s%04u%s", (uint32_t)dir,
                 rng_chance(&dice, 400000) ? "a-" : "a", (uint32_t)rng_below(&dice, 3000),
                 rng_chance(&dice, 50000) ? "/x" : "");
        shelf_put(storm, key, pin, rng_below(&dice, 3u << 20));
    }
    snprintf(key, sizeof key, "p/d%u/a/x", (uint32_t)dir); /* late: "a/" comes behind "a-..." */
    if (rng_chance(&dice, 500000)) {
        shelf_put(storm, key, "v1", 1);
    }
    if (storm->key_count > 0 && rng_chance(&dice, 300000)) {
        strcpy(key, storm->keys[rng_below(&dice, storm->key_count)].key);
        shelf_remove(storm, key);
    }
}

static uint32_t living(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < storm->lab->node_count; i++) {
        count += storm->lab->nodes[i].up ? 1 : 0;
    }
    return count;
}

static void kill_or_start(void)
{
    uint32_t node = (uint32_t)rng_below(&dice, storm->lab->node_count);
    if (!storm->lab->nodes[node].up) {
        lab_start(storm->lab, node);
    } else if (living() > 1) {
        lab_kill(storm->lab, node);
    }
    if (rng_chance(&dice, 700000)) {
        lab_tell_members(storm->lab);
    }
}

static uint32_t some_living(void)
{
    uint32_t node = (uint32_t)rng_below(&dice, storm->lab->node_count);
    while (!storm->lab->nodes[node].up) {
        node = (node + 1) % storm->lab->node_count;
    }
    return node;
}

static void ask(void)
{
    char prefix[16];
    struct message_dir_get get = { .mode = rng_chance(&dice, 300000) ? GET_ACTING : GET_PLAIN };
    uint32_t client = (uint32_t)rng_below(&dice, MOUNTS);
    struct client *c = &storm->lab->clients[client];
    dir_name(rng_below(&dice, DIRS), prefix);
    if (!c->open || !storm->lab->nodes[c->node].up || rng_chance(&dice, 100000)) {
        lab_client_forget(storm->lab, client);
        lab_client_open(storm->lab, client, some_living());
    }
    if (c->count > INBOX_MAX / 2) {
        lab_client_forget(storm->lab, client);
    }
    if (rng_chance(&dice, 300000)) {
        get.name = span_text("a0001");
    }
    if (rng_chance(&dice, 200000)) {
        get.newer_than = (uint64_t)(storm->lab->now_us + SEC(1700000000));
    }
    get.remaining_us = (uint64_t)(1 + rng_below(&dice, (uint64_t)SEC(20)));
    shelf_dir_get(storm, client, prefix, &get);
}

/* A page of some root that came earlier, from anybody. */
static void ask_page(void)
{
    struct root root;
    struct root_shard shard;
    struct dataset_id dataset = dataset_id_make(span_text("train"));
    struct client *c = &storm->lab->clients[rng_below(&dice, MOUNTS)];
    if (!c->open || c->count == 0) {
        return;
    }
    const struct received *got = &c->inbox[rng_below(&dice, c->count)];
    if (got->message.kind != MESSAGE_DIR_ROOT ||
        root_open(got->message.dir_root.root, &root) != ERR_OK || root.shards == 0) {
        return;
    }
    root_shard(&root, (uint32_t)rng_below(&dice, root.shards), &shard);
    struct message message = {
        .kind = MESSAGE_SHARD_GET,
        .shard_get = { .request = ++c->next_request,
                       .generation = root.head.generation,
                       .fence = shard.lower,
                       .remaining_us = 1 + rng_below(&dice, (uint64_t)MSEC(100)) },
    };
    memcpy(message.shard_get.dir, root.head.dir.b, ID_SIZE);
    memcpy(message.shard_get.source, storm->dataset.rows[0].source.b, ID_SIZE);
    memcpy(message.shard_get.dataset, dataset.b, ID_SIZE);
    lab_client_send(storm->lab, c->control, &message);
}

static void trouble(void)
{
    static const enum err errs[] = { ERR_OK, ERR_OK, ERR_SOURCE_THROTTLED, ERR_SOURCE_DENIED };
    storm->fail_lists = errs[rng_below(&dice, 4)];
    storm->fail_puts = rng_chance(&dice, 100000) ? ERR_SYSTEM : ERR_OK;
    storm->fail_roots = rng_chance(&dice, 100000);
    storm->list_us = (usec_t)(100 + rng_below(&dice, 200000));
}

static void calm(void)
{
    storm->fail_lists = ERR_OK;
    storm->fail_puts = ERR_OK;
    storm->fail_roots = false;
    for (uint32_t i = 0; i < storm->lab->node_count; i++) {
        if (!storm->lab->nodes[i].up) {
            lab_start(storm->lab, i);
        }
    }
    lab_tell_members(storm->lab);
    lab_run(storm->lab, SEC(120));
}

static void assert_nothing_is_left(uint32_t index)
{
    const struct node *node = storm->lab->nodes[index].node;
    const struct meta *meta = node->meta;
    assert_int_equal(meta->asks.used, 0);
    assert_int_equal(meta->io.pool.used, 0);
    assert_int_equal(meta->offers.pool.used, 0);
    assert_int_equal(meta->dirs.works.used, 0);
    assert_int_equal(meta->dirs.snapshots.used, 0);
    assert_int_equal(meta->pages.fetch_pool.used, 0);
    assert_int_equal(meta->catalog.keeps.used, 0);
    assert_int_equal(node->memory.cached, buddy_used(node->memory.buddy));
}

/* What a mount sees now is one whole generation: every page is there and says what the root says. */
static void assert_directory_is_whole(const char *prefix)
{
    struct root root;
    lab_client_forget(storm->lab, 0);
    lab_client_open(storm->lab, 0, shelf_owner(storm, prefix));
    struct message_dir_get get = { .newer_than = (uint64_t)(storm->lab->now_us + SEC(1700000000)) };
    uint64_t request = shelf_dir_get(storm, 0, prefix, &get);
    lab_run(storm->lab, SEC(30));
    if (shelf_failed(storm, 0, request) == ERR_NOT_FOUND) {
        return; /* all its files are gone */
    }
    if (storm->region_size < (2u << 20) && shelf_failed(storm, 0, request) == ERR_BUSY) {
        return; /* too large for so little memory: said, and no more */
    }
    assert_int_equal(shelf_failed(storm, 0, request), ERR_OK);
    assert_true(shelf_got_root(storm, 0, request, &root));
    assert_int_equal(shelf_count(storm, &root), root.head.files + root.head.directories);
}

static void run_seed(uint64_t seed)
{
    rng_init(&dice, seed, 1);
    storm = shelf_new_with(1 + (uint32_t)rng_below(&dice, NODES_MOST), small_and_mixed);
    for (uint32_t i = 0; i < STEPS; i++) {
        uint64_t what = rng_below(&dice, 100);
        if (what < 50) {
            ask();
        } else if (what < 60) {
            ask_page();
        } else if (what < 85) {
            change_source();
        } else if (what < 95) {
            trouble();
        } else {
            kill_or_start();
        }
        lab_run(storm->lab, (usec_t)rng_below(&dice, (uint64_t)MSEC(100)));
    }
    calm();
    for (uint32_t i = 0; i < storm->lab->node_count; i++) {
        assert_nothing_is_left(i);
    }
    for (uint32_t i = 0; i < DIRS; i++) {
        char prefix[16];
        dir_name(i, prefix);
        assert_directory_is_whole(prefix);
    }
    shelf_free(storm);
}

static void storms_leave_nothing_behind_and_whole_directories(void **state)
{
    const char *only = getenv("ATOLL_SEED");
    (void)state;
    if (only != NULL) {
        run_seed(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run_seed(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(storms_leave_nothing_behind_and_whole_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
