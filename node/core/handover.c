/* node/core/handover.c: the walk over what this node holds, and the offers it makes. */
#include "node/core/handover.h"

#include "base/hash.h"
#include "node/core/flights.h"
#include "node/core/internal.h"
#include "node/core/meta.h"

#define GIVES_MAX 64u    /* nodes that are offered something at the same time */
#define STEP_BLOCKS 512u /* looked at in one step, some tens of microseconds */
#define STEP_EVERY_US 200
#define WAIT_US MSEC(10) /* for answers, which end it sooner */
#define OFFER_ROOM ((size_t)2 * HANDOVER_ENTRIES_MAX * HANDOVER_ENTRY_SIZE)
#define OFFER_SILENCE_US SEC(1) /* to begin one anew costs more than a moment's patience */
#define SLOW_US SEC(1)          /* the walk does not wait longer for one that takes its time */
#define AGAIN_FIRST_US SEC(1)   /* after a walk that left something */
#define AGAIN_MOST_US SEC(30)
#define AGAIN_TRIES 8u /* then not before the next change */
#define AGAIN_LEAVING_FIRST_US MSEC(50)
#define AGAIN_LEAVING_MOST_US SEC(2)
#define TELL_EVERY_US SEC(5)

static uint32_t gives_max(const struct node_options *options)
{
    uint32_t members = node_members_max(options);
    return members < GIVES_MAX ? members : GIVES_MAX;
}

size_t handover_give_memory(const struct node_options *options)
{
    return gives_max(options) * sizeof(struct give) + 16;
}

enum err handover_give_init(struct handover *handover, struct arena *mem,
                            const struct node_options *options)
{
    handover->timer.kind = TIMER_HANDOVER;
    handover->settled = true;
    handover->give_count = gives_max(options);
    handover->gives = arena_array(mem, handover->give_count, sizeof *handover->gives);
    return handover->gives == NULL ? ERR_NOMEM : ERR_OK;
}

void handover_wake(struct node *node)
{
    struct handover *handover = &node->handover;
    usec_t quiet_us = node->leaving ? 0 : HANDOVER_QUIET_US;
    handover->walking = false;
    handover->settled = false;
    handover->tries = 0;
    timers_set(&node->timers, &handover->timer, node->now.mono_us + quiet_us);
}

/* ---- whose a block is ---------------------------------------------------------------------- */

/* The ring of one dataset: blocks of one follow each other. */
struct pool_of {
    struct dataset_id dataset;
    const struct ring *ring;
    bool is_known;
};

static const struct ring *ring_of(struct node *node, struct dataset_id id, struct pool_of *last)
{
    if (last->is_known && dataset_id_equal(last->dataset, id)) {
        return last->ring;
    }
    const struct dataset *dataset = catalog_find(node, id);
    *last = (struct pool_of){ .dataset = id, .is_known = true };
    if (dataset != NULL) {
        last->ring = rings_current(node, span_text(dataset->selector));
    }
    return last->ring;
}

/* To whom it was handed over: that process, not one that comes after it with an empty memory. */
static uint32_t mark_of(const struct peer *peer)
{
    uint64_t hash = hash64_mix(get_u64(peer->id.b), peer->incarnation);
    return (uint32_t)(hash >> 32) | 1;
}

bool handover_can_tell(const struct block *block)
{
    return handover_knows(block) || block->segment != NULL;
}

/* The owner when that is another node, which has not got the block from here; else NULL. */
static const struct peer *goes_to(struct node *node, const struct block *block,
                                  struct pool_of *last)
{
    struct node_id owner;
    const struct ring *ring = ring_of(node, block->dataset, last);
    if (ring == NULL || ring_owners(ring, block->place, 1, &owner) == 0 ||
        node_id_equal(owner, node->options.id)) {
        return NULL;
    }
    const struct peer *peer = peer_find(node, owner);
    return peer == NULL || block->given == mark_of(peer) ? NULL : peer;
}

/* ---- offers -------------------------------------------------------------------------------- */

static void encode_entry(const struct block *block, uint8_t *at)
{
    memcpy(at, block->id.object.b, ID_SIZE);
    put_u32(at + 16, block->id.index);
    put_u32(at + 20, block->size);
    put_u64(at + 24, block->place.v);
    memcpy(at + 32, block->dataset.b, ID_SIZE);
}

/* NULL: it has been thrown out meanwhile. */
static struct block *block_of(const struct node *node, const struct give *give, uint32_t index)
{
    struct block *block = pool_at(&node->blocks.pool, give->entries[index].block);
    bool same = pool_is_taken(&node->blocks.pool, give->entries[index].block) && block->offered &&
                (uint32_t)block_id_hash(block->id) == give->entries[index].hash;
    return same ? block : NULL;
}

static void give_end(struct node *node, struct give *give)
{
    *give = (struct give){ .in_use = false };
    if (node->handover.walking) {
        timers_set(&node->timers, &node->handover.timer, node->now.mono_us);
    }
}

/* None of its entries has come to an end. */
void handover_on_offer_lost(struct node *node, struct give *give)
{
    MARK(node, "handover.offer.lost");
    for (uint32_t i = 0; i < give->count; i++) {
        struct block *block = block_of(node, give, i);
        if (block != NULL) {
            block->offered = false;
        }
    }
    node->handover.unsettled += give->count;
    give_end(node, give);
}

static void offer(struct node *node, struct give *give)
{
    uint8_t *entries = scratch_take(node, HANDOVER_ENTRIES_MAX * HANDOVER_ENTRY_SIZE);
    uint32_t count = 0;
    CHECK(give->call == 0 && give->count > 0);
    for (uint32_t i = 0; i < give->count; i++) {
        const struct block *block = block_of(node, give, i);
        if (block != NULL) {
            encode_entry(block, entries + (size_t)count * HANDOVER_ENTRY_SIZE);
            give->entries[count] = give->entries[i];
            count++;
        }
    }
    give->count = count;
    if (count == 0) {
        give_end(node, give);
        return;
    }
    struct message message = {
        .kind = MESSAGE_BLOCK_OFFER,
        .block_offer = { .entries = span_of(entries, (size_t)count * HANDOVER_ENTRY_SIZE) }
    };
    give->since_us = node->now.mono_us;
    give->call =
        call_start(node, give->to, &message,
                   &(struct call_options){ .kind = CALL_BLOCK_OFFER,
                                           .purpose = LINK_CONTROL,
                                           .silence_us = OFFER_SILENCE_US,
                                           .deadline_us = node->now.mono_us + HANDOVER_OFFER_US,
                                           .own_signs = true,
                                           .owner = give });
    node->metrics.handover_offers++;
    if (give->call == 0) {
        handover_on_offer_lost(node, give);
    }
}

/* One entry is settled, for this process of that owner. */
static void count_end(struct node *node, struct block *block, enum handover_end end, uint32_t mark)
{
    struct handover *handover = &node->handover;
    struct metrics *metrics = &node->metrics;
    block->offered = false;
    if (end == HANDOVER_DECLINED || end == HANDOVER_FAILED) {
        metrics->handover_declined += end == HANDOVER_DECLINED ? 1 : 0;
        metrics->handover_failed += end == HANDOVER_FAILED ? 1 : 0;
        handover->unsettled++;
        return;
    }
    block->given = mark;
    handover->left -= handover->left > 0 ? 1 : 0;
    handover->left_bytes -= handover->left_bytes < block->size ? handover->left_bytes : block->size;
    if (end == HANDOVER_TAKEN) {
        handover->given_now++;
        metrics->handover_given++;
        metrics->handover_given_bytes += block->size;
    } else if (end == HANDOVER_HAD) {
        metrics->handover_had++;
    } else {
        metrics->handover_full++;
    }
}

void handover_on_offered(struct node *node, struct give *give, const struct message *message)
{
    const struct message_block_offered *offered = &message->block_offered;
    const struct peer *peer = peer_find(node, give->to);
    give->call = 0;
    if (message->kind != MESSAGE_BLOCK_OFFERED || offered->ends.size != give->count ||
        peer == NULL) {
        handover_on_offer_lost(node, give);
        return;
    }
    bool declined = false;
    for (uint32_t i = 0; i < give->count; i++) {
        uint8_t end = offered->ends.data[i];
        struct block *block = block_of(node, give, i);
        bool is_end = end >= HANDOVER_HAD && end <= HANDOVER_FULL;
        declined |= end == HANDOVER_DECLINED;
        if (block != NULL) {
            count_end(node, block, is_end ? (enum handover_end)end : HANDOVER_FAILED,
                      mark_of(peer));
        }
    }
    if (declined) {
        MARK(node, "handover.declined");
        peers_compare_views(node, give->to);
    }
    give_end(node, give);
}

/* ---- the walk ------------------------------------------------------------------------------ */

static struct give *give_of(struct node *node, struct node_id to)
{
    struct handover *handover = &node->handover;
    struct give *spare = NULL;
    for (uint32_t i = 0; i < handover->give_count; i++) {
        struct give *give = &handover->gives[i];
        if (give->in_use && node_id_equal(give->to, to)) {
            return give;
        }
        spare = give->in_use || spare != NULL ? spare : give;
    }
    if (spare != NULL) {
        spare->in_use = true;
        spare->to = to;
    }
    return spare;
}

/* Those that are being filled go out; how many have no answer. */
static uint32_t offer_all(struct node *node)
{
    struct handover *handover = &node->handover;
    uint32_t open = 0;
    for (uint32_t i = 0; i < handover->give_count; i++) {
        struct give *give = &handover->gives[i];
        if (give->in_use && give->call == 0 && effects_roomy(node, OFFER_ROOM)) {
            offer(node, give);
        }
        open += give->in_use ? 1 : 0;
    }
    return open;
}

/* false: the walk has to wait. */
static bool add(struct node *node, struct block *block, struct node_id owner)
{
    struct give *give = give_of(node, owner);
    if (give == NULL) {
        MARK(node, "handover.many_owners");
        (void)offer_all(node);
        return false;
    }
    if (give->call != 0) {
        bool slow = node->now.mono_us - give->since_us >= SLOW_US;
        node->handover.passed += slow ? 1 : 0; /* others do not wait for it */
        return slow;
    }
    if (give->count > 0 && give->bytes + block->size > HANDOVER_BYTES_MAX) {
        offer(node, give);
        return false;
    }
    give->entries[give->count].block = pool_index(&node->blocks.pool, block);
    give->entries[give->count].hash = (uint32_t)block_id_hash(block->id);
    give->count++;
    give->bytes += block->size;
    block->offered = true;
    if (give->count == HANDOVER_ENTRIES_MAX || give->bytes >= HANDOVER_BYTES_MAX) {
        offer(node, give);
    }
    return true;
}

bool handover_keep_copy(struct node *node, struct block *block)
{
    CHECK(block->copy);
    if (!block_is_whole(block) || block->object == NULL) {
        return false;
    }
    MARK(node, "handover.copy.kept");
    block->copy = false;
    store_offer(node, block, block->object);
    return true;
}

bool handover_owns(struct node *node, struct dataset_id dataset, struct place place)
{
    const struct dataset *found = catalog_find(node, dataset);
    return found != NULL && rings_is_owner(node, span_text(found->selector), place);
}

/* false: the walk has to wait, and looks at this one again. */
static bool visit(struct node *node, struct block *block, struct pool_of *last)
{
    struct handover *handover = &node->handover;
    const struct peer *peer = goes_to(node, block, last);
    bool whole = block_is_whole(block);
    if (peer == NULL) {
        if (block->copy && handover_owns(node, block->dataset, block->place)) {
            (void)handover_keep_copy(node, block);
        }
        return true;
    }
    if (!handover_can_tell(block)) {
        bool comes = block->flight != NULL;
        handover->unsettled += comes && handover->pass == HANDOVER_ALL ? 1 : 0;
        handover->untold += whole && handover->pass == HANDOVER_COUNT ? 1 : 0;
        return true;
    }
    switch (handover->pass) {
    case HANDOVER_COUNT:
        handover->left++;
        handover->left_bytes += block->size;
        return true;
    case HANDOVER_MEMORY:
        return block->offered || !whole || add(node, block, peer->id);
    case HANDOVER_ALL:
        return block->offered || add(node, block, peer->id);
    }
    BUG("a pass of no kind");
}

static void text_left(const struct handover *handover, struct text *text)
{
    text_str(text, " left=");
    text_u64(text, handover->left + handover->untold);
    text_str(text, " left_bytes=");
    text_u64(text, handover->left_bytes);
}

static void tell(struct node *node, enum log_level level, const char *event)
{
    char line[192];
    struct text text;
    text_init(&text, line, sizeof line);
    text_str(&text, event);
    text_str(&text, " given=");
    text_u64(&text, node->metrics.handover_given);
    text_str(&text, " given_bytes=");
    text_u64(&text, node->metrics.handover_given_bytes);
    text_left(&node->handover, &text);
    node_log(node, level, &text);
    node->handover.told_us = node->now.mono_us;
}

void handover_tell_end(struct node *node)
{
    bool all = node->handover.left + node->handover.untold == 0;
    tell(node, all ? LOG_INFO : LOG_WARN, "handover.end");
}

static void walk_begin(struct node *node)
{
    struct handover *handover = &node->handover;
    if (!store_is_ready(node) || !catalog_is_loaded(node)) {
        return; /* that wakes it again */
    }
    handover->walking = true;
    handover->pass = HANDOVER_COUNT;
    handover->cursor = 0;
    handover->passed = 0;
    handover->unsettled = 0;
    handover->untold = 0;
    handover->left = 0;
    handover->left_bytes = 0;
    timers_set(&node->timers, &handover->timer, node->now.mono_us + STEP_EVERY_US);
}

/* All were looked at, and nothing is open. */
static void walk_end(struct node *node)
{
    struct handover *handover = &node->handover;
    handover->walking = false;
    timers_cancel(&node->timers, &handover->timer);
    if (handover->unsettled == 0 || (!node->leaving && handover->tries == AGAIN_TRIES)) {
        handover->settled = true;
        if (handover->given_now > 0 || handover->unsettled > 0) {
            tell(node, handover->unsettled == 0 ? LOG_INFO : LOG_WARN, "handover.walked");
        }
        handover->given_now = 0;
        return;
    }
    MARK(node, "handover.again");
    usec_t first_us = node->leaving ? AGAIN_LEAVING_FIRST_US : AGAIN_FIRST_US;
    usec_t most_us = node->leaving ? AGAIN_LEAVING_MOST_US : AGAIN_MOST_US;
    usec_t delay_us = usec_doubled(first_us, handover->tries, most_us);
    handover->tries++;
    timers_set(&node->timers, &handover->timer, node->now.mono_us + delay_us);
}

static void pass_end(struct node *node)
{
    struct handover *handover = &node->handover;
    if (handover->pass != HANDOVER_ALL) {
        handover->pass = handover->pass == HANDOVER_COUNT ? HANDOVER_MEMORY : HANDOVER_ALL;
        handover->cursor = 0;
        timers_set(&node->timers, &handover->timer, node->now.mono_us + STEP_EVERY_US);
    } else if (offer_all(node) > 0) {
        timers_set(&node->timers, &handover->timer, node->now.mono_us + WAIT_US);
    } else if (handover->passed > 0) {
        handover->passed = 0;
        handover->cursor = 0;
        timers_set(&node->timers, &handover->timer, node->now.mono_us + STEP_EVERY_US);
    } else {
        walk_end(node);
    }
}

void handover_on_timer(struct node *node)
{
    struct handover *handover = &node->handover;
    const struct pool *pool = &node->blocks.pool;
    struct pool_of last = { .is_known = false };
    if (!handover->walking) {
        walk_begin(node);
        return;
    }
    if (node->leaving && node->now.mono_us - handover->told_us >= TELL_EVERY_US) {
        tell(node, LOG_INFO, "handover.giving");
    }
    for (uint32_t i = 0; i < STEP_BLOCKS && handover->cursor < pool_top(pool); i++) {
        struct block *block = pool_at(pool, handover->cursor);
        if (!effects_roomy(node, OFFER_ROOM)) {
            break;
        }
        if (pool_is_taken(pool, handover->cursor) && !visit(node, block, &last)) {
            timers_set(&node->timers, &handover->timer, node->now.mono_us + WAIT_US);
            return;
        }
        handover->cursor++;
    }
    if (handover->cursor < pool_top(pool)) {
        timers_set(&node->timers, &handover->timer, node->now.mono_us + STEP_EVERY_US);
    } else {
        pass_end(node);
    }
}

bool handover_is_over(const struct node *node)
{
    const struct handover *handover = &node->handover;
    const struct member *self = view_find(node->rings.view, node->options.id);
    if (list_is_empty(&node->peers.all)) {
        return true;
    }
    bool known = self != NULL && (self->state == MEMBER_LEAVING || !member_lives(self));
    return known && rings_are_settled(node) && handover->settled && moves_are_over(node);
}
