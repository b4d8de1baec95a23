/* node/io/http_actor.h: the admin address of a node: /livez /readyz /metrics /api/v1 (docs/operations.md).
 *
 * A request becomes NODE_ADMIN in the peer thread's queue; its connection sleeps until the answer
 * comes through http_actor_reply. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "node/io/queue.h"

struct http_actor;

struct http_actor_options {
    struct queue *peer;
    const char *host;
    uint16_t port;
    const char *token_file;       /* ""; or requests must bear what is in it */
    bool (*is_alive)(void *self); /* does the peer thread still turn? */
    void (*put_metrics)(void *self, struct text *text); /* more lines for /metrics */
    void *self;
};

enum err http_actor_start(const struct http_actor_options *options, struct http_actor **out,
                          struct text *why) MUST_USE;
/* Answers what still sleeps by 503. The peer thread must not answer any more. */
void http_actor_stop(struct http_actor **http);
/* The answer to NODE_ADMIN `id`: JSON or text, or a line for a person when err is set. */
void http_actor_reply(struct http_actor *http, uint64_t id, enum err err, struct span text);
