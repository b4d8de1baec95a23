/* node/io/resolver.c: getaddrinfo on a thread of its own.
 * Thread: "resolve", one. Owns: the list of names. Takes: "ask again".
 * Gives: addresses, by the callback.   Shares: nothing but the queue of questions. */
#include "node/io/resolver.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "node/io/address.h"
#include "node/io/log.h"
#include "node/io/queue.h"
#include "node/io/threads.h"

#define NAMES_MAX 65536

struct resolver {
    pthread_t thread;
    struct queue *questions;
    atomic_bool asked; /* a question waits: the next one would be the same */
    char *names;
    resolver_done *done;
    void *self;
};

struct found {
    struct address addresses[RESOLVER_ADDRESSES_MAX];
    uint32_t count;
};

static void resolve_name(const char *name, struct found *found)
{
    char host[ADDRESS_HOST_MAX + 1];
    uint16_t port;
    if (!address_split(name, 0, host, &port)) {
        LOG(LOG_WARN, "resolve.failed", LOG_TEXT("entry", name),
            LOG_TEXT("why", "each entry must be HOST:PORT, as 10.0.0.1:7700"));
        return;
    }
    struct address *to = found->addresses + found->count;
    const uint32_t room = RESOLVER_ADDRESSES_MAX - found->count;
    uint32_t count = 0;
    if (room > 0 && address_parse(host, port, to)) {
        count = 1;
    } else {
        count = address_resolve(host, port, to, room);
    }
    if (count == 0) {
        LOG(LOG_WARN, "resolve.failed", LOG_TEXT("host", host));
    }
    found->count += count;
}

static void resolve_list(char *list, struct found *found)
{
    char *rest = NULL;
    char *name = strtok_r(list, ", \t\r\n", &rest);
    for (; name != NULL; name = strtok_r(NULL, ", \t\r\n", &rest)) {
        resolve_name(name, found);
    }
}

static void blank_comments(char *text)
{
    char *at = strchr(text, '#');
    while (at != NULL) {
        const size_t size = strcspn(at, "\n");
        memset(at, ' ', size);
        at = strchr(at + size, '#');
    }
}

static void resolve_file(const char *path, struct found *found)
{
    char *text = calloc(1, NAMES_MAX);
    FILE *file = fopen(path, "re");
    if (file == NULL || text == NULL) {
        LOG(LOG_WARN, "resolve.failed", LOG_TEXT("file", path), LOG_TEXT("why", strerror(errno)));
    } else {
        text[fread(text, 1, NAMES_MAX - 1, file)] = 0;
        blank_comments(text);
        resolve_list(text, found);
    }
    if (file != NULL) {
        fclose(file);
    }
    free(text);
}

static void *run(void *self)
{
    struct resolver *resolver = self;
    struct queue_item *question;
    while ((question = queue_pop(resolver->questions, USEC_NEVER)) != NULL) {
        struct found found = { .count = 0 };
        free(question);
        atomic_store(&resolver->asked, false);
        if (resolver->names[0] == '@') {
            resolve_file(resolver->names + 1, &found);
        } else {
            char *list = strdup(resolver->names);
            if (list != NULL) {
                resolve_list(list, &found);
            }
            free(list);
        }
        resolver->done(resolver->self, found.addresses, found.count);
    }
    return NULL;
}

enum err resolver_start(const char *names, resolver_done *done, void *self, struct resolver **out)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL) {
        return ERR_NOMEM;
    }
    resolver->done = done;
    resolver->self = self;
    resolver->names = strdup(names);
    enum err err = resolver->names == NULL ? ERR_NOMEM : queue_new(&resolver->questions);
    if (err == ERR_OK) {
        err = threads_start("resolve", run, resolver, &resolver->thread);
    }
    if (err != ERR_OK) {
        queue_free(&resolver->questions);
        free(resolver->names);
        free(resolver);
        return err;
    }
    *out = resolver;
    return ERR_OK;
}

void resolver_stop(struct resolver **pointer)
{
    struct resolver *resolver = *pointer;
    if (resolver == NULL) {
        return;
    }
    queue_close(resolver->questions);
    threads_join(resolver->thread);
    queue_free(&resolver->questions);
    free(resolver->names);
    free(resolver);
    *pointer = NULL;
}

void resolver_ask(struct resolver *resolver)
{
    if (atomic_exchange(&resolver->asked, true)) {
        return;
    }
    struct queue_item *question = malloc(sizeof *question);
    if (question == NULL) {
        atomic_store(&resolver->asked, false); /* whoever asked asks again in a while */
        return;
    }
    queue_push(resolver->questions, question);
}

const char *resolver_fault(const char *names)
{
    char host[ADDRESS_HOST_MAX + 1];
    char name[ADDRESS_HOST_MAX + 16];
    uint16_t port;
    if (names[0] == '@') {
        return names[1] != 0 ? NULL : "@ wants a file's name";
    }
    while (*names != 0) {
        const size_t size = strcspn(names, ",");
        if (size == 0 || size >= sizeof name) {
            return "an entry is empty or too long; it is HOST:PORT,HOST:PORT";
        }
        memcpy(name, names, size);
        name[size] = 0;
        if (!address_split(name, 0, host, &port)) {
            return "each entry must be HOST:PORT, as 10.0.0.1:7700";
        }
        names += size;
        names += *names == ',' ? 1 : 0;
    }
    return NULL;
}
