/* sim/trial/listen.c: requests as their answerers took them, and what is sent because of them. */
#include "sim/trial/listen.h"

#include <stdlib.h>

#include "base/hash.h"
#include "sim/trial/durable.h"
#include "sim/trial/elsewhere.h"
#include "sim/trial/freshness.h"
#include "sim/trial/owners.h"
#include "wire/message.h"

#define TABLE_LOG2 16
#define LATE_US MSEC(5)   /* a thread may wake up that late */
#define SIGN_US MSEC(115) /* PENDING comes within 50 ms and every 100 ms (DESIGN 7.5) */

/* A request under way. An older one in the same place of the table is forgotten. */
struct known {
    uint64_t key; /* 0: none */
    usec_t taken_us;
    usec_t deadline_us;
    usec_t sign_us; /* the last sign of life because of it */
};

struct listen {
    struct trial *trial;
    struct elsewhere *elsewhere;
    struct freshness *freshness;
    struct known requests[1u << TABLE_LOG2]; /* by answerer, asker and number */
    struct known traces[1u << TABLE_LOG2];   /* by answerer and trace */
};

struct listen *listen_new(struct trial *trial)
{
    struct listen *listen = calloc(1, sizeof *listen);
    CHECK(listen != NULL);
    listen->trial = trial;
    listen->elsewhere = elsewhere_new(trial);
    listen->freshness = freshness_new(trial);
    return listen;
}

void listen_free(struct listen **listen)
{
    elsewhere_free(&(*listen)->elsewhere);
    freshness_free(&(*listen)->freshness);
    free(*listen);
    *listen = NULL;
}

static uint64_t request_key(const struct process *asker, const struct process *answerer,
                            uint64_t number)
{
    return hash64_mix(hash64_mix(number, asker->life), answerer->life) | 1;
}

static uint64_t trace_key(const struct process *answerer, uint64_t trace)
{
    return hash64_mix(trace, answerer->life) | 1;
}

static struct known *place(struct known *table, uint64_t key)
{
    return &table[key >> (64 - TABLE_LOG2)];
}

/* ---- telling --------------------------------------------------------------------------------------- */

static void say_request(struct world *world, const struct message *message)
{
    if (message->kind == MESSAGE_GET) {
        const struct message_get *get = &message->get;
        world_say(world, "    %llu: %.*s block %llu %llu+%llu mode %llu hops %llu left %llu us",
                  (unsigned long long)get->request, (int)get->key.size, (const char *)get->key.data,
                  (unsigned long long)get->index, (unsigned long long)get->offset,
                  (unsigned long long)get->length, (unsigned long long)get->mode,
                  (unsigned long long)get->hops, (unsigned long long)get->remaining_us);
    } else if (message->kind == MESSAGE_DIR_GET) {
        const struct message_dir_get *get = &message->dir_get;
        world_say(world, "    %llu: \"%.*s\" name \"%.*s\" mode %llu hops %llu newer than %llu",
                  (unsigned long long)get->request, (int)get->prefix.size,
                  (const char *)get->prefix.data, (int)get->name.size, (const char *)get->name.data,
                  (unsigned long long)get->mode, (unsigned long long)get->hops,
                  (unsigned long long)get->newer_than);
    } else if (message->kind == MESSAGE_SHARD_GET) {
        world_say(world, "    %llu: generation %llu fence \"%.*s\"",
                  (unsigned long long)message->shard_get.request,
                  (unsigned long long)message->shard_get.generation,
                  (int)message->shard_get.fence.size, (const char *)message->shard_get.fence.data);
    }
}

static void say_answer(struct world *world, const struct message *message)
{
    if (message->kind == MESSAGE_DIR_ROOT) {
        world_say(world, "    %llu: root of %zu bytes, entry of %zu, absent %llu, fresh %llu us",
                  (unsigned long long)message->dir_root.request, message->dir_root.root.size,
                  message->dir_root.entry.size, (unsigned long long)message->dir_root.absent,
                  (unsigned long long)message->dir_root.fresh_us);
    } else if (message->kind == MESSAGE_DATA) {
        world_say(world, "    %llu: %llu+%llu", (unsigned long long)message->data.request,
                  (unsigned long long)message->data.offset,
                  (unsigned long long)message->data.length);
    } else if (message->kind == MESSAGE_FAIL) {
        world_say(world, "    %llu: %s", (unsigned long long)message->fail.request,
                  err_name(err_from_wire(message->fail.err)));
    } else if (message->kind == MESSAGE_SHARD) {
        world_say(world, "    %llu", (unsigned long long)message->shard.request);
    } else if (message->kind == MESSAGE_PENDING) {
        for (size_t at = 0; at + 8 <= message->pending.requests.size; at += 8) {
            world_say(world, "    %llu",
                      (unsigned long long)get_u64(message->pending.requests.data + at));
        }
    }
}

static void say(const struct listen *listen, const struct process *from, const struct process *to,
                const struct message *message)
{
    if (!listen->trial->options.messages || message->kind == MESSAGE_PING ||
        message->kind == MESSAGE_PONG) {
        return;
    }
    world_say(listen->trial->world, "%s > %s %s", from->name, to->name,
              message_name(message->kind));
    say_request(listen->trial->world, message);
    say_answer(listen->trial->world, message);
}

/* ---- requests ------------------------------------------------------------------------------------ */

struct request {
    uint64_t number;
    uint64_t remaining_us;
    uint64_t hops;
    uint64_t trace;
    bool forwardable;
};

static bool request_of(const struct message *message, struct request *out)
{
    if (message->kind == MESSAGE_GET) {
        *out = (struct request){ .number = message->get.request,
                                 .remaining_us = message->get.remaining_us,
                                 .hops = message->get.hops,
                                 .trace = message->get.trace,
                                 .forwardable = message->get.mode == GET_PLAIN };
        return true;
    }
    if (message->kind == MESSAGE_DIR_GET) {
        *out = (struct request){ .number = message->dir_get.request,
                                 .remaining_us = message->dir_get.remaining_us,
                                 .hops = message->dir_get.hops,
                                 .trace = message->dir_get.trace,
                                 .forwardable = message->dir_get.mode == GET_PLAIN };
        return true;
    }
    if (message->kind == MESSAGE_SHARD_GET) {
        *out = (struct request){ .number = message->shard_get.request,
                                 .remaining_us = message->shard_get.remaining_us };
        return true;
    }
    return false;
}

/* NULL: it was never taken, or is forgotten. */
static struct known *find_request(struct listen *listen, const struct process *asker,
                                  const struct process *answerer, uint64_t number)
{
    const uint64_t key = request_key(asker, answerer, number);
    struct known *known = place(listen->requests, key);
    return known->key == key ? known : NULL;
}

/* Taken back: it has no time left. */
static void cancelled(struct listen *listen, const struct process *from, const struct process *to,
                      uint64_t number)
{
    struct known *known = find_request(listen, from, to, number);
    if (known != NULL) {
        known->deadline_us = usec_min(known->deadline_us, listen->trial->world->now_us);
    }
}

void listen_taken(struct listen *listen, struct process *from, struct process *to,
                  struct span frame)
{
    struct message message;
    struct request request;
    if (trial_is_mount(listen->trial, to)) {
        return;
    }
    enum err err = message_decode(frame, &message);
    if (err != ERR_OK) {
        world_fail(listen->trial->world, "%s got a frame that is %s", to->name, err_name(err));
        return;
    }
    if (message.kind == MESSAGE_CANCEL) {
        cancelled(listen, from, to, message.cancel.request);
    }
    if (!request_of(&message, &request)) {
        return;
    }
    elsewhere_taken(listen->elsewhere, from, to, &message);
    if (trial_is_mount(listen->trial, from)) {
        owners_taken(listen->trial, from, to, &message);
    }
    const usec_t now_us = listen->trial->world->now_us;
    const usec_t most_us = SEC(100000);
    const usec_t left_us =
        request.remaining_us < (uint64_t)most_us ? (usec_t)request.remaining_us : most_us;
    const struct known known = { .key = request_key(from, to, request.number),
                                 .taken_us = now_us,
                                 .sign_us = now_us,
                                 .deadline_us = now_us + left_us };
    *place(listen->requests, known.key) = known;
    if (request.trace != 0 && request.forwardable) {
        const uint64_t key = trace_key(to, request.trace);
        struct known *trace = place(listen->traces, key);
        *trace = known;
        trace->key = key;
    }
}

/* A request that a node passes on. */
static void check_forward(struct listen *listen, struct process *from,
                          const struct request *request)
{
    const uint64_t key = trace_key(from, request->trace);
    const struct known *known = place(listen->traces, key);
    struct world *world = listen->trial->world;
    if (request->hops > 1) {
        world_fail(world, "%s sends a request over %llu hops", from->name,
                   (unsigned long long)request->hops);
    }
    if (request->hops == 1 && request->forwardable) {
        world_fail(world, "%s forwards a request that may be forwarded again", from->name);
    }
    if (request->trace != 0 && known->key == key &&
        world->now_us + (usec_t)request->remaining_us > known->deadline_us) {
        world_fail(world, "%s gives a request more time than it has", from->name);
    }
}

/* ---- answers ---------------------------------------------------------------------------------------- */

static void check_answer(struct listen *listen, struct process *from, struct process *to,
                         const struct message *message, uint64_t number)
{
    struct known *known = find_request(listen, to, from, number);
    struct world *world = listen->trial->world;
    if (known == NULL || from->thawed_us > known->taken_us) {
        return;
    }
    if (trial_is_mount(listen->trial, to) && world->now_us > known->sign_us + SIGN_US) {
        world_fail(world, "%s lets %s wait %.3f s without a sign of life", from->name, to->name,
                   (double)(world->now_us - known->sign_us) / 1e6);
    }
    known->sign_us = world->now_us;
    if (world->now_us > known->deadline_us + LATE_US) {
        world_fail(world, "%s sends %s %.6f s after the request's deadline or cancellation",
                   from->name, message_name(message->kind),
                   (double)(world->now_us - known->deadline_us) / 1e6);
    }
}

static void check_pending(struct listen *listen, struct process *from, struct process *to,
                          const struct message *message)
{
    const struct span numbers = message->pending.requests;
    for (size_t at = 0; at + 8 <= numbers.size; at += 8) {
        check_answer(listen, from, to, message, get_u64(numbers.data + at));
    }
}

static void check_root(struct listen *listen, struct process *from, struct process *to,
                       const struct message *message)
{
    const struct message_dir_root *root = &message->dir_root;
    const struct known *known = find_request(listen, to, from, root->request);
    durable_sent(listen->trial, from, to, root);
    if (known != NULL) {
        freshness_sent(listen->freshness, from, to, root, known->taken_us);
    }
    check_answer(listen, from, to, message, root->request);
}

void listen_asked(struct listen *listen, const struct node_effect *effect)
{
    freshness_asked(listen->freshness, effect);
}

void listen_sent(struct listen *listen, struct process *from, struct process *to, struct span frame)
{
    struct message message;
    struct request request;
    enum err err = message_decode(frame, &message);
    if (err != ERR_OK) {
        world_fail(listen->trial->world, "%s sends a frame that is %s", from->name, err_name(err));
        return;
    }
    say(listen, from, to, &message);
    elsewhere_sent(listen->elsewhere, from, to, &message);
    if (trial_is_mount(listen->trial, from)) {
        if (request_of(&message, &request) && request.hops != 0) {
            world_fail(listen->trial->world, "%s asks with hops", from->name);
        }
        return;
    }
    if (request_of(&message, &request)) {
        check_forward(listen, from, &request);
    } else if (message.kind == MESSAGE_DATA) {
        check_answer(listen, from, to, &message, message.data.request);
    } else if (message.kind == MESSAGE_FAIL) {
        check_answer(listen, from, to, &message, message.fail.request);
    } else if (message.kind == MESSAGE_DIR_ROOT) {
        check_root(listen, from, to, &message);
    } else if (message.kind == MESSAGE_SHARD) {
        check_answer(listen, from, to, &message, message.shard.request);
    } else if (message.kind == MESSAGE_PENDING) {
        check_pending(listen, from, to, &message);
    }
}
