/* tests/fuzz/fuzz_credentials.c: a key that is asked for, and a credential's file before and after a
 * change, a line and a zero byte between them; both may be anything. A file is whole or refused, one
 * that is refused takes nothing away, and the same content is the same credential. */
#include "node/origin/credentials.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char line[1024];
static struct text why;

static const struct source *bucket(void)
{
    static struct source source;
    char prefix[SOURCE_PREFIX_MAX + 1];
    struct source_text text = { .uri = span_text("s3://bucket/"),
                                .region = span_text("eu-west-1") };
    if (source.bucket[0] == '\0') {
        CHECK(source_parse(&text, &source, prefix, &why) == ERR_OK);
    }
    return &source;
}

static void check_state(const struct credentials *table, struct span key)
{
    struct credential one;
    uint64_t serial = 0;
    struct credential_state state = credentials_at(table, 0);
    struct credential_use use = { .name = "x", .source = bucket(), .key = key };
    CHECK(credentials_count(table) == 1 && strcmp(state.name, "x") == 0);
    CHECK(state.serial == credentials_serial(table, "x"));
    CHECK(state.serial > 0 || state.fault != NULL);
    text_init(&why, line, sizeof line);
    enum err err = credentials_find(table, &use, &one, &serial, &why);
    CHECK(err == ERR_OK || (err == ERR_NO_CREDENTIAL && why.used > 0));
    CHECK(err != ERR_OK || (serial == state.serial && serial > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    struct credentials *first = NULL;
    struct credentials *second = NULL;
    struct credentials *third = NULL;
    struct span after = span_of(data, size);
    struct span key = scratch_take(&after, '\n');
    struct span before = scratch_take(&after, 0);
    if (!made) {
        scratch_link("x.json", 0);
        made = true;
    }
    text_init(&why, line, sizeof line);
    (void)scratch_file(0, before);
    CHECK(credentials_open(scratch_dir(), false, &first, &why) == ERR_OK);
    (void)scratch_file(0, after);
    CHECK(credentials_look(first, SEC(1), &second, &why) == ERR_OK);
    CHECK(credentials_look(second, SEC(9), &third, &why) == ERR_OK);
    check_state(first, key);
    check_state(second, key);
    check_state(third, key);
    const uint64_t old = credentials_serial(first, "x");
    const uint64_t new = credentials_serial(second, "x");
    CHECK(old == 0 || new > 0);
    CHECK(!span_equal(before, after) || old == new);
    CHECK(credentials_serial(third, "x") == new);
    credentials_close(&third);
    credentials_close(&second);
    credentials_close(&first);
    return 0;
}
