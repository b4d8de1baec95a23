#include "ring/view.h"

#include "base/hash.h"

#define DIGEST_SEED 0x61746f6c6c2d7631u

struct view {
    struct member *members; /* sorted by id */
    uint32_t count;
    uint32_t limit;
    uint32_t living;
    uint32_t owning;
    uint64_t sum; /* of the living members' hashes: a set's digest that grows and shrinks */
};

size_t view_memory(uint32_t limit)
{
    return sizeof(struct view) + limit * sizeof(struct member) + 48; /* and what alignment takes */
}

enum err view_new(struct arena *mem, uint32_t limit, struct view **out)
{
    size_t before = mem->used;
    struct view *view = arena_take(mem, sizeof *view);
    struct member *members = arena_array(mem, limit, sizeof *members);
    if (view == NULL || members == NULL) {
        mem->used = before;
        return ERR_NOMEM;
    }
    view->members = members;
    view->limit = limit;
    *out = view;
    return ERR_OK;
}

bool member_is_living(const struct member *member)
{
    switch (member->state) {
    case MEMBER_WARMING:
    case MEMBER_OWNING:
    case MEMBER_LEAVING:
        return true;
    case MEMBER_DEAD:
    case MEMBER_LEFT:
        return false;
    }
    BUG("no such state of a member");
}

static struct span encoded(const struct member *member, uint8_t buffer[MEMBER_RECORD_MAX])
{
    size_t used = 0;
    enum err err = member_encode(member, buffer, MEMBER_RECORD_MAX, &used);
    CHECK(err == ERR_OK); /* every record fits */
    return span_of(buffer, used);
}

/* Take a record into the counts (`sign` 1) or out of them (-1). */
static void account(struct view *view, const struct member *member, int sign)
{
    uint8_t buffer[MEMBER_RECORD_MAX];
    if (!member_is_living(member)) {
        return;
    }
    struct span bytes = encoded(member, buffer);
    uint64_t hash = hash64(bytes.data, bytes.size, DIGEST_SEED);
    uint32_t owning = member->state == MEMBER_OWNING ? 1 : 0;
    view->sum = sign > 0 ? view->sum + hash : view->sum - hash;
    view->living = sign > 0 ? view->living + 1 : view->living - 1;
    view->owning = sign > 0 ? view->owning + owning : view->owning - owning;
}

/* Where `id` is, or would be. */
static uint32_t position(const struct view *view, struct node_id id, bool *found)
{
    uint32_t low = 0;
    uint32_t high = view->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (node_id_compare(view->members[middle].id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = low < view->count && node_id_equal(view->members[low].id, id);
    return low;
}

/* Two records of one incarnation: the facts of the higher version with the later state. Equal
 * versions with different facts are a bug of their writer; the larger bytes win, so that all
 * members agree nevertheless. */
static struct member merged(const struct member *a, const struct member *b)
{
    uint8_t bytes_a[MEMBER_RECORD_MAX];
    uint8_t bytes_b[MEMBER_RECORD_MAX];
    struct member left = *a;
    struct member right = *b;
    left.state = a->state > b->state ? a->state : b->state;
    right.state = left.state;
    if (left.version != right.version) {
        return left.version > right.version ? left : right;
    }
    return span_compare(encoded(&left, bytes_a), encoded(&right, bytes_b)) >= 0 ? left : right;
}

static bool is_same(const struct member *a, const struct member *b)
{
    uint8_t bytes_a[MEMBER_RECORD_MAX];
    uint8_t bytes_b[MEMBER_RECORD_MAX];
    return span_equal(encoded(a, bytes_a), encoded(b, bytes_b));
}

bool member_merge(struct member *into, const struct member *from)
{
    CHECK(node_id_equal(into->id, from->id));
    if (from->incarnation < into->incarnation) {
        return false;
    }
    struct member next = from->incarnation > into->incarnation ? *from : merged(into, from);
    if (is_same(into, &next)) {
        return false;
    }
    *into = next;
    return true;
}

static bool insert(struct view *view, uint32_t at, const struct member *member, enum err *err)
{
    if (view->count == view->limit) {
        if (err != NULL) {
            *err = ERR_FULL;
        }
        return false;
    }
    memmove(&view->members[at + 1], &view->members[at],
            (view->count - at) * sizeof view->members[0]);
    view->members[at] = *member;
    view->count++;
    account(view, member, 1);
    return true;
}

bool view_merge(struct view *view, const struct member *member, enum err *err)
{
    bool found;
    uint32_t at = position(view, member->id, &found);
    CHECK(!node_id_is_zero(member->id));
    if (err != NULL) {
        *err = ERR_OK;
    }
    if (!found) {
        return insert(view, at, member, err);
    }
    struct member next = view->members[at];
    if (!member_merge(&next, member)) {
        return false;
    }
    account(view, &view->members[at], -1);
    account(view, &next, 1);
    view->members[at] = next;
    return true;
}

void view_forget(struct view *view, struct node_id id)
{
    bool found;
    uint32_t at = position(view, id, &found);
    if (!found) {
        return;
    }
    CHECK(!member_is_living(&view->members[at]));
    view->count--;
    memmove(&view->members[at], &view->members[at + 1],
            (view->count - at) * sizeof view->members[0]);
}

const struct member *view_find(const struct view *view, struct node_id id)
{
    bool found;
    uint32_t at = position(view, id, &found);
    return found ? &view->members[at] : NULL;
}

const struct member *view_members(const struct view *view, uint32_t *count)
{
    *count = view->count;
    return view->members;
}

uint64_t view_digest(const struct view *view)
{
    if (view->living == 0) {
        return 0;
    }
    return view->sum == 0 ? 1 : view->sum; /* 0 is kept for a view without living members */
}

const struct member *view_successor(const struct view *view, const struct member *member)
{
    const struct address *address = member_address(member, ENDPOINT_GOSSIP);
    if (member->state != MEMBER_DEAD || member->name[0] == '\0' || address == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < view->count; i++) {
        const struct member *other = &view->members[i];
        const struct address *there = member_address(other, ENDPOINT_GOSSIP);
        if (member_is_living(other) && there != NULL && address_equal(there, address) &&
            strcmp(other->name, member->name) == 0) {
            return other;
        }
    }
    return NULL;
}

bool view_has_owner(const struct view *view)
{
    return view->owning > 0;
}

const struct address *member_address(const struct member *member, enum endpoint_purpose purpose)
{
    for (uint32_t i = 0; i < member->endpoint_count; i++) {
        if (member->endpoints[i].purpose == purpose) {
            return &member->endpoints[i].address;
        }
    }
    return NULL;
}
