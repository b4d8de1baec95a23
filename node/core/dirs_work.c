/* node/core/dirs_work.c: what goes on about one directory: its root is loaded, asked for, listed. */
#include "node/core/dirs.h"

#include "node/core/lookup.h"
#include "node/core/meta.h"
#include "node/core/snapshot.h"

#define BUSY_REST_US MSEC(200)
#define BUSY_REST_MOST 5u /* 200 ms << 5: about six seconds */
#define STALE_US SEC(5)   /* a root served past its ttl while the source is down, each time */

/* What one that waits needs before it can be answered, the first stage last. */
enum need {
    NEED_NOTHING, /* it is off the list */
    NEED_STEP,    /* no room left in this step */
    NEED_LIST,
    NEED_RANKS,
    NEED_LOAD,
};

struct work *work_take(struct node *node, struct dir *dir)
{
    if (dir->work != NULL) {
        return dir->work;
    }
    struct work *work = pool_take(&node->meta->dirs.works);
    if (work == NULL) {
        MARK(node, "dirs.works.full");
        return NULL;
    }
    work->dir = dir;
    work->timer.kind = TIMER_DIR_WORK;
    list_init(&work->waiters);
    list_init(&work->queued);
    dir->work = work;
    list_remove(&dir->recent);
    return work;
}

void work_set_selector(struct work *work, struct span selector)
{
    CHECK(selector.size <= SELECTOR_MAX);
    if (selector.size > 0) {
        memcpy(work->selector, selector.data, selector.size);
    }
    work->selector[selector.size] = '\0';
}

void work_free_if_idle(struct node *node, struct work *work)
{
    struct dir *dir = work->dir;
    if (work->stage != WORK_IDLE || !list_is_empty(&work->waiters)) {
        return;
    }
    CHECK(work->io == 0 && work->calls_open == 0 && work->snapshot == NULL);
    timers_cancel(&node->timers, &work->timer);
    dir->work = NULL;
    list_push_back(&node->meta->dirs.recent, &dir->recent);
    pool_give(&node->meta->dirs.works, work);
}

/* ---- what one ask needs ------------------------------------------------------------------ */

/* The root of another generation than the newest: one that is about to be published. */
static struct span root_asked(const struct work *work, const struct meta_ask *ask)
{
    const struct dir *dir = work->dir;
    if (dir->root != NULL && (ask->generation == 0 || ask->generation == dir->generation)) {
        return span_of(dir->root->data, dir->root_size);
    }
    return work->snapshot == NULL ? span_of(NULL, 0)
                                  : snapshot_root(work->snapshot, ask->generation);
}

static enum need serve_root(struct node *node, struct work *work, struct meta_ask *ask)
{
    const struct dir *dir = work->dir;
    struct span root = root_asked(work, ask);
    if (root.size > 0 && !effects_roomy(node, root.size)) {
        return NEED_STEP;
    }
    if (root.size > 0) {
        struct message message = { .kind = MESSAGE_DIR_ROOT,
                                   .dir_root = { .request = ask->ask.request, .root = root } };
        list_remove(&ask->waiting);
        node_send(node, ask->ask.link, &message, (struct payload){ 0 });
        meta_ask_end(node, ask);
        return NEED_NOTHING;
    }
    if (!dir->looked) {
        return NEED_LOAD;
    }
    list_remove(&ask->waiting);
    meta_ask_fail(node, ask, ERR_NOT_FOUND, span_of(NULL, 0));
    return NEED_NOTHING;
}

/* Not the owner: it is passed on once, if it may be. */
static bool pass_on(struct node *node, struct work *work, struct meta_ask *ask)
{
    struct node_id owner;
    struct span selector = span_text(work->selector);
    if (ask->mode != GET_PLAIN || ask->hops > 0) {
        return false;
    }
    if (rings_owners(node, selector, place_of_root(work->id), 1, &owner) == 0) {
        MARK(node, "dirs.no_ring");
        list_remove(&ask->waiting);
        meta_ask_fail(node, ask, ERR_BUSY, span_of(NULL, 0));
        return true;
    }
    if (node_id_equal(owner, node->options.id)) {
        return false;
    }
    dirs_forward(node, work, ask, owner);
    return true;
}

static enum need serve_dir(struct node *node, struct work *work, struct meta_ask *ask)
{
    struct dir *dir = work->dir;
    bool later = false;
    if (dirs_is_fresh(node, dir, ask)) {
        list_remove(&ask->waiting);
        if (dirs_answer(node, dir, ask, &later)) {
            return NEED_NOTHING;
        }
        list_push_front(&work->waiters, &ask->waiting);
        return later ? NEED_STEP : NEED_LOAD;
    }
    if (!dir->looked) {
        return NEED_LOAD;
    }
    const bool is_deleted = catalog_find(node, ask->dataset) == NULL;
    if (is_deleted || ask->mode == GET_PEEK) {
        MARK(node, "dirs.ask.over");
        list_remove(&ask->waiting);
        meta_ask_fail(node, ask, is_deleted ? ERR_DATASET_DELETED : ERR_NOT_FOUND,
                      span_of(NULL, 0));
        return NEED_NOTHING;
    }
    if (!effects_roomy(node, WIRE_REQUEST_MAX)) {
        return NEED_STEP;
    }
    if (pass_on(node, work, ask)) {
        return NEED_NOTHING;
    }
    return !dir->known && !work->asked_ranks ? NEED_RANKS : NEED_LIST;
}

static enum need serve(struct node *node, struct work *work, struct meta_ask *ask)
{
    return ask->kind == META_ASK_ROOT ? serve_root(node, work, ask) : serve_dir(node, work, ask);
}

/* The furthest back that anybody needs. */
static enum need serve_all(struct node *node, struct work *work)
{
    enum need most = NEED_NOTHING;
    bool step = false;
    for (struct list *item = work->waiters.next; item != &work->waiters;) {
        struct meta_ask *ask = CONTAINER_OF(item, struct meta_ask, waiting);
        item = item->next;
        enum need need = serve(node, work, ask);
        step = step || need == NEED_STEP;
        most = need > most ? need : most;
        if (step) {
            break; /* the rest next time */
        }
    }
    return step ? NEED_STEP : most;
}

/* Fail all that wait; what does not fit this step goes on from the timer. */
static void fail_all(struct node *node, struct work *work)
{
    struct span text = span_of(work->text, work->text_size);
    for (struct list *item = work->waiters.next; item != &work->waiters;) {
        struct meta_ask *ask = CONTAINER_OF(item, struct meta_ask, waiting);
        item = item->next;
        /* A root asked for by a node does not wait for the listing, but for the store. */
        bool is_for_it = ask->asked_us <= work->failed_us &&
                         (ask->kind == META_ASK_DIR || work->err == ERR_BUSY);
        if (!is_for_it) {
            continue;
        }
        if (!effects_roomy(node, 0)) {
            MARK(node, "dirs.fail.later");
            timers_set(&node->timers, &work->timer, node->now.mono_us);
            return;
        }
        list_remove(&ask->waiting);
        meta_ask_fail(node, ask, work->err, text);
    }
    work->stage = WORK_IDLE;
    work_advance(node, work);
}

static void work_fail(struct node *node, struct work *work, enum err err, struct span text)
{
    CHECK(err != ERR_OK && work->stage != WORK_FAIL);
    work->text_size = (uint32_t)(text.size < sizeof work->text ? text.size : sizeof work->text);
    if (work->text_size > 0) {
        memcpy(work->text, text.data, work->text_size);
    }
    work->err = err;
    work->failed_us = node->now.mono_us;
    work->stage = WORK_FAIL;
    fail_all(node, work);
}

/* ---- this node's store ------------------------------------------------------------------- */

static void start_load(struct node *node, struct work *work)
{
    struct io_for of = { .kind = IO_ROOT_LOAD, .owner = work };
    work->io = io_get(node, &of, META_ROOT, span_of(work->dir->key.b, ID_SIZE));
    if (work->io == 0) {
        work_fail(node, work, ERR_BUSY, span_of(NULL, 0));
        return;
    }
    work->stage = WORK_LOAD;
}

/* Is `bytes` the root of this directory, and better than what is known? */
static bool is_better(const struct work *work, struct span bytes)
{
    struct root root;
    const struct dir *dir = work->dir;
    if (root_open(bytes, &root) != ERR_OK ||
        (work->is_set && !dir_id_equal(root.head.dir, work->id))) {
        return false;
    }
    bool is_lost = dir->exists && dir->root == NULL;
    return !dir->known || root.head.generation > dir->generation ||
           (is_lost && root.head.generation == dir->generation);
}

void dirs_on_root_load(struct node *node, struct work *work, enum err err, struct span value)
{
    struct dir *dir = work->dir;
    CHECK(work->stage == WORK_LOAD);
    work->io = 0;
    work->stage = WORK_IDLE;
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        MARK(node, "dirs.load.failed");
    }
    if (err == ERR_OK && is_better(work, value) && dirs_adopt(node, dir, value) != ERR_OK) {
        work_fail(node, work, ERR_BUSY, span_of(NULL, 0));
        return;
    }
    dir->looked = true;
    if (dir->exists && dir->root == NULL) {
        MARK(node, "dirs.root.lost"); /* it was only in memory: other ranks have it */
        dir->known = false;
    }
    work_advance(node, work);
}

/* ---- other ranks ------------------------------------------------------------------------- */

static bool is_silent(const struct work *work, struct node_id id)
{
    for (const struct list *item = work->waiters.next; item != &work->waiters; item = item->next) {
        const struct meta_ask *ask = CONTAINER_OF(item, struct meta_ask, waiting);
        for (uint32_t i = 0; i < ask->silent_count; i++) {
            if (node_id_equal(ask->silent[i], id)) {
                return true;
            }
        }
    }
    return false;
}

/* The ranks of its root now and in the tables before, without this node. */
static uint32_t find_ranks(struct node *node, const struct work *work, struct node_id *out)
{
    struct span selector = span_text(work->selector);
    struct place place = place_of_root(work->id);
    struct node_id ids[DIR_RANKS];
    uint32_t count = rings_owners(node, selector, place, RING_RANKS, ids);
    count += rings_previous(node, selector, place, ids + count);
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool known = node_id_equal(ids[i], node->options.id) || is_silent(work, ids[i]);
        for (uint32_t j = 0; j < used; j++) {
            known = known || node_id_equal(out[j], ids[i]);
        }
        if (!known) {
            out[used++] = ids[i];
        }
    }
    return used;
}

static void ask_ranks(struct node *node, struct work *work)
{
    struct node_id ranks[DIR_RANKS];
    uint32_t count = find_ranks(node, work, ranks);
    work->asked_ranks = true;
    for (uint32_t i = 0; i < count; i++) {
        struct message message = { .kind = MESSAGE_ROOT_GET };
        struct call_options options = { .kind = CALL_ROOT_GET,
                                        .purpose = LINK_CONTROL,
                                        .deadline_us = node->now.mono_us + DIR_ACTING_US,
                                        .owner = work };
        memcpy(message.root_get.dir, work->dir->key.b, ID_SIZE);
        uint64_t call = call_start(node, ranks[i], &message, &options);
        if (call != 0) {
            work->calls[work->calls_open++] = call;
        }
    }
    work->stage = work->calls_open > 0 ? WORK_RANKS : WORK_IDLE;
}

static void cancel_ranks(struct node *node, struct work *work)
{
    for (uint32_t i = 0; i < DIR_RANKS; i++) {
        call_cancel(node, work->calls[i], false);
        work->calls[i] = 0;
    }
    work->calls_open = 0;
}

static bool first_is_fresh(const struct node *node, struct work *work)
{
    struct list *first = list_first(&work->waiters);
    return first != NULL &&
           dirs_is_fresh(node, work->dir, CONTAINER_OF(first, struct meta_ask, waiting));
}

/* One rank has answered, or not. */
static void rank_over(struct node *node, struct work *work, uint64_t request)
{
    CHECK(work->stage == WORK_RANKS && work->calls_open > 0);
    for (uint32_t i = 0; i < DIR_RANKS; i++) {
        if (work->calls[i] == request) {
            work->calls[i] = 0;
        }
    }
    work->calls_open--;
    if (work->calls_open > 0 && !first_is_fresh(node, work)) {
        return;
    }
    cancel_ranks(node, work);
    work->stage = WORK_IDLE;
    work_advance(node, work);
}

enum call_more dirs_on_answer(struct node *node, const struct call *call,
                              const struct message *message, struct payload payload)
{
    node_release(node, payload);
    if (call->options.kind == CALL_DIR_FORWARD) {
        return dirs_on_forwarded(node, call->options.owner, message);
    }
    struct work *work = call->options.owner;
    CHECK(call->options.kind == CALL_ROOT_GET);
    if (message->kind == MESSAGE_DIR_ROOT && is_better(work, message->dir_root.root) &&
        dirs_adopt(node, work->dir, message->dir_root.root) == ERR_OK) {
        MARK(node, "dirs.root.taken_over");
        if (dirs_keeps(node, work->id, span_text(work->selector))) {
            dirs_keep_root(node, work->dir);
        }
    }
    rank_over(node, work, call->request);
    return CALL_DONE;
}

void dirs_on_failure(struct node *node, const struct call *call, enum err err)
{
    if (call->options.kind == CALL_DIR_FORWARD) {
        struct meta_ask *ask = call->options.owner;
        MARK(node, "dirs.forward.failed");
        ask->call = 0;
        meta_ask_fail(node, ask, err, span_of(NULL, 0));
        return;
    }
    CHECK(call->options.kind == CALL_ROOT_GET);
    rank_over(node, call->options.owner, call->request);
}

/* ---- listing ----------------------------------------------------------------------------- */

/* What the listing must satisfy, over all that wait; false: nobody does. */
static bool wanted(struct node *node, struct work *work, struct snapshot_need *need)
{
    const struct dir *dir = work->dir;
    usec_t at_us = USEC_NEVER;
    *need = (struct snapshot_need){ .newer_than = dir->known ? dir->generation : 0 };
    for (struct list *item = work->waiters.next; item != &work->waiters; item = item->next) {
        const struct meta_ask *ask = CONTAINER_OF(item, struct meta_ask, waiting);
        const struct dataset *dataset = catalog_find(node, ask->dataset);
        if (ask->kind != META_ASK_DIR || dataset == NULL) {
            continue;
        }
        bool forced = dir->known && ask->generation >= dir->generation;
        usec_t rest_us = dir->listed_us == 0 || !forced ? 0 : dir->listed_us + DIR_RELIST_US;
        at_us = usec_min(at_us, usec_max(rest_us, dir->rest_us));
        need->force = need->force || forced;
        need->newer_than = ask->generation > need->newer_than ? ask->generation : need->newer_than;
        need->checked = dataset->refreshed > need->checked ? dataset->refreshed : need->checked;
        work->dataset = ask->dataset;
    }
    need->at_us = at_us;
    return at_us != USEC_NEVER;
}

/* Join the listing under way: a name alone can be answered before its end. */
static void join_lookups(struct node *node, struct work *work)
{
    for (struct list *item = work->waiters.next; item != &work->waiters;) {
        struct meta_ask *ask = CONTAINER_OF(item, struct meta_ask, waiting);
        item = item->next;
        lookup_join(node, work->snapshot, ask);
    }
}

static void start_list(struct node *node, struct work *work)
{
    struct snapshot_need need;
    bool anybody = wanted(node, work, &need);
    CHECK(anybody && work->is_set);
    if (need.at_us > node->now.mono_us) {
        MARK(node, "dirs.rest");
        work->stage = WORK_REST;
        timers_set(&node->timers, &work->timer, need.at_us);
        return;
    }
    const struct dataset *dataset = catalog_find(node, work->dataset);
    enum err err = catalog_source_use(node, dataset, work->source);
    if (err != ERR_OK) {
        MARK(node, "dirs.source.refused");
        work_fail(node, work, err, span_of(NULL, 0));
        return;
    }
    work->snapshot = snapshot_start(node, work, &need);
    if (work->snapshot == NULL) {
        MARK(node, "dirs.list.queued");
        work->stage = WORK_QUEUED;
        list_push_back(&node->meta->dirs.queue, &work->queued);
        return;
    }
    work->stage = WORK_LIST;
    join_lookups(node, work);
}

static void start_next(struct node *node)
{
    struct dirs *dirs = &node->meta->dirs;
    struct list *first;
    /* One whose askers have left starts nothing, so it is not one for one. */
    while (dirs->snapshots.used < dirs->snapshots.count &&
           (first = list_first(&dirs->queue)) != NULL) {
        struct work *work = CONTAINER_OF(first, struct work, queued);
        list_remove(first);
        work->stage = WORK_IDLE;
        work_advance(node, work);
    }
}

/* A source that is down does not take away what was listed before, where a ttl alone has passed. */
static void serve_stale(struct node *node, struct work *work)
{
    struct dir *dir = work->dir;
    for (struct list *item = work->waiters.next; item != &work->waiters;) {
        struct meta_ask *ask = CONTAINER_OF(item, struct meta_ask, waiting);
        const struct dataset *dataset = catalog_find(node, ask->dataset);
        item = item->next;
        bool may = ask->kind == META_ASK_DIR && dataset != NULL && ask->admin == 0 &&
                   dataset->policy == METADATA_TTL && dir->generation > ask->generation &&
                   dir->checked_us >= dataset->refreshed;
        if (may && dir->root != NULL && effects_roomy(node, dir->root_size)) {
            MARK(node, "dirs.stale.served");
            struct message message = {
                .kind = MESSAGE_DIR_ROOT,
                .dir_root = { .request = ask->ask.request,
                              .root = span_of(dir->root->data, dir->root_size),
                              .fresh_us = (uint64_t)STALE_US },
            };
            list_remove(&ask->waiting);
            node_send(node, ask->ask.link, &message, (struct payload){ 0 });
            meta_ask_end(node, ask);
        }
    }
}

/* A directory that does not fit the memory there is must not be listed over and over. */
static void rest_if_busy(const struct node *node, struct dir *dir, enum err err)
{
    if (err != ERR_BUSY) {
        dir->busy = 0;
        dir->rest_us = 0;
        return;
    }
    MARK(node, "dirs.busy.rest");
    dir->rest_us = node->now.mono_us + (BUSY_REST_US << dir->busy);
    dir->busy += dir->busy < BUSY_REST_MOST ? 1 : 0;
}

void dirs_on_snapshot(struct node *node, struct work *work, enum err err, struct span text)
{
    CHECK(work->stage == WORK_LIST);
    work->snapshot = NULL;
    work->stage = WORK_IDLE;
    rest_if_busy(node, work->dir, err);
    if (err == ERR_OK) {
        work->dir->listed_us = node->now.mono_us;
        work_advance(node, work);
    } else {
        if (err == ERR_SOURCE_UNREACHABLE || err == ERR_SOURCE_THROTTLED) {
            serve_stale(node, work);
        }
        work_fail(node, work, err, text);
    }
    start_next(node);
}

/* ---- the whole --------------------------------------------------------------------------- */

void work_advance(struct node *node, struct work *work)
{
    while (work->stage == WORK_IDLE) {
        switch (serve_all(node, work)) {
        case NEED_NOTHING:
            work_free_if_idle(node, work);
            return;
        case NEED_STEP:
            timers_set(&node->timers, &work->timer, node->now.mono_us);
            return;
        case NEED_LOAD:
            start_load(node, work);
            return;
        case NEED_RANKS:
            ask_ranks(node, work);
            break;
        case NEED_LIST:
            start_list(node, work);
            return;
        }
    }
}

void work_add(struct node *node, struct work *work, struct meta_ask *ask)
{
    list_push_back(&work->waiters, &ask->waiting);
    if (work->stage == WORK_IDLE) {
        work_advance(node, work);
        return;
    }
    bool waits = serve(node, work, ask) != NEED_NOTHING;
    if (waits && work->stage == WORK_LIST) {
        lookup_join(node, work->snapshot, ask);
    }
}

void dirs_on_work_timer(struct node *node, struct work *work)
{
    switch (work->stage) {
    case WORK_FAIL:
        fail_all(node, work);
        return;
    case WORK_REST:
        work->stage = WORK_IDLE;
        work_advance(node, work);
        return;
    case WORK_IDLE:
        work_advance(node, work);
        return;
    case WORK_LOAD:
    case WORK_RANKS:
    case WORK_QUEUED:
    case WORK_LIST:
        return; /* set in an earlier stage */
    }
    BUG("a stage that is none");
}
