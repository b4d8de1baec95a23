/* tests/sim/checks.c: invariants at every step, by looking and by listening. */
#include "tests/sim/checks.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/faults.h"
#include "tests/sim/reader.h"

#define OP_MOST_US SEC(20) /* a request of the kernel, whatever happens */
#define LOOK_US MSEC(500)

struct checks {
    struct trial *trial;
    struct happening look;
    uint64_t fresh_repeats;
};

static void look_fire(struct world *world, struct happening *what)
{
    struct checks *checks = CONTAINER_OF(what, struct checks, look);
    for (uint32_t i = 0; i < checks->trial->reader_count; i++) {
        const struct reader *reader = checks->trial->readers[i];
        if (reader_waiting_us(reader) > OP_MOST_US) {
            world_fail(world, "reader %u waits %.3f s for a %s", i,
                       (double)reader_waiting_us(reader) / 1e6, reader_what(reader));
        }
    }
    world_set(world, what, LOOK_US);
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
    trial->world->watch = (struct watch){ .self = checks, .stepped = stepped };
    return checks;
}

void checks_free(struct checks **checks)
{
    world_cancel((*checks)->trial->world, &(*checks)->look);
    free(*checks);
    *checks = NULL;
}

static void no_repeats(struct checks *checks, const char *when)
{
    const struct source_totals *totals = source_totals(checks->trial->world->source);
    if (totals->repeat_bytes > 0) {
        world_fail(checks->trial->world, "%llu bytes came from the source twice %s",
                   (unsigned long long)totals->repeat_bytes, when);
    }
}

void checks_calm(struct checks *checks)
{
    no_repeats(checks, "although nothing was amiss");
}

void checks_settled(struct checks *checks)
{
    struct trial *trial = checks->trial;
    const struct host_node *first = NULL;
    struct node_totals one = { 0 };
    for (uint32_t i = 0; i < trial->node_count; i++) {
        const struct host_node *host = trial->nodes[i];
        struct node_totals totals;
        if (!host->process.up || host->process.frozen) {
            continue;
        }
        node_totals(host->node, &totals);
        if (first == NULL) {
            first = host;
            one = totals;
        }
        if (totals.view_digest != one.view_digest || totals.ring_digest != one.ring_digest) {
            world_fail(trial->world, "%s and %s have different views or rings", first->process.name,
                       host->process.name);
        }
    }
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        const struct host_mount *host = trial->mounts[i];
        struct mount_totals totals;
        mount_totals(host->mount, &totals);
        if (totals.ring_digest != one.ring_digest) {
            world_fail(trial->world, "%s has another ring than the nodes", host->process.name);
        }
    }
}

void checks_fresh_begin(struct checks *checks)
{
    checks->fresh_repeats = source_totals(checks->trial->world->source)->repeat_bytes;
}

void checks_fresh_end(struct checks *checks)
{
    if (checks->trial->options.calm) {
        no_repeats(checks, "although nothing was amiss");
    }
}

void checks_rest(struct checks *checks)
{
    struct trial *trial = checks->trial;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        const struct host_node *host = trial->nodes[i];
        struct node_totals totals;
        if (!host->process.up) {
            continue;
        }
        node_totals(host->node, &totals);
        if (totals.requests_open > 0 || totals.fetches_open > 0 || host->process.held_payloads > 0) {
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
        if (totals.ops_open > 0 || totals.requests_open > 0 || totals.bytes_corrupt > 0 ||
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
