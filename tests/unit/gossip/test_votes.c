#include "tests/unit/gossip/bench.h"

/* Eight members: seven observe 9, so five must agree. Not four, however long. */
static void fewer_votes_than_the_quorum_remove_nobody(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(8);
    bench_pass_in_good_health(b, 9, SEC(2));
    for (uint32_t round = 0; round < 5; round++) {
        for (uint8_t observer = 2; observer <= 5; observer++) {
            bench_vote_down(b, observer, 9);
        }
        bench_pass_in_good_health(b, 9, SEC(2));
        assert_int_equal(bench_sees(b, 9)->state, MEMBER_OWNING);
    }
    for (uint8_t observer = 2; observer <= 6; observer++) {
        bench_vote_down(b, observer, 9);
    }
    bench_pass_in_good_health(b, 9, MSEC(800));
    assert_int_equal(bench_sees(b, 9)->state, MEMBER_OWNING);
    bench_pass_in_good_health(b, 9, MSEC(600)); /* the hold-down */
    assert_int_equal(bench_sees(b, 9)->state, MEMBER_DEAD);
    bench_free(&b);
}

/* 2 and 3 hear nobody, so they accuse all others, who accuse them. */
static void votes_of_members_that_are_voted_out_do_not_count(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(8);
    bench_pass_in_good_health(b, 9, SEC(2));
    for (uint32_t round = 0; round < 3; round++) {
        for (uint8_t other = 4; other <= 9; other++) {
            bench_vote_down(b, 2, other);
            bench_vote_down(b, 3, other);
            bench_vote_down(b, other, 2);
            bench_vote_down(b, other, 3);
        }
        bench_pass_in_good_health(b, 9, SEC(2));
        assert_int_equal(bench_sees(b, 2)->state, MEMBER_DEAD);
        assert_int_equal(bench_sees(b, 3)->state, MEMBER_DEAD);
    }
    for (uint8_t other = 4; other <= 9; other++) {
        assert_int_equal(bench_sees(b, other)->state, MEMBER_OWNING);
    }
    assert_int_equal(gossip_stats(b->gossip)->cuts, 1);
    bench_free(&b);
}

static void votes_of_strangers_do_not_count(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(3);
    bench_pass_in_good_health(b, 4, SEC(2));
    for (uint8_t stranger = 50; stranger < 60; stranger++) {
        bench_vote_down(b, stranger, 4);
    }
    bench_pass_in_good_health(b, 4, SEC(5));
    assert_int_equal(bench_sees(b, 4)->state, MEMBER_OWNING);
    bench_free(&b);
}

static void votes_expire_that_nobody_renews(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(8);
    bench_pass_in_good_health(b, 9, SEC(2));
    for (uint8_t observer = 2; observer <= 5; observer++) {
        bench_vote_down(b, observer, 9);
    }
    bench_pass_in_good_health(b, 9, SEC(11));
    bench_vote_down(b, 6, 9); /* the fifth, but the first four are old by now */
    bench_pass_in_good_health(b, 9, SEC(5));
    assert_int_equal(bench_sees(b, 9)->state, MEMBER_OWNING);
    bench_free(&b);
}

static void what_answers_us_is_not_dead_though_somebody_misses_it(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(3);
    struct datagram_state dead = { .id = bench_id(4), .incarnation = 10, .state = MEMBER_DEAD };
    bench_pass_in_good_health(b, 4, SEC(2));
    bench_vote_down(b, 3, 4);
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead);
    bench_pass_in_good_health(b, 4, SEC(3));
    assert_int_equal(bench_sees(b, 4)->state, MEMBER_OWNING);
    bench_free(&b);
}

static void a_cut_of_others_is_taken_over_at_once_where_a_vote_was_heard(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(3);
    struct datagram_state dead = { .id = bench_id(4), .incarnation = 10, .state = MEMBER_DEAD };
    bench_pass_in_good_health(b, 4, SEC(2));
    bench_pass_in_good_health(b, 3, SEC(2)); /* 4 is silent */
    bench_vote_down(b, 3, 4);
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead);
    bench_pass(b, MSEC(100));
    assert_int_equal(bench_sees(b, 4)->state, MEMBER_DEAD);
    bench_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fewer_votes_than_the_quorum_remove_nobody),
        cmocka_unit_test(votes_of_members_that_are_voted_out_do_not_count),
        cmocka_unit_test(votes_of_strangers_do_not_count),
        cmocka_unit_test(votes_expire_that_nobody_renews),
        cmocka_unit_test(what_answers_us_is_not_dead_though_somebody_misses_it),
        cmocka_unit_test(a_cut_of_others_is_taken_over_at_once_where_a_vote_was_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
