/* node/core/lookup.c: HEAD and LIST of one name, beside a listing. */
#include "node/core/lookup.h"

#include "node/core/meta.h"
#include "node/core/snapshot.h"

static struct span name_of(const struct lookup *lookup)
{
    return span_of(lookup->name, lookup->name_size);
}

static bool entry_of(const struct lookup *lookup, struct entry *out)
{
    if (lookup->state != LOOKUP_FOUND) {
        return false;
    }
    *out = (struct entry){ .name = name_of(lookup),
                           .type = lookup->type,
                           .size = lookup->size,
                           .mtime_us = lookup->mtime_us,
                           .pin = span_of(lookup->pin, lookup->pin_size),
                           .place = lookup->place };
    return true;
}

static void answer(struct node *node, struct snapshot *snapshot, const struct lookup *lookup,
                   struct meta_ask *ask)
{
    struct entry entry;
    bool found = entry_of(lookup, &entry);
    list_remove(&ask->waiting);
    dirs_answer_entry(node, snapshot->work, ask, found ? &entry : NULL);
}

static bool asks_for(const struct meta_ask *ask, struct span name)
{
    return ask->kind == META_ASK_DIR && ask->admin == 0 &&
           span_equal(span_of(ask->name, ask->name_size), name);
}

/* ---- the decision ------------------------------------------------------------------------ */

/* Place of the page in which the listing puts that name, as far as its fences are known. */
static struct place place_for(const struct snapshot *snapshot, struct span name)
{
    const struct dirbuild *set = &snapshot->set;
    struct span fence = span_of(set->lower, set->lower_size);
    if (span_compare(name, fence) < 0 || set->cut_last) {
        fence = snapshot_fence(snapshot, snapshot_shard_of(snapshot, name));
    }
    return place_of_shard(snapshot->work->id, fence);
}

static void found(struct snapshot *snapshot, struct lookup *lookup, enum entry_type type)
{
    struct entry entry;
    lookup->type = (uint8_t)type;
    lookup->state = LOOKUP_FOUND;
    if (type == ENTRY_DIR) {
        lookup->size = 0;
        lookup->mtime_us = 0;
        lookup->pin_size = 0;
        return;
    }
    if (lookup->size <= SMALL_FILE_MAX) {
        lookup->place = place_for(snapshot, name_of(lookup));
    }
    bool is_found = entry_of(lookup, &entry);
    CHECK(is_found);
    bool adopted = dirbuild_adopt(&snapshot->set, &entry);
    CHECK(adopted); /* there are as many places as lookups */
}

/* Tell those who wait for the name; the others go on waiting for the listing. */
static void decide(struct node *node, struct snapshot *snapshot, struct lookup *lookup)
{
    struct list *waiters = &snapshot->work->waiters;
    if (lookup->has_file && lookup->no_directory) {
        found(snapshot, lookup, ENTRY_FILE);
    } else if (lookup->no_file && lookup->no_directory) {
        lookup->state = LOOKUP_ABSENT;
    }
    if (lookup->state != LOOKUP_FOUND && lookup->state != LOOKUP_ABSENT) {
        return;
    }
    for (struct list *item = waiters->next; item != waiters;) {
        struct meta_ask *ask = CONTAINER_OF(item, struct meta_ask, waiting);
        item = item->next;
        if (asks_for(ask, name_of(lookup)) && effects_roomy(node, ENTRY_SIZE_MAX)) {
            MARK(snapshot, "lookup.answered");
            answer(node, snapshot, lookup, ask);
        }
    }
}

static void failed(struct node *node, struct snapshot *snapshot, struct lookup *lookup,
                   enum err err)
{
    MARK(snapshot, "lookup.failed");
    meta_count_error(node, err);
    if (lookup->state == LOOKUP_ASKED) {
        lookup->state = LOOKUP_OVER;
    }
}

void lookup_on_head(struct node *node, struct snapshot *snapshot, uint64_t number,
                    const struct node_event *event)
{
    CHECK(number < LOOKUPS_MAX);
    struct lookup *lookup = &snapshot->lookups.of[number];
    enum err err = event->listed.err;
    lookup->head_io = 0;
    if (lookup->state != LOOKUP_ASKED) {
        return; /* it is a directory */
    }
    if (err == ERR_SOURCE_NOT_FOUND) {
        lookup->no_file = true;
    } else if (err != ERR_OK || event->listed.count == 0) {
        failed(node, snapshot, lookup, err);
    } else {
        const struct listed *file = &event->listed.entries[0];
        bool is_shown = file->pin.size <= PIN_MAX && file->size <= INT64_MAX;
        lookup->has_file = is_shown;
        lookup->no_file = !is_shown;
        lookup->size = file->size;
        lookup->mtime_us = file->mtime_us;
        lookup->pin_size = (uint32_t)(is_shown ? file->pin.size : 0);
        if (lookup->pin_size > 0) {
            memcpy(lookup->pin, file->pin.data, lookup->pin_size);
        }
    }
    decide(node, snapshot, lookup);
}

void lookup_on_list(struct node *node, struct snapshot *snapshot, uint64_t number,
                    const struct node_event *event)
{
    CHECK(number < LOOKUPS_MAX);
    struct lookup *lookup = &snapshot->lookups.of[number];
    enum err err = event->listed.err;
    lookup->list_io = 0;
    if (err != ERR_OK) {
        failed(node, snapshot, lookup, err);
    } else if (event->listed.count > 0) {
        found(snapshot, lookup, ENTRY_DIR); /* whatever the HEAD says */
    } else {
        lookup->no_directory = true;
    }
    decide(node, snapshot, lookup);
}

/* ---- the question ------------------------------------------------------------------------ */

static struct lookup *find(struct snapshot *snapshot, struct span name)
{
    for (uint32_t i = 0; i < LOOKUPS_MAX; i++) {
        struct lookup *lookup = &snapshot->lookups.of[i];
        if (lookup->state != LOOKUP_FREE && span_equal(name_of(lookup), name)) {
            return lookup;
        }
    }
    return NULL;
}

static void start(struct node *node, struct snapshot *snapshot, uint32_t number, struct span name)
{
    struct work *work = snapshot->work;
    struct lookup *lookup = &snapshot->lookups.of[number];
    char bytes[DIR_PREFIX_MAX + ENTRY_NAME_MAX + 2];
    struct text key;
    text_init(&key, bytes, sizeof bytes);
    text_span(&key, span_of(work->prefix, work->prefix_size));
    text_span(&key, name);
    if (key.used + 1 > LISTED_KEY_MAX) {
        MARK(snapshot, "lookup.too_long"); /* no object has such a key, or it is hidden */
        return;
    }
    lookup->name_size = (uint32_t)name.size;
    memcpy(lookup->name, name.data, name.size);
    lookup->state = LOOKUP_ASKED;
    node->metrics.directory_lookups++;
    struct io_for head = { .kind = IO_PROBE_HEAD, .owner = snapshot, .tag = number };
    lookup->head_io = io_head(node, &head, work->source, span_of(bytes, key.used));
    text_char(&key, '/');
    struct io_for list = { .kind = IO_PROBE_LIST, .owner = snapshot, .tag = number };
    struct io_list below = { .source = work->source,
                             .prefix = span_of(bytes, key.used),
                             .limit = 1 };
    lookup->list_io = io_list(node, &list, &below);
    if (lookup->head_io == 0 || lookup->list_io == 0) {
        lookup->state = LOOKUP_OVER;
    }
}

void lookup_join(struct node *node, struct snapshot *snapshot, struct meta_ask *ask)
{
    struct span name = span_of(ask->name, ask->name_size);
    if (ask->kind != META_ASK_DIR || name.size == 0 || snapshot->old_exists) {
        return;
    }
    struct lookup *lookup = find(snapshot, name);
    if (lookup != NULL) {
        bool is_over = lookup->state == LOOKUP_FOUND || lookup->state == LOOKUP_ABSENT;
        if (is_over && effects_roomy(node, ENTRY_SIZE_MAX)) {
            answer(node, snapshot, lookup, ask);
        }
        return;
    }
    for (uint32_t i = 0; i < LOOKUPS_MAX; i++) {
        if (snapshot->lookups.of[i].state == LOOKUP_FREE) {
            start(node, snapshot, i, name);
            return;
        }
    }
    MARK(snapshot, "lookup.full");
}

void lookup_cancel(struct node *node, struct snapshot *snapshot)
{
    for (uint32_t i = 0; i < LOOKUPS_MAX; i++) {
        io_forget(node, snapshot->lookups.of[i].head_io);
        io_forget(node, snapshot->lookups.of[i].list_io);
    }
}
