/* node/io/fetch_job.c: jobs made from effects, and what is told of them. */
#include <stdlib.h>
#include <string.h>

#include "node/io/fetch_inside.h"

/* Bytes that spans of a job point into, handed out in order. */
struct keeper {
    uint8_t *at;
};

static struct span keep(struct keeper *keeper, struct span from)
{
    struct span kept = span_of(keeper->at, from.size);
    if (from.size > 0) {
        memcpy(keeper->at, from.data, from.size);
    }
    keeper->at += from.size;
    return kept;
}

static struct fetch_job *job_new(enum fetch_kind kind, uint64_t id, size_t room)
{
    struct fetch_job *job = malloc(sizeof *job + room);
    if (job == NULL) {
        return NULL;
    }
    memset(job, 0, sizeof *job);
    job->kind = kind;
    job->id = id;
    list_init(&job->all);
    list_init(&job->line);
    list_init(&job->fresh);
    return job;
}

struct fetch_job *fetch_job_command(enum fetch_kind kind, uint64_t id)
{
    return job_new(kind, id, 0);
}

static struct fetch_job *get_new(const struct node_effect *effect)
{
    size_t parts_size = effect->fetch.part_count * sizeof *effect->fetch.parts;
    struct fetch_job *job = job_new(FETCH_GET, effect->fetch.id,
                                    parts_size + effect->fetch.key.size + effect->fetch.pin.size);
    struct fetch_part *parts;
    uint64_t size = 0;
    if (job == NULL) {
        return NULL;
    }
    CHECK(effect->fetch.part_count > 0 && effect->fetch.part_count <= FETCH_PARTS_MAX);
    parts = (struct fetch_part *)(void *)job->memory;
    memcpy(parts, effect->fetch.parts, parts_size);
    for (uint32_t i = 0; i < effect->fetch.part_count; i++) {
        size += parts[i].size;
    }
    CHECK(size == effect->fetch.size && size > 0);
    CHECK(size <= effect->fetch.object_size &&
          effect->fetch.offset <= effect->fetch.object_size - size);
    struct keeper keeper = { .at = (uint8_t *)job->memory + parts_size };
    job->background = effect->fetch.background;
    job->request = (struct request){
        .kind = REQUEST_GET,
        .key = keep(&keeper, effect->fetch.key),
        .pin = keep(&keeper, effect->fetch.pin),
        .offset = effect->fetch.offset,
        .size = effect->fetch.size,
        .object_size = effect->fetch.object_size,
    };
    sink_init(&job->sink, parts, effect->fetch.part_count);
    return job;
}

static struct fetch_job *list_new(const struct node_effect *effect)
{
    struct fetch_job *job = job_new(FETCH_LIST, effect->list.id,
                                    effect->list.prefix.size + effect->list.after.size +
                                        effect->list.continuation.size);
    if (job == NULL) {
        return NULL;
    }
    struct keeper keeper = { .at = (uint8_t *)job->memory };
    job->request = (struct request){
        .kind = REQUEST_LIST,
        .prefix = keep(&keeper, effect->list.prefix),
        .after = keep(&keeper, effect->list.after),
        .continuation = keep(&keeper, effect->list.continuation),
        .limit = effect->list.limit,
        .delimited = effect->list.delimited,
    };
    return job;
}

static struct fetch_job *head_new(const struct node_effect *effect)
{
    struct fetch_job *job = job_new(FETCH_HEAD, effect->head.id, effect->head.key.size);
    if (job == NULL) {
        return NULL;
    }
    struct keeper keeper = { .at = (uint8_t *)job->memory };
    job->request = (struct request){ .kind = REQUEST_HEAD, .key = keep(&keeper, effect->head.key) };
    return job;
}

struct fetch_job *fetch_job_new(const struct node_effect *effect, struct fetch_source *source)
{
    struct fetch_job *job = NULL;
    if (effect->kind == NODE_FETCH) {
        job = get_new(effect);
    } else if (effect->kind == NODE_LIST) {
        job = list_new(effect);
    } else if (effect->kind == NODE_HEAD) {
        job = head_new(effect);
    } else {
        BUG("not a job for the fetch actor");
    }
    if (job != NULL) {
        job->source = source;
    }
    return job;
}

void fetch_job_free(struct fetch_job *job)
{
    CHECK(job->easy == NULL && !job->opened);
    list_remove(&job->all);
    list_remove(&job->line);
    list_remove(&job->fresh);
    curl_slist_free_all(job->headers);
    free(job->body.data);
    if (job->source != NULL) {
        fetch_source_unref(job->source);
    }
    free(job);
}

/* ---- what is told ---- */

void fetch_tell_progress(struct queue *out, struct fetch_job *job, usec_t now_us)
{
    struct item *item = item_must(NODE_FETCHED, 0);
    item->event.fetched.id = job->id;
    item->event.fetched.bytes = job->sink.complete;
    job->told = job->sink.complete;
    job->told_us = now_us;
    queue_push(out, &item->queue);
}

static void tell_fetched(struct queue *out, const struct fetch_job *job, enum err err)
{
    const size_t size = err == ERR_OK ? 0 : strlen(job->why);
    struct item *item = item_must(NODE_FETCHED, size);
    memcpy(item_room(item), job->why, size);
    item->event.fetched.text = span_of(item_room(item), size);
    item->event.fetched.id = job->id;
    item->event.fetched.bytes = job->sink.complete;
    item->event.fetched.ended = true;
    item->event.fetched.err = err;
    item->event.fetched.retry_us = job->answer.retry_us;
    queue_push(out, &item->queue);
}

void fetch_tell_done(struct queue *out, const struct fetch_job *job)
{
    CHECK(job->kind == FETCH_GET && job->sink.complete == job->request.size);
    tell_fetched(out, job, ERR_OK);
}

void fetch_tell_failed(struct queue *out, const struct fetch_job *job, enum err err)
{
    CHECK(err != ERR_OK);
    if (job->kind == FETCH_GET) {
        tell_fetched(out, job, err);
        return;
    }
    size_t size = strlen(job->why);
    struct item *item = item_must(NODE_LISTED, size);
    memcpy(item_room(item), job->why, size);
    item->event.listed.id = job->id;
    item->event.listed.err = err;
    item->event.listed.retry_us = job->answer.retry_us;
    item->event.listed.text = span_of(item_room(item), size);
    item->event.listed.mute = answer_is_mute(&job->answer, &job->request);
    queue_push(out, &item->queue);
}

static struct listed listed_of(const struct listing_entry *entry)
{
    return (struct listed){ .key = entry->key,
                            .pin = entry->pin,
                            .size = entry->size,
                            .mtime_us = entry->mtime_us,
                            .is_prefix = entry->is_prefix };
}

/* One entry and the bytes its spans point into, behind the item. */
struct one {
    struct listed entry;
    uint8_t bytes[];
};

void fetch_tell_entry(struct queue *out, const struct fetch_job *job,
                      const struct listing_entry *entry)
{
    struct item *item =
        item_must(NODE_LISTED, sizeof(struct one) + entry->key.size + entry->pin.size);
    struct one *one = item_room(item);
    struct keeper keeper = { .at = one->bytes };
    one->entry = listed_of(entry);
    one->entry.key = keep(&keeper, entry->key);
    one->entry.pin = keep(&keeper, entry->pin);
    item->event.listed.id = job->id;
    item->event.listed.retry_us = job->answer.retry_us;
    item->event.listed.entries = &one->entry;
    item->event.listed.count = 1;
    queue_push(out, &item->queue);
}

/* A page behind its item: the spans of `entries` point into the listing's memory. */
struct page {
    struct listing listing;
    struct listed entries[];
};

static void page_free(struct item *item)
{
    struct page *page = item_room(item);
    listing_fini(&page->listing);
    free(item);
}

void fetch_tell_listing(struct queue *out, const struct fetch_job *job, struct listing *listing)
{
    struct page *page;
    struct item *item =
        item_new(NODE_LISTED, sizeof *page + listing->count * sizeof page->entries[0]);
    if (item == NULL) {
        listing_fini(listing);
        fetch_tell_failed(out, job, ERR_NOMEM);
        return;
    }
    page = item_room(item);
    page->listing = *listing;
    memset(listing, 0, sizeof *listing);
    for (uint32_t i = 0; i < page->listing.count; i++) {
        page->entries[i] = listed_of(&page->listing.entries[i]);
    }
    item->free = page_free;
    item->event.listed.id = job->id;
    item->event.listed.retry_us = job->answer.retry_us;
    item->event.listed.entries = page->entries;
    item->event.listed.count = page->listing.count;
    item->event.listed.next = page->listing.next;
    queue_push(out, &item->queue);
}
