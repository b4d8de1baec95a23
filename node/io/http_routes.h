/* node/io/http_routes.h: which request is which question to the node; for http_actor.c alone. */
#pragma once
#include <microhttpd.h>
#include <stdbool.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "node/core/node.h"
#include "wire/dataset.h"

#define HTTP_ARGUMENT_MAX DATASET_RECORD_MAX

struct http_asked {
    struct MHD_Connection *connection;
    const char *url;
    const char *body;
    size_t body_size;
};

struct http_route {
    const char *method;
    const char *url; /* with * for one name: "/api/v1/datasets/" "*" */
    enum admin_kind kind;
    enum http_form { HTTP_JSON, HTTP_READY, HTTP_METRICS } form;
    bool open;    /* needs no token */
    bool is_live; /* answered without the node */
    bool wants_json;
    const char *const *query; /* the parameters there are, each at most once; NULL: not looked at */
    const char *correct;      /* what to do when the node says ERR_INVALID; NULL: as everywhere */
    /* Write the argument of NODE_ADMIN, at most HTTP_ARGUMENT_MAX. */
    enum err (*make)(const struct http_route *route, const struct http_asked *asked,
                     uint8_t *argument, size_t *size, struct text *why);
};

/* NULL: there is none. */
const struct http_route *http_route_of(const char *method, const char *url);
bool http_url_is_known(const char *url);
/* A parameter that the route does not have, or one that is given twice: ERR_INVALID with a line in
 * `why`, as whoever wrote it meant something. */
enum err http_check_query(const struct http_route *route, struct MHD_Connection *connection,
                          struct text *why) MUST_USE;
bool http_wants_detail(struct MHD_Connection *connection);
unsigned int http_status(enum err err);
/* What a person can do about it. `route` is NULL when the node itself was not asked. */
const char *http_advice(const struct http_route *route, enum err err);
