/* node/io/fetch_sink.c: bytes into parts, checksums beside them. */
#include "node/io/fetch_sink.h"

#include <string.h>

#include "base/crc.h"

void sink_init(struct sink *sink, const struct fetch_part *parts, uint32_t part_count)
{
    *sink = (struct sink){ .parts = parts, .part_count = part_count };
}

uint8_t *sink_room(struct sink *sink, uint32_t *out)
{
    while (sink->part < sink->part_count && sink->at == sink->parts[sink->part].size) {
        sink->part++;
        sink->at = 0;
    }
    if (sink->part == sink->part_count) {
        return NULL;
    }
    *out = sink->parts[sink->part].size - sink->at;
    return sink->parts[sink->part].data + sink->at;
}

/* Up to the end of the chunk the sink stands in. */
static uint32_t chunk_rest(const struct sink *sink)
{
    uint32_t in_chunk = CHUNK_SIZE - sink->at % CHUNK_SIZE;
    uint32_t in_part = sink->parts[sink->part].size - sink->at;
    return in_chunk < in_part ? in_chunk : in_part;
}

void sink_filled(struct sink *sink, uint32_t size)
{
    const struct fetch_part *part = &sink->parts[sink->part];
    CHECK(sink->part < sink->part_count && size <= part->size - sink->at);
    while (size > 0) {
        uint32_t rest = chunk_rest(sink);
        uint32_t take = size < rest ? size : rest;
        sink->crc = crc64(sink->crc, part->data + sink->at, take);
        sink->received += take;
        if (take == rest) {
            put_u64(part->checksums + (size_t)(sink->at / CHUNK_SIZE) * 8, sink->crc);
            sink->crc = 0;
            sink->complete = sink->received;
        }
        sink->at += take;
        size -= take;
    }
}

bool sink_write(struct sink *sink, const void *data, size_t size)
{
    const uint8_t *from = data;
    while (size > 0) {
        uint32_t room;
        uint8_t *to = sink_room(sink, &room);
        if (to == NULL) {
            return false;
        }
        room = size < room ? (uint32_t)size : room;
        memcpy(to, from, room);
        sink_filled(sink, room);
        from += room;
        size -= room;
    }
    return true;
}
