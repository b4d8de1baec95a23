#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/io/keys.h"

struct place_on_disk {
    char dir[64];
    char path[96];
    char why_room[512];
    struct text why;
};

static int set_up(void **state)
{
    struct place_on_disk *at = calloc(1, sizeof *at);
    strcpy(at->dir, "/tmp/atoll-test-keys-XXXXXX");
    assert_non_null(mkdtemp(at->dir));
    snprintf(at->path, sizeof at->path, "%s/keys.json", at->dir);
    text_init(&at->why, at->why_room, sizeof at->why_room);
    *state = at;
    return 0;
}

static int tear_down(void **state)
{
    struct place_on_disk *at = *state;
    unlink(at->path);
    assert_int_equal(rmdir(at->dir), 0);
    free(at);
    return 0;
}

static void write_text(const struct place_on_disk *at, const char *text, mode_t mode)
{
    unlink(at->path);
    int fd = open(at->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void a_cluster_file_reads_back_as_it_was_written(void **state)
{
    struct place_on_disk *at = *state;
    struct cluster_keys keys;
    struct cluster_keys back;
    struct stat stat_of;
    keys_make_cluster("prod", 18, &keys);
    assert_int_equal(keys_save_cluster(at->path, &keys, &at->why), ERR_OK);
    assert_int_equal(stat(at->path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0600);
    assert_int_equal(keys_load_cluster(at->path, &back, &at->why), ERR_OK);
    assert_string_equal(back.name, "prod");
    assert_int_equal(back.slots_log2, 18);
    assert_int_equal(back.key.number, keys.key.number);
    assert_memory_equal(back.key.gossip, keys.key.gossip, 32);
    assert_memory_equal(back.curve_public, keys.curve_public, 32);
    assert_memory_equal(back.curve_secret, keys.curve_secret, 32);
    assert_memory_equal(back.key.sign_secret, keys.key.sign_secret, 64);
    assert_memory_equal(back.key.capability, keys.key.capability, 32);
}

static void two_clusters_have_no_key_in_common(void **state)
{
    struct cluster_keys a;
    struct cluster_keys b;
    (void)state;
    keys_make_cluster("x", 18, &a);
    keys_make_cluster("x", 18, &b);
    assert_memory_not_equal(a.key.gossip, b.key.gossip, 32);
    assert_memory_not_equal(a.curve_secret, b.curve_secret, 32);
    assert_memory_not_equal(a.key.sign_secret, b.key.sign_secret, 64);
    assert_memory_not_equal(a.key.capability, b.key.capability, 32);
}

static void a_client_file_reads_back_as_it_was_written(void **state)
{
    struct place_on_disk *at = *state;
    struct client_keys keys = { .cluster = "prod", .slots_log2 = 18, .grants_size = 700 };
    struct client_keys back;
    keys_make_pair(keys.public_key, keys.secret_key);
    memset(keys.server_key, 9, 32);
    memset(keys.grants, 0xa5, keys.grants_size);
    assert_int_equal(keys_save_client(at->path, &keys, &at->why), ERR_OK);
    assert_int_equal(keys_load_client(at->path, &back, &at->why), ERR_OK);
    assert_string_equal(back.cluster, "prod");
    assert_memory_equal(back.server_key, keys.server_key, 32);
    assert_memory_equal(back.secret_key, keys.secret_key, 32);
    assert_int_equal(back.grants_size, 700);
    assert_memory_equal(back.grants, keys.grants, 700);
}

static void keys_that_exist_are_never_replaced(void **state)
{
    struct place_on_disk *at = *state;
    struct cluster_keys keys;
    struct cluster_keys other;
    struct cluster_keys back;
    keys_make_cluster("a", 18, &keys);
    keys_make_cluster("b", 18, &other);
    assert_int_equal(keys_save_cluster(at->path, &keys, &at->why), ERR_OK);
    assert_int_equal(keys_save_cluster(at->path, &other, &at->why), ERR_EXISTS);
    assert_int_equal(keys_load_cluster(at->path, &back, &at->why), ERR_OK);
    assert_string_equal(back.name, "a");
}

static void a_file_that_others_can_read_is_refused(void **state)
{
    struct place_on_disk *at = *state;
    struct cluster_keys keys;
    keys_make_cluster("a", 18, &keys);
    assert_int_equal(keys_save_cluster(at->path, &keys, &at->why), ERR_OK);
    chmod(at->path, 0640);
    assert_int_equal(keys_load_cluster(at->path, &keys, &at->why), ERR_INVALID);
    assert_non_null(strstr(at->why_room, "chmod 600"));
}

static void a_file_of_another_kind_is_refused(void **state)
{
    struct place_on_disk *at = *state;
    struct client_keys client = { .cluster = "a", .slots_log2 = 18 };
    struct cluster_keys keys;
    assert_int_equal(keys_save_client(at->path, &client, &at->why), ERR_OK);
    assert_int_equal(keys_load_cluster(at->path, &keys, &at->why), ERR_INVALID);
    assert_non_null(strstr(at->why_room, "atoll-client"));
}

static void a_newer_version_is_refused_and_the_file_stays(void **state)
{
    struct place_on_disk *at = *state;
    struct cluster_keys keys;
    write_text(at, "{\"kind\": \"atoll-cluster\", \"version\": 2}", 0600);
    assert_int_equal(keys_load_cluster(at->path, &keys, &at->why), ERR_VERSION);
    assert_int_equal(access(at->path, R_OK), 0);
}

static void damaged_files_are_refused(void **state)
{
    const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"kind\": \"atoll-cluster\"}",
        "{\"kind\": \"atoll-cluster\", \"version\": 1}",
        ("{\"kind\": \"atoll-cluster\", \"version\": 1, \"cluster\": \"a\", \"slots_log2\": 18, "
         "\"key_epoch\": 1, \"gossip_key\": \"00\"}"),
    };
    struct place_on_disk *at = *state;
    struct cluster_keys keys;
    for (uint32_t i = 0; i < ARRAY_COUNT(texts); i++) {
        write_text(at, texts[i], 0600);
        assert_int_equal(keys_load_cluster(at->path, &keys, &at->why), ERR_MALFORMED);
    }
}

static void a_file_that_is_not_there_is_told(void **state)
{
    struct place_on_disk *at = *state;
    struct cluster_keys keys;
    assert_int_equal(keys_load_cluster(at->path, &keys, &at->why), ERR_NOT_FOUND);
    assert_non_null(strstr(at->why_room, at->path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cluster_file_reads_back_as_it_was_written, set_up,
                                        tear_down),
        cmocka_unit_test(two_clusters_have_no_key_in_common),
        cmocka_unit_test_setup_teardown(a_client_file_reads_back_as_it_was_written, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(keys_that_exist_are_never_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_others_can_read_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_another_kind_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_newer_version_is_refused_and_the_file_stays, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(damaged_files_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_not_there_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
