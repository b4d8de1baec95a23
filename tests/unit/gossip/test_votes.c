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

static void a_verdict_of_others_is_taken_over_when_they_say(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(3);
    struct datagram_state dead = { .id = bench_id(4), .incarnation = 10, .state = MEMBER_DEAD };
    bench_pass_in_good_health(b, 4, SEC(2));
    bench_pass_in_good_health(b, 3, SEC(2)); /* 4 is silent */
    dead.how = (struct telling){ .is_news = true, .wait_us = MSEC(200) };
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead);
    bench_pass(b, MSEC(150));
    assert_int_equal(bench_sees(b, 4)->state, MEMBER_OWNING);
    bench_pass(b, MSEC(150));
    assert_int_equal(bench_sees(b, 4)->state, MEMBER_DEAD);
    bench_free(&b);
}

/* 9 is condemned, and 8 in doubt for good: the cut waits for that, but not for ever. */
static void doubts_hold_a_cut_up_for_10_s_at_most(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(8);
    bench_pass_in_good_health(b, 9, SEC(2));
    for (uint32_t second = 0; second < 12; second++) {
        for (uint8_t observer = 2; observer <= 6; observer++) {
            bench_vote_down(b, observer, 9);
        }
        bench_vote_down(b, 2, 8);
        bench_vote_down(b, 3, 8);
        bench_pass_in_good_health(b, 9, SEC(1));
        if (second < 9) {
            assert_int_equal(bench_sees(b, 9)->state, MEMBER_OWNING);
        }
    }
    assert_int_equal(bench_sees(b, 9)->state, MEMBER_DEAD);
    assert_int_equal(bench_sees(b, 8)->state, MEMBER_OWNING);
    bench_free(&b);
}

/* Tick by tick, until a packet to 2 begins with our vote on 3; false when none comes. What the last
 * step sent is looked at, too. */
static bool comes_to_vote(struct bench *b, bool down, usec_t within_us)
{
    struct datagram_head head;
    struct datagram_section section;
    for (usec_t passed_us = 0; passed_us < within_us; passed_us += MSEC(5)) {
        if (passed_us > 0) {
            b->now_us += MSEC(5);
            bench_step(b, &(struct gossip_event){ .kind = GOSSIP_TICK });
        }
        if (bench_find_sent(b, 2, DATAGRAM_SPREAD, &head, &section) &&
            section.tag == DATAGRAM_VOTES && node_id_equal(section.votes.subject, bench_id(3)) &&
            section.votes.vote[0].down == down) {
            return true;
        }
    }
    return false;
}

static void a_vote_is_taken_back_when_the_member_answers(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(2);
    struct gossip_event evidence = { .kind = GOSSIP_EVIDENCE, .evidence = { .node = bench_id(3) } };
    assert_true(comes_to_vote(b, true, SEC(4)));
    bench_step(b, &evidence);
    assert_true(comes_to_vote(b, false, MSEC(300)));
    bench_free(&b);
}

/* An observer takes its vote back when we answer it; there is nothing to say to all others. */
static void votes_on_us_change_nothing(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(2);
    bench_vote_down(b, 2, 1);
    bench_vote_down(b, 3, 1);
    bench_pass(b, MSEC(500));
    assert_int_equal(gossip_self(b->gossip).incarnation, 10);
    bench_free(&b);
}

/* 2 to 6 accuse 9, but do not answer us: they may hear nobody. When they do answer, it is enough. */
static void votes_of_members_that_do_not_answer_do_not_count(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(8);
    struct gossip_event evidence = { .kind = GOSSIP_EVIDENCE };
    for (uint32_t round = 0; round < 4; round++) {
        for (uint8_t observer = 2; observer <= 6; observer++) {
            bench_vote_down(b, observer, 9);
        }
        evidence.evidence.node = bench_id(9);
        bench_step(b, &evidence);
        bench_pass(b, MSEC(500));
        assert_int_equal(bench_sees(b, 9)->state, MEMBER_OWNING);
    }
    bench_pass_in_good_health(b, 8, MSEC(1600));
    assert_int_equal(bench_sees(b, 9)->state, MEMBER_DEAD);
    bench_free(&b);
}

static void who_stood_still_does_not_vote_for_a_while(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(2);
    b->now_us += SEC(3);
    assert_false(comes_to_vote(b, true, SEC(4)));
    assert_true(comes_to_vote(b, true, SEC(8)));
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
        cmocka_unit_test(a_verdict_of_others_is_taken_over_when_they_say),
        cmocka_unit_test(doubts_hold_a_cut_up_for_10_s_at_most),
        cmocka_unit_test(a_vote_is_taken_back_when_the_member_answers),
        cmocka_unit_test(votes_on_us_change_nothing),
        cmocka_unit_test(votes_of_members_that_do_not_answer_do_not_count),
        cmocka_unit_test(who_stood_still_does_not_vote_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
