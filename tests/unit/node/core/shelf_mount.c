/* tests/unit/node/core/shelf_mount.c: mounts that ask for directories. */
#include "tests/unit/node/core/shelf.h"

#include "tests/unit/node/core/lab_inside.h"

#include <string.h>

#define WAIT_STEPS 2000 /* of 5 ms */

struct dir_id shelf_dir(const struct shelf *shelf, const char *prefix)
{
    return dir_id_make(shelf->dataset.rows[0].source, span_text(prefix));
}

uint32_t shelf_rank(const struct shelf *shelf, struct place place, uint32_t rank)
{
    struct node_id ids[RING_RANKS];
    const struct lab *lab = shelf->lab;
    uint32_t alive = 0;
    while (!lab->nodes[alive].up || lab->nodes[alive].frozen) {
        alive++;
    }
    const struct ring *ring = rings_current(lab->nodes[alive].node, span_text(""));
    assert_non_null(ring);
    uint32_t count = ring_owners(ring, place, RING_RANKS, ids);
    assert_true(rank < count);
    for (uint32_t i = 0; i < lab->node_count; i++) {
        if (node_id_equal(lab->nodes[i].id, ids[rank])) {
            return i;
        }
    }
    fail_msg("a rank that is no node");
    return 0;
}

uint32_t shelf_owner(const struct shelf *shelf, const char *prefix)
{
    return shelf_rank(shelf, place_of_root(shelf_dir(shelf, prefix)), 0);
}

void shelf_mount(struct shelf *shelf, uint32_t client, uint32_t node)
{
    lab_client_open(shelf->lab, client, node);
}

static uint64_t send(struct shelf *shelf, uint32_t client, struct message *message)
{
    struct client *c = &shelf->lab->clients[client];
    uint64_t request = ++c->next_request;
    message->ping.request = request; /* every request has it first */
    lab_client_send(shelf->lab, c->control, message);
    return request;
}

uint64_t shelf_dir_get(struct shelf *shelf, uint32_t client, const char *prefix,
                       const struct message_dir_get *get)
{
    struct message message = { .kind = MESSAGE_DIR_GET };
    struct dataset_id dataset = dataset_id_make(span_text(shelf->dataset.name));
    if (get != NULL) {
        message.dir_get = *get;
    }
    message.dir_get.prefix = span_text(prefix);
    if (message.dir_get.remaining_us == 0) {
        message.dir_get.remaining_us = (uint64_t)SEC(60);
    }
    memcpy(message.dir_get.source, shelf->dataset.rows[0].source.b, ID_SIZE);
    memcpy(message.dir_get.dataset, dataset.b, ID_SIZE);
    return send(shelf, client, &message);
}

bool shelf_got_root(const struct shelf *shelf, uint32_t client, uint64_t request, struct root *out)
{
    const struct received *got =
        lab_client_find(&shelf->lab->clients[client], MESSAGE_DIR_ROOT, request);
    return got != NULL && root_open(got->message.dir_root.root, out) == ERR_OK;
}

enum err shelf_failed(const struct shelf *shelf, uint32_t client, uint64_t request)
{
    const struct received *got =
        lab_client_find(&shelf->lab->clients[client], MESSAGE_FAIL, request);
    return got == NULL ? ERR_OK : (enum err)got->message.fail.err;
}

struct root shelf_root(struct shelf *shelf, uint32_t client, const char *prefix)
{
    struct root root = { .shards = 0 };
    uint64_t request = shelf_dir_get(shelf, client, prefix, NULL);
    for (uint32_t i = 0; i < WAIT_STEPS && !shelf_got_root(shelf, client, request, &root); i++) {
        lab_run(shelf->lab, MSEC(5));
        assert_int_equal(shelf_failed(shelf, client, request), ERR_OK);
    }
    assert_true(shelf_got_root(shelf, client, request, &root));
    return root;
}

/* The page of a shard from that node; false: it does not have it. */
static bool get_page(struct shelf *shelf, const struct root *root, const struct root_shard *shard,
                     struct page *out)
{
    struct dataset_id dataset = dataset_id_make(span_text(shelf->dataset.name));
    struct message message = {
        .kind = MESSAGE_SHARD_GET,
        .shard_get = { .generation = root->head.generation,
                       .fence = shard->lower,
                       .remaining_us = (uint64_t)SEC(10) },
    };
    memcpy(message.shard_get.dir, root->head.dir.b, ID_SIZE);
    memcpy(message.shard_get.source, shelf->dataset.rows[0].source.b, ID_SIZE);
    memcpy(message.shard_get.dataset, dataset.b, ID_SIZE);
    uint32_t client = LAB_CLIENTS - 1; /* the page reader's own */
    const struct client *c = &shelf->lab->clients[client];
    uint64_t request = send(shelf, client, &message);
    for (uint32_t i = 0; i < WAIT_STEPS; i++) {
        lab_run(shelf->lab, MSEC(5));
        const struct received *got = lab_client_find(c, MESSAGE_SHARD, request);
        if (got != NULL) {
            assert_int_equal(page_open(span_of(got->payload, got->payload_size), out), ERR_OK);
            assert_int_equal(out->crc, shard->page_crc);
            return true;
        }
        if (lab_client_find(c, MESSAGE_FAIL, request) != NULL) {
            return false;
        }
    }
    return false;
}

/* From the first living rank of the shard's place. */
static bool page_of(struct shelf *shelf, const struct root *root, uint32_t index, struct page *out)
{
    struct root_shard shard;
    struct client *c = &shelf->lab->clients[LAB_CLIENTS - 1];
    uint32_t rank = 0;
    root_shard(root, index, &shard);
    assert_int_equal(shard.place.v, place_of_shard(root->head.dir, shard.lower).v);
    uint32_t node = shelf_rank(shelf, shard.place, rank);
    if (!c->open || c->node != node) {
        lab_client_forget(shelf->lab, LAB_CLIENTS - 1);
        lab_client_open(shelf->lab, LAB_CLIENTS - 1, node);
    }
    return get_page(shelf, root, &shard, out);
}

bool shelf_entry(struct shelf *shelf, const struct root *root, const char *name, struct entry *out)
{
    struct page page;
    uint32_t index = 0;
    if (!root_shard_for(root, span_text(name), &index)) {
        return false;
    }
    assert_true(page_of(shelf, root, index, &page));
    assert_true(page_covers(&page, span_text(name)));
    return page_find(&page, span_text(name), out);
}

uint32_t shelf_count(struct shelf *shelf, const struct root *root)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < root->shards; i++) {
        struct page page;
        assert_true(page_of(shelf, root, i, &page));
        count += page_count(&page);
    }
    return count;
}
