/* tests/unit/fs/test_line.c: requests that stand in line, and leave it from anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/line.h"

#define COUNT 5u

static struct kernel_item items[COUNT];

static void fill(struct line *line)
{
    *line = (struct line){ NULL, NULL };
    for (uint32_t i = 0; i < COUNT; i++) {
        items[i] = (struct kernel_item){ .kind = KERNEL_OP };
        items[i].op.kind = OP_READ;
        items[i].op.id = i + 1;
        line_push(line, &items[i]);
    }
}

static void line_is_served_in_order(void **state)
{
    (void)state;
    struct line line;
    fill(&line);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_ptr_equal(line_pop(&line), &items[i]);
    }
    assert_true(line_is_empty(&line));
    assert_null(line_pop(&line));
}

static void whoever_leaves_from_anywhere_leaves_the_others_in_order(void **state)
{
    (void)state;
    for (uint64_t gone = 1; gone <= COUNT; gone++) {
        struct line line;
        struct kernel_item late = { .kind = KERNEL_OP };
        late.op.kind = OP_LOOKUP;
        fill(&line);
        assert_ptr_equal(line_take(&line, gone), &items[gone - 1]);
        assert_null(line_take(&line, gone));
        line_push(&line, &late); /* the end is still where it should be */
        for (uint32_t i = 0; i < COUNT; i++) {
            if (i + 1 != gone) {
                assert_ptr_equal(line_pop(&line), &items[i]);
            }
        }
        assert_ptr_equal(line_pop(&line), &late);
        assert_true(line_is_empty(&line));
    }
}

static void what_is_answered_at_once_never_stands_in_line(void **state)
{
    (void)state;
    assert_true(line_is_for(OP_READ));
    assert_true(line_is_for(OP_LOOKUP));
    assert_false(line_is_for(OP_GETATTR));
    assert_false(line_is_for(OP_FORGET));
    assert_false(line_is_for(OP_STATFS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_is_served_in_order),
        cmocka_unit_test(whoever_leaves_from_anywhere_leaves_the_others_in_order),
        cmocka_unit_test(what_is_answered_at_once_never_stands_in_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
