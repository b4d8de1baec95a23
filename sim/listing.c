/* sim/listing.c: ListObjectsV2 and HEAD as a store answers them: pages in byte order of the keys,
 * common prefixes as one entry, a continuation that tells where to go on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/net.h"
#include "sim/store.h"

#define PAGE_MAX 1000u
#define PROBE_MAX 2u /* keys that are asked for to see whether there is any */
#define TEXT_ROOM 1100u

struct request {
    struct work work;
    struct source *source;
    source_answer *answer;
    uint64_t id;
    bool is_head;
    bool delimited;
    bool answered; /* on its way back */
    uint32_t limit;
    char prefix[TEXT_ROOM]; /* or the key of a HEAD */
    uint32_t prefix_size;
    char after[TEXT_ROOM]; /* the answer begins behind it */
    uint32_t after_size;
    struct node_event event;
    struct listed entries[PAGE_MAX];
    uint32_t count;
    char pins[PAGE_MAX][SOURCE_PIN_MAX];
    char next[TEXT_ROOM];
};

bool source_begins_listing(const struct node_effect *effect)
{
    return effect->kind == NODE_LIST && effect->list.continuation.size == 0 &&
           effect->list.limit > PROBE_MAX;
}

static uint32_t copy(char *to, struct span from)
{
    CHECK(from.size < TEXT_ROOM);
    if (from.size > 0) {
        memcpy(to, from.data, from.size);
    }
    to[from.size] = '\0';
    return (uint32_t)from.size;
}

static void add_object(struct request *request, const struct source_object *object)
{
    const uint32_t last = object->version_count - 1;
    char *pin = request->pins[request->count];
    source_pin(object, last, pin);
    request->entries[request->count++] =
        (struct listed){ .key = span_of(object->key, object->key_size),
                         .pin = span_text(pin),
                         .size = object->versions[last].size,
                         .mtime_us = object->versions[last].mtime_us };
}

static void list_page(struct request *request)
{
    const struct source *source = request->source;
    const struct span prefix = span_of(request->prefix, request->prefix_size);
    struct span after = span_of(request->after, request->after_size);
    uint32_t i = 0;
    for (; i < source->count; i++) {
        const struct source_object *object = source->objects[i];
        const struct span key = span_of(object->key, object->key_size);
        const char *slash = NULL;
        bool is_behind = after.size == 0 || span_compare(key, after) > 0;
        /* What a common prefix has covered is behind it. */
        if (request->delimited && after.size > 0 && after.data[after.size - 1] == '/' &&
            after.size > prefix.size && span_starts_with(key, after)) {
            is_behind = false;
        }
        if (!span_starts_with(key, prefix) || !is_behind) {
            continue;
        }
        if (request->count == request->limit) {
            break;
        }
        if (request->delimited && key.size > prefix.size) {
            slash = memchr(object->key + prefix.size, '/', key.size - prefix.size);
        }
        if (slash == NULL) {
            add_object(request, object);
            after = key;
        } else {
            after = span_of(object->key, (size_t)(slash + 1 - object->key));
            request->entries[request->count++] = (struct listed){ .key = after, .is_prefix = true };
        }
    }
    request->event.listed.entries = request->entries;
    request->event.listed.count = request->count;
    if (i < source->count) {
        snprintf(request->next, sizeof request->next, "c:%.*s", (int)after.size,
                 (const char *)after.data);
        request->event.listed.next = span_text(request->next);
    }
}

static void head(struct request *request)
{
    struct source_object *object =
        source_find(request->source, span_of(request->prefix, request->prefix_size));
    if (object == NULL) {
        request->event.listed.err = ERR_SOURCE_NOT_FOUND;
        return;
    }
    object->heads++;
    add_object(request, object);
    request->event.listed.entries = request->entries;
    request->event.listed.count = request->count;
}

static void request_again(struct work *work);

/* The store makes its answer now; it arrives later. */
static void request_run(struct work *work)
{
    struct request *request = CONTAINER_OF(work, struct request, work);
    struct source *source = request->source;
    const uint32_t host = work->process->index;
    struct request *next = work_new(work->process, sizeof *next);
    struct work head_of = next->work;
    *next = *request;
    next->work = head_of;
    next->work.run = request_again;
    list_init(&next->work.link);
    usec_t delay_us = source_delay(source);
    if (net_is_blocked(source->world->net, host, NET_SOURCE)) {
        next->event.listed.err = ERR_SOURCE_UNREACHABLE;
        delay_us = SEC(3);
    } else if (source_is_throttled(source)) {
        next->event.listed.err = ERR_SOURCE_THROTTLED;
    } else if (next->is_head) {
        source->totals.heads++;
        head(next);
    } else {
        source->totals.lists++;
        list_page(next);
    }
    work_post(&next->work, delay_us / 2);
}

static void request_again(struct work *work)
{
    struct request *request = CONTAINER_OF(work, struct request, work);
    world_log(request->source->world, 4, work->process->index, request->count,
              (uint64_t)request->event.listed.err);
    request->answer(work->process, &request->event);
}

void listing_do(struct source *source, struct process *process, source_answer *answer,
                const struct node_effect *effect)
{
    struct request *request = work_new(process, sizeof *request);
    request->work.run = request_run;
    request->source = source;
    request->answer = answer;
    request->event.kind = NODE_LISTED;
    if (effect->kind == NODE_HEAD) {
        request->is_head = true;
        request->event.listed.id = effect->head.id;
        request->prefix_size = copy(request->prefix, effect->head.key);
    } else {
        const struct span token = effect->list.continuation;
        CHECK(effect->list.limit > 0 && effect->list.limit <= PAGE_MAX);
        request->event.listed.id = effect->list.id;
        request->delimited = effect->list.delimited;
        request->limit = effect->list.limit;
        request->prefix_size = copy(request->prefix, effect->list.prefix);
        CHECK(token.size == 0 || (token.size > 2 && memcmp(token.data, "c:", 2) == 0));
        request->after_size = token.size > 0
                                  ? copy(request->after, span_of(token.data + 2, token.size - 2))
                                  : copy(request->after, effect->list.after);
    }
    world_say(source->world, "%s %s %s (%u) after \"%s\"", process->name,
              request->is_head ? "HEAD" : "LIST", request->prefix, request->limit, request->after);
    work_post(&request->work, source_delay(source) / 2);
}
