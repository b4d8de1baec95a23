/* tests/unit/base/test_marks.c: counts by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/marks.h"

static void a_mark_counts_by_its_text_not_its_address(void **state)
{
    (void)state;
    static struct marks marks;
    static const char copy[] = "test.rare";
    marks_hit(&marks, "test.rare");
    marks_hit(&marks, copy);
    marks_hit(&marks, "test.other");
    assert_int_equal(marks_count(&marks, "test.rare"), 2);
    assert_int_equal(marks_count(&marks, "test.other"), 1);
    assert_int_equal(marks_count(&marks, "test.never"), 0);
    assert_int_equal(marks.used, 2);
}

static void without_marks_nothing_is_counted(void **state)
{
    (void)state;
    struct {
        struct marks *marks;
    } owner = { NULL };
    MARK(&owner, "test.rare"); /* must not crash */
    assert_null(owner.marks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_counts_by_its_text_not_its_address),
        cmocka_unit_test(without_marks_nothing_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
