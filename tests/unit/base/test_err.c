/* tests/unit/base/test_err.c: the table of failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

static const enum err all[] = {
#define ERROR(name, number, sys, exit_code, text) ERR_##name,
#include "base/errors.def"
#undef ERROR
};

static void every_failure_has_text_without_a_full_stop(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        const char *text = err_text(all[i]);
        assert_true(strlen(text) > 0);
        assert_true(text[strlen(text) - 1] != '.');
        assert_string_not_equal(text, "unknown error");
    }
}

static void every_failure_survives_the_wire(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        assert_int_equal(err_from_wire((uint64_t)all[i]), all[i]);
    }
}

static void a_number_from_a_newer_peer_is_malformed(void **state)
{
    (void)state;
    assert_int_equal(err_from_wire(60000), ERR_MALFORMED);
    assert_int_equal(err_from_wire(UINT64_C(1) << 32), ERR_MALFORMED); /* not cut to 0 */
}

static void only_success_has_no_errno_and_exit_code_zero(void **state)
{
    (void)state;
    assert_int_equal(err_errno(ERR_OK), 0);
    assert_int_equal(err_exit_code(ERR_OK), 0);
    for (size_t i = 1; i < ARRAY_COUNT(all); i++) {
        assert_true(err_errno(all[i]) > 0);
        assert_in_range(err_exit_code(all[i]), 1, 7);
    }
}

static void names_and_numbers_are_those_of_the_table(void **state)
{
    (void)state;
    assert_string_equal(err_name(ERR_SOURCE_DENIED), "SOURCE_DENIED");
    assert_int_equal(ERR_CHANGED, 13);
    assert_int_equal(err_errno(ERR_CHANGED), ESTALE);
    assert_int_equal(err_exit_code(ERR_UNREACHABLE), 5);
    assert_string_equal(err_text((enum err)54321), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failure_has_text_without_a_full_stop),
        cmocka_unit_test(every_failure_survives_the_wire),
        cmocka_unit_test(a_number_from_a_newer_peer_is_malformed),
        cmocka_unit_test(only_success_has_no_errno_and_exit_code_zero),
        cmocka_unit_test(names_and_numbers_are_those_of_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
