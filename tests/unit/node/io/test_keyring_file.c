/* tests/unit/node/io/test_keyring_file.c: keyring.json, the cluster file beside it, and what an
 * operator says of a new key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/io/keyring_file.h"
#include "node/io/keys.h"
#include "node/io/rotation.h"

struct home {
    char dir[64];
    char path[96]; /* of keyring.json */
    char other[96];
    char why_room[512];
    struct text why;
    struct cluster_keys cluster;
};

static int set_up(void **state)
{
    struct home *home = calloc(1, sizeof *home);
    strcpy(home->dir, "/tmp/atoll-test-keyring-XXXXXX");
    assert_non_null(mkdtemp(home->dir));
    snprintf(home->path, sizeof home->path, "%s/keyring.json", home->dir);
    snprintf(home->other, sizeof home->other, "%s/other.json", home->dir);
    text_init(&home->why, home->why_room, sizeof home->why_room);
    keys_make_cluster("prod", 18, &home->cluster);
    *state = home;
    return 0;
}

static int tear_down(void **state)
{
    struct home *home = *state;
    unlink(home->path);
    unlink(home->other);
    assert_int_equal(rmdir(home->dir), 0); /* nothing else was left there */
    free(home);
    return 0;
}

static void rotate(struct keyring *ring, bool revokes)
{
    uint8_t secret[TRUST_KEY_SIZE] = { (uint8_t)(ring->keys[0].number + 1) };
    struct key_rotation rotation;
    keys_make_rotation(secret, revokes, &rotation);
    rotation.key.ttl_s = 900;
    assert_int_equal(keyring_install(ring, &rotation), ERR_OK);
}

static void rotate_whole(struct keyring *ring)
{
    rotate(ring, false);
    keyring_use(ring);
    keyring_retire(ring);
}

static struct keyring load(struct home *home)
{
    struct keyring ring;
    if (keyring_file_load(home->dir, &home->cluster, &ring, &home->why) != ERR_OK) {
        fail_msg("%s", home->why_room);
    }
    return ring;
}

static void save(struct home *home, const struct keyring *ring)
{
    assert_int_equal(keyring_file_save(home->dir, &home->cluster, ring, &home->why), ERR_OK);
}

static void write_text(const struct home *home, const char *text)
{
    unlink(home->path);
    int fd = open(home->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void a_node_without_a_ring_starts_from_its_cluster_file(void **state)
{
    struct home *home = *state;
    const struct keyring ring = load(home);
    assert_int_equal(ring.count, 1);
    assert_memory_equal(&ring.keys[0], &home->cluster.key, sizeof ring.keys[0]);
    assert_int_equal(access(home->path, F_OK), -1); /* reading writes nothing */
}

static void a_ring_comes_back_as_it_was_and_only_its_owner_can_read_it(void **state)
{
    struct home *home = *state;
    struct keyring ring = load(home);
    struct stat stat_of;
    rotate_whole(&ring);
    rotate_whole(&ring);
    rotate(&ring, false);
    save(home, &ring);
    save(home, &ring); /* over the one before */
    const struct keyring back = load(home);
    assert_memory_equal(&back, &ring, sizeof ring);
    assert_int_equal(stat(home->path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0600);
}

static void a_promise_longer_than_that_of_the_newest_key_outlives_a_restart(void **state)
{
    struct home *home = *state;
    struct keyring ring = load(home);
    rotate(&ring, false);
    assert_true(keyring_promise(&ring, 86400));
    save(home, &ring);
    assert_int_equal(load(home).ttl_s, 86400);
}

static void a_ring_of_the_version_before_promises_what_its_newest_key_says(void **state)
{
    static const char field[] = "\"ttl_seconds\": 86400";
    struct home *home = *state;
    struct keyring ring = load(home);
    char text[8192];
    rotate(&ring, false);
    assert_true(keyring_promise(&ring, 86400));
    save(home, &ring);
    FILE *file = fopen(home->path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    char *at = strstr(text, field);
    assert_non_null(at);
    memcpy(at, "\"xxx", 4); /* a field of another name is not seen */
    write_text(home, text);
    assert_int_equal(load(home).ttl_s, 900);
}

/* What a full disk does: a part of the file can be written. */
static void a_ring_that_cannot_be_written_leaves_the_one_before(void **state)
{
    struct home *home = *state;
    struct keyring ring = load(home);
    rotate_whole(&ring);
    save(home, &ring);
    const struct keyring before = ring;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const struct rlimit small = { .rlim_cur = 100, .rlim_max = limit.rlim_max };
    signal(SIGXFSZ, SIG_IGN);
    rotate(&ring, false);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const enum err err = keyring_file_save(home->dir, &home->cluster, &ring, &home->why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(err, ERR_SYSTEM);
    assert_non_null(strstr(home->why_room, "No space left"));
    const struct keyring back = load(home);
    assert_memory_equal(&back, &before, sizeof before);
    save(home, &ring); /* there is room again */
}

static void a_ring_that_was_half_written_when_the_node_died_is_no_ring(void **state)
{
    struct home *home = *state;
    struct keyring ring = load(home);
    char fresh[128];
    rotate_whole(&ring);
    save(home, &ring);
    snprintf(fresh, sizeof fresh, "%s.new", home->path);
    const int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"kind\": \"ato", 14), 14);
    close(fd);
    const struct keyring back = load(home);
    assert_memory_equal(&back, &ring, sizeof ring);
    rotate(&ring, false);
    save(home, &ring);
    const struct keyring next = load(home);
    assert_memory_equal(&next, &ring, sizeof ring);
}

static void an_older_cluster_file_changes_nothing(void **state)
{
    struct home *home = *state;
    struct keyring ring = load(home);
    for (uint32_t i = 0; i < 4; i++) { /* its key is not even retired any more */
        rotate_whole(&ring);
        save(home, &ring);
        const struct keyring back = load(home);
        assert_memory_equal(&back, &ring, sizeof ring);
    }
}

static void an_exported_cluster_file_is_the_key_in_use(void **state)
{
    struct home *home = *state;
    struct keyring ring = load(home);
    rotate_whole(&ring);
    rotate(&ring, true);
    keyring_use(&ring);
    save(home, &ring);
    struct cluster_keys given = home->cluster;
    given.key = *keyring_present(&ring);
    assert_int_equal(keys_save_cluster(home->other, &given, &home->why), ERR_OK);
    assert_int_equal(keys_load_cluster(home->other, &home->cluster, &home->why), ERR_OK);
    assert_true(cluster_key_id(&home->cluster.key).v == cluster_key_id(&given.key).v);
    const struct keyring back = load(home); /* what the ring has already */
    assert_memory_equal(&back, &ring, sizeof ring);
}

static void a_newer_cluster_file_is_taken_up(void **state)
{
    struct home *home = *state;
    struct keyring stale = load(home);
    struct keyring ring = stale;
    rotate_whole(&stale);
    save(home, &stale);
    for (uint32_t i = 0; i < 5; i++) {
        rotate_whole(&ring);
    }
    home->cluster.key = *keyring_present(&ring);
    const struct keyring back = load(home);
    assert_true(cluster_key_id(keyring_present(&back)).v ==
                cluster_key_id(keyring_present(&ring)).v);
}

static void a_ring_of_another_cluster_is_refused_and_stays(void **state)
{
    struct home *home = *state;
    struct keyring ring = load(home);
    rotate_whole(&ring);
    save(home, &ring);
    keys_make_cluster("prod", 18, &home->cluster);
    assert_int_equal(keyring_file_load(home->dir, &home->cluster, &ring, &home->why), ERR_INVALID);
    assert_non_null(strstr(home->why_room, "another cluster"));
    assert_int_equal(access(home->path, F_OK), 0);
}

static void a_ring_of_a_newer_format_is_refused_and_stays(void **state)
{
    static const char text[] = "{\"kind\": \"atoll-keyring\", \"version\": 2, \"keys\": 7}";
    struct home *home = *state;
    struct keyring ring;
    char back[sizeof text] = "";
    write_text(home, text);
    assert_int_equal(keyring_file_load(home->dir, &home->cluster, &ring, &home->why), ERR_VERSION);
    int fd = open(home->path, O_RDONLY);
    assert_int_equal(read(fd, back, sizeof back), sizeof text - 1);
    assert_string_equal(back, text);
    close(fd);
}

static void a_damaged_ring_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "{\"kind\": \"atoll-keyring\", \"version\": 1}",
        ("{\"kind\": \"atoll-keyring\", \"version\": 1, \"cluster\": \"prod\", \"curve_public\": "
         "\"00\"}"),
    };
    struct home *home = *state;
    struct keyring ring;
    for (uint32_t i = 0; i < ARRAY_COUNT(texts); i++) {
        write_text(home, texts[i]);
        assert_int_equal(keyring_file_load(home->dir, &home->cluster, &ring, &home->why),
                         ERR_MALFORMED);
    }
}

/* ---- rotations ------------------------------------------------------------------------------- */

static enum err parse(struct home *home, const char *body, struct key_rotation *out)
{
    text_init(&home->why, home->why_room, sizeof home->why_room);
    return rotation_parse(body, strlen(body), out, &home->why);
}

static void a_node_makes_a_key_that_nobody_has_had(void **state)
{
    struct home *home = *state;
    struct key_rotation a;
    struct key_rotation b;
    assert_int_equal(parse(home, "{}", &a), ERR_OK);
    assert_int_equal(parse(home, "{\"revoke\": true, \"ttl_seconds\": 60, \"force\": true}", &b),
                     ERR_OK);
    assert_memory_not_equal(a.key.gossip, b.key.gossip, TRUST_KEY_SIZE);
    assert_memory_not_equal(a.key.gossip, a.key.capability, TRUST_KEY_SIZE);
    assert_int_equal(a.key.ttl_s, ROTATION_TTL_S);
    assert_int_equal(b.key.ttl_s, 60);
    assert_true(b.revokes && !a.revokes);
    assert_true(b.is_forced && !a.is_forced);
}

static void a_key_may_come_from_a_file(void **state)
{
    struct home *home = *state;
    struct key_rotation a;
    struct key_rotation b;
    char body[256];
    assert_int_equal(keys_save_secret(home->other, &home->why), ERR_OK);
    snprintf(body, sizeof body, "{\"file\": \"%s\"}", home->other);
    assert_int_equal(parse(home, body, &a), ERR_OK);
    assert_int_equal(parse(home, body, &b), ERR_OK);
    assert_memory_equal(a.key.gossip, b.key.gossip, TRUST_KEY_SIZE);
    chmod(home->other, 0644);
    assert_int_equal(parse(home, body, &a), ERR_INVALID);
    assert_non_null(strstr(home->why_room, "chmod 600"));
}

static void what_is_no_rotation_is_told(void **state)
{
    static const char *const bodies[] = {
        "",
        "[]",
        "{\"ttl\": 5}",
        "{\"ttl_seconds\": 0}",
        "{\"ttl_seconds\": 99999999999}",
        "{\"ttl_seconds\": \"1h\"}",
        "{\"revoke\": 1}",
        "{\"force\": \"yes\"}",
        "{\"file\": \"relative.json\"}",
        "{\"file\": \"/nowhere/at/all\"}",
        "{\"file\": \"/dev/null\"}",
        "{\"file\": 7}",
    };
    struct home *home = *state;
    struct key_rotation rotation;
    for (uint32_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        assert_int_equal(parse(home, bodies[i], &rotation), ERR_INVALID);
        assert_true(home->why.used > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_without_a_ring_starts_from_its_cluster_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_ring_comes_back_as_it_was_and_only_its_owner_can_read_it,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_promise_longer_than_that_of_the_newest_key_outlives_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_ring_of_the_version_before_promises_what_its_newest_key_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_ring_that_cannot_be_written_leaves_the_one_before, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_ring_that_was_half_written_when_the_node_died_is_no_ring,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_older_cluster_file_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_exported_cluster_file_is_the_key_in_use, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_newer_cluster_file_is_taken_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_ring_of_another_cluster_is_refused_and_stays, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_ring_of_a_newer_format_is_refused_and_stays, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_ring_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_makes_a_key_that_nobody_has_had, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_may_come_from_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_rotation_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
