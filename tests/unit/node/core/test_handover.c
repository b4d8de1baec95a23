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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_leaving_node_holds_in_memory_is_with_others_when_it_is_gone),
        cmocka_unit_test(what_it_found_on_its_disk_goes_too),
        cmocka_unit_test(a_node_that_joins_has_its_share_before_anybody_asks),
        cmocka_unit_test(a_flipped_record_is_not_handed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
