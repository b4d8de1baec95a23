/* tests/unit/fs/core/test_failover.c: nodes that die, freeze, lie, are busy or know better. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fs/core/world.h"

#include "fs/core/limits.h"

#define MIB (1u << 20)
#define SIZE ((uint64_t)8 * MIB)

/* ---- silence ------------------------------------------------------------------------------------- */

static void silent_owner_is_passed_after_400_ms_and_not_before(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    uint32_t owner = world_block_rank(w, "big", 0, 0);
    w->nodes[owner].silent = true;
    usec_t began = w->now_us;
    uint64_t op = world_start_read(w, ino, MIB);
    world_run(w, MSEC(399));
    assert_int_equal(world_count(w, MESSAGE_GET), 1);
    world_check_read(world_wait(w, op, MSEC(10)), MIB);
    assert_in_range(w->replies[op].at_us - began, MSEC(400), MSEC(402));
    const struct world_ask *second = world_ask(w, MESSAGE_GET, 1);
    assert_int_equal(second->node, world_block_rank(w, "big", 0, 1));
    assert_int_equal(second->mode, GET_ACTING);
    assert_int_equal(second->silent, 1);
    world_free(w);
}

static void silent_owner_is_told_to_forget_the_question(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    uint32_t owner = world_block_rank(w, "big", 0, 0);
    w->nodes[owner].silent = true;
    world_wait(w, world_start_read(w, ino, MIB), SEC(1));
    world_run(w, MSEC(1));
    const struct world_ask *cancel = world_ask(w, MESSAGE_CANCEL, 0);
    assert_non_null(cancel);
    assert_int_equal(cancel->node, owner);
    assert_int_equal(cancel->request, world_ask(w, MESSAGE_GET, 0)->request);
    world_free(w);
}

static void known_silent_owner_is_not_asked_again_until_it_is_heard(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    uint32_t owner = world_block_rank(w, "big", 0, 0);
    w->nodes[owner].silent = true;
    world_wait(w, world_start_read(w, ino, MIB), SEC(1));
    usec_t before = w->now_us;
    struct mount_op next = { .kind = OP_READ, .ino = ino, .offset = 3 * MIB, .size = 4096 };
    assert_true(world_wait(w, world_op(w, next), SEC(1))->done);
    assert_true(w->now_us - before < MSEC(2)); /* no second wait */
    world_run(w, SEC(3));
    assert_true(world_count(w, MESSAGE_PING) >= 2);
    w->nodes[owner].silent = false;
    world_run(w, SEC(3));
    uint32_t asked = world_count(w, MESSAGE_GET);
    next.offset = 2 * MIB;
    assert_true(world_wait(w, world_op(w, next), SEC(1))->done);
    assert_int_equal(world_ask(w, MESSAGE_GET, asked)->node, owner);
    assert_int_equal(world_ask(w, MESSAGE_GET, asked)->mode, GET_PLAIN);
    world_free(w);
}

static void node_that_says_pending_is_waited_for(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    uint32_t owner = world_block_rank(w, "big", 0, 0);
    w->nodes[owner].pending = true;
    uint64_t op = world_start_read(w, ino, MIB);
    world_run(w, SEC(5));
    assert_false(w->replies[op].done);
    assert_int_equal(world_count(w, MESSAGE_GET), 1);
    w->nodes[owner].pending = false;
    world_check_read(world_wait(w, op, SEC(1)), MIB);
    assert_int_equal(world_count(w, MESSAGE_GET), 1);
    world_free(w);
}

static void node_that_answers_a_ping_lives_however_long_its_bytes_take(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->nodes[world_block_rank(w, "big", 0, 0)].lazy_us = SEC(3); /* a slow wire */
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(5)), MIB);
    assert_int_equal(world_count(w, MESSAGE_GET), 1);
    assert_int_equal(world_totals(w).silences, 0);
    world_free(w);
}

static void own_pause_is_nobody_elses_silence(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    uint32_t owner = world_block_rank(w, "big", 0, 0);
    w->nodes[owner].silent = true;
    usec_t began = w->now_us;
    uint64_t op = world_start_read(w, ino, MIB);
    world_run(w, MSEC(100));
    w->stopped_us = w->now_us + SEC(2); /* 100 ms are over; 300 are left afterwards */
    world_run(w, SEC(2) + MSEC(90));
    assert_int_equal(world_count(w, MESSAGE_GET), 1);
    world_check_read(world_wait(w, op, SEC(1)), MIB);
    assert_true(w->replies[op].at_us - began >= SEC(2) + MSEC(100));
    world_free(w);
}

static void after_a_pause_waiting_answers_are_read_before_anybody_is_accused(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->latency_us = MSEC(20);
    uint64_t op = world_start_read(w, ino, MIB);
    w->stopped_us = w->now_us + SEC(3); /* the answer comes meanwhile */
    world_check_read(world_wait(w, op, SEC(4)), MIB);
    assert_int_equal(world_totals(w).silences, 0);
    assert_int_equal(world_count(w, MESSAGE_GET), 1);
    world_free(w);
}

/* ---- links ------------------------------------------------------------------------------------------ */

static void lost_link_moves_the_question_at_once(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    uint32_t owner = world_block_rank(w, "big", 0, 0);
    w->nodes[owner].silent = true;
    usec_t began = w->now_us;
    uint64_t op = world_start_read(w, ino, MIB);
    world_run(w, MSEC(1));
    world_cut(w, owner);
    world_check_read(world_wait(w, op, SEC(1)), MIB);
    assert_true(w->replies[op].at_us - began < MSEC(3));
    assert_int_equal(world_ask(w, MESSAGE_GET, 1)->mode, GET_ACTING);
    world_free(w);
}

static void node_that_came_back_is_used_again(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    uint32_t owner = world_block_rank(w, "big", 0, 0);
    world_cut(w, owner);
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(1)), MIB);
    w->nodes[owner].down = false;
    world_run(w, SEC(6));
    uint32_t asked = world_count(w, MESSAGE_GET);
    struct mount_op next = { .kind = OP_READ, .ino = ino, .offset = 3 * MIB, .size = 4096 };
    world_wait(w, world_op(w, next), SEC(1));
    assert_int_equal(world_ask(w, MESSAGE_GET, asked)->node, owner);
    world_free(w);
}

static void owner_of_the_directory_may_die(void **state)
{
    (void)state;
    for (uint32_t dead = 0; dead < 3; dead++) {
        struct world *w = world_with_file();
        world_begin(w);
        world_run(w, MSEC(100));
        world_cut(w, dead);
        usec_t began = w->now_us;
        uint64_t ino = world_ino(w, "big");
        assert_true(w->now_us - began < MSEC(10));
        world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(1)), MIB);
        world_free(w);
    }
}

static void frozen_owner_of_the_directory_costs_400_ms(void **state)
{
    (void)state;
    for (uint32_t frozen = 0; frozen < 3; frozen++) {
        struct world *w = world_with_file();
        world_begin(w);
        world_run(w, MSEC(100));
        w->nodes[frozen].silent = true;
        usec_t began = w->now_us;
        world_ino(w, "big");
        assert_true(w->now_us - began < MSEC(810)); /* root and page may both be its */
        world_free(w);
    }
}

/* ---- what nodes answer ---------------------------------------------------------------------------------- */

static void busy_node_is_asked_again_after_its_pause(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    uint32_t owner = world_block_rank(w, "big", 0, 0);
    w->nodes[owner].busy = 3;
    usec_t began = w->now_us;
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(1)), MIB);
    assert_in_range(w->now_us - began, MSEC(90), MSEC(140)); /* three times 30 ms and jitter */
    assert_int_equal(world_count(w, MESSAGE_GET), 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(world_ask(w, MESSAGE_GET, i)->node, owner);
        assert_int_equal(world_ask(w, MESSAGE_GET, i)->mode, GET_PLAIN);
    }
    world_free(w);
}

static void node_without_the_credential_is_passed(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->nodes[world_block_rank(w, "big", 0, 0)].fail = ERR_NO_CREDENTIAL;
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(1)), MIB);
    assert_int_equal(world_ask(w, MESSAGE_GET, 1)->mode, GET_ACTING);
    assert_int_equal(world_ask(w, MESSAGE_GET, 1)->silent, 1);
    world_free(w);
}

static void refusal_of_all_ranks_is_told_at_once(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].fail = ERR_SOURCE_DENIED;
    }
    const struct world_reply *reply = world_wait(w, world_start_read(w, ino, MIB), SEC(1));
    assert_true(reply->done);
    assert_int_equal(reply->err, EACCES);
    assert_int_equal(world_count(w, MESSAGE_GET), 3);
    world_free(w);
}

static void wrong_checksum_goes_to_the_next_rank(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->nodes[world_block_rank(w, "big", 0, 0)].lies = 1;
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(1)), MIB);
    assert_int_equal(world_ask(w, MESSAGE_GET, 1)->node, world_block_rank(w, "big", 0, 1));
    assert_int_equal(world_totals(w).bytes_corrupt, 65536);
    world_run(w, SEC(5));
    assert_int_equal(world_totals(w).memory_used, w->payload_bytes);
    world_free(w);
}

static void wrong_checksums_of_all_ranks_are_no_error_when_they_pass(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].lies = 1;
    }
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(1)), MIB);
    assert_int_equal(world_count(w, MESSAGE_GET), 4);
    world_free(w);
}

static void wrong_checksums_after_a_long_silence_are_no_error_when_they_pass(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].silent = true;
    }
    const uint64_t op = world_start_read(w, ino, MIB);
    world_run(w, SEC(20));
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].silent = false;
        w->nodes[i].lies = 2;
    }
    world_check_read(world_wait(w, op, SEC(20)), MIB);
    world_free(w);
}

static void wrong_checksums_that_stay_are_an_error(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].lies = UINT32_MAX;
    }
    const struct world_reply *reply = world_wait(w, world_start_read(w, ino, MIB), SEC(3));
    assert_true(reply->done);
    assert_int_equal(reply->err, EIO);
    assert_int_equal(world_count(w, MESSAGE_GET), 3 * (1 + CORRUPT_ROUNDS));
    world_free(w);
}

static void part_that_came_is_not_asked_for_again(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->part_size = 65536;
    w->nodes[world_block_rank(w, "big", 0, 0)].mute_after = 3;
    struct mount_op op = { .kind = OP_READ, .ino = ino, .offset = MIB, .size = MIB };
    const struct world_reply *reply = world_wait(w, world_op(w, op), SEC(1));
    assert_true(world_is(reply, "big", "v1", MIB));
    assert_int_equal(reply->size, MIB);
    assert_int_equal(world_ask(w, MESSAGE_GET, 0)->offset, MIB);
    assert_int_equal(world_ask(w, MESSAGE_GET, 1)->offset, MIB + 3 * 65536);
    assert_int_equal(world_ask(w, MESSAGE_GET, 1)->length, MIB - 3 * 65536);
    world_free(w);
}

/* ---- versions ------------------------------------------------------------------------------------------- */

static void changed_object_is_estale_and_a_new_open_sees_the_new_version(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(1)), MIB);
    world_file(w, "big", SIZE, "v2");
    struct mount_op op = { .kind = OP_READ, .ino = ino, .offset = 5 * MIB, .size = 4096 };
    assert_int_equal(world_wait(w, world_op(w, op), SEC(1))->err, ESTALE);
    world_run(w, MSEC(1));
    assert_int_equal(w->drop_count, 1);
    assert_string_equal(w->drop_names[0], "big");
    assert_false(w->drops[0].drop_entry.expire);
    /* What is here of the old version can still be read. */
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(1)), MIB);
    struct mount_op open = { .kind = OP_OPEN, .ino = ino };
    assert_int_equal(world_wait(w, world_op(w, open), 0)->err, ESTALE);
    uint64_t new = world_ino(w, "big");
    assert_int_not_equal(new, ino);
    uint32_t last = world_count(w, MESSAGE_DIR_GET) - 1;
    assert_int_equal(world_ask(w, MESSAGE_DIR_GET, last)->newer_than, 1);
    assert_true(world_is(world_read(w, new, 5 * MIB, 4096), "big", "v2", 5 * MIB));
    world_free(w);
}

static void deleted_object_is_estale_and_then_absent(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].fail = ERR_SOURCE_NOT_FOUND;
    }
    assert_int_equal(world_wait(w, world_start_read(w, ino, MIB), SEC(1))->err, ESTALE);
    assert_int_equal(world_count(w, MESSAGE_GET), 1);
    w->file_count = 0;
    assert_int_equal(world_lookup(w, MOUNT_ROOT_INO, "big")->entry.ino, 0);
    world_free(w);
}

/* One rank is silent: the others' word is enough. */
static void deleted_dataset_is_eio_at_once(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].fail = ERR_DATASET_DELETED;
    }
    w->nodes[0].silent = true;
    assert_int_equal(world_wait(w, world_start_read(w, ino, MIB), SEC(2))->err, EIO);
    world_free(w);
}

/* ---- nobody is left ----------------------------------------------------------------------------------------- */

static void all_dead_is_eio_after_timeo(void **state)
{
    (void)state;
    struct world *w = world_with_file();
    w->options.timeo_us = SEC(30);
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    for (uint32_t i = 0; i < 3; i++) {
        world_cut(w, i);
    }
    usec_t began = w->now_us;
    const struct world_reply *reply = world_wait(w, world_start_read(w, ino, MIB), SEC(60));
    assert_true(reply->done);
    assert_int_equal(reply->err, EIO);
    assert_in_range(reply->at_us - began, SEC(30), SEC(30) + MSEC(50));
    world_free(w);
}

static void hard_mount_waits_until_a_node_returns(void **state)
{
    (void)state;
    struct world *w = world_with_file();
    w->options.hard = true;
    w->options.timeo_us = SEC(1);
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    for (uint32_t i = 0; i < 3; i++) {
        world_cut(w, i);
    }
    uint64_t op = world_start_read(w, ino, MIB);
    world_run(w, SEC(3600));
    assert_false(w->replies[op].done);
    w->nodes[1].down = false;
    world_check_read(world_wait(w, op, SEC(10)), MIB);
    world_free(w);
}

static void interrupt_ends_a_wait_but_not_a_short_one(void **state)
{
    (void)state;
    struct world *w = world_with_file();
    w->options.hard = true;
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    world_run(w, MSEC(100));
    uint64_t quick = world_start_read(w, ino, MIB);
    world_interrupt(w, quick);
    world_check_read(world_wait(w, quick, SEC(1)), MIB);
    for (uint32_t i = 0; i < 3; i++) {
        world_cut(w, i);
    }
    struct mount_op op = { .kind = OP_READ, .ino = ino, .offset = 6 * MIB, .size = 4096 };
    usec_t began = w->now_us;
    uint64_t stuck = world_op(w, op);
    world_interrupt(w, stuck);
    assert_int_equal(world_wait(w, stuck, SEC(5))->err, EINTR);
    assert_int_equal(w->now_us - began, SEC(1));
    world_interrupt(w, stuck); /* answered already: nothing happens */
    world_free(w);
}

static void cached_bytes_are_read_while_everybody_is_dead(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(1)), MIB);
    for (uint32_t i = 0; i < 3; i++) {
        world_cut(w, i);
    }
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), 0), MIB);
    assert_int_equal(world_ino(w, "big"), ino);
    world_free(w);
}

static void nodes_that_freeze_in_turn_lose_no_bytes_and_no_budget(void **state)
{
    (void)state;
    struct world *w = world_make(3);
    world_file(w, "big", (uint64_t)64 * MIB, "v1");
    w->options.memory = 12 * MIB;
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    for (uint64_t at = 0; at < 64 * MIB; at += 128 << 10) {
        uint32_t step = (uint32_t)(at / MIB);
        w->nodes[(step / 6) % 3].silent = step % 6 >= 2 && step % 6 <= 4;
        w->nodes[(step / 6 + 1) % 3].silent = false;
        w->nodes[(step / 6 + 2) % 3].silent = false;
        struct mount_op op = { .kind = OP_READ, .ino = ino, .offset = at, .size = 128 << 10 };
        const struct world_reply *reply = world_wait(w, world_op(w, op), SEC(10));
        assert_true(reply->done);
        assert_true(world_is(reply, "big", "v1", at));
    }
    assert_true(world_totals(w).silences > 2);
    assert_true(world_totals(w).longest_stall_us < SEC(1));
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].silent = false;
    }
    world_run(w, SEC(20));
    assert_int_equal(world_totals(w).requests_open, 0);
    assert_int_equal(world_totals(w).memory_used, w->payload_bytes);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silent_owner_is_passed_after_400_ms_and_not_before),
        cmocka_unit_test(silent_owner_is_told_to_forget_the_question),
        cmocka_unit_test(known_silent_owner_is_not_asked_again_until_it_is_heard),
        cmocka_unit_test(node_that_says_pending_is_waited_for),
        cmocka_unit_test(node_that_answers_a_ping_lives_however_long_its_bytes_take),
        cmocka_unit_test(own_pause_is_nobody_elses_silence),
        cmocka_unit_test(after_a_pause_waiting_answers_are_read_before_anybody_is_accused),
        cmocka_unit_test(lost_link_moves_the_question_at_once),
        cmocka_unit_test(node_that_came_back_is_used_again),
        cmocka_unit_test(owner_of_the_directory_may_die),
        cmocka_unit_test(frozen_owner_of_the_directory_costs_400_ms),
        cmocka_unit_test(busy_node_is_asked_again_after_its_pause),
        cmocka_unit_test(node_without_the_credential_is_passed),
        cmocka_unit_test(refusal_of_all_ranks_is_told_at_once),
        cmocka_unit_test(wrong_checksum_goes_to_the_next_rank),
        cmocka_unit_test(wrong_checksums_of_all_ranks_are_no_error_when_they_pass),
        cmocka_unit_test(wrong_checksums_after_a_long_silence_are_no_error_when_they_pass),
        cmocka_unit_test(wrong_checksums_that_stay_are_an_error),
        cmocka_unit_test(part_that_came_is_not_asked_for_again),
        cmocka_unit_test(changed_object_is_estale_and_a_new_open_sees_the_new_version),
        cmocka_unit_test(deleted_object_is_estale_and_then_absent),
        cmocka_unit_test(deleted_dataset_is_eio_at_once),
        cmocka_unit_test(all_dead_is_eio_after_timeo),
        cmocka_unit_test(hard_mount_waits_until_a_node_returns),
        cmocka_unit_test(interrupt_ends_a_wait_but_not_a_short_one),
        cmocka_unit_test(cached_bytes_are_read_while_everybody_is_dead),
        cmocka_unit_test(nodes_that_freeze_in_turn_lose_no_bytes_and_no_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
