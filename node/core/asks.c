/* node/core/asks.c: requests of others, their deadlines and signs of life. */
#include "node/core/asks.h"

#include "base/hash.h"
#include "node/core/internal.h"
#include "node/core/reads.h"

#define PENDING_AT_ONCE 1024u     /* what one message holds */
#define PENDING_EARLY_US MSEC(10) /* due that soon: goes with the others */

static uint64_t asks_expected(const struct node_options *options)
{
    return (uint64_t)options->requests_max * 2;
}

size_t asks_memory(const struct node_options *options)
{
    return 2 * asks_expected(options) * sizeof(void *) + 64;
}

enum err asks_init(struct asks *asks, struct arena *mem, const struct node_options *options)
{
    *asks = (struct asks){ 0 };
    return map_init(&asks->by_number, mem, asks_expected(options));
}

static uint64_t hash_of(const struct session *session, uint64_t request)
{
    return hash64_mix(request, get_u64(session->id));
}

static struct ask *ask_find(const struct node *node, const struct session *session,
                            uint64_t request)
{
    struct map_node *at = map_first(&node->asks.by_number, hash_of(session, request));
    for (; at != NULL; at = map_next(at)) {
        struct ask *ask = CONTAINER_OF(at, struct ask, by_number);
        if (ask->session == session && ask->request == request) {
            return ask;
        }
    }
    return NULL;
}

enum err ask_open(struct node *node, struct ask *ask, struct link *link, uint64_t request,
                  uint64_t remaining_us)
{
    struct session *session = link->session;
    CHECK(session != NULL && ask->session == NULL);
    if (remaining_us == 0 || ask_find(node, session, request) != NULL) {
        MARK(node, "asks.invalid");
        return ERR_INVALID;
    }
    usec_t now = node->now.mono_us;
    uint64_t most = (uint64_t)ASK_REMAINING_MAX_US;
    usec_t remaining = (usec_t)(remaining_us < most ? remaining_us : most);
    ask->session = session;
    ask->link = link->id;
    ask->request = request;
    ask->opened_us = now;
    ask->pending_us = now + ASK_PENDING_FIRST_US;
    ask->deadline.kind = TIMER_ASK;
    map_insert(&node->asks.by_number, &ask->by_number, hash_of(session, request));
    list_init(&ask->of_session);
    list_push_back(&session->asks, &ask->of_session);
    timers_set(&node->timers, &ask->deadline, now + remaining);
    session_watch_ask(node, session, ask->pending_us);
    node->asks.open++;
    return ERR_OK;
}

bool ask_is_open(const struct ask *ask)
{
    return ask->session != NULL;
}

usec_t ask_remaining(const struct node *node, const struct ask *ask)
{
    CHECK(ask_is_open(ask));
    return usec_max(0, ask->deadline.at_us - node->now.mono_us);
}

void ask_close(struct node *node, struct ask *ask)
{
    if (!ask_is_open(ask)) {
        return;
    }
    CHECK(node->asks.open > 0);
    map_remove(&node->asks.by_number, &ask->by_number);
    list_remove(&ask->of_session);
    timers_cancel(&node->timers, &ask->deadline);
    ask->session = NULL;
    node->asks.open--;
}

/* The owner learns that nobody waits any more. */
static void ask_gone(struct node *node, struct ask *ask)
{
    ask_close(node, ask);
    switch (ask->kind) {
    case ASK_READ:
        reads_on_gone(node, ask);
        return;
    case ASK_META:
        meta_on_gone(node, ask);
        return;
    case ASK_TAKE:
        handover_on_take_gone(node, ask);
        return;
    case ASK_TELL:
        handover_on_tell_gone(node, ask);
        return;
    }
    BUG("an ask of no kind");
}

static void send_fail(struct node *node, struct link_id link, const struct message_fail *fail)
{
    struct message message = { .kind = MESSAGE_FAIL, .fail = *fail };
    node_send(node, link, &message, (struct payload){ 0 });
}

void ask_fail(struct node *node, struct ask *ask, enum err err, usec_t retry_us, struct span text)
{
    CHECK(ask_is_open(ask) && err != ERR_OK);
    if (node->now.mono_us < ask->deadline.at_us) {
        send_fail(node, ask->link,
                  &(struct message_fail){
                      .request = ask->request,
                      .err = (uint64_t)err,
                      .retry_us = (uint64_t)retry_us,
                      .view = node->rings.digest,
                      .text = span_of(text.data, text.size < 256 ? text.size : 256) });
    }
    ask_close(node, ask);
}

void ask_refuse(struct node *node, struct link *link, uint64_t request, enum err err,
                usec_t retry_us)
{
    CHECK(err != ERR_OK);
    send_fail(node, link->id,
              &(struct message_fail){ .request = request,
                                      .err = (uint64_t)err,
                                      .retry_us = (uint64_t)retry_us,
                                      .view = node->rings.digest });
}

usec_t ask_busy_us(struct node *node)
{
    return rng_between(&node->rng, MSEC(20), MSEC(50));
}

void asks_on_cancel(struct node *node, struct session *session, uint64_t request)
{
    struct ask *ask = ask_find(node, session, request);
    if (ask == NULL) {
        return; /* its answer is on the way */
    }
    MARK(node, "asks.cancel");
    node->metrics.gets_cancelled++;
    ask_gone(node, ask);
}

void asks_on_deadline(struct node *node, struct ask *ask)
{
    MARK(node, "asks.late");
    node->metrics.gets_late++;
    ask_gone(node, ask);
}

void asks_on_link_down(struct node *node, struct session *session, struct link_id link)
{
    /* Set apart first: what one's end sets free may let another one of the session end. */
    struct list gone;
    list_init(&gone);
    for (struct list *item = session->asks.next; item != &session->asks;) {
        struct ask *ask = CONTAINER_OF(item, struct ask, of_session);
        item = item->next;
        if (ask->link.v == link.v) {
            list_remove(&ask->of_session);
            list_push_back(&gone, &ask->of_session);
        }
    }
    while (!list_is_empty(&gone)) {
        MARK(node, "asks.link_down");
        ask_gone(node, CONTAINER_OF(list_first(&gone), struct ask, of_session));
    }
}

static void send_pending(struct node *node, struct link_id link, const uint8_t *numbers,
                         size_t count)
{
    struct message message = { .kind = MESSAGE_PENDING,
                               .pending = { .requests = span_of(numbers, count * 8) } };
    node_send(node, link, &message, (struct payload){ 0 });
}

void asks_announce(struct node *node, struct session *session, uint64_t request)
{
    uint8_t number[8];
    const struct link_id link = session_control(session);
    put_u64(number, request);
    if (link.v != 0) {
        MARK(node, "asks.announced");
        send_pending(node, link, number, 1);
    }
}

/* One message for all that are due; the time of the next one. */
static usec_t tell_pending(struct node *node, struct session *session, struct link_id link)
{
    uint8_t *numbers = scratch_take(node, PENDING_AT_ONCE * 8);
    usec_t now = node->now.mono_us;
    usec_t next = USEC_NEVER;
    uint32_t count = 0;
    for (struct list *item = session->asks.next; item != &session->asks; item = item->next) {
        struct ask *ask = CONTAINER_OF(item, struct ask, of_session);
        if (ask->pending_us <= now + PENDING_EARLY_US && count < PENDING_AT_ONCE) {
            put_u64(numbers + (size_t)count * 8, ask->request);
            count++;
            ask->pending_us = now + ASK_PENDING_AGAIN_US;
        }
        next = usec_min(next, ask->pending_us);
    }
    if (count > 0) {
        MARK(node, "asks.pending");
        send_pending(node, link, numbers, count);
    }
    return next;
}

void asks_on_pending_timer(struct node *node, struct session *session)
{
    struct link_id link = session_control(session);
    if (link.v == 0 || list_is_empty(&session->asks)) {
        return; /* the next ask sets the timer again */
    }
    usec_t next = tell_pending(node, session, link);
    timers_set(&node->timers, &session->pending, next);
}
