/* gossip/circles.c: who observes whom. Each of K permutations of the living members, seeded by its
 * number, is a circle in which everybody observes the next: about K observers each, and those of
 * different members are spread all over (an expander, as in Rapid and Orleans). With up to K other
 * members everybody observes everybody. */
#include "gossip/internal.h"

#include "base/hash.h"

#define CIRCLE_SEED 0x61746f6c6c2d6331u

struct seat {
    uint64_t hash;
    uint32_t peer;
};

size_t circles_memory(uint32_t members_max)
{
    size_t row = (members_max * sizeof(uint32_t) + 15) / 16 * 16;
    return members_max * sizeof(struct seat) + 16 + 2 * OBSERVERS_MAX * row + 16;
}

enum err circles_init(struct gossip *g, struct arena *mem)
{
    bool whole = true;
    g->seats = arena_array(mem, g->peers_max, sizeof *g->seats);
    for (uint32_t k = 0; k < OBSERVERS_MAX; k++) {
        g->circle[k] = arena_array(mem, g->peers_max, sizeof *g->circle[k]);
        g->place[k] = arena_array(mem, g->peers_max, sizeof *g->place[k]);
        whole = whole && g->circle[k] != NULL && g->place[k] != NULL;
    }
    g->circles_stale = true;
    return whole && g->seats != NULL ? ERR_OK : ERR_NOMEM;
}

static bool is_after(const struct seat *a, const struct seat *b)
{
    return a->hash != b->hash ? a->hash > b->hash : a->peer > b->peer;
}

static void sift_down(struct seat *seats, uint32_t root, uint32_t count)
{
    for (uint32_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && is_after(&seats[child + 1], &seats[child])) {
            child++;
        }
        if (!is_after(&seats[child], &seats[root])) {
            return;
        }
        struct seat lower = seats[root];
        seats[root] = seats[child];
        seats[child] = lower;
        root = child;
    }
}

static void sort_seats(struct seat *seats, uint32_t count)
{
    for (uint32_t root = count / 2; root > 0; root--) {
        sift_down(seats, root - 1, count);
    }
    for (uint32_t end = count; end > 1; end--) {
        struct seat last = seats[0];
        seats[0] = seats[end - 1];
        seats[end - 1] = last;
        sift_down(seats, 0, end - 1);
    }
}

static void draw_circle(struct gossip *g, uint32_t k)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (roster_is_living(&g->peers[i])) {
            struct node_id id = g->peers[i].known.id;
            g->seats[count].hash = hash64(id.b, sizeof id.b, CIRCLE_SEED + k);
            g->seats[count].peer = i;
            count++;
        }
    }
    CHECK(count == g->living);
    sort_seats(g->seats, count);
    for (uint32_t i = 0; i < count; i++) {
        g->circle[k][i] = g->seats[i].peer;
        g->place[k][g->seats[i].peer] = i;
    }
}

static void refresh(struct gossip *g)
{
    if (!g->circles_stale) {
        return;
    }
    g->circles_stale = false;
    g->probes_stale = true;
    for (uint32_t k = 0; k < OBSERVERS_MAX && g->living > OBSERVERS_MAX + 1; k++) {
        draw_circle(g, k);
    }
}

static uint32_t everybody_else(const struct gossip *g, uint32_t peer, uint32_t out[OBSERVERS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (i != peer && roster_is_living(&g->peers[i])) {
            CHECK(count < OBSERVERS_MAX);
            out[count++] = i;
        }
    }
    return count;
}

static uint32_t neighbours(struct gossip *g, uint32_t peer, uint32_t step,
                           uint32_t out[OBSERVERS_MAX])
{
    uint32_t count = 0;
    refresh(g);
    if (!roster_is_living(&g->peers[peer])) {
        return 0;
    }
    if (g->living <= OBSERVERS_MAX + 1) {
        return everybody_else(g, peer, out);
    }
    for (uint32_t k = 0; k < OBSERVERS_MAX; k++) {
        uint32_t next = g->circle[k][(g->place[k][peer] + step) % g->living];
        uint32_t same = 0;
        while (same < count && out[same] != next) {
            same++;
        }
        out[same] = next;
        count = same == count ? count + 1 : count;
    }
    return count;
}

uint32_t circles_observers(struct gossip *g, uint32_t peer, uint32_t out[OBSERVERS_MAX])
{
    return neighbours(g, peer, g->living - 1, out); /* the one before */
}

uint32_t circles_subjects(struct gossip *g, uint32_t peer, uint32_t out[OBSERVERS_MAX])
{
    return neighbours(g, peer, 1, out);
}
