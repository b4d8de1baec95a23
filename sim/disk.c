/* sim/disk.c: files and keys in memory that outlive their process. */
#include "sim/disk.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/hash.h"
#include "node/core/record.h"

struct segment {
    struct segment *next; /* by tier, then number */
    uint32_t tier;
    uint32_t number;
    uint8_t *data;
    uint32_t size;
    uint32_t room;
    uint32_t written; /* the last record that was acknowledged begins there */
    bool has_written;
    bool has_hole;  /* a write failed: what follows is not found after a restart */
    usec_t hole_us; /* world time of the last such */
    bool damaged;   /* bits were changed */
};

struct pair {
    struct pair *next; /* by key */
    uint8_t *value;
    uint32_t value_size;
    uint32_t key_size;
    uint8_t key[];
};

/* One operation under way. */
struct job {
    struct work work;
    struct list all;
    struct disk *disk;
    struct node_effect effect;
    uint8_t *copy; /* of a key and a value */
    usec_t took_us;
};

struct disk {
    struct world *world;
    struct process *process;
    disk_answer *answer;
    struct segment *segments;
    struct pair *pairs;
    struct list jobs;
    struct disk_weather weather;
    struct rng rng;
    usec_t scan_us; /* to look through a tier at a start, at most */
    usec_t free_us; /* writes queue one behind the other until then */
};

struct disk *disk_new(struct world *world, uint32_t host)
{
    struct disk *disk = calloc(1, sizeof *disk);
    CHECK(disk != NULL);
    disk->world = world;
    disk->weather = (struct disk_weather){ .latency_us = 100, .rate = 500000000 };
    list_init(&disk->jobs);
    rng_init(&disk->rng, world->seed, 1000 + host);
    disk->scan_us = rng_chance(&disk->rng, 250000) ? SEC(3) : MSEC(20);
    return disk;
}

void disk_free(struct disk **disk)
{
    disk_wipe(*disk);
    free(*disk);
    *disk = NULL;
}

struct disk_weather *disk_weather(struct disk *disk)
{
    return &disk->weather;
}

void disk_attach(struct disk *disk, struct process *process, disk_answer *answer)
{
    disk->process = process;
    disk->answer = answer;
    disk->free_us = 0;
}

/* ---- segments ------------------------------------------------------------------------------- */

static struct segment **segment_at(struct disk *disk, uint32_t tier, uint32_t number)
{
    struct segment **at = &disk->segments;
    while (*at != NULL && ((*at)->tier < tier || ((*at)->tier == tier && (*at)->number < number))) {
        at = &(*at)->next;
    }
    return at;
}

static struct segment *segment_get(struct disk *disk, uint32_t tier, uint32_t number)
{
    struct segment *segment = *segment_at(disk, tier, number);
    return segment != NULL && segment->tier == tier && segment->number == number ? segment : NULL;
}

static void segment_write(struct segment *segment, uint32_t offset, struct span bytes)
{
    const uint32_t end = offset + (uint32_t)bytes.size;
    if (end > segment->room) {
        segment->room = end * 2;
        segment->data = realloc(segment->data, segment->room);
        CHECK(segment->data != NULL);
    }
    if (end > segment->size) { /* a hole reads as zeros */
        memset(segment->data + segment->size, 0, end - segment->size);
        segment->size = end;
    }
    if (bytes.size > 0) {
        memcpy(segment->data + offset, bytes.data, bytes.size);
    }
}

/* The first `bytes` of a record get to the disk. */
static void write_record(struct disk *disk, const struct node_effect *effect, uint64_t bytes)
{
    const struct span header = effect->disk_write.header;
    const struct span payload = effect->disk_write.payload;
    const uint32_t tier = effect->disk_write.tier;
    const uint32_t number = effect->disk_write.segment;
    struct segment **at = segment_at(disk, tier, number);
    struct segment *segment = *at;
    if (segment == NULL || segment->tier != tier || segment->number != number) {
        segment = calloc(1, sizeof *segment);
        CHECK(segment != NULL);
        segment->tier = tier;
        segment->number = number;
        segment->next = *at;
        *at = segment;
    }
    const uint64_t head = bytes < header.size ? bytes : header.size;
    segment_write(segment, effect->disk_write.offset, span_of(header.data, head));
    if (bytes > head) {
        segment_write(segment, effect->disk_write.offset + (uint32_t)header.size,
                      span_of(payload.data, bytes - head));
    }
}

static void segment_free(struct segment **at)
{
    struct segment *segment = *at;
    *at = segment->next;
    free(segment->data);
    free(segment);
}

/* As a disk actor: every chunk against the header. */
static enum err read_record(struct disk *disk, const struct node_effect *effect)
{
    const struct disk_record *wanted = &effect->disk_read.record;
    const struct segment *segment = segment_get(disk, effect->disk_read.tier, wanted->segment);
    const uint32_t offset = effect->disk_read.offset;
    const uint32_t size = effect->disk_read.size;
    struct record record;
    if (segment == NULL || wanted->offset + RECORD_HEADER_SIZE > segment->size) {
        return ERR_SYSTEM;
    }
    const uint8_t *at = segment->data + wanted->offset;
    if (record_decode(span_of(at, RECORD_HEADER_SIZE), &record) != ERR_OK ||
        !block_id_equal(record.block, wanted->block)) {
        return ERR_CORRUPT;
    }
    CHECK(offset % CHUNK_SIZE == 0 && offset + size <= wanted->payload_size);
    if (wanted->offset + RECORD_HEADER_SIZE + offset + size > segment->size) {
        return ERR_CORRUPT;
    }
    for (uint32_t done = 0; done < size; done += CHUNK_SIZE) {
        const uint32_t part = size - done < CHUNK_SIZE ? size - done : CHUNK_SIZE;
        uint8_t *to = effect->disk_read.data + done;
        memcpy(to, at + RECORD_HEADER_SIZE + offset + done, part);
        const uint64_t crc = crc64(0, to, part);
        put_u64(effect->disk_read.checksums + (size_t)(done / CHUNK_SIZE) * 8, crc);
        if (crc != get_u64(record.checksums + (size_t)((offset + done) / CHUNK_SIZE) * 8)) {
            return ERR_CORRUPT;
        }
    }
    if (effect->disk_read.header != NULL) {
        memcpy(effect->disk_read.header, at, RECORD_HEADER_SIZE);
    }
    return ERR_OK;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static struct pair **pair_at(struct disk *disk, struct span key)
{
    struct pair **at = &disk->pairs;
    while (*at != NULL && span_compare(span_of((*at)->key, (*at)->key_size), key) < 0) {
        at = &(*at)->next;
    }
    return at;
}

static bool pair_is(const struct pair *pair, struct span key)
{
    return pair != NULL && span_equal(span_of(pair->key, pair->key_size), key);
}

bool disk_keeps(const struct disk *disk, enum meta_space space, struct span value)
{
    for (const struct pair *pair = disk->pairs; pair != NULL; pair = pair->next) {
        if (pair->key[0] == (uint8_t)space &&
            span_equal(span_of(pair->value, pair->value_size), value)) {
            return true;
        }
    }
    return false;
}

static void pair_delete(struct disk *disk, struct span key)
{
    struct pair **at = pair_at(disk, key);
    struct pair *pair = *at;
    if (pair_is(pair, key)) {
        *at = pair->next;
        free(pair->value);
        free(pair);
    }
}

static void pair_put(struct disk *disk, struct span key, struct span value)
{
    pair_delete(disk, key);
    struct pair **at = pair_at(disk, key);
    struct pair *pair = malloc(sizeof *pair + key.size);
    CHECK(pair != NULL);
    memcpy(pair->key, key.data, key.size);
    pair->key_size = (uint32_t)key.size;
    pair->value = malloc(value.size + 1);
    CHECK(pair->value != NULL);
    if (value.size > 0) {
        memcpy(pair->value, value.data, value.size);
    }
    pair->value_size = (uint32_t)value.size;
    pair->next = *at;
    *at = pair;
}

/* ---- operations ------------------------------------------------------------------------------- */

static void job_free_parts(struct job *job)
{
    list_remove(&job->all);
    free(job->copy);
}

static void job_drop(struct work *work)
{
    job_free_parts(CONTAINER_OF(work, struct job, work));
}

static bool fails(struct disk *disk)
{
    return rng_chance(&disk->rng, disk->weather.failing);
}

/* All of it, or, when the disk fails, a part of it. */
static enum err write_whole(struct disk *disk, const struct node_effect *effect)
{
    const uint64_t size = effect->disk_write.header.size + effect->disk_write.payload.size;
    const bool failed = fails(disk);
    write_record(disk, effect, failed ? rng_below(&disk->rng, size) : size);
    struct segment *segment =
        segment_get(disk, effect->disk_write.tier, effect->disk_write.segment);
    CHECK(segment != NULL);
    segment->has_hole = segment->has_hole || failed;
    segment->hole_us = failed ? disk->world->now_us : segment->hole_us;
    if (!segment->has_hole && effect->disk_write.offset >= segment->written) {
        segment->written = effect->disk_write.offset;
        segment->has_written = true;
    }
    return failed ? ERR_SYSTEM : ERR_OK;
}

static void disk_job_run(struct work *work)
{
    struct job *job = CONTAINER_OF(work, struct job, work);
    struct disk *disk = job->disk;
    struct node_event event = { .kind = NODE_DISK };
    list_remove(&job->all);
    event.disk.took_us = job->took_us;
    if (job->effect.kind == NODE_DISK_WRITE) {
        event.disk.id = job->effect.disk_write.id;
        event.disk.err = write_whole(disk, &job->effect);
    } else {
        event.disk.id = job->effect.disk_read.id;
        event.disk.err = fails(disk) ? ERR_SYSTEM : read_record(disk, &job->effect);
    }
    disk->answer(disk->process, &event);
    job_free_parts(job);
}

static void meta_job_run(struct work *work)
{
    struct job *job = CONTAINER_OF(work, struct job, work);
    struct disk *disk = job->disk;
    const struct span key = job->effect.meta.key;
    struct node_event event = { .kind = NODE_META, .meta = { .id = job->effect.meta.id } };
    list_remove(&job->all);
    if (job->effect.kind == NODE_META_PUT) {
        pair_put(disk, key, job->effect.meta.value);
    } else if (job->effect.kind == NODE_META_DELETE) {
        pair_delete(disk, key);
    } else {
        const struct pair *pair = *pair_at(disk, key);
        event.meta.err = pair_is(pair, key) ? ERR_OK : ERR_NOT_FOUND;
        if (event.meta.err == ERR_OK) {
            event.meta.value = span_of(pair->value, pair->value_size);
        }
    }
    disk->answer(disk->process, &event);
    job_free_parts(job);
}

static struct job *job_new(struct disk *disk, const struct node_effect *effect)
{
    struct job *job = work_new(disk->process, sizeof *job);
    job->disk = disk;
    job->effect = *effect;
    job->work.drop = job_drop;
    list_push_back(&disk->jobs, &job->all);
    return job;
}

static usec_t time_of(struct disk *disk, uint64_t bytes)
{
    const usec_t latency_us = disk->weather.latency_us;
    return latency_us + rng_between(&disk->rng, 0, latency_us) +
           (usec_t)(bytes * 1000000 / disk->weather.rate);
}

/* Writes are in order; reads overtake them. */
static usec_t write_time(struct disk *disk, struct job *job, uint64_t bytes)
{
    const usec_t now_us = disk->world->now_us;
    job->took_us = time_of(disk, bytes);
    disk->free_us = usec_max(disk->free_us, now_us) + job->took_us;
    return disk->free_us - now_us;
}

static void copy_meta(struct job *job)
{
    const struct span key = job->effect.meta.key;
    const struct span value =
        job->effect.kind == NODE_META_PUT ? job->effect.meta.value : (struct span){ 0 };
    const size_t space = 1;
    job->copy = malloc(space + key.size + value.size);
    CHECK(job->copy != NULL);
    job->copy[0] = (uint8_t)job->effect.meta.space;
    if (key.size > 0) {
        memcpy(job->copy + space, key.data, key.size);
    }
    if (value.size > 0) {
        memcpy(job->copy + space + key.size, value.data, value.size);
    }
    job->effect.meta.key = span_of(job->copy, space + key.size);
    job->effect.meta.value = span_of(job->copy + space + key.size, value.size);
}

/* The node was told that a write has failed there. What goes out at that very moment it had decided
 * before. */
static void check_hole(struct disk *disk, const struct node_effect *effect)
{
    const struct segment *segment =
        segment_get(disk, effect->disk_write.tier, effect->disk_write.segment);
    if (segment != NULL && segment->has_hole && segment->hole_us < disk->world->now_us) {
        world_fail(disk->world, "%s writes behind a hole: after a restart nobody finds that",
                   disk->process->name);
    }
}

void disk_do(struct disk *disk, const struct node_effect *effect)
{
    if (effect->kind == NODE_DISK_DROP) {
        struct segment **at = segment_at(disk, effect->disk_drop.tier, effect->disk_drop.segment);
        if (segment_get(disk, effect->disk_drop.tier, effect->disk_drop.segment) != NULL) {
            segment_free(at);
        }
        return;
    }
    struct job *job = job_new(disk, effect);
    if (effect->kind == NODE_DISK_WRITE) {
        check_hole(disk, effect);
        job->work.run = disk_job_run;
        work_post(&job->work,
                  write_time(disk, job,
                             effect->disk_write.header.size + effect->disk_write.payload.size));
    } else if (effect->kind == NODE_DISK_READ) {
        job->work.run = disk_job_run;
        job->took_us = time_of(disk, effect->disk_read.size);
        work_post(&job->work, job->took_us);
    } else {
        CHECK(effect->kind == NODE_META_PUT || effect->kind == NODE_META_GET ||
              effect->kind == NODE_META_DELETE);
        job->work.run = meta_job_run;
        copy_meta(job);
        work_post(&job->work, effect->kind == NODE_META_GET ? time_of(disk, 4096)
                                                            : write_time(disk, job, 4096));
    }
}

/* ---- start -------------------------------------------------------------------------------------- */

struct found {
    struct work work;
    disk_answer *answer;
    struct node_event event;
    uint8_t value[];
};

static void found_run(struct work *work)
{
    struct found *found = CONTAINER_OF(work, struct found, work);
    found->answer(work->process, &found->event);
}

static struct found *found_new(struct disk *disk, enum node_event_kind kind, size_t size)
{
    struct found *found = work_new(disk->process, sizeof *found + size);
    found->work.run = found_run;
    found->answer = disk->answer;
    found->event.kind = kind;
    return found;
}

static void scan_segment(struct disk *disk, struct segment *segment, usec_t *at_us)
{
    uint32_t offset = 0;
    struct record record;
    while (offset + RECORD_HEADER_SIZE <= segment->size &&
           record_decode(span_of(segment->data + offset, RECORD_HEADER_SIZE), &record) == ERR_OK &&
           offset + RECORD_HEADER_SIZE + record.payload_size <= segment->size) {
        struct found *found = found_new(disk, NODE_DISK_RECORD, 0);
        found->event.disk_record.tier = segment->tier;
        found->event.disk_record.record =
            (struct disk_record){ .block = record.block,
                                  .source = record.source,
                                  .place = record.place,
                                  .dataset = record.dataset,
                                  .segment = segment->number,
                                  .offset = offset,
                                  .header_size = RECORD_HEADER_SIZE,
                                  .payload_size = record.payload_size };
        *at_us += rng_between(&disk->rng, 1, 20);
        work_post(&found->work, *at_us);
        offset += record_size(record.payload_size);
    }
    if (segment->has_written && segment->written >= offset && !segment->damaged) {
        world_fail(disk->world, "%s does not find at its start what its disk had acknowledged",
                   disk->process->name);
    }
    segment->size = segment->size < offset ? segment->size : offset;
}

static void scan_tier(struct disk *disk, uint32_t tier)
{
    usec_t at_us = rng_between(&disk->rng, 100, disk->scan_us);
    uint32_t next = 0;
    struct segment **at = segment_at(disk, tier, 0);
    while (*at != NULL && (*at)->tier == tier) {
        struct segment *segment = *at;
        struct record record;
        next = segment->number + 1;
        if (segment->size < RECORD_HEADER_SIZE ||
            record_decode(span_of(segment->data, RECORD_HEADER_SIZE), &record) != ERR_OK ||
            RECORD_HEADER_SIZE + record.payload_size > segment->size) {
            segment_free(at); /* nothing in it: nobody would ever drop it */
            continue;
        }
        scan_segment(disk, segment, &at_us);
        at = &segment->next;
    }
    struct found *found = found_new(disk, NODE_DISK_READY, 0);
    found->event.disk_ready.tier = tier;
    found->event.disk_ready.next_segment = next;
    work_post(&found->work, at_us + 1);
}

static void scan_datasets(struct disk *disk)
{
    usec_t at_us = rng_between(&disk->rng, 100, MSEC(5));
    for (const struct pair *pair = disk->pairs; pair != NULL; pair = pair->next) {
        if (pair->key[0] != META_DATASET) {
            continue;
        }
        struct found *found = found_new(disk, NODE_META_RECORD, pair->value_size);
        memcpy(found->value, pair->value, pair->value_size);
        found->event.meta_record.value = span_of(found->value, pair->value_size);
        at_us += 5;
        work_post(&found->work, at_us);
    }
    work_post(&found_new(disk, NODE_META_READY, 0)->work, at_us + 1);
}

void disk_scan(struct disk *disk, uint32_t tiers)
{
    for (uint32_t tier = 0; tier < tiers; tier++) {
        scan_tier(disk, tier);
    }
    scan_datasets(disk);
}

/* ---- misfortune ---------------------------------------------------------------------------------- */

static void tear(struct disk *disk, struct job *job)
{
    const bool lucky = rng_chance(&disk->rng, 500000);
    if (job->effect.kind == NODE_DISK_WRITE) {
        const uint64_t size =
            job->effect.disk_write.header.size + job->effect.disk_write.payload.size;
        write_record(disk, &job->effect, rng_below(&disk->rng, size + 1));
    } else if (job->effect.kind == NODE_META_PUT && lucky) {
        pair_put(disk, job->effect.meta.key, job->effect.meta.value);
    } else if (job->effect.kind == NODE_META_DELETE && lucky) {
        pair_delete(disk, job->effect.meta.key);
    }
}

void disk_crash(struct disk *disk)
{
    bool torn = false; /* writes of blocks are in order: what is behind a torn one is not there */
    for (struct list *at = disk->jobs.next; at != &disk->jobs; at = at->next) {
        struct job *job = CONTAINER_OF(at, struct job, all);
        bool is_write = job->effect.kind == NODE_DISK_WRITE;
        if (!is_write || !torn) {
            tear(disk, job);
            torn |= is_write;
        }
    }
}

void disk_wipe(struct disk *disk)
{
    while (disk->segments != NULL) {
        segment_free(&disk->segments);
    }
    while (disk->pairs != NULL) {
        pair_delete(disk, span_of(disk->pairs->key, disk->pairs->key_size));
    }
}

bool disk_flip(struct disk *disk)
{
    uint32_t count = 0;
    for (const struct segment *at = disk->segments; at != NULL; at = at->next) {
        count++;
    }
    if (count == 0) {
        return false;
    }
    uint64_t skip = rng_below(&disk->rng, count);
    struct segment *at = disk->segments;
    for (; skip > 0; skip--) {
        at = at->next;
    }
    if (at->size == 0) {
        return false;
    }
    const uint64_t bit = rng_below(&disk->rng, (uint64_t)at->size * 8);
    at->damaged = true;
    at->data[bit / 8] = (uint8_t)(at->data[bit / 8] ^ 1u << (bit % 8));
    return true;
}

uint64_t disk_bytes(const struct disk *disk)
{
    uint64_t bytes = 0;
    for (const struct segment *at = disk->segments; at != NULL; at = at->next) {
        bytes += at->size;
    }
    return bytes;
}
