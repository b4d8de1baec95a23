#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/object.h"

#include <errno.h>
#include <isa-l/crc64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/origin/generate.h"
#include "tests/origin/text.h"

struct object *object_new(const char *key, size_t key_size, enum object_kind kind)
{
    struct object *object = text_alloc(sizeof *object + key_size + 1);
    atomic_init(&object->references, 1);
    object->kind = kind;
    object->key = (char *)(object + 1);
    object->key_size = key_size;
    memcpy(object->key, key, key_size);
    return object;
}

struct object *object_ref(struct object *object)
{
    atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
    return object;
}

void object_unref(struct object *object)
{
    if (object == NULL ||
        atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    free(object->part_sizes);
    free(object->meta);
    free(object);
}

void object_etag(const struct object *object, bool upper, char out[OBJECT_ETAG_SIZE])
{
    char hex[33];
    text_hex(object->digest, sizeof object->digest, hex);
    for (char *c = hex; upper && *c != '\0'; c++) {
        *c = *c >= 'a' ? (char)(*c - 'a' + 'A') : *c;
    }
    if (object->part_count > 0) {
        snprintf(out, OBJECT_ETAG_SIZE, "\"%s-%u\"", hex, object->part_count);
    } else {
        snprintf(out, OBJECT_ETAG_SIZE, "\"%s\"", hex);
    }
}

uint32_t object_parts(const struct object *object)
{
    return object->part_sizes == NULL ? 1 : object->part_count;
}

bool object_part(const struct object *object, uint32_t number, uint64_t *offset, uint64_t *size)
{
    if (number < 1 || number > object_parts(object)) {
        return false;
    }
    uint64_t start = 0;
    for (uint32_t i = 0; i + 1 < number; i++) {
        start += object->part_sizes[i];
    }
    *offset = start;
    *size = object->part_sizes == NULL ? object->size : object->part_sizes[number - 1];
    return true;
}

static size_t read_file(int fd, uint64_t offset, uint8_t *out, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, out + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        done += (size_t)got;
    }
    return done;
}

size_t object_read(const struct object *object, int fd, uint64_t offset, void *out, size_t size)
{
    if (offset >= object->size) {
        return 0;
    }
    if (size > object->size - offset) {
        size = (size_t)(object->size - offset);
    }
    if (object->kind != OBJECT_GENERATED) {
        return read_file(fd, offset, out, size);
    }
    generate_bytes(generate_base(object->id, object->key, object->key_size), offset, out, size);
    return size;
}

bool object_crc64(struct object *object, int fd, uint64_t *out)
{
    if (atomic_load(&object->crc_known)) {
        *out = atomic_load(&object->crc);
        return true;
    }
    size_t room = 256 * 1024;
    uint8_t *chunk = text_alloc(room);
    uint64_t crc = 0;
    uint64_t offset = 0;
    while (offset < object->size) {
        size_t got = object_read(object, fd, offset, chunk, room);
        if (got == 0) {
            break;
        }
        crc = crc64_ecma_refl(crc, chunk, got);
        offset += got;
    }
    free(chunk);
    if (offset < object->size) {
        return false;
    }
    atomic_store(&object->crc, crc);
    atomic_store(&object->crc_known, true);
    *out = crc;
    return true;
}
