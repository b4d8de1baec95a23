/* node/core/rings.c: the node's own view, the rings made of it, and who is told. */
#include "node/core/rings.h"

#include <string.h>

#include "node/core/internal.h"
#include "node/core/meta.h"
#include "node/core/report.h"

#define TELL_US MSEC(20) /* changes that come together go out together */
#define BUILD_AGAIN_US SEC(1)

size_t rings_memory(const struct node_options *options)
{
    size_t members = node_members_max(options);
    return members * (MEMBER_RECORD_MAX + sizeof(struct member) + 2 * sizeof(uint32_t)) +
           view_memory((uint32_t)members) + 96;
}

enum err rings_init(struct rings *rings, struct arena *mem, const struct node_options *options)
{
    uint32_t members = node_members_max(options);
    *rings = (struct rings){ .encoded_room = (size_t)members * MEMBER_RECORD_MAX };
    rings->timer.kind = TIMER_RINGS;
    rings->tell.kind = TIMER_TELL;
    list_init(&rings->subscribed);
    list_init(&rings->stale);
    rings->encoded = arena_take(mem, rings->encoded_room);
    if (rings->encoded == NULL) {
        return ERR_NOMEM;
    }
    rings->gossip = arena_array(mem, members, sizeof *rings->gossip);
    rings->lost = arena_array(mem, members + 1, sizeof *rings->lost); /* one more may be tried */
    rings->gained = arena_array(mem, members + 1, sizeof *rings->gained);
    if (rings->gossip == NULL || rings->lost == NULL || rings->gained == NULL) {
        return ERR_NOMEM;
    }
    rings->use[0].in_use = true; /* the pool of everybody */
    rings->use[0].asked = true;
    return view_new(mem, members, &rings->view);
}

/* ---- rings ------------------------------------------------------------------------------- */

void rings_build(struct node *node, struct rings_use *use)
{
    struct rings *rings = &node->rings;
    uint32_t count = 0;
    const struct member *members = view_members(rings->view, &count);
    if (rings->building != 0 || count == 0 || rings->gathering) {
        return; /* the end of the one under way, or of the gathering, looks again */
    }
    rings->building = node_next_id(node);
    rings->building_for = use;
    use->built_view = rings->digest;
    struct span copy = scratch_copy(node, span_of(members, count * sizeof *members));
    struct span selector = scratch_copy(node, span_of(use->selector, use->selector_size));
    effects_push(node,
                 &(struct node_effect){
                     .kind = NODE_RING_BUILD,
                     .ring_build = { .id = rings->building,
                                     .selector = selector,
                                     .members = (const struct member *)(const void *)copy.data,
                                     .count = count,
                                     .previous = use->ring } });
}

/* Begin the next build that is due, if any. */
static void build_next(struct node *node)
{
    for (uint32_t i = 0; i < RINGS_MAX && node->rings.building == 0; i++) {
        struct rings_use *use = &node->rings.use[i];
        if (use->in_use && use->built_view != node->rings.digest) {
            rings_build(node, use);
        }
    }
}

void rings_drop(struct node *node, const struct ring *ring)
{
    effects_push(node,
                 &(struct node_effect){ .kind = NODE_RING_DROP, .ring_drop = { .ring = ring } });
}

void rings_drop_oldest(struct node *node, struct rings_use *use)
{
    CHECK(use->old_count > 0);
    use->old_count--;
    rings_drop(node, use->old[use->old_count].ring);
}

void rings_arm(struct node *node, usec_t at_us)
{
    struct timer *timer = &node->rings.timer;
    if (!timer_is_set(timer) || timer->at_us > at_us) {
        timers_set(&node->timers, timer, at_us);
    }
}

/* How many earlier tables: of a ring that nobody asks for only what `atoll ring diff` shows. */
static uint32_t tables_kept(const struct rings_use *use)
{
    return use->asked ? RINGS_KEPT : 1;
}

/* `ring` takes the place of the present one, which is kept for the hand-over. */
static void swap(struct node *node, struct rings_use *use, const struct ring *ring)
{
    if (use->ring != NULL && ring_digest(use->ring) == ring_digest(ring)) {
        rings_drop(node, ring); /* the change did not touch placement */
        return;
    }
    if (use->ring != NULL) {
        if (use->old_count >= tables_kept(use)) {
            MARK(node, "rings.old.many");
            rings_drop_oldest(node, use);
        }
        memmove(use->old + 1, use->old, use->old_count * sizeof use->old[0]);
        use->old[0] = (struct rings_old){ .ring = use->ring,
                                          .until_us = node->now.mono_us + RING_HANDOVER_US };
        use->old_count++;
        use->changed_us = node->now.mono_us;
        rings_arm(node, use->old[use->old_count - 1].until_us);
    }
    use->ring = ring;
    handover_wake(node);
    moves_wake(node);
}

uint32_t rings_earlier(const struct node *node, const struct rings_use *use)
{
    uint32_t count = use->old_count;
    while (count > 0 && use->old[count - 1].until_us <= node->now.mono_us) {
        count--;
    }
    return count;
}

void rings_prolong(struct node *node)
{
    for (uint32_t i = 0; i < RINGS_MAX; i++) {
        struct rings_use *use = &node->rings.use[i];
        const uint32_t earlier = rings_earlier(node, use);
        for (uint32_t k = 0; k < earlier; k++) {
            use->old[k].until_us = node->now.mono_us + RING_HANDOVER_US;
        }
    }
}

bool rings_are_settled(const struct node *node)
{
    const struct rings *rings = &node->rings;
    bool settled = rings->building == 0;
    for (uint32_t i = 0; i < RINGS_MAX; i++) {
        settled = settled && (!rings->use[i].in_use || rings->use[i].built_view == rings->digest);
    }
    return settled;
}

bool rings_try(struct node *node, const struct rings_use *use, const struct member *members,
               uint32_t count, uint64_t admin)
{
    struct rings_trial *trial = &node->rings.trial;
    if (trial->build != 0) {
        return false;
    }
    *trial = (struct rings_trial){ .build = node_next_id(node),
                                   .admin = admin,
                                   .selector_size = use->selector_size };
    memcpy(trial->selector, use->selector, use->selector_size);
    effects_push(node, &(struct node_effect){
                           .kind = NODE_RING_BUILD,
                           .ring_build = { .id = trial->build,
                                           .selector = scratch_copy(
                                               node, span_of(use->selector, use->selector_size)),
                                           .members = members,
                                           .count = count,
                                           .previous = use->ring } });
    return true;
}

void rings_on_ring(struct node *node, uint64_t id, const struct ring *ring)
{
    struct rings *rings = &node->rings;
    if (id == rings->trial.build) {
        rings->trial.build = 0;
        report_ring_trial(node, ring);
        return;
    }
    CHECK(id == rings->building);
    struct rings_use *use = rings->building_for;
    rings->building = 0;
    rings->building_for = NULL;
    if (use == NULL) {
        MARK(node, "rings.unwanted"); /* its selector made room for another */
        if (ring != NULL) {
            rings_drop(node, ring);
        }
    } else if (ring == NULL) {
        MARK(node, "rings.build.failed");
        use->built_view = 0;
        rings_arm(node, node->now.mono_us + BUILD_AGAIN_US);
        return;
    } else {
        node->metrics.ring_builds++;
        swap(node, use, ring);
    }
    build_next(node);
}

const struct ring *rings_current(struct node *node, struct span selector)
{
    const struct rings_use *use = rings_use(node, selector);
    return use == NULL ? NULL : use->ring;
}

uint32_t rings_owners(struct node *node, struct span selector, struct place place, uint32_t want,
                      struct node_id *out)
{
    const struct ring *ring = rings_current(node, selector);
    return ring == NULL ? 0 : ring_owners(ring, place, want, out);
}

bool rings_is_owner(struct node *node, struct span selector, struct place place)
{
    const struct ring *ring = rings_current(node, selector);
    return ring != NULL && ring_is_owner(ring, place, node->options.id);
}

static bool is_among(struct node_id id, const struct node_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (node_id_equal(id, ids[i])) {
            return true;
        }
    }
    return false;
}

uint32_t rings_previous(struct node *node, struct span selector, struct place place,
                        struct node_id *out)
{
    const struct rings_use *use = rings_use(node, selector);
    struct node_id present = { 0 };
    uint32_t count = 0;
    const uint32_t earlier = use == NULL ? 0 : rings_earlier(node, use);
    if (earlier == 0) {
        return 0;
    }
    (void)ring_owners(use->ring, place, 1, &present);
    for (uint32_t i = 0; i < earlier; i++) {
        struct node_id owner;
        if (ring_owners(use->old[i].ring, place, 1, &owner) == 1 &&
            !node_id_equal(owner, present) && !node_id_equal(owner, node->options.id) &&
            !is_among(owner, out, count)) {
            out[count] = owner;
            count++;
        }
    }
    return count;
}

/* ---- the view ---------------------------------------------------------------------------- */

uint32_t rings_living(const struct node *node)
{
    uint32_t count = 0;
    uint32_t living = 0;
    const struct member *members = view_members(node->rings.view, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (member_lives(&members[i])) {
            living++;
        }
    }
    return living;
}

static void encode_all(struct node *node)
{
    struct rings *rings = &node->rings;
    uint32_t count = 0;
    const struct member *members = view_members(rings->view, &count);
    rings->encoded_size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t used = 0;
        enum err err = member_encode(&members[i], rings->encoded + rings->encoded_size,
                                     rings->encoded_room - rings->encoded_size, &used);
        CHECK(err == ERR_OK);
        rings->encoded_size += used;
    }
}

static void view_changed(struct node *node)
{
    struct rings *rings = &node->rings;
    rings->digest = view_digest(rings->view);
    encode_all(node);
    build_next(node);
    peers_on_view(node);
    meta_on_view(node);
    list_move_all(&rings->subscribed, &rings->stale);
    if (!list_is_empty(&rings->stale) && !timer_is_set(&rings->tell)) {
        timers_set(&node->timers, &rings->tell, node->now.mono_us + TELL_US);
    }
}

static bool merge(struct node *node, const struct member *member)
{
    enum err err = ERR_OK;
    bool changed = view_merge(node->rings.view, member, &err);
    if (err == ERR_FULL) {
        MARK(node, "rings.view.full");
    }
    return changed;
}

/* Tombstones that gossip has forgotten are forgotten here too. */
static bool forget_missing(struct node *node)
{
    const struct rings *rings = &node->rings;
    uint32_t known = 0;
    bool changed = false;
    const struct member *mine = view_members(rings->view, &known);
    uint32_t *is_there = rings->lost;
    memset(is_there, 0, known * sizeof *is_there);
    for (uint32_t i = 0; i < rings->gossip_count; i++) {
        const struct member *member = view_find(rings->view, rings->gossip[i].id);
        if (member != NULL) {
            is_there[member - mine] = 1;
        }
    }
    for (uint32_t i = known; i > 0; i--) {
        if (is_there[i - 1] == 0 && !member_lives(&mine[i - 1])) {
            MARK(node, "rings.view.forgotten");
            view_forget(rings->view, mine[i - 1].id); /* those before it stay where they are */
            mine = view_members(rings->view, &known);
            changed = true;
        }
    }
    return changed;
}

void rings_on_view(struct node *node, const struct member *members, uint32_t count, bool gathering)
{
    struct rings *rings = &node->rings;
    bool changed = false;
    rings->gathering = gathering;
    rings->gossip_count =
        count < node_members_max(&node->options) ? count : node_members_max(&node->options);
    memcpy(rings->gossip, members, rings->gossip_count * sizeof *members);
    for (uint32_t i = 0; i < rings->gossip_count; i++) {
        changed |= merge(node, &members[i]);
    }
    changed |= forget_missing(node);
    if (changed) {
        view_changed(node);
    } else {
        build_next(node); /* what the gathering has held up */
    }
}

static const struct member *gossip_find(const struct rings *rings, struct node_id id)
{
    for (uint32_t i = 0; i < rings->gossip_count; i++) {
        if (node_id_equal(rings->gossip[i].id, id)) {
            return &rings->gossip[i];
        }
    }
    return NULL;
}

/* Gossip has not said the same in time: its own word counts again. */
static bool give_back(struct node *node, struct node_id id)
{
    const struct member *said = gossip_find(&node->rings, id);
    const struct member *mine = view_find(node->rings.view, id);
    if (mine == NULL || (said != NULL && said->incarnation == mine->incarnation &&
                         said->version == mine->version && said->state == mine->state)) {
        return false;
    }
    MARK(node, "rings.borrowed.given_back");
    struct member buried = *mine;
    buried.state = MEMBER_DEAD; /* only tombstones are forgotten */
    (void)merge(node, &buried);
    view_forget(node->rings.view, id);
    if (said != NULL) {
        (void)merge(node, said);
    }
    return true;
}

/* The time of the next one. */
static usec_t give_back_borrowed(struct node *node)
{
    struct rings *rings = &node->rings;
    usec_t next = USEC_NEVER;
    bool changed = false;
    for (uint32_t i = rings->borrowed_count; i > 0; i--) {
        struct rings_borrowed *borrowed = &rings->borrowed[i - 1];
        if (borrowed->until_us > node->now.mono_us) {
            next = usec_min(next, borrowed->until_us);
            continue;
        }
        struct node_id id = borrowed->node;
        rings->borrowed_count--;
        *borrowed = rings->borrowed[rings->borrowed_count];
        changed |= give_back(node, id);
    }
    if (changed) {
        view_changed(node);
    }
    return next;
}

/* A record of a peer, newer than ours. Tombstones are gossip's business: a stale one could hide
 * who has come back. */
static bool borrow(struct node *node, const struct member *member)
{
    struct rings *rings = &node->rings;
    if (!member_lives(member) || node_id_equal(member->id, node->options.id) ||
        rings->borrowed_count == RINGS_BORROWED_MAX || !merge(node, member)) {
        return false;
    }
    MARK(node, "rings.view.merged");
    node->metrics.views_merged++;
    rings->borrowed[rings->borrowed_count] =
        (struct rings_borrowed){ .node = member->id,
                                 .until_us = node->now.mono_us + RING_BORROW_US };
    rings->borrowed_count++;
    rings_arm(node, node->now.mono_us + RING_BORROW_US);
    return true;
}

void rings_on_peer_view(struct node *node, const struct message_view *message)
{
    struct span left = message->members;
    struct member member;
    bool changed = false;
    if (message->slots_log2 != node->options.slots_log2) {
        MARK(node, "rings.view.foreign");
        return;
    }
    while (left.size > 0 && member_decode(&left, &member) == ERR_OK) {
        changed |= borrow(node, &member);
    }
    if (changed) {
        view_changed(node);
    }
}

void rings_on_timer(struct node *node)
{
    usec_t next = USEC_NEVER;
    for (uint32_t i = 0; i < RINGS_MAX; i++) {
        struct rings_use *use = &node->rings.use[i];
        const uint32_t earlier = rings_earlier(node, use);
        while (use->old_count > 1 && use->old_count > earlier) {
            MARK(node, "rings.old.expired");
            rings_drop_oldest(node, use);
        }
        if (earlier > 0) {
            next = usec_min(next, use->old[earlier - 1].until_us);
        }
    }
    next = usec_min(next, give_back_borrowed(node));
    next = usec_min(next, rings_tend(node));
    build_next(node);
    if (next != USEC_NEVER) {
        rings_arm(node, next);
    }
}

/* ---- telling it -------------------------------------------------------------------------- */

static void send_view(struct node *node, const struct session *session, struct link_id link,
                      uint64_t known)
{
    const struct rings *rings = &node->rings;
    struct message message = { .kind = MESSAGE_VIEW,
                               .view = { .digest = rings->digest,
                                         .slots_log2 = node->options.slots_log2 } };
    if (session->role == WIRE_NODE) {
        message.view.directories = moves_without(node, session->node);
    }
    if (known != rings->digest) {
        message.view.members = span_of(rings->encoded, rings->encoded_size);
    }
    node_send(node, link, &message, (struct payload){ 0 });
}

void rings_on_view_get(struct node *node, struct link *link, const struct message_view_get *get)
{
    struct session *session = link->session;
    if (get->leaving) { /* it only wants to know whether it may go */
        send_view(node, session, link->id, node->rings.digest);
        return;
    }
    list_remove(&session->watch);
    session->subscribed = session->subscribed || get->subscribe != 0;
    if (!effects_roomy(node, node->rings.encoded_size)) {
        MARK(node, "rings.tell.later"); /* many ask at once: in turn */
        session->view_digest = 0;
        list_push_back(&node->rings.stale, &session->watch);
        timers_set(&node->timers, &node->rings.tell, node->now.mono_us);
        return;
    }
    send_view(node, session, link->id, get->digest);
    session->view_digest = node->rings.digest;
    if (session->subscribed) {
        list_push_back(&node->rings.subscribed, &session->watch);
    }
}

void rings_on_tell_timer(struct node *node)
{
    struct rings *rings = &node->rings;
    struct list *item;
    while ((item = list_first(&rings->stale)) != NULL) {
        if (!effects_roomy(node, rings->encoded_size)) {
            MARK(node, "rings.tell.goes_on");
            timers_set(&node->timers, &rings->tell, node->now.mono_us);
            return;
        }
        struct session *session = CONTAINER_OF(item, struct session, watch);
        struct link_id link = session_control(session);
        list_remove(item);
        if (session->subscribed) {
            list_push_back(&rings->subscribed, item);
        }
        if (link.v != 0 && session->view_digest != rings->digest) {
            session->view_digest = rings->digest;
            send_view(node, session, link, 0);
        }
    }
}

void rings_forget_session(struct node *node, struct session *session)
{
    (void)node;
    list_remove(&session->watch);
}
