/* node/core/hot.c: questions for shares and their answers, and readers on their way elsewhere. */
#include "node/core/hot.h"

#include <string.h>

#include "node/core/internal.h"

#define ASK_US SEC(1) /* an answer takes no longer; who is slower is asked again later */
#define TELL_STEPS 2u /* gossip is told the load every so many steps */

size_t hot_memory(void)
{
    return shares_memory();
}

enum err hot_init(struct hot *hot, struct arena *mem, const struct node_options *options)
{
    uint64_t floor = options->hot_floor != 0 ? options->hot_floor : SHARES_FLOOR;
    hot->timer.kind = TIMER_HOT;
    return shares_init(&hot->shares, mem, options->id, floor);
}

/* ---- readers ------------------------------------------------------------------------------- */

static void say_elsewhere(struct node *node, const struct link *link, uint64_t request,
                          struct node_id to)
{
    struct message message = {
        .kind = MESSAGE_FAIL,
        .fail = { .request = request, .err = (uint64_t)ERR_ELSEWHERE, .view = node->rings.digest }
    };
    memcpy(message.fail.node, to.b, ID_SIZE);
    node_send(node, link->id, &message, (struct payload){ 0 });
}

static bool can_be_reached(const struct node *node, struct node_id id)
{
    const struct peer *peer = peer_find(node, id);
    return peer != NULL && peer->data_open && peer->control_open && !peer->silent;
}

bool hot_hands_on(struct node *node, struct link *link, const struct message_get *get,
                  struct block_id id)
{
    struct shares *shares = &node->hot.shares;
    struct node_id to;
    if (get->mode != GET_PLAIN || get->hops > 0 || link->session->role == WIRE_NODE) {
        return false;
    }
    struct shares_block block = { .id = id, .place = { get->place } };
    block.size = object_block_bytes(get->size, (uint32_t)get->block_size, id.index);
    memcpy(block.dataset.b, get->dataset, ID_SIZE);
    if (!shares_read(shares, node->now.mono_us, &block, (uint32_t)get->length,
                     get->elsewhere != 0 ? &to : NULL)) {
        return false;
    }
    if (!can_be_reached(node, to)) {
        MARK(node, "hot.holder.lost");
        shares_lost(shares, to);
        return false;
    }
    MARK(node, "hot.handed_on");
    node->metrics.handed_on++;
    node->metrics.handed_on_bytes += get->length;
    say_elsewhere(node, link, get->request, to);
    return true;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* Only in the pool of the dataset, and only for what is ours. */
static bool find_place(void *owner, const struct shares_block *block, uint32_t nth,
                       struct node_id *out)
{
    struct node *node = owner;
    const struct dataset *dataset = catalog_find(node, block->dataset);
    if (dataset == NULL || node->leaving) {
        return false;
    }
    struct span selector = span_text(dataset->selector);
    struct place place = shares_place(block->place, nth);
    return rings_is_owner(node, selector, block->place) &&
           rings_owners(node, selector, place, 1, out) == 1 && can_be_reached(node, *out);
}

static void ask(struct node *node, uint32_t number)
{
    struct shares *shares = &node->hot.shares;
    const struct shares_ask *ask = shares_ask(shares, number);
    struct message message = { .kind = MESSAGE_SHARE_ASK,
                               .share_ask = { .index = ask->block.id.index,
                                              .rate = ask->rate,
                                              .had = ask->had,
                                              .mean = ask->mean } };
    memcpy(message.share_ask.object, ask->block.id.object.b, ID_SIZE);
    memcpy(message.share_ask.dataset, ask->block.dataset.b, ID_SIZE);
    node->metrics.share_asks++;
    /* An older node does not know the question, and is well all the same: own_signs. */
    uint64_t call = call_start(node, ask->node, &message,
                               &(struct call_options){ .kind = CALL_SHARE,
                                                       .purpose = LINK_CONTROL,
                                                       .silence_us = ASK_US,
                                                       .deadline_us = node->now.mono_us + ASK_US,
                                                       .own_signs = true,
                                                       .tag = number });
    if (call == 0) {
        MARK(node, "hot.ask.no_link");
        shares_unanswered(shares, number);
    }
}

/* What the room of this step leaves is asked after the next answer, or step. */
static void ask_others(struct node *node)
{
    const struct shares_places places = { .find = find_place, .owner = node };
    uint32_t number;
    while (effects_roomy(node, 0) &&
           shares_next(&node->hot.shares, node->now.mono_us, &places, &number)) {
        ask(node, number);
    }
}

enum call_more hot_on_answer(struct node *node, const struct call *call,
                             const struct message *message, struct payload payload)
{
    struct shares *shares = &node->hot.shares;
    uint32_t number = (uint32_t)call->options.tag;
    node_release(node, payload);
    if (message->kind != MESSAGE_SHARE) {
        MARK(node, "hot.ask.refused");
        shares_unanswered(shares, number);
    } else {
        const struct shares_ask *ask = shares_ask(shares, number);
        if (message->share.rate > 0) {
            node->metrics.shares_obtained++;
            lent_note(&node->hot.lent, ask->block.id, ask->node);
        }
        shares_granted(shares, node->now.mono_us, number, message->share.rate, message->share.load);
    }
    ask_others(node);
    return CALL_DONE;
}

void hot_on_failure(struct node *node, const struct call *call)
{
    MARK(node, "hot.ask.unanswered");
    shares_unanswered(&node->hot.shares, (uint32_t)call->options.tag);
}

/* ---- being asked ------------------------------------------------------------------------------ */

void hot_on_share_ask(struct node *node, struct link *link, const struct message_share_ask *ask)
{
    struct shares *shares = &node->hot.shares;
    struct dataset_id dataset;
    struct message answer = { .kind = MESSAGE_SHARE, .share = { .request = ask->request } };
    memcpy(dataset.b, ask->dataset, ID_SIZE);
    /* Who leaves, or does not yet know what it will be asked for, takes nobody. */
    if (!node->leaving && node->owning && catalog_find(node, dataset) != NULL) {
        answer.share.rate = shares_grant(shares, ask->rate, ask->had, ask->mean);
    }
    node->metrics.shares_granted += answer.share.rate > 0 ? 1 : 0;
    answer.share.load = meter_now(&shares->meter);
    node_send(node, link->id, &answer, (struct payload){ 0 });
}

/* ---- time ------------------------------------------------------------------------------------ */

void hot_wake(struct node *node)
{
    if (!timer_is_set(&node->hot.timer)) {
        timers_set(&node->timers, &node->hot.timer, node->now.mono_us + SHARES_STEP_US);
    }
}

void hot_on_timer(struct node *node)
{
    struct hot *hot = &node->hot;
    shares_step(&hot->shares, node->now.mono_us);
    hot->steps++;
    if (hot->steps % TELL_STEPS == 0) {
        effects_push(node, &(struct node_effect){ .kind = NODE_LOAD,
                                                  .load = { meter_now(&hot->shares.meter) } });
    }
    ask_others(node);
    if (!list_is_empty(&node->peers.all)) {
        hot_wake(node);
    }
}

void hot_on_loads(struct node *node, const uint64_t *rates, uint32_t count)
{
    meter_told(&node->hot.shares.meter, rates, count);
}
