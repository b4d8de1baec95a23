/* Directory trees as a store would list them. */
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

#include "base/rng.h"
#include "node/origin/file.h"
#include "tests/unit/node/origin/little_tree.h"

struct wanted {
    const char *prefix, *after;
    bool flat;
    uint32_t limit; /* 0: 1000 */
};

static char line[2048];

static enum err page_of(const struct little_tree *tree, struct file_lister *lister,
                        const struct wanted *wanted, struct span continuation, struct listing *out)
{
    struct text why;
    struct file_page page = {
        .root = tree->root,
        .prefix = span_text(wanted->prefix == NULL ? "" : wanted->prefix),
        .after = span_text(wanted->after == NULL ? "" : wanted->after),
        .continuation = continuation,
        .limit = wanted->limit == 0 ? 1000 : wanted->limit,
        .delimited = !wanted->flat,
    };
    text_init(&why, line, sizeof line);
    return file_list(lister, &page, out, &why);
}

/* All pages, as "key key dir/ ": prefixes are marked by a star. */
static void list_all(const struct little_tree *tree, const struct wanted *wanted, char *out,
                     size_t room)
{
    struct file_lister lister = { 0 };
    char token[1025];
    struct span continuation = span_of(token, 0);
    struct text text;
    text_init(&text, out, room);
    for (;;) {
        struct listing listing;
        assert_int_equal(page_of(tree, &lister, wanted, continuation, &listing), ERR_OK);
        for (uint32_t i = 0; i < listing.count; i++) {
            text_span(&text, listing.entries[i].key);
            text_str(&text, listing.entries[i].is_prefix ? "* " : " ");
        }
        assert_int_equal(listing.truncated, listing.next.size > 0);
        assert_true(listing.next.size < sizeof token);
        memcpy(token, listing.next.data, listing.next.size);
        continuation = span_of(token, listing.next.size);
        listing_fini(&listing);
        if (continuation.size == 0) {
            break;
        }
    }
    assert_false(text.overflow);
    file_lister_fini(&lister);
}

static void expect(const struct little_tree *tree, const struct wanted *wanted, const char *keys)
{
    char got[4096];
    list_all(tree, wanted, got, sizeof got);
    assert_string_equal(got, keys);
}

/* Names around "/" in byte order: "-" and "." before it, "0" behind it. */
static void make_tree(struct little_tree *tree)
{
    little_tree_make(tree);
    little_tree_add(tree, "a/1", "1");
    little_tree_add(tree, "a/b/2", "22");
    little_tree_add(tree, "a-", "");
    little_tree_add(tree, "a.d/3", "");
    little_tree_add(tree, "a0", "");
    little_tree_add(tree, "z", "");
}

static void a_directory_shows_files_and_directories_in_the_order_of_keys(void **state)
{
    struct little_tree tree;
    (void)state;
    make_tree(&tree);
    expect(&tree, &(struct wanted){ 0 }, "a- a.d/* a/* a0 z ");
    expect(&tree, &(struct wanted){ .prefix = "a/" }, "a/1 a/b/* ");
    little_tree_drop(&tree);
}

static void without_a_delimiter_the_whole_tree_is_shown(void **state)
{
    struct little_tree tree;
    (void)state;
    make_tree(&tree);
    expect(&tree, &(struct wanted){ .flat = true }, "a- a.d/3 a/1 a/b/2 a0 z ");
    expect(&tree, &(struct wanted){ .flat = true, .prefix = "a/" }, "a/1 a/b/2 ");
    little_tree_drop(&tree);
}

static void pages_of_any_size_give_the_same(void **state)
{
    struct little_tree tree;
    (void)state;
    make_tree(&tree);
    for (uint32_t limit = 1; limit < 8; limit++) {
        expect(&tree, &(struct wanted){ .limit = limit }, "a- a.d/* a/* a0 z ");
        expect(&tree, &(struct wanted){ .limit = limit, .flat = true }, "a- a.d/3 a/1 a/b/2 a0 z ");
    }
    little_tree_drop(&tree);
}

static void a_listing_begins_behind_a_key_that_need_not_be_there(void **state)
{
    struct little_tree tree;
    (void)state;
    make_tree(&tree);
    expect(&tree, &(struct wanted){ .after = "a-" }, "a.d/* a/* a0 z ");
    expect(&tree, &(struct wanted){ .after = "a.zzz" }, "a/* a0 z ");
    expect(&tree, &(struct wanted){ .after = "a/1" }, "a/* a0 z ");
    expect(&tree, &(struct wanted){ .after = "zz" }, "");
    expect(&tree, &(struct wanted){ .after = "a/1", .flat = true }, "a/b/2 a0 z ");
    expect(&tree, &(struct wanted){ .after = "a/b/2", .flat = true }, "a0 z ");
    expect(&tree, &(struct wanted){ .after = "a", .flat = true, .prefix = "a/" }, "a/1 a/b/2 ");
    expect(&tree, &(struct wanted){ .after = "b", .flat = true, .prefix = "a/" }, "");
    little_tree_drop(&tree);
}

static void a_prefix_may_end_inside_of_a_name(void **state)
{
    struct little_tree tree;
    (void)state;
    make_tree(&tree);
    expect(&tree, &(struct wanted){ .prefix = "a" }, "a- a.d/* a/* a0 ");
    expect(&tree, &(struct wanted){ .prefix = "a." }, "a.d/* ");
    expect(&tree, &(struct wanted){ .prefix = "a/b", .flat = true }, "a/b/2 ");
    little_tree_drop(&tree);
}

static void a_prefix_that_is_nothing_gives_nothing(void **state)
{
    struct little_tree tree;
    (void)state;
    make_tree(&tree);
    expect(&tree, &(struct wanted){ .prefix = "none/" }, "");
    expect(&tree, &(struct wanted){ .prefix = "z/" }, "");
    expect(&tree, &(struct wanted){ .prefix = "none/", .flat = true }, "");
    expect(&tree, &(struct wanted){ .prefix = "../" }, "");
    expect(&tree, &(struct wanted){ .prefix = "/etc/" }, "");
    expect(&tree, &(struct wanted){ .prefix = "a/../../" }, "");
    little_tree_drop(&tree);
}

static void an_empty_directory_is_an_empty_object_of_its_name(void **state)
{
    struct little_tree tree;
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "e/", "");
    little_tree_add(&tree, "f/x", "");
    expect(&tree, &(struct wanted){ 0 }, "e/* f/* ");
    expect(&tree, &(struct wanted){ .prefix = "e/" }, "e/ ");
    expect(&tree, &(struct wanted){ .flat = true }, "e/ f/x ");
    expect(&tree, &(struct wanted){ .flat = true, .limit = 1 }, "e/ f/x ");
    expect(&tree, &(struct wanted){ .flat = true, .after = "e/" }, "f/x ");
    little_tree_drop(&tree);
}

static void an_empty_root_is_empty(void **state)
{
    struct little_tree tree;
    (void)state;
    little_tree_make(&tree);
    expect(&tree, &(struct wanted){ 0 }, "");
    expect(&tree, &(struct wanted){ .flat = true }, "");
    little_tree_drop(&tree);
}

static void a_root_that_is_not_there_is_not_found(void **state)
{
    struct little_tree tree = { .root = "/tmp/atoll-no-such-directory" };
    struct file_lister lister = { 0 };
    struct listing listing;
    (void)state;
    assert_int_equal(page_of(&tree, &lister, &(struct wanted){ 0 }, span_of("", 0), &listing),
                     ERR_SOURCE_NOT_FOUND);
    assert_non_null(strstr(line, "atoll-no-such-directory"));
}

static void an_entry_has_the_size_time_and_version_of_its_file(void **state)
{
    struct little_tree tree;
    struct file_lister lister = { 0 };
    struct listing listing;
    struct file_version file;
    struct text why;
    (void)state;
    make_tree(&tree);
    assert_int_equal(
        page_of(&tree, &lister, &(struct wanted){ .prefix = "a/b/" }, span_of("", 0), &listing),
        ERR_OK);
    assert_int_equal(listing.count, 1);
    text_init(&why, line, sizeof line);
    assert_int_equal(
        file_open(tree.root, listing.entries[0].key, listing.entries[0].pin, &file, &why), ERR_OK);
    assert_int_equal(listing.entries[0].size, 2);
    assert_int_equal(listing.entries[0].mtime_us, file.mtime_us);
    file_close(&file);
    listing_fini(&listing);
    file_lister_fini(&lister);
    little_tree_drop(&tree);
}

static void only_files_and_directories_are_shown(void **state)
{
    struct little_tree tree;
    char path[1200];
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "f", "");
    little_tree_path(&tree, "pipe", path);
    assert_int_equal(mkfifo(path, 0644), 0);
    little_tree_link(&tree, "dangling", "nowhere");
    little_tree_link(&tree, "out", "/etc/passwd");
    little_tree_link(&tree, "outside", "/etc");
    little_tree_link(&tree, "up", "..");
    little_tree_link(&tree, "in", "f");
    expect(&tree, &(struct wanted){ 0 }, "f in ");
    little_tree_drop(&tree);
}

static void a_link_to_a_directory_is_a_directory(void **state)
{
    struct little_tree tree;
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "real/f", "");
    little_tree_link(&tree, "also", "real");
    expect(&tree, &(struct wanted){ 0 }, "also/* real/* ");
    expect(&tree, &(struct wanted){ .flat = true }, "also/f real/f ");
    little_tree_drop(&tree);
}

static void links_in_a_circle_come_to_an_end(void **state)
{
    struct little_tree tree;
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "a/f", "");
    little_tree_add(&tree, "b/g", "");
    little_tree_link(&tree, "a/self", ".");
    little_tree_link(&tree, "a/to-b", "../b");
    little_tree_link(&tree, "b/to-a", "../a");
    expect(&tree, &(struct wanted){ .flat = true }, "a/f a/to-b/g b/g b/to-a/f ");
    little_tree_drop(&tree);
}

static void what_changes_between_pages_is_seen(void **state)
{
    struct little_tree tree;
    struct file_lister lister = { 0 };
    struct listing first, second;
    (void)state;
    little_tree_make(&tree);
    little_tree_add(&tree, "a", "");
    little_tree_add(&tree, "c", "");
    assert_int_equal(
        page_of(&tree, &lister, &(struct wanted){ .limit = 1 }, span_of("", 0), &first), ERR_OK);
    little_tree_add(&tree, "b", "");
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1 } };
    assert_int_equal(utimensat(AT_FDCWD, tree.root, times, 0), 0);
    assert_int_equal(page_of(&tree, &lister, &(struct wanted){ .limit = 1 }, first.next, &second),
                     ERR_OK);
    assert_true(span_equal(second.entries[0].key, span_text("b")));
    listing_fini(&first);
    listing_fini(&second);
    file_lister_fini(&lister);
    little_tree_drop(&tree);
}

static void a_directory_that_may_not_be_read_is_denied(void **state)
{
    struct little_tree tree;
    struct file_lister lister = { 0 };
    struct listing listing;
    char path[1200];
    (void)state;
    make_tree(&tree);
    little_tree_path(&tree, "a", path);
    assert_int_equal(chmod(path, 0), 0);
    const bool left = little_tree_leave_root(&tree);
    if (left) {
        assert_int_equal(
            page_of(&tree, &lister, &(struct wanted){ .flat = true }, span_of("", 0), &listing),
            ERR_SOURCE_DENIED);
        little_tree_return();
    }
    file_lister_fini(&lister);
    little_tree_drop(&tree);
    if (!left) {
        skip();
    }
}

/* ---- any tree, any page size: the same keys in byte order ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void random_name(struct rng *rng, char *name, size_t room)
{
    size_t used = 0, parts = 1 + rng_below(rng, 3);
    for (size_t part = 0; part < parts; part++) {
        used += (size_t)snprintf(name + used, room - used, "%s%c%c", part == 0 ? "" : "/",
                                 "ab"[rng_below(rng, 2)], "ab-.0"[rng_below(rng, 5)]);
    }
}

static bool is_there(const struct little_tree *tree, const char *name, bool only_file)
{
    char path[1200];
    struct stat st;
    little_tree_path(tree, name, path);
    return stat(path, &st) == 0 && (!only_file || S_ISREG(st.st_mode));
}

/* Neither there already nor below a file. */
static bool is_free(const struct little_tree *tree, const char *name)
{
    char above[64];
    for (size_t i = 0; i < strlen(name); i++) {
        above[i] = '\0';
        if (name[i] == '/' && is_there(tree, above, true)) {
            return false;
        }
        above[i] = name[i];
    }
    return !is_there(tree, name, false);
}

/* A tree of up to 40 files and its keys in order, as list_all writes them. */
static void make_random(struct little_tree *tree, struct rng *rng, struct text *wanted)
{
    char *keys[40], name[64];
    size_t count = 0;
    little_tree_make(tree);
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        random_name(rng, name, sizeof name);
        if (is_free(tree, name)) {
            little_tree_add(tree, name, "");
            keys[count++] = strdup(name);
        }
    }
    qsort(keys, count, sizeof keys[0], compare);
    for (size_t i = 0; i < count; i++) {
        text_str(wanted, keys[i]);
        text_char(wanted, ' ');
        free(keys[i]);
    }
}

static void trees_at_random_are_shown_whole_and_in_order(void **state)
{
    char wanted[8192], got[8192];
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct little_tree tree;
        struct text text;
        struct rng rng;
        print_message("seed %d\n", (int)seed);
        rng_init(&rng, seed, 0);
        text_init(&text, wanted, sizeof wanted);
        make_random(&tree, &rng, &text);
        uint32_t limit = 1 + (uint32_t)rng_below(&rng, 9);
        list_all(&tree, &(struct wanted){ .flat = true, .limit = limit }, got, sizeof got);
        assert_string_equal(got, wanted);
        little_tree_drop(&tree);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_shows_files_and_directories_in_the_order_of_keys),
        cmocka_unit_test(without_a_delimiter_the_whole_tree_is_shown),
        cmocka_unit_test(pages_of_any_size_give_the_same),
        cmocka_unit_test(a_listing_begins_behind_a_key_that_need_not_be_there),
        cmocka_unit_test(a_prefix_may_end_inside_of_a_name),
        cmocka_unit_test(a_prefix_that_is_nothing_gives_nothing),
        cmocka_unit_test(an_empty_directory_is_an_empty_object_of_its_name),
        cmocka_unit_test(an_empty_root_is_empty),
        cmocka_unit_test(a_root_that_is_not_there_is_not_found),
        cmocka_unit_test(an_entry_has_the_size_time_and_version_of_its_file),
        cmocka_unit_test(only_files_and_directories_are_shown),
        cmocka_unit_test(a_link_to_a_directory_is_a_directory),
        cmocka_unit_test(links_in_a_circle_come_to_an_end),
        cmocka_unit_test(what_changes_between_pages_is_seen),
        cmocka_unit_test(a_directory_that_may_not_be_read_is_denied),
        cmocka_unit_test(trees_at_random_are_shown_whole_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
