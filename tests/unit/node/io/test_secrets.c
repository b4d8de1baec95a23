/* Credential files that change while they are in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node/io/clock.h"
#include "node/io/secrets.h"

#define NAMES 257
/* Far below SECRETS_LOOK_US: the change was told, and not found by looking now and then. */
#define SOON_US SEC(2)

static const struct source bucket = { .kind = SOURCE_S3, .bucket = "bucket", .host = "h" };

struct fixture {
    char directory[64];
    struct secrets *secrets;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint32_t changes;
    char names[NAMES];
    uint32_t broken;
};

static void on_change(void *self, const char *names, uint32_t broken)
{
    struct fixture *f = self;
    pthread_mutex_lock(&f->mutex);
    f->changes++;
    f->broken = broken;
    memcpy(f->names, names, strlen(names) + 1);
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->mutex);
}

static void write_file(const struct fixture *f, const char *name, const char *id)
{
    char path[128];
    char json[256];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    snprintf(json, sizeof json, "{\"access_key_id\": \"%s\", \"access_key_secret\": \"s\"}", id);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    const char *text = id[0] != '\0' ? json : "{";
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void remove_file(const struct fixture *f, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    assert_int_equal(unlink(path), 0);
}

static void start(struct fixture *f)
{
    char room[512];
    struct text why;
    memset(f, 0, sizeof *f);
    snprintf(f->directory, sizeof f->directory, "/tmp/atoll-test-secrets-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    write_file(f, "team.json", "OLD");
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->changed, NULL);
    const struct secrets_options options = { .directory = f->directory,
                                             .changed = on_change,
                                             .self = f };
    text_init(&why, room, sizeof room);
    assert_int_equal(secrets_start(&options, &f->secrets, &why), ERR_OK);
}

static void stop(struct fixture *f)
{
    char command[128];
    secrets_stop(&f->secrets);
    snprintf(command, sizeof command, "rm -r %s", f->directory);
    assert_int_equal(system(command), 0);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->mutex);
}

/* These names are told, and so many files are broken, within `within_us`. */
static void wait_told(struct fixture *f, const char *names, uint32_t broken, usec_t within_us)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(within_us / SEC(1));
    pthread_mutex_lock(&f->mutex);
    while (f->changes == 0 || strcmp(f->names, names) != 0 || f->broken != broken) {
        assert_int_equal(pthread_cond_timedwait(&f->changed, &f->mutex, &until), 0);
    }
    pthread_mutex_unlock(&f->mutex);
}

static enum err find(struct fixture *f, const char *name, char id[129], uint64_t *serial)
{
    char room[512];
    struct text why;
    struct credential found;
    const struct credential_use use = { .name = name, .source = &bucket, .key = span_text("k") };
    text_init(&why, room, sizeof room);
    enum err err = secrets_find(f->secrets, &use, &found, serial, &why);
    memcpy(id, found.access_key_id, sizeof found.access_key_id);
    return err;
}

static void a_file_that_is_added_counts_soon_and_is_told(void **state)
{
    struct fixture f;
    char id[129];
    uint64_t serial;
    (void)state;
    start(&f);
    write_file(&f, "other.json", "OTHER");
    wait_told(&f, "other,team", 0, SOON_US);
    assert_int_equal(find(&f, "other", id, &serial), ERR_OK);
    assert_string_equal(id, "OTHER");
    stop(&f);
}

static void a_file_that_is_moved_into_place_counts_soon(void **state)
{
    struct fixture f;
    char from[128];
    char to[128];
    (void)state;
    start(&f);
    write_file(&f, ".new", "OTHER");
    snprintf(from, sizeof from, "%s/.new", f.directory);
    snprintf(to, sizeof to, "%s/other.json", f.directory);
    assert_int_equal(rename(from, to), 0);
    wait_told(&f, "other,team", 0, SOON_US);
    stop(&f);
}

static void a_file_that_is_removed_is_not_told_any_more(void **state)
{
    struct fixture f;
    char id[129];
    uint64_t serial;
    (void)state;
    start(&f);
    remove_file(&f, "team.json");
    wait_told(&f, "", 0, CREDENTIALS_SETTLE_US + SOON_US);
    assert_int_equal(find(&f, "team", id, &serial), ERR_NO_CREDENTIAL);
    stop(&f);
}

static void a_file_that_gets_broken_is_told_and_stays_in_use(void **state)
{
    struct fixture f;
    char id[129];
    uint64_t serial;
    (void)state;
    start(&f);
    write_file(&f, "team.json", "");
    wait_told(&f, "team", 1, CREDENTIALS_SETTLE_US + SOON_US);
    assert_int_equal(find(&f, "team", id, &serial), ERR_OK);
    assert_string_equal(id, "OLD");
    write_file(&f, "team.json", "NEW");
    wait_told(&f, "team", 0, SOON_US);
    assert_int_equal(find(&f, "team", id, &serial), ERR_OK);
    assert_string_equal(id, "NEW");
    stop(&f);
}

static void a_new_secret_is_found_by_whoever_was_refused(void **state)
{
    struct fixture f;
    char id[129];
    uint64_t serial;
    uint64_t again;
    (void)state;
    start(&f);
    assert_int_equal(find(&f, "team", id, &serial), ERR_OK);
    assert_false(secrets_refused(f.secrets, "team", serial));
    write_file(&f, "team.json", "NEW");
    assert_true(secrets_refused(f.secrets, "team", serial));
    assert_int_equal(find(&f, "team", id, &again), ERR_OK);
    assert_string_equal(id, "NEW");
    assert_int_not_equal(again, serial);
    assert_false(secrets_refused(f.secrets, "team", again));
    stop(&f);
}

/* As a Kubernetes secret is updated: the files are links through one link that is replaced. */
static void a_new_secret_is_told_though_its_name_is_the_same(void **state)
{
    struct fixture f;
    char id[129];
    uint64_t serial;
    (void)state;
    start(&f);
    write_file(&f, "team.json", "NEW");
    wait_told(&f, "team", 0, SOON_US);
    assert_int_equal(find(&f, "team", id, &serial), ERR_OK);
    assert_string_equal(id, "NEW");
    stop(&f);
}

static void files_behind_a_link_that_is_replaced_count_soon(void **state)
{
    struct fixture f;
    char path[128];
    char other[128];
    (void)state;
    start(&f);
    snprintf(path, sizeof path, "%s/v1", f.directory);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/v2", f.directory);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(&f, "v2/late.json", "LATE");
    snprintf(path, sizeof path, "%s/..data", f.directory);
    assert_int_equal(symlink("v1", path), 0);
    snprintf(path, sizeof path, "%s/late.json", f.directory);
    assert_int_equal(symlink("..data/late.json", path), 0);
    snprintf(path, sizeof path, "%s/..new", f.directory);
    assert_int_equal(symlink("v2", path), 0);
    snprintf(other, sizeof other, "%s/..data", f.directory);
    assert_int_equal(rename(path, other), 0);
    wait_told(&f, "late,team", 0, SOON_US);
    stop(&f);
}

/* Readers of one table while it is replaced many times: for the thread sanitizer. */
static void *find_often(void *self)
{
    struct fixture *f = self;
    char id[129];
    uint64_t serial;
    for (uint32_t i = 0; i < 2000; i++) {
        assert_int_equal(find(f, "team", id, &serial), ERR_OK);
        assert_true(id[0] == 'O' || id[0] == 'N');
    }
    return NULL;
}

static void whoever_reads_sees_the_old_or_the_new(void **state)
{
    struct fixture f;
    pthread_t thread;
    (void)state;
    start(&f);
    assert_int_equal(pthread_create(&thread, NULL, find_often, &f), 0);
    for (uint32_t i = 0; i < 50; i++) {
        write_file(&f, "team.json", i % 2 == 0 ? "NEW" : "OLD");
        (void)secrets_refused(f.secrets, "team", UINT64_MAX);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_added_counts_soon_and_is_told),
        cmocka_unit_test(a_file_that_is_moved_into_place_counts_soon),
        cmocka_unit_test(a_file_that_is_removed_is_not_told_any_more),
        cmocka_unit_test(a_file_that_gets_broken_is_told_and_stays_in_use),
        cmocka_unit_test(a_new_secret_is_found_by_whoever_was_refused),
        cmocka_unit_test(a_new_secret_is_told_though_its_name_is_the_same),
        cmocka_unit_test(files_behind_a_link_that_is_replaced_count_soon),
        cmocka_unit_test(whoever_reads_sees_the_old_or_the_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
