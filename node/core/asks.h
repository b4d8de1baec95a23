/* node/core/asks.h: requests of others to this node, whatever they ask for.
 *
 * An ask is a member of the structure of its owner (a read; a directory request). While it is open
 * the asker gets PENDING after 50 ms and then every 100 ms on its control link, and it ends by
 * itself when its deadline passes, the asker cancels, or its link is gone: the owner is then told
 * once, by reads_on_gone, meta_on_gone or handover_on_*_gone, with the ask already closed, and sends nothing. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/time.h"
#include "base/timers.h"
#include "node/core/node.h"
#include "wire/message.h"

#define ASK_PENDING_FIRST_US MSEC(50)
#define ASK_PENDING_AGAIN_US MSEC(100)
#define ASK_REMAINING_MAX_US SEC(600)

struct link;
struct session;

enum ask_kind {
    ASK_READ,
    ASK_META, /* the metadata half's, all kinds */
    ASK_TAKE, /* BLOCK_OFFER */
    ASK_TELL, /* BLOCK_ASK */
};

struct ask {
    struct map_node by_number;
    struct list of_session;
    struct session *session; /* NULL when not open */
    struct link_id link;     /* answers go there */
    uint64_t request;
    usec_t opened_us;
    usec_t pending_us; /* next sign of life */
    struct timer deadline;
    enum ask_kind kind;
};

struct asks {
    struct map by_number;
    uint64_t open;
};

size_t asks_memory(const struct node_options *options);
enum err asks_init(struct asks *asks, struct arena *mem, const struct node_options *options)
    MUST_USE;

/* ERR_INVALID: no time remains, or that number is open on this session already; then nothing
 * happened: the caller says ask_refuse and drops the request. */
enum err ask_open(struct node *node, struct ask *ask, struct link *link, uint64_t request,
                  uint64_t remaining_us) MUST_USE;
bool ask_is_open(const struct ask *ask);
/* Time left, for passing the request on. */
usec_t ask_remaining(const struct node *node, const struct ask *ask);
/* Answered or dropped: stop PENDING and the deadline. Harmless when closed. */
void ask_close(struct node *node, struct ask *ask);
/* FAIL and close. */
void ask_fail(struct node *node, struct ask *ask, enum err err, usec_t retry_us, struct span text);
/* FAIL for a request that was not opened. */
void ask_refuse(struct node *node, struct link *link, uint64_t request, enum err err,
                usec_t retry_us);
/* BUSY with a jittered retry of 20 to 50 ms. */
usec_t ask_busy_us(struct node *node);

void asks_on_cancel(struct node *node, struct session *session, uint64_t request);
void asks_on_deadline(struct node *node, struct ask *ask);
/* PENDING at once, ahead of bytes: these may stand behind others for longer than a node that peeks waits for
 * a first word. */
void asks_announce(struct node *node, struct session *session, uint64_t request);
void asks_on_pending_timer(struct node *node, struct session *session);
/* Close all asks whose answers would go to that link. */
void asks_on_link_down(struct node *node, struct session *session, struct link_id link);
