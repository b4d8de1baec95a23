#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "node/core/shares.h"

#define MB 1000000u
#define SIZE 1000000u /* of a block, and of a read */

/* One owner among nodes whose numbers are the places. */
struct desk {
    struct shares shares;
    void *memory;
    usec_t now_us;
    uint32_t nodes;
    uint32_t handed[64]; /* reads, by node */
    uint32_t served;
    uint32_t questions;
};

static struct node_id node(uint32_t number)
{
    return (struct node_id){ .b = { (uint8_t)number } };
}

static struct shares_block block(uint32_t number)
{
    struct shares_block block = { .size = SIZE, .place = { number } };
    block.id.index = number;
    return block;
}

static void desk_init(struct desk *desk, uint32_t nodes)
{
    struct arena mem;
    *desk = (struct desk){ .nodes = nodes, .now_us = SEC(9) };
    desk->memory = malloc(shares_memory());
    arena_init(&mem, desk->memory, shares_memory());
    assert_int_equal(shares_init(&desk->shares, &mem, node(0), MB), ERR_OK);
    shares_step(&desk->shares, desk->now_us);
}

static void desk_fini(struct desk *desk)
{
    free(desk->memory);
}

static bool find(void *owner, const struct shares_block *block, uint32_t nth, struct node_id *out)
{
    const struct desk *desk = owner;
    (void)block;
    *out = node(nth % desk->nodes);
    return true;
}

/* Every node but this one answers with that rate at most, for all it is asked. */
static void answer(struct desk *desk, uint64_t most, uint64_t load)
{
    const struct shares_places places = { .find = find, .owner = desk };
    uint32_t number;
    while (shares_next(&desk->shares, desk->now_us, &places, &number)) {
        const struct shares_ask *ask = shares_ask(&desk->shares, number);
        assert_false(node_id_equal(ask->node, node(0)));
        desk->questions++;
        shares_granted(&desk->shares, desk->now_us, number, ask->rate < most ? ask->rate : most,
                       load);
    }
}

/* A step in which `rate` bytes a second are asked for, of blocks 0 to count - 1 in turn. */
static void read_step(struct desk *desk, uint64_t rate, uint32_t count)
{
    const uint32_t reads = (uint32_t)(rate / 4 / SIZE);
    for (uint32_t i = 0; i < reads; i++) {
        const struct shares_block wanted = block(i % count);
        struct node_id to;
        desk->now_us += SHARES_STEP_US / reads;
        if (shares_read(&desk->shares, desk->now_us, &wanted, SIZE, &to)) {
            desk->handed[to.b[0]]++;
        } else {
            desk->served++;
            meter_served(&desk->shares.meter, SIZE);
        }
    }
    shares_step(&desk->shares, desk->now_us);
}

static void told(struct desk *desk, uint64_t rate)
{
    const uint64_t rates[] = { rate, rate, rate };
    meter_told(&desk->shares.meter, rates, 3);
}

static void a_hot_block_is_handed_on_at_the_rates_that_were_granted(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk, 9);
    told(&desk, 50 * MB);
    for (uint32_t i = 0; i < 20; i++) {
        read_step(&desk, 400 * MB, 1);
        answer(&desk, 30 * MB, 50 * MB);
    }
    for (uint32_t i = 0; i < desk.nodes; i++) {
        desk.handed[i] = 0;
    }
    for (uint32_t i = 0; i < 8; i++) { /* two seconds */
        read_step(&desk, 400 * MB, 1);
        answer(&desk, 30 * MB, 50 * MB);
    }
    assert_int_equal(desk.handed[0], 0);
    for (uint32_t i = 1; i < desk.nodes; i++) {
        assert_in_range(desk.handed[i], 55, 67); /* 30 a second each, and a burst */
    }
    desk_fini(&desk);
}

static void no_more_is_handed_on_than_is_above_the_mean(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk, 9);
    told(&desk, 100 * MB);
    for (uint32_t i = 0; i < 40; i++) {
        read_step(&desk, 200 * MB, 1);
        answer(&desk, 200 * MB, 100 * MB);
    }
    desk.served = 0;
    for (uint32_t i = 0; i < 8; i++) {
        read_step(&desk, 200 * MB, 1);
        answer(&desk, 200 * MB, 100 * MB);
    }
    assert_in_range(desk.served, 190, 225); /* of 400 in two seconds */
    desk_fini(&desk);
}

static void who_serves_no_more_than_the_mean_or_hardly_anything_asks_nobody(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk, 9);
    told(&desk, 100 * MB);
    for (uint32_t i = 0; i < 20; i++) {
        read_step(&desk, 104 * MB, 1);
        answer(&desk, 100 * MB, 0);
    }
    assert_int_equal(desk.questions, 0);
    desk_fini(&desk);
    desk_init(&desk, 9);
    desk.shares.meter.floor = 500 * MB;
    told(&desk, MB);
    for (uint32_t i = 0; i < 20; i++) {
        read_step(&desk, 400 * MB, 1);
        answer(&desk, 100 * MB, 0);
    }
    assert_int_equal(desk.questions, 0);
    desk_fini(&desk);
}

static void blocks_of_which_each_is_little_are_not_copied(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk, 9);
    told(&desk, 300 * MB);
    for (uint32_t i = 0; i < 20; i++) {
        read_step(&desk, 400 * MB, 100);
        answer(&desk, 100 * MB, 0);
    }
    assert_int_equal(desk.questions, 0); /* a 64th of the mean is the least */
    desk_fini(&desk);
}

static void after_refusals_questions_become_few(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk, 60);
    told(&desk, 100 * MB);
    for (uint32_t i = 0; i < 8; i++) {
        read_step(&desk, 400 * MB, 1);
        answer(&desk, 0, 100 * MB);
    }
    const uint32_t before = desk.questions;
    for (uint32_t i = 0; i < 64; i++) { /* 16 s */
        read_step(&desk, 400 * MB, 1);
        answer(&desk, 0, 100 * MB);
    }
    assert_true(before > 0 && desk.questions > before);
    assert_true(desk.questions - before <= 6 * 96);
    desk_fini(&desk);
}

static void a_share_that_is_not_renewed_ends_with_its_lease(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk, 5);
    told(&desk, 50 * MB);
    read_step(&desk, 400 * MB, 1);
    answer(&desk, 40 * MB, 50 * MB);
    assert_true(desk.shares.pool.used > 0);
    const usec_t until_us = desk.now_us + SHARES_LEASE_US;
    while (desk.now_us < until_us + SEC(1)) {
        read_step(&desk, 400 * MB, 1); /* questions go out, and nobody answers */
    }
    assert_int_equal(desk.shares.pool.used, 0);
    assert_null(shares_find(&desk.shares, block(0).id));
    desk_fini(&desk);
}

static void to_a_node_that_is_lost_nobody_is_handed_on(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk, 5);
    told(&desk, 50 * MB);
    for (uint32_t i = 0; i < 4; i++) {
        read_step(&desk, 400 * MB, 2);
        answer(&desk, 40 * MB, 50 * MB);
    }
    assert_true(desk.handed[2] > 0);
    shares_lost(&desk.shares, node(2));
    desk.handed[2] = 0;
    read_step(&desk, 400 * MB, 2);
    assert_int_equal(desk.handed[2], 0);
    desk_fini(&desk);
}

static void when_readers_go_shares_go(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk, 5);
    told(&desk, 50 * MB);
    for (uint32_t i = 0; i < 12; i++) {
        read_step(&desk, 400 * MB, 1);
        answer(&desk, 40 * MB, 50 * MB);
    }
    assert_int_equal(desk.shares.pool.used, 4);
    for (uint32_t i = 0; i < 24; i++) {
        read_step(&desk, 8 * MB, 1);
        answer(&desk, 40 * MB, 50 * MB);
    }
    assert_int_equal(desk.shares.pool.used, 0);
    assert_int_equal(desk.shares.shared.used, 0);
    desk_fini(&desk);
}

static void what_is_granted_fits_below_the_mean_and_is_cut_when_it_does_not(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk, 5);
    told(&desk, 100 * MB);
    for (uint32_t i = 0; i < 12; i++) {
        read_step(&desk, 60 * MB, 60);
    }
    const uint64_t first = shares_grant(&desk.shares, 30 * MB, 0, 0);
    const uint64_t second = shares_grant(&desk.shares, 30 * MB, 0, 0);
    assert_int_equal(first, 30 * MB);
    assert_true(second < 10 * MB);
    assert_int_equal(shares_grant(&desk.shares, 30 * MB, 0, 0), 0);
    assert_true(meter_now(&desk.shares.meter) <= meter_level(desk.shares.meter.mean) + MB);
    for (uint32_t i = 0; i < 12; i++) {
        read_step(&desk, 200 * MB, 200); /* its own readers have come */
    }
    const uint64_t renewed = shares_grant(&desk.shares, 30 * MB, 30 * MB, 0);
    assert_true(renewed < 22 * MB && renewed > 10 * MB);
    desk_fini(&desk);
}

static void what_the_asker_knows_of_the_mean_is_believed(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk, 5);
    assert_int_equal(shares_grant(&desk.shares, 50 * MB, 0, 0), 0); /* it has heard of nobody */
    assert_int_equal(shares_grant(&desk.shares, 50 * MB, 0, 100 * MB), 50 * MB);
    desk_fini(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hot_block_is_handed_on_at_the_rates_that_were_granted),
        cmocka_unit_test(no_more_is_handed_on_than_is_above_the_mean),
        cmocka_unit_test(who_serves_no_more_than_the_mean_or_hardly_anything_asks_nobody),
        cmocka_unit_test(blocks_of_which_each_is_little_are_not_copied),
        cmocka_unit_test(after_refusals_questions_become_few),
        cmocka_unit_test(a_share_that_is_not_renewed_ends_with_its_lease),
        cmocka_unit_test(to_a_node_that_is_lost_nobody_is_handed_on),
        cmocka_unit_test(when_readers_go_shares_go),
        cmocka_unit_test(what_is_granted_fits_below_the_mean_and_is_cut_when_it_does_not),
        cmocka_unit_test(what_the_asker_knows_of_the_mean_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
