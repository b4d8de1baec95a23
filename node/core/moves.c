/* node/core/moves.c: the walk over directories, and one of them on its way. */
#include "node/core/moves.h"

#include <string.h>

#include "node/core/handover.h"
#include "node/core/meta.h"

#define STEP_DIRS 64u
#define STEP_EVERY_US 200
#define WAIT_US MSEC(10)
#define QUIET_US MSEC(200) /* shorter than for blocks: who leaves next may be gone soon */
#define AGAIN_FIRST_US SEC(1)
#define AGAIN_MOST_US SEC(30)
#define AGAIN_LEAVING_US MSEC(200)
#define AGAIN_TRIES 8u

size_t moves_memory(void)
{
    return MOVES_MAX * sizeof(struct move) + 16;
}

enum err moves_init(struct moves *moves, struct arena *mem)
{
    moves->timer.kind = TIMER_MOVES;
    moves->settled = true;
    moves->tried = true;
    moves->all = arena_array(mem, MOVES_MAX, sizeof *moves->all);
    return moves->all == NULL ? ERR_NOMEM : ERR_OK;
}

void moves_wake(struct node *node)
{
    struct moves *moves = &node->meta->moves;
    moves->walking = false;
    moves->settled = false;
    moves->tried = false;
    moves->tries = 0;
    timers_set(&node->timers, &moves->timer, node->now.mono_us + (node->leaving ? 0 : QUIET_US));
}

bool moves_are_over(const struct node *node)
{
    return node->meta->moves.settled && node->meta->moves.open == 0;
}

enum moves_said moves_without(const struct node *node, struct node_id leaver)
{
    const struct member *member = view_find(node->rings.view, leaver);
    bool known =
        member == NULL || (member->state != MEMBER_OWNING && member->state != MEMBER_WARMING);
    bool tried = known && rings_are_settled(node) && node->meta->moves.tried;
    return tried ? MOVES_TRIED : MOVES_UNDER_WAY;
}

/* ---- who keeps what ------------------------------------------------------------------------ */

/* First ranks of a place in one table. */
struct keepers {
    struct node_id ids[META_COPIES];
    uint32_t count;
};

static struct keepers keepers_of(const struct ring *ring, struct place place)
{
    struct keepers keepers = { .count = 0 };
    keepers.count = ring == NULL ? 0 : ring_owners(ring, place, META_COPIES, keepers.ids);
    return keepers;
}

static bool are_equal(const struct keepers *a, const struct keepers *b)
{
    return a->count == b->count && memcmp(a->ids, b->ids, a->count * sizeof a->ids[0]) == 0;
}

/* Since the oldest table of which the hand-over is not over. */
static bool has_moved(const struct node *node, const struct rings_use *use, struct place place)
{
    const uint32_t earlier = rings_earlier(node, use);
    struct keepers now = keepers_of(use->ring, place);
    for (uint32_t i = 0; i < earlier; i++) {
        struct keepers before = keepers_of(use->old[i].ring, place);
        if (now.count > 0 && !are_equal(&before, &now)) {
            return true;
        }
    }
    return false;
}

static bool is_here(const struct node *node, struct node_id id)
{
    return node_id_equal(id, node->options.id) || peer_is_open(node, id, LINK_CONTROL);
}

static bool is_first_here(const struct node *node, const struct keepers *keepers)
{
    for (uint32_t k = 0; k < keepers->count; k++) {
        if (is_here(node, keepers->ids[k])) {
            return node_id_equal(keepers->ids[k], node->options.id);
        }
    }
    return false;
}

/* Does this node see to the directory? Whoever is the first that is there of its root's keepers in
 * some earlier table does: in which of them it was kept nobody knows, because a table may be older
 * than the directory, or have been replaced before anything had reached its keepers. So there may
 * be two who do, and never none. */
static bool is_ours(const struct node *node, const struct rings_use *use, struct place place)
{
    const uint32_t earlier = rings_earlier(node, use);
    for (uint32_t i = 0; i < earlier; i++) {
        struct keepers keepers = keepers_of(use->old[i].ring, place);
        if (is_first_here(node, &keepers)) {
            return true;
        }
    }
    return false;
}

/* ---- one directory ------------------------------------------------------------------------- */

static void go_on(struct node *node)
{
    if (node->meta->moves.walking) {
        timers_set(&node->timers, &node->meta->moves.timer, node->now.mono_us);
    }
}

static void move_end(struct node *node, struct move *move, enum err err)
{
    struct moves *moves = &node->meta->moves;
    if (err != ERR_OK) {
        MARK(node, "moves.failed");
        moves->failed++;
    }
    if (move->page != NULL) {
        buffer_unref(node, move->page);
    }
    if (move->root != NULL) {
        buffer_unref(node, move->root);
    }
    *move = (struct move){ .in_use = false };
    moves->open--;
    go_on(node);
}

static void move_next(struct node *node, struct move *move);

static void copied(struct node *node, struct copies *copies, enum err err)
{
    struct move *move = CONTAINER_OF(copies, struct move, copies);
    if (err == ERR_OK && copies->strayed) {
        MARK(node, "moves.strayed"); /* who has it now will not know that it must see to it */
        node->meta->moves.failed++;
    }
    if (err != ERR_OK || copies->kind == COPIES_ROOT) {
        node->metrics.handover_dirs += err == ERR_OK ? 1 : 0;
        move_end(node, move, err);
        return;
    }
    buffer_unref(node, move->page);
    move->page = NULL;
    move->shard++;
    move_next(node, move);
}

static void copy(struct node *node, struct move *move, struct place place)
{
    move->copies.source = move->source;
    move->copies.done = copied;
    enum err err = copies_start(node, &move->copies, span_text(move->selector), place);
    if (err != ERR_OK) {
        move_end(node, move, err);
    }
}

static void copy_page(struct node *node, struct move *move, const struct page_bytes *page)
{
    struct root root;
    struct root_shard shard;
    enum err err = root_open(span_of(move->root->data, move->root_size), &root);
    CHECK(err == ERR_OK);
    root_shard(&root, move->shard, &shard);
    buffer_ref(node, page->buffer);
    move->page = page->buffer;
    page_key_make(&move->copies.key, move->key, move->generation, shard.lower);
    move->copies.kind = COPIES_PAGE;
    move->copies.buffer = page->buffer;
    move->copies.size = page->size;
    move->copies.crc = page->crc;
    copy(node, move, place_of_shard(move->id, shard.lower));
}

static void on_page(struct node *node, struct page_waiter *waiter, const struct page_bytes *page,
                    enum err err)
{
    struct move *move = CONTAINER_OF(waiter, struct move, waiter);
    if (page == NULL) {
        move_end(node, move, err);
        return;
    }
    copy_page(node, move, page);
}

/* This page has moved: find it, and copy it. */
static void move_page(struct node *node, struct move *move, const struct root_shard *shard)
{
    struct page_search search = { .source = move->source,
                                  .has_place = true,
                                  .dir = move->id,
                                  .selector = span_text(move->selector) };
    page_key_make(&search.key, move->key, move->generation, shard->lower);
    const struct page_bytes *page = pages_find(node, &search.key);
    if (page != NULL) {
        copy_page(node, move, page);
        return;
    }
    enum err err = pages_wait(node, &search, &move->waiter);
    if (err != ERR_OK) {
        move_end(node, move, err);
    }
}

static void move_root(struct node *node, struct move *move)
{
    move->copies.kind = COPIES_ROOT;
    page_key_make(&move->copies.key, move->key, move->generation, span_of(NULL, 0));
    move->copies.buffer = move->root;
    move->copies.size = move->root_size;
    copy(node, move, place_of_root(move->id));
}

/* The next page that has moved; behind the last one the root. */
static void move_next(struct node *node, struct move *move)
{
    const struct dir *dir = dirs_find(node, move->key);
    const struct rings_use *use = rings_use(node, span_text(move->selector));
    struct root root;
    struct root_shard shard;
    if (dir == NULL || !dir->known || dir->generation != move->generation || use == NULL) {
        MARK(node, "moves.overtaken");
        move_end(node, move, ERR_OK);
        return;
    }
    enum err err = root_open(span_of(move->root->data, move->root_size), &root);
    CHECK(err == ERR_OK);
    for (; move->shard < root.shards; move->shard++) {
        root_shard(&root, move->shard, &shard);
        if (has_moved(node, use, place_of_shard(move->id, shard.lower))) {
            move_page(node, move, &shard);
            return;
        }
    }
    if (has_moved(node, use, place_of_root(move->id))) {
        move_root(node, move);
    } else {
        move_end(node, move, ERR_OK);
    }
}

/* Of which dataset is it? false: of none that is shown. */
static bool find_pool(const struct node *node, struct move *move)
{
    const struct catalog_item *item = NULL;
    while ((item = catalog_next(node, item)) != NULL) {
        const struct dataset *dataset = &item->dataset;
        if (!dataset->deleted && dirs_is_of_pool(move->id, move->key, dataset)) {
            move->source = dataset->rows[0].source;
            memcpy(move->selector, dataset->selector, strlen(dataset->selector) + 1);
            return true;
        }
    }
    return false;
}

/* The new ring may have made it this node's. */
static void count_again(struct node *node, const struct move *move, struct span prefix)
{
    struct dir *dir = dirs_find(node, move->key);
    if (dir != NULL && dir->known && dir->exists && dir->generation == move->generation) {
        dirs_count(node, dir, prefix);
    }
}

/* Its root is here. */
static void move_begin(struct node *node, struct move *move)
{
    struct root root;
    const struct rings_use *use = NULL;
    if (root_open(span_of(move->root->data, move->root_size), &root) != ERR_OK) {
        move_end(node, move, ERR_OK);
        return;
    }
    move->id = root.head.dir;
    move->generation = root.head.generation;
    count_again(node, move, root.prefix);
    if (find_pool(node, move)) {
        use = rings_use(node, span_text(move->selector));
    }
    if (use == NULL || !is_ours(node, use, place_of_root(move->id))) {
        move_end(node, move, ERR_OK);
        return;
    }
    move_next(node, move);
}

void moves_on_root(struct node *node, struct move *move, enum err err, struct span value)
{
    if (err != ERR_OK) {
        move_end(node, move, err == ERR_NOT_FOUND ? ERR_OK : err);
        return;
    }
    move->root = memory_take(node, value.size, MEMORY_META);
    if (move->root == NULL) {
        move_end(node, move, ERR_BUSY);
        return;
    }
    memcpy(move->root->data, value.data, value.size);
    move->root_size = (uint32_t)value.size;
    move_begin(node, move);
}

static void move_start(struct node *node, struct move *move, const struct dir *dir)
{
    *move = (struct move){ .in_use = true, .key = dir->key, .waiter = { .done = on_page } };
    list_init(&move->waiter.waiting);
    node->meta->moves.open++;
    if (dir->root != NULL) {
        move->root = dir->root;
        move->root_size = dir->root_size;
        buffer_ref(node, move->root);
        move_begin(node, move);
        return;
    }
    struct io_for of = { .kind = IO_MOVE_ROOT, .owner = move };
    if (io_get(node, &of, META_ROOT, span_of(dir->key.b, ID_SIZE)) == 0) {
        move_end(node, move, ERR_BUSY);
    }
}

/* ---- the walk ------------------------------------------------------------------------------ */

/* What is another's now is not counted any more, whether its root can be read or not. */
static void visit(struct node *node, struct move *move, struct dir *dir)
{
    dirs_uncount_others(node, dir);
    if (dir->known && dir->exists) {
        move_start(node, move, dir);
    }
}

static struct move *free_move(struct moves *moves)
{
    for (uint32_t i = 0; i < MOVES_MAX; i++) {
        if (!moves->all[i].in_use) {
            return &moves->all[i];
        }
    }
    return NULL;
}

static void walk_end(struct node *node)
{
    struct moves *moves = &node->meta->moves;
    moves->walking = false;
    moves->tried = true;
    timers_cancel(&node->timers, &moves->timer);
    if (moves->failed == 0 || (!node->leaving && moves->tries == AGAIN_TRIES)) {
        moves->settled = true;
        return;
    }
    usec_t delay_us = node->leaving ? AGAIN_LEAVING_US
                                    : usec_doubled(AGAIN_FIRST_US, moves->tries, AGAIN_MOST_US);
    moves->tries++;
    timers_set(&node->timers, &moves->timer, node->now.mono_us + delay_us);
}

void moves_on_timer(struct node *node)
{
    struct moves *moves = &node->meta->moves;
    const struct pool *pool = &node->meta->dirs.pool;
    struct move *move = NULL;
    uint32_t left = STEP_DIRS;
    if (!moves->walking) {
        moves->walking = true;
        moves->cursor = 0;
        moves->failed = 0;
    }
    while (moves->cursor < pool_top(pool) && left > 0 && effects_roomy(node, 0) &&
           (move = free_move(moves)) != NULL) {
        struct dir *dir = pool_at(pool, moves->cursor);
        const bool taken = pool_is_taken(pool, moves->cursor);
        moves->cursor++;
        left--;
        if (taken) {
            visit(node, move, dir);
        }
    }
    if (moves->cursor < pool_top(pool)) {
        usec_t pause_us = free_move(moves) == NULL ? WAIT_US : STEP_EVERY_US;
        timers_set(&node->timers, &moves->timer, node->now.mono_us + pause_us);
    } else if (moves->open == 0) {
        walk_end(node);
    }
}
