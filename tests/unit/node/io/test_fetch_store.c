/* The fetch actor against atoll-test-origin, which verifies every signature and shares no code with
 * Atoll: S3 and OSS, path and virtual-host style. Skipped when that program was not built. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/node/io/fetch_bench.h"

/* What each object is called, in the order of keys. */
static const char *const keys[] = {
    "big",
    "cut",
    "dir/a b+c%25.bin",
    "dir/deep/er/x",
    "dir/\xc3\xa9\xe4\xb8\xad",
    "odd &=?#;:,@",
    "paren()*'!~$",
    "short",
    "whole",
    "wrong",
};
#define BIG_SIZE 3000000u
#define SMALL_SIZE 100000u

struct store {
    char directory[64]; /* root of the origin, keys and credentials beside it */
    char listen[64];    /* 127.0.0.1:PORT */
    const char *port;
    pid_t process;
};

static struct store store;

static void path_of(char *out, const char *name)
{
    CHECK(snprintf(out, 512, "%s/%s", store.directory, name) < 512);
}

static void write_file(const char *name, const void *data, size_t size)
{
    char path[512];
    path_of(path, name);
    for (char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(path, 0755);
        *at = '/';
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

static void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

static uint32_t size_of(const char *key)
{
    return strcmp(key, "big") == 0 ? BIG_SIZE : SMALL_SIZE;
}

static void write_objects(void)
{
    static uint8_t bytes[BIG_SIZE];
    char name[256];
    for (uint32_t i = 0; i < BIG_SIZE; i++) {
        bytes[i] = bench_byte(i);
    }
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        snprintf(name, sizeof name, "root/data/%s", keys[i]);
        write_file(name, bytes, size_of(keys[i]));
    }
}

/* The program beside this one; false: it is not there. */
static bool find_origin(char *out)
{
    char self[512];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(size > 0);
    self[size] = '\0';
    CHECK(snprintf(out, 600, "%s/atoll-test-origin", dirname(self)) < 600);
    return access(out, X_OK) == 0;
}

static void run_origin(const char *program, int out)
{
    char root[512], file[512];
    path_of(root, "root");
    path_of(file, "keys");
    (void)dup2(out, STDOUT_FILENO);
    execl(program, program, "--root", root, "--keys-file", file, "--domain", "localhost",
          "--region", "test-region", "--fault", "cut,prefix=cut,bytes=70000", "--fault",
          "whole,prefix=whole", "--fault", "wrong-range,prefix=wrong", "--fault",
          "short-range,prefix=short", (char *)NULL);
    _exit(127);
}

/* "ready listen=127.0.0.1:PORT admin=..." */
static void await_ready(int in)
{
    char line[256];
    FILE *stream = fdopen(in, "r");
    assert_non_null(stream);
    assert_non_null(fgets(line, sizeof line, stream));
    assert_int_equal(sscanf(line, "ready listen=%63s", store.listen), 1);
    store.port = strchr(store.listen, ':') + 1;
    fclose(stream);
}

static int start_store(void **state)
{
    char program[600];
    int ends[2];
    (void)state;
    if (!find_origin(program)) {
        return 0;
    }
    snprintf(store.directory, sizeof store.directory, "/tmp/atoll-test-store-XXXXXX");
    assert_non_null(mkdtemp(store.directory));
    write_objects();
    write_text("keys", "me:secret\nguest:other:token\n");
    write_text("credentials/me.json",
               "{\"access_key_id\": \"me\", \"access_key_secret\": \"secret\"}");
    write_text("credentials/guest.json", "{\"access_key_id\": \"guest\", \"access_key_secret\": "
                                         "\"other\", \"security_token\": \"token\"}");
    write_text("credentials/wrong.json",
               "{\"access_key_id\": \"me\", \"access_key_secret\": \"guess\"}");
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    store.process = fork();
    assert_true(store.process >= 0);
    if (store.process == 0) {
        run_origin(program, ends[1]);
    }
    close(ends[1]);
    await_ready(ends[0]);
    return 0;
}

static int stop_store(void **state)
{
    char command[128];
    int status;
    (void)state;
    if (store.process > 0) {
        kill(store.process, SIGTERM);
        waitpid(store.process, &status, 0);
        snprintf(command, sizeof command, "rm -r %s", store.directory);
        assert_int_equal(system(command), 0);
    }
    return 0;
}

static void start(struct bench *bench, const char *uri, const char *host, const char *credential)
{
    char endpoint[128], credentials[512];
    if (store.process <= 0) {
        skip();
    }
    path_of(credentials, "credentials");
    snprintf(endpoint, sizeof endpoint, "http://%s:%s", host, store.port);
    bench_start(bench, &(struct bench_options){ .uri = uri,
                                                .endpoint = endpoint,
                                                .region = "test-region",
                                                .credential = credential,
                                                .credentials_dir = credentials,
                                                .threads = 2 });
}

/* ---- everything, read ---- */

struct seen {
    uint32_t count;
    char pins[ARRAY_COUNT(keys)][257];
};

/* All pages of two keys each; they must be the keys there are. */
static void list_everything(struct bench *bench, struct seen *seen)
{
    char token[1100] = "";
    seen->count = 0;
    do {
        bench_list(bench, &(struct bench_list){
                              .id = 1, .continuation = token, .limit = 2, .flat = true });
        struct item *item = bench_next(bench);
        assert_int_equal(item->event.listed.err, ERR_OK);
        for (uint32_t i = 0; i < item->event.listed.count; i++) {
            const struct listed *entry = &item->event.listed.entries[i];
            assert_true(seen->count < ARRAY_COUNT(keys));
            assert_true(span_equal(entry->key, span_text(keys[seen->count])));
            assert_int_equal(entry->size, size_of(keys[seen->count]));
            memcpy(seen->pins[seen->count], entry->pin.data, entry->pin.size);
            seen->pins[seen->count++][entry->pin.size] = '\0';
        }
        struct span next = item->event.listed.next;
        assert_true(next.size < sizeof token);
        memcpy(token, next.data, next.size);
        token[next.size] = '\0';
        bench_done(item);
    } while (token[0] != '\0');
    assert_int_equal(seen->count, ARRAY_COUNT(keys));
}

static bool misbehaves(const char *key)
{
    return strcmp(key, "cut") == 0 || strcmp(key, "short") == 0 || strcmp(key, "whole") == 0 ||
           strcmp(key, "wrong") == 0;
}

static void read_object(struct bench *bench, const char *key, const char *pin)
{
    uint32_t half = size_of(key) / 2;
    struct bench_get get = { .id = 2,
                             .key = key,
                             .pin = pin,
                             .object_size = size_of(key),
                             .offset = half,
                             .sizes = { half } };
    bench_get(bench, &get);
    assert_int_equal(bench_wait(bench, 2, NULL), ERR_OK);
    assert_true(bench_is_right(bench, half));
}

static void compare_head(struct bench *bench, const char *key, const char *pin)
{
    bench_head(bench, 3, key);
    struct item *item = bench_next(bench);
    assert_int_equal(item->event.listed.err, ERR_OK);
    assert_true(span_equal(item->event.listed.entries->pin, span_text(pin)));
    assert_int_equal(item->event.listed.entries->size, size_of(key));
    bench_done(item);
}

static void read_everything(const char *uri, const char *host, const char *credential)
{
    struct bench bench;
    struct seen seen;
    start(&bench, uri, host, credential);
    list_everything(&bench, &seen);
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        compare_head(&bench, keys[i], seen.pins[i]);
        if (!misbehaves(keys[i])) {
            read_object(&bench, keys[i], seen.pins[i]);
        }
    }
    bench_stop(&bench);
}

static void s3_is_read_in_path_style(void **state)
{
    (void)state;
    read_everything("s3://data", "127.0.0.1", "me");
}

static void s3_is_read_with_a_session_token(void **state)
{
    (void)state;
    read_everything("s3://data", "127.0.0.1", "guest");
}

static void oss_is_read_in_path_style(void **state)
{
    (void)state;
    read_everything("oss://data", "127.0.0.1", "me");
}

static void oss_is_read_in_virtual_host_style(void **state)
{
    (void)state;
    read_everything("oss://data", "localhost", "me");
}

static void oss_is_read_with_a_session_token(void **state)
{
    (void)state;
    read_everything("oss://data", "localhost", "guest");
}

static void directories_are_listed_as_prefixes(void **state)
{
    struct bench bench;
    (void)state;
    start(&bench, "oss://data", "localhost", "me");
    bench_list(&bench, &(struct bench_list){ .id = 1, .prefix = "dir/" });
    struct item *item = bench_next(&bench);
    assert_int_equal(item->event.listed.count, 3);
    assert_true(span_equal(item->event.listed.entries[1].key, span_text("dir/deep/")));
    assert_true(item->event.listed.entries[1].is_prefix);
    bench_done(item);
    bench_stop(&bench);
}

/* ---- refusals ---- */

static enum err listing_failure(const char *uri, const char *credential, char *text, size_t room)
{
    struct bench bench;
    start(&bench, uri, "127.0.0.1", credential);
    bench_list(&bench, &(struct bench_list){ .id = 1 });
    struct item *item = bench_next(&bench);
    enum err err = item->event.listed.err;
    assert_true(item->event.listed.text.size < room);
    memcpy(text, item->event.listed.text.data, item->event.listed.text.size);
    text[item->event.listed.text.size] = '\0';
    bench_done(item);
    bench_stop(&bench);
    return err;
}

static void a_wrong_secret_is_denied(void **state)
{
    char text[1024];
    (void)state;
    assert_int_equal(listing_failure("s3://data", "wrong", text, sizeof text), ERR_SOURCE_DENIED);
    assert_non_null(strstr(text, "SignatureDoesNotMatch"));
    assert_int_equal(listing_failure("oss://data", "wrong", text, sizeof text), ERR_SOURCE_DENIED);
    assert_non_null(strstr(text, "SignatureDoesNotMatch"));
}

static void a_bucket_that_does_not_exist_is_not_found(void **state)
{
    char text[1024];
    (void)state;
    assert_int_equal(listing_failure("s3://nowhere", "me", text, sizeof text),
                     ERR_SOURCE_NOT_FOUND);
    assert_non_null(strstr(text, "NoSuchBucket"));
    assert_int_equal(listing_failure("oss://nowhere", "me", text, sizeof text),
                     ERR_SOURCE_NOT_FOUND);
}

/* The error of a HEAD has no body; at OSS a header has it. */
static void a_refused_head_is_told_in_the_stores_words(void **state)
{
    struct bench bench;
    (void)state;
    start(&bench, "oss://data", "127.0.0.1", "wrong");
    bench_head(&bench, 3, "big");
    struct item *item = bench_next(&bench);
    struct span text = item->event.listed.text;
    assert_int_equal(item->event.listed.err, ERR_SOURCE_DENIED);
    assert_non_null(memmem(text.data, text.size, "SignatureDoesNotMatch", 21));
    bench_done(item);
    bench_stop(&bench);
}

static enum err get_failure(const char *uri, const char *key)
{
    struct bench bench;
    struct seen seen;
    size_t i = 0;
    start(&bench, uri, "127.0.0.1", "me");
    list_everything(&bench, &seen);
    while (strcmp(keys[i], key) != 0) {
        i++;
    }
    bench_get(&bench, &(struct bench_get){ .id = 2,
                                           .key = key,
                                           .pin = seen.pins[i],
                                           .object_size = SMALL_SIZE,
                                           .offset = 1000,
                                           .sizes = { SMALL_SIZE - 1000 } });
    enum err err = bench_wait(&bench, 2, NULL);
    bench_stop(&bench);
    return err;
}

static void wrong_ranges_and_cut_answers_are_refused(void **state)
{
    static const char *const uris[] = { "s3://data", "oss://data" };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(uris); i++) {
        assert_int_equal(get_failure(uris[i], "cut"), ERR_SOURCE_UNREACHABLE);
        assert_int_equal(get_failure(uris[i], "whole"), ERR_SOURCE_PROTOCOL);
        assert_int_equal(get_failure(uris[i], "wrong"), ERR_SOURCE_PROTOCOL);
        assert_int_equal(get_failure(uris[i], "short"), ERR_SOURCE_PROTOCOL);
    }
}

static void another_version_than_the_pinned_one_has_changed(void **state)
{
    static const char *const uris[] = { "s3://data", "oss://data" };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(uris); i++) {
        struct bench bench;
        start(&bench, uris[i], "127.0.0.1", "me");
        bench_get(&bench, &(struct bench_get){ .id = 2,
                                               .key = "big",
                                               .pin = "0123456789abcdef",
                                               .object_size = BIG_SIZE,
                                               .sizes = { 1000 } });
        assert_int_equal(bench_wait(&bench, 2, NULL), ERR_CHANGED);
        bench_stop(&bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s3_is_read_in_path_style),
        cmocka_unit_test(s3_is_read_with_a_session_token),
        cmocka_unit_test(oss_is_read_in_path_style),
        cmocka_unit_test(oss_is_read_in_virtual_host_style),
        cmocka_unit_test(oss_is_read_with_a_session_token),
        cmocka_unit_test(directories_are_listed_as_prefixes),
        cmocka_unit_test(a_wrong_secret_is_denied),
        cmocka_unit_test(a_bucket_that_does_not_exist_is_not_found),
        cmocka_unit_test(a_refused_head_is_told_in_the_stores_words),
        cmocka_unit_test(wrong_ranges_and_cut_answers_are_refused),
        cmocka_unit_test(another_version_than_the_pinned_one_has_changed),
    };
    return cmocka_run_group_tests(tests, start_store, stop_store);
}
