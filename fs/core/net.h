/* fs/core/net.h: the cluster as a mount sees it: peer.c, cluster.c, call.c. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "base/timers.h"
#include "fs/core/mount.h"
#include "wire/message.h"

struct mount;
struct call;
struct op;
struct block;
struct inode;
struct folder;
struct sheet;
struct peer;
struct listing;

/* ---- peer.c: nodes, their two links, signs of life ---------------------------------------- */

#define LINK_REFUSED_MIN_US SEC(5)

enum link_state {
    LINK_CLOSED,   /* tried again at retry_us */
    LINK_OPENING,  /* CONNECT is out */
    LINK_GREETING, /* HELLO is out */
    LINK_READY,
};
enum link_owner { LINK_OF_PEER, LINK_OF_HAIL };

struct peer_link {
    struct map_node by_id;
    struct link_id id;
    enum link_owner owner;
    enum link_purpose purpose;
    enum link_state state;
    struct address address;
    usec_t since_us; /* of the state */
    usec_t retry_us;
    usec_t backoff_us;
    usec_t sent_us; /* the last message, so that an idle link is kept alive */
};

struct peer {
    struct map_node by_id;
    struct list all;
    struct node_id id;
    struct peer_link links[2]; /* by enum link_purpose */
    struct list calls;         /* sent and not answered */
    struct timer timer;
    usec_t heard_us;   /* awake time */
    usec_t waiting_us; /* awake time since when calls are open */
    usec_t silent_us;  /* awake time since when it is silent */
    usec_t pinged_us;  /* awake time; asked whether it lives */
    usec_t ready_us;   /* mono; its control link was up at that time */
    bool silent;
    bool member; /* in the view, alive */
    bool subscribed;
    bool refuses;  /* it will not have us, and has said so since it had us last */
    uint64_t seen; /* cluster.c: the VIEW message that told of it last */
    bool tried;    /* its first data link was made, or one of its links has failed */
};

/* A connection to an address whose node we do not know yet. */
struct hail {
    struct peer_link link;
    bool used;
};

size_t peer_memory(const struct mount_options *options);
enum err peer_init(struct mount *m, struct arena *mem) MUST_USE;
struct peer *peer_known(const struct mount *m, struct node_id id);
/* NULL: too many. */
struct peer *peer_make(struct mount *m, struct node_id id);
/* Its timer goes off at `at_us` or before. */
void peer_arm(struct mount *m, struct peer *peer, usec_t at_us);
/* HELLO's answers and signs of life; true: nothing else is to be done with the message. */
bool peer_on_message(struct mount *m, struct link_id link, const struct message *message,
                     struct peer **out);
void peer_on_view(struct mount *m);
void peer_timer(struct mount *m, struct peer *peer);
/* Some peer whose control link is up: another one each time. NULL: none. */
struct peer *peer_any(struct mount *m);
bool peer_is_ready(const struct peer *peer, enum link_purpose purpose);
/* Its first connection is being made: worth a wait. */
bool peer_is_coming(const struct mount *m, const struct peer *peer);
void peer_post(struct mount *m, struct peer *peer, enum link_purpose purpose,
               const struct message *message);
/* A call is about to be put on its list. */
void peer_waits(struct mount *m, struct peer *peer);
uint32_t peer_ready_count(const struct mount *m);
/* Every living member has refused us, and none has taken us back. */
bool peer_all_refuse(const struct mount *m);

/* ---- link.c: connections, opened, greeted, lost and opened again --------------------------- */

struct peer *link_peer(struct peer_link *link);
struct peer_link *link_known(const struct mount *m, struct link_id id);
void link_open(struct mount *m, struct peer_link *link, const struct address *address);
void link_shut(struct mount *m, struct peer_link *link);
/* As link_shut, of a node that will not have us: it does not change its mind soon. */
void link_refused(struct mount *m, struct peer_link *link);
/* What follows when a peer's link was closed or lost. */
void link_peer_lost(struct mount *m, struct peer *peer, enum link_purpose purpose);
/* The node knows nothing of our session any more: greet it again. */
void link_again(struct mount *m, struct peer *peer, enum link_purpose purpose);
void link_on_up(struct mount *m, const struct mount_event *event);
void link_on_down(struct mount *m, struct link_id link);
void link_on_seeds(struct mount *m, const struct address *addresses, uint32_t count);
void link_hail_timer(struct mount *m);
bool link_is_hailed(const struct mount *m, const struct address *address);
/* The node at a seed has told who it is. NULL: we had it already, or cannot have it. */
struct peer *link_hail_answered(struct mount *m, struct hail *hail, struct node_id id);

/* ---- cluster.c: view, ring, the dataset's record and capability; readiness ----------------- */

enum start_state { START_WAITING, START_DONE, START_FAILED };

size_t cluster_memory(const struct mount_options *options);
enum err cluster_init(struct mount *m, struct arena *mem) MUST_USE;
void cluster_on_welcome(struct mount *m, struct peer *peer, const struct message_welcome *welcome);
/* true: not with these keys and this program; what may be right in a moment is no such refusal. */
bool cluster_on_refused(struct mount *m, enum err err, struct span text);
void cluster_on_dataset(struct mount *m, const struct message_dataset *answer);
void cluster_on_view(struct mount *m, const struct message_view *view);
void cluster_on_ring(struct mount *m, uint64_t id, const struct ring *ring);
void cluster_on_peer_gone(struct mount *m, struct peer *peer);
/* A node's view has another digest than ours: ask it. */
void cluster_compare(struct mount *m, struct peer *peer, uint64_t digest);
void cluster_renew(struct mount *m);
/* The dataset's files and bytes grow with what is listed: ask again, if that was not just now. */
void cluster_wants_totals(struct mount *m);
void cluster_start_timer(struct mount *m);
void cluster_renew_timer(struct mount *m);
void cluster_view_timer(struct mount *m);

/* ---- call.c: one question to the ranks of a place, until somebody answers ------------------ */

enum call_kind {
    CALL_BLOCK, /* a range of a block */
    CALL_DIR,   /* a directory's root */
    CALL_NAME,  /* one name of a directory nobody has listed; the root is welcome, too */
    CALL_PAGE,  /* one page of a directory */
};
enum call_state {
    CALL_NEW,
    CALL_QUEUED,  /* to be sent as soon as there is room */
    CALL_SENT,    /* on its peer's list */
    CALL_STALLED, /* nobody to ask: until a peer, a ring or a capability comes, or the timer */
    CALL_DELAYED, /* BUSY: until the timer */
};

struct call {
    struct list link; /* m->sends, peer->calls, m->stalled or nothing */
    struct timer timer;
    enum call_kind kind;
    enum call_state state;
    uint64_t number;
    struct place place;
    struct peer *peer;
    struct link_id over;               /* the link it was sent on */
    struct node_id passed[RING_RANKS]; /* ranks given up in this round */
    uint32_t passed_count;
    uint32_t rounds;
    uint32_t corrupt_rounds; /* of them the last ones, that ended with a wrong checksum */
    uint32_t denials;
    uint32_t renewals;        /* of the mount, when it was denied */
    struct node_id elsewhere; /* whom the owner has named; zero: nobody */
    bool sent_back;           /* that one had nothing: the owner may not name another one */
    uint32_t silences;        /* ranks passed without an answer, in this round */
    enum err err;             /* the last one an answer gave */
    usec_t sent_us;           /* mono */
    union {
        struct {
            struct block *block;
            uint32_t first, end; /* chunks it is to bring */
            uint32_t offset;     /* what is asked for now, in bytes */
            uint32_t size;
            uint32_t got;      /* bytes of it that came */
            uint32_t reserved; /* bytes of the budget that wait for it */
            bool extent;
            bool ahead; /* nobody waited for it when it was made */
        } range;
        struct folder *folder; /* DIR */
        struct op *op;         /* NAME */
        struct sheet *sheet;   /* PAGE */
    };
};

size_t call_memory(const struct mount_options *options);
enum err call_init(struct mount *m, struct arena *mem) MUST_USE;
uint32_t call_limit(const struct mount_options *options);
/* NULL: all are in use. */
struct call *call_new(struct mount *m, enum call_kind kind, struct place place);
void call_begin(struct mount *m, struct call *call);
void call_start_later(struct mount *m, struct call *call, usec_t wait_us);
/* It is answered. */
void call_done(struct mount *m, struct call *call);
/* Forget the question; what was sent is cancelled. */
void call_free(struct mount *m, struct call *call);
/* Any answer of a node. true: the payload is kept. */
bool call_on_message(struct mount *m, struct peer *peer, const struct message *message,
                     struct payload payload);
/* What this peer was asked over that link goes to the next rank. */
void call_peer_lost(struct mount *m, struct peer *peer, enum link_purpose purpose, bool silent);
void call_wake_stalled(struct mount *m);
void call_timer(struct mount *m, struct call *call);
/* Does an effect and its frame fit? then send what is queued. */
void call_pump(struct mount *m);
/* The answer is not usable: to the next rank. */
void call_reject(struct mount *m, struct call *call, enum err err);

/* ---- ghost.c: questions given up, and bytes that may still come for them -------------------- */

struct ghost {
    struct list link; /* m->cancels, then m->ghosts, oldest first */
    struct map_node by_number;
    uint64_t number;
    struct link_id over;
    enum link_purpose purpose;
    uint32_t reserved;
    usec_t since_us;
    struct node_id node;
};

size_t ghost_memory(const struct mount_options *options);
enum err ghost_init(struct mount *m, struct arena *mem) MUST_USE;
/* The call is given up at this node: its reservation goes to a ghost, and CANCEL will be sent. */
void ghost_make(struct mount *m, struct call *call, struct node_id node);
void ghost_link_gone(struct mount *m, struct link_id link);
void ghost_timer(struct mount *m);
/* Room is short: what a silent node owes is given up. */
void ghost_purge(struct mount *m);
/* Send the CANCELs there is room for. */
void ghost_pump(struct mount *m);
/* A DATA or FAIL that no call expects. true: a ghost did. */
bool ghost_on_message(struct mount *m, const struct message *message);
