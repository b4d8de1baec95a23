/* sim/trial/checks.c: invariants at every step, by looking and by listening. */
#include "sim/trial/checks.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/catalog.h"
#include "node/core/internal.h"
#include "sim/trial/beliefs.h"
#include "sim/trial/faults.h"
#include "sim/trial/handed.h"
#include "sim/trial/listen.h"
#include "sim/trial/owners.h"
#include "sim/trial/packets.h"
#include "sim/trial/patience.h"
#include "sim/trial/reader.h"
#include "sim/rings.h"
#include "sim/trial/repeats.h"
#include "sim/trial/tables.h"
#include "sim/trial/views.h"

#define OP_MOST_US SEC(6) /* a request of the kernel, unless a fault excuses it */
#define LOOK_US MSEC(500)

struct checks {
    struct trial *trial;
    struct happening look;
    struct listen *listen;
    struct repeats *repeats;
    struct beliefs *beliefs;
    struct tables *tables;
    struct packets *packets;
    struct patience *patience;
    bool drained[SCENARIO_NODES_MAX];
};

/* A slow source, disk or mount must not look like a dead node (DESIGN 7.5). */
static void check_silence(struct checks *checks, const struct host_mount *host)
{
    struct mount_totals totals;
    mount_totals(host->mount, &totals);
    if (totals.silences > 0 && !faults_may_silence(checks->trial->faults)) {
        world_fail(checks->trial->world, "%s takes a node for silent although all of them are well",
                   host->process.name);
    }
}

static void check_quotas(const struct trial *trial)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        if (disk_bytes(trial->nodes[i]->disk) > trial->scenario->node_disk) {
            world_fail(trial->world, "%s keeps more on its disk than its quota",
                       trial->nodes[i]->process.name);
        }
    }
}

#define LATE_US MSEC(100) /* a node that is not frozen has looked at its timers by then */

/* Who asked does not wait any more, and may not be able to say so. */
static void check_asks(const struct trial *trial, const struct host_node *host)
{
    const usec_t now_us = process_now(&host->process).mono_us;
    if (!host->process.up || host->process.frozen ||
        trial->world->now_us - host->process.thawed_us <= LATE_US) {
        return;
    }
    const struct map *sessions = &host->node->sessions.by_id;
    for (struct map_node *at = map_walk(sessions, NULL); at != NULL; at = map_walk(sessions, at)) {
        const struct session *session = CONTAINER_OF(at, struct session, by_id);
        for (struct list *one = session->asks.next; one != &session->asks; one = one->next) {
            const struct ask *ask = CONTAINER_OF(one, struct ask, of_session);
            if (now_us - ask->deadline.at_us > LATE_US) {
                world_fail(trial->world, "%s still has a request %.3f s after its deadline",
                           host->process.name, (double)(now_us - ask->deadline.at_us) / 1e6);
            }
        }
    }
}

/* What one may have promised: half the region, or one block where that is more (budget.c). */
static void check_promises(const struct trial *trial, const struct host_node *host)
{
    const struct map *sessions = &host->node->sessions.by_id;
    const uint64_t half = host->options.region_size / 2;
    const uint64_t one = trial->scenario->block_size;
    for (struct map_node *at = map_walk(sessions, NULL); at != NULL; at = map_walk(sessions, at)) {
        const struct session *session = CONTAINER_OF(at, struct session, by_id);
        if (session->outstanding > (half > one ? half : one)) {
            world_fail(trial->world, "%s has promised %llu bytes to one, its region has %zu",
                       host->process.name, (unsigned long long)session->outstanding,
                       host->options.region_size);
        }
    }
}

static void look_fire(struct world *world, struct happening *what)
{
    struct checks *checks = CONTAINER_OF(what, struct checks, look);
    const usec_t excused_us = faults_excused_us(checks->trial->faults);
    for (uint32_t i = 0; i < checks->trial->mount_count; i++) {
        if (checks->trial->mounts[i]->process.up) {
            check_silence(checks, checks->trial->mounts[i]);
        }
    }
    for (uint32_t i = 0; i < checks->trial->reader_count; i++) {
        const struct reader *reader = checks->trial->readers[i];
        const usec_t waits_us = reader_waiting_us(reader);
        if (usec_min(waits_us, world->now_us - excused_us) > OP_MOST_US) {
            world_fail(world, "reader %u waits %.3f s for a %s", i, (double)waits_us / 1e6,
                       reader_what(reader));
        }
    }
    for (uint32_t i = 0; i < checks->trial->node_count; i++) {
        check_asks(checks->trial, checks->trial->nodes[i]);
    }
    beliefs_look(checks->beliefs);
    check_quotas(checks->trial);
    packets_look(checks->packets);
    world_set(world, what, LOOK_US);
}

static void sent(void *self, struct process *from, struct process *to, struct span frame)
{
    const struct checks *checks = self;
    if (from->index < checks->trial->node_count) {
        check_promises(checks->trial, checks->trial->nodes[from->index]);
    }
    listen_sent(checks->listen, from, to, frame);
}

static void taken(void *self, struct process *from, struct process *to, struct span frame)
{
    listen_taken(((struct checks *)self)->listen, from, to, frame);
}

static void asked(void *self, struct process *node, const struct node_effect *effect)
{
    struct checks *checks = self;
    repeats_asked(checks->repeats, node, effect);
    listen_asked(checks->listen, effect);
    owners_asked(checks->trial, node, effect);
    patience_asked(checks->patience, node, effect);
}

static void packet(void *self, struct process *from, struct span bytes)
{
    packets_sent(((struct checks *)self)->packets, from, bytes);
}

static void heard(void *self, struct process *to, struct span bytes, bool taken)
{
    packets_heard(((struct checks *)self)->packets, to, bytes, taken);
}

static void viewed(void *self, struct process *node)
{
    beliefs_viewed(((struct checks *)self)->beliefs, CONTAINER_OF(node, struct host_node, process));
}

static void noticed(void *self, struct process *node, const struct gossip_effect *effect)
{
    beliefs_noticed(((struct checks *)self)->beliefs, CONTAINER_OF(node, struct host_node, process),
                    effect);
}

static void built(void *self, const struct member *members, uint32_t count, const struct ring *ring)
{
    tables_built(((struct checks *)self)->tables, members, count, ring);
}

static void given(void *self, struct process *node, const struct given *given)
{
    const struct checks *checks = self;
    repeats_given(checks->repeats, node, given);
    patience_given(checks->patience, node, given);
}

static void refused(void *self, struct process *node, const struct given *asked)
{
    patience_refused(((struct checks *)self)->patience, node, asked);
}

/* Before the readers begin an operator asks for a dataset, and nothing else. */
static void answered(void *self, struct process *node, enum err err, const char *text)
{
    const struct trial *trial = ((struct checks *)self)->trial;
    uint32_t running = 0;
    uint32_t copies = 0;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        const struct host_node *host = trial->nodes[i];
        running += host->process.up ? 1 : 0;
        copies += host->process.up && catalog_next(host->node, NULL) != NULL ? 1 : 0;
    }
    if (trial->began_us == 0 && err == ERR_OK && running > 1 && copies < 2 &&
        strstr(text, "only one copy") == NULL) {
        world_fail(trial->world, "%s says that a dataset is made, and alone knows it", node->name);
    }
}

/* Nobody waits for a disk that is there, and has room; and a disk that is well is waited for. */
static void check_line(const struct trial *trial, const struct host_node *host)
{
    const struct node *node = host->node;
    const struct list *line = &node->flights.line;
    const struct flight *first = CONTAINER_OF(line->next, struct flight, queued);
    if (store_is_ready(node) && !list_is_empty(&node->flights.tiers) &&
        node_deadline(node) > node->now.mono_us) {
        world_fail(trial->world, "%s lets reads wait for its disks, which are there",
                   host->process.name);
    }
    if (line->next != line && store_room(node) >= first->block->size &&
        node_deadline(node) > node->now.mono_us) {
        world_fail(trial->world, "%s lets a block stand in line although there is room",
                   host->process.name);
    }
    if (node->metrics.disk_behind > 0 && faults_excused_us(trial->faults) == 0 &&
        !faults_troubled_disk(trial->faults, host->process.index)) {
        world_fail(trial->world, "%s does not wait for its disk, which is well",
                   host->process.name);
    }
}

static void stepped(void *self, struct process *process)
{
    struct checks *checks = self;
    struct trial *trial = checks->trial;
    if (process->index < trial->node_count) {
        const struct host_node *host = trial->nodes[process->index];
        if (host->region_most > host->options.region_size) {
            world_fail(trial->world, "%s uses more than its region", process->name);
        }
        handed_look(trial, host, &checks->drained[process->index]);
        if (process->up) {
            check_line(trial, host);
        }
        return;
    }
    const struct host_mount *host = trial->mounts[process->index - trial->node_count];
    if (host->memory_most > host->options.memory) {
        world_fail(trial->world, "%s uses more than its memory", process->name);
    }
}

struct checks *checks_new(struct trial *trial)
{
    struct checks *checks = calloc(1, sizeof *checks);
    CHECK(checks != NULL);
    checks->trial = trial;
    checks->look.fire = look_fire;
    world_set(trial->world, &checks->look, LOOK_US);
    checks->listen = listen_new(trial);
    checks->repeats = repeats_new(trial);
    checks->beliefs = beliefs_new(trial);
    checks->tables = tables_new(trial);
    checks->packets = packets_new(trial);
    checks->patience = patience_new(trial);
    rings_kept_watch(trial->world->rings, built, checks);
    trial->world->watch = (struct watch){ .self = checks,
                                          .sent = sent,
                                          .taken = taken,
                                          .asked = asked,
                                          .given = given,
                                          .refused = refused,
                                          .stepped = stepped,
                                          .packet = packet,
                                          .heard = heard,
                                          .viewed = viewed,
                                          .noticed = noticed,
                                          .answered = answered };
    return checks;
}

void checks_free(struct checks **checks)
{
    world_cancel((*checks)->trial->world, &(*checks)->look);
    listen_free(&(*checks)->listen);
    repeats_free(&(*checks)->repeats);
    beliefs_free(&(*checks)->beliefs);
    tables_free(&(*checks)->tables);
    packets_free(&(*checks)->packets);
    patience_free(&(*checks)->patience);
    free(*checks);
    *checks = NULL;
}

uint64_t checks_repeated(const struct checks *checks)
{
    return repeats_bytes(checks->repeats);
}

/* One key in use everywhere; `alone`: and no other accepted any more. */
static void check_keys(struct trial *trial, bool alone)
{
    const struct host_node *first = NULL;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        const struct host_node *host = trial->nodes[i];
        if (!trial->scenario->sealed || !host->process.up || host->process.frozen) {
            continue;
        }
        first = first == NULL ? host : first;
        const struct keyring *ring = gossip_ring(host->gossip);
        const struct keyring *one = gossip_ring(first->gossip);
        if (cluster_key_id(keyring_present(ring)).v != cluster_key_id(keyring_present(one)).v ||
            (alone && ring->count != 1)) {
            world_fail(trial->world, "%s uses key %u of %u, %s uses %u of %u", host->process.name,
                       keyring_present(ring)->number, ring->count, first->process.name,
                       keyring_present(one)->number, one->count);
        }
        if (memcmp(&host->node->keychain.ring, ring, sizeof *ring) != 0) {
            world_fail(trial->world, "%s has two rings of keys", host->process.name);
        }
    }
}

/* The first node or mount that has another view or ring than the first node; NULL: there is none. */
static const struct process *who_differs(const struct trial *trial, const struct host_node **first)
{
    struct node_totals one = { 0 };
    *first = NULL;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        const struct host_node *host = trial->nodes[i];
        struct node_totals totals;
        if (!host->process.up || host->process.frozen) {
            continue;
        }
        node_totals(host->node, &totals);
        if (*first == NULL) {
            *first = host;
            one = totals;
        }
        if (totals.view_digest != one.view_digest || totals.ring_digest != one.ring_digest) {
            return &host->process;
        }
    }
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        struct mount_totals totals;
        mount_totals(trial->mounts[i]->mount, &totals);
        if (totals.ring_digest != one.ring_digest) {
            return &trial->mounts[i]->process;
        }
    }
    return NULL;
}

bool checks_agree(const struct checks *checks)
{
    const struct host_node *first;
    return who_differs(checks->trial, &first) == NULL;
}

void checks_settled(struct checks *checks)
{
    struct trial *trial = checks->trial;
    const struct host_node *first;
    const struct process *other = who_differs(trial, &first);
    if (other != NULL) {
        views_say_node(first);
        if (other->index < trial->node_count) {
            views_say_node(trial->nodes[other->index]);
        } else {
            views_say_mount(trial->mounts[other->index - trial->node_count]);
        }
        world_fail(trial->world, "%s and %s have different views or rings", first->process.name,
                   other->name);
    }
    beliefs_settled(checks->beliefs, false);
    check_keys(trial, false);
}

void checks_rest(struct checks *checks)
{
    struct trial *trial = checks->trial;
    beliefs_settled(checks->beliefs, true);
    check_keys(trial, true);
    for (uint32_t i = 0; i < trial->node_count; i++) {
        const struct host_node *host = trial->nodes[i];
        struct node_totals totals;
        if (!host->process.up || host->process.frozen) {
            continue;
        }
        node_totals(host->node, &totals);
        if (totals.region_used != host->node->memory.cached) {
            world_fail(trial->world, "%s at rest: %llu bytes of its region are held, %llu cached",
                       host->process.name, (unsigned long long)totals.region_used,
                       (unsigned long long)host->node->memory.cached);
        }
        if (host->node->store.debts > 0 || host->node->flights.line_count > 0) {
            world_fail(trial->world, "%s at rest: owes %llu bytes to its disk, %u blocks in line",
                       host->process.name, (unsigned long long)host->node->store.debts,
                       host->node->flights.line_count);
        }
        if (totals.requests_open > 0 || totals.fetches_open > 0 ||
            host->process.held_payloads > 0) {
            world_fail(trial->world, "%s at rest: %llu requests, %llu fetches, %llu payload bytes",
                       host->process.name, (unsigned long long)totals.requests_open,
                       (unsigned long long)totals.fetches_open,
                       (unsigned long long)host->process.held_payloads);
        }
    }
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        const struct host_mount *host = trial->mounts[i];
        struct mount_totals totals;
        mount_totals(host->mount, &totals);
        if (totals.ops_open > 0 || totals.requests_open > 0 ||
            (totals.bytes_corrupt > 0 && !faults_has_begun(trial->faults, "flipped")) ||
            host->process.held_payloads > totals.memory_used) {
            world_fail(trial->world,
                       "%s at rest: %llu ops, %llu requests, %llu corrupt bytes, %llu of %llu held",
                       host->process.name, (unsigned long long)totals.ops_open,
                       (unsigned long long)totals.requests_open,
                       (unsigned long long)totals.bytes_corrupt,
                       (unsigned long long)host->process.held_payloads,
                       (unsigned long long)totals.memory_used);
        }
    }
}
