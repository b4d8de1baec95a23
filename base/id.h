/* base/id.h: identities. One struct each, so that two kinds cannot be swapped. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

#define ID_SIZE 16
#define ID_TEXT_SIZE 33 /* 32 hex digits and a zero */

struct node_id { /* random, made once, kept on the node's disk */
    uint8_t b[ID_SIZE];
};
struct source_id { /* hash of scheme, endpoint and bucket when the source was first named */
    uint8_t b[ID_SIZE];
};
struct object_id { /* hash of source id, key, pin, block size */
    uint8_t b[ID_SIZE];
};
struct dir_id { /* hash of source id and prefix */
    uint8_t b[ID_SIZE];
};
struct dataset_id { /* hash of the dataset's name */
    uint8_t b[ID_SIZE];
};
struct place { /* where on the ring */
    uint64_t v;
};

#define ID_DEFINE(type)                                            \
    static inline bool type##_equal(struct type a, struct type b)  \
    {                                                              \
        return memcmp(a.b, b.b, ID_SIZE) == 0;                     \
    }                                                              \
    static inline bool type##_is_zero(struct type a)               \
    {                                                              \
        static const uint8_t zero[ID_SIZE];                        \
        return memcmp(a.b, zero, ID_SIZE) == 0;                    \
    }                                                              \
    static inline int type##_compare(struct type a, struct type b) \
    {                                                              \
        return memcmp(a.b, b.b, ID_SIZE);                          \
    }
ID_DEFINE(node_id)
ID_DEFINE(source_id)
ID_DEFINE(object_id)
ID_DEFINE(dir_id)
ID_DEFINE(dataset_id)
#undef ID_DEFINE

/* A block of an object: what is fetched, cached and checked as one. */
struct block_id {
    struct object_id object;
    uint32_t index;
};

static inline bool block_id_equal(struct block_id a, struct block_id b)
{
    return a.index == b.index && object_id_equal(a.object, b.object);
}

/* For tables of blocks. */
uint64_t block_id_hash(struct block_id id);

/* Derivations; every one is BLAKE2b-128 with its own domain word, sizes before bytes. */
struct source_id source_id_make(struct span scheme, struct span endpoint, struct span bucket);
struct object_id object_id_make(struct source_id source, struct span key, struct span pin,
                                uint32_t block_size);
struct dir_id dir_id_make(struct source_id source, struct span prefix);
struct dataset_id dataset_id_make(struct span name);
/* Place of the k-th extent of a large object; of a directory's root; of one range shard. */
struct place place_of_extent(struct object_id object, uint64_t extent_index);
struct place place_of_root(struct dir_id dir);
struct place place_of_shard(struct dir_id dir, struct span lower_fence);

/* Lower-case hex; `out` holds ID_TEXT_SIZE. */
void id_text(const uint8_t id[ID_SIZE], char *out);
/* false, and `out` untouched, unless `text` is exactly 32 hex digits. */
bool id_parse(struct span text, uint8_t out[ID_SIZE]);
