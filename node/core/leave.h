/* node/core/leave.h: the way out.
 *
 * What this node has goes to others (handover.h, moves.h), and who sees to directories may still
 * have to read a page from here: so each peer is asked until it says that it has been through its
 * own with the ring without this node. Then what is in hand ends, and DRAINED is said; or the time
 * for it (node_options.drain_us) is over. */
#pragma once
#include <stdbool.h>

#include "base/time.h"
#include "base/timers.h"

struct node;
struct peer;
struct message_view;

struct leave {
    struct timer timer; /* until then at most */
    struct timer ask;
    usec_t asked_us;  /* active time (node_active) of the first question; 0: none yet */
    bool let_go;      /* by all that could answer */
    bool handed_over; /* what could be is, and all let go */
    bool drained;     /* was said */
};

void leave_init(struct node *node);
void leave_start(struct node *node);
/* At the end of each step: is it over? */
void leave_look(struct node *node);
void leave_on_timer(struct node *node);
void leave_on_ask_timer(struct node *node);
void leave_on_peer_view(struct node *node, struct peer *peer, const struct message_view *view);
