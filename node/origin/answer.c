/* node/origin/answer.c: what a store answered, and what that means. */
#include "node/origin/request.h"

#include <openssl/evp.h>
#include <strings.h>

#include "node/origin/listing.h"

/* Signatures are refused when they are 15 minutes off; one refused with less was not for that. */
#define SKEW_LEAST SEC(300)

void answer_init(struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
}

static struct span trim(struct span text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = span_of(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]) != NULL) {
        text.size--;
    }
    return text;
}

/* The value of header `name` if `line` is that header. */
static bool is_header(struct span line, const char *name, struct span *value)
{
    size_t size = strlen(name);
    if (line.size <= size || line.data[size] != ':' ||
        strncasecmp((const char *)line.data, name, size) != 0) {
        return false;
    }
    *value = trim(span_of(line.data + size + 1, line.size - size - 1));
    return true;
}

static void keep_text(char *to, size_t room, struct span value)
{
    if (value.size < room) {
        memcpy(to, value.data, value.size);
        to[value.size] = '\0';
    }
}

static void keep_etag(struct answer *answer, struct span value)
{
    if (span_starts_with(value, span_text("W/"))) {
        return; /* a weak tag says nothing of bytes */
    }
    if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"') {
        value = span_of(value.data + 1, value.size - 2);
    }
    keep_text(answer->etag, sizeof answer->etag, value);
}

static bool number_until(struct span *text, char end, uint64_t *out)
{
    size_t size = 0;
    while (size < text->size && text->data[size] != (uint8_t)end) {
        size++;
    }
    if (!parse_u64(span_of(text->data, size), out)) {
        return false;
    }
    size += size < text->size ? 1 : 0;
    *text = span_of(text->data + size, text->size - size);
    return true;
}

/* "bytes 0-99/1000"; anything else counts as no range at all. */
static void keep_range(struct answer *answer, struct span value)
{
    struct span unit = span_text("bytes ");
    struct span rest;
    if (!span_starts_with(value, unit)) {
        return;
    }
    rest = span_of(value.data + unit.size, value.size - unit.size);
    answer->has_range = number_until(&rest, '-', &answer->range_first) &&
                        number_until(&rest, '/', &answer->range_last) &&
                        number_until(&rest, '\0', &answer->range_total) && rest.size == 0;
}

static void keep_retry(struct answer *answer, struct span value, usec_t unit_us)
{
    uint64_t number;
    if (parse_u64(value, &number) && number < 3600000) {
        answer->retry_us = usec_max(answer->retry_us, (usec_t)number * unit_us);
    }
}

static void status_line(struct answer *answer, struct span line)
{
    uint64_t status;
    const uint8_t *space = memchr(line.data, ' ', line.size);
    size_t at = space == NULL ? line.size : (size_t)(space - line.data) + 1;
    answer_init(answer);
    if (line.size >= at + 3 && parse_u64(span_of(line.data + at, 3), &status)) {
        answer->status = (uint32_t)status;
    }
}

void answer_header(struct answer *answer, struct span line)
{
    struct span value;
    if (span_starts_with(line, span_text("HTTP/"))) {
        status_line(answer, line);
    } else if (is_header(line, "content-range", &value)) {
        keep_range(answer, value);
    } else if (is_header(line, "content-length", &value)) {
        answer->has_length = parse_u64(value, &answer->length);
    } else if (is_header(line, "etag", &value)) {
        keep_etag(answer, value);
    } else if (is_header(line, "last-modified", &value)) {
        (void)parse_http_date(value, &answer->mtime_us);
    } else if (is_header(line, "date", &value)) {
        (void)parse_http_date(value, &answer->date_us);
    } else if (is_header(line, "retry-after", &value)) {
        keep_retry(answer, value, SEC(1));
    } else if (is_header(line, "x-oss-qos-delay-time", &value)) {
        keep_retry(answer, value, MSEC(1));
    } else if (is_header(line, "x-oss-err", &value)) {
        keep_text(answer->oss_err, sizeof answer->oss_err, value);
    }
}

static void say(struct text *why, const struct store_error *said, uint32_t status, const char *then)
{
    text_str(why, "the store answered ");
    text_u64(why, status);
    if (said->code[0] != '\0') {
        text_char(why, ' ');
        text_str(why, said->code);
    }
    if (said->message[0] != '\0') {
        text_str(why, " (");
        text_str(why, said->message);
        text_char(why, ')');
    }
    text_str(why, ": ");
    text_str(why, then);
}

/* Codes that say more than the status does. ERR_OK: `then` goes with what the status says. */
struct code_row {
    const char *code;
    enum err err;
    const char *then;
};

static const char wait_and_try[] = "it asks for fewer requests; Atoll waits and tries again";
static const char token_expired[] = "the session token has expired or does not fit the key";

static const struct code_row codes[] = {
    { "SlowDown", ERR_SOURCE_THROTTLED, wait_and_try },
    { "RequestLimitExceeded", ERR_SOURCE_THROTTLED, wait_and_try },
    { "DownloadTrafficRateLimitExceeded", ERR_SOURCE_THROTTLED, wait_and_try },
    { "MetaOperationQpsLimitExceeded", ERR_SOURCE_THROTTLED, wait_and_try },
    { "TotalQpsLimitExceeded", ERR_SOURCE_THROTTLED, wait_and_try },
    { "ActiveRequestLimitExceeded", ERR_SOURCE_THROTTLED, wait_and_try },
    { "CpuLimitExceeded", ERR_SOURCE_THROTTLED, wait_and_try },
    { "QpsLimitExceeded", ERR_SOURCE_THROTTLED, wait_and_try },
    { "SignatureDoesNotMatch", ERR_SOURCE_DENIED,
      "the secret key is wrong for this access key id, or the region is not the bucket's" },
    { "InvalidAccessKeyId", ERR_SOURCE_DENIED, "the store does not know this access key id" },
    { "RequestTimeTooSkewed", ERR_SOURCE_DENIED, "this host's clock is wrong; set it by NTP" },
    { "ExpiredToken", ERR_SOURCE_DENIED, token_expired },
    { "InvalidToken", ERR_SOURCE_DENIED, token_expired },
    { "InvalidSecurityToken", ERR_SOURCE_DENIED, token_expired },
    { "SecurityTokenExpired", ERR_SOURCE_DENIED, token_expired },
    { "AccessKeyIdAndSecurityTokenNotMatch", ERR_SOURCE_DENIED, token_expired },
    { "AuthorizationHeaderMalformed", ERR_SOURCE_DENIED,
      "give the bucket's --region as the store names it" },
    { "InvalidObjectState", ERR_SOURCE_DENIED, "the object is archived: restore it first" },
    { "NoSuchBucket", ERR_SOURCE_NOT_FOUND,
      "check the name of the bucket, the region and the endpoint" },
    { "RequestTimeout", ERR_SOURCE_UNREACHABLE, "the store has trouble; Atoll tries again" },
};

static enum err say_code(uint32_t status, const struct store_error *said, struct text *why)
{
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        if (strcmp(said->code, codes[i].code) == 0) {
            say(why, said, status, codes[i].then);
            return codes[i].err;
        }
    }
    return ERR_OK;
}

static enum err say_refused(uint32_t status, const struct request *request,
                            const struct store_error *said, struct text *why)
{
    const char *because = request->unsigned_because;
    say(why, said, status,
        because == NULL ? "check that the credential may list and read this bucket"
                        : "the request was not signed, because ");
    text_str(why, because == NULL ? "" : because);
    return ERR_SOURCE_DENIED;
}

static enum err say_status(uint32_t status, const struct request *request,
                           const struct store_error *said, struct text *why)
{
    const bool pinned = request->kind == REQUEST_GET && request->pin.size > 0;
    if (status == 503 || status == 429) {
        say(why, said, status, wait_and_try);
        return ERR_SOURCE_THROTTLED;
    }
    if (pinned && (status == 412 || status == 404 || status == 416)) {
        say(why, said, status, "the object is another one now, or gone");
        return ERR_CHANGED;
    }
    if (status == 404) {
        say(why, said, status, "there is nothing of that name");
        return ERR_SOURCE_NOT_FOUND;
    }
    if (status == 401 || status == 403) {
        return say_refused(status, request, said, why);
    }
    if (status >= 500 || status == 408) {
        say(why, said, status, "the store has trouble; Atoll tries again");
        return ERR_SOURCE_UNREACHABLE;
    }
    say(why, said, status, "not an answer Atoll can use; is this an S3 or OSS endpoint?");
    return ERR_SOURCE_PROTOCOL;
}

/* OSS puts the body that the answer to a HEAD cannot have into a header, as base64. */
static void said_by(const struct answer *answer, struct span body, struct store_error *out)
{
    uint8_t decoded[sizeof answer->oss_err];
    size_t size = strlen(answer->oss_err);
    int got = -1;
    if (body.size == 0 && size > 0 && size % 4 == 0) {
        got = EVP_DecodeBlock(decoded, (const uint8_t *)answer->oss_err, (int)size);
    }
    if (got > 0) { /* zeros stand for the padding */
        while (got > 0 && decoded[got - 1] == 0) {
            got--;
        }
        body = span_of(decoded, (size_t)got);
    }
    store_error_parse(body, out);
}

static enum err check_failure(const struct answer *answer, const struct request *request,
                              struct span body, struct text *why)
{
    struct store_error said;
    said_by(answer, body, &said);
    enum err err = say_code(answer->status, &said, why);
    return err != ERR_OK ? err : say_status(answer->status, request, &said, why);
}

/* A 200 is fine only when the whole object was asked and is what came. */
static enum err check_range(const struct answer *answer, const struct request *request,
                            struct text *why)
{
    bool whole = answer->status == 200 && request->offset == 0 &&
                 request->size == request->object_size && answer->has_length &&
                 answer->length == request->size;
    bool part = answer->status == 206 && answer->has_range &&
                answer->range_first == request->offset &&
                answer->range_last == request->offset + request->size - 1;
    if (request->pin.size > 0 && answer->etag[0] == '\0') {
        text_str(why, "the store does not say which version it sent (no ETag)");
        return ERR_SOURCE_PROTOCOL;
    }
    if (request->pin.size > 0 && !span_equal(span_text(answer->etag), request->pin)) {
        text_str(why, "the store sent another version than was asked for");
        return ERR_CHANGED;
    }
    if (part && answer->range_total != request->object_size) {
        text_str(why, "the object has another size than its listing says");
        return ERR_CHANGED;
    }
    if ((!whole && !part) || (answer->has_length && answer->length != request->size)) {
        text_str(why, "the store did not answer the range that was asked for");
        return ERR_SOURCE_PROTOCOL;
    }
    return ERR_OK;
}

static enum err check_head(const struct answer *answer, struct text *why)
{
    if (!answer->has_length || !pin_is_valid(span_text(answer->etag))) {
        text_str(why, "the store does not tell the object's size and version (ETag)");
        return ERR_SOURCE_PROTOCOL;
    }
    return ERR_OK;
}

static enum err check_success(const struct answer *answer, const struct request *request,
                              struct text *why)
{
    switch (request->kind) {
    case REQUEST_GET:
        return check_range(answer, request, why);
    case REQUEST_HEAD:
        return check_head(answer, why);
    case REQUEST_LIST:
        return ERR_OK;
    }
    BUG("a kind of request that is not in the enum");
}

enum err answer_check(const struct answer *answer, const struct request *request, struct span body,
                      struct text *why)
{
    if (answer->status >= 200 && answer->status < 300) {
        return check_success(answer, request, why);
    }
    if (answer->status >= 400) {
        return check_failure(answer, request, body, why);
    }
    text_str(why, "the store answered ");
    text_u64(why, answer->status);
    text_str(why, ", which Atoll does not follow; give the endpoint of the bucket's region");
    return ERR_SOURCE_PROTOCOL;
}

bool answer_is_mute(const struct answer *answer, const struct request *request)
{
    struct store_error said;
    said_by(answer, span_of(NULL, 0), &said);
    return request->kind == REQUEST_HEAD && answer->status >= 400 && said.code[0] == '\0' &&
           said.message[0] == '\0';
}

usec_t answer_skew_us(const struct answer *answer, struct span body, usec_t signed_us)
{
    struct store_error said;
    usec_t skew = answer->date_us - signed_us;
    said_by(answer, body, &said);
    if (answer->status != 403 || answer->date_us == 0 ||
        (skew < SKEW_LEAST && skew > -SKEW_LEAST)) {
        return 0;
    }
    /* S3 says nothing at all about why it refused a HEAD. */
    return said.code[0] == '\0' || strcmp(said.code, "RequestTimeTooSkewed") == 0 ||
                   strcmp(said.code, "RequestExpired") == 0
               ? skew
               : 0;
}
