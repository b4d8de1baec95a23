/* node/core/leave.c: waiting for those who need what this node has. */
#include "node/core/leave.h"

#include "node/core/internal.h"
#include "node/core/moves.h"

#define ASK_EVERY_US MSEC(100)
#define PATIENCE_US SEC(2) /* for one that says nothing at all */
#define LAST_US SEC(5)     /* for what is in hand when all is handed over */

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

/* One that is not there, or says nothing, is not waited for. */
static bool holds_us(const struct node *node, const struct peer *peer)
{
    usec_t heard_us = usec_max(peer->heard_us, node->leave.asked_us);
    return !peer->lets_go && node_active(node) - heard_us < PATIENCE_US;
}

void leave_on_ask_timer(struct node *node)
{
    const struct message ask = { .kind = MESSAGE_VIEW_GET,
                                 .view_get = { .digest = node->rings.digest, .leaving = 1 } };
    bool held = false;
    struct peer *peer = NULL;
    while ((peer = peers_next_open(node, peer)) != NULL) {
        if (!holds_us(node, peer)) {
            continue;
        }
        held = true;
        if (node->now.mono_us < peer->leave_asked_us + ASK_EVERY_US) {
            continue;
        }
        if (!effects_roomy(node, 0)) {
            MARK(node, "leave.ask.later");
            timers_set(&node->timers, &node->leave.ask, node->now.mono_us);
            return;
        }
        (void)peer_send(node, peer->id, LINK_CONTROL, &ask);
        peer->leave_asked_us = node->now.mono_us;
    }
    node->leave.let_go = !held;
    if (held) {
        timers_set(&node->timers, &node->leave.ask, node->now.mono_us + ASK_EVERY_US);
    }
}

void leave_on_peer_view(struct node *node, struct peer *peer, const struct message_view *view)
{
    peer->lets_go = node->leaving && view->directories != MOVES_UNDER_WAY;
}

/* ---- the end ------------------------------------------------------------------------------- */

static void ask_first(struct node *node)
{
    node->leave.asked_us = node_active(node);
    leave_on_ask_timer(node);
}

void leave_look(struct node *node)
{
    struct leave *leave = &node->leave;
    if (!node->leaving || leave->drained) {
        return;
    }
    if (!leave->handed_over && handover_is_over(node)) {
        if (leave->asked_us == 0) {
            ask_first(node);
        }
        if (leave->let_go) {
            usec_t at_us = usec_min(leave->timer.at_us, node->now.mono_us + LAST_US);
            leave->handed_over = true;
            timers_set(&node->timers, &leave->timer, at_us);
        }
    }
    if (leave->handed_over && node->asks.open == 0 && node->sends.bytes == 0 &&
        store_is_idle(node)) {
        say_drained(node);
    }
}
