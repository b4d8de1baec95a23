/* tests/fuzz/fuzz_credentials.c: a credential's file that may be anything, and a key it is wanted
 * for, a line each. It is whole or refused, and one with prefixes is not used outside of them. */
#include "node/origin/credentials.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err find(struct credentials *credentials, struct span key, struct credential *out)
{
    static struct source source;
    char line[512], prefix[SOURCE_PREFIX_MAX + 1];
    struct text why;
    struct credential_use use = { .name = "x", .source = &source, .key = key };
    text_init(&why, line, sizeof line);
    if (source.bucket[0] == '\0') {
        struct source_text text = { .uri = span_text("s3://bucket/") };
        text.region = span_text("eu-west-1");
        CHECK(source_parse(&text, &source, prefix, &why) == ERR_OK);
    }
    enum err err = credentials_find(credentials, &use, out, &why);
    CHECK((err == ERR_OK) == (why.used == 0));
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct credentials *credentials;
    struct span rest = span_of(data, size);
    struct span key = scratch_take(&rest, '\n');
    struct credential one;
    struct credential cached;
    if (credentials == NULL) {
        char line[512];
        struct text why;
        text_init(&why, line, sizeof line);
        scratch_link("x.json", 0);
        CHECK(credentials_open(scratch_dir(), false, &credentials, &why) == ERR_OK);
    }
    (void)scratch_file(0, rest);
    credentials_forget(credentials, "x");
    enum err err = find(credentials, key, &one);
    CHECK(err == ERR_OK || err == ERR_NO_CREDENTIAL);
    CHECK(find(credentials, key, &cached) == err);
    CHECK(memcmp(&one, &cached, sizeof one) == 0);
    return 0;
}
