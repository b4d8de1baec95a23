#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <lmdb.h>

#include "node/io/item.h"
#include "node/io/meta_actor.h"

struct store {
    char dir[64];
    char why_room[512];
    struct queue *out;
    struct meta_actor *meta;
    enum meta_space space; /* of what is asked next */
};

static int set_up(void **state)
{
    struct store *store = calloc(1, sizeof *store);
    strcpy(store->dir, "/tmp/atoll-test-meta-XXXXXX");
    assert_non_null(mkdtemp(store->dir));
    assert_int_equal(queue_new(&store->out), ERR_OK);
    *state = store;
    return 0;
}

static enum err start(struct store *store, const char *dir)
{
    const struct meta_actor_options options = { .out = store->out, .dir = dir };
    struct text why;
    text_init(&why, store->why_room, sizeof store->why_room);
    return meta_actor_start(&options, &store->meta, &why);
}

static void stop(struct store *store)
{
    meta_actor_stop(&store->meta);
    struct queue_item *next = queue_take(store->out);
    while (next != NULL) {
        struct item *item = item_of(next);
        next = next->next;
        item->free(item);
    }
}

static int tear_down(void **state)
{
    struct store *store = *state;
    char command[128];
    stop(store);
    queue_free(&store->out);
    snprintf(command, sizeof command, "rm -rf %s", store->dir);
    assert_int_equal(system(command), 0);
    free(store);
    return 0;
}

static struct item *next_item(struct store *store)
{
    struct queue_item *item = queue_pop(store->out, SEC(60));
    assert_non_null(item);
    return item_of(item);
}

static uint32_t wait_ready(struct store *store)
{
    uint32_t count = 0;
    struct item *item = next_item(store);
    while (item->event.kind == NODE_META_RECORD) {
        count++;
        item->free(item);
        item = next_item(store);
    }
    assert_int_equal(item->event.kind, NODE_META_READY);
    item->free(item);
    return count;
}

static void ask(struct store *store, enum node_effect_kind kind, uint64_t id, struct span key,
                struct span value)
{
    const struct node_effect effect = {
        .kind = kind, .meta = { .id = id, .space = store->space, .key = key, .value = value }
    };
    assert_int_equal(meta_actor_do(store->meta, &effect), ERR_OK);
}

/* The answer to `id`, which comes next. */
static struct item *answer_of(struct store *store, uint64_t id, enum err err)
{
    struct item *item = next_item(store);
    assert_int_equal(item->event.kind, NODE_META);
    assert_int_equal(item->event.meta.id, id);
    assert_int_equal(item->event.meta.err, err);
    return item;
}

static void done(struct store *store, uint64_t id, enum err err)
{
    struct item *item = answer_of(store, id, err);
    item->free(item);
}

static void check_value(struct store *store, enum meta_space space, struct span key,
                        struct span value)
{
    store->space = space;
    ask(store, NODE_META_GET, 1, key, span_text(""));
    struct item *item = answer_of(store, 1, ERR_OK);
    assert_true(span_equal(item->event.meta.value, value));
    item->free(item);
}

static void what_was_put_is_there_after_a_restart(void **state)
{
    struct store *store = *state;
    assert_int_equal(start(store, store->dir), ERR_OK);
    assert_int_equal(wait_ready(store), 0);
    store->space = META_DATASET;
    ask(store, NODE_META_PUT, 1, span_text("a"), span_text("record a"));
    done(store, 1, ERR_OK);
    store->space = META_DATASET;
    ask(store, NODE_META_PUT, 2, span_text("b"), span_text("record b"));
    done(store, 2, ERR_OK);
    store->space = META_ROOT;
    ask(store, NODE_META_PUT, 3, span_text("a"), span_text("root"));
    done(store, 3, ERR_OK);
    stop(store);
    assert_int_equal(start(store, store->dir), ERR_OK);
    assert_int_equal(wait_ready(store), 2); /* datasets, and nothing else */
    check_value(store, META_ROOT, span_text("a"), span_text("root"));
    check_value(store, META_DATASET, span_text("a"), span_text("record a"));
}

static void what_is_deleted_or_never_was_is_not_found(void **state)
{
    struct store *store = *state;
    assert_int_equal(start(store, store->dir), ERR_OK);
    wait_ready(store);
    store->space = META_PAGE;
    ask(store, NODE_META_PUT, 1, span_text("p"), span_text("page"));
    done(store, 1, ERR_OK);
    store->space = META_PAGE;
    ask(store, NODE_META_DELETE, 2, span_text("p"), span_text(""));
    done(store, 2, ERR_OK);
    store->space = META_PAGE;
    ask(store, NODE_META_GET, 3, span_text("p"), span_text(""));
    done(store, 3, ERR_NOT_FOUND);
    store->space = META_PAGE;
    ask(store, NODE_META_DELETE, 4, span_text("p"), span_text(""));
    done(store, 4, ERR_OK); /* gone is gone */
}

static void keys_of_any_size_are_kept_apart(void **state)
{
    struct store *store = *state;
    char a[1100];
    char b[1100];
    memset(a, 'x', sizeof a);
    memset(b, 'x', sizeof b);
    b[sizeof b - 1] = 'y';
    assert_int_equal(start(store, store->dir), ERR_OK);
    wait_ready(store);
    for (size_t size = 505; size <= sizeof a; size += 5) {
        store->space = META_PAGE;
        ask(store, NODE_META_PUT, 1, span_of(a, size), span_of(a, size));
        done(store, 1, ERR_OK);
    }
    store->space = META_PAGE;
    ask(store, NODE_META_PUT, 1, span_of(b, sizeof b), span_text("b"));
    done(store, 1, ERR_OK);
    for (size_t size = 505; size <= sizeof a; size += 5) {
        check_value(store, META_PAGE, span_of(a, size), span_of(a, size));
    }
    check_value(store, META_PAGE, span_of(b, sizeof b), span_text("b"));
}

static void large_values_come_back_whole(void **state)
{
    struct store *store = *state;
    const size_t size = 3u << 20;
    uint8_t *value = malloc(size);
    memset(value, 0x5a, size);
    assert_int_equal(start(store, store->dir), ERR_OK);
    wait_ready(store);
    store->space = META_PAGE;
    ask(store, NODE_META_PUT, 1, span_text("big"), span_of(value, size));
    done(store, 1, ERR_OK);
    check_value(store, META_PAGE, span_text("big"), span_of(value, size));
    free(value);
}

static void every_one_of_many_is_answered_once(void **state)
{
    struct store *store = *state;
    bool seen[1000] = { false };
    uint8_t key[4];
    assert_int_equal(start(store, store->dir), ERR_OK);
    wait_ready(store);
    for (uint32_t i = 0; i < 1000; i++) {
        put_u32(key, i);
        store->space = META_PAGE;
        ask(store, NODE_META_PUT, i, span_of(key, 4), span_of(key, 4));
    }
    for (uint32_t i = 0; i < 1000; i++) {
        struct item *item = next_item(store);
        assert_int_equal(item->event.meta.err, ERR_OK);
        assert_false(seen[item->event.meta.id]);
        seen[item->event.meta.id] = true;
        item->free(item);
    }
    put_u32(key, 999);
    check_value(store, META_PAGE, span_of(key, 4), span_of(key, 4));
}

static void disk(struct store *store, enum err err)
{
    struct item *item = next_item(store);
    assert_int_equal(item->event.kind, NODE_META_DISK);
    assert_int_equal(item->event.meta_disk.err, err);
    item->free(item);
}

/* Files may grow to `bytes` in this process; a write beyond is an error, not a signal. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static rlim_t size_of_data(const struct store *store)
{
    char path[128];
    struct stat stat_of;
    snprintf(path, sizeof path, "%s/data.mdb", store->dir);
    assert_int_equal(stat(path, &stat_of), 0);
    return (rlim_t)stat_of.st_size;
}

static void it_is_told_once_when_there_is_no_room_and_once_when_a_write_succeeds(void **state)
{
    struct store *store = *state;
    const size_t size = 1u << 20;
    uint8_t *value = calloc(1, size);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(start(store, store->dir), ERR_OK);
    wait_ready(store);
    store->space = META_PAGE;
    limit_files(size_of_data(store)); /* what is written first starts behind it */
    for (uint64_t id = 1; id <= 2; id++) {
        ask(store, NODE_META_PUT, id, span_text("big"), span_of(value, size));
        done(store, id, ERR_FULL);
        if (id == 1) {
            disk(store, ERR_FULL);
        }
    }
    limit_files(before.rlim_cur);
    ask(store, NODE_META_PUT, 3, span_text("big"), span_of(value, size));
    done(store, 3, ERR_OK);
    disk(store, ERR_OK);
    check_value(store, META_PAGE, span_text("big"), span_of(value, size));
    free(value);
}

static void file_that_cannot_be_written_is_told_until_one_can(void **state)
{
    struct store *store = *state;
    assert_int_equal(start(store, store->dir), ERR_OK);
    wait_ready(store);
    store->space = META_ROOT;
    meta_actor_wrote_file(store->meta, EACCES);
    disk(store, ERR_SYSTEM);
    ask(store, NODE_META_PUT, 1, span_text("a"), span_text("root"));
    done(store, 1, ERR_OK); /* a record that can be written says nothing of files */
    meta_actor_wrote_file(store->meta, EDQUOT);
    disk(store, ERR_FULL);
    meta_actor_wrote_file(store->meta, 0);
    disk(store, ERR_OK);
}

static void file_that_found_no_room_is_well_when_there_is_some(void **state)
{
    struct store *store = *state;
    assert_int_equal(start(store, store->dir), ERR_OK);
    wait_ready(store);
    meta_actor_wrote_file(store->meta, ENOSPC);
    disk(store, ERR_FULL);
    disk(store, ERR_OK); /* /tmp has room: looked at after 2 s */
}

static void without_a_directory_nothing_is_left_behind(void **state)
{
    struct store *store = *state;
    setenv("TMPDIR", store->dir, 1);
    assert_int_equal(start(store, NULL), ERR_OK);
    unsetenv("TMPDIR");
    wait_ready(store);
    store->space = META_ROOT;
    ask(store, NODE_META_PUT, 1, span_text("a"), span_text("root"));
    done(store, 1, ERR_OK);
    check_value(store, META_ROOT, span_text("a"), span_text("root"));
    assert_int_equal(rmdir(store->dir), 0); /* it is empty while the store is open */
}

static void a_newer_format_is_refused_and_left_alone(void **state)
{
    struct store *store = *state;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    uint8_t version[4] = { 2 };
    MDB_val key = { .mv_size = 1, .mv_data = "v" };
    MDB_val value = { .mv_size = 4, .mv_data = version };
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, store->dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_int_equal(start(store, store->dir), ERR_VERSION);
    assert_non_null(strstr(store->why_room, "newer version"));
    assert_null(store->meta);
}

static void a_directory_that_is_not_there_is_told(void **state)
{
    struct store *store = *state;
    assert_int_equal(start(store, "/nonexistent/dir"), ERR_SYSTEM);
    assert_non_null(strstr(store->why_room, "/nonexistent/dir"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_put_is_there_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_deleted_or_never_was_is_not_found, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(keys_of_any_size_are_kept_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_values_come_back_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_one_of_many_is_answered_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            it_is_told_once_when_there_is_no_room_and_once_when_a_write_succeeds, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(file_that_cannot_be_written_is_told_until_one_can, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(file_that_found_no_room_is_well_when_there_is_some, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_a_directory_nothing_is_left_behind, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_newer_format_is_refused_and_left_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_directory_that_is_not_there_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
