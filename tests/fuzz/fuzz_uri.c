/* tests/fuzz/fuzz_uri.c: a URI, an endpoint and a region, a line each. What parses names a source
 * that parses again to itself, and its requests are lines of visible letters. */
#include "node/origin/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span take_line(struct span *rest)
{
    const uint8_t *end = rest->size == 0 ? NULL : memchr(rest->data, '\n', rest->size);
    struct span line = *rest;
    if (end == NULL) {
        *rest = span_of(rest->data, 0);
        return line;
    }
    line.size = (size_t)(end - rest->data);
    *rest = span_of(end + 1, rest->size - line.size - 1);
    return line;
}

static void check_visible(const char *text)
{
    for (; *text != '\0'; text++) {
        CHECK(*text >= 0x20 && *text < 0x7f);
    }
}

static void check_request(const struct source *source, const char *key)
{
    static struct signed_request made;
    static const struct credential credential = { .access_key_id = "ak",
                                                  .access_key_secret = "sk" };
    struct sign_key cache = { 0 };
    struct signer signer = { .credential = &credential, .key = &cache, .when = 1702743657 };
    struct request request = { .kind = REQUEST_HEAD, .key = span_text(key) };
    CHECK(request_sign(source, &request, &signer, &made) == ERR_OK);
    check_visible(made.url);
    for (uint32_t i = 0; i < made.header_count; i++) {
        check_visible(made.headers[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of(data, size);
    struct source_text written;
    struct source source, again;
    char prefix[SOURCE_PREFIX_MAX + 1], none[SOURCE_PREFIX_MAX + 1], line[1024], uri[600];
    struct text why, text;
    written.uri = take_line(&rest);
    written.endpoint = take_line(&rest);
    written.region = take_line(&rest);
    text_init(&why, line, sizeof line);
    if (source_parse(&written, &source, prefix, &why) != ERR_OK) {
        CHECK(why.used > 0);
        return 0;
    }
    CHECK(why.used == 0 && !source_host_is_refused(span_text(source.host)));
    CHECK(prefix[0] == '\0' || prefix[strlen(prefix) - 1] == '/');
    text_init(&text, uri, sizeof uri);
    source_uri(&source, &text);
    written.uri = span_text(uri);
    CHECK(source_parse(&written, &again, none, &why) == ERR_OK);
    CHECK(memcmp(&source, &again, sizeof source) == 0 && none[0] == '\0');
    if (source.kind != SOURCE_FILE) {
        check_request(&source, prefix);
    }
    return 0;
}
