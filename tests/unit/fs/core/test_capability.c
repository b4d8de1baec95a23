/* tests/unit/fs/core/test_capability.c: what a mount shows to nodes is refused, too old, or renewed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tests/unit/fs/core/world.h"

#define MIB (1u << 20)

static void denied_request_renews_its_capability_once(void **state)
{
    (void)state;
    struct world *w = world_with_file();
    w->capability = 1;
    w->capability_us = (uint64_t)SEC(600);
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    w->capability = 2; /* revoked */
    uint32_t before = w->capabilities;
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(1)), MIB);
    assert_int_equal(w->capabilities, before + 1);
    world_free(w);
}

static void denial_is_not_final_before_a_renewal_was_answered(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->capability = 2; /* that key is gone */
    w->dataset_silent = true;
    const uint64_t op = world_start_read(w, ino, MIB);
    world_run(w, SEC(8));
    assert_false(w->replies[op].done);
    w->dataset_silent = false;
    world_check_read(world_wait(w, op, SEC(3)), MIB);
    world_free(w);
}

static void denial_that_stays_is_eacces(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].fail = ERR_DENIED;
    }
    const struct world_reply *reply = world_wait(w, world_start_read(w, ino, MIB), SEC(5));
    assert_int_equal(reply->err, EACCES);
    assert_int_equal(world_count(w, MESSAGE_GET), 2);
    world_free(w);
}

static void what_has_expired_is_eacces_when_it_has_for_all(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->nodes[world_block_rank(w, "big", 0, 0)].fail = ERR_EXPIRED;
    uint32_t before = w->capabilities;
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(3)), MIB);
    assert_int_equal(w->capabilities, before + 1);
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].fail = ERR_EXPIRED;
    }
    assert_int_equal(world_wait(w, world_start_read(w, ino, 5 * MIB), SEC(10))->err, EACCES);
    assert_true(w->capabilities >= before + 1 + 3); /* whoever made them */
    world_free(w);
}

static void capability_is_renewed_at_half_of_its_time(void **state)
{
    (void)state;
    struct world *w = world_with_file();
    w->capability = 1;
    w->capability_us = (uint64_t)SEC(40);
    world_begin(w);
    assert_int_equal(w->capabilities, 1);
    world_run(w, SEC(19));
    assert_int_equal(w->capabilities, 1);
    world_run(w, SEC(2));
    assert_int_equal(w->capabilities, 2);
    world_free(w);
}

/* The key that signed the grant is over: sessions end, and no new one begins. */
static void who_is_refused_by_all_is_told_soon_and_asks_them_seldom(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->hello_err = ERR_UNAUTHENTICATED;
    for (uint32_t i = 0; i < 3; i++) {
        world_cut(w, i);
        w->nodes[i].down = false;
    }
    assert_int_equal(world_wait(w, world_start_read(w, ino, MIB), SEC(5))->err, EACCES);
    assert_int_equal(world_wait(w, world_start_read(w, ino, MIB), MSEC(1))->err, EACCES);
    const uint32_t before = world_count(w, MESSAGE_HELLO);
    world_run(w, SEC(600));
    assert_in_range(world_count(w, MESSAGE_HELLO) - before, 3 * 10, 3 * 130);
    assert_non_null(strstr(w->log, "mount.refused err=UNAUTHENTICATED"));
    w->hello_err = ERR_OK;
    world_run(w, SEC(60));
    world_check_read(world_wait(w, world_start_read(w, ino, MIB), SEC(1)), MIB);
    world_free(w);
}

static void who_is_refused_by_one_reads_from_the_others(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->hello_err = ERR_UNAUTHENTICATED;
    world_cut(w, 0);
    w->nodes[0].down = false;
    world_run(w, SEC(1));
    for (uint64_t offset = 0; offset < 4ull * MIB; offset += MIB) {
        world_check_read(world_wait(w, world_start_read(w, ino, offset), SEC(1)), offset);
    }
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(denied_request_renews_its_capability_once),
        cmocka_unit_test(denial_is_not_final_before_a_renewal_was_answered),
        cmocka_unit_test(denial_that_stays_is_eacces),
        cmocka_unit_test(what_has_expired_is_eacces_when_it_has_for_all),
        cmocka_unit_test(capability_is_renewed_at_half_of_its_time),
        cmocka_unit_test(who_is_refused_by_all_is_told_soon_and_asks_them_seldom),
        cmocka_unit_test(who_is_refused_by_one_reads_from_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
