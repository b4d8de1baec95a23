/* tests/origin/main.c: starts the test origin, and stops it in order. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <microhttpd.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/origin/admin.h"
#include "tests/origin/options.h"
#include "tests/origin/serve.h"
#include "tests/origin/text.h"

static int fail(const char *what, const char *which)
{
    fprintf(stderr, "atoll-test-origin: %s: %s\n", what, which);
    return -1;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
    return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

static int listen_at(const struct addrinfo *found)
{
    int yes = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 1024) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A listening socket at "ADDR:PORT" or "[ADDR]:PORT"; -1 after a message. */
static int open_listener(const char *where, bool allow_nonloopback)
{
    const char *colon = strrchr(where, ':');
    if (colon == NULL) {
        return fail("not ADDR:PORT", where);
    }
    bool brackets = where[0] == '[' && colon > where + 1 && colon[-1] == ']';
    char *host = text_dup(where + brackets, (size_t)(colon - where) - 2 * brackets);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    int fd = -1;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        fail("cannot resolve", where);
    } else if (!allow_nonloopback && !is_loopback(found->ai_addr)) {
        fail("not a loopback address (--allow-nonloopback permits it)", where);
    } else {
        fd = listen_at(found);
        if (fd < 0) {
            fail(where, strerror(errno));
        }
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    free(host);
    return fd;
}

static void format_address(int fd, char out[80])
{
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof address;
    char host[64] = "?";
    char port[16] = "?";
    getsockname(fd, (struct sockaddr *)&address, &size);
    getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(out, 80, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
}

static struct keys *read_keys(const struct options *options)
{
    const char *entries = getenv("ATOLL_TEST_ORIGIN_KEYS");
    if (options->keys_file != NULL) {
        return keys_new_from_file(options->keys_file);
    }
    return entries == NULL ? NULL : keys_new(entries);
}

/* SIGHUP: take the new keys, or keep the old ones where the new are bad. */
static void reload_keys(struct server *server, const struct options *options)
{
    struct keys *keys = read_keys(options);
    if (keys == NULL) {
        fail("keys not read again", "the file is missing, empty or malformed");
        return;
    }
    pthread_rwlock_wrlock(&server->keys_lock);
    struct keys *old = server->keys;
    server->keys = keys;
    pthread_rwlock_unlock(&server->keys_lock);
    keys_free(&old);
}

static bool prepare_objects(struct server *server, const struct options *options)
{
    for (const char *const *name = options->buckets; *name != NULL; name++) {
        if (store_bucket_create(server->store, *name) == NULL) {
            fail("cannot create the bucket", *name);
            return false;
        }
    }
    for (const char *const *text = options->generate; *text != NULL; text++) {
        struct generate_spec spec;
        if (!generate_spec_init(&spec, *text)) {
            fail("not " GENERATE_HELP, *text);
            return false;
        }
        bool good = store_generate(server->store, &spec);
        generate_spec_fini(&spec);
        if (!good) {
            fail("cannot create the bucket of", *text);
            return false;
        }
    }
    return true;
}

static bool prepare_faults(struct server *server, const struct options *options)
{
    faults_set_limits(server->faults, options->bandwidth, options->connection_bandwidth,
                      options->requests_per_second);
    for (const char *const *text = options->faults; *text != NULL; text++) {
        char *why = NULL;
        if (!faults_add_text(server->faults, *text, &why)) {
            fail("--fault", why);
            free(why);
            return false;
        }
    }
    return true;
}

static bool server_init(struct server *server, struct options *options)
{
    *server = (struct server){ .region = options->region,
                               .anonymous_read = options->anonymous_read,
                               .clock_offset_s = options->clock_offset_s,
                               .domains = { .names = options->domains } };
    atomic_init(&server->next_request, (uint64_t)time(NULL) << 24);
    pthread_rwlock_init(&server->keys_lock, NULL);
    server->keys = read_keys(options);
    if (server->keys == NULL && (!options->anonymous_read || options->keys_file != NULL)) {
        fail("no keys", "give --keys-file or ATOLL_TEST_ORIGIN_KEYS with ID:SECRET[:TOKEN]");
        return false;
    }
    if (options->access_log != NULL && (server->log = fopen(options->access_log, "ae")) == NULL) {
        fail(options->access_log, strerror(errno));
        return false;
    }
    server->store = store_open(options->root);
    server->counters = counters_new();
    server->faults = faults_new();
    server->uploads = uploads_new();
    return server->store != NULL && prepare_objects(server, options) &&
           prepare_faults(server, options);
}

static void server_fini(struct server *server)
{
    store_close(&server->store);
    if (server->counters != NULL) {
        counters_free(&server->counters);
        faults_free(&server->faults);
        uploads_free(&server->uploads);
    }
    keys_free(&server->keys);
    pthread_rwlock_destroy(&server->keys_lock);
    if (server->log != NULL) {
        fclose(server->log);
    }
}

static int run(struct server *server, const struct options *options, const sigset_t *signals)
{
    char listen_name[80];
    char admin_name[80];
    int listening = open_listener(options->listen, options->allow_nonloopback);
    int administering =
        listening < 0 ? -1 : open_listener(options->admin, options->allow_nonloopback);
    if (administering < 0) {
        return EXIT_FAILURE;
    }
    format_address(listening, listen_name);
    format_address(administering, admin_name);
    server->pacer = pacer_start();
    struct MHD_Daemon *daemon =
        serve_start(server, listening, (unsigned)options->threads, (unsigned)options->idle_s);
    struct MHD_Daemon *admin = admin_start(server, administering);
    if (daemon == NULL || admin == NULL) {
        fail("cannot start", "libmicrohttpd refused");
        return EXIT_FAILURE;
    }
    printf("ready listen=%s admin=%s\n", listen_name, admin_name);
    fflush(stdout);
    for (int caught = 0; sigwait(signals, &caught) == 0 && caught == SIGHUP;) {
        reload_keys(server, options);
    }
    MHD_quiesce_daemon(daemon);
    pacer_release(server->pacer);
    MHD_stop_daemon(daemon);
    MHD_stop_daemon(admin);
    close(listening);
    pacer_stop(&server->pacer);
    return EXIT_SUCCESS;
}

int main(int count, char **arguments)
{
    struct options options;
    enum options_outcome outcome = options_parse(count, arguments, &options);
    if (outcome != OPTIONS_GOOD) {
        return outcome == OPTIONS_HELP ? EXIT_SUCCESS : 2;
    }
    /* All threads inherit the mask: signals come to run() alone. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* The blocks of answers come and go by the thousand: they are to stay in the heap. */
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    generate_init();
    struct server server;
    int status = EXIT_FAILURE;
    if (server_init(&server, &options)) {
        status = run(&server, &options, &signals);
    }
    server_fini(&server);
    return status;
}
