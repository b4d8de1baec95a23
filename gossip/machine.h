/* gossip/machine.h: the memory of one machine, shared by the files of this folder and nobody else. */
#pragma once
#include "base/list.h"
#include "base/rng.h"
#include "gossip/datagram.h"
#include "gossip/gossip.h"
#include "gossip/keys.h"
#include "gossip/records.h"
#include "gossip/seal.h"
#include "gossip/tuning.h"

/* ---- what is known of each member: small, for there may be ten thousand ---- */

#define SHOWN_NOT 7u /* in place of a state: not in the published view */

struct peer {
    uint64_t incarnation;
    uint32_t record;   /* what it says of itself; RECORD_NONE: the place is free */
    uint32_t version;  /* of that; of a free place: the next one plus one */
    uint32_t news;     /* number plus one; 0: none */
    uint32_t when;     /* last two-way contact; a tombstone: since when (roster_age_us); 0: never */
    uint32_t window;   /* seal.c: of the process that wrote to us last */
    uint8_t doubt;     /* number plus one; 0: none */
    uint8_t state;     /* as the records say; what is published follows by cuts (publish.c) */
    uint8_t shown;     /* as published, or SHOWN_NOT */
    uint8_t bucket;    /* of the id: where repair compares it */
    bool ready : 1;    /* it said that its warming is over */
    bool is_met : 1;   /* this incarnation has answered us */
    bool touched : 1;  /* to be published */
    bool waiting : 1;  /* among g->waiting */
    bool is_unfit : 1; /* it died alive: its links are bad, or it asks and hears no answer */
    uint8_t asks : 2;  /* questions since it is dead: it does not hear what we answer */
    uint8_t asked : 2; /* ASKS_APART_US in which the last of them came, modulo 4 */
};

/* What a cut will do to a member. */
enum due { DUE_NOTHING, DUE_DEATH, DUE_OWNERSHIP };

/* Something about a member that is to be told, or to come into force. */
struct news {
    struct list link;     /* in g->flood, then g->riding, while there is something to tell */
    struct list due_link; /* in g->due */
    uint32_t peer;
    bool is_record; /* tell all it says of itself, not the state alone */
    uint8_t rides;  /* packets that still take it along */
    enum due due;
    usec_t due_us;
    /* of a death */
    bool is_verdict;      /* of its observers, and new: passed on */
    bool is_answered;     /* it has answered us since, in whatever way */
    bool is_acked;        /* on our own socket: so it knows, too */
    bool put_to_it;       /* a ping that tells it so is due */
    bool is_unfit;        /* it answers, but too seldom: no answer changes that */
    uint64_t incarnation; /* that is said to be dead */
};

struct vote {
    uint32_t observer;
    bool down;
    bool is_lossy;
    uint64_t number;
    usec_t heard_us;
};

struct jury {
    uint32_t count;
    uint32_t version; /* of the living members it was drawn from */
    uint32_t peers[OBSERVERS_MAX];
};

/* A member that somebody does not reach. */
struct doubt {
    uint32_t peer; /* NO_PEER: free */
    uint32_t vote_count;
    struct vote votes[VOTERS_MAX];
    struct jury jury;
    uint32_t voices;   /* standing votes, as of the last review */
    uint32_t verified; /* those of members that we know to hear us */
    bool shut_out;     /* so many that its own votes do not count */
    bool condemned;    /* enough of them, as of the last review */
    bool is_lossy;     /* several find it so, or miss it */
    bool unfit;        /* so many, for so long that it is to go */
    bool is_told;
    usec_t lossy_us;     /* since when they are enough; USEC_NEVER */
    usec_t suspected_us; /* since when there is a voice; USEC_NEVER */
    usec_t asked_us;     /* when we last looked which of its observers are sound */
};

/* ---- what we are doing about it ---- */

/* Of the member g->probe_peer[] at the same place; what it will do next is at g->probe_at_us[]. */
struct probe {
    bool waiting;      /* a ping is out */
    usec_t started_us; /* of this period */
    uint32_t misses;
    uint32_t relays_asked;
    uint32_t relays_heard;
    uint32_t loss;       /* of first pings: a moving mean, 65536 is all */
    uint32_t asked;      /* pings so far */
    uint32_t unanswered; /* of the last 32, a bit each: the lowest is the last one */
    usec_t voted_us;
    usec_t acked_us;    /* by an ack, not only by evidence */
    usec_t evidence_us; /* on the data path */
    struct jury jury;
};

enum ping_purpose {
    PING_NONE,
    PING_PROBE,    /* of a member we observe */
    PING_CONTACT,  /* of anybody: join, heal, a member said to be dead */
    PING_RELAY,    /* for somebody else */
    PING_CONTEST,  /* of the process that had an id before */
    PING_OWN,      /* of another process with our id */
    PING_FAREWELL, /* tells that we left */
};

struct ping {
    uint32_t number;
    enum ping_purpose purpose;
    uint32_t detail;       /* RELAY, CONTEST: which */
    uint32_t nth;          /* that our probe of the target counts; 0: it does not */
    struct node_id target; /* zero: whoever is there */
    usec_t sent_us;
};

struct relaying {
    bool used;
    struct address asker;
    uint32_t number; /* the asker's */
    struct node_id target;
    usec_t until_us;
};

/* What we are being told by somebody, because our digests differ: one at a time. */
struct pull {
    bool is_active;
    struct address from;
    usec_t until_us;  /* it has ended when nothing comes until then */
    usec_t next_us;   /* not before */
    usec_t idle_us;   /* to wait after the next one that brings nothing */
    uint32_t changes; /* of the roster when it began */
};

/* What we are telling somebody. */
struct sync {
    bool used;
    struct address to;
    uint64_t *wanted; /* a bit for each place of the roster */
    uint64_t *states; /* of those: the state is enough */
    uint32_t next;
    uint32_t packets;
    usec_t at_us;
};

/* A process that claims the id of a living member at another address. */
struct contest {
    bool used;
    struct member claim;
    struct telling how;
    uint8_t boot[GOSSIP_BOOT_SIZE];
    struct address from; /* of the claimant */
    uint32_t number;     /* of its ping, for the refusal */
    uint32_t tries;
    usec_t at_us;
};

/* Ourselves, as the others see us: who was removed while it lived waits before it owns again. */
struct standing {
    usec_t answer_at_us;   /* then we say that we live; USEC_NEVER: nobody said otherwise */
    uint64_t above;        /* that incarnation */
    uint64_t denied;       /* the last one that we denied to be dead */
    bool is_unfit;         /* they say that our links are bad */
    uint32_t removals;     /* as an owner, one not long after the other */
    usec_t removed_us;     /* the last of them */
    usec_t held_until_us;  /* USEC_NEVER: we are not held back */
    bool was_ready;        /* we are ready but for that */
    usec_t lonely_us;      /* when we last had heard nobody for a while */
    usec_t stood_still_us; /* when we last had stood still */
};

struct notice {
    enum gossip_effect_kind kind;
    struct node_id node;
    uint64_t incarnation;
};

/* A catalog that differs from ours, and when that was last told. */
struct catalog {
    uint32_t peer;
    bool due;
    uint64_t digest;
    uint64_t own;
    usec_t told_us;
};

/* What a member serves, as it said. */
struct heard_load {
    uint32_t peer;
    uint8_t code; /* 0: this place is free */
    usec_t heard_us;
};

struct budget {
    int64_t rate;
    int64_t burst;
    int64_t tokens; /* bytes, times 1e6 */
    usec_t at_us;
};

struct tomb {
    uint32_t peer;
    uint32_t since; /* as peer->when: another one there says that it is no more */
};

struct seed {
    struct address address;
    uint32_t peer; /* that was there last; NO_PEER */
    bool answers;
};

enum traffic { TRAFFIC_PROBE, TRAFFIC_BULK, TRAFFIC_FLOOD };

enum leaving { LEAVING_NOT, LEAVING_ANNOUNCED, LEAVING_SAYING_GOODBYE, LEAVING_DONE };

struct gossip {
    /* What each step looks at stands together: a thousand machines share the caches of a simulator. */
    struct now now;             /* of this step */
    struct gossip_effects *out; /* of this step */
    usec_t deadline_us;         /* as of the last step */
    struct peer *peers;
    uint32_t *index; /* open addressing: 8 bits of the id's hash, 24 bits of place plus one */
    uint32_t index_mask;
    uint32_t self; /* place among the peers, for ever */
    bool started;
    bool finished;
    bool gathering; /* nobody may make a ring of the view */
    bool probes_stale;
    bool seeds_known;
    bool tell_view;
    bool tell_resolve;
    bool tell_persist;
    bool tell_left;
    bool tell_in_use;
    bool tell_catalogs;
    bool has_agreed; /* with anybody, since we were alone: we are no newcomer */
    uint8_t load;    /* our own, as it is told; 0: we do not know it */
    enum leaving leaving;
    uint32_t notice_count;
    uint32_t health;
    uint32_t relaying_count;
    uint32_t sync_count;
    uint32_t doubt_count;
    uint32_t accusing; /* deaths in g->due */
    uint32_t contest_count;
    uint32_t agreements; /* packets with our digest, since it is this one and none differed */
    uint64_t agreed;     /* that digest */
    uint32_t living;
    uint64_t sum; /* of the sums */
    uint64_t catalog;
    usec_t health_at_us;
    usec_t review_at_us;
    usec_t due_us; /* all that is due comes into force; USEC_NEVER */
    usec_t publish_at_us;
    usec_t flood_at_us;
    usec_t compare_at_us; /* look whether a digest still differs */
    usec_t accuse_at_us;
    usec_t join_at_us;
    usec_t heal_at_us;
    usec_t resolve_at_us;
    usec_t sweep_at_us;
    usec_t differs_since_us;            /* from all we hear of; USEC_NEVER: from nobody */
    usec_t company_us;                  /* anybody answered */
    usec_t probe_at_us[OBSERVERS_MAX];  /* next thing to do; USEC_NEVER: no probe */
    uint32_t probe_peer[OBSERVERS_MAX]; /* NO_PEER: none */
    struct list riding;
    struct marks *marks;
    struct records *records;
    uint64_t first_incarnation; /* names the process: grows with each start, not with refutations */
    struct node_id id;
    struct rng rng;
    struct budget budget[3];
    uint32_t ping_number;
    uint32_t contact_count;
    struct seal seal;
    struct gossip_stats stats;
    struct pull pull;
    struct probe probes[OBSERVERS_MAX];
    struct ping pings[PINGS_MAX];
    /* roster */
    uint32_t peers_max;
    uint32_t peers_high; /* places ever used */
    uint32_t peers_free; /* the first free one below that, plus one; 0: none */
    uint32_t used;       /* members and tombstones */
    uint32_t warming;    /* of the living */
    uint32_t unready;    /* of those */
    uint32_t version;    /* of who lives */
    uint32_t changes;    /* of anything in the roster */
    bool lived;          /* the one that is being changed */
    uint64_t sums[DATAGRAM_BUCKETS];
    struct tomb *tombs; /* a ring, oldest first */
    uint32_t tombs_max;
    uint32_t tombs_first;
    uint32_t tombs_count;
    uint32_t *waiting; /* members that are warming, or were lately */
    uint32_t waiting_count;
    /* the published view */
    uint32_t *touched;
    uint32_t touched_count;
    uint64_t shown_sum;
    uint64_t told_sum;    /* that the last VIEW told */
    uint32_t shown_count; /* tombstones included */
    uint32_t shown_living;
    uint32_t shown_tombs; /* changes among tombstones */
    uint32_t told_tombs;
    struct gossip_owners shown_owning;
    struct gossip_owners shown_warming;
    /* circles */
    uint64_t place[OBSERVERS_MAX]; /* our own in each */
    uint32_t next[OBSERVERS_MAX];  /* who follows us; NO_PEER: to be looked up */
    /* probing */
    struct relaying relayings[RELAYINGS_MAX];
    uint64_t vote_number;
    /* cut */
    struct doubt doubts[DOUBTS_MAX];
    usec_t reviewed_us;
    uint64_t pending; /* digest of what the next decision would be; 0: nothing */
    usec_t pending_changed_us;
    usec_t pending_since_us;
    usec_t warming_since_us; /* somebody waits to own; USEC_NEVER */
    struct list due;
    usec_t due_since_us;
    /* rumours and repair */
    struct news *news;
    uint32_t news_high;
    uint32_t news_free; /* a number plus one, linked by `peer` */
    struct list flood;
    struct sync syncs[SYNCS_MAX];
    usec_t differed_us;       /* a digest from anybody, last */
    struct address differing; /* whose it was */
    bool knows_more;          /* that one certainly does */
    uint32_t compared_changes;
    uint16_t *prints; /* scratch of peers_max */
    struct address contacts[DATAGRAM_CONTACTS_MAX];
    /* contact */
    struct seed seeds[GOSSIP_SEEDS_MAX];
    uint32_t seed_count;
    uint32_t next_seed;
    usec_t started_us;
    usec_t join_wait_us;
    struct contest contests[CONTESTS_MAX];
    usec_t twin_at_us; /* our own id elsewhere: ask not before */
    /* leaving */
    usec_t farewell_at_us;
    usec_t farewell_until_us;
    uint32_t farewell_acks;
    struct keys keys;
    /* loads */
    struct heard_load loads[LOADS_MAX];
    struct standing standing;
    /* effects that wait */
    struct notice notices[NOTICES_MAX];
    uint32_t notice_first;
    struct catalog catalogs[CATALOGS_MAX];
};
