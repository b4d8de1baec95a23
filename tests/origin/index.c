#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/index.h"

#include <stdlib.h>
#include <string.h>

#include "tests/origin/text.h"

static int compare_keys(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t size = a_size < b_size ? a_size : b_size;
    int order = size == 0 ? 0 : memcmp(a, b, size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

/* The first place whose key is not below `key`. */
static size_t lower_bound(const struct index *index, const char *key, size_t key_size)
{
    size_t low = 0;
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct object *object = index->objects[middle];
        if (compare_keys(object->key, object->key_size, key, key_size) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool has_prefix(const struct object *object, struct index_span prefix)
{
    return object->key_size >= prefix.size &&
           (prefix.size == 0 || memcmp(object->key, prefix.bytes, prefix.size) == 0);
}

/* The first place from `low` on that is above all keys with this prefix. */
static size_t above_prefix(const struct index *index, size_t low, struct index_span prefix)
{
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct object *object = index->objects[middle];
        if (has_prefix(object, prefix) ||
            compare_keys(object->key, object->key_size, prefix.bytes, prefix.size) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void make_room(struct index *index)
{
    if (index->count < index->room) {
        return;
    }
    size_t room = index->room == 0 ? 64 : index->room * 2;
    struct object **objects = text_alloc(room * sizeof *objects);
    if (index->count > 0) {
        memcpy(objects, index->objects, index->count * sizeof *objects);
    }
    free(index->objects);
    index->objects = objects;
    index->room = room;
}

void index_load(struct index *index, struct object *object)
{
    make_room(index);
    index->objects[index->count++] = object;
}

static int by_key(const void *a, const void *b)
{
    const struct object *left = *(struct object *const *)a;
    const struct object *right = *(struct object *const *)b;
    return compare_keys(left->key, left->key_size, right->key, right->key_size);
}

void index_sort(struct index *index)
{
    if (index->count == 0) {
        return;
    }
    /* glibc's qsort is a merge sort here, which keeps equal keys in their order of loading. */
    qsort(index->objects, index->count, sizeof *index->objects, by_key);
    size_t kept = 0;
    for (size_t i = 1; i < index->count; i++) {
        if (by_key(&index->objects[kept], &index->objects[i]) == 0) {
            object_unref(index->objects[kept]);
        } else {
            kept++;
        }
        index->objects[kept] = index->objects[i];
    }
    index->count = kept + 1;
}

void index_fini(struct index *index)
{
    for (size_t i = 0; i < index->count; i++) {
        object_unref(index->objects[i]);
    }
    free(index->objects);
    *index = (struct index){ 0 };
}

struct object *index_find(const struct index *index, const char *key, size_t key_size)
{
    size_t at = lower_bound(index, key, key_size);
    if (at == index->count || index->objects[at]->key_size != key_size ||
        memcmp(index->objects[at]->key, key, key_size) != 0) {
        return NULL;
    }
    return index->objects[at];
}

struct object *index_put(struct index *index, struct object *object)
{
    size_t at = lower_bound(index, object->key, object->key_size);
    struct object *old = at < index->count ? index->objects[at] : NULL;
    if (old != NULL && by_key(&old, &object) == 0) {
        index->objects[at] = object;
        return old;
    }
    make_room(index);
    struct object **place = &index->objects[at];
    memmove(place + 1, place, (index->count - at) * sizeof *place);
    *place = object;
    index->count++;
    return NULL;
}

struct object *index_take(struct index *index, const char *key, size_t key_size)
{
    struct object *object = index_find(index, key, key_size);
    if (object != NULL) {
        size_t at = lower_bound(index, key, key_size);
        struct object **place = &index->objects[at];
        memmove(place, place + 1, (index->count - at - 1) * sizeof *place);
        index->count--;
    }
    return object;
}

/* The key up to and with its first delimiter behind the prefix; no bytes when it has none. */
static struct index_span rolled_up(const struct object *object, const struct index_query *query)
{
    struct index_span none = { 0 };
    if (query->delimiter.size == 0) {
        return none;
    }
    const char *behind = object->key + query->prefix.size;
    const char *hit = memmem(behind, object->key_size - query->prefix.size, query->delimiter.bytes,
                             query->delimiter.size);
    if (hit == NULL) {
        return none;
    }
    return (struct index_span){ .bytes = object->key,
                                .size = (size_t)(hit - object->key) + query->delimiter.size };
}

static size_t first_place(const struct index *index, const struct index_query *query)
{
    size_t first = lower_bound(index, query->prefix.bytes, query->prefix.size);
    size_t after =
        query->after.size == 0 ? 0 : lower_bound(index, query->after.bytes, query->after.size);
    if (query->after.size > 0 && after < index->count) {
        const struct object *object = index->objects[after];
        bool same =
            compare_keys(object->key, object->key_size, query->after.bytes, query->after.size) == 0;
        after += same ? 1 : 0;
    }
    return first > after ? first : after;
}

void index_list(const struct index *index, const struct index_query *query, struct index_page *out)
{
    struct index_page page = { 0 };
    page.entries = text_alloc((query->most + 1) * sizeof *page.entries);
    size_t at = first_place(index, query);
    while (at < index->count && has_prefix(index->objects[at], query->prefix)) {
        struct object *object = index->objects[at];
        struct index_entry entry = { .object = object,
                                     .name = { .bytes = object->key, .size = object->key_size } };
        struct index_span prefix = rolled_up(object, query);
        if (prefix.size > 0) {
            entry = (struct index_entry){ .object = NULL, .name = prefix };
        }
        bool listed_before = prefix.size > 0 && prefix.size == query->after.size &&
                             memcmp(prefix.bytes, query->after.bytes, prefix.size) == 0;
        if (!listed_before && page.count == query->most) {
            page.truncated = query->most > 0;
            break;
        }
        if (!listed_before) {
            page.entries[page.count++] = entry;
        }
        at = prefix.size > 0 ? above_prefix(index, at, prefix) : at + 1;
    }
    *out = page;
}

void index_page_fini(struct index_page *page)
{
    free(page->entries);
    *page = (struct index_page){ 0 };
}
