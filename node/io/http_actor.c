/* node/io/http_actor.c: libmicrohttpd, with connections that sleep while the peer thread works.
 * Thread: libmicrohttpd's own. Owns: connections and requests.
 * Takes:  replies, under the mutex.   Gives: NODE_ADMIN items to the peer thread. */
#include "node/io/http_actor.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "node/io/address.h"
#include "node/io/http_fields.h"
#include "node/io/http_routes.h"
#include "node/io/item.h"
#include "node/io/log.h"

#define BODY_MAX 65536
#define CONNECTIONS_MAX 64
#define IDLE_SECONDS 30
#define TOKEN_MAX 512

struct request {
    struct list all;
    uint64_t id; /* of the NODE_ADMIN that is out; 0: none */
    struct MHD_Connection *connection;
    const struct http_route *route;
    char body[BODY_MAX];
    size_t body_size;
    bool malformed; /* its URL */
    bool too_large;
    bool answered; /* by the peer thread, and the connection goes on */
    enum err err;
    char *text;
    size_t text_size;
};

struct http_actor {
    struct http_actor_options options;
    struct MHD_Daemon *daemon;
    int fd;
    char token[TOKEN_MAX]; /* "": nobody needs one */
    pthread_mutex_t mutex;
    pthread_cond_t completed; /* one request less */
    struct list requests;
    uint64_t next_id;
    bool stopping;
};

/* ---- answers --------------------------------------------------------------------------------- */

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned int status,
                                 const char *type, struct span text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        text.size, (void *)(uintptr_t)text.data, MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_failure(const struct request *request, unsigned int status,
                                    enum err err, struct span reason)
{
    char room[4096];
    struct text text;
    text_init(&text, room, sizeof room);
    text_str(&text, "{\"error\":");
    text_json(&text, reason.size > 0 ? reason : span_text(err_text(err)));
    text_str(&text, ",\"code\":");
    text_json(&text, span_text(err_name(err)));
    text_str(&text, ",\"what_to_do\":");
    text_json(&text, span_text(http_advice(request->answered ? request->route : NULL, err)));
    text_str(&text, "}\n");
    return send_text(request->connection, status, "application/json", span_of(room, text.used));
}

static enum MHD_Result send_answer(struct http_actor *http, struct request *request)
{
    const struct span text = span_of(request->text, request->text_size);
    struct text more;
    char *room;
    switch (request->route->form) {
    case HTTP_JSON:
        return request->err == ERR_OK
                   ? send_text(request->connection, MHD_HTTP_OK, "application/json", text)
                   : send_failure(request, http_status(request->err), request->err, text);
    case HTTP_READY:
        return send_text(request->connection,
                         request->err == ERR_OK ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                         "text/plain; charset=utf-8",
                         http_wants_detail(request->connection) || request->err != ERR_OK
                             ? text
                             : span_text("ok\n"));
    case HTTP_METRICS:
        room = request->err == ERR_OK ? malloc(text.size + 65536) : NULL;
        if (room == NULL) {
            return send_failure(request, MHD_HTTP_INTERNAL_SERVER_ERROR, request->err, text);
        }
        text_init(&more, room, text.size + 65536);
        text_span(&more, text);
        http->options.put_metrics(http->options.self, &more);
        enum MHD_Result result =
            send_text(request->connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                      span_of(room, more.used));
        free(room);
        return result;
    }
    BUG("a route of no form");
}

void http_actor_reply(struct http_actor *http, uint64_t id, enum err err, struct span text)
{
    pthread_mutex_lock(&http->mutex);
    for (struct list *at = http->requests.next; at != &http->requests; at = at->next) {
        struct request *request = CONTAINER_OF(at, struct request, all);
        if (request->id != id) {
            continue;
        }
        request->text = text.size > 0 ? malloc(text.size) : NULL;
        request->err = text.size > 0 && request->text == NULL ? ERR_NOMEM : err;
        if (request->text != NULL) {
            memcpy(request->text, text.data, text.size);
            request->text_size = text.size;
        }
        request->answered = true;
        request->id = 0;
        MHD_resume_connection(request->connection);
        break;
    }
    pthread_mutex_unlock(&http->mutex);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* The argument may be a key. */
static void free_asked(struct item *item)
{
    sodium_memzero(item_room(item), item->event.admin.argument.size);
    free(item);
}

static enum MHD_Result ask_peer(struct http_actor *http, struct request *request,
                                struct span argument)
{
    struct item *item = item_new(NODE_ADMIN, argument.size);
    if (item == NULL) {
        return send_failure(request, MHD_HTTP_SERVICE_UNAVAILABLE, ERR_NOMEM, span_of(NULL, 0));
    }
    if (argument.size > 0) {
        memcpy(item_room(item), argument.data, argument.size);
    }
    item->free = free_asked;
    item->event.admin.kind = request->route->kind;
    item->event.admin.argument = span_of(item_room(item), argument.size);
    pthread_mutex_lock(&http->mutex);
    const bool refused = http->stopping;
    if (!refused) {
        request->id = ++http->next_id;
        item->event.admin.id = request->id;
        MHD_suspend_connection(request->connection);
        queue_push(http->options.peer, &item->queue);
    }
    pthread_mutex_unlock(&http->mutex);
    if (refused) {
        item->free(item);
        return send_failure(request, MHD_HTTP_SERVICE_UNAVAILABLE, ERR_CLOSED, span_of(NULL, 0));
    }
    return MHD_YES;
}

static bool may_ask(const struct http_actor *http, struct MHD_Connection *connection)
{
    static const char bearer[] = "Bearer ";
    char shown[TOKEN_MAX] = { 0 };
    const char *header =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    if (http->token[0] == 0) {
        return true;
    }
    if (header == NULL || strncmp(header, bearer, sizeof bearer - 1) != 0) {
        return false;
    }
    strncpy(shown, header + sizeof bearer - 1, sizeof shown - 1);
    return sodium_memcmp(shown, http->token, sizeof shown) == 0;
}

/* A page in somebody's browser can send a form to loopback, but no JSON. */
static bool is_json(struct MHD_Connection *connection)
{
    const char *type =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    return type != NULL && strncmp(type, "application/json", 16) == 0;
}

static enum MHD_Result answer_live(struct http_actor *http, struct MHD_Connection *connection)
{
    const bool alive = http->options.is_alive(http->options.self);
    return send_text(connection, alive ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                     "text/plain; charset=utf-8",
                     span_text(alive ? "ok\n" : "the peer thread stands still\n"));
}

static enum MHD_Result begin_answer(struct http_actor *http, struct request *request,
                                    const char *url)
{
    char room[1024];
    struct text why;
    static const char no_token[] = "the admin token is missing or wrong";
    struct MHD_Connection *connection = request->connection;
    if (!request->route->open && !may_ask(http, connection)) {
        return send_failure(request, MHD_HTTP_UNAUTHORIZED, ERR_DENIED, span_text(no_token));
    }
    if (request->route->is_live) {
        return answer_live(http, connection);
    }
    if (request->too_large) {
        return send_failure(request, MHD_HTTP_CONTENT_TOO_LARGE, ERR_TOO_LARGE, span_of(NULL, 0));
    }
    if (request->route->wants_json && !is_json(connection)) {
        return send_failure(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, ERR_INVALID,
                            span_text("the content type must be application/json"));
    }
    text_init(&why, room, sizeof room);
    uint8_t argument[HTTP_ARGUMENT_MAX];
    struct span span = span_of(argument, 0);
    const struct http_asked asked = {
        .connection = connection, .url = url, .body = request->body, .body_size = request->body_size
    };
    enum err err = http_check_query(request->route, connection, &why);
    if (err == ERR_OK) {
        err = request->route->make(request->route, &asked, argument, &span.size, &why);
    }
    if (err != ERR_OK) {
        return send_failure(request, http_status(err), err, span_of(room, why.used));
    }
    const enum MHD_Result result = ask_peer(http, request, span);
    sodium_memzero(argument, span.size);
    return result;
}

/* What stands for a request until on_request() makes it, when its URL cannot be read.
 * libmicrohttpd would take the stray '%' as it is. */
static const char malformed_url;

static void *on_url(void *self, const char *url, struct MHD_Connection *connection)
{
    (void)self;
    (void)connection;
    return http_fields_is_escaped(url) ? NULL : (void *)(uintptr_t)&malformed_url;
}

static struct request *request_new(struct http_actor *http, struct MHD_Connection *connection,
                                   const char *url, const char *method)
{
    struct request *request = calloc(1, sizeof *request);
    if (request == NULL) {
        return NULL;
    }
    request->connection = connection;
    request->route = http_route_of(method, url);
    pthread_mutex_lock(&http->mutex);
    list_push_back(&http->requests, &request->all);
    pthread_mutex_unlock(&http->mutex);
    return request;
}

static enum MHD_Result on_request(void *self, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    struct http_actor *http = self;
    struct request *request = *state;
    (void)version;
    if (request == NULL || *state == &malformed_url) {
        request = request_new(http, connection, url, method);
        if (request != NULL) {
            request->malformed = *state == &malformed_url;
        }
        *state = request;
        return request != NULL ? MHD_YES : MHD_NO;
    }
    if (*size > 0) {
        const size_t room = sizeof request->body - request->body_size;
        request->too_large = request->too_large || *size > room;
        if (!request->too_large) {
            memcpy(request->body + request->body_size, data, *size);
            request->body_size += *size;
        }
        *size = 0;
        return MHD_YES;
    }
    pthread_mutex_lock(&http->mutex);
    const bool answered = request->answered;
    pthread_mutex_unlock(&http->mutex);
    if (answered) {
        return send_answer(http, request);
    }
    if (request->malformed) {
        return send_failure(request, MHD_HTTP_BAD_REQUEST, ERR_INVALID,
                            span_text("a % in the URL must have two hexadecimal digits after it, "
                                      "and not 00"));
    }
    if (request->route == NULL) {
        const bool known = http_url_is_known(url);
        return send_failure(request, known ? MHD_HTTP_METHOD_NOT_ALLOWED : MHD_HTTP_NOT_FOUND,
                            known ? ERR_UNSUPPORTED : ERR_NOT_FOUND,
                            span_text(known ? "not by this method" : "no such page"));
    }
    return begin_answer(http, request, url);
}

static void on_completed(void *self, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct http_actor *http = self;
    struct request *request = *state;
    (void)connection;
    (void)why;
    if (request == NULL || *state == &malformed_url) {
        return;
    }
    pthread_mutex_lock(&http->mutex);
    list_remove(&request->all);
    pthread_cond_signal(&http->completed);
    pthread_mutex_unlock(&http->mutex);
    free(request->text);
    free(request);
    *state = NULL;
}

/* ---- start and end ---------------------------------------------------------------------------- */

static enum err refuse(struct text *why, enum err err, const char *what, const char *reason)
{
    text_str(why, what);
    text_str(why, ": ");
    text_str(why, reason);
    return err;
}

static enum err load_token(struct http_actor *http, const char *path, struct text *why)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) != 0) {
        return refuse(why, ERR_INVALID, path, strerror(errno));
    }
    const ssize_t size = read(fd, http->token, sizeof http->token - 1);
    close(fd);
    http->token[size > 0 ? size : 0] = 0;
    http->token[strcspn(http->token, " \t\r\n")] = 0;
    if ((stat.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return refuse(why, ERR_INVALID, path,
                      "holds a secret and others can read it: chmod 600 it");
    }
    return strlen(http->token) >= 16
               ? ERR_OK
               : refuse(why, ERR_INVALID, path, "the token must have at least 16 letters");
}

static enum err open_socket(struct http_actor *http, struct text *why)
{
    struct address address;
    struct sockaddr_storage at;
    socklen_t size;
    char name[ADDRESS_TEXT_SIZE];
    const int on = 1;
    const uint16_t port = http->options.port;
    if (!address_parse(http->options.host, port, &address) &&
        address_resolve(http->options.host, port, &address, 1) == 0) {
        return refuse(why, ERR_INVALID, http->options.host, "the resolver does not know it");
    }
    http->fd = socket(address_to_socket(&address, &at, &size), SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (http->fd >= 0) {
        setsockopt(http->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    if (http->fd >= 0 && bind(http->fd, (void *)&at, size) == 0 &&
        listen(http->fd, CONNECTIONS_MAX) == 0) {
        return ERR_OK;
    }
    const bool taken = errno == EADDRINUSE;
    const char *reason = strerror(errno);
    address_text(&address, name);
    return refuse(why, taken ? ERR_ADDRESS_IN_USE : ERR_SYSTEM, name,
                  taken ? "another process listens there; stop it or choose another --admin"
                        : reason);
}

static void on_log(void *self, const char *format, va_list args)
{
    char line[256];
    (void)self;
    vsnprintf(line, sizeof line, format, args);
    LOG(LOG_DEBUG, "http", LOG_TEXT("text", line));
}

enum err http_actor_start(const struct http_actor_options *options, struct http_actor **out,
                          struct text *why)
{
    struct http_actor *http = calloc(1, sizeof *http);
    if (http == NULL) {
        return ERR_NOMEM;
    }
    http->options = *options;
    http->fd = -1;
    list_init(&http->requests);
    CHECK(pthread_mutex_init(&http->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&http->completed, NULL) == 0);
    enum err err =
        options->token_file[0] != 0 ? load_token(http, options->token_file, why) : ERR_OK;
    if (err == ERR_OK) {
        err = open_socket(http, why);
    }
    if (err == ERR_OK) {
        http->daemon = MHD_start_daemon(
            MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_POLL |
                MHD_USE_ERROR_LOG,
            0, NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, http,
            MHD_OPTION_URI_LOG_CALLBACK, on_url, http, MHD_OPTION_LISTEN_SOCKET, http->fd,
            MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
            IDLE_SECONDS, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_END);
        err = http->daemon == NULL ? ERR_SYSTEM : ERR_OK;
    }
    if (err != ERR_OK) {
        if (http->fd >= 0) {
            close(http->fd);
        }
        pthread_cond_destroy(&http->completed);
        pthread_mutex_destroy(&http->mutex);
        free(http);
        return err;
    }
    *out = http;
    return ERR_OK;
}

static void wake_sleepers(struct http_actor *http)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    pthread_mutex_lock(&http->mutex);
    http->stopping = true;
    for (struct list *at = http->requests.next; at != &http->requests; at = at->next) {
        struct request *request = CONTAINER_OF(at, struct request, all);
        if (request->id != 0) {
            request->id = 0;
            request->err = ERR_CLOSED;
            request->answered = true;
            MHD_resume_connection(request->connection);
        }
    }
    until.tv_sec++; /* for the answers to get out */
    while (!list_is_empty(&http->requests) && late == 0) {
        late = pthread_cond_timedwait(&http->completed, &http->mutex, &until);
    }
    pthread_mutex_unlock(&http->mutex);
}

void http_actor_stop(struct http_actor **pointer)
{
    struct http_actor *http = *pointer;
    if (http == NULL) {
        return;
    }
    const int listener = MHD_quiesce_daemon(http->daemon);
    wake_sleepers(http);
    MHD_stop_daemon(http->daemon);
    if (listener >= 0) {
        close(listener);
    }
    sodium_memzero(http->token, sizeof http->token);
    pthread_cond_destroy(&http->completed);
    pthread_mutex_destroy(&http->mutex);
    free(http);
    *pointer = NULL;
}
