/* gossip/internal.h: one machine, shared by the files of this folder and nobody else.
 *
 * receive.c takes packets apart, roster.c keeps what is known of each member, prober.c asks them,
 * votes.c and cut.c decide, publish.c shows it to others, rumours.c tells, repair.c and heal.c mend
 * what rumours missed, identity.c defends our own record, parcel.c puts packets together; keys.h has
 * its own files. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "gossip/datagram.h"
#include "gossip/gossip.h"
#include "gossip/keys.h"
#include "gossip/seal.h"

/* ---- constants, with their reasons in docs/gossip.md ---- */

#define OBSERVERS_MAX 8u           /* K: who probes a member */
#define PROBE_PERIOD_US SEC(1)     /* from one probe of a member to the next */
#define PROBE_TIMEOUT_US MSEC(400) /* of the first ping */
#define PROBE_AGAIN_US MSEC(300)   /* of each further round, with relays */
#define PROBE_ROUNDS_FAST 20u      /* rounds at that pace; then one a period */
#define RELAYS 2u                  /* asked in each further round */
#define RELAY_US MSEC(200)         /* a relay waits that long before it says no */
#define EVIDENCE_US SEC(1)         /* a data-path answer this recent spares a ping */
#define EVIDENCE_PING_US SEC(5)    /* but digests are exchanged at least that often */
#define PING_LIFE_US SEC(2)        /* a later ack is no news */
#define VOTE_LIFE_US SEC(10)       /* without being renewed */
#define VOTE_RENEW_US SEC(3)       /* by its observer */
#define SLOW_US SEC(3)             /* a quorum of the sound observers only must last that long */
#define ASK_US MSEC(1500)          /* before that its voters look which observers answer */
#define SOUND_US SEC(4)            /* an observer that answered so lately is sound */
#define HOLD_US SEC(1)             /* nothing changed for that long: cut */
#define FORCE_US SEC(10)           /* a cut waits no longer than this */
#define REVIEW_US MSEC(100)        /* pace of looking while something is undecided */
#define PUBLISH_US MSEC(50)        /* changes that come together are published together */
#define SPREAD_US MSEC(200)        /* pace of telling rumours */
#define SPREAD_FIRST_US MSEC(10)   /* a new one waits that long for others */
#define SPREAD_FANOUT 3u           /* members told at each step */
#define ACCUSED_US MSEC(1500)      /* a member said to be dead has that long to answer us */
#define FRESH_US MSEC(1500)        /* an answer this young contradicts "dead" */
#define SYNC_QUIET_US MSEC(300)    /* rumours on their way are not worth a repair */
#define SYNC_PERIOD_US MSEC(500)   /* between two repairs that we begin */
#define SYNC_STEP_US MSEC(10)      /* between two bursts of one repair */
#define SYNC_BURST 8u              /* packets in each */
#define SYNC_PACKETS 54u           /* 64 KiB: then the next digest starts another */
#define HEAL_US SEC(5)             /* contact a seed or dead member, for ever */
#define JOIN_FIRST_US MSEC(250)    /* while alone; doubles up to HEAL_US */
#define JOIN_PATIENCE_US SEC(5)    /* before a node that knows seeds owns alone */
#define RESOLVE_ALONE_US SEC(5)
#define RESOLVE_US SEC(60)
#define CONTEST_US MSEC(300) /* between pings to the process that had the id before */
#define CONTEST_TRIES 3u
#define FAREWELL_AGAIN_US MSEC(300)
#define FAREWELL_US SEC(2)            /* LEFT is said that long at most */
#define TOMBSTONE_SHARE_US SEC(43200) /* 12 h: told to others */
#define TOMBSTONE_US SEC(86400)       /* 24 h: kept */
#define SWEEP_US SEC(30)
#define STALL_US MSEC(500) /* a tick this late: we stood still */
#define HEALTH_MAX 8u
#define HEALTH_MUTE 4u /* from here on we accuse nobody */
#define HEALTH_DECAY_US SEC(2)
#define CATALOG_AGAIN_US SEC(2) /* the same difference is told again */
#define PROBE_RATE 131072       /* bytes a second: answers are never the bottleneck */
#define BULK_RATE 65536         /* rumours and repair */
#define BULK_BURST 131072

#define LONG_AGO (-SEC(1000000000))
#define NO_PEER UINT32_MAX
#define VOTERS_MAX DATAGRAM_VOTES_MAX /* K and some whose view differed */
#define PINGS_MAX 512u                /* in flight: number mod this is the place */
#define RELAYINGS_MAX 64u
#define SYNCS_MAX 4u
#define CONTESTS_MAX 4u
#define NOTICES_MAX 256u
#define EFFECTS_RESERVED 12u /* kept for what is no packet */

/* ---- what is known of each member ---- */

struct vote {
    struct node_id observer;
    uint64_t number;
    usec_t heard_us;
    bool down;
    uint32_t tellings; /* how often it will still be told */
};

struct peer {
    struct map_node by_id;
    struct list told;    /* in gossip.rumours while it has something to tell */
    struct member known; /* as the records say; what is published follows by cuts (publish.c) */
    uint64_t hash;       /* its part of the digests; 0 when not living */
    usec_t died_us;      /* tombstones: since when */
    bool used;
    bool ready;   /* it said that its warming is over */
    bool touched; /* to be published */
    bool held;    /* it came back owning: published as warming until a cut */
    /* contact: two-way, ours with it */
    usec_t good_us;
    usec_t acked_us;    /* by an ack, not only by evidence */
    usec_t evidence_us; /* on the data path */
    uint64_t good_incarnation;
    uint8_t boot[GOSSIP_BOOT_SIZE]; /* of the process that wrote to us last */
    /* suspicion */
    struct vote votes[VOTERS_MAX];
    uint32_t vote_count;
    uint32_t voices; /* standing votes that count, as of the last review */
    bool shut_out;   /* so many that its own votes do not count */
    bool condemned;  /* enough of them, as of the last review */
    bool suspect_told;
    usec_t suspected_us;     /* since when there is a voice; USEC_NEVER */
    usec_t asked_us;         /* when we last looked whether it is a sound observer */
    usec_t accused_until_us; /* somebody says it is dead; USEC_NEVER */
    uint64_t accused_incarnation;
    usec_t accused_us;
    bool accuse; /* a ping that tells it so is due */
    /* rumours */
    uint32_t record_tellings;
    uint32_t state_tellings;
    /* catalog */
    uint64_t catalog;
    uint64_t catalog_told;
    uint64_t catalog_told_own;
    usec_t catalog_told_us;
    bool catalog_due;
};

/* ---- what we are doing about it ---- */

struct probe {
    uint32_t peer;     /* NO_PEER: free */
    bool waiting;      /* a ping is out */
    usec_t started_us; /* of this period */
    usec_t at_us;      /* next thing to do */
    uint32_t misses;
    uint32_t relays_asked;
    uint32_t relays_heard;
    uint32_t loss; /* of first pings: a moving mean, 65536 is all */
    usec_t voted_us;
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

struct sync {
    bool used;
    bool ask; /* the first packet asks for the same buckets */
    struct address to;
    uint64_t mask;
    uint32_t next; /* peer */
    uint32_t packets;
    usec_t at_us;
};

/* A process that claims the id of a living member at another address. */
struct contest {
    bool used;
    struct member claim;
    bool ready;
    uint8_t boot[GOSSIP_BOOT_SIZE];
    struct address from; /* of the claimant */
    uint32_t number;     /* of its ping, for the refusal */
    uint32_t tries;
    usec_t at_us;
};

struct notice {
    enum gossip_effect_kind kind;
    struct node_id node;
    uint64_t incarnation;
};

struct budget {
    int64_t rate;
    int64_t burst;
    int64_t tokens; /* bytes, times 1e6 */
    usec_t at_us;
};

enum traffic { TRAFFIC_PROBE, TRAFFIC_BULK };

enum leaving { LEAVING_NOT, LEAVING_ANNOUNCED, LEAVING_SAYING_GOODBYE, LEAVING_DONE };

struct gossip {
    struct marks *marks;
    struct seal seal;
    struct keys keys;
    struct rng rng;
    struct view *view;
    struct gossip_stats stats;
    struct now now;             /* of this step */
    struct gossip_effects *out; /* of this step */
    bool started;
    bool finished;
    uint64_t first_incarnation; /* names the process: grows with each start, not with refutations */
    uint64_t catalog;
    struct node_id id;
    uint32_t self; /* place among the peers, for ever */
    /* roster */
    struct peer *peers;
    uint32_t peers_max;
    uint32_t peers_high; /* places ever used */
    uint32_t living;
    struct map by_id;
    uint64_t sums[DATAGRAM_BUCKETS];
    usec_t changed_us; /* anything in the roster */
    /* circles */
    bool circles_stale;
    bool probes_stale;
    struct seat *seats;              /* scratch of peers_max */
    uint32_t *circle[OBSERVERS_MAX]; /* living peers in the order of each permutation */
    uint32_t *place[OBSERVERS_MAX];  /* of each peer in it */
    /* probing */
    struct probe probes[OBSERVERS_MAX];
    struct ping pings[PINGS_MAX];
    uint32_t ping_number;
    struct relaying relayings[RELAYINGS_MAX];
    uint64_t vote_number;
    uint32_t health;
    usec_t health_at_us;
    /* cut */
    usec_t review_at_us;
    uint64_t pending; /* digest of what the next cut would do; 0: nothing */
    usec_t pending_changed_us;
    usec_t pending_since_us;
    usec_t warming_since_us; /* somebody waits to own; USEC_NEVER */
    usec_t publish_at_us;
    /* rumours and repair */
    struct list rumours;
    usec_t spread_at_us;
    struct sync syncs[SYNCS_MAX];
    usec_t sync_after_us;
    uint32_t accusing; /* peers with accused_until_us set */
    usec_t accuse_at_us;
    /* contact */
    struct address seeds[GOSSIP_SEEDS_MAX];
    uint32_t seed_count;
    bool seeds_known;
    usec_t started_us;
    usec_t join_at_us;
    usec_t join_wait_us;
    usec_t heal_at_us;
    usec_t resolve_at_us;
    usec_t sweep_at_us;
    struct contest contests[CONTESTS_MAX];
    usec_t twin_at_us; /* our own id elsewhere: ask not before */
    /* leaving */
    enum leaving leaving;
    usec_t farewell_at_us;
    usec_t farewell_until_us;
    uint32_t farewell_acks;
    /* effects that wait */
    bool tell_view;
    bool tell_resolve;
    bool tell_persist;
    bool tell_left;
    bool tell_in_use;
    bool tell_catalogs;
    struct notice notices[NOTICES_MAX];
    uint32_t notice_first;
    uint32_t notice_count;
    struct budget budget[2];
    uint8_t packets[GOSSIP_EFFECTS_MAX][GOSSIP_PACKET_MAX];
};

/* ---- roster.c ---- */

static inline struct peer *roster_self(struct gossip *g)
{
    return &g->peers[g->self];
}
static inline uint32_t roster_index(const struct gossip *g, const struct peer *peer)
{
    return (uint32_t)(peer - g->peers);
}
static inline bool roster_is_living(const struct peer *peer)
{
    return peer->used && member_is_living(&peer->known);
}
struct peer *roster_find(struct gossip *g, struct node_id id);
/* NULL: full of living members. Else a new place that knows `member`. */
struct peer *roster_add(struct gossip *g, const struct member *member, bool ready);
/* To be called after each change of peer->known or ->ready. */
void roster_changed(struct gossip *g, struct peer *peer);
void roster_drop(struct gossip *g, struct peer *peer);
/* Of all living members known; 0 for none. */
uint64_t roster_digest(const struct gossip *g);
uint32_t roster_bucket(struct node_id id);
/* A random living member but us; NULL when there is none. */
struct peer *roster_random(struct gossip *g);
/* NULL when it has no gossip endpoint. */
const struct address *roster_address(const struct peer *peer);
/* What a packet says of a member that is not us: a whole record, or a state alone. */
void roster_hear(struct gossip *g, const struct member *member, bool ready);
void roster_hear_state(struct gossip *g, const struct datagram_state *state);
/* Set a member's state by our own decision, and tell. */
void roster_decide(struct gossip *g, struct peer *peer, enum member_state state);
void roster_sweep(struct gossip *g);

/* ---- circles.c: who observes whom ---- */

size_t circles_memory(uint32_t members_max);
enum err circles_init(struct gossip *g, struct arena *mem);
/* Distinct living members that observe `peer`, or that `peer` observes; at most OBSERVERS_MAX. */
uint32_t circles_observers(struct gossip *g, uint32_t peer, uint32_t out[OBSERVERS_MAX]);
uint32_t circles_subjects(struct gossip *g, uint32_t peer, uint32_t out[OBSERVERS_MAX]);

/* ---- prober.c ---- */

void prober_init(struct gossip *g);
void prober_tick(struct gossip *g);
usec_t prober_deadline(const struct gossip *g);
/* A two-way contact with a member just now; `acked`: on our own socket. */
void prober_good(struct gossip *g, struct peer *peer, uint64_t incarnation, bool acked);
void prober_evidence(struct gossip *g, struct node_id id);
/* The probe of this member; NULL when we do not observe it. */
struct probe *prober_find(struct gossip *g, const struct peer *peer);
/* Start its period again: it is another incarnation. */
void prober_restart(struct gossip *g, const struct peer *peer);
/* It lives no more. */
void prober_forget(struct gossip *g, const struct peer *peer);
void prober_relay(struct gossip *g, const struct datagram_head *head, const struct address *from);
void prober_relayed(struct gossip *g, const struct datagram_head *head);
void prober_relay_done(struct gossip *g, uint32_t relaying, uint64_t incarnation);
/* Our own process stood still for so long. */
void prober_stalled(struct gossip *g, usec_t late_us);

/* ---- votes.c ---- */

void votes_hear(struct gossip *g, const struct datagram_votes *votes);
/* Our own vote on a member we observe. */
void votes_cast(struct gossip *g, struct peer *peer, bool down);
/* How many observers stand by "down". */
uint32_t votes_count(struct gossip *g, const struct peer *peer);
bool votes_ours_stands(const struct gossip *g, const struct peer *peer);
void votes_clear(struct gossip *g, struct peer *peer);
/* Recount all: voices, condemned, suspicion told. true: somebody is doubted, but not condemned. */
bool votes_review(struct gossip *g);

/* ---- cut.c, publish.c ---- */

void cut_tick(struct gossip *g);
void cut_look_soon(struct gossip *g);
void cut_stalled(struct gossip *g);
/* The view has no owner but perhaps us: whoever owns is taken over at once. */
bool cut_is_young(struct gossip *g);
void publish_tick(struct gossip *g);
void publish_soon(struct gossip *g, struct peer *peer, usec_t wait_us);

/* ---- rumours.c ---- */

/* How often a news item is sent: grows with the logarithm of the cluster. */
uint32_t rumours_tellings(const struct gossip *g);
void rumours_record(struct gossip *g, struct peer *peer);
void rumours_state(struct gossip *g, struct peer *peer);
void rumours_votes(struct gossip *g, struct peer *peer);
void rumours_forget(struct gossip *g, struct peer *peer);
/* Fill what is left of a packet. */
void rumours_fill(struct gossip *g, struct datagram *d);
/* Standing votes on a member, told or not; false when there are none or they do not fit. */
bool rumours_add_votes(struct gossip *g, struct datagram *d, struct peer *peer);
void rumours_tick(struct gossip *g);

/* ---- repair.c ---- */

/* A packet from `from` carried this digest. */
void repair_compare(struct gossip *g, const struct address *from, uint64_t digest);
void repair_sums(struct gossip *g, const struct address *from,
                 const uint64_t sums[DATAGRAM_BUCKETS]);
void repair_mask(struct gossip *g, const struct address *from, uint64_t mask);
void repair_tick(struct gossip *g);
usec_t repair_deadline(const struct gossip *g);
/* Somebody says that a member we believe in is dead. */
void repair_accuse(struct gossip *g, struct peer *peer, uint64_t incarnation);

/* ---- heal.c ---- */

void heal_start(struct gossip *g);
void heal_seeds(struct gossip *g, const struct address *addresses, uint32_t count);
void heal_tick(struct gossip *g);
usec_t heal_deadline(const struct gossip *g);

/* ---- identity.c ---- */

/* A record, or a state, of our own id. */
void identity_hear(struct gossip *g, const struct member *member);
void identity_hear_state(struct gossip *g, const struct datagram_state *state);
/* Say that we live, above this incarnation. */
void identity_refute(struct gossip *g, uint64_t above);
/* Another process with our id wrote to us from there. */
void identity_twin(struct gossip *g, const struct address *from);
/* It answered a ping of ours. */
void identity_twin_answered(struct gossip *g, const struct datagram_head *head,
                            const uint8_t boot[GOSSIP_BOOT_SIZE]);
/* A sender told its own record. true: it claims a living member's id from elsewhere, so the record
 * must wait until the other process had its chance to answer. */
struct arrival;
bool identity_contest(struct gossip *g, const struct arrival *a,
                      const struct datagram_section *section);
void identity_contest_answered(struct gossip *g, uint32_t contest,
                               const uint8_t boot[GOSSIP_BOOT_SIZE]);
void identity_tick(struct gossip *g);
usec_t identity_deadline(const struct gossip *g);

/* ---- farewell.c ---- */

void farewell_leave(struct gossip *g, bool drained);
void farewell_acked(struct gossip *g);
void farewell_tick(struct gossip *g);

/* ---- receive.c ---- */

struct arrival {
    struct address from;
    struct node_id sender;
    uint8_t boot[GOSSIP_BOOT_SIZE];
    uint32_t key; /* place in seal.keys of what it was sealed with */
    struct datagram_head head;
    struct peer *peer; /* NULL: not known */
};
void receive_packet(struct gossip *g, const struct address *from, uint8_t *data, size_t size);

/* ---- parcel.c: a packet on its way into the effects ---- */

struct parcel {
    struct datagram body;
    struct datagram_head head;
    struct address to;
    enum traffic traffic;
    uint32_t key; /* to be sealed with; the present one unless somebody sets it */
    uint8_t *bytes;
};

/* Is there room for another packet in this step? */
bool parcel_has_room(const struct gossip *g);
/* Is anything left of this budget? */
bool parcel_has_budget(struct gossip *g, enum traffic traffic);
/* Needs room. `head` names kind, number and target; the rest of it is filled in. */
void parcel_begin(struct gossip *g, struct parcel *parcel, const struct address *to,
                  struct datagram_head head);
/* Send it, unless its budget is used up. */
void parcel_end(struct gossip *g, struct parcel *parcel);
/* A packet without sections of its own, filled up with rumours. */
void parcel_answer(struct gossip *g, const struct address *to, struct datagram_head head);

/* ---- pings.c ---- */

/* Number a new ping and remember it. */
uint32_t pings_new(struct gossip *g, enum ping_purpose purpose, struct node_id target,
                   uint32_t detail);
/* Did we send a ping of this number a short while ago, answered or not? */
bool pings_is_recent(const struct gossip *g, uint32_t number);
/* The one that has this number, is recent, and not answered; NULL: none. */
struct ping *pings_find(struct gossip *g, uint32_t number);
/* Ping a member at its address, telling it first what is said of it. Returns the number; 0: no
 * room, or no address. */
uint32_t pings_member(struct gossip *g, struct peer *peer, enum ping_purpose purpose,
                      uint32_t detail);
/* Ping whoever is there, with our record; and the state of `dead` (may be NULL). */
void pings_introduce(struct gossip *g, const struct address *to, const struct peer *dead);
/* Ping another process that has, or had, the id `target`. */
void pings_claimant(struct gossip *g, const struct address *to, enum ping_purpose purpose,
                    struct node_id target, uint32_t detail);

/* ---- notices.c: what waits until it has room among the effects ---- */

void notices_add(struct gossip *g, enum gossip_effect_kind kind, const struct member *member);
/* A packet from this member carried the digest of its catalog. */
void notices_catalog(struct gossip *g, struct peer *peer, uint64_t catalog);
void notices_flush(struct gossip *g);
bool notices_wait(const struct gossip *g);
