/* sim/world.c: the clock, the heap, processes and what is held for the frozen ones. */
#include "sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sim/net.h"
#include "sim/rings.h"
#include "sim/source.h"

#define HEAP_MAX (1u << 19)
#define BASE_PORT 7000
#define STEPS_A_SECOND_MAX 4000000u /* more is a machine that spins */

struct world *world_new(uint64_t seed, struct marks *marks)
{
    struct world *world = calloc(1, sizeof *world);
    struct arena arena;
    const size_t size = timers_memory(HEAP_MAX);
    CHECK(world != NULL);
    world->heap_memory = malloc(size);
    CHECK(world->heap_memory != NULL);
    arena_init(&arena, world->heap_memory, size);
    CHECK(timers_init(&world->heap, &arena, HEAP_MAX) == ERR_OK);
    world->now_us = SEC(1);
    world->seed = seed;
    world->marks = marks;
    rng_init(&world->rng, seed, 1);
    world->net = net_new(world);
    world->source = source_new(world);
    world->rings = rings_kept_new();
    return world;
}

void world_free(struct world **pointer)
{
    struct world *world = *pointer;
    net_free(&world->net);
    source_free(&world->source);
    rings_kept_free(&world->rings);
    free(world->heap_memory);
    free(world);
    *pointer = NULL;
}

void world_set(struct world *world, struct happening *what, usec_t delay_us)
{
    CHECK(delay_us >= 0 && what->fire != NULL);
    timers_set(&world->heap, &what->timer, world->now_us + delay_us);
}

void world_cancel(struct world *world, struct happening *what)
{
    timers_cancel(&world->heap, &what->timer);
}

static void check_pace(struct world *world, usec_t *since_us, uint64_t *steps)
{
    if (world->now_us - *since_us >= SEC(1)) {
        *since_us = world->now_us;
        *steps = world->steps;
    } else if (world->steps - *steps > STEPS_A_SECOND_MAX) {
        world_fail(world, "a machine spins: over %u steps in a second", STEPS_A_SECOND_MAX);
    }
}

void world_run(struct world *world, usec_t us)
{
    const usec_t end_us = world->now_us + us;
    usec_t since_us = world->now_us;
    uint64_t steps = world->steps;
    while (!world->failed && timers_next(&world->heap) <= end_us) {
        world->now_us = usec_max(world->now_us, timers_next(&world->heap));
        struct timer *timer = timers_expire(&world->heap, world->now_us);
        struct happening *what = CONTAINER_OF(timer, struct happening, timer);
        what->fire(world, what);
        check_pace(world, &since_us, &steps);
    }
    if (!world->failed) {
        world->now_us = end_us;
    }
}

void world_add(struct world *world, struct process *process, const char *name)
{
    CHECK(world->process_count < WORLD_PROCESSES_MAX);
    process->world = world;
    process->index = world->process_count;
    snprintf(process->name, sizeof process->name, "%s", name);
    list_init(&process->held);
    /* No two hosts count from the same moment: a time that leaves its process shows. */
    process->mono_us = rng_between(&world->rng, SEC(1), SEC(1000000));
    world->processes[world->process_count++] = process;
}

void world_fail(struct world *world, const char *format, ...)
{
    va_list list;
    if (world->failed) {
        return;
    }
    world->failed = true;
    int used =
        snprintf(world->failure, sizeof world->failure, "at %.6f s: ", (double)world->now_us / 1e6);
    va_start(list, format);
    vsnprintf(world->failure + used, sizeof world->failure - (size_t)used, format, list);
    va_end(list);
    world_say(world, "FAILED %s", world->failure);
}

void world_say(struct world *world, const char *format, ...)
{
    va_list list;
    if (!world->verbose) {
        return;
    }
    fprintf(stderr, "%11.6f ", (double)world->now_us / 1e6);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

void world_log(struct world *world, uint32_t what, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t words[5] = { (uint64_t)world->now_us, what, a, b, c };
    world->log = hash64(words, sizeof words, world->log);
}

/* ---- work ------------------------------------------------------------------------------------ */

static void work_end(struct work *work)
{
    struct process *process = work->process;
    if (process->life != work->life || !process->up) {
        if (work->drop != NULL) {
            work->drop(work);
        }
    } else {
        work->run(work);
    }
    free(work);
}

static void work_fire(struct world *world, struct happening *what)
{
    struct work *work = CONTAINER_OF(what, struct work, at);
    struct process *process = work->process;
    (void)world;
    if (process->frozen && process->life == work->life) {
        list_push_back(&process->held, &work->link);
    } else {
        work_end(work);
    }
}

void *work_new(struct process *process, size_t size)
{
    struct work *work = calloc(1, size);
    CHECK(work != NULL && size >= sizeof *work);
    work->at.fire = work_fire;
    list_init(&work->link);
    work->process = process;
    work->life = process->life;
    return work;
}

void work_post(struct work *work, usec_t delay_us)
{
    world_set(work->process->world, &work->at, delay_us);
}

/* ---- processes --------------------------------------------------------------------------------- */

struct now process_now(const struct process *process)
{
    const usec_t now_us = process->world->now_us;
    return (struct now){ .mono_us = now_us + process->mono_us,
                         .wall_us = WORLD_WALL_US + now_us + process->wall_us };
}

usec_t process_world_us(const struct process *process, usec_t mono_us)
{
    return mono_us == USEC_NEVER ? USEC_NEVER : mono_us - process->mono_us;
}

void process_link_key(const struct process *process, uint8_t out[32])
{
    memset(out, 0, 32);
    put_u64(out, process->index + 1);
    put_u64(out + 8, process->life);
}

struct address process_address(const struct process *process, enum endpoint_purpose purpose)
{
    struct address address = { .port = (uint16_t)(BASE_PORT + (int)purpose) };
    address.ip[10] = 0xff;
    address.ip[11] = 0xff;
    address.ip[12] = 10;
    address.ip[13] = (uint8_t)(process->address >> 8);
    address.ip[14] = (uint8_t)process->address;
    address.ip[15] = (uint8_t)(process->index + 1);
    return address;
}

struct process *process_at(struct world *world, const struct address *address,
                           enum endpoint_purpose *purpose)
{
    const uint32_t index = (uint32_t)address->ip[15] - 1;
    if (address->ip[15] == 0 || index >= world->process_count || address->port < BASE_PORT ||
        address->port > BASE_PORT + 2) {
        return NULL;
    }
    *purpose = (enum endpoint_purpose)(address->port - BASE_PORT);
    const struct address now = process_address(world->processes[index], *purpose);
    return memcmp(now.ip, address->ip, sizeof now.ip) == 0 ? world->processes[index] : NULL;
}

void process_freeze(struct process *process)
{
    CHECK(process->up);
    process->frozen = true;
}

void process_thaw(struct process *process)
{
    struct list held;
    CHECK(process->frozen);
    process->frozen = false;
    process->thawed_us = process->world->now_us;
    list_init(&held);
    while (!list_is_empty(&process->held)) {
        struct list *first = list_first(&process->held);
        list_remove(first);
        list_push_back(&held, first);
    }
    if (process->up) {
        process->ops->on_thaw(process);
    }
    while (!list_is_empty(&held)) {
        struct work *work = CONTAINER_OF(list_first(&held), struct work, link);
        list_remove(&work->link);
        work_end(work);
    }
}

void process_live(struct process *process)
{
    CHECK(!process->up && list_is_empty(&process->held));
    process->up = true;
    process->life = ++process->world->lives;
    process->started_us = process->world->now_us;
    process->thawed_us = 0;
}

void process_die(struct process *process)
{
    CHECK(process->up);
    process->up = false;
    process->ended_us = process->world->now_us;
    process->frozen = false;
    while (!list_is_empty(&process->held)) {
        struct work *work = CONTAINER_OF(list_first(&process->held), struct work, link);
        list_remove(&work->link);
        work_end(work);
    }
}
