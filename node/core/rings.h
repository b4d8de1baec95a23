/* node/core/rings.h: the view, and a ring for each selector in use with the ones before it.
 *
 * Everybody's ring has a place of its own. The other RINGS_MAX - 1 go to selectors that are asked
 * for, and what they leave to those that the catalog's living datasets name, in its order, whether
 * or not anybody asks: their rings are built as soon as the dataset is known, at most
 * options.rings_ahead of them, with one earlier table each. Where there are more, one that is asked for takes the place of one that nobody has asked for during ten minutes; with
 * none such it has no ring (rings_use: NULL), and what wants one is told BUSY. A ring that no living
 * dataset names, and nobody has asked for, goes after a minute: a dataset that was made again
 * meanwhile finds its earlier owners. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/time.h"
#include "base/timers.h"
#include "node/core/node.h"
#include "ring/ring.h"
#include "ring/view.h"
#include "wire/message.h"

#define RINGS_MAX 16
#define RINGS_KEPT 8             /* earlier tables of a selector */
#define RING_HANDOVER_US SEC(60) /* an earlier owner is asked before the source that long */
#define RING_BORROW_US SEC(30)
#define RINGS_BORROWED_MAX 64
#define SELECTOR_MAX 128

struct link;
struct session;

/* A record of a peer that is newer than what gossip told: believed for a while, until gossip says
 * the same. */
struct rings_borrowed {
    struct node_id node;
    usec_t until_us;
};

/* The newest of them stays when the hand-over is over, so that one can see what has moved. */
struct rings_old {
    const struct ring *ring;
    usec_t until_us; /* of the hand-over */
};

struct rings_use {
    char selector[SELECTOR_MAX + 1];
    uint32_t selector_size;
    bool in_use;
    const struct ring *ring;          /* NULL: not yet built */
    struct rings_old old[RINGS_KEPT]; /* newest first */
    uint32_t old_count;
    uint64_t built_view; /* digest of the view that `ring`, or the build under way, is of */
    usec_t changed_us;   /* `ring` took the place of old[0] */
    bool named;          /* by a living dataset */
    bool asked;          /* for, since it is here */
    usec_t asked_us;     /* the last time */
    usec_t needed_us;    /* asked for or known to be named the last time */
};

/* A ring as it would be, for an operator. */
struct rings_trial {
    uint64_t build; /* id of its RING_BUILD; 0: there is none */
    uint64_t admin;
    char selector[SELECTOR_MAX + 1];
    uint32_t selector_size;
};

struct rings {
    struct view *view;
    bool gathering;   /* too little is known yet to say who owns */
    uint64_t digest;  /* of the view */
    uint8_t *encoded; /* the living and the dead, back to back, for VIEW */
    size_t encoded_room;
    size_t encoded_size;
    struct rings_use use[RINGS_MAX];
    uint64_t building; /* id of the RING_BUILD under way, 0; one at a time */
    struct rings_use *building_for;
    struct rings_trial trial;
    uint32_t *lost; /* room for ring_compare, and of forget_missing */
    uint32_t *gained;
    struct member *gossip; /* what gossip said last */
    uint32_t gossip_count;
    struct rings_borrowed borrowed[RINGS_BORROWED_MAX]; /* records that gossip has not confirmed */
    uint32_t borrowed_count;
    struct timer timer;     /* earlier tables expire */
    struct timer tell;      /* views go out to subscribers */
    struct list subscribed; /* sessions that have the newest view */
    struct list stale;      /* sessions that do not */
};

size_t rings_memory(const struct node_options *options);
enum err rings_init(struct rings *rings, struct arena *mem, const struct node_options *options)
    MUST_USE;

/* Somebody asks for the ring of this selector; it is built when it is new. NULL: too many
 * selectors. */
struct rings_use *rings_use(struct node *node, struct span selector);
/* The same; NULL also: not built yet. */
const struct ring *rings_current(struct node *node, struct span selector);
/* Up to `want` nodes of `place`, preferred first (this node may be one); 0 without a ring. */
uint32_t rings_owners(struct node *node, struct span selector, struct place place, uint32_t want,
                      struct node_id *out);
/* Owners of `place` in earlier tables still in hand-over, newest first, distinct, without `this`
 * node and the present owner; at most RINGS_KEPT. */
uint32_t rings_previous(struct node *node, struct span selector, struct place place,
                        struct node_id *out);
bool rings_is_owner(struct node *node, struct span selector, struct place place);
static inline bool member_lives(const struct member *member)
{
    return member->state != MEMBER_DEAD && member->state != MEMBER_LEFT;
}
/* The ring in use of this selector, for who only looks; NULL: none. */
struct rings_use *rings_find(struct node *node, struct span selector);
/* Does a living dataset have this selector (which is not empty)? */
bool rings_is_named(const struct node *node, struct span selector);
/* A record with a selector has come, or has taken the place of one. */
void rings_on_catalog(struct node *node);

/* What a selector lacks for its ring to have an owner, by the present view. */
enum rings_lack { RINGS_LACK_NOTHING, RINGS_LACK_WEIGHT, RINGS_LACK_LABELS };
enum rings_lack rings_lack(const struct node *node, struct span selector);
/* How many earlier tables are still in hand-over. */
uint32_t rings_earlier(const struct node *node, const struct rings_use *use);
/* Somebody still hands over: earlier tables are kept for another minute. */
void rings_prolong(struct node *node);
/* Is every ring in use that of the present view? */
bool rings_are_settled(const struct node *node);
/* Have a ring built of these members (in scratch bytes) as they would be; report_ring_trial gets it.
 * false: one is being built. */
bool rings_try(struct node *node, const struct rings_use *use, const struct member *members,
               uint32_t count, uint64_t admin);
void rings_drop(struct node *node, const struct ring *ring);
/* Members that are alive (warming, owning, leaving), this node included. */
uint32_t rings_living(const struct node *node);

/* Gossip's view replaces what it knows better; records of peers only add. `gathering`: no ring is
 * made of it yet, and this node answers BUSY. */
void rings_on_view(struct node *node, const struct member *members, uint32_t count, bool gathering);
void rings_on_peer_view(struct node *node, const struct message_view *message);
void rings_on_ring(struct node *node, uint64_t id, const struct ring *ring);
void rings_on_view_get(struct node *node, struct link *link, const struct message_view_get *get);
void rings_on_timer(struct node *node);
void rings_on_tell_timer(struct node *node);
void rings_forget_session(struct node *node, struct session *session);

/* Between rings.c and rings_pools.c: begin to build a ring, unless one is being built; end the oldest
 * of the earlier tables; have rings_on_timer called then; give places and take them back, and say when
 * to do so again. */
void rings_build(struct node *node, struct rings_use *use);
void rings_drop_oldest(struct node *node, struct rings_use *use);
void rings_arm(struct node *node, usec_t at_us);
usec_t rings_tend(struct node *node);
