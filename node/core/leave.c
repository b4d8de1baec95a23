/* node/core/leave.c: waiting for those who need what this node has. */
#include "node/core/leave.h"

#include "node/core/internal.h"
#include "node/core/moves.h"

#define ASK_EVERY_US MSEC(100)
#define PATIENCE_US SEC(2)  /* for one that says nothing at all */
#define ASK_MOST_US SEC(10) /* for all of them: somebody may be wrong, or lie */
#define LAST_US SEC(5)      /* for what is in hand when all is handed over */

void leave_init(struct node *node)
{
    node->leave.timer.kind = TIMER_LEAVE;
    node->leave.ask.kind = TIMER_LEAVE_ASK;
}

void leave_start(struct node *node)
{
    if (!node->leaving) {
        node->leaving = true;
        node->handover.told_us = node->now.mono_us;
        timers_set(&node->timers, &node->leave.timer, node->now.mono_us + node->options.drain_us);
        handover_wake(node);
        moves_wake(node);
    }
}

static void say_drained(struct node *node)
{
    node->leave.drained = true;
    timers_cancel(&node->timers, &node->leave.timer);
    timers_cancel(&node->timers, &node->leave.ask);
    handover_tell_end(node);
    effects_push(node, &(struct node_effect){ .kind = NODE_DRAINED });
}

void leave_on_timer(struct node *node)
{
    MARK(node, "node.leave.late");
    say_drained(node);
}

/* ---- who may need something yet ------------------------------------------------------------ */

/* Not one that lets us go, and none that has said nothing for a while, whether its link is open or
 * not. */
static bool holds_us(const struct node *node, const struct peer *peer)
{
    usec_t heard_us = usec_max(peer->heard_us, node->leave.asked_us);
    return !peer->lets_go && node_active(node) - heard_us < PATIENCE_US;
}

/* false: no room in this step. */
static bool ask(struct node *node, struct peer *peer)
{
    const struct message message = { .kind = MESSAGE_VIEW_GET,
                                     .view_get = { .digest = node->rings.digest, .leaving = 1 } };
    if (node->now.mono_us < peer->leave_asked_us + ASK_EVERY_US) {
        return true;
    }
    if (!effects_roomy(node, 0)) {
        return false;
    }
    if (peer_send(node, peer->id, LINK_CONTROL, &message)) {
        peer->leave_asked_us = node->now.mono_us;
    }
    return true;
}

void leave_on_ask_timer(struct node *node)
{
    struct leave *leave = &node->leave;
    bool held = false;
    if (node_active(node) - leave->asked_us >= ASK_MOST_US) {
        MARK(node, "leave.ask.over");
        leave->let_go = true;
        return;
    }
    for (struct list *item = node->peers.all.next; item != &node->peers.all; item = item->next) {
        struct peer *peer = CONTAINER_OF(item, struct peer, all);
        if (!holds_us(node, peer)) {
            continue;
        }
        held = true;
        if (!ask(node, peer)) {
            MARK(node, "leave.ask.later");
            timers_set(&node->timers, &leave->ask, node->now.mono_us);
            return;
        }
    }
    leave->let_go = !held;
    if (held) {
        timers_set(&node->timers, &leave->ask, node->now.mono_us + ASK_EVERY_US);
    }
}

void leave_on_peer_view(struct node *node, struct peer *peer, const struct message_view *view)
{
    peer->lets_go = node->leaving && view->directories != MOVES_UNDER_WAY;
}

static void ask_first(struct node *node)
{
    for (struct list *item = node->peers.all.next; item != &node->peers.all; item = item->next) {
        CONTAINER_OF(item, struct peer, all)->lets_go = false;
    }
    node->leave.asked_us = node_active(node);
    leave_on_ask_timer(node);
}

/* There is something to hand over (again): what was said before it does not count. */
static void ask_anew(struct node *node)
{
    node->leave.asked_us = 0;
    node->leave.let_go = false;
    timers_cancel(&node->timers, &node->leave.ask);
}

/* ---- the end ------------------------------------------------------------------------------- */

/* What this node has is with others, and nobody needs it any more. */
static void look_at_handover(struct node *node)
{
    struct leave *leave = &node->leave;
    if (!handover_is_over(node)) {
        ask_anew(node);
        return;
    }
    if (leave->asked_us == 0) {
        ask_first(node);
    }
    if (leave->let_go) {
        usec_t at_us = usec_min(leave->timer.at_us, node->now.mono_us + LAST_US);
        leave->handed_over = true;
        timers_set(&node->timers, &leave->timer, at_us);
    }
}

void leave_look(struct node *node)
{
    struct leave *leave = &node->leave;
    if (!node->leaving || leave->drained) {
        return;
    }
    if (!leave->handed_over) {
        look_at_handover(node);
    }
    if (leave->handed_over && node->asks.open == 0 && node->sends.bytes == 0 &&
        store_is_idle(node)) {
        say_drained(node);
    }
}
