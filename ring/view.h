/* ring/view.h: the members a node or mount believes in, and how two beliefs merge.
 *
 * A record's facts are written by the member itself (higher incarnation wins, then higher version);
 * its state by the members' cut: for equal incarnations the later state of the enum wins, except
 * that a member moves from WARMING to OWNING. Merging is commutative, associative, idempotent. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"

#define MEMBER_NAME_MAX 32
#define MEMBER_ZONE_MAX 32
#define MEMBER_LABELS_MAX 128 /* "disk=nvme,rack=7", sorted by key */
#define MEMBER_ENDPOINTS_MAX 4
#define MEMBER_CREDENTIALS_MAX 256 /* names, comma separated, sorted */
#define MEMBER_LATER_MAX 32        /* bytes of fields that only a later version knows */
#define MEMBER_RECORD_MAX 900      /* encoded: one datagram */

enum member_state {
    MEMBER_WARMING = 0, /* alive, owns nothing yet */
    MEMBER_OWNING = 1,
    MEMBER_LEAVING = 2, /* alive, owns nothing any more, still answers */
    MEMBER_DEAD = 3,    /* tombstone */
    MEMBER_LEFT = 4,    /* tombstone */
};

enum endpoint_purpose { ENDPOINT_GOSSIP = 0, ENDPOINT_CONTROL = 1, ENDPOINT_DATA = 2 };

/* An IPv4 address is stored mapped (::ffff:a.b.c.d). */
struct address {
    uint8_t ip[16];
    uint16_t port; /* 0: none */
};

static inline bool address_equal(const struct address *a, const struct address *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

struct endpoint {
    enum endpoint_purpose purpose;
    struct address address;
};

struct member {
    struct node_id id;
    uint64_t incarnation; /* of the process: grows with every start and every refutation */
    uint32_t version;     /* of the facts below, within one incarnation */
    enum member_state state;
    uint32_t weight;       /* capacity share, 1..65535; 0 owns nothing */
    uint32_t serve_weight; /* NIC share */
    char name[MEMBER_NAME_MAX + 1];
    char zone[MEMBER_ZONE_MAX + 1];
    char labels[MEMBER_LABELS_MAX + 1];
    char credentials[MEMBER_CREDENTIALS_MAX + 1];
    struct endpoint endpoints[MEMBER_ENDPOINTS_MAX];
    uint32_t endpoint_count;
    /* Fields of a later version: passed on as they came, or digests would differ for ever between
     * those who know them and those who do not. */
    uint8_t later[MEMBER_LATER_MAX];
    uint32_t later_size;
};

struct view;

/* Bytes of arena that view_new takes for this many members, tombstones included. */
size_t view_memory(uint32_t limit);
/* ERR_NOMEM: the arena is too small. */
enum err view_new(struct arena *mem, uint32_t limit, struct view **out) MUST_USE;
/* Merge one record. true: the view changed. *err (may be NULL) is ERR_FULL when there is no room
 * for a new member. */
bool view_merge(struct view *view, const struct member *member, enum err *err);
/* Drop a tombstone; the caller knows that its time is over. */
void view_forget(struct view *view, struct node_id id);
/* NULL when not known. Valid until the next merge or forget. */
const struct member *view_find(const struct view *view, struct node_id id);
/* Sorted by id, tombstones included. Valid until the next merge or forget. */
const struct member *view_members(const struct view *view, uint32_t *count);
/* The living member that has a dead one's name and gossip address, under an id of its own: the node
 * lost its data and was started again. NULL: there is none, or `member` is not dead. */
const struct member *view_successor(const struct view *view, const struct member *member);
/* Of everything that decides placement and reachability (id, incarnation, state, facts), without
 * tombstones: equal digests mean equal rings. 0 only for a view without living members. */
uint64_t view_digest(const struct view *view);
/* Is a member OWNING? Where a pool has none, ring_build lets its WARMING members own. */
bool view_has_owner(const struct view *view);
/* Alive: WARMING, OWNING or LEAVING. */
bool member_is_living(const struct member *member);
/* The merge of two records of one id, as in view_merge; true: *into changed. */
bool member_merge(struct member *into, const struct member *from);
/* NULL when it has none. */
const struct address *member_address(const struct member *member, enum endpoint_purpose purpose);

/* Bounded codec of one record: at most MEMBER_RECORD_MAX bytes; unknown trailing fields kept as `later`. */
enum err member_encode(const struct member *member, uint8_t *buffer, size_t room, size_t *used)
    MUST_USE;
/* Reads one record off the front of *from and moves it on. ERR_MALFORMED leaves *from as it was. */
enum err member_decode(struct span *from, struct member *out) MUST_USE;

/* A selector: "k=v,k2=v2" (all must hold; "" admits everybody). */
bool selector_is_valid(struct span selector);
bool selector_admits(struct span selector, const struct member *member);
