/* fs/core/link.c: the connections to nodes: opened, greeted, lost and opened again.
 *
 * We start from seed addresses (hails): whoever answers tells its id, and its link becomes that
 * peer's. Everybody else is found in the view. */
#include "fs/core/internal.h"

#define HAIL_EVERY_US MSEC(250)
#define HAIL_PATIENCE_US SEC(2)
#define RESOLVE_EVERY_US SEC(10)
#define BACKOFF_MAX_US SEC(2)
#define REFUSED_MAX_US SEC(60)
#define BACKOFF_MIN_US MSEC(100)

/* ---- links ---------------------------------------------------------------------------------- */

struct peer *link_peer(struct peer_link *link)
{
    CHECK(link->owner == LINK_OF_PEER);
    return CONTAINER_OF(link - link->purpose, struct peer, links[0]);
}

struct peer_link *link_known(const struct mount *m, struct link_id id)
{
    struct map_node *node = map_first(&m->link_by_id, id.v);
    return node == NULL ? NULL : CONTAINER_OF(node, struct peer_link, by_id);
}

void link_open(struct mount *m, struct peer_link *link, const struct address *address)
{
    struct mount_effect *effect = effect_push(m, MOUNT_CONNECT);
    effect->connect.address = *address;
    effect->connect.purpose = link->purpose;
    link->address = *address;
    link->state = LINK_OPENING;
    link->since_us = m->now.mono_us;
}

/* It is gone: not ours any more, and nothing will come over it. The pause doubles within these limits. */
static void link_lost(struct mount *m, struct peer_link *link, usec_t least_us, usec_t most_us)
{
    if (link->state == LINK_GREETING || link->state == LINK_READY) {
        map_remove(&m->link_by_id, &link->by_id);
        ghost_link_gone(m, link->id);
    }
    usec_t backoff = usec_min(usec_max(2 * link->backoff_us, least_us), most_us);
    link->backoff_us = backoff;
    link->retry_us =
        m->now.mono_us + backoff / 2 + (usec_t)rng_below(&m->rng, (uint64_t)backoff / 2 + 1);
    link->state = LINK_CLOSED;
    link->since_us = m->now.mono_us;
    link->id = (struct link_id){ 0 };
}

static void hang_up(struct mount *m, const struct peer_link *link)
{
    if (link->state == LINK_GREETING || link->state == LINK_READY) {
        effect_push(m, MOUNT_CLOSE)->close.link = link->id;
    } else if (link->state == LINK_OPENING) {
        struct mount_effect *effect = effect_push(m, MOUNT_ABANDON);
        effect->abandon.address = link->address;
        effect->abandon.purpose = link->purpose;
    }
}

void link_shut(struct mount *m, struct peer_link *link)
{
    hang_up(m, link);
    link_lost(m, link, BACKOFF_MIN_US, BACKOFF_MAX_US);
}

void link_refused(struct mount *m, struct peer_link *link)
{
    hang_up(m, link);
    link_lost(m, link, LINK_REFUSED_MIN_US, REFUSED_MAX_US);
}

static void greet(struct mount *m, struct peer_link *link)
{
    struct message message = { .kind = MESSAGE_HELLO };
    struct message_hello *hello = &message.hello;
    hello->lowest_version = WIRE_VERSION_LOWEST;
    hello->highest_version = WIRE_VERSION_HIGHEST;
    hello->cluster = span_text(m->options.cluster);
    memcpy(hello->session, m->options.session, ID_SIZE);
    hello->role = WIRE_MOUNT;
    hello->purpose = link->purpose;
    if (link->purpose == LINK_CONTROL) {
        hello->grants = m->options.grants; /* a data link is proven by the session */
    }
    hello->name = span_text(m->options.name);
    effect_send(m, link->id, &message);
    link->state = LINK_GREETING;
    link->since_us = m->now.mono_us;
    link->sent_us = m->now.mono_us;
}

void link_peer_lost(struct mount *m, struct peer *peer, enum link_purpose purpose)
{
    peer->tried = true;
    call_peer_lost(m, peer, purpose, false);
    if (purpose == LINK_CONTROL) {
        cluster_on_peer_gone(m, peer);
        if (peer_ready_count(m) == 0) {
            timers_set(&m->timers, &m->hail_timer, m->now.mono_us);
        }
    }
    peer_arm(m, peer, peer->links[purpose].retry_us);
}

void link_again(struct mount *m, struct peer *peer, enum link_purpose purpose)
{
    if (peer->links[purpose].state == LINK_READY) {
        link_shut(m, &peer->links[purpose]);
        link_peer_lost(m, peer, purpose);
    }
}

void link_on_up(struct mount *m, const struct mount_event *event)
{
    const struct address *address = &event->link_up.address;
    enum link_purpose purpose = event->link_up.purpose;
    struct peer_link *found = NULL;
    for (uint32_t i = 0; i < HAILS_MAX && found == NULL; i++) {
        struct peer_link *link = &m->hails[i].link;
        bool is = m->hails[i].used && purpose == LINK_CONTROL && link->state == LINK_OPENING &&
                  memcmp(&link->address, address, sizeof *address) == 0;
        found = is ? link : NULL;
    }
    for (struct list *at = m->peer_list.next; at != &m->peer_list && found == NULL; at = at->next) {
        struct peer_link *link = &CONTAINER_OF(at, struct peer, all)->links[purpose];
        bool is =
            link->state == LINK_OPENING && memcmp(&link->address, address, sizeof *address) == 0;
        found = is ? link : NULL;
    }
    if (found == NULL) {
        MARK(m, "mount.link.unasked"); /* we have changed our mind meanwhile */
        effect_push(m, MOUNT_CLOSE)->close.link = event->link_up.link;
        return;
    }
    found->id = event->link_up.link;
    map_insert(&m->link_by_id, &found->by_id, found->id.v);
    greet(m, found);
}

void link_on_down(struct mount *m, struct link_id id)
{
    struct peer_link *link = link_known(m, id);
    if (link == NULL) {
        return;
    }
    link_lost(m, link, BACKOFF_MIN_US, BACKOFF_MAX_US);
    if (link->owner == LINK_OF_HAIL) {
        CONTAINER_OF(link, struct hail, link)->used = false;
        return;
    }
    MARK(m, "mount.link.down");
    link_peer_lost(m, link_peer(link), link->purpose);
}

/* ---- hails ---------------------------------------------------------------------------------- */

void link_on_seeds(struct mount *m, const struct address *addresses, uint32_t count)
{
    m->seed_count = count < MOUNT_SEEDS_MAX ? count : MOUNT_SEEDS_MAX;
    memcpy(m->seeds, addresses, m->seed_count * sizeof *addresses);
    m->seed_next = m->seed_count == 0 ? 0 : (uint32_t)rng_below(&m->rng, m->seed_count);
    m->resolve_us = m->now.mono_us + RESOLVE_EVERY_US;
    timers_set(&m->timers, &m->hail_timer, m->now.mono_us);
}

static void hail_tick(struct mount *m, struct hail *hail)
{
    if (hail->used && m->now.mono_us - hail->link.since_us > HAIL_PATIENCE_US) {
        link_shut(m, &hail->link);
        hail->used = false;
    }
    if (!hail->used && m->seed_count > 0) {
        *hail = (struct hail){ .used = true };
        hail->link.owner = LINK_OF_HAIL;
        hail->link.purpose = LINK_CONTROL;
        link_open(m, &hail->link, &m->seeds[m->seed_next % m->seed_count]);
        m->seed_next++;
    }
}

void link_hail_timer(struct mount *m)
{
    if (peer_ready_count(m) > 0) {
        return; /* the view tells us about everybody */
    }
    if (m->now.mono_us < m->hail_us) {
        timers_set(&m->timers, &m->hail_timer, m->hail_us);
        return;
    }
    if (m->now.mono_us >= m->resolve_us) {
        effect_push(m, MOUNT_RESOLVE);
        m->resolve_us = m->now.mono_us + RESOLVE_EVERY_US;
    }
    for (uint32_t i = 0; i < HAILS_MAX && i < m->seed_count; i++) {
        hail_tick(m, &m->hails[i]);
    }
    timers_set(&m->timers, &m->hail_timer, m->now.mono_us + HAIL_EVERY_US);
}

bool link_is_hailed(const struct mount *m, const struct address *address)
{
    for (uint32_t i = 0; i < HAILS_MAX; i++) {
        if (m->hails[i].used && memcmp(&m->hails[i].link.address, address, sizeof *address) == 0) {
            return true;
        }
    }
    return false;
}

/* The node at a seed has told who it is: its link becomes that peer's. */
struct peer *link_hail_answered(struct mount *m, struct hail *hail, struct node_id id)
{
    struct peer *peer = peer_known(m, id);
    if (peer == NULL) {
        peer = peer_make(m, id);
    }
    if (peer == NULL || peer->links[LINK_CONTROL].state == LINK_READY) {
        link_shut(m, &hail->link);
        hail->used = false;
        return NULL;
    }
    struct peer_link *link = &peer->links[LINK_CONTROL];
    if (link->state != LINK_CLOSED) {
        link_shut(m, link);
    }
    map_remove(&m->link_by_id, &hail->link.by_id);
    *link = hail->link;
    link->owner = LINK_OF_PEER;
    map_insert(&m->link_by_id, &link->by_id, link->id.v);
    hail->used = false;
    return peer;
}
