/* node/core/calls.h: requests of this node to other nodes.
 *
 * call_start always ends in one of two ways, never inside call_start itself: the owner's answer
 * function says CALL_DONE, or its failure function is called once:
 *   ERR_UNREACHABLE  no link, the link went down, or silence: nothing heard for silence_us
 *   ERR_TIMEOUT      the deadline passed
 * Silence is counted without the time this process was itself paused. Any message of that node on
 * one of our links to it is a sign of life, PENDING included; with `own_signs` only an answer or a
 * PENDING that names this request. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/time.h"
#include "base/timers.h"
#include "node/core/node.h"
#include "wire/message.h"

#define CALL_SILENCE_US MSEC(400)

/* Who handles the answer: the switches in calls.c. */
enum call_kind {
    CALL_PEEK,        /* peek_on_answer, peek_on_failure */
    CALL_FORWARD,     /* a block request passed on: reads_on_answer, reads_on_failure */
    CALL_BLOCK_OFFER, /* and the next: handover_on_answer, handover_on_failure */
    CALL_BLOCK_ASK,
    CALL_SHARE, /* hot_on_answer, hot_on_failure */
    /* The metadata half: meta_on_answer, meta_on_failure. */
    CALL_DIR_FORWARD,
    CALL_ROOT_GET,
    CALL_SHARD_GET,
    CALL_SHARD_OFFER,
    CALL_ROOT_OFFER,
    CALL_CATALOG_PUSH,
    CALL_CATALOG_PULL,
    CALL_REPORT,
};

enum call_more { CALL_DONE, CALL_MORE };

struct call_options {
    enum call_kind kind;
    enum link_purpose purpose;
    usec_t silence_us;  /* 0: CALL_SILENCE_US */
    usec_t unheard_us;  /* in place of it, while that node has said nothing since we asked; 0 */
    usec_t deadline_us; /* a moment of the monotonic clock; USEC_NEVER */
    bool own_signs;
    void *owner; /* handed back; the owner cancels the call before it dies */
    uint64_t tag;
};

struct call {
    struct map_node by_request;
    struct list of_peer;
    struct timer timer;
    struct node_id peer;
    uint64_t request;
    usec_t started_us;
    usec_t sign_us; /* sent, or the last sign of this very request (active time) */
    struct call_options options;
};

struct calls {
    struct map by_request;
    struct pool pool;
    uint64_t next_request;
};

size_t calls_memory(const struct node_options *options);
enum err calls_init(struct calls *calls, struct arena *mem, const struct node_options *options)
    MUST_USE;

/* Timers that may be set at once. */
uint32_t calls_timers(const struct node_options *options);
/* Numbers the message's `request` field and sends it; the call's number, 0 when too many calls are
 * open or the peer has no open link of that purpose (then nothing follows: treat it as
 * UNREACHABLE). Spans of the message are not needed afterwards. */
uint64_t call_start(struct node *node, struct node_id peer, struct message *message,
                    const struct call_options *options);
/* Forget a call: its late answers are dropped. With `tell` the peer gets CANCEL. 0 and numbers of
 * calls that are over are fine. */
void call_cancel(struct node *node, uint64_t request, bool tell);

/* An answer came over a link to `peer`; the payload is given back here or by the owner. */
void calls_on_answer(struct node *node, struct node_id peer, const struct message *message,
                     struct payload payload);
void calls_on_pending(struct node *node, struct node_id peer, struct span requests);
void calls_on_timer(struct node *node, struct call *call);
/* The links to the peer are down: its calls fail. */
void calls_on_link_down(struct node *node, struct list *of_peer);
/* The `request` of a message that has one (its first field), 0 for the others. */
uint64_t message_request(const struct message *message);
