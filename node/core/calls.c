/* node/core/calls.c: open requests by number, each with one timer for silence and deadline. */
#include "node/core/calls.h"

#include "base/hash.h"
#include "node/core/internal.h"
#include "node/core/peek.h"
#include "node/core/reads.h"

#define CALLS_EXTRA 1024u /* beside two for each request: metadata and reports */

/* Every message with a number has it first, so one member of the union can stand for all. */
#define REQUEST_IS_FIRST(name) \
    _Static_assert(offsetof(struct message_##name, request) == 0, "request comes first")
REQUEST_IS_FIRST(ping);
REQUEST_IS_FIRST(pong);
REQUEST_IS_FIRST(dataset_get);
REQUEST_IS_FIRST(dataset);
REQUEST_IS_FIRST(catalog_pull);
REQUEST_IS_FIRST(catalog_record);
REQUEST_IS_FIRST(ack);
REQUEST_IS_FIRST(get);
REQUEST_IS_FIRST(data);
REQUEST_IS_FIRST(fail);
REQUEST_IS_FIRST(cancel);
REQUEST_IS_FIRST(dir_get);
REQUEST_IS_FIRST(dir_root);
REQUEST_IS_FIRST(shard_get);
REQUEST_IS_FIRST(shard);
REQUEST_IS_FIRST(shard_offer);
REQUEST_IS_FIRST(root_offer);
REQUEST_IS_FIRST(root_get);
REQUEST_IS_FIRST(report_get);
REQUEST_IS_FIRST(report);
REQUEST_IS_FIRST(block_offer);
REQUEST_IS_FIRST(block_offered);
REQUEST_IS_FIRST(block_ask);
REQUEST_IS_FIRST(block_is);
REQUEST_IS_FIRST(share_ask);
REQUEST_IS_FIRST(share);

uint64_t message_request(const struct message *message)
{
    switch (message->kind) {
    case MESSAGE_HELLO:
    case MESSAGE_WELCOME:
    case MESSAGE_REFUSED:
    case MESSAGE_VIEW_GET:
    case MESSAGE_VIEW:
    case MESSAGE_PENDING:
    case MESSAGE_PROOF:
#ifdef ATOLL_NEXT
    case MESSAGE_NEXT:
#endif
        return 0;
    case MESSAGE_PING:
    case MESSAGE_PONG:
    case MESSAGE_DATASET_GET:
    case MESSAGE_DATASET:
    case MESSAGE_CATALOG_PULL:
    case MESSAGE_CATALOG_RECORD:
    case MESSAGE_ACK:
    case MESSAGE_GET:
    case MESSAGE_DATA:
    case MESSAGE_FAIL:
    case MESSAGE_CANCEL:
    case MESSAGE_DIR_GET:
    case MESSAGE_DIR_ROOT:
    case MESSAGE_SHARD_GET:
    case MESSAGE_SHARD:
    case MESSAGE_SHARD_OFFER:
    case MESSAGE_ROOT_OFFER:
    case MESSAGE_ROOT_GET:
    case MESSAGE_REPORT_GET:
    case MESSAGE_REPORT:
    case MESSAGE_BLOCK_OFFER:
    case MESSAGE_BLOCK_OFFERED:
    case MESSAGE_BLOCK_ASK:
    case MESSAGE_BLOCK_IS:
    case MESSAGE_SHARE_ASK:
    case MESSAGE_SHARE:
        return message->ping.request;
    }
    BUG("a message of no kind");
}

static uint32_t calls_max(const struct node_options *options)
{
    return options->requests_max * 2 + CALLS_EXTRA;
}

size_t calls_memory(const struct node_options *options)
{
    uint64_t count = calls_max(options);
    return count * (sizeof(struct call) + 8) + 2 * count * sizeof(void *) + 64;
}

enum err calls_init(struct calls *calls, struct arena *mem, const struct node_options *options)
{
    *calls = (struct calls){ 0 };
    enum err err = map_init(&calls->by_request, mem, calls_max(options));
    if (err != ERR_OK) {
        return err;
    }
    return pool_init(&calls->pool, mem, sizeof(struct call), calls_max(options));
}

uint32_t calls_timers(const struct node_options *options)
{
    return calls_max(options);
}

static struct call *call_find(const struct node *node, uint64_t request)
{
    struct map_node *at = map_first(&node->calls.by_request, hash64_mix(request, 0));
    for (; at != NULL; at = map_next(at)) {
        struct call *call = CONTAINER_OF(at, struct call, by_request);
        if (call->request == request) {
            return call;
        }
    }
    return NULL;
}

static void call_free(struct node *node, struct call *call)
{
    timers_cancel(&node->timers, &call->timer);
    map_remove(&node->calls.by_request, &call->by_request);
    list_remove(&call->of_peer);
    pool_give(&node->calls.pool, call);
}

/* When the call has been silent long enough, on the active clock. */
static usec_t silent_at(const struct node *node, const struct call *call)
{
    usec_t last = call->sign_us;
    const struct peer *peer = peer_find(node, call->peer);
    if (!call->options.own_signs && peer != NULL) {
        last = usec_max(last, peer->heard_us);
    }
    const bool is_unheard = peer == NULL || peer->heard_us <= call->sign_us;
    return last + (call->options.unheard_us != 0 && is_unheard ? call->options.unheard_us
                                                               : call->options.silence_us);
}

static void call_arm(struct node *node, struct call *call)
{
    usec_t silent_us = silent_at(node, call) + node->paused_us;
    timers_set(&node->timers, &call->timer, usec_min(silent_us, call->options.deadline_us));
}

static void count_call(struct node *node, enum call_kind kind)
{
    switch (kind) {
    case CALL_PEEK:
        node->metrics.peer_peeks++;
        return;
    case CALL_FORWARD:
        node->metrics.peer_forwards++;
        return;
    case CALL_BLOCK_OFFER:
    case CALL_BLOCK_ASK:
        node->metrics.peer_handover++;
        return;
    case CALL_SHARE:
        return; /* share_asks */
    case CALL_DIR_FORWARD:
    case CALL_ROOT_GET:
    case CALL_SHARD_GET:
    case CALL_SHARD_OFFER:
    case CALL_ROOT_OFFER:
    case CALL_CATALOG_PUSH:
    case CALL_CATALOG_PULL:
    case CALL_REPORT:
        node->metrics.peer_meta++;
        return;
    }
    BUG("a call of no kind");
}

uint64_t call_start(struct node *node, struct node_id peer, struct message *message,
                    const struct call_options *options)
{
    struct calls *calls = &node->calls;
    struct peer *to = peer_find(node, peer);
    if (to == NULL || !peer_is_open(node, peer, options->purpose)) {
        MARK(node, "calls.no_link");
        return 0;
    }
    struct call *call = pool_take(&calls->pool);
    if (call == NULL) {
        MARK(node, "calls.full");
        return 0;
    }
    calls->next_request++;
    call->request = calls->next_request;
    call->peer = peer;
    call->options = *options;
    if (call->options.silence_us == 0) {
        call->options.silence_us = CALL_SILENCE_US;
    }
    call->started_us = node->now.mono_us;
    call->sign_us = node_active(node);
    call->timer.kind = TIMER_CALL;
    map_insert(&calls->by_request, &call->by_request, hash64_mix(call->request, 0));
    list_init(&call->of_peer);
    list_push_back(&to->calls, &call->of_peer);
    call_arm(node, call);
    CHECK(message_request(message) == message->ping.request);
    message->ping.request = call->request;
    bool sent = peer_send(node, peer, options->purpose, message);
    CHECK(sent);
    count_call(node, options->kind);
    return call->request;
}

void call_cancel(struct node *node, uint64_t request, bool tell)
{
    struct call *call = request == 0 ? NULL : call_find(node, request);
    if (call == NULL) {
        return;
    }
    if (tell && effects_roomy(node, 0)) {
        struct message cancel = { .kind = MESSAGE_CANCEL, .cancel = { .request = request } };
        (void)peer_send(node, call->peer, call->options.purpose, &cancel);
    }
    call_free(node, call);
}

/* Whose file handles it. */
static enum call_more deliver(struct node *node, const struct call *call,
                              const struct message *message, struct payload payload)
{
    switch (call->options.kind) {
    case CALL_PEEK:
        return peek_on_answer(node, call, message, payload);
    case CALL_FORWARD:
        return reads_on_answer(node, call, message, payload);
    case CALL_BLOCK_OFFER:
    case CALL_BLOCK_ASK:
        return handover_on_answer(node, call, message, payload);
    case CALL_SHARE:
        return hot_on_answer(node, call, message, payload);
    case CALL_DIR_FORWARD:
    case CALL_ROOT_GET:
    case CALL_SHARD_GET:
    case CALL_SHARD_OFFER:
    case CALL_ROOT_OFFER:
    case CALL_CATALOG_PUSH:
    case CALL_CATALOG_PULL:
    case CALL_REPORT:
        return meta_on_answer(node, call, message, payload);
    }
    BUG("a call of no kind");
}

static void fail(struct node *node, struct call *call, enum err err)
{
    struct call over = *call;
    call_free(node, call);
    switch (over.options.kind) {
    case CALL_PEEK:
        peek_on_failure(node, &over, err);
        return;
    case CALL_FORWARD:
        reads_on_failure(node, &over, err);
        return;
    case CALL_BLOCK_OFFER:
    case CALL_BLOCK_ASK:
        handover_on_failure(node, &over, err);
        return;
    case CALL_SHARE:
        hot_on_failure(node, &over);
        return;
    case CALL_DIR_FORWARD:
    case CALL_ROOT_GET:
    case CALL_SHARD_GET:
    case CALL_SHARD_OFFER:
    case CALL_ROOT_OFFER:
    case CALL_CATALOG_PUSH:
    case CALL_CATALOG_PULL:
    case CALL_REPORT:
        meta_on_failure(node, &over, err);
        return;
    }
    BUG("a call of no kind");
}

/* The peer has shown that it works on this one: from now on the usual patience. */
static void call_sign(struct node *node, struct call *call)
{
    call->sign_us = node_active(node);
    call->options.silence_us = usec_max(call->options.silence_us, CALL_SILENCE_US);
    call->options.unheard_us = 0;
}

void calls_on_answer(struct node *node, struct node_id peer, const struct message *message,
                     struct payload payload)
{
    uint64_t request = message_request(message);
    struct call *call = call_find(node, request);
    if (call == NULL || !node_id_equal(call->peer, peer)) {
        MARK(node, "calls.answer.late");
        node_release(node, payload);
        return;
    }
    call_sign(node, call);
    usec_t started_us = call->started_us;
    if (deliver(node, call, message, payload) == CALL_MORE) {
        return;
    }
    node->metrics.peer_answers++;
    node->metrics.peer_answer_us += (uint64_t)(node->now.mono_us - started_us);
    call = call_find(node, request); /* its owner may have cancelled it meanwhile */
    if (call != NULL) {
        call_free(node, call);
    }
}

void calls_on_pending(struct node *node, struct node_id peer, struct span requests)
{
    for (size_t at = 0; at + 8 <= requests.size; at += 8) {
        struct call *call = call_find(node, get_u64(requests.data + at));
        if (call != NULL && node_id_equal(call->peer, peer)) {
            MARK(node, "calls.pending");
            call_sign(node, call);
        }
    }
}

void calls_on_timer(struct node *node, struct call *call)
{
    if (node->now.mono_us >= call->options.deadline_us) {
        MARK(node, "calls.timeout");
        node->metrics.peer_timeout++;
        if (effects_roomy(node, 0)) {
            struct message cancel = { .kind = MESSAGE_CANCEL,
                                      .cancel = { .request = call->request } };
            (void)peer_send(node, call->peer, call->options.purpose, &cancel);
        }
        fail(node, call, ERR_TIMEOUT);
        return;
    }
    if (node_active(node) < silent_at(node, call)) {
        call_arm(node, call);
        return;
    }
    MARK(node, "calls.silent");
    node->metrics.peer_silent++;
    if (!call->options.own_signs) {
        peer_is_silent(node, call->peer);
    }
    fail(node, call, ERR_UNREACHABLE);
}

void calls_on_link_down(struct node *node, struct list *of_peer)
{
    /* A failure may start another call, never to this peer: its links are down. */
    struct list *item;
    while ((item = list_first(of_peer)) != NULL) {
        MARK(node, "calls.link_down");
        fail(node, CONTAINER_OF(item, struct call, of_peer), ERR_UNREACHABLE);
    }
}
