/* node/core/session.h: links that others opened to this node, and who is behind them.
 *
 * A session is all links with one HELLO.session; it begins with a control link, which proves the
 * peer, and ends with its last link. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/timers.h"
#include "node/core/node.h"
#include "wire/message.h"
#include "wire/proof.h"

#define SESSION_GRANTS_MAX 4096 /* bytes, as in HELLO */
#define SESSION_QUEUE_MAX 256   /* reads that wait for their share of the budget */

struct peer;

struct session {
    struct map_node by_id;
    struct list links;
    struct list asks;     /* open, in order of arrival */
    struct list queue;    /* reads not yet admitted (budget.c) */
    struct list ready;    /* reads with bytes to send */
    struct list turn;     /* on the list of reads.h, while `ready` is not empty */
    struct list sends;    /* payloads out */
    struct list watch;    /* on a list of rings.h, when subscribed */
    struct timer pending; /* next PENDING of any ask */
    uint8_t id[ID_SIZE];
    enum wire_role role;
    struct node_id node; /* of a node */
    uint64_t incarnation;
    uint8_t client_key[32];
    struct key_id key; /* of a node: the newest one it has proven */
    uint8_t *grants;   /* as HELLO showed them: checked again, with the time, for each dataset */
    uint32_t grants_size;
    uint32_t queued;
    uint64_t outstanding; /* payload bytes promised or sent, until SENT */
    uint64_t view_digest; /* last sent to a subscriber */
    bool subscribed;
    bool closing;   /* its last link is going down */
    bool admitting; /* reads_admit is at work */
    char name[65];
};

enum link_state { LINK_NEW, LINK_OPEN };

struct link {
    struct map_node by_id;
    struct list of_session;
    struct link_id id;
    enum link_purpose purpose;
    enum link_state state;
    bool outbound;
    uint32_t version; /* of the protocol: the highest that both ends speak; open links alone */
    struct link_peer trust;
    struct session *session; /* inbound and open */
    struct peer *peer;       /* outbound */
};

struct sessions {
    struct map links;
    struct map by_id;
    struct pool link_pool;
    struct pool pool;
    struct pool grants; /* of SESSION_GRANTS_MAX; empty when insecure */
};

size_t sessions_memory(const struct node_options *options);
enum err sessions_init(struct sessions *sessions, struct arena *mem,
                       const struct node_options *options) MUST_USE;

/* NULL when it is not known (any more). */
struct link *link_find(const struct node *node, struct link_id id);
void sessions_on_link_up(struct node *node, const struct node_event *event);
void sessions_on_link_down(struct node *node, struct link_id id);
void sessions_on_hello(struct node *node, struct link *link, const struct message_hello *hello);
void sessions_on_dataset_get(struct node *node, struct link *link,
                             const struct message_dataset_get *get);
/* PENDING of this ask is due at ask->pending_us: see to the session's timer. */
void session_watch_ask(struct node *node, struct session *session, usec_t due_us);
/* Where PENDING and views go: its control link, else a data link; 0 when it has none. */
struct link_id session_control(const struct session *session);
/* What a node that opened this session has to prove. */
struct proof_terms session_terms(const struct session *session);
/* The other side broke the rules: CLOSE, and all that hangs on the link. */
void link_close(struct node *node, struct link *link);

/* May this session read `key` of `source` for that dataset? Nodes may; a mount shows a capability
 * (insecure: everybody may). ERR_NO_DATASET: not heard of here; ERR_DATASET_DELETED; ERR_DENIED:
 * no grant, or not its source; ERR_OTHER_KEY, ERR_EXPIRED. */
struct access {
    struct dataset_id dataset;
    struct source_id source;
    struct span key; /* or a directory's prefix */
    struct span capability;
};
enum err session_admits(struct node *node, const struct session *session,
                        const struct access *access) MUST_USE;
