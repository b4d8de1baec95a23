#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/io/options.h"

static const struct option_row rows[] = {
    { "size", 's', OPTION_SIZE, "SIZE", "1MiB", "how much" },
    { "data-dir", 0, OPTION_STRING, "DIR", NULL, "where" },
    { "label", 0, OPTION_LIST, "K=V", NULL, "which" },
    { "fast", 'f', OPTION_FLAG, NULL, NULL, "quickly" },
    { "wait", 0, OPTION_DURATION, "TIME", "5m", "how long" },
    { "config", 0, OPTION_STRING, "FILE", NULL, "more of these" },
};
static const struct options_table table = { .command = "try",
                                            .usage = "atoll try",
                                            .intro = "Tries.",
                                            .rows = rows,
                                            .count = ARRAY_COUNT(rows),
                                            .environment = true,
                                            .arguments_max = 2 };

static char why_room[512];

static enum err parse(struct options **out, int count, ...)
{
    char *argv[16] = { "try" };
    struct text why;
    va_list args;
    va_start(args, count);
    for (int i = 0; i < count; i++) {
        argv[i + 1] = va_arg(args, char *);
    }
    va_end(args);
    text_init(&why, why_room, sizeof why_room);
    return options_parse(&table, count + 1, argv, out, &why);
}

static void write_file(char *path, const char *text)
{
    strcpy(path, "/tmp/atoll-test-options-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int clear_environment(void **state)
{
    (void)state;
    unsetenv("ATOLL_SIZE");
    unsetenv("ATOLL_LABEL");
    unsetenv("ATOLL_CONFIG");
    unsetenv("ATOLL_FAST");
    return 0;
}

static void what_is_not_given_has_its_default(void **state)
{
    struct options *options;
    (void)state;
    assert_int_equal(parse(&options, 0), ERR_OK);
    assert_int_equal(options_size(options, "size"), 1 << 20);
    assert_int_equal(options_duration_us(options, "wait"), 300000000);
    assert_null(options_string(options, "data-dir"));
    assert_false(options_flag(options, "fast"));
    assert_false(options_given(options, "size"));
    assert_int_equal(options_count(options, "label"), 0);
    options_free(&options);
}

static void flags_come_in_all_their_forms(void **state)
{
    struct options *options;
    (void)state;
    assert_int_equal(parse(&options, 9, "--data-dir=/a=b", "-s", "2KiB", "one", "-f", "--label",
                           "a=1", "--label=b=2", "two"),
                     ERR_OK);
    assert_string_equal(options_string(options, "data-dir"), "/a=b");
    assert_int_equal(options_size(options, "size"), 2048);
    assert_true(options_flag(options, "fast"));
    assert_int_equal(options_count(options, "label"), 2);
    assert_string_equal(options_item(options, "label", 0), "a=1");
    assert_string_equal(options_item(options, "label", 1), "b=2");
    assert_int_equal(options_arguments(options), 2);
    assert_string_equal(options_argument(options, 1), "two");
    options_free(&options);
}

static void words_behind_two_dashes_are_no_options(void **state)
{
    struct options *options;
    (void)state;
    assert_int_equal(parse(&options, 3, "--", "--size", "-f"), ERR_OK);
    assert_int_equal(options_arguments(options), 2);
    assert_string_equal(options_argument(options, 0), "--size");
    options_free(&options);
}

static void an_unknown_flag_is_refused_with_the_nearest_one(void **state)
{
    struct options *options = NULL;
    (void)state;
    assert_int_equal(parse(&options, 1, "--data-dri=x"), ERR_INVALID);
    assert_string_equal(why_room, "unknown option --data-dri: did you mean --data-dir?");
    assert_int_equal(parse(&options, 1, "--zzzzzzz"), ERR_INVALID);
    assert_null(strstr(why_room, "did you mean"));
    assert_int_equal(parse(&options, 1, "-x"), ERR_INVALID);
    assert_null(options);
}

static void an_option_that_takes_one_value_is_refused_when_it_is_given_twice(void **state)
{
    struct options *options = NULL;
    (void)state;
    assert_int_equal(parse(&options, 4, "--data-dir", "a", "-f", "--data-dir=a"), ERR_INVALID);
    assert_string_equal(why_room, "--data-dir is given twice, and takes one DIR");
    assert_int_equal(parse(&options, 3, "-s", "1", "--size=2"), ERR_INVALID);
    assert_null(options);
    assert_int_equal(parse(&options, 2, "-f", "--fast"), ERR_OK); /* says the same */
    options_free(&options);
}

static void values_of_the_wrong_kind_are_refused(void **state)
{
    struct options *options = NULL;
    (void)state;
    assert_int_equal(parse(&options, 2, "--size", "many"), ERR_INVALID);
    assert_non_null(strstr(why_room, "--size many: must be a size"));
    assert_int_equal(parse(&options, 1, "--size"), ERR_INVALID);
    assert_string_equal(why_room, "--size wants SIZE");
    assert_int_equal(parse(&options, 1, "--fast=perhaps"), ERR_INVALID);
    assert_int_equal(parse(&options, 1, "--wait=later"), ERR_INVALID);
    assert_int_equal(parse(&options, 1, "--data-dir="), ERR_INVALID);
    assert_int_equal(parse(&options, 3, "a", "b", "c"), ERR_INVALID);
    assert_null(options);
}

static void help_is_found_before_anything_is_checked(void **state)
{
    struct options *options;
    (void)state;
    assert_int_equal(parse(&options, 1, "--help"), ERR_OK);
    assert_true(options_wants_help(options));
    options_free(&options);
}

static void a_flag_goes_before_the_environment_and_that_before_the_file(void **state)
{
    struct options *options;
    char path[64];
    (void)state;
    write_file(path, "# comment\nsize: 3KiB\ndata_dir: /file\nlabel: [x=1, y=2]\nfast: true\n");
    setenv("ATOLL_SIZE", "4KiB", 1);
    assert_int_equal(parse(&options, 2, "--config", path), ERR_OK);
    assert_int_equal(options_size(options, "size"), 4096);
    assert_string_equal(options_string(options, "data-dir"), "/file");
    assert_int_equal(options_count(options, "label"), 2);
    assert_string_equal(options_item(options, "label", 1), "y=2");
    assert_true(options_flag(options, "fast"));
    options_free(&options);
    assert_int_equal(parse(&options, 4, "--config", path, "--size=5KiB", "--label=z=3"), ERR_OK);
    assert_int_equal(options_size(options, "size"), 5120);
    assert_int_equal(options_count(options, "label"), 1); /* the flags' list, not both */
    assert_string_equal(options_item(options, "label", 0), "z=3");
    options_free(&options);
    unlink(path);
}

static void a_list_in_the_environment_has_commas(void **state)
{
    struct options *options;
    (void)state;
    setenv("ATOLL_LABEL", "a=1,b=2,c=3", 1);
    assert_int_equal(parse(&options, 0), ERR_OK);
    assert_int_equal(options_count(options, "label"), 3);
    assert_string_equal(options_item(options, "label", 2), "c=3");
    options_free(&options);
}

static void an_unknown_key_in_the_file_is_refused_with_the_nearest_one(void **state)
{
    struct options *options = NULL;
    char path[64];
    char expected[160];
    (void)state;
    write_file(path, "data_drr: /x\n");
    assert_int_equal(parse(&options, 2, "--config", path), ERR_INVALID);
    snprintf(expected, sizeof expected, "%s: unknown key data_drr: did you mean data_dir?", path);
    assert_string_equal(why_room, expected);
    unlink(path);
}

static void a_file_that_is_not_what_it_should_be_is_refused(void **state)
{
    const char *const wrong[] = { "size: [1, 2]\n", "- a\n- b\n",  "size: many\n", "{{{",
                                  "a: b: c",        "label: x=1\n" };
    struct options *options = NULL;
    char path[64];
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        write_file(path, wrong[i]);
        assert_int_equal(parse(&options, 2, "--config", path), ERR_INVALID);
        assert_true(strlen(why_room) > 10);
        unlink(path);
    }
    assert_int_equal(parse(&options, 2, "--config", "/nonexistent/x.yaml"), ERR_INVALID);
    assert_non_null(strstr(why_room, "No such file"));
}

static void a_list_for_a_value_and_a_value_for_a_list_are_told_apart(void **state)
{
    struct options *options = NULL;
    char path[64];
    (void)state;
    write_file(path, "fast: true\nlabel: x=1\n");
    assert_int_equal(parse(&options, 2, "--config", path), ERR_INVALID);
    assert_non_null(strstr(why_room, ": label must be a list, as [ A, B ] (line: 2"));
    unlink(path);
    write_file(path, "data_dir:\n  - /a\n");
    assert_int_equal(parse(&options, 2, "--config", path), ERR_INVALID);
    assert_non_null(strstr(why_room, ": data_dir must be one value, not a list (line: 2"));
    unlink(path);
}

static void an_empty_file_says_nothing(void **state)
{
    struct options *options;
    char path[64];
    (void)state;
    write_file(path, "\n# nothing\n");
    assert_int_equal(parse(&options, 2, "--config", path), ERR_OK);
    assert_int_equal(options_size(options, "size"), 1 << 20);
    options_free(&options);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_not_given_has_its_default, clear_environment),
        cmocka_unit_test_setup(flags_come_in_all_their_forms, clear_environment),
        cmocka_unit_test_setup(words_behind_two_dashes_are_no_options, clear_environment),
        cmocka_unit_test_setup(an_unknown_flag_is_refused_with_the_nearest_one, clear_environment),
        cmocka_unit_test_setup(an_option_that_takes_one_value_is_refused_when_it_is_given_twice,
                               clear_environment),
        cmocka_unit_test_setup(values_of_the_wrong_kind_are_refused, clear_environment),
        cmocka_unit_test_setup(help_is_found_before_anything_is_checked, clear_environment),
        cmocka_unit_test_setup(a_flag_goes_before_the_environment_and_that_before_the_file,
                               clear_environment),
        cmocka_unit_test_setup(a_list_in_the_environment_has_commas, clear_environment),
        cmocka_unit_test_setup(an_unknown_key_in_the_file_is_refused_with_the_nearest_one,
                               clear_environment),
        cmocka_unit_test_setup(a_file_that_is_not_what_it_should_be_is_refused, clear_environment),
        cmocka_unit_test_setup(a_list_for_a_value_and_a_value_for_a_list_are_told_apart,
                               clear_environment),
        cmocka_unit_test_setup(an_empty_file_says_nothing, clear_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
