/* gossip/rumours.c: what is new goes to a few members at once, who do the same: to those that follow
 * us in the first circles, so that it floods the cluster along an expander within milliseconds. Then
 * it rides on some of our other packets. Whoever it misses finds out by digests (repair.c). */
#include "gossip/internal.h"

#define FILL_MAX 64u /* members looked at for one packet */

size_t rumours_memory(uint32_t members_max)
{
    return members_max * sizeof(struct news) + 16;
}

enum err rumours_init(struct gossip *g, struct arena *mem)
{
    list_init(&g->flood);
    list_init(&g->riding);
    list_init(&g->due);
    g->news = arena_array(mem, g->peers_max, sizeof *g->news);
    return g->news == NULL ? ERR_NOMEM : ERR_OK;
}

/* ---- one for each member that something goes on about ------------------------------------------ */

struct news *rumours_find(const struct gossip *g, const struct peer *peer)
{
    return peer->news == 0 ? NULL : &g->news[peer->news - 1];
}

struct news *rumours_about(struct gossip *g, struct peer *peer)
{
    if (peer->news != 0) {
        return &g->news[peer->news - 1];
    }
    uint32_t number = g->news_high;
    if (g->news_free != 0) {
        number = g->news_free - 1;
        g->news_free = g->news[number].peer;
    } else {
        CHECK(g->news_high < g->peers_max);
        g->news_high++;
    }
    struct news *news = &g->news[number];
    *news = (struct news){ .peer = roster_index(g, peer), .due = DUE_NOTHING };
    list_init(&news->link);
    list_init(&news->due_link);
    peer->news = number + 1;
    return news;
}

void rumours_release(struct gossip *g, struct news *news)
{
    if (list_is_linked(&news->link) || news->due != DUE_NOTHING) {
        return;
    }
    struct peer *peer = &g->peers[news->peer];
    const uint32_t number = peer->news;
    CHECK(number == (uint32_t)(news - g->news) + 1);
    peer->news = 0;
    news->peer = g->news_free;
    g->news_free = number;
}

void rumours_forget(struct gossip *g, struct peer *peer)
{
    struct news *news = rumours_find(g, peer);
    if (news != NULL) {
        list_remove(&news->link);
        cut_drop_due(g, news);
        rumours_release(g, news);
    }
}

static void enqueue(struct gossip *g, struct peer *peer, bool is_record)
{
    struct news *news = rumours_about(g, peer);
    news->is_record = is_record || (news->is_record && list_is_linked(&news->link));
    news->rides = news->is_record ? RIDES_RECORD : RIDES;
    list_remove(&news->link);
    list_push_back(&g->flood, &news->link);
    g->flood_at_us = usec_min(g->flood_at_us, g->now.mono_us + FLOOD_US);
}

void rumours_record(struct gossip *g, struct peer *peer)
{
    enqueue(g, peer, true);
}

void rumours_state(struct gossip *g, struct peer *peer)
{
    enqueue(g, peer, false);
}

static uint64_t bytes_of(const struct gossip *g, const struct list *all)
{
    uint8_t record[MEMBER_RECORD_MAX];
    uint64_t bytes = 0;
    for (const struct list *at = all->next; at != all; at = at->next) {
        const struct news *news = CONTAINER_OF(at, struct news, link);
        const struct member member = roster_member(g, &g->peers[news->peer]);
        size_t size = DATAGRAM_STATE_SIZE;
        if (news->is_record) {
            const enum err err = member_encode(&member, record, sizeof record, &size);
            CHECK(err == ERR_OK);
        }
        bytes += size;
    }
    return bytes;
}

uint64_t gossip_backlog(const struct gossip *g)
{
    return bytes_of(g, &g->flood) + bytes_of(g, &g->riding);
}

/* ---- into packets ------------------------------------------------------------------------------ */

/* false: it does not fit. */
static bool tell(struct gossip *g, struct datagram *d, const struct news *news)
{
    const struct peer *peer = &g->peers[news->peer];
    struct telling how = { .ready = peer->ready, .is_news = true, .is_unfit = peer->is_unfit };
    struct datagram_state state = { .id = roster_id(g, peer),
                                    .incarnation = peer->incarnation,
                                    .state = (enum member_state)peer->state };
    if (news->due != DUE_NOTHING) {
        how.wait_us = usec_max(news->due_us - g->now.mono_us, 0);
    }
    if (news->due == DUE_DEATH) {
        state.incarnation = news->incarnation;
        state.state = MEMBER_DEAD;
        how.is_unfit = news->is_unfit;
    } else if (news->is_record && roster_is_living(peer)) {
        struct member member = roster_member(g, peer);
        return datagram_add_record(d, &member, how);
    }
    state.how = how;
    return datagram_add_state(d, &state);
}

static void end_ride(struct gossip *g, struct news *news)
{
    list_remove(&news->link);
    news->is_record = false;
    rumours_release(g, news);
}

void rumours_fill(struct gossip *g, struct datagram *d)
{
    if (list_is_empty(&g->riding) || !parcel_has_budget(g, TRAFFIC_BULK)) {
        return;
    }
    struct list *last = g->riding.prev; /* each once */
    for (uint32_t i = 0; i < FILL_MAX && !list_is_empty(&g->riding); i++) {
        struct list *first = list_first(&g->riding);
        struct news *news = CONTAINER_OF(first, struct news, link);
        if (!tell(g, d, news)) {
            return;
        }
        list_remove(first);
        list_push_back(&g->riding, first);
        if (--news->rides == 0) {
            end_ride(g, news);
        }
        if (first == last) {
            return;
        }
    }
}

/* ---- the flood --------------------------------------------------------------------------------- */

uint32_t rumours_targets(struct gossip *g, uint32_t targets[OBSERVERS_MAX])
{
    uint32_t subjects[OBSERVERS_MAX];
    uint32_t count = 0;
    const uint32_t found = circles_subjects(g, subjects);
    const bool is_few = found == g->living - (roster_is_living(roster_self(g)) ? 1 : 0);
    for (uint32_t i = 0; i < found && (is_few || count < FLOOD_FANOUT); i++) {
        if (roster_address(g, &g->peers[subjects[i]]) != NULL) {
            targets[count++] = subjects[i];
        }
    }
    return count;
}

/* One packet's worth of news to all of them. */
static void flood(struct gossip *g, const uint32_t *targets, uint32_t count)
{
    struct list *end = &g->flood;
    for (uint32_t i = 0; i < count; i++) {
        struct parcel parcel;
        parcel_begin(g, &parcel, roster_address(g, &g->peers[targets[i]]),
                     (struct datagram_head){ .kind = DATAGRAM_SPREAD });
        end = g->flood.next;
        while (end != &g->flood && tell(g, &parcel.body, CONTAINER_OF(end, struct news, link))) {
            end = end->next;
        }
        parcel.traffic = TRAFFIC_FLOOD;
        parcel_end(g, &parcel);
    }
    while (g->flood.next != end) {
        struct list *first = list_first(&g->flood);
        list_remove(first);
        list_push_front(&g->riding, first);
    }
}

void rumours_tick(struct gossip *g)
{
    uint32_t targets[OBSERVERS_MAX];
    if (g->now.mono_us < g->flood_at_us) {
        return;
    }
    g->flood_at_us = USEC_NEVER;
    const uint32_t count = rumours_targets(g, targets);
    if (count == 0) { /* nobody is there: who comes gets everything by repair */
        while (!list_is_empty(&g->flood)) {
            end_ride(g, CONTAINER_OF(list_first(&g->flood), struct news, link));
        }
        return;
    }
    while (!list_is_empty(&g->flood) && parcel_has_room_for(g, count) &&
           parcel_has_budget(g, TRAFFIC_FLOOD)) {
        flood(g, targets, count);
    }
    while (!list_is_empty(&g->flood) && !parcel_has_budget(g, TRAFFIC_FLOOD)) {
        MARK(g, "gossip.flood.shed"); /* so much is new at once that all pull anyway */
        end_ride(g, CONTAINER_OF(list_first(&g->flood), struct news, link));
    }
    if (!list_is_empty(&g->flood)) {
        g->flood_at_us = g->now.mono_us + FLOOD_US;
    }
}
