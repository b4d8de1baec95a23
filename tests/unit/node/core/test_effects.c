/* tests/unit/node/core/test_effects.c: effects keep their order and their bytes. */
#include "tests/unit/node/core/lab.h"

#include "node/core/effects.h"

#include <string.h>

#define REGION ((size_t)2 << 20)

static struct node_effects out;

static void push_numbered(struct node *node, uint32_t number, size_t size)
{
    uint8_t *bytes = scratch_take(node, size);
    memset(bytes, (int)number, size);
    effects_push(
        node, &(struct node_effect){ .kind = NODE_LOG,
                                     .log = { .level = LOG_DEBUG, .text = span_of(bytes, size) } });
}

/* Number `number` came out whole. */
static void check_numbered(const struct node_effect *effect, uint32_t number, size_t size)
{
    assert_int_equal(effect->log.text.size, size);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(effect->log.text.data[i], (uint8_t)number);
    }
}

static void what_does_not_fit_comes_with_the_next_steps_in_order(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    struct node *node = lab->nodes[0].node;
    effects_begin(&node->effects, &out);
    for (uint32_t i = 0; i < 200; i++) {
        push_numbered(node, i, 1000);
    }
    uint32_t next = 0;
    for (uint32_t step = 0; step < 4; step++) {
        assert_true(out.count <= NODE_EFFECTS_MAX);
        for (uint32_t i = 0; i < out.count; i++) {
            check_numbered(&out.items[i], next, 1000);
            next++;
        }
        assert_true(effects_waiting(&node->effects) == (next < 200));
        effects_begin(&node->effects, &out);
    }
    assert_int_equal(next, 200);
    lab_free(lab);
}

/* The scratch bytes go round many times while some effects always wait. */
static void bytes_hold_while_the_ring_goes_round(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    struct node *node = lab->nodes[0].node;
    uint32_t pushed = 0;
    uint32_t taken = 0;
    effects_begin(&node->effects, &out);
    for (uint32_t step = 0; step < 2000; step++) {
        uint32_t burst = step % 3 == 0 ? 100 : 40;
        for (uint32_t i = 0; i < burst; i++) {
            push_numbered(node, pushed, 500 + pushed % 700);
            pushed++;
        }
        for (uint32_t i = 0; i < out.count; i++) {
            check_numbered(&out.items[i], taken, 500 + taken % 700);
            taken++;
        }
        effects_begin(&node->effects, &out);
    }
    assert_true(taken > 100000);
    lab_free(lab);
}

static void a_step_with_little_room_says_so(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    struct node *node = lab->nodes[0].node;
    effects_begin(&node->effects, &out);
    assert_true(effects_roomy(node, 0));
    assert_false(effects_roomy(node, (size_t)1 << 30));
    for (uint32_t i = 0; i < NODE_EFFECTS_MAX - 4; i++) {
        push_numbered(node, i, 10);
    }
    assert_false(effects_roomy(node, 0));
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_fit_comes_with_the_next_steps_in_order),
        cmocka_unit_test(bytes_hold_while_the_ring_goes_round),
        cmocka_unit_test(a_step_with_little_room_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
