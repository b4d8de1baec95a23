/* tests/origin/object.h: one version of one object. It never changes, but for the cached CRC; an
 * overwrite makes another one, and those who read the old one keep it by their reference. */
#ifndef ATOLL_TESTS_ORIGIN_OBJECT_H
#define ATOLL_TESTS_ORIGIN_OBJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum object_kind {
    OBJECT_PLAIN,     /* a file that was found in the bucket's directory, under its own name */
    OBJECT_STORED,    /* a file of the store, named by its number */
    OBJECT_GENERATED, /* no file at all */
};

struct object {
    atomic_uint references;
    enum object_kind kind;
    uint64_t id; /* the number of a stored file, the seed of a generated object */
    uint64_t size;
    int64_t mtime_ns;
    uint8_t digest[16];
    uint32_t part_count;  /* of a multipart object (ETag "…-N"), else 0 */
    uint64_t *part_sizes; /* NULL: one part, whatever part_count says */
    char *meta;           /* headers to give back, "name: value\n" each; NULL for none */
    _Atomic uint64_t crc;
    atomic_bool crc_known;
    size_t key_size;
    char *key;
};

/* The result has one reference. */
struct object *object_new(const char *key, size_t key_size, enum object_kind kind);
struct object *object_ref(struct object *object);
void object_unref(struct object *object);

/* 34 and "-4294967295": what an ETag takes, quotes included. */
#define OBJECT_ETAG_SIZE 48
/* With its quotes; upper-case hex where `upper` (OSS). */
void object_etag(const struct object *object, bool upper, char out[OBJECT_ETAG_SIZE]);

/* The range of part `number` (from 1). False when it has no such part. */
bool object_part(const struct object *object, uint32_t number, uint64_t *offset, uint64_t *size);
uint32_t object_parts(const struct object *object);

/* Take bytes from `offset`: of `fd`, or made where the object is a generated one. Returns how many,
 * fewer than `size` at the end or on an error. */
size_t object_read(const struct object *object, int fd, uint64_t offset, void *out, size_t size);

/* CRC-64/XZ of all its bytes, read from `fd` the first time. False when a byte cannot be read. */
bool object_crc64(struct object *object, int fd, uint64_t *out);

#endif
