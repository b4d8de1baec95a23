#include "tests/unit/gossip/bench.h"

/* ---- strangers ---- */

static void garbage_changes_nothing_and_is_counted(void **state)
{
    (void)state;
    struct bench *b = bench_new();
    struct rng rng;
    print_message("seed 1\n");
    rng_init(&rng, 1, 0);
    uint64_t before = gossip_digest(b->gossip);
    for (uint32_t i = 0; i < 2000; i++) {
        uint8_t packet[GOSSIP_PACKET_MAX + 100];
        size_t size = rng_below(&rng, sizeof packet);
        for (size_t j = 0; j < size; j++) {
            packet[j] = (uint8_t)rng_next(&rng);
        }
        bench_deliver(b, packet, size);
        assert_false(bench_has_effect(b, GOSSIP_SEND));
    }
    const struct gossip_stats *stats = gossip_stats(b->gossip);
    assert_int_equal(stats->dropped_foreign + stats->dropped_unsealed, 2000);
    assert_int_equal(stats->received_packets, 0);
    bench_pass(b, SEC(1));
    assert_true(gossip_digest(b->gossip) == before);
    bench_free(&b);
}

static void assert_not_let_in(struct bench *b, bool is_asked)
{
    struct member other = bench_member(2, MEMBER_OWNING);
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_PING, .number = 1 }, &other, NULL);
    assert_int_equal(bench_has_effect(b, GOSSIP_SEND), is_asked); /* never an answer */
    bench_pass(b, SEC(1));
    assert_null(bench_sees(b, 2));
}

static void wrong_key_does_not_join(void **state)
{
    (void)state;
    struct bench *b = bench_new();
    bench_other_side(b, 2, 8, "atoll");
    assert_not_let_in(b, true); /* for its keys, in a way that only a member can read */
    assert_int_equal(gossip_stats(b->gossip)->dropped_key, 1);
    bench_free(&b);
}

static void another_cluster_does_not_join(void **state)
{
    (void)state;
    struct bench *b = bench_new();
    bench_other_side(b, 2, 7, "reef");
    assert_not_let_in(b, false);
    assert_int_equal(gossip_stats(b->gossip)->dropped_foreign, 1);
    bench_free(&b);
}

static void nodes_of_two_clusters_stay_apart(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 3; round++) { /* another key; another name; that insecure */
        struct net *net = net_new(4, round);
        for (uint32_t i = 0; i < 4; i++) {
            net->nodes[i].is_insecure = round == 2;
            net->nodes[i].key = round == 0 && i >= 2 ? 1 : 0;
            strcpy(net->nodes[i].cluster, round > 0 && i >= 2 ? "reef" : "atoll");
        }
        net_start_all(net);
        net_run(net, SEC(30));
        assert_null(net_sees(net, 0, 2));
        assert_null(net_sees(net, 3, 0));
        assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_OWNING);
        net_free(&net);
    }
}

static void a_member_of_the_cluster_joins(void **state)
{
    (void)state;
    struct bench *b = bench_new();
    struct member other = bench_member(2, MEMBER_WARMING);
    struct datagram_head head;
    struct datagram_section section;
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_PING, .number = 41 }, &other, NULL);
    assert_true(bench_find_sent(b, 2, DATAGRAM_ACK, &head, &section));
    assert_int_equal(head.number, 41);
    bench_pass(b, MSEC(300));
    assert_non_null(bench_sees(b, 2));
    bench_free(&b);
}

static void a_replayed_packet_is_dropped(void **state)
{
    (void)state;
    struct bench *b = bench_new();
    struct member other = bench_member(2, MEMBER_WARMING);
    uint8_t packet[GOSSIP_PACKET_MAX];
    uint8_t copy[GOSSIP_PACKET_MAX];
    size_t size =
        bench_write(b, packet, (struct datagram_head){ .kind = DATAGRAM_PING }, &other, NULL);
    memcpy(copy, packet, size);
    bench_deliver(b, packet, size);
    bench_deliver(b, copy, size);
    assert_false(bench_has_effect(b, GOSSIP_SEND));
    assert_int_equal(gossip_stats(b->gossip)->dropped_replayed, 1);
    bench_free(&b);
}

static void a_sealed_packet_with_a_malformed_section_changes_nothing_at_all(void **state)
{
    (void)state;
    struct bench *b = bench_new();
    struct member other = bench_member(2, MEMBER_WARMING);
    struct datagram_head head = { .kind = DATAGRAM_PING, .number = 5 };
    struct datagram d;
    uint8_t packet[GOSSIP_PACKET_MAX];
    datagram_begin(&d, packet + SEAL_HEADER, SEAL_BODY_MAX, &head);
    assert_true(datagram_add_record(&d, &other, (struct telling){ .ready = false })); /* good */
    assert_true(datagram_add_mask(&d, 1));
    bench_deliver(b, packet, seal_close(&b->seal, packet, d.used - 1)); /* cut short */
    assert_int_equal(gossip_stats(b->gossip)->dropped_malformed, 1);
    assert_false(bench_has_effect(b, GOSSIP_SEND));
    bench_pass(b, SEC(1));
    assert_null(bench_sees(b, 2));
    bench_free(&b);
}

/* ---- what is said of others ---- */

static void a_member_said_to_be_dead_is_asked_before_it_is_believed(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(2);
    struct datagram_state dead = { .id = bench_id(3), .incarnation = 10, .state = MEMBER_DEAD };
    struct datagram_head head;
    struct datagram_section section;
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead);
    assert_true(bench_find_sent(b, 3, DATAGRAM_PING, &head, &section));
    assert_int_equal(section.tag, DATAGRAM_STATE); /* and told what is said of it */
    assert_int_equal(section.state.state, MEMBER_DEAD);
    assert_true(node_id_equal(section.state.id, bench_id(3)));
    bench_pass(b, MSEC(1200));
    assert_int_equal(bench_sees(b, 3)->state, MEMBER_OWNING);
    bench_pass(b, MSEC(500)); /* it did not answer */
    assert_int_equal(bench_sees(b, 3)->state, MEMBER_DEAD);
    bench_free(&b);
}

static void a_member_that_answered_just_now_is_not_believed_dead(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(2);
    struct datagram_state dead = { .id = bench_id(3), .incarnation = 10, .state = MEMBER_DEAD };
    struct gossip_event evidence = { .kind = GOSSIP_EVIDENCE, .evidence = { .node = bench_id(3) } };
    bench_step(b, &evidence);
    for (uint32_t i = 0; i < 20; i++) {
        bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead);
        bench_pass(b, MSEC(200));
        bench_step(b, &evidence);
    }
    assert_int_equal(bench_sees(b, 3)->state, MEMBER_OWNING);
    bench_free(&b);
}

static void a_late_rumour_does_not_revive_the_dead(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(2);
    struct member alive = bench_member(3, MEMBER_OWNING);
    struct datagram_state dead = { .id = bench_id(3), .incarnation = 10, .state = MEMBER_DEAD };
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead);
    bench_pass(b, SEC(2));
    assert_int_equal(bench_sees(b, 3)->state, MEMBER_DEAD);
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, &alive, NULL);
    bench_pass(b, MSEC(100));
    assert_int_equal(bench_sees(b, 3)->state, MEMBER_DEAD);
    alive.incarnation++;
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, &alive, NULL);
    bench_pass(b, MSEC(100));
    assert_true(member_is_living(bench_sees(b, 3)));
    bench_free(&b);
}

static void the_unknown_dead_are_not_buried_here(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    struct member dead = bench_member(9, MEMBER_DEAD);
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, &dead, NULL);
    bench_pass(b, MSEC(100));
    assert_null(bench_sees(b, 9));
    bench_free(&b);
}

static void a_member_that_says_it_left_is_believed_at_once(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(2);
    struct datagram_state left = { .id = bench_id(2), .incarnation = 10, .state = MEMBER_LEFT };
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &left);
    bench_pass(b, MSEC(100));
    assert_int_equal(bench_sees(b, 2)->state, MEMBER_LEFT);
    bench_free(&b);
}

/* ---- what is said of us ---- */

static void who_is_said_to_be_dead_says_that_it_lives(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    uint64_t before = gossip_self(b->gossip).incarnation;
    struct datagram_state dead = { .id = bench_id(1), .incarnation = 10, .state = MEMBER_DEAD };
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead);
    assert_true(bench_has_effect(b, GOSSIP_PERSIST));
    assert_true(gossip_self(b->gossip).incarnation > before);
    assert_int_equal(gossip_stats(b->gossip)->refutations, 1);
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead); /* old news */
    assert_int_equal(gossip_stats(b->gossip)->refutations, 1);
    bench_free(&b);
}

static void who_hears_of_itself_from_the_future_outbids_it(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    struct member self = bench_member(1, MEMBER_OWNING);
    self.incarnation = 5000;
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, &self, NULL);
    assert_int_equal(gossip_self(b->gossip).incarnation, 5001);
    bench_free(&b);
}

static void an_incarnation_that_nobody_could_outbid_is_malformed(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    struct datagram_state dead = { .id = bench_id(1), .state = MEMBER_DEAD };
    uint64_t before = gossip_self(b->gossip).incarnation;
    dead.incarnation = UINT64_MAX;
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead);
    assert_int_equal(gossip_stats(b->gossip)->dropped_malformed, 1);
    dead.incarnation = DATAGRAM_INCARNATION_MAX;
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead);
    assert_true(gossip_self(b->gossip).incarnation == before);
    dead.incarnation = DATAGRAM_INCARNATION_MAX - 1;
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead);
    assert_true(gossip_self(b->gossip).incarnation == DATAGRAM_INCARNATION_MAX);
    bench_free(&b);
}

static void a_cut_of_others_makes_us_an_owner(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    struct datagram_state owning = { .id = bench_id(1), .incarnation = 10, .state = MEMBER_OWNING };
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &owning);
    bench_pass(b, MSEC(2100)); /* nobody told when */
    assert_int_equal(gossip_self(b->gossip).state, MEMBER_OWNING);
    assert_int_equal(gossip_stats(b->gossip)->refutations, 0);
    bench_free(&b);
}

static void an_answer_or_refusal_that_nobody_asked_for_does_nothing(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    for (uint32_t number = 0; number < 2000; number++) { /* not one that is out */
        uint32_t far = number + 1000000;
        bench_tell(b,
                   (struct datagram_head){
                       .kind = DATAGRAM_REFUSED, .number = far, .target = bench_id(1) },
                   NULL, NULL);
        assert_false(bench_has_effect(b, GOSSIP_IDENTITY_IN_USE));
        bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_ACK, .number = far }, NULL, NULL);
    }
    bench_pass(b, SEC(9)); /* and so many answers count for nothing: it is found unreachable */
    assert_int_equal(bench_sees(b, 2)->state, MEMBER_DEAD);
    bench_free(&b);
}

static void an_ack_counts_only_from_whom_the_ping_was_meant_for(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(2);
    for (uint32_t i = 0; i < 1500 && bench_sees(b, 3)->state == MEMBER_OWNING; i++) {
        struct datagram_head ping;
        struct datagram_section section;
        b->now_us += MSEC(10);
        bench_step(b, &(struct gossip_event){ .kind = GOSSIP_TICK });
        if (bench_find_sent(b, 3, DATAGRAM_PING, &ping, &section)) {
            bench_tell(
                b, (struct datagram_head){ .kind = DATAGRAM_ACK, .number = ping.number }, /* 2 */
                NULL, NULL);
        }
    }
    assert_int_equal(bench_sees(b, 3)->state, MEMBER_DEAD);
    bench_free(&b);
}

static void a_ping_for_somebody_else_is_not_answered(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    struct datagram_head head;
    struct datagram_section section;
    bench_tell(b,
               (struct datagram_head){ .kind = DATAGRAM_PING, .number = 3, .target = bench_id(99) },
               NULL, NULL);
    assert_false(bench_find_sent(b, 2, DATAGRAM_ACK, &head, &section));
    bench_free(&b);
}

/* ---- what we do for others ---- */

static void a_relay_asks_and_says_no_when_nothing_comes(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(2);
    struct datagram_head head;
    struct datagram_section section;
    bench_tell(b,
               (struct datagram_head){ .kind = DATAGRAM_RELAY, .number = 7, .target = bench_id(3) },
               NULL, NULL);
    assert_true(bench_find_sent(b, 3, DATAGRAM_PING, &head, &section));
    bool said_no = false;
    for (uint32_t i = 0; i < 300 && !said_no; i++) {
        b->now_us += MSEC(1);
        bench_step(b, &(struct gossip_event){ .kind = GOSSIP_TICK });
        said_no = bench_find_sent(b, 2, DATAGRAM_NACK, &head, &section);
    }
    assert_true(said_no);
    assert_int_equal(head.number, 7);
    assert_true(node_id_equal(head.target, bench_id(3)));
    bench_free(&b);
}

static void a_relay_passes_on_the_answer(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(2);
    struct datagram_head head;
    struct datagram_section section;
    bench_tell(b,
               (struct datagram_head){ .kind = DATAGRAM_RELAY, .number = 7, .target = bench_id(3) },
               NULL, NULL);
    assert_true(bench_find_sent(b, 3, DATAGRAM_PING, &head, &section));
    bench_other_side(b, 3, 7, "atoll");
    bench_tell(
        b, (struct datagram_head){ .kind = DATAGRAM_ACK, .number = head.number, .incarnation = 12 },
        NULL, NULL);
    assert_true(bench_find_sent(b, 2, DATAGRAM_RELAYED, &head, &section));
    assert_int_equal(head.number, 7);
    assert_int_equal(head.about, 12);
    bench_free(&b);
}

static void a_burst_of_pings_is_answered_within_the_budget(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    for (uint32_t i = 0; i < 20000; i++) {
        bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_PING, .number = 1 + i }, NULL, NULL);
    }
    const struct gossip_stats *stats = gossip_stats(b->gossip);
    assert_true(stats->dropped_budget > 0);
    assert_true(stats->sent_bytes < 800000);
    bench_pass(b, SEC(2));
    uint64_t before = stats->dropped_budget;
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_PING, .number = 9 }, NULL, NULL);
    assert_int_equal(stats->dropped_budget, before);
    bench_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_changes_nothing_and_is_counted),
        cmocka_unit_test(wrong_key_does_not_join),
        cmocka_unit_test(another_cluster_does_not_join),
        cmocka_unit_test(nodes_of_two_clusters_stay_apart),
        cmocka_unit_test(a_member_of_the_cluster_joins),
        cmocka_unit_test(a_replayed_packet_is_dropped),
        cmocka_unit_test(a_sealed_packet_with_a_malformed_section_changes_nothing_at_all),
        cmocka_unit_test(a_member_said_to_be_dead_is_asked_before_it_is_believed),
        cmocka_unit_test(a_member_that_answered_just_now_is_not_believed_dead),
        cmocka_unit_test(a_late_rumour_does_not_revive_the_dead),
        cmocka_unit_test(the_unknown_dead_are_not_buried_here),
        cmocka_unit_test(a_member_that_says_it_left_is_believed_at_once),
        cmocka_unit_test(who_is_said_to_be_dead_says_that_it_lives),
        cmocka_unit_test(who_hears_of_itself_from_the_future_outbids_it),
        cmocka_unit_test(an_incarnation_that_nobody_could_outbid_is_malformed),
        cmocka_unit_test(a_cut_of_others_makes_us_an_owner),
        cmocka_unit_test(an_answer_or_refusal_that_nobody_asked_for_does_nothing),
        cmocka_unit_test(an_ack_counts_only_from_whom_the_ping_was_meant_for),
        cmocka_unit_test(a_ping_for_somebody_else_is_not_answered),
        cmocka_unit_test(a_relay_asks_and_says_no_when_nothing_comes),
        cmocka_unit_test(a_relay_passes_on_the_answer),
        cmocka_unit_test(a_burst_of_pings_is_answered_within_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
