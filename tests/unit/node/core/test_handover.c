/* tests/unit/node/core/test_handover.c: blocks go to their new owners while nobody reads. */
#include "tests/unit/node/core/lab.h"

#include <stdio.h>
#include <string.h>

#define REGION ((size_t)32 << 20)
#define QUOTA (UINT64_C(64) << 20)
#define SIZE 700000 /* a small file: its three blocks have the place that its entry says */
#define BLOCKS 3
#define FILES 8

static void name_of(char key[32], uint32_t file)
{
    snprintf(key, 32, "file-%u", file);
}

/* Read all blocks of all files through one node; how many did not come. */
static uint32_t read_all(struct lab *lab, uint32_t client, uint32_t node)
{
    uint64_t requests[FILES * BLOCKS];
    uint32_t missing = 0;
    char key[FILES][32];
    lab_client_forget(lab, client);
    lab_client_open(lab, client, node);
    for (uint32_t i = 0; i < FILES * BLOCKS; i++) {
        name_of(key[i / BLOCKS], i / BLOCKS);
        struct message get = lab_get(lab, key[i / BLOCKS], SIZE, i % BLOCKS);
        requests[i] = lab_client_get(lab, client, &get);
        lab_run(lab, MSEC(20));
    }
    lab_run(lab, SEC(1));
    for (uint32_t i = 0; i < FILES * BLOCKS; i++) {
        struct message get = lab_get(lab, key[i / BLOCKS], SIZE, i % BLOCKS);
        uint64_t bytes =
            lab_client_bytes(&lab->clients[client], requests[i], key[i / BLOCKS], i % BLOCKS);
        missing += bytes != get.get.length ? 1 : 0;
    }
    return missing;
}

static uint64_t all_bytes(void)
{
    return (uint64_t)FILES * SIZE;
}

/* Blocks of all files that this node owns now. */
static uint32_t owned(struct lab *lab, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < FILES; i++) {
        char key[32];
        name_of(key, i);
        count += lab_owner(lab, key, SIZE, 0) == node ? BLOCKS : 0;
    }
    return count;
}

/* Everything was read once, long ago; nobody reads any more. */
static struct lab *full(uint32_t count, uint64_t quota)
{
    struct lab *lab = lab_new(count, REGION, quota);
    lab_run(lab, SEC(1));
    assert_int_equal(read_all(lab, 0, 0), 0);
    assert_int_equal(lab->source.bytes, all_bytes());
    lab_client_close(lab, lab->clients[0].control);
    lab_client_close(lab, lab->clients[0].data);
    lab_run(lab, SEC(120));
    return lab;
}

static void end(struct lab *lab, uint32_t index)
{
    lab_kill(lab, index);
    lab_tell_members(lab);
    lab_run(lab, SEC(120)); /* earlier tables are forgotten */
}

static const struct metrics *metrics_of(const struct lab *lab, uint32_t index)
{
    return &lab->nodes[index].node->metrics;
}

static void what_a_leaving_node_holds_in_memory_is_with_others_when_it_is_gone(void **state)
{
    (void)state;
    struct lab *lab = full(3, 0);
    uint32_t held = owned(lab, 2);
    assert_true(held > 0);
    lab_leave(lab, 2);
    lab_run(lab, SEC(1));
    assert_true(lab->nodes[2].drained);
    assert_int_equal(metrics_of(lab, 2)->handover_given, held);
    assert_int_equal(metrics_of(lab, 0)->handover_taken + metrics_of(lab, 1)->handover_taken, held);
    end(lab, 2);
    assert_int_equal(read_all(lab, 1, 0), 0);
    assert_int_equal(lab->source.bytes, all_bytes());
    lab_free(lab);
}

static void what_it_found_on_its_disk_goes_too(void **state)
{
    (void)state;
    struct lab *lab = full(3, QUOTA);
    uint32_t held = owned(lab, 2);
    lab_kill(lab, 2);
    lab_start(lab, 2);
    lab_tell_members(lab);
    lab_run(lab, SEC(3));
    assert_int_equal(metrics_of(lab, 2)->handover_given, 0);
    lab_leave(lab, 2);
    lab_run(lab, SEC(2));
    assert_true(lab->nodes[2].drained);
    assert_int_equal(metrics_of(lab, 2)->handover_given, held);
    end(lab, 2);
    assert_int_equal(read_all(lab, 1, 0), 0);
    assert_int_equal(lab->source.bytes, all_bytes());
    lab_free(lab);
}

/* Long after the change, when earlier tables are forgotten. */
static void a_node_that_joins_has_its_share_before_anybody_asks(void **state)
{
    (void)state;
    struct lab *lab = lab_new(3, REGION, QUOTA);
    lab_kill(lab, 2);
    lab_tell_members(lab);
    lab_run(lab, SEC(120));
    assert_int_equal(read_all(lab, 0, 0), 0);
    lab_start(lab, 2);
    lab_tell_members(lab);
    lab_run(lab, SEC(200));
    assert_true(owned(lab, 2) > 0);
    assert_int_equal(metrics_of(lab, 2)->handover_taken, owned(lab, 2));
    assert_int_equal(marks_count(&lab->marks, "peek.previous_owner"), 0);
    assert_int_equal(read_all(lab, 1, 2), 0);
    assert_int_equal(lab->source.bytes, all_bytes());
    lab_free(lab);
}

static void a_flipped_record_is_not_handed_over(void **state)
{
    (void)state;
    struct lab *lab = full(2, QUOTA);
    uint32_t held = owned(lab, 1);
    lab_kill(lab, 1);
    lab_start(lab, 1);
    lab_tell_members(lab);
    lab_run(lab, SEC(3));
    lab_disk_corrupt(lab, 1);
    lab_leave(lab, 1);
    lab_run(lab, SEC(2));
    assert_true(lab->nodes[1].drained); /* there is nothing left that could be given */
    assert_int_equal(metrics_of(lab, 1)->handover_given, 0);
    assert_int_equal(metrics_of(lab, 1)->disk_corrupt, held);
    end(lab, 1);
    assert_int_equal(read_all(lab, 1, 0), 0);
    lab_free(lab);
}

/* One entry of an offer: the first block of a file that node 0 owns. */
static void entry_of(const struct lab *lab, const char *key, uint32_t size, uint8_t *at)
{
    struct object_id object =
        object_id_make(lab->dataset.rows[0].source, span_text(key), span_text("v1"), LAB_BLOCK);
    struct dataset_id dataset = dataset_id_make(span_text(lab->dataset.name));
    memset(at, 0, HANDOVER_ENTRY_SIZE);
    memcpy(at, object.b, ID_SIZE);
    put_u32(at + 20, size);
    put_u64(at + 24, lab_place(lab, key, SIZE, 0).v);
    memcpy(at + 32, dataset.b, ID_SIZE);
}

static uint64_t offer(struct lab *lab, struct span entries)
{
    struct client *client = &lab->clients[0];
    struct message message = { .kind = MESSAGE_BLOCK_OFFER,
                               .block_offer = { .request = ++client->next_request,
                                                .entries = entries } };
    lab_client_send(lab, client->control, &message);
    lab_run(lab, SEC(1));
    return client->next_request;
}

static enum err refusal(const struct lab *lab, uint64_t request)
{
    const struct received *fail = lab_client_find(&lab->clients[0], MESSAGE_FAIL, request);
    return fail == NULL ? ERR_OK : err_from_wire(fail->message.fail.err);
}

/* How the n-th entry ended. */
static uint8_t end_of(const struct lab *lab, uint64_t request, uint32_t index)
{
    const struct received *ends = lab_client_find(&lab->clients[0], MESSAGE_BLOCK_OFFERED, request);
    assert_non_null(ends);
    assert_true(ends->message.block_offered.ends.size > index);
    return ends->message.block_offered.ends.data[index];
}

/* By somebody with the cluster's key who is no member: there is nobody whom it could be taken from. */
static void offers_of_strangers_bring_nothing(void **state)
{
    (void)state;
    uint8_t entries[4 * HANDOVER_ENTRY_SIZE];
    char key[32];
    struct lab *lab = lab_new(2, REGION, 0);
    lab_key_of(lab, 0, SIZE, key);
    for (uint32_t i = 0; i < 4; i++) {
        entry_of(lab, key, LAB_BLOCK, entries + (size_t)i * HANDOVER_ENTRY_SIZE);
    }
    put_u32(entries + HANDOVER_ENTRY_SIZE + 20, 0);              /* no bytes */
    put_u32(entries + 2 * HANDOVER_ENTRY_SIZE + 20, UINT32_MAX); /* too many */
    memset(entries + 3 * HANDOVER_ENTRY_SIZE + 32, 9, ID_SIZE);  /* of no dataset */
    lab->clients[0].role = WIRE_NODE;
    memset(lab->clients[0].id.b, 77, ID_SIZE);
    lab_client_open(lab, 0, 0);
    uint64_t odd = offer(lab, span_of(entries, HANDOVER_ENTRY_SIZE + 1));
    uint64_t request = offer(lab, span_of(entries, sizeof entries));
    assert_int_equal(refusal(lab, odd), ERR_INVALID);
    assert_int_equal(end_of(lab, request, 0), HANDOVER_FAILED);
    assert_int_equal(end_of(lab, request, 1), HANDOVER_FAILED);
    assert_int_equal(end_of(lab, request, 2), HANDOVER_FAILED);
    assert_int_equal(end_of(lab, request, 3), HANDOVER_DECLINED);
    assert_int_equal(lab->nodes[0].node->blocks.pool.used, 0);
    assert_int_equal(lab->nodes[0].node->handover.taking_bytes, 0);
    lab_free(lab);
}

static void a_mount_offers_nothing(void **state)
{
    (void)state;
    uint8_t entries[HANDOVER_ENTRY_SIZE];
    struct lab *lab = lab_new(1, REGION, 0);
    entry_of(lab, "file", LAB_BLOCK, entries);
    lab_client_open(lab, 0, 0);
    assert_int_equal(refusal(lab, offer(lab, span_of(entries, sizeof entries))), ERR_DENIED);
    lab_free(lab);
}

/* Each declines what the other offers, until both know that it goes to the third. */
static void two_that_leave_together_give_to_the_one_that_stays(void **state)
{
    (void)state;
    struct lab *lab = full(3, QUOTA);
    lab_leave(lab, 1);
    lab_run(lab, MSEC(1));
    lab_leave(lab, 2);
    lab_run(lab, SEC(3));
    assert_true(lab->nodes[1].drained && lab->nodes[2].drained);
    lab_kill(lab, 1);
    end(lab, 2);
    assert_int_equal(read_all(lab, 1, 0), 0);
    assert_int_equal(lab->source.bytes, all_bytes());
    lab_free(lab);
}

static void a_cluster_that_leaves_does_not_wait_for_itself(void **state)
{
    (void)state;
    struct lab *lab = full(3, QUOTA);
    for (uint32_t i = 0; i < 3; i++) {
        lab_leave(lab, i);
    }
    lab_run(lab, SEC(1));
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(lab->nodes[i].drained);
    }
    lab_free(lab);
}

/* Without a disk what readers wanted is not thrown out for what others had. */
static void a_full_memory_takes_nothing_in_place_of_what_it_has(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = full(2, 0);
    uint32_t held = owned(lab, 1);
    lab_client_forget(lab, 1);
    lab_client_open(lab, 1, 0);
    for (uint32_t i = 0; buddy_used(lab->nodes[0].node->memory.buddy) < REGION / 8 * 7; i++) {
        snprintf(key, sizeof key, "other-%u", i);
        struct message get = lab_get(lab, key, LAB_BLOCK, 0);
        if (lab_owner(lab, key, LAB_BLOCK, 0) == 0) {
            (void)lab_client_get(lab, 1, &get);
            lab_run(lab, MSEC(20));
        }
    }
    uint32_t known = lab->nodes[0].node->blocks.pool.used;
    lab_leave(lab, 1);
    lab_run(lab, SEC(1));
    assert_true(lab->nodes[1].drained);
    assert_int_equal(metrics_of(lab, 1)->handover_full, held);
    assert_int_equal(lab->nodes[0].node->blocks.pool.used, known);
    lab_free(lab);
}

/* The receiver dies; what it was given goes to whoever owns it then. */
static void what_a_dead_taker_was_given_is_given_again(void **state)
{
    (void)state;
    struct lab *lab = full(3, 0);
    uint64_t lost = 0;
    lab_leave(lab, 2);
    lab_run(lab, SEC(1));
    assert_true(lab->nodes[2].drained); /* and stays: its process has not ended yet */
    for (uint32_t i = 0; i < FILES; i++) {
        char key[32];
        name_of(key, i);
        lost += lab->nodes[0].node != NULL && lab_owner(lab, key, SIZE, 0) == 1 ? SIZE : 0;
    }
    lost -= metrics_of(lab, 1)->handover_taken_bytes;
    lab_kill(lab, 1);
    lab_tell_members(lab);
    lab_run(lab, SEC(2));
    end(lab, 2);
    assert_int_equal(read_all(lab, 1, 0), 0);
    assert_int_equal(lab->source.bytes, all_bytes() + lost);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_leaving_node_holds_in_memory_is_with_others_when_it_is_gone),
        cmocka_unit_test(what_it_found_on_its_disk_goes_too),
        cmocka_unit_test(a_node_that_joins_has_its_share_before_anybody_asks),
        cmocka_unit_test(a_flipped_record_is_not_handed_over),
        cmocka_unit_test(offers_of_strangers_bring_nothing),
        cmocka_unit_test(a_mount_offers_nothing),
        cmocka_unit_test(two_that_leave_together_give_to_the_one_that_stays),
        cmocka_unit_test(a_cluster_that_leaves_does_not_wait_for_itself),
        cmocka_unit_test(a_full_memory_takes_nothing_in_place_of_what_it_has),
        cmocka_unit_test(what_a_dead_taker_was_given_is_given_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
