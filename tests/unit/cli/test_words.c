#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/words.h"

static int ran;

static int make(int argc, char **argv)
{
    assert_string_equal(argv[0], "make");
    ran = argc;
    return 7;
}

static int drop(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fail();
    return 0;
}

static const struct options_table make_table = {
    .usage = "atoll thing make NAME",
    .intro = "Make one. It is never replaced,\nby anybody.",
};
static const struct options_table drop_table = { .usage = "atoll thing drop NAME",
                                                 .intro = "Drop one\nfor good." };
static const struct word at[] = { { "make", make, &make_table }, { "drop", drop, &drop_table } };
static const struct words words = { "thing", "Things.", at, 2 };

/* The exit code, and what went to that stream. */
static int said_by(FILE *stream, int argc, char **argv, char *out, size_t room)
{
    const int number = fileno(stream);
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stream);
    const int before = dup(number);
    dup2(fileno(file), number);
    const int code = words_run(&words, argc, argv);
    fflush(stream);
    dup2(before, number);
    close(before);
    rewind(file);
    out[fread(out, 1, room - 1, file)] = 0;
    fclose(file);
    return code;
}

static void word_is_run_with_what_follows_it(void **state)
{
    char *argv[] = { (char[]){ "thing" }, (char[]){ "make" }, (char[]){ "a" }, NULL };
    (void)state;
    assert_int_equal(words_run(&words, 3, argv), 7);
    assert_int_equal(ran, 2);
}

static void help_shows_each_word_with_its_whole_first_sentence(void **state)
{
    char *argv[] = { (char[]){ "thing" }, (char[]){ "--help" }, NULL };
    char said[4096];
    (void)state;
    assert_int_equal(said_by(stdout, 2, argv, said, sizeof said), 0);
    assert_non_null(strstr(said, "usage: atoll thing make NAME\n       atoll thing drop NAME\n"));
    assert_non_null(strstr(said, "Things.\n"));
    assert_non_null(strstr(said, "  make        Make one.\n"
                                 "  drop        Drop one\n              for good.\n"));
}

static void unknown_word_is_named_with_the_one_that_was_meant(void **state)
{
    char *argv[] = { (char[]){ "thing" }, (char[]){ "mkae" }, NULL };
    char said[4096];
    (void)state;
    assert_int_equal(said_by(stderr, 2, argv, said, sizeof said), 2);
    assert_true(strncmp(said, "atoll thing: unknown word mkae: did you mean make?\n", 51) == 0);
    assert_non_null(strstr(said, "usage: "));
}

static void no_word_at_all_is_a_mistake(void **state)
{
    char *argv[] = { (char[]){ "thing" }, NULL };
    char said[4096];
    (void)state;
    assert_int_equal(said_by(stderr, 1, argv, said, sizeof said), 2);
    assert_true(strncmp(said, "usage: ", 7) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word_is_run_with_what_follows_it),
        cmocka_unit_test(help_shows_each_word_with_its_whole_first_sentence),
        cmocka_unit_test(unknown_word_is_named_with_the_one_that_was_meant),
        cmocka_unit_test(no_word_at_all_is_a_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
