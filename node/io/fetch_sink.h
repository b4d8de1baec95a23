/* node/io/fetch_sink.h: where the bytes of one ranged GET go: into its parts in order, with a
 * checksum for each chunk. One thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "node/core/node.h"

struct sink {
    const struct fetch_part *parts;
    uint32_t part_count;
    uint32_t part;     /* the one being filled */
    uint32_t at;       /* bytes in it */
    uint64_t crc;      /* of the chunk being filled */
    uint64_t received; /* bytes in the buffers */
    uint64_t complete; /* of these, in chunks that have their checksum */
};

/* The parts are the caller's and stay. */
void sink_init(struct sink *sink, const struct fetch_part *parts, uint32_t part_count);
/* Where the next bytes belong, and how many fit there; NULL when all are there. */
uint8_t *sink_room(struct sink *sink, uint32_t *out);
/* `size` bytes were put into that room. */
void sink_filled(struct sink *sink, uint32_t size);
/* Copies. false: more than there is room for; what fits was taken. */
bool sink_write(struct sink *sink, const void *data, size_t size);
