#include "tests/unit/gossip/net.h"

#include "gossip/internal.h"

static struct net *settled(uint32_t count, uint64_t seed)
{
    struct net *net = net_new(count, seed);
    net_start_all(net);
    assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
    return net;
}

static bool observes(struct gossip *observer, struct node_id subject)
{
    uint32_t subjects[OBSERVERS_MAX];
    const uint32_t count = circles_subjects(observer, subjects);
    for (uint32_t i = 0; i < count; i++) {
        if (node_id_equal(roster_id(observer, &observer->peers[subjects[i]]), subject)) {
            return true;
        }
    }
    return false;
}

/* Who `asked` believes observes `subject`. */
static bool is_in_jury(struct gossip *asked, struct node_id subject, struct node_id observer)
{
    struct jury jury = { .count = 0 };
    const struct peer *peer = roster_find(asked, subject);
    const struct jury *drawn = circles_jury(asked, roster_index(asked, peer), &jury);
    assert_in_range(drawn->count, 1, OBSERVERS_MAX);
    for (uint32_t i = 0; i < drawn->count; i++) {
        if (node_id_equal(roster_id(asked, &asked->peers[drawn->peers[i]]), observer)) {
            return true;
        }
    }
    return false;
}

static void assert_all_say(struct net *net, struct node_id subject, struct node_id observer,
                           bool observes_it)
{
    for (uint32_t i = 0; i < net->count; i++) {
        if (net->nodes[i].gossip != NULL) {
            assert_int_equal(is_in_jury(net->nodes[i].gossip, subject, observer), observes_it);
        }
    }
}

static void assert_all_agree(struct net *net)
{
    for (uint32_t i = 0; i < net->count; i++) {
        for (uint32_t j = 0; j < net->count; j++) {
            struct gossip *observer = net->nodes[i].gossip;
            if (i == j || observer == NULL || net->nodes[j].gossip == NULL) {
                continue;
            }
            assert_all_say(net, net->nodes[j].id, net->nodes[i].id,
                           observes(observer, net->nodes[j].id));
        }
    }
}

static void all_agree_on_who_observes_whom(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 2, 5, 9, 10, 11, 24 };
    for (uint32_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct net *net = settled(counts[i], i);
        assert_all_agree(net);
        net_free(&net);
    }
}

static void they_still_do_when_members_have_come_and_gone(void **state)
{
    (void)state;
    struct net *net = settled(20, 4);
    for (uint32_t i = 3; i < 20; i += 3) {
        net_crash(net, i);
        net_run(net, SEC(8));
    }
    assert_all_agree(net);
    for (uint32_t i = 3; i < 20; i += 3) {
        net_start(net, i);
        net_run(net, SEC(1));
    }
    net_run(net, SEC(5));
    assert_true(net_is_settled(net));
    assert_all_agree(net);
    net_free(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_agree_on_who_observes_whom),
        cmocka_unit_test(they_still_do_when_members_have_come_and_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
