/* fs/core/call.c: one question to the ranks of a place in turn, until it is answered (DESIGN 7).
 *
 * The owner is asked first. A rank that is silent, unreachable or cannot answer is passed, and the
 * next one is asked as ACTING, with the ids of those passed. When all are passed the round is over:
 * after a pause the first is asked again, for as long as somebody waits. What a node is slow with,
 * because its source is, it says by PENDING; then nobody is passed. */
#include "fs/core/internal.h"

#define SLOT_BITS 20u /* of a request's number: where its call is */
#define COMING_US MSEC(50)
#define DENIED_US SEC(1)
#define CAPABILITIES_TRIED 3u
#define SOURCE_AGAIN_US MSEC(500)
#define BUSY_MIN_US MSEC(5)
#define ROOM_AGAIN_US MSEC(20)

uint32_t call_limit(const struct mount_options *options)
{
    return options->requests_max * 2 + 512;
}

size_t call_memory(const struct mount_options *options)
{
    return (size_t)call_limit(options) * sizeof(struct call) + 4096;
}

enum err call_init(struct mount *m, struct arena *mem)
{
    uint32_t count = call_limit(&m->options);
    CHECK(count < (1u << SLOT_BITS));
    enum err err = pool_init(&m->calls, mem, sizeof(struct call), count);
    list_init(&m->sends);
    list_init(&m->stalled);
    return err;
}

struct call *call_new(struct mount *m, enum call_kind kind, struct place place)
{
    struct call *call = pool_take(&m->calls);
    if (call == NULL) {
        MARK(m, "mount.call.full");
        return NULL;
    }
    call->kind = kind;
    call->place = place;
    call->timer.kind = TIMER_CALL;
    list_init(&call->link);
    return call;
}

static void queue(struct mount *m, struct call *call)
{
    list_remove(&call->link);
    timers_cancel(&m->timers, &call->timer);
    call->state = CALL_QUEUED;
    call->peer = NULL;
    list_push_back(&m->sends, &call->link);
}

void call_begin(struct mount *m, struct call *call)
{
    CHECK(call->state == CALL_NEW);
    queue(m, call);
}

/* ---- what was given up -------------------------------------------------------------------- */

/* The call leaves its peer; if bytes may still come for it, its reservation goes to a ghost. */
static void leave(struct mount *m, struct call *call, bool cancel)
{
    if (call->state != CALL_SENT) {
        return;
    }
    list_remove(&call->link);
    timers_cancel(&m->timers, &call->timer);
    call->state = CALL_NEW;
    struct peer *peer = call->peer;
    call->peer = NULL;
    if (cancel) {
        ghost_make(m, call, peer->id);
    }
}

void call_done(struct mount *m, struct call *call)
{
    leave(m, call, false);
    call_free(m, call);
}

void call_free(struct mount *m, struct call *call)
{
    leave(m, call, true);
    list_remove(&call->link);
    timers_cancel(&m->timers, &call->timer);
    pool_give(&m->calls, call);
    block_room_changed(m);
}

/* ---- elsewhere ------------------------------------------------------------------------------ */

static bool is_elsewhere(const struct call *call)
{
    return !node_id_is_zero(call->elsewhere);
}

/* To the owner again, who then serves it: no question goes elsewhere twice. */
static void go_back(struct call *call)
{
    call->elsewhere = (struct node_id){ 0 };
    call->sent_back = true;
}

/* Whoever was named has not served it, for whatever reason: that is not held against anybody. */
static void elsewhere_failed(struct mount *m, struct call *call, bool is_answered)
{
    MARK(m, "mount.call.elsewhere.failed");
    go_back(call);
    leave(m, call, !is_answered);
    queue(m, call);
}

/* ---- whom to ask ----------------------------------------------------------------------------- */

static enum link_purpose purpose_of(const struct call *call)
{
    return call->kind == CALL_BLOCK ? LINK_DATA : LINK_CONTROL;
}

static bool is_passed(const struct call *call, struct node_id id)
{
    for (uint32_t i = 0; i < call->passed_count; i++) {
        if (node_id_equal(call->passed[i], id)) {
            return true;
        }
    }
    return false;
}

static void pass(struct call *call, struct node_id id, bool answered)
{
    if (is_passed(call, id)) {
        return;
    }
    if (call->passed_count ==
        RING_RANKS) { /* the ring has changed: the first is no rank any more */
        memmove(call->passed, call->passed + 1, (RING_RANKS - 1) * sizeof call->passed[0]);
        call->passed_count--;
    }
    call->passed[call->passed_count++] = id;
    call->silences += !answered;
}

enum pick { PICK_PEER, PICK_LATER, PICK_NONE };

/* The node that the owner has named: a living member, and at hand. */
static struct peer *named(struct mount *m, struct call *call)
{
    struct peer *peer = peer_known(m, call->elsewhere);
    if (peer == NULL || !peer->member || !peer_is_ready(peer, purpose_of(call))) {
        MARK(m, "mount.call.elsewhere.lost");
        go_back(call);
        return NULL;
    }
    return peer;
}

static enum pick pick(struct mount *m, struct call *call, struct peer **out)
{
    *out = is_elsewhere(call) ? named(m, call) : NULL;
    if (*out != NULL) {
        return PICK_PEER;
    }
    struct node_id ids[RING_RANKS];
    uint32_t count = m->ring == NULL ? 0 : ring_owners(m->ring, call->place, RING_RANKS, ids);
    for (uint32_t i = 0; i < count; i++) {
        if (is_passed(call, ids[i])) {
            continue;
        }
        struct peer *peer = peer_known(m, ids[i]);
        if (peer != NULL && peer_is_ready(peer, purpose_of(call))) {
            *out = peer;
            return PICK_PEER;
        }
        if (peer != NULL && peer_is_coming(m, peer)) {
            return PICK_LATER;
        }
        MARK(m, "mount.call.skipped");
        pass(call, ids[i], false);
    }
    return PICK_NONE;
}

static void stall(struct mount *m, struct call *call, usec_t wait_us)
{
    list_remove(&call->link);
    call->state = CALL_STALLED;
    list_push_back(&m->stalled, &call->link);
    timers_set(&m->timers, &call->timer, m->now.mono_us + wait_us);
}

static void delay(struct mount *m, struct call *call, usec_t wait_us)
{
    list_remove(&call->link);
    call->state = CALL_DELAYED;
    usec_t jitter = (usec_t)rng_below(&m->rng, (uint64_t)wait_us / 2 + 1);
    timers_set(&m->timers, &call->timer, m->now.mono_us + wait_us + jitter);
}

void call_start_later(struct mount *m, struct call *call, usec_t wait_us)
{
    if (wait_us > 0) {
        delay(m, call, wait_us);
    } else {
        call_begin(m, call);
    }
}

void call_wake_stalled(struct mount *m)
{
    while (!list_is_empty(&m->stalled)) {
        struct call *call = CONTAINER_OF(list_first(&m->stalled), struct call, link);
        call->passed_count = 0;
        call->silences = 0;
        call->err = ERR_OK;
        queue(m, call);
    }
}

void call_timer(struct mount *m, struct call *call)
{
    if (call->state == CALL_SENT) {
        MARK(m, "mount.call.again"); /* the node lives, but has forgotten us or given up */
        leave(m, call, true);
        go_back(call);
    }
    queue(m, call);
}

/* ---- how it ends ------------------------------------------------------------------------------- */

static void finish(struct mount *m, struct call *call, enum err err)
{
    leave(m, call, false);
    switch (call->kind) {
    case CALL_BLOCK:
        block_failed(m, call, err);
        return;
    case CALL_DIR:
        folder_failed(m, call, err);
        return;
    case CALL_NAME:
        lookup_failed(m, call, err);
        return;
    case CALL_PAGE:
        sheet_failed(m, call, err);
        return;
    }
    BUG("no such kind of call");
}

static bool is_wanted(const struct call *call)
{
    switch (call->kind) {
    case CALL_BLOCK:
        return call->range.block->pins > 0;
    case CALL_DIR:
        return !list_is_empty(&call->folder->waiters);
    case CALL_NAME:
        return true;
    case CALL_PAGE:
        return !list_is_empty(&call->sheet->waiters);
    }
    BUG("no such kind of call");
}

static void renew(struct mount *m, struct call *call)
{
    call->renewals = m->renewals;
    cluster_renew(m);
    leave(m, call, false);
    stall(m, call, DENIED_US);
}

/* Nobody takes the capability: whoever made it may be the one that is behind. Each is from another
 * node than the one before. */
static bool tries_another(struct mount *m, struct call *call)
{
    bool expired = call->err == ERR_OTHER_KEY || call->err == ERR_EXPIRED;
    if (!expired || call->denials >= CAPABILITIES_TRIED) {
        return false;
    }
    MARK(m, "mount.call.another_capability");
    call->denials++;
    call->passed_count = 0;
    call->silences = 0;
    call->err = ERR_OK;
    renew(m, call);
    return true;
}

static void round_over(struct mount *m, struct call *call)
{
    if (tries_another(m, call)) {
        return;
    }
    /* What a bit changed on the way is right the next time. */
    call->corrupt_rounds = call->err == ERR_CORRUPT ? call->corrupt_rounds + 1 : 0;
    bool passes = call->corrupt_rounds > 0 && call->corrupt_rounds <= CORRUPT_ROUNDS;
    bool answered = call->err != ERR_OK && call->silences == 0 && !passes;
    bool refused = peer_all_refuse(m);
    bool lost = call->kind == CALL_PAGE && call->err == ERR_NOT_FOUND && call->rounds > 0;
    if (answered || lost || refused || !is_wanted(call)) {
        MARK(m, "mount.call.failed");
        enum err err = call->err == ERR_OK ? ERR_UNREACHABLE : call->err;
        finish(m, call, refused ? ERR_DENIED : err);
        return;
    }
    MARK(m, "mount.call.round");
    tell_waiting(m);
    usec_t wait = ROUND_MIN_US << (call->rounds < 4 ? call->rounds : 4);
    call->rounds++;
    call->passed_count = 0;
    call->silences = 0;
    call->err = ERR_OK;
    stall(m, call, usec_min(wait, ROUND_MAX_US));
}

void call_reject(struct mount *m, struct call *call, enum err err)
{
    CHECK(call->state == CALL_SENT);
    if (is_elsewhere(call)) {
        elsewhere_failed(m, call, false); /* further parts may be on their way */
        return;
    }
    pass(call, call->peer->id, true);
    call->err = err;
    m->totals.failovers++;
    leave(m, call, call->kind == CALL_BLOCK); /* further parts may be on their way */
    queue(m, call);
}

/* A capability may have expired, or its key been replaced: a newer one is asked for, and waited for.
 * false: nodes have answered that, and this is refused all the same. */
static bool renews(struct mount *m, struct call *call)
{
    if (call->denials > 0 && m->renewals != call->renewals) {
        return false;
    }
    MARK(m, "mount.call.denied");
    call->denials = call->denials == 0 ? 1 : call->denials;
    renew(m, call);
    return true;
}

/* This node is behind with the cluster's keys or with the time, or who gave us the capability is: a
 * newer one, from another node, and then other ranks. */
static void not_here(struct mount *m, struct call *call, enum err err)
{
    if (renews(m, call)) {
        return;
    }
    MARK(m, "mount.call.other_key");
    pass(call, call->peer->id, err == ERR_EXPIRED); /* keys are on their way to it: wait for that */
    call->err = err;
    m->totals.failovers++;
    leave(m, call, false);
    queue(m, call);
}

/* Does the failure settle the question, whoever else might be asked? */
static bool is_final(const struct call *call, enum err *err)
{
    bool gone = *err == ERR_SOURCE_NOT_FOUND || *err == ERR_NOT_FOUND;
    if (call->kind == CALL_BLOCK) {
        if (*err == ERR_SOURCE_NOT_FOUND) {
            *err = ERR_CHANGED; /* deleted: that version is nowhere */
        }
        return *err == ERR_CHANGED || *err == ERR_DATASET_DELETED;
    }
    return (gone && call->kind != CALL_PAGE) || *err == ERR_DATASET_DELETED;
}

/* The node could not do it now; later it, or another one, can. */
static bool is_passing(enum err err)
{
    return err == ERR_UNREACHABLE || err == ERR_NO_DATASET || err == ERR_CLOSED;
}

/* The first question for a block: nobody was passed, and nobody has sent us back. */
static bool may_go_elsewhere(const struct call *call)
{
    return call->kind == CALL_BLOCK && call->passed_count == 0 && !call->sent_back;
}

static void on_fail(struct mount *m, struct call *call, const struct message_fail *fail)
{
    enum err err = err_from_wire(fail->err);
    struct peer *peer = call->peer;
    enum link_purpose purpose = purpose_of(call);
    cluster_compare(m, peer, fail->view);
    if (is_elsewhere(call)) {
        elsewhere_failed(m, call, true);
    } else if (err == ERR_ELSEWHERE && may_go_elsewhere(call)) {
        MARK(m, "mount.call.elsewhere");
        m->totals.elsewhere++;
        memcpy(call->elsewhere.b, fail->node, ID_SIZE);
        call->sent_back = node_id_is_zero(call->elsewhere);
        leave(m, call, false);
        queue(m, call);
    } else if (is_final(call, &err)) {
        finish(m, call, err);
    } else if (err == ERR_BUSY) {
        MARK(m, "mount.call.busy");
        leave(m, call, false);
        usec_t wait = fail->retry_us < (uint64_t)SEC(10) ? (usec_t)fail->retry_us : SEC(10);
        delay(m, call, usec_max(wait, BUSY_MIN_US));
    } else if (err == ERR_TIMEOUT || err == ERR_SOURCE_UNREACHABLE || err == ERR_SOURCE_THROTTLED) {
        MARK(m, "mount.call.source"); /* another node would only ask the same source again */
        leave(m, call, false);
        delay(m, call, SOURCE_AGAIN_US);
    } else if (err == ERR_OTHER_KEY || err == ERR_EXPIRED) {
        not_here(m, call, err);
    } else if (err == ERR_DENIED) {
        if (!renews(m, call)) {
            finish(m, call, err);
        }
    } else if (err == ERR_NO_SESSION) {
        leave(m, call, false);
        queue(m, call);
        link_again(m, peer, purpose);
    } else {
        MARK(m, "mount.call.refused");
        pass(call, peer->id, !is_passing(err));
        call->err = err;
        m->totals.failovers++;
        leave(m, call, false);
        queue(m, call);
    }
}

/* ---- to and fro ---------------------------------------------------------------------------------- */

static struct call *find(struct mount *m, uint64_t number)
{
    uint32_t slot = (uint32_t)(number & ((1u << SLOT_BITS) - 1));
    if (slot >= pool_top(&m->calls)) {
        return NULL;
    }
    struct call *call = pool_at(&m->calls, slot);
    return call->number == number && call->state == CALL_SENT ? call : NULL;
}

bool call_on_message(struct mount *m, struct peer *peer, const struct message *message,
                     struct payload payload)
{
    uint64_t number = message->kind == MESSAGE_DATA       ? message->data.request
                      : message->kind == MESSAGE_DIR_ROOT ? message->dir_root.request
                      : message->kind == MESSAGE_SHARD    ? message->shard.request
                                                          : message->fail.request;
    struct call *call = find(m, number);
    if (call == NULL || call->peer != peer) {
        if (!ghost_on_message(m, message)) {
            MARK(m, "mount.answer.late");
        }
        return false;
    }
    if (message->kind == MESSAGE_FAIL) {
        on_fail(m, call, &message->fail);
    } else if (message->kind == MESSAGE_DATA && call->kind == CALL_BLOCK) {
        return block_on_data(m, call, &message->data, payload);
    } else if (message->kind == MESSAGE_SHARD && call->kind == CALL_PAGE) {
        return sheet_on_shard(m, call, &message->shard, payload);
    } else if (message->kind == MESSAGE_DIR_ROOT && call->kind == CALL_DIR) {
        folder_on_root(m, call, &message->dir_root);
    } else if (message->kind == MESSAGE_DIR_ROOT && call->kind == CALL_NAME) {
        lookup_on_answer(m, call, &message->dir_root);
    } else {
        MARK(m, "mount.answer.wrong");
        call_reject(m, call, ERR_MALFORMED);
    }
    return false;
}

void call_peer_lost(struct mount *m, struct peer *peer, enum link_purpose purpose, bool silent)
{
    struct list *next;
    for (struct list *at = peer->calls.next; at != &peer->calls; at = next) {
        struct call *call = CONTAINER_OF(at, struct call, link);
        next = at->next;
        if (purpose_of(call) != purpose) {
            continue;
        }
        if (is_elsewhere(call)) {
            elsewhere_failed(m, call, !silent);
            continue;
        }
        pass(call, peer->id, false);
        m->totals.failovers++;
        leave(m, call, silent); /* with the link went whatever it owed us */
        queue(m, call);
    }
}

static void encode(struct mount *m, struct call *call, struct message *message, uint8_t *silent)
{
    uint64_t mode = call->passed_count > 0 ? GET_ACTING : GET_PLAIN;
    mode = is_elsewhere(call) ? GET_COPY : mode;
    for (uint32_t i = 0; i < call->passed_count; i++) {
        memcpy(silent + (size_t)i * ID_SIZE, call->passed[i].b, ID_SIZE);
    }
    struct span passed = span_of(silent, (size_t)call->passed_count * ID_SIZE);
    switch (call->kind) {
    case CALL_BLOCK:
        message->kind = MESSAGE_GET;
        message->get.request = call->number;
        message->get.mode = mode;
        message->get.silent = passed;
        message->get.elsewhere = mode == GET_PLAIN && may_go_elsewhere(call);
        message->get.remaining_us = ATTEMPT_US;
        block_encode(m, call, &message->get);
        return;
    case CALL_DIR:
    case CALL_NAME:
        message->kind = MESSAGE_DIR_GET;
        message->dir_get.request = call->number;
        message->dir_get.mode = mode;
        message->dir_get.silent = passed;
        message->dir_get.remaining_us = ATTEMPT_US;
        if (call->kind == CALL_DIR) {
            folder_encode(m, call, &message->dir_get);
        } else {
            lookup_encode(m, call, &message->dir_get);
        }
        return;
    case CALL_PAGE:
        message->kind = MESSAGE_SHARD_GET;
        message->shard_get.request = call->number;
        message->shard_get.remaining_us = ATTEMPT_US;
        sheet_encode(m, call, &message->shard_get);
        return;
    }
    BUG("no such kind of call");
}

/* Of a range only what is still missing is asked for, and only when there is room for it. */
static bool narrow(struct mount *m, struct call *call)
{
    switch (block_narrow(m, call)) {
    case NARROW_ASK:
        return true;
    case NARROW_DONE:
        return false;
    case NARROW_FULL:
        MARK(m, "mount.call.room");
        stall(m, call, ROOM_AGAIN_US);
        ghost_purge(m);
        return false;
    }
    BUG("no such outcome");
}

static void send_one(struct mount *m, struct call *call)
{
    struct peer *peer = NULL;
    if (call->kind == CALL_BLOCK && !narrow(m, call)) {
        return;
    }
    switch (pick(m, call, &peer)) {
    case PICK_LATER:
        stall(m, call, COMING_US);
        return;
    case PICK_NONE:
        round_over(m, call);
        return;
    case PICK_PEER:
        break;
    }
    struct message message;
    memset(&message, 0, sizeof message);
    uint8_t silent[RING_RANKS * ID_SIZE];
    call->number = (++m->next_number << SLOT_BITS) | pool_index(&m->calls, call);
    encode(m, call, &message, silent);
    peer_post(m, peer, purpose_of(call), &message);
    call->over = peer->links[purpose_of(call)].id;
    call->peer = peer;
    call->sent_us = m->now.mono_us;
    call->state = CALL_SENT;
    peer_waits(m, peer);
    list_remove(&call->link);
    list_push_back(&peer->calls, &call->link);
    timers_set(&m->timers, &call->timer, m->now.mono_us + ATTEMPT_US + SEC(1));
}

void call_pump(struct mount *m)
{
    ghost_pump(m);
    while (!list_is_empty(&m->sends) && effect_room(m) > 0) {
        send_one(m, CONTAINER_OF(list_first(&m->sends), struct call, link));
    }
}
