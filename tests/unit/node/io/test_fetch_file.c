/* The fetch actor over directories. */
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

#include "tests/unit/node/io/fetch_bench.h"

#define SIZE 3000000u

struct tree {
    char root[64];
    char file[96];
    char uri[96];
    char pin[256];
    struct bench bench;
};

static void write_object(const char *path, uint32_t size)
{
    uint8_t *bytes = malloc(size);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_non_null(bytes);
    assert_true(fd >= 0);
    for (uint32_t i = 0; i < size; i++) {
        bytes[i] = bench_byte(i);
    }
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    free(bytes);
}

static void tree_start(struct tree *tree, const char *allow_root)
{
    snprintf(tree->root, sizeof tree->root, "/tmp/atoll-test-file-XXXXXX");
    assert_non_null(mkdtemp(tree->root));
    snprintf(tree->file, sizeof tree->file, "%s/object", tree->root);
    snprintf(tree->uri, sizeof tree->uri, "file://%s", tree->root);
    write_object(tree->file, SIZE);
    bench_start(&tree->bench,
                &(struct bench_options){
                    .uri = tree->uri, .allow_root = allow_root == NULL ? tree->root : allow_root });
}

static void tree_stop(struct tree *tree)
{
    bench_stop(&tree->bench);
    unlink(tree->file);
    assert_int_equal(rmdir(tree->root), 0);
}

/* Looks the object up; its pin is in the tree then. */
static void look_up(struct tree *tree)
{
    bench_head(&tree->bench, 3, "object");
    struct item *item = bench_next(&tree->bench);
    assert_int_equal(item->event.listed.err, ERR_OK);
    assert_int_equal(item->event.listed.entries->size, SIZE);
    struct span pin = item->event.listed.entries->pin;
    memcpy(tree->pin, pin.data, pin.size);
    tree->pin[pin.size] = '\0';
    bench_done(item);
}

static enum err get(struct tree *tree, uint64_t offset)
{
    struct bench_get wanted = { .id = 1,
                                .key = "object",
                                .pin = tree->pin,
                                .object_size = SIZE,
                                .offset = offset,
                                .sizes = { 100000, 1200000, 700000 } };
    bench_get(&tree->bench, &wanted);
    return bench_wait(&tree->bench, 1, NULL);
}

static void a_file_fills_parts_and_checksums(void **state)
{
    struct tree tree;
    struct fetch_totals totals;
    (void)state;
    tree_start(&tree, NULL);
    look_up(&tree);
    assert_int_equal(get(&tree, 777777), ERR_OK);
    assert_true(bench_is_right(&tree.bench, 777777));
    fetch_totals(tree.bench.fetch, &totals);
    assert_int_equal(totals.bytes, 2000000);
    assert_int_equal(totals.requests[0] + totals.requests[2], 2);
    tree_stop(&tree);
}

static void a_file_written_again_has_changed(void **state)
{
    struct tree tree;
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1 } };
    (void)state;
    tree_start(&tree, NULL);
    look_up(&tree);
    assert_int_equal(utimensat(AT_FDCWD, tree.file, times, 0), 0);
    assert_int_equal(get(&tree, 0), ERR_CHANGED);
    tree_stop(&tree);
}

static void a_file_that_is_gone_has_changed(void **state)
{
    struct tree tree;
    (void)state;
    tree_start(&tree, NULL);
    look_up(&tree);
    assert_int_equal(unlink(tree.file), 0);
    assert_int_equal(get(&tree, 0), ERR_CHANGED);
    tree_stop(&tree);
}

static void a_directory_is_listed(void **state)
{
    struct tree tree;
    (void)state;
    tree_start(&tree, NULL);
    bench_list(&tree.bench, &(struct bench_list){ .id = 2 });
    struct item *item = bench_next(&tree.bench);
    assert_int_equal(item->event.listed.err, ERR_OK);
    assert_int_equal(item->event.listed.count, 1);
    assert_true(span_equal(item->event.listed.entries->key, span_text("object")));
    bench_done(item);
    tree_stop(&tree);
}

static void expect_refused(struct tree *tree)
{
    bench_list(&tree->bench, &(struct bench_list){ .id = 2 });
    struct item *item = bench_next(&tree->bench);
    assert_int_equal(item->event.listed.err, ERR_SOURCE_NOT_ALLOWED);
    bench_done(item);
    bench_head(&tree->bench, 3, "object");
    item = bench_next(&tree->bench);
    assert_int_equal(item->event.listed.err, ERR_SOURCE_NOT_ALLOWED);
    bench_done(item);
    tree->pin[0] = '\0';
    assert_int_equal(get(tree, 0), ERR_SOURCE_NOT_ALLOWED);
}

static void a_root_that_is_not_allowed_shows_nothing(void **state)
{
    struct tree tree;
    (void)state;
    tree_start(&tree, "/usr/share");
    expect_refused(&tree);
    tree_stop(&tree);
}

static void a_name_that_only_begins_like_an_allowed_root_is_not_below_it(void **state)
{
    struct tree tree;
    (void)state;
    tree_start(&tree, "/tm");
    expect_refused(&tree);
    tree_stop(&tree);
}

static void a_link_does_not_make_a_root_allowed(void **state)
{
    char allowed[64] = "/tmp/atoll-test-allow-XXXXXX";
    char link[96], uri[128];
    struct tree tree;
    struct bench bench;
    (void)state;
    tree_start(&tree, NULL);
    assert_non_null(mkdtemp(allowed));
    snprintf(link, sizeof link, "%s/link", allowed);
    snprintf(uri, sizeof uri, "file://%s", link);
    assert_int_equal(symlink(tree.root, link), 0);
    bench_start(&bench, &(struct bench_options){ .uri = uri, .allow_root = allowed });
    bench_head(&bench, 3, "object");
    struct item *item = bench_next(&bench);
    assert_int_equal(item->event.listed.err, ERR_SOURCE_NOT_ALLOWED);
    bench_done(item);
    bench_stop(&bench);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(allowed), 0);
    tree_stop(&tree);
}

static void a_root_that_is_not_there_is_not_found(void **state)
{
    struct bench bench;
    (void)state;
    bench_start(&bench, &(struct bench_options){ .uri = "file:///tmp/atoll-no-such-directory",
                                                 .allow_root = "/tmp" });
    bench_list(&bench, &(struct bench_list){ .id = 2 });
    struct item *item = bench_next(&bench);
    assert_int_equal(item->event.listed.err, ERR_SOURCE_NOT_FOUND);
    bench_done(item);
    bench_stop(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_fills_parts_and_checksums),
        cmocka_unit_test(a_file_written_again_has_changed),
        cmocka_unit_test(a_file_that_is_gone_has_changed),
        cmocka_unit_test(a_directory_is_listed),
        cmocka_unit_test(a_root_that_is_not_allowed_shows_nothing),
        cmocka_unit_test(a_name_that_only_begins_like_an_allowed_root_is_not_below_it),
        cmocka_unit_test(a_link_does_not_make_a_root_allowed),
        cmocka_unit_test(a_root_that_is_not_there_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
