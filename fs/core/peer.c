/* fs/core/peer.c: nodes, the two links to each, and whether they live.
 *
 * A peer that has calls open and says nothing for SILENCE_US is silent: its calls go to the next
 * ranks at once, and it is pinged until it is heard again. */
#include "fs/core/internal.h"

#define OPEN_AGAIN_US SEC(5) /* the shell goes on by itself; this is for one that does not */
#define GREETING_US SEC(3)   /* HELLO without an answer */
#define BACKOFF_MIN_US MSEC(100)
#define KEEPALIVE_US SEC(10) /* a node forgets a link after 30 s without a message */
#define PING_US SEC(1)       /* a silent node is asked that often whether it is back */
#define HOPELESS_US SEC(5)   /* silent for so long: the connection itself may be dead */

size_t peer_memory(const struct mount_options *options)
{
    size_t count = options->nodes_max;
    return count * (sizeof(struct peer) + 16) + count * 64 + 4096;
}

enum err peer_init(struct mount *m, struct arena *mem)
{
    enum err err = pool_init(&m->peers, mem, sizeof(struct peer), m->options.nodes_max);
    if (err == ERR_OK) {
        err = map_init(&m->peer_by_id, mem, m->options.nodes_max);
    }
    if (err == ERR_OK) {
        err = map_init(&m->link_by_id, mem, 2 * (uint64_t)m->options.nodes_max + HAILS_MAX);
    }
    list_init(&m->peer_list);
    m->hail_timer.kind = TIMER_HAIL;
    return err;
}

static uint64_t id_hash(struct node_id id)
{
    return get_u64(id.b); /* random as it is */
}

struct peer *peer_known(const struct mount *m, struct node_id id)
{
    struct map_node *node = map_first(&m->peer_by_id, id_hash(id));
    for (; node != NULL; node = map_next(node)) {
        struct peer *peer = CONTAINER_OF(node, struct peer, by_id);
        if (node_id_equal(peer->id, id)) {
            return peer;
        }
    }
    return NULL;
}

struct peer *peer_make(struct mount *m, struct node_id id)
{
    struct peer *peer = pool_take(&m->peers);
    if (peer == NULL) {
        MARK(m, "mount.peer.full");
        return NULL;
    }
    peer->id = id;
    for (uint32_t i = 0; i < 2; i++) {
        peer->links[i].owner = LINK_OF_PEER;
        peer->links[i].purpose = (enum link_purpose)i;
    }
    list_init(&peer->calls);
    list_push_back(&m->peer_list, &peer->all);
    map_insert(&m->peer_by_id, &peer->by_id, id_hash(id));
    peer->timer.kind = TIMER_PEER;
    peer->heard_us = m->awake_us;
    peer->ready_us = m->now.mono_us;
    return peer;
}

void peer_arm(struct mount *m, struct peer *peer, usec_t at_us)
{
    if (!timer_is_set(&peer->timer) || peer->timer.at_us > at_us) {
        timers_set(&m->timers, &peer->timer, at_us);
    }
}

/* ---- what nodes say --------------------------------------------------------------------------- */

static void heard(struct mount *m, struct peer *peer)
{
    peer->heard_us = m->awake_us;
    peer->ready_us = m->now.mono_us;
    if (peer->silent) {
        MARK(m, "mount.peer.back");
        tell_back(m, peer);
        peer->silent = false;
        call_wake_stalled(m);
    }
}

static void welcome(struct mount *m, struct peer_link *link, const struct message_welcome *said)
{
    struct node_id id;
    memcpy(id.b, said->node, ID_SIZE);
    struct peer *peer;
    if (link->owner == LINK_OF_HAIL) {
        peer = link_hail_answered(m, CONTAINER_OF(link, struct hail, link), id);
        if (peer == NULL) {
            return;
        }
        link = &peer->links[LINK_CONTROL];
    } else {
        peer = link_peer(link);
    }
    if (!node_id_equal(peer->id, id)) {
        MARK(m, "mount.peer.other"); /* somebody else has that address now */
        link_shut(m, link);
        link_peer_lost(m, peer, link->purpose);
        return;
    }
    link->state = LINK_READY;
    link->since_us = m->now.mono_us;
    link->backoff_us = 0;
    peer->refuses = false;
    m->refusal_told = false;
    heard(m, peer);
    if (link->purpose == LINK_CONTROL) {
        cluster_on_welcome(m, peer, said);
    } else {
        peer->tried = true;
    }
    peer_arm(m, peer, m->now.mono_us);
    call_wake_stalled(m);
}

static void refused(struct mount *m, struct peer_link *link, const struct message_refused *said)
{
    enum err err = err_from_wire(said->err);
    const bool is_final = err != ERR_NO_SESSION && cluster_on_refused(m, err, said->text);
    if (is_final) {
        link_refused(m, link);
    } else {
        link_shut(m, link);
    }
    if (link->owner == LINK_OF_HAIL) {
        CONTAINER_OF(link, struct hail, link)->used = false;
        m->hail_us = is_final ? m->now.mono_us + LINK_REFUSED_MIN_US : m->hail_us;
        return;
    }
    MARK(m, "mount.link.refused");
    struct peer *peer = link_peer(link);
    peer->refuses = peer->refuses || is_final;
    link_peer_lost(m, peer, link->purpose);
    if (is_final && peer_all_refuse(m)) {
        tell_refused(m, err, said->text);
        call_wake_stalled(m);
    }
}

bool peer_on_message(struct mount *m, struct link_id id, const struct message *message,
                     struct peer **out)
{
    struct peer_link *link = link_known(m, id);
    *out = NULL;
    if (link == NULL) {
        MARK(m, "mount.message.late"); /* of a link we have closed */
        return true;
    }
    if (link->state == LINK_GREETING) {
        bool fits = message->kind == MESSAGE_WELCOME &&
                    message->welcome.version >= WIRE_VERSION_LOWEST &&
                    message->welcome.version <= WIRE_VERSION_HIGHEST;
        if (fits) {
            welcome(m, link, &message->welcome);
        } else if (message->kind == MESSAGE_REFUSED) {
            refused(m, link, &message->refused);
        }
        return true;
    }
    struct peer *peer = link_peer(link);
    heard(m, peer);
    if (message->kind == MESSAGE_PING) {
        struct message pong = { .kind = MESSAGE_PONG };
        pong.pong.request = message->ping.request;
        peer_post(m, peer, link->purpose, &pong);
        return true;
    }
    if (message->kind == MESSAGE_REFUSED) {
        refused(m, link, &message->refused);
        return true;
    }
    *out = peer;
    return message->kind == MESSAGE_PONG;
}

/* ---- the view ---------------------------------------------------------------------------------- */

static bool is_living(const struct member *member)
{
    return member->state == MEMBER_WARMING || member->state == MEMBER_OWNING ||
           member->state == MEMBER_LEAVING;
}

static void move_to(struct mount *m, struct peer_link *link, const struct address *address)
{
    bool moved = memcmp(&link->address, address, sizeof *address) != 0;
    if (link->state == LINK_OPENING && moved) {
        MARK(m, "mount.peer.moved");
        link_shut(m, link);
    }
    if (link->state == LINK_CLOSED && moved) {
        link->retry_us = m->now.mono_us;
    }
}

void peer_on_view(struct mount *m)
{
    for (struct list *at = m->peer_list.next; at != &m->peer_list; at = at->next) {
        struct peer *peer = CONTAINER_OF(at, struct peer, all);
        peer->member = false;
        peer_arm(m, peer, m->now.mono_us);
    }
    uint32_t count = 0;
    const struct member *members = view_members(m->view, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (!is_living(&members[i])) {
            continue;
        }
        struct peer *peer = peer_known(m, members[i].id);
        peer = peer == NULL ? peer_make(m, members[i].id) : peer;
        if (peer != NULL) {
            peer->member = true;
            peer_arm(m, peer, m->now.mono_us);
        }
    }
}

/* ---- time ---------------------------------------------------------------------------------------- */

static const struct address *address_for(const struct mount *m, const struct peer *peer,
                                         enum link_purpose purpose)
{
    const struct member *member = view_find(m->view, peer->id);
    if (member == NULL || !peer->member) {
        return NULL;
    }
    return member_address(member, purpose == LINK_CONTROL ? ENDPOINT_CONTROL : ENDPOINT_DATA);
}

static void ping(struct mount *m, struct peer *peer, enum link_purpose purpose)
{
    struct message message = { .kind = MESSAGE_PING };
    message.ping.request = ++m->next_number;
    peer_post(m, peer, purpose, &message);
}

/* Try to have this link; returns when to look at it again. */
static usec_t closed_tick(struct mount *m, struct peer *peer, struct peer_link *link)
{
    const struct address *address = address_for(m, peer, link->purpose);
    bool blocked = link->purpose == LINK_DATA && peer->links[LINK_CONTROL].state != LINK_READY;
    if (address == NULL || address->port == 0 || blocked) {
        return USEC_NEVER; /* a view or the control link will call again */
    }
    if (link->purpose == LINK_CONTROL && link_is_hailed(m, address)) {
        return m->now.mono_us + BACKOFF_MIN_US; /* the same connection, one step further */
    }
    if (m->now.mono_us < link->retry_us) {
        return link->retry_us;
    }
    link_open(m, link, address);
    return m->now.mono_us + OPEN_AGAIN_US;
}

static usec_t ready_tick(struct mount *m, struct peer *peer, struct peer_link *link)
{
    usec_t now = m->now.mono_us;
    if (peer->silent && m->awake_us - peer->silent_us >= HOPELESS_US) {
        MARK(m, "mount.peer.hopeless");
        link_shut(m, link);
        link_peer_lost(m, peer, link->purpose);
        return link->retry_us;
    }
    usec_t every = peer->silent ? PING_US : KEEPALIVE_US;
    if (now - link->sent_us >= every) {
        ping(m, peer, link->purpose);
    }
    return link->sent_us + every;
}

static usec_t link_tick(struct mount *m, struct peer *peer, struct peer_link *link)
{
    usec_t now = m->now.mono_us;
    const struct address *address = address_for(m, peer, link->purpose);
    if (address != NULL) {
        move_to(m, link, address);
    }
    switch (link->state) {
    case LINK_CLOSED:
        return closed_tick(m, peer, link);
    case LINK_OPENING:
        if (address == NULL) {
            link_shut(m, link);
            return USEC_NEVER;
        }
        if (now - link->since_us < OPEN_AGAIN_US) {
            return link->since_us + OPEN_AGAIN_US;
        }
        peer->tried = true;
        link_open(m, link, address);
        return now + OPEN_AGAIN_US;
    case LINK_GREETING:
        if (now - link->since_us < GREETING_US) {
            return link->since_us + GREETING_US;
        }
        link_shut(m, link);
        link_peer_lost(m, peer, link->purpose);
        return link->retry_us;
    case LINK_READY:
        return ready_tick(m, peer, link);
    }
    BUG("no such state of a link");
}

/* Awake time since when it owes us a sign of life; USEC_NEVER: it owes us nothing. */
static usec_t silent_since(const struct mount *m, const struct peer *peer)
{
    if (peer->silent || list_is_empty(&peer->calls)) {
        return USEC_NEVER;
    }
    return usec_max(usec_max(peer->heard_us, peer->waiting_us), m->grace_us);
}

/* Mono time of the moment at which its silence is long enough. */
static usec_t silence_due(const struct mount *m, const struct peer *peer)
{
    usec_t since = silent_since(m, peer);
    return since == USEC_NEVER ? since : m->now.mono_us + (since + SILENCE_US - m->awake_us);
}

/* Half of that: it is asked whether it lives, beside the blocks that may take long on a slow or
 * shared wire. Returns when to look again. */
static usec_t ask_for_life(struct mount *m, struct peer *peer)
{
    usec_t since = silent_since(m, peer);
    if (since == USEC_NEVER || peer->pinged_us >= since ||
        peer->links[LINK_CONTROL].state != LINK_READY) {
        return USEC_NEVER;
    }
    usec_t due = m->now.mono_us + (since + SILENCE_US / 2 - m->awake_us);
    if (due > m->now.mono_us) {
        return due;
    }
    MARK(m, "mount.peer.asked");
    peer->pinged_us = m->awake_us;
    ping(m, peer, LINK_CONTROL);
    return USEC_NEVER;
}

void peer_timer(struct mount *m, struct peer *peer)
{
    if (silence_due(m, peer) <= m->now.mono_us) {
        MARK(m, "mount.peer.silent");
        tell_silent(m, peer);
        peer->silent = true;
        peer->silent_us = m->awake_us;
        m->totals.silences++;
        call_peer_lost(m, peer, LINK_CONTROL, true);
        call_peer_lost(m, peer, LINK_DATA, true);
    }
    usec_t next = link_tick(m, peer, &peer->links[LINK_CONTROL]);
    next = usec_min(next, link_tick(m, peer, &peer->links[LINK_DATA]));
    next = usec_min(next, ask_for_life(m, peer));
    next = usec_min(next, silence_due(m, peer));
    bool gone = !peer->member && peer->links[LINK_CONTROL].state == LINK_CLOSED &&
                peer->links[LINK_DATA].state == LINK_CLOSED;
    if (gone && list_is_empty(&peer->calls)) {
        timers_cancel(&m->timers, &peer->timer);
        map_remove(&m->peer_by_id, &peer->by_id);
        list_remove(&peer->all);
        pool_give(&m->peers, peer);
    } else if (next != USEC_NEVER) {
        peer_arm(m, peer, next);
    }
}

void peer_waits(struct mount *m, struct peer *peer)
{
    if (list_is_empty(&peer->calls)) {
        peer->waiting_us = m->awake_us;
    }
    peer_arm(m, peer, m->now.mono_us + SILENCE_US / 2);
}

/* ---- questions about peers ------------------------------------------------------------------------ */

bool peer_is_ready(const struct peer *peer, enum link_purpose purpose)
{
    return peer->links[purpose].state == LINK_READY && !peer->silent;
}

bool peer_is_coming(const struct mount *m, const struct peer *peer)
{
    usec_t base = usec_max(peer->heard_us, m->grace_us);
    return !peer->silent && !peer->tried && m->awake_us - base < SILENCE_US;
}

uint32_t peer_ready_count(const struct mount *m)
{
    uint32_t count = 0;
    for (struct list *at = m->peer_list.next; at != &m->peer_list; at = at->next) {
        count += CONTAINER_OF(at, struct peer, all)->links[LINK_CONTROL].state == LINK_READY;
    }
    return count;
}

bool peer_all_refuse(const struct mount *m)
{
    uint32_t count = 0;
    for (struct list *at = m->peer_list.next; at != &m->peer_list; at = at->next) {
        const struct peer *peer = CONTAINER_OF(at, struct peer, all);
        if (peer->member && !peer->refuses) {
            return false;
        }
        count += peer->member ? 1 : 0;
    }
    return count > 0;
}

struct peer *peer_any(struct mount *m)
{
    struct list *first = m->peer_list.next;
    for (struct list *at = first; at != &m->peer_list; at = at->next) {
        struct peer *peer = CONTAINER_OF(at, struct peer, all);
        if (peer_is_ready(peer, LINK_CONTROL)) {
            list_remove(&peer->all); /* to the end: another one next time */
            list_push_back(&m->peer_list, &peer->all);
            return peer;
        }
    }
    return NULL;
}

void peer_post(struct mount *m, struct peer *peer, enum link_purpose purpose,
               const struct message *message)
{
    struct peer_link *link = &peer->links[purpose];
    CHECK(link->state == LINK_READY);
    effect_send(m, link->id, message);
    link->sent_us = m->now.mono_us;
}
