#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/core/meter.h"

#define MB 1000000u
#define STEP_US MSEC(250)

struct desk {
    struct meter meter;
    usec_t now_us;
};

static void desk_init(struct desk *desk)
{
    meter_init(&desk->meter, MB);
    desk->now_us = SEC(5);
    meter_step(&desk->meter, desk->now_us);
}

/* `rate` is served through so many steps. */
static bool serve(struct desk *desk, uint64_t rate, uint32_t steps)
{
    bool is_sudden = false;
    for (uint32_t i = 0; i < steps; i++) {
        meter_served(&desk->meter, rate / 4 - METER_REQUEST_BYTES);
        desk->now_us += STEP_US;
        is_sudden = meter_step(&desk->meter, desk->now_us) || is_sudden;
    }
    return is_sudden;
}

static void about(uint64_t value, uint64_t wanted)
{
    assert_in_range(value, wanted - wanted / 50, wanted + wanted / 50);
}

static void a_steady_rate_is_known_and_a_sudden_one_at_once(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk);
    assert_true(serve(&desk, 100 * MB, 1));
    about(meter_now(&desk.meter), 100 * MB);
    assert_false(serve(&desk, 120 * MB, 8));
    about(meter_now(&desk.meter), 120 * MB);
    assert_true(serve(&desk, 900 * MB, 1));
    about(meter_now(&desk.meter), 900 * MB);
    assert_false(serve(&desk, 0 + 4 * METER_REQUEST_BYTES, 12));
    assert_true(meter_now(&desk.meter) < 3 * MB);
}

static void what_was_granted_counts_at_once_and_never_twice(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk);
    serve(&desk, 100 * MB, 8);
    meter_expect(&desk.meter, 40 * (int64_t)MB);
    for (uint32_t i = 0; i < 20; i++) {
        about(meter_now(&desk.meter), 140 * MB);
        assert_false(serve(&desk, 140 * MB, 1));
    }
    meter_expect(&desk.meter, -40 * (int64_t)MB);
    for (uint32_t i = 0; i < 20; i++) {
        about(meter_now(&desk.meter), 100 * MB);
        serve(&desk, 100 * MB, 1);
    }
}

static void of_few_nodes_the_mean_is_the_mean(void **state)
{
    (void)state;
    struct desk desk;
    const uint64_t told[] = { 0, 300 * MB };
    desk_init(&desk);
    meter_told(&desk.meter, told, 2);
    serve(&desk, 60 * MB, 8);
    about(desk.meter.mean, 120 * MB);
}

static void one_of_many_that_serves_a_hundred_times_as_much_does_not_carry_the_mean_away(
    void **state)
{
    (void)state;
    struct desk desk;
    uint64_t told[METER_TOLD + 1] = { 5000 * (uint64_t)MB };
    desk_init(&desk);
    for (uint32_t i = 1; i <= METER_TOLD; i++) {
        told[i] = 50 * MB;
    }
    meter_told(&desk.meter, told, METER_TOLD + 1); /* the last is left out */
    serve(&desk, 50 * MB, 8);
    assert_in_range(desk.meter.mean, 50 * MB, 52 * MB);
}

static void what_somebody_said_counts_for_two_seconds(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk);
    serve(&desk, 50 * MB, 8);
    meter_sample(&desk.meter, desk.now_us, 150 * MB);
    serve(&desk, 50 * MB, 1);
    about(desk.meter.mean, 100 * MB);
    serve(&desk, 50 * MB, 8);
    about(desk.meter.mean, 50 * MB);
}

static void a_step_that_serves_more_than_its_share_is_busy(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk);
    serve(&desk, 100 * MB, 8);
    meter_served(&desk.meter, 12 * MB);
    assert_true(meter_is_busy(&desk.meter, desk.now_us + MSEC(100)));
    assert_false(meter_is_busy(&desk.meter, desk.now_us + MSEC(150)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_rate_is_known_and_a_sudden_one_at_once),
        cmocka_unit_test(what_was_granted_counts_at_once_and_never_twice),
        cmocka_unit_test(of_few_nodes_the_mean_is_the_mean),
        cmocka_unit_test(
            one_of_many_that_serves_a_hundred_times_as_much_does_not_carry_the_mean_away),
        cmocka_unit_test(what_somebody_said_counts_for_two_seconds),
        cmocka_unit_test(a_step_that_serves_more_than_its_share_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
