/* base/crc.h: CRC-64/XZ, the checksum of chunks, blocks and (at OSS) objects. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define CHUNK_SIZE 65536u

/* Start with crc 0; the result continues: crc64(crc64(0, a), b) = crc64(0, ab). */
uint64_t crc64(uint64_t crc, const void *data, size_t size);

/* Chunks in `bytes` bytes. */
static inline uint32_t chunk_count(uint64_t bytes)
{
    return (uint32_t)((bytes + CHUNK_SIZE - 1) / CHUNK_SIZE);
}
