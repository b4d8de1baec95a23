#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "node/core/lent.h"

static struct block_id block(uint32_t number)
{
    return (struct block_id){ .object = { { (uint8_t)number } }, .index = number };
}

static struct node_id node(uint32_t number)
{
    return (struct node_id){ { (uint8_t)(number + 1) } };
}

static void where_a_block_was_lent_is_told_the_last_first_and_each_once(void **state)
{
    (void)state;
    static struct lent lent;
    struct node_id found[8];
    memset(&lent, 0, sizeof lent);
    assert_false(lent_is(&lent, block(5)));
    for (uint32_t i = 0; i < 3; i++) {
        lent_note(&lent, block(5), node(i));
        lent_note(&lent, block(6), node(7));
    }
    assert_true(lent_is(&lent, block(5)));
    assert_int_equal(lent_find(&lent, block(5), found, 8), 3);
    assert_true(node_id_equal(found[0], node(2)) && node_id_equal(found[2], node(0)));
    assert_int_equal(lent_find(&lent, block(5), found, 2), 2);
    assert_int_equal(lent_find(&lent, block(6), found, 8), 1);
    assert_int_equal(lent_find(&lent, block(7), found, 8), 0);
}

static void only_the_last_are_remembered_and_the_others_forgotten(void **state)
{
    (void)state;
    static struct lent lent;
    struct node_id found[8];
    memset(&lent, 0, sizeof lent);
    for (uint32_t i = 0; i < 5 * LENT_MAX; i++) {
        lent_note(&lent, block(i), node(0));
        assert_int_equal(lent_find(&lent, block(i), found, 8), 1);
    }
    for (uint32_t i = 0; i < 4 * LENT_MAX; i++) {
        assert_int_equal(lent_find(&lent, block(i), found, 8), 0);
    }
    for (uint32_t i = 4 * LENT_MAX; i < 5 * LENT_MAX; i++) {
        assert_int_equal(lent_find(&lent, block(i), found, 8), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_a_block_was_lent_is_told_the_last_first_and_each_once),
        cmocka_unit_test(only_the_last_are_remembered_and_the_others_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
