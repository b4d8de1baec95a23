#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/io/identity.h"

struct home {
    char top[64];
    char dir[96]; /* does not exist yet */
    char why_room[512];
    struct text why;
};

static int set_up(void **state)
{
    struct home *home = calloc(1, sizeof *home);
    strcpy(home->top, "/tmp/atoll-test-identity-XXXXXX");
    assert_non_null(mkdtemp(home->top));
    snprintf(home->dir, sizeof home->dir, "%s/a/b", home->top);
    text_init(&home->why, home->why_room, sizeof home->why_room);
    *state = home;
    return 0;
}

static int tear_down(void **state)
{
    struct home *home = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", home->top);
    assert_int_equal(system(command), 0);
    free(home);
    return 0;
}

static void an_identity_lasts_and_each_start_is_newer(void **state)
{
    struct home *home = *state;
    struct identity *identity;
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    const struct node_id id = identity_id(identity);
    const uint64_t first = identity_incarnation(identity, 1000000);
    assert_int_equal(first, 1000u << 16);
    assert_int_equal(identity_keep(identity, first + 5), ERR_OK);
    assert_int_equal(identity_keep(identity, first), ERR_OK); /* lower: ignored */
    identity_close(&identity);
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    assert_true(node_id_equal(identity_id(identity), id));
    assert_int_equal(identity_incarnation(identity, 0), first + 6); /* a clock set back */
    assert_int_equal(identity_incarnation(identity, 2000000), 2000u << 16);
    identity_close(&identity);
}

static void where_no_node_has_run_there_is_none_and_asking_makes_none(void **state)
{
    struct home *home = *state;
    struct identity *identity;
    assert_false(identity_exists(home->dir));
    assert_int_not_equal(access(home->dir, F_OK), 0);
    assert_false(identity_exists(home->top));
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    identity_close(&identity);
    assert_true(identity_exists(home->dir));
}

static void two_nodes_never_share_a_directory(void **state)
{
    struct home *home = *state;
    struct identity *identity;
    struct identity *other = NULL;
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    assert_int_equal(identity_open(home->dir, &other, &home->why), ERR_IDENTITY_IN_USE);
    assert_non_null(strstr(home->why_room, "--data-dir"));
    assert_null(other);
    identity_close(&identity);
    assert_int_equal(identity_open(home->dir, &other, &home->why), ERR_OK);
    identity_close(&other);
}

static void a_weight_is_remembered_until_it_is_forgotten(void **state)
{
    struct home *home = *state;
    struct identity *identity;
    uint32_t weight = 7;
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    assert_false(identity_weight(identity, &weight));
    assert_int_equal(weight, 7);
    assert_int_equal(identity_keep_weight(identity, 0), ERR_OK);
    assert_int_equal(identity_keep_weight(identity, 65535), ERR_OK);
    identity_close(&identity);
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    assert_true(identity_weight(identity, &weight));
    assert_int_equal(weight, 65535);
    assert_int_equal(identity_forget_weight(identity), ERR_OK);
    assert_int_equal(identity_forget_weight(identity), ERR_OK);
    assert_false(identity_weight(identity, &weight));
    identity_close(&identity);
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    assert_false(identity_weight(identity, &weight));
    identity_close(&identity);
}

static void a_damaged_weight_is_refused(void **state)
{
    static const char *const damaged[] = { "{\"version\":1}", "{\"version\":1,\"weight\":65536}",
                                           "{\"version\":1,\"weight\":-1}", "{", "" };
    struct home *home = *state;
    struct identity *identity;
    char path[128];
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    identity_close(&identity);
    snprintf(path, sizeof path, "%s/weight.json", home->dir);
    for (uint32_t i = 0; i < ARRAY_COUNT(damaged); i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(damaged[i], file);
        fclose(file);
        text_init(&home->why, home->why_room, sizeof home->why_room);
        assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_MALFORMED);
        assert_non_null(strstr(home->why_room, home->dir));
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("{\"version\":2,\"weight\":5}", file);
    fclose(file);
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_VERSION);
}

static void tiers_are_remembered_by_directory(void **state)
{
    struct home *home = *state;
    struct identity *identity;
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    assert_null(identity_tier(identity, "/data"));
    assert_int_equal(identity_keep_tier(identity, "/data", "aa"), ERR_OK);
    assert_int_equal(identity_keep_tier(identity, "/more", "bb"), ERR_OK);
    identity_close(&identity);
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    assert_string_equal(identity_tier(identity, "/data"), "aa");
    assert_string_equal(identity_tier(identity, "/more"), "bb");
    identity_close(&identity);
}

static void a_first_start_that_failed_leaves_nothing_behind(void **state)
{
    struct home *home = *state;
    struct identity *identity;
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    identity_abandon(identity);
    identity_close(&identity);
    assert_int_equal(access(home->dir, F_OK), -1);
}

static void a_later_start_that_failed_takes_nothing_away(void **state)
{
    struct home *home = *state;
    struct identity *identity;
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    const struct node_id id = identity_id(identity);
    identity_close(&identity);
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    identity_abandon(identity);
    identity_close(&identity);
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    assert_true(node_id_equal(identity_id(identity), id));
    identity_close(&identity);
}

#define ID "0123456789abcdef0123456789abcdef"
#define NO_ID "00000000000000000000000000000000"

static void write_node_file(struct home *home, const char *text)
{
    char path[128];
    struct identity *identity;
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_OK);
    identity_close(&identity);
    snprintf(path, sizeof path, "%s/node.json", home->dir);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void a_damaged_file_is_refused_and_not_replaced(void **state)
{
    const char *const texts[] = { "",
                                  "{",
                                  "{\"version\": 1, \"id\": \"zz\", \"incarnation\": 1}",
                                  "{\"version\": 0}",
                                  "{\"version\": 1, \"id\": \"" ID "\", \"incarnation\": -1}",
                                  "{\"version\": 1, \"id\": \"" ID
                                  "\", \"incarnation\": 4611686018427387904}",
                                  "{\"version\": 1, \"id\": \"" NO_ID "\", \"incarnation\": 1}" };
    struct home *home = *state;
    struct identity *identity = NULL;
    for (uint32_t i = 0; i < ARRAY_COUNT(texts); i++) {
        set_up((void **)&home);
        write_node_file(home, texts[i]);
        assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_MALFORMED);
        assert_null(identity);
        tear_down((void **)&home);
        home = *state;
    }
}

static void a_newer_file_is_left_alone(void **state)
{
    struct home *home = *state;
    struct identity *identity = NULL;
    write_node_file(home, "{\"version\": 2}");
    assert_int_equal(identity_open(home->dir, &identity, &home->why), ERR_VERSION);
    assert_non_null(strstr(home->why_room, "newer version"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_identity_lasts_and_each_start_is_newer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(where_no_node_has_run_there_is_none_and_asking_makes_none,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_nodes_never_share_a_directory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_weight_is_remembered_until_it_is_forgotten, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_weight_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tiers_are_remembered_by_directory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_first_start_that_failed_leaves_nothing_behind, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_later_start_that_failed_takes_nothing_away, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_refused_and_not_replaced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_newer_file_is_left_alone, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
