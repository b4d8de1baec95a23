/* node/io/http_routes.c: the table of the admin address. */
#include "node/io/http_routes.h"

#include <sodium.h>
#include <string.h>

#include "node/io/draft.h"
#include "node/io/http_fields.h"
#include "node/io/rotation.h"

#define QUERY_SHOWN 64u /* of a parameter that there is not */

/* The part of the URL that stands for the '*'. */
static struct span name_in(const struct http_route *route, const char *url)
{
    const size_t before = strcspn(route->url, "*");
    return span_of(url + before, strcspn(url + before, "/"));
}

static bool matches(const struct http_route *route, const char *url)
{
    const size_t before = strcspn(route->url, "*");
    if (route->url[before] == 0) {
        return strcmp(route->url, url) == 0;
    }
    if (strncmp(route->url, url, before) != 0) {
        return false;
    }
    const struct span name = name_in(route, url);
    return name.size > 0 && name.size <= DATASET_NAME_MAX &&
           strcmp(url + before + name.size, route->url + before + 1) == 0;
}

/* ---- arguments ------------------------------------------------------------------------------- */

static enum err make_nothing(const struct http_route *route, const struct http_asked *asked,
                             uint8_t *argument, size_t *size, struct text *why)
{
    (void)route;
    (void)asked;
    (void)argument;
    (void)why;
    *size = 0;
    return ERR_OK;
}

static enum err make_name(const struct http_route *route, const struct http_asked *asked,
                          uint8_t *argument, size_t *size, struct text *why)
{
    const struct span name = name_in(route, asked->url);
    (void)why;
    memcpy(argument, name.data, name.size);
    *size = name.size;
    return ERR_OK;
}

static enum err make_file(const struct http_route *route, const struct http_asked *asked,
                          uint8_t *argument, size_t *size, struct text *why)
{
    const char *file =
        MHD_lookup_connection_value(asked->connection, MHD_GET_ARGUMENT_KIND, "file");
    (void)route;
    if (file == NULL || strchr(file, '/') == NULL || strlen(file) > 1200) {
        text_str(why, "file must be DATASET/path");
        return ERR_INVALID;
    }
    memcpy(argument, file, strlen(file));
    *size = strlen(file);
    return ERR_OK;
}

/* NULL: that one can be looked for. `value` is NULL where nothing was said. */
static const char *diff_fault(const char *name, const char *value)
{
    const struct span span = span_text(value != NULL ? value : "");
    if (span.size > MEMBER_LABELS_MAX || (value != NULL && strchr(value, '\n') != NULL)) {
        return "is too long, or has a line break in it";
    }
    if (strcmp(name, "nodes") == 0) {
        return selector_is_valid(span) ? NULL : "must be KEY=VALUE,KEY2=VALUE2, each key once";
    }
    if (value != NULL && span.size == 0) {
        return "is empty";
    }
    return strcmp(name, "add") == 0 ? http_fields_added_fault(span) : NULL;
}

/* Three lines, each of them empty where nothing was said. */
static enum err make_diff(const struct http_route *route, const struct http_asked *asked,
                          uint8_t *argument, size_t *size, struct text *why)
{
    const char *const *names = route->query;
    *size = 0;
    for (uint32_t i = 0; names[i] != NULL; i++) {
        const char *value =
            MHD_lookup_connection_value(asked->connection, MHD_GET_ARGUMENT_KIND, names[i]);
        const size_t length = value == NULL ? 0 : strlen(value);
        const char *fault = diff_fault(names[i], value);
        if (fault != NULL) {
            text_str(why, names[i]);
            text_str(why, ": ");
            text_str(why, fault);
            return ERR_INVALID;
        }
        if (length > 0) {
            memcpy(argument + *size, value, length);
        }
        argument[*size + length] = '\n';
        *size += length + 1;
    }
    return ERR_OK;
}

/* "DATASET" or "DATASET/prefix" */
static enum err make_refresh(const struct http_route *route, const struct http_asked *asked,
                             uint8_t *argument, size_t *size, struct text *why)
{
    const struct span name = name_in(route, asked->url);
    const char *prefix =
        MHD_lookup_connection_value(asked->connection, MHD_GET_ARGUMENT_KIND, "prefix");
    const size_t prefix_size = prefix != NULL ? strlen(prefix) : 0;
    if (prefix_size > 1024) {
        text_str(why, "prefix is longer than 1024 bytes");
        return ERR_INVALID;
    }
    memcpy(argument, name.data, name.size);
    *size = name.size;
    if (prefix_size > 0) {
        argument[(*size)++] = '/';
        memcpy(argument + *size, prefix, prefix_size);
        *size += prefix_size;
    }
    return ERR_OK;
}

static enum err make_dataset(const struct http_route *route, const struct http_asked *asked,
                             uint8_t *argument, size_t *size, struct text *why)
{
    struct dataset dataset;
    (void)route;
    enum err err = draft_parse(asked->body, asked->body_size, &dataset, why);
    if (err != ERR_OK) {
        return err;
    }
    err = dataset_encode(&dataset, argument, HTTP_ARGUMENT_MAX, size);
    if (err == ERR_FULL) {
        text_str(why, "the rows are together too long: make several datasets");
        return ERR_TOO_LARGE;
    }
    return err;
}

/* "NAME WEIGHT" of {"weight": 50} or {"weight": "auto"}. */
static enum err make_weight(const struct http_route *route, const struct http_asked *asked,
                            uint8_t *argument, size_t *size, struct text *why)
{
    const struct span name = name_in(route, asked->url);
    struct text out;
    if (!span_is_name(name, MEMBER_NAME_MAX)) {
        text_str(why, "the name of a node has " HTTP_FIELDS_NAME);
        return ERR_INVALID;
    }
    text_init(&out, (char *)argument, HTTP_ARGUMENT_MAX);
    text_span(&out, name);
    text_str(&out, " ");
    *size = 0;
    enum err err = http_fields_weight(asked->body, asked->body_size, &out, why);
    if (err == ERR_OK) {
        *size = out.used;
    }
    return err;
}

static enum err make_rotation(const struct http_route *route, const struct http_asked *asked,
                              uint8_t *argument, size_t *size, struct text *why)
{
    struct key_rotation rotation;
    (void)route;
    enum err err = rotation_parse(asked->body, asked->body_size, &rotation, why);
    if (err == ERR_OK) {
        key_rotation_encode(&rotation, argument);
        *size = KEY_ROTATION_SIZE;
    }
    sodium_memzero(&rotation, sizeof rotation);
    return err;
}

/* ---- the table ------------------------------------------------------------------------------- */

#define GET MHD_HTTP_METHOD_GET
#define POST MHD_HTTP_METHOD_POST
#define DATASETS "/api/v1/datasets"

static const char *const diff_query[] = { "nodes", "without", "add", NULL };
static const char *const file_query[] = { "file", NULL };
static const char *const refresh_query[] = { "prefix", NULL };

static const struct http_route routes[] = {
    { .method = GET, .url = "/livez", .open = true, .is_live = true, .make = make_nothing },
    { GET, "/readyz", ADMIN_READY, HTTP_READY, .open = true, .make = make_nothing },
    { GET, "/metrics", ADMIN_METRICS, HTTP_METRICS, .make = make_nothing },
    { GET, "/api/v1/status", ADMIN_STATUS, HTTP_JSON, .make = make_nothing },
    { GET, "/api/v1/nodes", ADMIN_NODES, HTTP_JSON, .make = make_nothing },
    { POST, "/api/v1/nodes/*/weight", ADMIN_NODE_WEIGHT, HTTP_JSON, .wants_json = true,
      .correct = "ask the node itself, with --admin at its own address", .make = make_weight },
    { GET, "/api/v1/ring", ADMIN_RING, HTTP_JSON, .make = make_nothing },
    { GET, "/api/v1/ring/diff", ADMIN_RING_DIFF, HTTP_JSON, .query = diff_query,
      .make = make_diff },
    { GET, "/api/v1/where", ADMIN_WHERE, HTTP_JSON, .query = file_query, .make = make_file },
    { GET, "/api/v1/keys", ADMIN_KEYS, HTTP_JSON, .make = make_nothing },
    { POST, "/api/v1/keys/rotate", ADMIN_KEY_ROTATE, HTTP_JSON, .wants_json = true,
      .make = make_rotation },
    { GET, DATASETS, ADMIN_DATASET_LIST, HTTP_JSON, .make = make_nothing },
    { POST, DATASETS, ADMIN_DATASET_CREATE, HTTP_JSON, .wants_json = true, .make = make_dataset },
    { GET, DATASETS "/*", ADMIN_DATASET_SHOW, HTTP_JSON, .make = make_name },
    { MHD_HTTP_METHOD_DELETE, DATASETS "/*", ADMIN_DATASET_DELETE, HTTP_JSON, .make = make_name },
    { POST, DATASETS "/*/refresh", ADMIN_DATASET_REFRESH, HTTP_JSON, .wants_json = true,
      .query = refresh_query, .make = make_refresh },
};

const struct http_route *http_route_of(const char *method, const char *url)
{
    if (strcmp(method, MHD_HTTP_METHOD_HEAD) == 0) {
        method = GET; /* libmicrohttpd leaves the body out */
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(routes); i++) {
        if (strcmp(routes[i].method, method) == 0 && matches(&routes[i], url)) {
            return &routes[i];
        }
    }
    return NULL;
}

bool http_url_is_known(const char *url)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(routes); i++) {
        if (matches(&routes[i], url)) {
            return true;
        }
    }
    return false;
}

struct query {
    const char *const *names;
    uint32_t seen; /* a bit for each of them */
    struct text *why;
};

static enum MHD_Result on_parameter(void *self, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct query *query = self;
    uint32_t i = 0;
    (void)kind;
    (void)value;
    while (query->names[i] != NULL && strcmp(query->names[i], name) != 0) {
        i++;
    }
    const bool is_known = query->names[i] != NULL;
    if (is_known && (query->seen >> i & 1) == 0) {
        query->seen |= 1u << i;
        return MHD_YES;
    }
    const struct span shown = span_of(name, strnlen(name, QUERY_SHOWN));
    text_str(query->why, is_known ? "the parameter " : "there is no parameter ");
    text_span(query->why, shown);
    text_str(query->why, is_known ? " is given twice" : " here");
    return MHD_NO;
}

enum err http_check_query(const struct http_route *route, struct MHD_Connection *connection,
                          struct text *why)
{
    struct query query = { .names = route->query, .why = why };
    if (route->query != NULL) {
        MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, on_parameter, &query);
    }
    return why->used == 0 ? ERR_OK : ERR_INVALID;
}

bool http_wants_detail(struct MHD_Connection *connection)
{
    const char *value = NULL;
    size_t size = 0;
    return MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, "verbose", 7, &value,
                                         &size) == MHD_YES;
}

/* ---- failures -------------------------------------------------------------------------------- */

struct failure {
    enum err err;
    unsigned int status;
    const char *advice;
};

static const struct failure failures[] = {
    { ERR_INVALID, 400, "correct the request; the command's --help shows its parts" },
    { ERR_MALFORMED, 400, "correct the request" },
    { ERR_TOO_LARGE, 413, "make the request smaller" },
    { ERR_NOT_FOUND, 404,
      "check the name; `atoll dataset list` and `atoll nodes` show what there is" },
    { ERR_DATASET_DELETED, 404, "see `atoll dataset list` for the datasets there are" },
    { ERR_EXISTS, 409, "choose another name, or delete the dataset of that name first" },
    { ERR_DENIED, 403, "use --admin-token-file with the node's admin token" },
    { ERR_SOURCE_DENIED, 403, "check the credential's keys, and that it may list the bucket" },
    { ERR_SOURCE_NOT_FOUND, 404, "check the bucket, the endpoint and the region" },
    { ERR_SOURCE_NOT_ALLOWED, 403,
      "start the nodes with --allow-root for that directory, or choose another endpoint" },
    { ERR_NO_CREDENTIAL, 403,
      "put a file of that name into --credentials-dir of every node that should read the source" },
    { ERR_SOURCE_UNREACHABLE, 502, "check the endpoint and the network from the node to it" },
    { ERR_SOURCE_THROTTLED, 503, "try again later" },
    { ERR_SOURCE_PROTOCOL, 502, "check that the endpoint is an object store of that kind" },
    { ERR_BUSY, 503, "try again in a second" },
    { ERR_ROTATING, 409,
      "wait; `atoll key list` shows what for. With --force the new key is begun now, and its --ttl "
      "is that of all older keys" },
    { ERR_FULL, 507, "make room: see `atoll status`" },
    { ERR_NOMEM, 503, "give the node more memory" },
    { ERR_TIMEOUT, 504, "`atoll status` shows which nodes answer" },
    { ERR_UNREACHABLE, 502, "see `atoll nodes`" },
    { ERR_UNSUPPORTED, 405, "see docs/operations.md for what there is" },
    { ERR_CLOSED, 503, "the node is going down: ask another one" },
};

static const struct failure *find_failure(enum err err)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(failures); i++) {
        if (failures[i].err == err) {
            return &failures[i];
        }
    }
    return NULL;
}

unsigned int http_status(enum err err)
{
    const struct failure *failure = find_failure(err);
    return failure != NULL ? failure->status : 500;
}

const char *http_advice(const struct http_route *route, enum err err)
{
    if (err == ERR_INVALID && route != NULL && route->correct != NULL) {
        return route->correct;
    }
    const struct failure *failure = find_failure(err);
    return failure != NULL ? failure->advice : "see the node's log";
}
