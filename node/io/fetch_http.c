/* node/io/fetch_http.c: one attempt of a job over HTTP: signed, checked before a byte is believed.
 * Thread: that of the job's worker, libcurl's callbacks too. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "atoll_version.h"
#include "base/hash.h"
#include "node/io/clock.h"
#include "node/io/fetch_inside.h"

#define CONNECT_TIMEOUT_MS 5000L /* as the vendors' own clients; the core tries again */
/* A transfer that for 30 s brings less than this is dead; a slow first byte is not. */
#define LOW_SPEED_BYTES 1024L
#define LOW_SPEED_SECONDS 30L
#define RECEIVE_BUFFER 262144L /* 64-256 KiB; 16 KiB costs a quarter more processor */
#define ERROR_BODY_KEPT 65536u
#define ERROR_BODY_MAX (1u << 20)

static struct text why_of(struct fetch_job *job)
{
    struct text why;
    text_init(&why, job->why, sizeof job->why);
    return why;
}

static enum err fail(struct fetch_job *job, enum err err, const char *text)
{
    struct text why = why_of(job);
    text_str(&why, text);
    return err;
}

/* ---- what libcurl calls ---- */

static size_t on_header(char *data, size_t one, size_t size, void *self)
{
    struct fetch_job *job = self;
    (void)one;
    answer_header(&job->answer, span_of(data, size));
    return size;
}

static bool is_success(const struct fetch_job *job)
{
    return job->answer.status >= 200 && job->answer.status < 300;
}

/* Object bytes: into their buffers, but only behind headers that say they are the right ones. */
static bool take_object(struct fetch_job *job, const char *data, size_t size)
{
    if (!job->checked) {
        struct text why = why_of(job);
        job->checked = true;
        job->err = answer_check(&job->answer, &job->request, span_of(NULL, 0), &why);
    }
    if (job->err != ERR_OK) {
        return false;
    }
    atomic_fetch_add(&job->worker->fetch->bytes, size);
    if (!sink_write(&job->sink, data, size)) {
        job->err = fail(job, ERR_SOURCE_PROTOCOL, "the store sent more than was asked for");
        return false;
    }
    fetch_worker_fresh(job);
    return true;
}

static bool grow(struct fetch_body *body, size_t size)
{
    size_t room = body->room == 0 ? 16384 : body->room;
    uint8_t *data;
    while (room < size) {
        room *= 2;
    }
    if (room == body->room) {
        return true;
    }
    data = realloc(body->data, room);
    if (data == NULL) {
        return false;
    }
    body->data = data;
    body->room = room;
    return true;
}

/* A listing, or what is said of a failure: of that only the start is kept. */
static bool take_body(struct fetch_job *job, const char *data, size_t size)
{
    struct fetch_body *body = &job->body;
    size_t most = is_success(job) ? LISTING_BODY_MAX : ERROR_BODY_MAX;
    if (size > most - body->size) {
        job->err = fail(job, ERR_SOURCE_PROTOCOL, "the store's answer has no end");
        return false;
    }
    if (!grow(body, body->size + size)) {
        job->err = fail(job, ERR_NOMEM, "no memory for the store's answer");
        return false;
    }
    memcpy(body->data + body->size, data, size);
    body->size += size;
    return true;
}

static size_t on_body(char *data, size_t one, size_t size, void *self)
{
    struct fetch_job *job = self;
    bool object = job->kind == FETCH_GET && is_success(job);
    (void)one;
    return (object ? take_object(job, data, size) : take_body(job, data, size)) ? size : 0;
}

static bool is_refused_v4(const uint8_t *address)
{
    static const uint8_t metadata[4] = { 100, 100, 100, 200 };
    return (address[0] == 169 && address[1] == 254) || memcmp(address, metadata, 4) == 0;
}

static bool is_refused(const struct sockaddr *address)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    static const uint8_t metadata[4] = { 0xfd, 0x00, 0x0e, 0xc2 };
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        return is_refused_v4((const uint8_t *)&in->sin_addr);
    }
    if (address->sa_family == AF_INET6) {
        const uint8_t *b = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
        return (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) || memcmp(b, metadata, 4) == 0 ||
               (memcmp(b, mapped, sizeof mapped) == 0 && is_refused_v4(b + 12));
    }
    return true;
}

/* A harmless name may lead to an address that is never a store. */
static curl_socket_t on_open(void *self, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct fetch_job *job = self;
    (void)purpose;
    if (is_refused(&address->addr)) {
        job->err = fail(job, ERR_SOURCE_NOT_ALLOWED,
                        "the endpoint's name leads to a link-local or metadata address");
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- beginning ---- */

static CURL *easy_take(struct fetch_worker *worker)
{
    if (worker->idle_count > 0) {
        return worker->idle[--worker->idle_count];
    }
    return curl_easy_init();
}

static void easy_give(struct fetch_worker *worker, CURL *easy)
{
    if (worker->idle_count == FETCH_TRANSFERS_MAX) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    worker->idle[worker->idle_count++] = easy;
}

#define SET(option, value) (curl_easy_setopt(easy, CURLOPT_##option, (value)) == CURLE_OK)

static bool set_rules(CURL *easy)
{
    return SET(NOSIGNAL, 1L) && SET(PATH_AS_IS, 1L) && SET(FOLLOWLOCATION, 0L) &&
           SET(PROTOCOLS_STR, "http,https") && SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
           SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) && SET(BUFFERSIZE, RECEIVE_BUFFER) &&
           SET(CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) && SET(LOW_SPEED_LIMIT, LOW_SPEED_BYTES) &&
           SET(LOW_SPEED_TIME, LOW_SPEED_SECONDS) && SET(DNS_SHUFFLE_ADDRESSES, 1L) &&
           SET(TCP_KEEPALIVE, 1L) && SET(NETRC, (long)CURL_NETRC_IGNORED) &&
           SET(USERAGENT, "atoll/" ATOLL_VERSION);
}

static bool set_callbacks(CURL *easy, struct fetch_job *job)
{
    return SET(PRIVATE, job) && SET(WRITEFUNCTION, on_body) && SET(WRITEDATA, job) &&
           SET(HEADERFUNCTION, on_header) && SET(HEADERDATA, job) &&
           SET(OPENSOCKETFUNCTION, on_open) && SET(OPENSOCKETDATA, job) &&
           SET(ERRORBUFFER, job->curl_why);
}

static bool set_request(CURL *easy, struct fetch_job *job, const struct signed_request *request)
{
    for (uint32_t i = 0; i < request->header_count; i++) {
        struct curl_slist *longer = curl_slist_append(job->headers, request->headers[i]);
        if (longer == NULL) {
            return false;
        }
        job->headers = longer;
    }
    return SET(URL, request->url) && SET(HTTPHEADER, job->headers) &&
           SET(NOBODY, job->kind == FETCH_HEAD ? 1L : 0L);
}

static enum err find_credential(struct fetch_job *job, struct credential *out, struct text *why)
{
    struct credential_use use = {
        .name = job->source->credential,
        .source = &job->source->source,
        .key = job->kind == FETCH_LIST ? job->request.prefix : job->request.key,
    };
    return secrets_find(job->worker->fetch->secrets, &use, out, &job->serial, why);
}

static const char *unsigned_because(const struct fetch_job *job)
{
    if (!job->worker->fetch->environment) {
        return "the dataset names no credential";
    }
    return job->source->source.kind == SOURCE_OSS
               ? "OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET are not both in the environment"
               : "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both in the environment";
}

static enum err sign(struct fetch_job *job, struct signed_request *out)
{
    struct credential credential;
    struct text why = why_of(job);
    enum err err = find_credential(job, &credential, &why);
    if (err != ERR_OK) {
        return err;
    }
    uint64_t slot = hash64(job->source->id.b, ID_SIZE, 0) % FETCH_SIGN_KEYS;
    job->skew_us = atomic_load(&job->source->skew_us);
    job->signed_us = clock_wall_us() + job->skew_us;
    struct signer signer = { .credential = &credential,
                             .key = &job->worker->keys[slot],
                             .when = (time_t)(job->signed_us / SEC(1)) };
    job->request.unsigned_because =
        credential.access_key_id[0] == '\0' ? unsigned_because(job) : NULL;
    err = request_sign(&job->source->source, &job->request, &signer, out);
    explicit_bzero(&credential, sizeof credential);
    if (err != ERR_OK) {
        text_str(&why, "no request can be made of this key, prefix or version");
    }
    return err;
}

static enum err start(struct fetch_job *job)
{
    struct fetch_worker *worker = job->worker;
    enum err err = sign(job, &worker->signed_request);
    if (err != ERR_OK) {
        return err;
    }
    answer_init(&job->answer);
    job->easy = easy_take(worker);
    if (job->easy == NULL || !set_rules(job->easy) || !set_callbacks(job->easy, job) ||
        !set_request(job->easy, job, &worker->signed_request)) {
        return fail(job, ERR_NOMEM, "libcurl did not take the request");
    }
    if (curl_multi_add_handle(worker->multi, job->easy) != CURLM_OK) {
        return fail(job, ERR_NOMEM, "libcurl did not take the request");
    }
    atomic_fetch_add(&worker->fetch->requests[job->kind], 1);
    return ERR_OK;
}

void fetch_http_start(struct fetch_job *job)
{
    enum err err = start(job);
    if (err != ERR_OK) {
        fetch_worker_end(job, err);
    }
}

void fetch_http_drop(struct fetch_job *job)
{
    if (job->easy == NULL) {
        return;
    }
    (void)curl_multi_remove_handle(job->worker->multi, job->easy); /* fine if it never was there */
    easy_give(job->worker, job->easy);
    job->easy = NULL;
    curl_slist_free_all(job->headers);
    job->headers = NULL;
}

/* ---- ending ---- */

static enum err unreachable(struct fetch_job *job, CURLcode code)
{
    struct text why = why_of(job);
    text_str(&why, job->source->source.host);
    text_str(&why, ": ");
    text_str(&why, job->curl_why[0] != '\0' ? job->curl_why : curl_easy_strerror(code));
    return ERR_SOURCE_UNREACHABLE;
}

static struct span said(const struct fetch_job *job)
{
    size_t size = job->body.size < ERROR_BODY_KEPT ? job->body.size : ERROR_BODY_KEPT;
    return span_of(job->body.data, size);
}

static enum err verdict(struct fetch_job *job, CURLcode code)
{
    if (job->err != ERR_OK) { /* its line is in job->why */
        return job->err;
    }
    if (code != CURLE_OK && job->answer.status < 400) {
        return unreachable(job, code);
    }
    struct text why = why_of(job);
    enum err err = answer_check(&job->answer, &job->request, said(job), &why);
    if (err == ERR_OK && job->kind == FETCH_GET && job->sink.received != job->request.size) {
        return fail(job, ERR_SOURCE_PROTOCOL, "the store sent less than was asked for");
    }
    return err;
}

/* Refused only because our clock is wrong. */
static bool has_other_time(struct fetch_job *job)
{
    usec_t skew = job->resigned ? 0 : answer_skew_us(&job->answer, said(job), job->signed_us);
    if (skew == 0) {
        return false;
    }
    atomic_store(&job->source->skew_us, job->skew_us + skew);
    job->resigned = true;
    return true;
}

/* Refused only because the credential was replaced while the request was on its way. */
static bool has_other_credential(struct fetch_job *job)
{
    if (job->rekeyed ||
        !secrets_refused(job->worker->fetch->secrets, job->source->credential, job->serial)) {
        return false;
    }
    job->rekeyed = true;
    return true;
}

/* A refusal that need not be the last word: the job begins again, once for each reason. */
static bool sign_again(struct fetch_job *job, enum err err)
{
    if (err != ERR_SOURCE_DENIED || (!has_other_time(job) && !has_other_credential(job))) {
        return false;
    }
    job->body.size = 0;
    job->why[0] = '\0';
    return true;
}

static void end_head(struct fetch_job *job)
{
    struct listing_entry entry = { .key = job->request.key,
                                   .pin = span_text(job->answer.etag),
                                   .size = job->answer.length,
                                   .mtime_us = job->answer.mtime_us };
    fetch_worker_end_entry(job, &entry);
}

static bool is_of_prefix(const struct listing *listing, struct span prefix)
{
    for (uint32_t i = 0; i < listing->count; i++) {
        if (!span_starts_with(listing->entries[i].key, prefix)) {
            return false;
        }
    }
    return true;
}

static void end_list(struct fetch_job *job)
{
    struct listing listing;
    enum err err = listing_parse(span_of(job->body.data, job->body.size), &listing);
    if (err != ERR_OK) {
        fetch_worker_end(job, fail(job, err, "the store's listing cannot be read"));
        return;
    }
    if (!is_of_prefix(&listing, job->request.prefix)) {
        listing_fini(&listing);
        fetch_worker_end(job, fail(job, ERR_SOURCE_PROTOCOL,
                                   "the store listed keys outside of the prefix asked for"));
        return;
    }
    fetch_worker_end_listing(job, &listing);
}

void fetch_http_finish(struct fetch_job *job, CURLcode code)
{
    enum err err = verdict(job, code);
    fetch_http_drop(job);
    if (sign_again(job, err)) {
        fetch_http_start(job);
        return;
    }
    if (err != ERR_OK || job->kind == FETCH_GET) {
        fetch_worker_end(job, err);
    } else if (job->kind == FETCH_HEAD) {
        end_head(job);
    } else {
        end_list(job);
    }
}
