/* tests/fuzz/fuzz_http.c: requests to the admin address: a method, a path, the value of a query and a
 * body, a line each. What becomes a question to the node is in bounds, and a dataset in it is one. */
#include "node/io/http_routes.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *query;

/* In the place of libmicrohttpd's: the input's query, whatever it is asked for. */
const char *MHD_lookup_connection_value(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                                        const char *key)
{
    (void)connection;
    CHECK(kind == MHD_GET_ARGUMENT_KIND && key[0] != '\0');
    return query;
}

static void check_dataset(struct span record)
{
    static struct dataset dataset;
    CHECK(dataset_decode_draft(record, &dataset) == ERR_OK);
    CHECK(dataset.name[0] != '\0' && dataset.row_count > 0);
}

static void ask(const char *method, const char *url, struct span body)
{
    static uint8_t argument[HTTP_ARGUMENT_MAX];
    char line[1024];
    struct text why;
    size_t size = 0;
    const struct http_route *route = http_route_of(method, url);
    if (route == NULL) {
        return;
    }
    CHECK(http_url_is_known(url));
    struct http_asked asked = { .url = url,
                                .body = (const char *)body.data,
                                .body_size = body.size };
    text_init(&why, line, sizeof line);
    enum err err = route->make(route, &asked, argument, &size, &why);
    if (err != ERR_OK) {
        CHECK(why.used > 0 && http_status(err) >= 400 && http_status(err) < 500);
        return;
    }
    CHECK(size <= sizeof argument);
    if (route->kind == ADMIN_DATASET_CREATE) {
        check_dataset(span_of(argument, size));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of(data, size);
    char *method = scratch_string(scratch_take(&rest, '\n'));
    char *url = scratch_string(scratch_take(&rest, '\n'));
    char *value = scratch_string(scratch_take(&rest, '\n'));
    char *body = scratch_string(rest);
    query = value[0] == '-' ? NULL : value;
    ask(method, url, span_of(body, rest.size));
    ask("POST", "/api/v1/datasets", span_of(body, rest.size));
    free(method);
    free(url);
    free(value);
    free(body);
    return 0;
}
