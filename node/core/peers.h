/* node/core/peers.h: this node's own links to the other members.
 *
 * Every living member of the view gets a control and a data link, opened again with back-off as
 * long as it lives. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/time.h"
#include "base/timers.h"
#include "node/core/node.h"
#include "wire/message.h"
#include "wire/proof.h"

#define PEERS_GONE_MAX 64u

struct link;

struct peer {
    struct map_node by_id;
    struct list all; /* living members, in order of appearance */
    struct list calls;
    struct timer timer; /* next attempt to connect, or HELLO again */
    struct node_id id;
    uint64_t incarnation;
    struct address control_address;
    struct address data_address;
    struct link *control; /* NULL: down */
    struct link *data;
    bool control_open; /* WELCOME came */
    bool data_open;
    bool silent;           /* not heard since a call to it failed */
    usec_t leave_asked_us; /* whether it lets this node go */
    bool lets_go;          /* this node leaves, and need not wait for that one */
    uint32_t attempts;
    usec_t heard_us;      /* active time of the last message (node_active) */
    usec_t heard_mono_us; /* the same on the monotonic clock, for people; 0: never */
    usec_t evidence_us;
    usec_t view_asked_us;
    uint8_t session[ID_SIZE]; /* ours towards it */
    uint64_t proved;          /* keychain.change when it last got a proof of ours */
};

/* One whose links are gone, because it is no more: when it was heard last. */
struct peer_gone {
    struct node_id id;
    usec_t heard_mono_us;
};

struct peers {
    struct map by_id;
    struct pool pool;
    struct list all;
    struct peer_gone gone[PEERS_GONE_MAX]; /* for people; the last ones, in a circle */
    uint32_t gone_next;
};

size_t peers_memory(const struct node_options *options);
enum err peers_init(struct peers *peers, struct arena *mem, const struct node_options *options)
    MUST_USE;

/* NULL: not a living member of the view (or this node itself). */
struct peer *peer_find(const struct node *node, struct node_id id);
/* When a member was heard last on a link that this node opened to it, also one that is dead now:
 * monotonic; 0: never, or it is forgotten. */
usec_t peer_heard_us(const struct node *node, struct node_id id);
/* Can a request go there at this moment? */
bool peer_is_open(const struct node *node, struct node_id id, enum link_purpose purpose);
/* A call to it got no answer: it is probed by PING and, until it is heard again, said to be down. */
void peer_is_silent(struct node *node, struct node_id id);
/* Next peer after `peer` (NULL: the first) whose control link is open; NULL at the end. */
struct peer *peers_next_open(struct node *node, struct peer *peer);
/* A message without an answer of its own (CANCEL, VIEW_GET); false: no open link. */
bool peer_send(struct node *node, struct node_id id, enum link_purpose purpose,
               const struct message *message);
/* The ring of that node differs from ours: ask for its members, at most once a second. */
void peers_compare_views(struct node *node, struct node_id id);

/* What we have to prove to it. */
struct proof_terms peer_terms(const struct node *node, const struct peer *peer);

void peers_on_view(struct node *node);
void peers_on_timer(struct node *node, struct peer *peer);
void peers_on_link_up(struct node *node, struct link *link, struct node_id id);
void peers_on_link_down(struct node *node, struct link *link);
void peers_on_message(struct node *node, struct link *link, const struct message *message,
                      struct payload payload);
