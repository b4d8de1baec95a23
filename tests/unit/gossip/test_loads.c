/* What members serve, as others hear of it. */
#include "base/rng.h"
#include "gossip/internal.h"
#include "tests/unit/gossip/net.h"

static void a_load_is_told_to_6_percent_and_never_becomes_another_one(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 7, 1);
    assert_int_equal(loads_rate(loads_code(0)), 0);
    assert_int_equal(loads_rate(loads_code(65535)), 0);
    assert_int_equal(loads_rate(0), 0);
    for (uint32_t i = 0; i < 100000; i++) {
        const uint64_t rate = (rng_next(&rng) >> (17 + rng_below(&rng, 31))) + 65536;
        const uint64_t told = loads_rate(loads_code(rate));
        const uint64_t off = told > rate ? told - rate : rate - told;
        assert_true(rate > 1ull << 47 || off * 16 <= rate);
        assert_int_equal(loads_rate(loads_code(told)), told);
    }
    assert_true(loads_rate(loads_code(UINT64_MAX)) >= 1ull << 47);
}

static void tell(struct net *net, uint32_t node, uint64_t rate)
{
    net_event(net, node, &(struct gossip_event){ .kind = GOSSIP_LOAD, .load = { .rate = rate } });
}

static uint64_t mean(const struct net *net, uint32_t node, uint32_t *count)
{
    uint64_t loads[LOADS_MAX];
    uint64_t sum = 0;
    *count = gossip_loads(net->nodes[node].gossip, loads, LOADS_MAX);
    for (uint32_t i = 0; i < *count; i++) {
        sum += loads[i];
    }
    return *count == 0 ? 0 : sum / *count;
}

static void in_a_small_cluster_everybody_knows_what_all_others_serve(void **state)
{
    (void)state;
    struct net *net = net_new(5, 1);
    uint32_t count = 0;
    net_start_all(net);
    assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
    net_run(net, SEC(3));
    assert_int_equal(mean(net, 0, &count), 0);
    assert_int_equal(count, 0); /* nobody said anything */
    for (uint32_t i = 0; i < 5; i++) {
        tell(net, i, (uint64_t)(i + 1) << 20);
    }
    net_run(net, SEC(3));
    assert_int_equal(mean(net, 0, &count), (14ull << 20) / 4);
    assert_int_equal(count, 4);
    tell(net, 4, 0);
    net_run(net, SEC(3));
    assert_int_equal(mean(net, 0, &count), (9ull << 20) / 4);
    assert_int_equal(count, 4);
    net_free(&net);
}

static void in_a_large_cluster_some_sixteen_are_known(void **state)
{
    (void)state;
    struct net *net = net_new(24, 3);
    net_start_all(net);
    assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
    for (uint32_t i = 0; i < 24; i++) {
        tell(net, i, 8ull << 20);
    }
    net_run(net, SEC(5));
    for (uint32_t i = 0; i < 24; i++) {
        uint32_t count = 0;
        assert_int_equal(mean(net, i, &count), 8ull << 20);
        assert_true(count >= 8 && count <= LOADS_MAX);
    }
    net_free(&net);
}

static void who_is_not_heard_any_more_does_not_count(void **state)
{
    (void)state;
    struct net *net = net_new(4, 2);
    uint32_t count = 0;
    net_start_all(net);
    assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
    for (uint32_t i = 0; i < 4; i++) {
        tell(net, i, 1ull << 20);
    }
    net_run(net, SEC(3));
    net_crash(net, 3);
    net_run(net, LOADS_KEPT_US + SEC(1));
    assert_int_equal(mean(net, 0, &count), 1ull << 20);
    assert_int_equal(count, 2);
    net_free(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_is_told_to_6_percent_and_never_becomes_another_one),
        cmocka_unit_test(in_a_small_cluster_everybody_knows_what_all_others_serve),
        cmocka_unit_test(in_a_large_cluster_some_sixteen_are_known),
        cmocka_unit_test(who_is_not_heard_any_more_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
