/* tests/origin/index.h: the objects of a bucket in the order of their keys' bytes, and listings.
 * Not locked: the bucket's lock is (store.h). */
#ifndef ATOLL_TESTS_ORIGIN_INDEX_H
#define ATOLL_TESTS_ORIGIN_INDEX_H

#include "tests/origin/object.h"

struct index {
    struct object **objects;
    size_t count;
    size_t room;
};

struct index_span {
    const char *bytes;
    size_t size;
};

/* What to list: keys that start with `prefix`, above `after`. Keys with `delimiter` behind the
 * prefix are rolled up to there. Where `after` ends in the delimiter and is itself a rolled-up
 * prefix, as when a page ended with it, that prefix is not listed again. */
struct index_query {
    struct index_span prefix;
    struct index_span delimiter;
    struct index_span after;
    size_t most;
};

/* An object, or a common prefix (`object` is NULL). */
struct index_entry {
    struct object *object;
    struct index_span name;
};

/* Holds no references: good until the index changes. */
struct index_page {
    struct index_entry *entries;
    size_t count;
    bool truncated;
};

/* Append without sorting; index_sort must follow. The reference moves in. */
void index_load(struct index *index, struct object *object);
/* Sort; of objects with one key the one loaded last stays. */
void index_sort(struct index *index);
void index_fini(struct index *index);

/* NULL when there is none. No reference is taken. */
struct object *index_find(const struct index *index, const char *key, size_t key_size);
/* The reference moves in; the object that had this key moves out, NULL when there was none. */
struct object *index_put(struct index *index, struct object *object);
/* The object moves out; NULL when there was none. */
struct object *index_take(struct index *index, const char *key, size_t key_size);

void index_list(const struct index *index, const struct index_query *query, struct index_page *out);
void index_page_fini(struct index_page *page);

#endif
