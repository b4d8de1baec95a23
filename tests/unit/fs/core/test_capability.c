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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(denied_request_renews_its_capability_once),
        cmocka_unit_test(denial_is_not_final_before_a_renewal_was_answered),
        cmocka_unit_test(denial_that_stays_is_eacces),
        cmocka_unit_test(what_has_expired_is_eacces_when_it_has_for_all),
        cmocka_unit_test(capability_is_renewed_at_half_of_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
