#include <strings.h>

#include "node/origin/listing.h"
#include "node/origin/request.h"

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

static void say(struct text *why, const struct store_error *said, uint32_t status,
                const char *then)
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

static bool is_throttle(uint32_t status, const struct store_error *said)
{
    static const char *const codes[] = { "SlowDown", "RequestLimitExceeded",
                                         "DownloadTrafficRateLimitExceeded",
                                         "MetaOperationQpsLimitExceeded",
                                         "TotalQpsLimitExceeded", "ActiveRequestLimitExceeded",
                                         "CpuLimitExceeded", "QpsLimitExceeded" };
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        if (strcmp(said->code, codes[i]) == 0) {
            return true;
        }
    }
    return status == 503 || status == 429;
}

static enum err denied(uint32_t status, const struct store_error *said, struct text *why)
{
    const char *then = "check that the credential may list and read this bucket";
    if (strcmp(said->code, "SignatureDoesNotMatch") == 0) {
        then = "the secret key is wrong for this access key id";
    } else if (strcmp(said->code, "InvalidAccessKeyId") == 0) {
        then = "the store does not know this access key id";
    } else if (strcmp(said->code, "RequestTimeTooSkewed") == 0) {
        then = "this host's clock is wrong; set it by NTP";
    }
    say(why, said, status, then);
    return ERR_SOURCE_DENIED;
}

static enum err check_failure(const struct answer *answer, const struct request *request,
                              struct span body, struct text *why)
{
    struct store_error said;
    uint32_t status = answer->status;
    bool pinned = request->kind == REQUEST_GET && request->pin.size > 0;
    store_error_parse(body, &said);
    if (is_throttle(status, &said)) {
        say(why, &said, status, "it asks for fewer requests; Atoll waits and tries again");
        return ERR_SOURCE_THROTTLED;
    }
    if (status == 412 || (status == 404 && pinned) || (status == 416 && pinned)) {
        say(why, &said, status, "the object is another one now");
        return ERR_CHANGED;
    }
    if (status == 404) {
        say(why, &said, status, "check the name of the bucket, the region and the endpoint");
        return ERR_SOURCE_NOT_FOUND;
    }
    if (status == 401 || status == 403) {
        return denied(status, &said, why);
    }
    if (status >= 500 || status == 408) {
        say(why, &said, status, "the store has trouble; Atoll tries again");
        return ERR_SOURCE_UNREACHABLE;
    }
    say(why, &said, status, "not an answer Atoll can use; is this an S3 or OSS endpoint?");
    return ERR_SOURCE_PROTOCOL;
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
    if (request->pin.size > 0 && answer->etag[0] != '\0' &&
        !span_equal(span_text(answer->etag), request->pin)) {
        text_str(why, "the store sent another version than was asked for");
        return ERR_CHANGED;
    }
    if (part && answer->range_total != request->object_size) {
        text_str(why, "the object has another size than its listing says");
        return ERR_CHANGED;
    }
    if (!whole && !part) {
        text_str(why, "the store did not answer the range that was asked for");
        return ERR_SOURCE_PROTOCOL;
    }
    return ERR_OK;
}

enum err answer_check(const struct answer *answer, const struct request *request, struct span body,
                      struct text *why)
{
    if (answer->status >= 200 && answer->status < 300) {
        return request->kind == REQUEST_GET ? check_range(answer, request, why) : ERR_OK;
    }
    if (answer->status >= 400) {
        return check_failure(answer, request, body, why);
    }
    text_str(why, "the store answered ");
    text_u64(why, answer->status);
    text_str(why, ", which Atoll does not follow; give the endpoint of the bucket's region");
    return ERR_SOURCE_PROTOCOL;
}

bool answer_is_skewed(const struct answer *answer, struct span body)
{
    struct store_error said;
    store_error_parse(body, &said);
    return answer->status == 403 && answer->date_us != 0 &&
           (strcmp(said.code, "RequestTimeTooSkewed") == 0 ||
            strcmp(said.code, "RequestExpired") == 0);
}
