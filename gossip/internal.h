/* gossip/internal.h: what the files of one machine (gossip/machine.h) do for each other.
 *
 * receive.c takes packets apart, roster.c keeps what is known of each member and hearsay.c merges
 * what others say, circles.c says who observes whom, prober.c and relays.c ask, votes.c and cut.c
 * decide, publish.c shows it to others, rumours.c tells, repair.c and heal.c mend what rumours
 * missed, identity.c defends our own record, parcel.c puts packets together; keys.h has its own
 * files. */
#pragma once
#include "gossip/machine.h"

/* ---- roster.c ---- */

static inline struct peer *roster_self(struct gossip *g)
{
    return &g->peers[g->self];
}
static inline uint32_t roster_index(const struct gossip *g, const struct peer *peer)
{
    return (uint32_t)(peer - g->peers);
}
static inline bool roster_is_used(const struct peer *peer)
{
    return peer->record != RECORD_NONE;
}
static inline bool roster_is_living(const struct peer *peer)
{
    return peer->record != RECORD_NONE && peer->state <= MEMBER_LEAVING;
}
size_t roster_memory(uint32_t members_max);
enum err roster_init(struct gossip *g, struct arena *mem) MUST_USE;
struct peer *roster_find(const struct gossip *g, struct node_id id);
struct node_id roster_id(const struct gossip *g, const struct peer *peer);
/* All of it, as known. */
struct member roster_member(const struct gossip *g, const struct peer *peer);
/* NULL when it has no gossip endpoint. */
const struct address *roster_address(const struct gossip *g, const struct peer *peer);
/* NULL: full of living members. Else a new place that knows `member`. */
struct peer *roster_add(struct gossip *g, const struct member *member, bool ready);
/* Around each change of a peer; roster_facts sets what it says of itself. */
void roster_before(struct gossip *g, struct peer *peer);
void roster_facts(struct gossip *g, struct peer *peer, const struct member *member);
void roster_after(struct gossip *g, struct peer *peer);
void roster_drop(struct gossip *g, struct peer *peer);
/* Since peer->when; for ever when that is 0. */
usec_t roster_age_us(const struct gossip *g, const struct peer *peer);
void roster_touch(struct gossip *g, struct peer *peer);
/* Of all living members known; 0 for none. */
uint64_t roster_digest(const struct gossip *g);
/* A random living member but us; NULL when there is none. */
struct peer *roster_random(struct gossip *g);
/* A random one that is dead or has left; NULL when there is none, or chance wants it so. */
struct peer *roster_random_gone(struct gossip *g);
/* Set a member's state by our own decision, and tell. */
void roster_decide(struct gossip *g, struct peer *peer, enum member_state state);
/* Its part of the digest. */
uint64_t roster_part(const struct gossip *g, const struct peer *peer);
void roster_sweep(struct gossip *g);

/* ---- hearsay.c: what a packet says of a member that is not us ---- */

void hearsay_member(struct gossip *g, const struct member *member, struct telling how);
void hearsay_state(struct gossip *g, const struct datagram_state *state);
/* Deaths that wait for their time: put to the members, while they can still answer. */
void hearsay_tick(struct gossip *g);
/* Its observers, we among them, found that it does not live any more, or that its links are too bad:
 * in a while it will be dead to all. */
void hearsay_condemn(struct gossip *g, struct peer *peer, bool is_unfit, usec_t wait_us);
void hearsay_die(struct gossip *g, struct peer *peer, struct news *news);

/* ---- circles.c: who observes whom ---- */

void circles_init(struct gossip *g);
void circles_joined(struct gossip *g, uint32_t peer);
void circles_left(struct gossip *g, uint32_t peer);
/* Distinct living members that we observe; at most OBSERVERS_MAX. */
uint32_t circles_subjects(struct gossip *g, uint32_t out[OBSERVERS_MAX]);
/* Those that observe `peer`; drawn anew when others live than did the last time. */
const struct jury *circles_jury(struct gossip *g, uint32_t peer, struct jury *jury);

/* ---- prober.c ---- */

void prober_init(struct gossip *g);
void prober_tick(struct gossip *g);
usec_t prober_deadline(const struct gossip *g);
/* A two-way contact with a member just now; `acked`: on our own socket. */
void prober_good(struct gossip *g, struct peer *peer, uint64_t incarnation, bool acked);
void prober_evidence(struct gossip *g, struct node_id id);
/* Whom it asks. */
static inline uint32_t prober_subject(const struct gossip *g, const struct probe *probe)
{
    return g->probe_peer[probe - g->probes];
}
/* The probe of this member; NULL when we do not observe it. */
struct probe *prober_find(struct gossip *g, const struct peer *peer);
/* Start its period again: it is another incarnation. */
void prober_restart(struct gossip *g, const struct peer *peer);
void prober_forget(struct gossip *g, const struct peer *peer);
/* Another observer misses it: begin now, by the ping of that number, which is on its way. */
void prober_wake(struct gossip *g, const struct peer *peer, uint32_t number);
/* Of the last WINDOW pings of each member we observe: how many the median one lost. */
uint32_t prober_median_lost(const struct gossip *g);
/* A ping of ours was answered, the nth that its probe counts. */
void prober_acked(struct gossip *g, const struct peer *peer, uint32_t nth);
/* Our own process stood still for so long. */
void prober_stalled(struct gossip *g, usec_t late_us);

/* ---- relays.c: asking for others ---- */

void relays_ask(struct gossip *g, struct probe *probe);
void relays_take(struct gossip *g, const struct datagram_head *head, const struct address *from);
/* Returns true when it was asked for. */
bool relays_answered(struct gossip *g, const struct datagram_head *head);
void relays_done(struct gossip *g, uint32_t relaying, uint64_t incarnation);
void relays_tick(struct gossip *g);
usec_t relays_deadline(const struct gossip *g);

/* ---- votes.c ---- */

void votes_init(struct gossip *g);
/* NULL: nobody doubts it. */
struct doubt *votes_doubt(struct gossip *g, const struct peer *peer);
void votes_hear(struct gossip *g, const struct datagram_votes *votes);
/* Our own vote on a member we observe. */
void votes_cast(struct gossip *g, struct peer *peer, bool down, bool is_lossy);
/* We miss it; we find it lossy. */
bool votes_ours_stands(struct gossip *g, const struct peer *peer);
bool votes_ours_is_lossy(struct gossip *g, const struct peer *peer);
/* Standing votes on a member, into a packet to one of its observers, or to itself. */
void votes_add(struct gossip *g, struct datagram *d, const struct peer *peer);
void votes_clear(struct gossip *g, struct peer *peer);
/* It says that it lives: that does not make its links better. */
void votes_refuted(struct gossip *g, struct peer *peer);
/* Enough of its observers have found it lossy for a while. */
bool votes_is_lossy(const struct gossip *g, const struct doubt *doubt);
/* It is no member any more: what it said is void. */
void votes_forget(struct gossip *g, const struct peer *observer);
/* Recount all: voices, condemned, suspicion told. true: somebody is doubted, but not condemned. */
bool votes_review(struct gossip *g);

/* ---- cut.c, publish.c ---- */

void cut_tick(struct gossip *g);
void cut_look_soon(struct gossip *g);
/* Nothing is due sooner for our having stood still. */
void cut_stalled(struct gossip *g, usec_t late_us);
/* The view has no owner but perhaps us: whoever owns is taken over at once. */
bool cut_is_young(const struct gossip *g);
/* All who are warming own, where the digest is this and nobody owns: somebody says so. */
void cut_hear_young(struct gossip *g, uint64_t digest);
/* Comes into force when all that is due does. */
void cut_add_due(struct gossip *g, struct news *news, enum due due, usec_t wait_us);
void cut_drop_due(struct gossip *g, struct news *news);
void publish_tick(struct gossip *g);
usec_t publish_deadline(const struct gossip *g);
void publish_soon(struct gossip *g, struct peer *peer, usec_t wait_us);
/* After a change that we have heard of: at once, or with what is due. `is_promoted`: by a cut. */
void publish_heard(struct gossip *g, struct peer *peer, bool is_promoted, struct telling how);
/* Take it out of the view, without a word. */
void publish_forget(struct gossip *g, struct peer *peer);
/* Its part of what is published: out, before it changes, and in again. */
void publish_account(struct gossip *g, const struct peer *peer, bool in);

/* ---- rumours.c ---- */

size_t rumours_memory(uint32_t members_max);
enum err rumours_init(struct gossip *g, struct arena *mem) MUST_USE;
/* NULL: nothing is going on about it. */
struct news *rumours_find(const struct gossip *g, const struct peer *peer);
struct news *rumours_about(struct gossip *g, struct peer *peer);
/* To be told: all that it says of itself, or its state alone. */
void rumours_record(struct gossip *g, struct peer *peer);
void rumours_state(struct gossip *g, struct peer *peer);
void rumours_forget(struct gossip *g, struct peer *peer);
/* When there is nothing more to tell, and nothing due. */
void rumours_release(struct gossip *g, struct news *news);
/* Fill what is left of a packet. */
void rumours_fill(struct gossip *g, struct datagram *d);
void rumours_tick(struct gossip *g);
/* Whom we tell first. */
uint32_t rumours_targets(struct gossip *g, uint32_t targets[OBSERVERS_MAX]);

/* ---- repair.c ---- */

size_t repair_memory(uint32_t members_max);
enum err repair_init(struct gossip *g, struct arena *mem) MUST_USE;
/* A packet from `from` carried this digest. */
void repair_compare(struct gossip *g, const struct address *from, uint64_t digest);
/* How many packets with just our digest came since the last one with another. */
uint32_t repair_agreements(const struct gossip *g);
/* Somebody has what we have now. */
void repair_agree(struct gossip *g);
void repair_sums(struct gossip *g, const struct address *from, const uint64_t *sums);
void repair_mask(struct gossip *g, const struct address *from, uint64_t mask);
void repair_have(struct gossip *g, const struct address *from, const struct datagram_section *s);
void repair_contacts(struct gossip *g, const struct datagram_section *section);
void repair_tick(struct gossip *g);
usec_t repair_deadline(const struct gossip *g);

/* ---- heal.c ---- */

void heal_start(struct gossip *g);
void heal_seeds(struct gossip *g, const struct address *addresses, uint32_t count);
void heal_tick(struct gossip *g);
/* Seeds that have not answered yet, and might still. */
bool heal_expects_more(struct gossip *g);
/* An ack came from there. */
void heal_answered(struct gossip *g, const struct address *from);
usec_t heal_deadline(const struct gossip *g);

/* ---- identity.c ---- */

/* A record, or a state, of our own id. */
void identity_hear(struct gossip *g, const struct member *member, struct telling how);
void identity_hear_state(struct gossip *g, const struct datagram_state *state);
/* Say that we live, above this incarnation; and that we own nothing, and are not ready to. */
void identity_refute(struct gossip *g, uint64_t above);
void identity_step_down(struct gossip *g, uint64_t above);
/* Another process with our id wrote to us from there; and answered a ping of ours. */
void identity_twin(struct gossip *g, const struct address *from);
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

/* ---- standing.c: removed while we lived ---- */

void standing_init(struct gossip *g);
/* Others say that we are dead. false: it is to be denied at once. */
bool standing_hear_death(struct gossip *g, const struct datagram_state *state);
/* At the begin of each step: how long has nobody answered? */
void standing_look(struct gossip *g);
void standing_stalled(struct gossip *g, usec_t late_us);
/* Our warming is over: we are ready, or as soon as we are held back no more. */
void standing_ready(struct gossip *g);
void standing_tick(struct gossip *g);
usec_t standing_deadline(const struct gossip *g);
/* A member that is dead to us asks us something. */
void standing_asked_by_the_dead(struct gossip *g, struct peer *peer, uint64_t incarnation);

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
    uint32_t window;
};
void receive_packet(struct gossip *g, const struct address *from, uint8_t *data, size_t size);

/* ---- parcel.c: a packet on its way into the effects ---- */

struct parcel {
    struct datagram body;
    struct address to;
    enum traffic traffic;
    size_t bare;  /* without what rides along, for which another class pays */
    uint32_t key; /* to be sealed with; the present one unless somebody sets it */
    uint8_t *bytes;
};

/* Is there room for another packet in this step? */
bool parcel_has_room(const struct gossip *g);
bool parcel_has_room_for(const struct gossip *g, uint32_t packets);
/* Is anything left of this budget? */
bool parcel_has_budget(struct gossip *g, enum traffic traffic);
/* Needs room. `head` names kind, number and target; the rest of it is filled in. */
void parcel_begin(struct gossip *g, struct parcel *parcel, const struct address *to,
                  struct datagram_head head);
/* Rumours fill up what is left of it; their class pays for them. */
void parcel_fill(struct gossip *g, struct parcel *parcel);
/* Send it, unless its budget is used up. */
void parcel_end(struct gossip *g, struct parcel *parcel);
/* A packet without sections of its own, filled up with rumours. */
void parcel_answer(struct gossip *g, const struct address *to, struct datagram_head head);

/* ---- pings.c ---- */

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

/* ---- loads.c: how much members serve, in one byte: 0 is "not told" ---- */

uint8_t loads_code(uint64_t rate);
uint64_t loads_rate(uint8_t code);
/* A packet from this member carried that. */
void loads_hear(struct gossip *g, const struct peer *peer, uint8_t code);

/* ---- notices.c: what waits until it has room among the effects ---- */

void notices_add(struct gossip *g, enum gossip_effect_kind kind, const struct peer *peer);
/* A packet from this member carried the digest of its catalog. */
void notices_catalog(struct gossip *g, const struct peer *peer, uint64_t catalog);
void notices_flush(struct gossip *g);
bool notices_wait(const struct gossip *g);
