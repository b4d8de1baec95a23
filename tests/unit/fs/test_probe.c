#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "fs/probe.h"

static struct mount_effect failed(int err)
{
    struct mount_effect effect = { .kind = MOUNT_REPLY_ERR };
    effect.reply_err.id = PROBE_ID;
    effect.reply_err.err = err;
    return effect;
}

/* The root is being opened. */
static struct probe begun(void)
{
    struct probe probe = { .state = PROBE_NONE };
    struct mount_event event;
    assert_false(probe_next(&probe, &event));
    probe_begin(&probe, SEC(1));
    assert_true(probe_next(&probe, &event));
    assert_int_equal(event.op.kind, OP_OPENDIR);
    assert_int_equal(event.op.ino, MOUNT_ROOT_INO);
    assert_false(probe_next(&probe, &event));
    return probe;
}

static void prefix_that_is_there_is_opened_and_closed(void **state)
{
    struct probe probe = begun();
    struct mount_event event;
    struct mount_effect open = { .kind = MOUNT_REPLY_OPEN };
    (void)state;
    open.reply_open.id = PROBE_ID;
    open.reply_open.handle = 77;
    struct probe_word word = probe_on_reply(&probe, &open);
    assert_true(word.is && word.err == ERR_OK && word.said == NULL);
    assert_true(probe_next(&probe, &event));
    assert_int_equal(event.op.kind, OP_RELEASEDIR);
    assert_int_equal(event.op.handle, 77);
    struct mount_effect closed = failed(0);
    assert_false(probe_on_reply(&probe, &closed).is);
    assert_false(probe_next(&probe, &event));
}

static void prefix_that_is_not_there_is_refused(void **state)
{
    static const int gone[] = { ENOENT, ENOTDIR };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(gone); i++) {
        struct probe probe = begun();
        struct mount_effect effect = failed(gone[i]);
        struct probe_word word = probe_on_reply(&probe, &effect);
        assert_true(word.is && word.err == ERR_NOT_FOUND && word.said != NULL);
    }
}

static void prefix_that_cannot_be_listed_is_mounted_with_a_warning(void **state)
{
    struct probe probe = begun();
    struct mount_effect effect = failed(EACCES);
    (void)state;
    struct probe_word word = probe_on_reply(&probe, &effect);
    assert_true(word.is && word.err == ERR_OK);
    assert_non_null(strstr(word.said, "atoll status"));
}

static void source_that_does_not_answer_holds_nobody_up_for_long(void **state)
{
    struct probe probe = begun();
    usec_t due_us;
    (void)state;
    assert_false(probe_on_time(&probe, SEC(1) + PROBE_US - 1, &due_us).is);
    assert_int_equal(due_us, SEC(1) + PROBE_US);
    struct probe_word word = probe_on_time(&probe, SEC(1) + PROBE_US, &due_us);
    assert_true(word.is && word.err == ERR_OK && word.said != NULL);
    assert_int_equal(due_us, USEC_NEVER);
    assert_false(probe_on_time(&probe, SEC(100), &due_us).is);
    struct mount_effect late = failed(ENOENT); /* it is mounted by now */
    assert_false(probe_on_reply(&probe, &late).is);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefix_that_is_there_is_opened_and_closed),
        cmocka_unit_test(prefix_that_is_not_there_is_refused),
        cmocka_unit_test(prefix_that_cannot_be_listed_is_mounted_with_a_warning),
        cmocka_unit_test(source_that_does_not_answer_holds_nobody_up_for_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
