/* Files of named credentials, and the credential of the environment. */
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

#include "node/origin/credentials.h"

struct fixture {
    char directory[64];
    struct credentials *credentials;
    usec_t now_us;
    char why[1024];
    struct credential found;
    uint64_t serial;
};

static const struct source bucket = { .kind = SOURCE_S3, .bucket = "bucket", .host = "h" };
static const struct source other_bucket = { .kind = SOURCE_S3, .bucket = "bucket2", .host = "h" };
static const struct source oss_bucket = { .kind = SOURCE_OSS, .bucket = "bucket", .host = "h" };

#define KEYS "{\"access_key_id\": \"AKID\", \"access_key_secret\": \"hush\""
#define NEW_KEYS "{\"access_key_id\": \"NEW\", \"access_key_secret\": \"hush\"}"

static void write_file(const struct fixture *f, const char *name, const char *json)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, json, strlen(json)), strlen(json));
    close(fd);
}

static void remove_file(const struct fixture *f, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    assert_int_equal(unlink(path), 0);
}

static void set_mode(const struct fixture *f, const char *name, mode_t mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    assert_int_equal(chmod(path, mode), 0);
}

static void make(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    snprintf(f->directory, sizeof f->directory, "/tmp/atoll-test-credentials-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
}

static enum err open_all(struct fixture *f)
{
    struct text why;
    text_init(&why, f->why, sizeof f->why);
    return credentials_open(f->directory, false, &f->credentials, &why);
}

/* Look again after that time. */
static enum err look(struct fixture *f, usec_t after_us)
{
    struct text why;
    struct credentials *next = NULL;
    f->now_us += after_us;
    text_init(&why, f->why, sizeof f->why);
    enum err err = credentials_look(f->credentials, f->now_us, &next, &why);
    if (err == ERR_OK) {
        credentials_close(&f->credentials);
        f->credentials = next;
    }
    return err;
}

static void see(struct fixture *f, usec_t after_us)
{
    assert_int_equal(look(f, after_us), ERR_OK);
}

/* What the table says of the one file "team.json". */
static struct credential_state team(const struct fixture *f)
{
    assert_int_equal(credentials_count(f->credentials), 1);
    assert_string_equal(credentials_at(f->credentials, 0).name, "team");
    return credentials_at(f->credentials, 0);
}

static void start(struct fixture *f, const char *json)
{
    make(f);
    if (json != NULL) {
        write_file(f, "team.json", json);
    }
    assert_int_equal(open_all(f), ERR_OK);
}

static void stop(struct fixture *f)
{
    char command[128];
    credentials_close(&f->credentials);
    snprintf(command, sizeof command, "rm -r %s", f->directory);
    assert_int_equal(system(command), 0);
}

static enum err find(struct fixture *f, const char *name, const struct source *source,
                     const char *key)
{
    struct text why;
    struct credential_use use = { .name = name, .source = source, .key = span_text(key) };
    text_init(&why, f->why, sizeof f->why);
    return credentials_find(f->credentials, &use, &f->found, &f->serial, &why);
}

static void a_name_gives_what_its_file_holds(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, KEYS ", \"security_token\": \"token\"}");
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    assert_string_equal(f.found.access_key_id, "AKID");
    assert_string_equal(f.found.access_key_secret, "hush");
    assert_string_equal(f.found.security_token, "token");
    stop(&f);
}

static void a_file_that_changed_is_another_credential_at_the_next_look(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, KEYS "}");
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    const uint64_t before = f.serial;
    write_file(&f, "team.json", NEW_KEYS);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    assert_string_equal(f.found.access_key_id, "AKID");
    see(&f, 0);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    assert_string_equal(f.found.access_key_id, "NEW");
    assert_string_equal(f.found.security_token, "");
    assert_true(f.serial != before && f.serial != 0);
    stop(&f);
}

static void a_file_that_did_not_change_stays_the_same_credential(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, KEYS "}");
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    const uint64_t before = f.serial;
    write_file(&f, "team.json", KEYS "}");
    see(&f, 0);
    assert_int_equal(credentials_serial(f.credentials, "team"), before);
    stop(&f);
}

static void a_new_file_counts_at_the_next_look(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, NULL);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_NO_CREDENTIAL);
    write_file(&f, "team.json", KEYS "}");
    see(&f, 0);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    stop(&f);
}

static void a_file_broken_later_leaves_what_it_said_before(void **state)
{
    static const char *const broken[] = { "", "{", "{\"access_key_id\": \"A\"}" };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(broken); i++) {
        struct fixture f;
        start(&f, KEYS "}");
        const uint64_t before = credentials_serial(f.credentials, "team");
        write_file(&f, "team.json", broken[i]);
        see(&f, 0);
        assert_false(team(&f).settled); /* half written, perhaps */
        assert_true(credentials_are_unsettled(f.credentials));
        see(&f, CREDENTIALS_SETTLE_US);
        assert_true(team(&f).settled);
        assert_false(credentials_are_unsettled(f.credentials));
        assert_non_null(strstr(team(&f).fault, "is not JSON"));
        see(&f, SEC(100000));
        assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
        assert_string_equal(f.found.access_key_id, "AKID");
        assert_int_equal(f.serial, before);
        write_file(&f, "team.json", NEW_KEYS);
        see(&f, 0);
        assert_null(team(&f).fault);
        assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
        assert_string_equal(f.found.access_key_id, "NEW");
        stop(&f);
    }
}

static void a_new_file_that_is_broken_is_told_only_when_it_stays_so(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, NULL);
    write_file(&f, "team.json", "");
    see(&f, 0);
    assert_false(team(&f).settled);
    see(&f, CREDENTIALS_SETTLE_US);
    assert_true(team(&f).settled);
    assert_int_equal(team(&f).serial, 0);
    stop(&f);
}

static void a_file_that_is_broken_at_the_start_is_told_at_once(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, "{");
    assert_true(team(&f).settled);
    assert_non_null(team(&f).fault);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_NO_CREDENTIAL);
    stop(&f);
}

static void a_removed_file_counts_a_moment_longer_and_then_not_at_all(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, KEYS "}");
    remove_file(&f, "team.json");
    see(&f, 0);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    see(&f, CREDENTIALS_SETTLE_US - 1);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    see(&f, 1);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_NO_CREDENTIAL);
    assert_int_equal(credentials_count(f.credentials), 0);
    stop(&f);
}

static void a_file_that_was_gone_for_a_moment_was_never_missing(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, KEYS "}");
    remove_file(&f, "team.json");
    see(&f, 0);
    write_file(&f, "team.json", NEW_KEYS);
    see(&f, CREDENTIALS_SETTLE_US / 2);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    assert_string_equal(f.found.access_key_id, "NEW");
    assert_null(team(&f).fault);
    stop(&f);
}

static void a_directory_that_cannot_be_read_changes_nothing(void **state)
{
    struct fixture f;
    char away[128];
    (void)state;
    start(&f, KEYS "}");
    snprintf(away, sizeof away, "%s-away", f.directory);
    assert_int_equal(rename(f.directory, away), 0);
    assert_int_equal(look(&f, SEC(100)), ERR_INVALID);
    assert_non_null(strstr(f.why, f.directory));
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    assert_int_equal(rename(away, f.directory), 0);
    see(&f, 0);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    stop(&f);
}

static void a_missing_name_is_told(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, NULL);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_NO_CREDENTIAL);
    assert_non_null(strstr(f.why, "team"));
    assert_non_null(strstr(f.why, "NAME.json"));
    stop(&f);
}

static void a_name_cannot_be_a_path(void **state)
{
    static const char *const wrong[] = { "../team", "a/b", ".hidden", "a b", "a,b", "\xc3\xa9" };
    struct fixture f;
    (void)state;
    start(&f, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_int_equal(find(&f, wrong[i], &bucket, "k"), ERR_NO_CREDENTIAL);
        assert_non_null(strstr(f.why, "is no name"));
    }
    stop(&f);
}

static void a_file_that_is_no_credential_is_refused(void **state)
{
    static const char *const wrong[] = { "",
                                         "{}",
                                         "[1]",
                                         "{\"access_key_id\": \"a\"}",
                                         "{\"access_key_id\": 1, \"access_key_secret\": \"s\"}",
                                         KEYS ", \"security_token\": 5}",
                                         KEYS ", \"uri_prefixes\": [5]}",
                                         KEYS ", \"uri_prefixes\": []}",
                                         KEYS ", \"uri_prefix\": [\"s3://bucket/\"]}",
                                         KEYS ", \"uri_prefixes\": \"s3://bucket/\"}" };
    struct fixture f;
    (void)state;
    start(&f, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        write_file(&f, "team.json", wrong[i]);
        see(&f, 0);
        assert_int_equal(find(&f, "team", &bucket, "k"), ERR_NO_CREDENTIAL);
        assert_non_null(strstr(f.why, "is not JSON"));
        assert_null(strstr(f.why, "hush"));
    }
    stop(&f);
}

static void a_file_that_others_can_read_is_refused_at_the_start(void **state)
{
    struct fixture f;
    (void)state;
    make(&f);
    write_file(&f, "team.json", KEYS "}");
    set_mode(&f, "team.json", 0640);
    assert_int_equal(open_all(&f), ERR_INVALID);
    assert_non_null(strstr(f.why, "team.json"));
    assert_non_null(strstr(f.why, "chmod 600"));
    assert_null(f.credentials);
    stop(&f);
}

static void a_file_that_others_can_read_later_is_told_and_what_it_said_stays(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, KEYS "}");
    write_file(&f, "team.json", NEW_KEYS);
    set_mode(&f, "team.json", 0604);
    see(&f, 0);
    see(&f, CREDENTIALS_SETTLE_US);
    assert_true(team(&f).settled);
    assert_non_null(strstr(team(&f).fault, "chmod 600"));
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    assert_string_equal(f.found.access_key_id, "AKID");
    set_mode(&f, "team.json", 0600);
    see(&f, 0);
    assert_null(team(&f).fault);
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    assert_string_equal(f.found.access_key_id, "NEW");
    stop(&f);
}

static void a_directory_that_is_none_is_refused(void **state)
{
    struct fixture f;
    (void)state;
    memset(&f, 0, sizeof f);
    memcpy(f.directory, "/tmp/atoll-no-such-directory", 29);
    assert_int_equal(open_all(&f), ERR_INVALID);
    assert_non_null(strstr(f.why, "atoll-no-such-directory"));
}

/* ---- what it may be used for ---- */

static void without_prefixes_it_is_good_for_everything(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, KEYS "}");
    assert_int_equal(find(&f, "team", &bucket, "k"), ERR_OK);
    assert_int_equal(find(&f, "team", &other_bucket, ""), ERR_OK);
    stop(&f);
}

static void prefixes_limit_buckets_and_keys(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, KEYS ", \"uri_prefixes\": [\"s3://bucket/data/\", \"oss://bucket/\"]}");
    assert_int_equal(find(&f, "team", &bucket, "data/x"), ERR_OK);
    assert_int_equal(find(&f, "team", &bucket, "data/"), ERR_OK);
    assert_int_equal(find(&f, "team", &bucket, "data"), ERR_NO_CREDENTIAL);
    assert_int_equal(find(&f, "team", &bucket, "datax/y"), ERR_NO_CREDENTIAL);
    assert_int_equal(find(&f, "team", &bucket, ""), ERR_NO_CREDENTIAL);
    assert_int_equal(find(&f, "team", &other_bucket, "data/x"), ERR_NO_CREDENTIAL);
    assert_int_equal(find(&f, "team", &oss_bucket, ""), ERR_OK);
    assert_int_equal(find(&f, "team", &bucket, "x"), ERR_NO_CREDENTIAL);
    assert_non_null(strstr(f.why, "uri_prefixes"));
    assert_string_equal(f.found.access_key_id, "");
    stop(&f);
}

static void a_prefix_without_a_slash_ends_at_one(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, KEYS ", \"uri_prefixes\": [\"s3://bucket\"]}");
    assert_int_equal(find(&f, "team", &bucket, "any"), ERR_OK);
    assert_int_equal(find(&f, "team", &other_bucket, "any"), ERR_NO_CREDENTIAL);
    stop(&f);
}

/* ---- names ---- */

static void names_are_sorted_and_only_of_credentials(void **state)
{
    struct fixture f;
    char names[64], few[8];
    (void)state;
    start(&f, KEYS "}");
    write_file(&f, "alpha.json", KEYS "}");
    write_file(&f, "notes.txt", "hello");
    write_file(&f, ".hidden.json", KEYS "}");
    write_file(&f, "a,b.json", KEYS "}");
    write_file(&f, "broken.json", "{");
    see(&f, 0);
    assert_int_equal(credentials_names(f.credentials, names, sizeof names), 0);
    assert_string_equal(names, "alpha,team");
    assert_int_equal(credentials_names(f.credentials, few, sizeof few), 1);
    assert_string_equal(few, "alpha");
    stop(&f);
}

/* ---- the environment ---- */

static void the_environment_is_used_when_it_was_allowed(void **state)
{
    struct fixture f;
    struct text why;
    (void)state;
    memset(&f, 0, sizeof f);
    text_init(&why, f.why, sizeof f.why);
    setenv("AWS_ACCESS_KEY_ID", "AWSID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    setenv("AWS_SESSION_TOKEN", "t", 1);
    setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALID", 1);
    setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s", 1);
    unsetenv("OSS_ACCESS_KEY_ID");
    unsetenv("OSS_ACCESS_KEY_SECRET");
    unsetenv("OSS_SESSION_TOKEN");
    unsetenv("ALIBABA_CLOUD_SECURITY_TOKEN");
    assert_int_equal(credentials_open(NULL, true, &f.credentials, &why), ERR_OK);
    assert_int_equal(find(&f, "", &bucket, "k"), ERR_OK);
    assert_string_equal(f.found.access_key_id, "AWSID");
    assert_string_equal(f.found.security_token, "t");
    assert_int_equal(find(&f, "", &oss_bucket, "k"), ERR_OK);
    assert_string_equal(f.found.access_key_id, "ALID");
    assert_string_equal(f.found.security_token, "");
    setenv("OSS_ACCESS_KEY_ID", "OSSID", 1);
    setenv("OSS_ACCESS_KEY_SECRET", "s", 1);
    assert_int_equal(find(&f, "", &oss_bucket, "k"), ERR_OK);
    assert_string_equal(f.found.access_key_id, "OSSID");
    credentials_close(&f.credentials);
}

static void the_environment_is_not_used_otherwise(void **state)
{
    struct fixture f;
    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "AWSID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    start(&f, NULL);
    assert_int_equal(find(&f, "", &bucket, "k"), ERR_OK);
    assert_string_equal(f.found.access_key_id, "");
    stop(&f);
}

static void half_a_credential_in_the_environment_is_none(void **state)
{
    struct fixture f;
    struct text why;
    (void)state;
    memset(&f, 0, sizeof f);
    text_init(&why, f.why, sizeof f.why);
    setenv("AWS_ACCESS_KEY_ID", "AWSID", 1);
    unsetenv("AWS_SECRET_ACCESS_KEY");
    assert_int_equal(credentials_open(NULL, true, &f.credentials, &why), ERR_OK);
    assert_int_equal(find(&f, "", &bucket, "k"), ERR_OK);
    assert_string_equal(f.found.access_key_id, "");
    credentials_close(&f.credentials);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_gives_what_its_file_holds),
        cmocka_unit_test(a_file_that_changed_is_another_credential_at_the_next_look),
        cmocka_unit_test(a_file_that_did_not_change_stays_the_same_credential),
        cmocka_unit_test(a_new_file_counts_at_the_next_look),
        cmocka_unit_test(a_file_broken_later_leaves_what_it_said_before),
        cmocka_unit_test(a_new_file_that_is_broken_is_told_only_when_it_stays_so),
        cmocka_unit_test(a_file_that_is_broken_at_the_start_is_told_at_once),
        cmocka_unit_test(a_removed_file_counts_a_moment_longer_and_then_not_at_all),
        cmocka_unit_test(a_file_that_was_gone_for_a_moment_was_never_missing),
        cmocka_unit_test(a_directory_that_cannot_be_read_changes_nothing),
        cmocka_unit_test(a_missing_name_is_told),
        cmocka_unit_test(a_name_cannot_be_a_path),
        cmocka_unit_test(a_file_that_is_no_credential_is_refused),
        cmocka_unit_test(a_file_that_others_can_read_is_refused_at_the_start),
        cmocka_unit_test(a_file_that_others_can_read_later_is_told_and_what_it_said_stays),
        cmocka_unit_test(a_directory_that_is_none_is_refused),
        cmocka_unit_test(without_prefixes_it_is_good_for_everything),
        cmocka_unit_test(prefixes_limit_buckets_and_keys),
        cmocka_unit_test(a_prefix_without_a_slash_ends_at_one),
        cmocka_unit_test(names_are_sorted_and_only_of_credentials),
        cmocka_unit_test(the_environment_is_used_when_it_was_allowed),
        cmocka_unit_test(the_environment_is_not_used_otherwise),
        cmocka_unit_test(half_a_credential_in_the_environment_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
