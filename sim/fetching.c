/* sim/fetching.c: ranged GETs, given in steps, slow, cut or refused. */
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/hash.h"
#include "sim/net.h"
#include "sim/store.h"

#define STEPS_MAX 8u /* reports of one GET, about */

/* One GET under way. Each step is a work of its own that points here. */
struct fetch {
    struct list all;
    struct source *source;
    struct process *process;
    source_answer *answer;
    uint64_t life;
    uint64_t id;
    struct source_id source_id;
    struct source_object *object; /* NULL: no such key */
    uint32_t version;
    uint64_t offset;
    uint64_t size;
    uint64_t done;     /* bytes in the buffers */
    uint64_t complete; /* of them, in chunks that have their checksum */
    uint64_t cut_at;   /* it ends there with `err`; UINT64_MAX: it goes well */
    enum err err;
    bool cancelled;
    uint32_t refs; /* steps and reports on their way */
    uint32_t part_count;
    struct fetch_part parts[FETCH_PARTS_MAX];
    char pin[260];
};

struct step {
    struct work work;
    struct fetch *fetch;
    bool report;
    struct node_event event;
};

static void fetch_unref(struct fetch *fetch)
{
    fetch->refs--;
    if (fetch->refs == 0) {
        list_remove(&fetch->all);
        free(fetch);
    }
}

static void step_drop(struct work *work)
{
    fetch_unref(CONTAINER_OF(work, struct step, work)->fetch);
}

static void step_run(struct work *work);

static struct step *step_new(struct fetch *fetch)
{
    struct step *step = work_new(fetch->process, sizeof *step);
    step->work.life = fetch->life;
    step->work.run = step_run;
    step->work.drop = step_drop;
    step->fetch = fetch;
    fetch->refs++;
    return step;
}

/* ---- bytes into parts ------------------------------------------------------------------------ */

/* What lies in [from, to) of the GET's bytes has come: fill it in. */
static void fill(struct fetch *fetch, uint64_t from, uint64_t to)
{
    uint64_t begin = 0;
    for (uint32_t i = 0; i < fetch->part_count; i++) {
        const struct fetch_part *part = &fetch->parts[i];
        const uint64_t end = begin + part->size;
        if (from < end && to > begin) {
            const uint64_t first = from > begin ? from : begin;
            const uint64_t last = to < end ? to : end;
            source_fill(fetch->object, fetch->version, fetch->offset + first,
                        part->data + (first - begin), last - first);
        }
        begin = end;
    }
}

/* Checksums of chunks that are whole now; returns how many bytes these and all before make. */
static uint64_t seal(struct fetch *fetch)
{
    uint64_t begin = 0;
    for (uint32_t i = 0; i < fetch->part_count; i++) {
        const struct fetch_part *part = &fetch->parts[i];
        for (uint32_t at = 0; at < part->size; at += CHUNK_SIZE) {
            const uint32_t size = part->size - at < CHUNK_SIZE ? part->size - at : CHUNK_SIZE;
            const uint64_t end = begin + at + size;
            if (end > fetch->done) {
                return fetch->complete;
            }
            if (end > fetch->complete) {
                put_u64(part->checksums + (size_t)(at / CHUNK_SIZE) * 8,
                        crc64(0, part->data + at, size));
                fetch->complete = end;
            }
        }
        begin += part->size;
    }
    return fetch->complete;
}

static struct given given_of(const struct fetch *fetch, uint64_t from, uint64_t size)
{
    return (struct given){ .source = fetch->source_id,
                           .key = span_text(fetch->object->key),
                           .pin = span_text(fetch->pin),
                           .object_size = fetch->object->versions[fetch->version].size,
                           .offset = fetch->offset + from,
                           .size = size };
}

static void count(struct fetch *fetch, uint64_t from, uint64_t to)
{
    struct source_version *version = &fetch->object->versions[fetch->version];
    struct source_totals *totals = &fetch->source->totals;
    totals->bytes += to - from;
    for (uint64_t at = fetch->offset + from; at < fetch->offset + to;) {
        const uint64_t chunk = at / CHUNK_SIZE;
        const uint64_t chunk_end = (chunk + 1) * CHUNK_SIZE;
        const uint64_t end = chunk_end < fetch->offset + to ? chunk_end : fetch->offset + to;
        const uint64_t left = version->size - chunk * CHUNK_SIZE;
        const uint64_t whole = left < CHUNK_SIZE ? left : CHUNK_SIZE;
        version->given[chunk] += (uint32_t)(end - at);
        if (version->given[chunk] > whole) {
            const uint64_t over = version->given[chunk] - whole;
            totals->repeat_bytes += over < end - at ? over : end - at;
        }
        at = end;
    }
    const struct watch *watch = &fetch->source->world->watch;
    const struct given given = given_of(fetch, from, to - from);
    if (watch->given != NULL) {
        watch->given(watch->self, fetch->process, &given);
    }
}

static void tell_refusal(const struct fetch *fetch, const struct node_event *event)
{
    const struct watch *watch = &fetch->source->world->watch;
    const bool refused =
        event->fetched.err == ERR_SOURCE_THROTTLED || event->fetched.err == ERR_SOURCE_UNREACHABLE;
    if (watch->refused != NULL && fetch->object != NULL && refused && fetch->done == 0) {
        const struct given asked = given_of(fetch, 0, fetch->size);
        watch->refused(watch->self, fetch->process, &asked);
    }
}

/* ---- steps --------------------------------------------------------------------------------------- */

static void report(struct fetch *fetch, bool ended, enum err err)
{
    struct step *step = step_new(fetch);
    step->report = true;
    step->event.kind = NODE_FETCHED;
    step->event.fetched.id = fetch->id;
    step->event.fetched.bytes = fetch->complete;
    step->event.fetched.ended = ended;
    step->event.fetched.err = err;
    work_post(&step->work, 50);
}

static void go_on(struct fetch *fetch)
{
    const uint64_t end = fetch->cut_at < fetch->size ? fetch->cut_at : fetch->size;
    const uint64_t most = fetch->size / STEPS_MAX + CHUNK_SIZE / 2;
    const uint64_t left = end - fetch->done;
    const uint64_t bytes = left < most ? left : most;
    struct step *step = step_new(fetch);
    step->event.fetched.bytes = bytes; /* that will have come by then */
    work_post(&step->work, (usec_t)(bytes * 1000000 / fetch->source->weather.rate) + 20);
}

static void step_take(struct fetch *fetch, uint64_t bytes)
{
    const uint64_t before = fetch->complete;
    if (fetch->cancelled) {
        report(fetch, true, ERR_CANCELLED);
        return;
    }
    if (net_is_blocked(fetch->source->world->net, NET_SOURCE, fetch->process->index)) {
        report(fetch, true, ERR_SOURCE_UNREACHABLE);
        return;
    }
    if (bytes > 0) {
        fill(fetch, fetch->done, fetch->done + bytes);
        count(fetch, fetch->done, fetch->done + bytes);
        fetch->done += bytes;
        seal(fetch);
    }
    if (fetch->done == fetch->size) {
        report(fetch, true, ERR_OK);
    } else if (fetch->done >= fetch->cut_at) {
        report(fetch, true, fetch->err);
    } else {
        if (fetch->complete > before) {
            report(fetch, false, ERR_OK);
        }
        go_on(fetch);
    }
}

static void step_run(struct work *work)
{
    struct step *step = CONTAINER_OF(work, struct step, work);
    struct fetch *fetch = step->fetch;
    if (step->report) {
        world_log(fetch->source->world, 5, fetch->process->index, step->event.fetched.bytes,
                  (uint64_t)step->event.fetched.err);
        tell_refusal(fetch, &step->event);
        fetch->answer(fetch->process, &step->event);
    } else {
        step_take(fetch, step->event.fetched.bytes);
    }
    fetch_unref(fetch);
}

/* ---- the beginning -------------------------------------------------------------------------------- */

/* The store looks at the request: which version it gives, and how it will go. */
static void decide(struct fetch *fetch)
{
    struct source *source = fetch->source;
    const struct source_weather *weather = &source->weather;
    char pin[SOURCE_PIN_MAX];
    fetch->cut_at = 0;
    if (net_is_blocked(source->world->net, fetch->process->index, NET_SOURCE)) {
        fetch->err = ERR_SOURCE_UNREACHABLE;
        return;
    }
    source->totals.gets++;
    if (source_is_throttled(source)) {
        fetch->err = ERR_SOURCE_THROTTLED;
        return;
    }
    if (fetch->object == NULL) {
        fetch->err = ERR_SOURCE_NOT_FOUND;
        return;
    }
    fetch->version = fetch->object->version_count - 1;
    source_pin(fetch->object, fetch->version, pin);
    if (strcmp(pin, fetch->pin) != 0) {
        fetch->err = ERR_CHANGED;
        return;
    }
    fetch->cut_at = UINT64_MAX;
    fetch->err = ERR_OK;
    if (rng_chance(&source->rng, weather->cut)) {
        fetch->cut_at = rng_below(&source->rng, fetch->size);
        fetch->err = ERR_SOURCE_UNREACHABLE;
    }
}

static void first_step(struct fetch *fetch)
{
    struct source *source = fetch->source;
    const struct source_weather *weather = &source->weather;
    usec_t delay_us = source_delay(source);
    decide(fetch);
    if (fetch->err == ERR_SOURCE_UNREACHABLE && fetch->cut_at == 0) {
        delay_us = SEC(3);
    } else if (rng_chance(&source->rng, weather->slow)) {
        delay_us += weather->slow_us;
    }
    struct step *step = step_new(fetch);
    step->event.fetched.bytes = 0;
    work_post(&step->work, delay_us);
}

void fetching_do(struct source *source, struct process *process, source_answer *answer,
                 const struct node_effect *effect)
{
    struct fetch *fetch = calloc(1, sizeof *fetch);
    uint64_t sum = 0;
    CHECK(fetch != NULL && effect->fetch.part_count <= FETCH_PARTS_MAX);
    fetch->source = source;
    fetch->process = process;
    fetch->answer = answer;
    fetch->life = process->life;
    fetch->id = effect->fetch.id;
    fetch->source_id = effect->fetch.source;
    fetch->object = source_find(source, effect->fetch.key);
    fetch->offset = effect->fetch.offset;
    fetch->size = effect->fetch.size;
    fetch->part_count = effect->fetch.part_count;
    for (uint32_t i = 0; i < fetch->part_count; i++) {
        fetch->parts[i] = effect->fetch.parts[i];
        sum += fetch->parts[i].size;
    }
    CHECK(sum == fetch->size && fetch->size > 0 && effect->fetch.pin.size < sizeof fetch->pin &&
          fetch->offset + fetch->size <= effect->fetch.object_size);
    memcpy(fetch->pin, effect->fetch.pin.data, effect->fetch.pin.size);
    list_push_back(&source->fetches, &fetch->all);
    world_say(source->world, "%s GET %.*s %llu+%llu%s", process->name, (int)effect->fetch.key.size,
              (const char *)effect->fetch.key.data, (unsigned long long)fetch->offset,
              (unsigned long long)fetch->size, effect->fetch.background ? " (background)" : "");
    first_step(fetch);
}

void fetching_cancel(struct source *source, struct process *process, uint64_t id)
{
    for (struct list *at = source->fetches.next; at != &source->fetches; at = at->next) {
        struct fetch *fetch = CONTAINER_OF(at, struct fetch, all);
        if (fetch->process == process && fetch->life == process->life && fetch->id == id) {
            fetch->cancelled = true;
        }
    }
}
