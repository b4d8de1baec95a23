/* Versions of files below a root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/origin/file.h"
#include "tests/unit/node/origin/little_tree.h"

static char line[2048];

static enum err open_pinned(const struct little_tree *tree, const char *key, const char *pin,
                            struct file_version *out)
{
    struct text why;
    text_init(&why, line, sizeof line);
    return file_open(tree->root, span_text(key), span_text(pin), out, &why);
}

static void expect_failure(const struct little_tree *tree, const char *key, enum err err)
{
    struct file_version file;
    assert_int_equal(open_pinned(tree, key, "", &file), err);
    assert_true(line[0] != '\0');
}

static void a_file_is_read_where_and_as_far_as_asked(void **state)
{
    struct little_tree tree;
    struct file_version file;
    uint8_t bytes[4];
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "a/b c", "0123456789");
    assert_int_equal(open_pinned(&tree, "a/b c", "", &file), ERR_OK);
    assert_int_equal(file.size, 10);
    assert_int_equal(file_read(&file, 3, bytes, sizeof bytes), ERR_OK);
    assert_memory_equal(bytes, "3456", 4);
    file_close(&file);
    little_tree_drop(&tree);
}

static void a_file_opened_by_its_pin_is_the_same_one(void **state)
{
    struct little_tree tree;
    struct file_version first, again;
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "a", "text");
    assert_int_equal(open_pinned(&tree, "a", "", &first), ERR_OK);
    assert_int_equal(open_pinned(&tree, "a", first.pin, &again), ERR_OK);
    assert_string_equal(first.pin, again.pin);
    assert_true(pin_is_valid(span_text(first.pin)));
    file_close(&first);
    file_close(&again);
    little_tree_drop(&tree);
}

static void set_mtime(const struct little_tree *tree, const char *name, time_t seconds)
{
    char path[1200];
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = seconds } };
    little_tree_path(tree, name, path);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void another_time_size_or_file_is_another_version(void **state)
{
    struct little_tree tree;
    struct file_version first, again;
    char path[1200], other[1200];
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "a", "text");
    set_mtime(&tree, "a", 1000);
    assert_int_equal(open_pinned(&tree, "a", "", &first), ERR_OK);

    set_mtime(&tree, "a", 1001);
    assert_int_equal(open_pinned(&tree, "a", first.pin, &again), ERR_CHANGED);

    little_tree_add(&tree, "a", "texts");
    set_mtime(&tree, "a", 1000);
    assert_int_equal(open_pinned(&tree, "a", first.pin, &again), ERR_CHANGED);

    little_tree_add(&tree, "b", "text");
    set_mtime(&tree, "b", 1000);
    little_tree_path(&tree, "a", path);
    little_tree_path(&tree, "b", other);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(open_pinned(&tree, "a", first.pin, &again), ERR_CHANGED);

    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_pinned(&tree, "a", first.pin, &again), ERR_CHANGED);
    file_close(&first);
    little_tree_drop(&tree);
}

static void a_change_under_an_open_file_is_seen(void **state)
{
    struct little_tree tree;
    struct file_version file;
    uint8_t bytes[4];
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "a", "text");
    assert_int_equal(open_pinned(&tree, "a", "", &file), ERR_OK);
    set_mtime(&tree, "a", 1000);
    assert_int_equal(file_read(&file, 0, bytes, sizeof bytes), ERR_CHANGED);
    file_close(&file);
    little_tree_drop(&tree);
}

static void a_file_that_ends_too_soon_has_changed(void **state)
{
    struct little_tree tree;
    struct file_version file;
    uint8_t bytes[8];
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "a", "text");
    assert_int_equal(open_pinned(&tree, "a", "", &file), ERR_OK);
    assert_int_equal(file_read(&file, 0, bytes, sizeof bytes), ERR_CHANGED);
    file_close(&file);
    little_tree_drop(&tree);
}

static void what_is_no_file_is_not_found(void **state)
{
    struct little_tree tree;
    char path[1200];
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "d/f", "text");
    little_tree_path(&tree, "pipe", path);
    assert_int_equal(mkfifo(path, 0644), 0);
    expect_failure(&tree, "none", ERR_SOURCE_NOT_FOUND);
    expect_failure(&tree, "d", ERR_SOURCE_NOT_FOUND);
    expect_failure(&tree, "d/", ERR_SOURCE_NOT_FOUND);
    expect_failure(&tree, "d/f/", ERR_SOURCE_NOT_FOUND);
    expect_failure(&tree, "d/f/g", ERR_SOURCE_NOT_FOUND);
    expect_failure(&tree, "pipe", ERR_SOURCE_NOT_FOUND);
    expect_failure(&tree, "", ERR_SOURCE_NOT_FOUND);
    little_tree_drop(&tree);
}

static void nothing_outside_of_the_root_is_opened(void **state)
{
    struct little_tree tree;
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "inside/f", "text");
    little_tree_link(&tree, "out", "/etc/passwd");
    little_tree_link(&tree, "up", "../../etc/passwd");
    little_tree_link(&tree, "etc", "/etc");
    expect_failure(&tree, "../../etc/passwd", ERR_SOURCE_NOT_FOUND);
    expect_failure(&tree, "/etc/passwd", ERR_SOURCE_NOT_FOUND);
    expect_failure(&tree, "inside/../../x", ERR_SOURCE_NOT_FOUND);
    expect_failure(&tree, "out", ERR_SOURCE_NOT_FOUND);
    expect_failure(&tree, "up", ERR_SOURCE_NOT_FOUND);
    expect_failure(&tree, "etc/passwd", ERR_SOURCE_NOT_FOUND);
    little_tree_drop(&tree);
}

static void links_inside_of_the_root_are_followed(void **state)
{
    struct little_tree tree;
    struct file_version file;
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "real/f", "text");
    little_tree_link(&tree, "alias", "real");
    assert_int_equal(open_pinned(&tree, "alias/f", "", &file), ERR_OK);
    file_close(&file);
    little_tree_drop(&tree);
}

static void a_key_with_a_zero_in_it_is_not_found(void **state)
{
    struct little_tree tree;
    struct file_version file;
    struct text why;
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "a", "text");
    text_init(&why, line, sizeof line);
    assert_int_equal(file_open(tree.root, span_of("a\0b", 3), span_of("", 0), &file, &why),
                     ERR_SOURCE_NOT_FOUND);
    little_tree_drop(&tree);
}

static void a_file_that_may_not_be_read_is_denied(void **state)
{
    struct little_tree tree;
    char path[1200];
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "a", "text");
    little_tree_path(&tree, "a", path);
    assert_int_equal(chmod(path, 0), 0);
    const bool left = little_tree_leave_root(&tree);
    if (left) {
        expect_failure(&tree, "a", ERR_SOURCE_DENIED);
        little_tree_return();
    }
    little_tree_drop(&tree);
    if (!left) {
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_where_and_as_far_as_asked),
        cmocka_unit_test(a_file_opened_by_its_pin_is_the_same_one),
        cmocka_unit_test(another_time_size_or_file_is_another_version),
        cmocka_unit_test(a_change_under_an_open_file_is_seen),
        cmocka_unit_test(a_file_that_ends_too_soon_has_changed),
        cmocka_unit_test(what_is_no_file_is_not_found),
        cmocka_unit_test(nothing_outside_of_the_root_is_opened),
        cmocka_unit_test(links_inside_of_the_root_are_followed),
        cmocka_unit_test(a_key_with_a_zero_in_it_is_not_found),
        cmocka_unit_test(a_file_that_may_not_be_read_is_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
