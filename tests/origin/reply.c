#include "tests/origin/reply.h"

#include <stdlib.h>
#include <string.h>

struct fail_row {
    int status[2]; /* by dialect */
    const char *code[2];
    const char *ec;
    const char *message;
};

static const struct fail_row fail_rows[FAIL_COUNT] = {
#define X(name, s3_status, s3_code, oss_status, oss_code, oss_ec, text) \
    [name] = { .status = { s3_status, oss_status },                     \
               .code = { s3_code, oss_code },                           \
               .ec = oss_ec,                                            \
               .message = text },
    FAILS(X)
#undef X
};

void reply_header(struct MHD_Response *response, const char *name, const char *value)
{
    MHD_add_response_header(response, name, value);
}

void reply_headers(struct MHD_Response *response, const char *lines)
{
    while (lines != NULL && *lines != '\0') {
        const char *end = strchr(lines, '\n');
        const char *colon = strchr(lines, ':');
        if (end == NULL || colon == NULL || colon > end) {
            return;
        }
        char *name = text_dup(lines, (size_t)(colon - lines));
        const char *start = colon + 1 + strspn(colon + 1, " ");
        char *value = text_dup(start, start < end ? (size_t)(end - start) : 0);
        reply_header(response, name, value);
        free(name);
        free(value);
        lines = end + 1;
    }
}

void reply_common(struct request *request, struct MHD_Response *response)
{
    char date[40];
    text_format_http(server_now_s(request->server), date);
    reply_header(response, "Date", date);
    if (request->dialect == DIALECT_OSS) {
        reply_header(response, "Server", "AliyunOSS");
        reply_header(response, "x-oss-request-id", request->id);
        reply_header(response, "x-oss-server-time", "1");
    } else {
        reply_header(response, "Server", "AtollTestOrigin");
        reply_header(response, "x-amz-request-id", request->id);
        reply_header(response, "x-amz-id-2", request->id);
    }
}

enum MHD_Result reply_queue(struct request *request, int status, struct MHD_Response *response,
                            uint64_t size)
{
    request_answer(request, status, size);
    enum MHD_Result result = MHD_queue_response(request->connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

static struct MHD_Response *response_of_text(struct text *text)
{
    size_t size = text->size;
    void *bytes = text->bytes == NULL ? text_alloc(1) : text->bytes;
    *text = (struct text){ 0 };
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, bytes, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        abort();
    }
    return response;
}

enum MHD_Result reply_xml(struct request *request, int status, struct text *xml)
{
    size_t size = xml->size;
    struct MHD_Response *response = response_of_text(xml);
    reply_common(request, response);
    reply_header(response, "Content-Type", "application/xml");
    return reply_queue(request, status, response, size);
}

enum MHD_Result reply_empty(struct request *request, int status, const char *headers)
{
    struct text none = { 0 };
    struct MHD_Response *response = response_of_text(&none);
    reply_common(request, response);
    reply_headers(response, headers);
    return reply_queue(request, status, response, 0);
}

static void add_element(struct text *xml, const char *name, const char *value)
{
    text_printf(xml, "<%s>", name);
    text_xml(xml, value, strlen(value));
    text_printf(xml, "</%s>", name);
}

static void write_error(const struct request *request, const struct fail_row *row,
                        const char *extra, struct text *xml)
{
    text_puts(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    add_element(xml, "Code", row->code[0]);
    add_element(xml, "Message", row->message);
    if (extra != NULL) {
        text_puts(xml, extra);
    }
    if (request->dialect == DIALECT_OSS) {
        const char *host = request_field(request, "host");
        add_element(xml, "RequestId", request->id);
        add_element(xml, "HostId", host == NULL ? "" : host);
        add_element(xml, "EC", row->ec);
    } else {
        add_element(xml, "Resource", request->uri);
        add_element(xml, "RequestId", request->id);
        add_element(xml, "HostId", request->id);
    }
    text_puts(xml, "</Error>\n");
}

/* `row` has the one status and code to use in the first place. An answer to HEAD has no body: OSS
 * then sends the XML in a header. */
static enum MHD_Result reply_row(struct request *request, const struct fail_row *row,
                                 const char *extra)
{
    struct text xml = { 0 };
    bool head = strcmp(request->method, "HEAD") == 0;
    bool oss = request->dialect == DIALECT_OSS;
    write_error(request, row, extra, &xml);
    char *encoded = text_base64(xml.bytes, xml.size);
    if (head) {
        text_clear(&xml);
    }
    size_t size = xml.size;
    struct MHD_Response *response = response_of_text(&xml);
    reply_common(request, response);
    reply_header(response, "Content-Type", "application/xml");
    if (oss) {
        reply_header(response, "x-oss-ec", row->ec);
    }
    if (oss && head) {
        reply_header(response, "x-oss-err", encoded);
    }
    free(encoded);
    return reply_queue(request, row->status[0], response, size);
}

enum MHD_Result reply_fail(struct request *request, enum fail fail, const char *extra)
{
    if (fail == FAIL_NOT_MODIFIED) {
        return reply_empty(request, 304, extra);
    }
    struct fail_row row = fail_rows[fail];
    row.status[0] = row.status[request->dialect];
    row.code[0] = row.code[request->dialect];
    struct text more = { 0 };
    if (fail == FAIL_SIGNATURE) {
        add_element(&more, "StringToSign", request->verdict.string_to_sign.bytes);
        if (request->verdict.canonical.size > 0) {
            add_element(&more, "CanonicalRequest", request->verdict.canonical.bytes);
        }
        extra = more.bytes;
    }
    enum MHD_Result result = reply_row(request, &row, extra);
    text_fini(&more);
    return result;
}

enum MHD_Result reply_status(struct request *request, int status, const char *code)
{
    struct fail_row row = fail_rows[FAIL_SLOW_DOWN];
    row.status[0] = status;
    row.code[0] = code[0] != '\0' ? code : row.code[request->dialect];
    return reply_row(request, &row, NULL);
}
