#include "tests/unit/gossip/net.h"

static struct net *settled_but_for_the_last(uint32_t count, uint64_t seed)
{
    struct net *net = net_new(count, seed);
    for (uint32_t i = 0; i + 1 < count; i++) {
        net_start(net, i);
    }
    net_run(net, SEC(5));
    return net;
}

/* A second process with the identity of node 1, somewhere else, with the disk of node 1. */
static void start_double(struct net *net, uint32_t index)
{
    net->nodes[index].id = net->nodes[1].id;
    net->nodes[index].persisted = net->nodes[1].persisted;
    net_start(net, index);
}

static void assert_elder_lives(struct net *net, uint32_t index)
{
    assert_true(net->nodes[index].in_use);
    assert_non_null(net->nodes[1].gossip);
    net_run(net, SEC(10));
    for (uint32_t i = 0; i < index; i++) {
        assert_int_equal(net_sees(net, i, 1)->state, MEMBER_OWNING);
        assert_int_equal(net_sees(net, i, 1)->endpoints[0].address.port, net->nodes[1].port);
    }
}

static void a_second_process_with_one_identity_ends(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        uint32_t count = 3 + (uint32_t)seed % 4;
        struct net *net = settled_but_for_the_last(count, seed);
        net->loss_permille = seed % 2 == 0 ? 0 : 100;
        start_double(net, count - 1);
        net_run(net, SEC(5));
        net->loss_permille = 0;
        assert_elder_lives(net, count - 1);
        assert_int_equal(net_deaths(net), 0);
        net_free(&net);
    }
}

/* It does not hear of the elder by itself, but the others do and refuse it. */
static void a_double_that_cannot_reach_the_elder_is_refused_by_the_others(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct net *net = settled_but_for_the_last(4, seed);
        net_block(net, 1, 3, true);
        net_block(net, 3, 1, true);
        start_double(net, 3);
        net_run(net, SEC(3));
        assert_elder_lives(net, 3);
        assert_int_equal(gossip_stats(net->nodes[1].gossip)->refutations, 0);
        assert_int_equal(net_deaths(net), 0);
        net_free(&net);
    }
}

static void a_double_of_the_only_node_ends(void **state)
{
    (void)state;
    struct net *net = net_new(3, 1);
    net->seeds[0] = net->nodes[1].port;
    net_start(net, 1);
    net_run(net, SEC(3));
    start_double(net, 2);
    net_run(net, SEC(3));
    assert_true(net->nodes[2].in_use);
    assert_non_null(net->nodes[1].gossip);
    net_free(&net);
}

static void of_two_doubles_that_start_together_exactly_one_ends(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct net *net = net_new(3, seed);
        net_start(net, 0);
        net_run(net, SEC(3));
        net_start(net, 1);
        start_double(net, 2);
        net_run(net, SEC(10));
        assert_true(net->nodes[1].in_use != net->nodes[2].in_use);
        net_free(&net);
    }
}

/* While the elder stands still nobody can tell, and the newcomer is let in; later it ends. */
static void a_double_of_a_paused_node_ends_when_that_wakes(void **state)
{
    (void)state;
    struct net *net = settled_but_for_the_last(4, 2);
    net_pause(net, 1, SEC(20));
    net_run(net, MSEC(500));
    start_double(net, 3);
    net_run(net, SEC(15));
    assert_int_equal(net_sees(net, 0, 3)->state, MEMBER_OWNING);
    net_run(net, SEC(15));
    assert_elder_lives(net, 3);
    net_free(&net);
}

static void a_restart_elsewhere_is_no_double(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct net *net = net_new(4, seed);
        net_start_all(net);
        net->loss_permille = 100;
        net_run(net, SEC(5));
        for (uint32_t i = 1; i < 4; i++) {
            net_crash(net, i);
            net->nodes[i].port = (uint16_t)(net->nodes[i].port + 100);
            net_start(net, i);
            net_run(net, rng_between(&net->rng, 0, SEC(2)));
        }
        assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
        net_free(&net);
    }
}

/* Endpoints may change while the process runs; its packets then come from elsewhere. */
static void a_process_that_moves_is_no_double_of_itself(void **state)
{
    (void)state;
    struct net *net = net_new(3, 4);
    struct gossip_event event = { .kind = GOSSIP_FACTS };
    net_start_all(net);
    assert_true(net_settle(net, SEC(5)) != USEC_NEVER);
    event.facts.self = gossip_self(net->nodes[2].gossip);
    event.facts.self.endpoints[0].address.port = 5000;
    net->nodes[2].port = 5000;
    net_event(net, 2, &event);
    assert_true(net_settle(net, SEC(5)) != USEC_NEVER);
    net_run(net, SEC(10));
    assert_true(net_is_settled(net));
    assert_int_equal(net_deaths(net), 0);
    assert_int_equal(net_sees(net, 0, 2)->endpoints[0].address.port, 5000);
    net_free(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_process_with_one_identity_ends),
        cmocka_unit_test(a_double_that_cannot_reach_the_elder_is_refused_by_the_others),
        cmocka_unit_test(a_double_of_the_only_node_ends),
        cmocka_unit_test(of_two_doubles_that_start_together_exactly_one_ends),
        cmocka_unit_test(a_double_of_a_paused_node_ends_when_that_wakes),
        cmocka_unit_test(a_restart_elsewhere_is_no_double),
        cmocka_unit_test(a_process_that_moves_is_no_double_of_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
