#include "tests/origin/admin.h"

#include <microhttpd.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/origin/text.h"

/* One request to the admin port and its body so far. */
struct call {
    struct server *server;
    struct MHD_Connection *connection;
    struct text body;
};

static enum MHD_Result reply_bytes(const struct call *call, unsigned status, char *bytes,
                                   const char *type)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(bytes), bytes, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(bytes);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", type);
    enum MHD_Result result = MHD_queue_response(call->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* The reference moves in. */
static enum MHD_Result reply_json(const struct call *call, unsigned status, json_t *json)
{
    char *bytes = json_dumps(json, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(json);
    return bytes == NULL ? MHD_NO : reply_bytes(call, status, bytes, "application/json");
}

static enum MHD_Result reply_error(const struct call *call, unsigned status, const char *why)
{
    return reply_json(call, status, json_pack("{s:s}", "error", why));
}

static const char *parameter(const struct call *call, const char *name)
{
    return MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, name);
}

static bool is_set(const char *value, bool otherwise)
{
    return value == NULL ? otherwise : strcmp(value, "0") != 0;
}

static enum MHD_Result get_counters(const struct call *call)
{
    const char *prefix = parameter(call, "prefix");
    return reply_json(call, 200,
                      counters_report(call->server->counters, is_set(parameter(call, "keys"), true),
                                      prefix == NULL ? "" : prefix));
}

static enum MHD_Result set_faults(const struct call *call)
{
    json_error_t error;
    const char *text = call->body.bytes == NULL ? "{}" : call->body.bytes;
    json_t *setting = json_loads(text, 0, &error);
    if (setting == NULL) {
        return reply_error(call, 400, error.text);
    }
    char *why = NULL;
    bool good = faults_set(call->server->faults, setting, &why);
    json_decref(setting);
    enum MHD_Result result = good ? reply_json(call, 200, faults_report(call->server->faults))
                                  : reply_error(call, 400, why);
    free(why);
    return result;
}

/* NULL when its bytes cannot be read. */
static json_t *sha256_of(struct server *server, struct bucket *bucket, struct object *object)
{
    int fd = store_object_open(server->store, bucket, object);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    size_t room = 1 << 18;
    uint8_t *chunk = text_alloc(room);
    uint64_t at = 0;
    EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    while (at < object->size) {
        size_t got = object_read(object, fd, at, chunk, room);
        if (got == 0) {
            break;
        }
        EVP_DigestUpdate(hash, chunk, got);
        at += got;
    }
    uint8_t digest[32];
    char hex[65];
    unsigned size = 0;
    EVP_DigestFinal_ex(hash, digest, &size);
    EVP_MD_CTX_free(hash);
    text_hex(digest, sizeof digest, hex);
    free(chunk);
    if (fd >= 0) {
        close(fd);
    }
    return at == object->size ? json_string(hex) : json_null();
}

static json_t *describe(struct server *server, struct bucket *bucket, struct object *object,
                        bool sha256)
{
    char etag[OBJECT_ETAG_SIZE];
    object_etag(object, false, etag);
    json_t *report = json_object();
    json_object_set_new(report, "key", json_string(object->key));
    json_object_set_new(report, "size", json_integer((json_int_t)object->size));
    json_object_set_new(report, "etag", json_string(etag));
    json_object_set_new(report, "generated", json_boolean(object->kind == OBJECT_GENERATED));
    if (object->kind == OBJECT_GENERATED) {
        json_object_set_new(report, "seed", json_integer((json_int_t)object->id));
    }
    if (sha256) {
        json_object_set_new(report, "sha256", sha256_of(server, bucket, object));
    }
    return report;
}

/* References to all objects with the prefix, taken under the lock; the list is the caller's. */
static struct object **snapshot(struct bucket *bucket, const char *prefix, size_t *count)
{
    struct index_page page = { 0 };
    pthread_rwlock_rdlock(&bucket->lock);
    const struct index_query query = { .prefix = { .bytes = prefix, .size = strlen(prefix) },
                                       .most = bucket->index.count };
    index_list(&bucket->index, &query, &page);
    struct object **objects = text_alloc((page.count + 1) * sizeof(struct object *));
    for (size_t i = 0; i < page.count; i++) {
        objects[i] = object_ref(page.entries[i].object);
    }
    pthread_rwlock_unlock(&bucket->lock);
    *count = page.count;
    index_page_fini(&page);
    return objects;
}

static enum MHD_Result get_objects(const struct call *call)
{
    struct server *server = call->server;
    const char *name = parameter(call, "bucket");
    const char *prefix = parameter(call, "prefix");
    struct bucket *bucket = name == NULL ? NULL : store_bucket(server->store, name);
    if (bucket == NULL) {
        return reply_error(call, 404, "no such bucket");
    }
    size_t count = 0;
    bool sha256 = is_set(parameter(call, "sha256"), false);
    struct object **objects = snapshot(bucket, prefix == NULL ? "" : prefix, &count);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, describe(server, bucket, objects[i], sha256));
        object_unref(objects[i]);
    }
    free(objects);
    return reply_json(call, 200, json_pack("{s:o}", "objects", list));
}

static enum MHD_Result answer(const struct call *call, const char *path, const char *method)
{
    bool get = strcmp(method, "GET") == 0;
    bool post = strcmp(method, "POST") == 0;
    if (get && strcmp(path, "/counters") == 0) {
        return get_counters(call);
    }
    if (post && strcmp(path, "/reset") == 0) {
        counters_reset(call->server->counters);
        return reply_json(call, 200, json_object());
    }
    if (get && strcmp(path, "/faults") == 0) {
        return reply_json(call, 200, faults_report(call->server->faults));
    }
    if ((post || strcmp(method, "DELETE") == 0) && strcmp(path, "/faults") == 0) {
        return set_faults(call);
    }
    if (get && strcmp(path, "/objects") == 0) {
        return get_objects(call);
    }
    if (get && strcmp(path, "/health") == 0) {
        return reply_json(call, 200, json_pack("{s:b}", "ok", 1));
    }
    if (get && strcmp(path, "/") == 0) {
        return reply_bytes(call, 200, text_dup(ADMIN_HELP, strlen(ADMIN_HELP)), "text/plain");
    }
    return reply_error(call, 404, "no such path or method; GET / names them");
}

static enum MHD_Result on_access(void *context, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_size, void **state)
{
    struct call *call = *state;
    (void)version;
    if (call == NULL) {
        call = text_alloc(sizeof *call);
        call->server = context;
        call->connection = connection;
        *state = call;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        /* 1 MiB: more than 64 faults can take. */
        if (call->body.size + *upload_size > 1u << 20) {
            return MHD_NO;
        }
        text_add(&call->body, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    return answer(call, url, method);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct call *call = *state;
    (void)context;
    (void)connection;
    (void)code;
    if (call != NULL) {
        text_fini(&call->body);
        free(call);
    }
    *state = NULL;
}

struct MHD_Daemon *admin_start(struct server *server, int listening)
{
    return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_access, server,
                            MHD_OPTION_LISTEN_SOCKET, listening, MHD_OPTION_NOTIFY_COMPLETED,
                            on_completed, NULL, MHD_OPTION_END);
}
