/* node/core/record.h: a block as it lies in a segment file: a page that describes it, then its bytes.
 *
 * The header repeats what the block is (source, key, pin, index) and whose (place, dataset), holds a checksum for each chunk of
 * the payload, and ends in one of itself. Records follow each other from the start of the file, each
 * at a multiple of RECORD_ALIGN; the first that does not decode ends the file. */
#pragma once
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc.h"
#include "base/err.h"
#include "base/id.h"

#define RECORD_ALIGN 4096u
#define RECORD_HEADER_SIZE 4096u /* 256 chunks, a key of 1,024 and a pin of 256 bytes fit */
#define RECORD_VERSION 2u

struct record {
    struct block_id block;
    struct source_id source;
    struct place place;        /* of the block's extent */
    struct dataset_id dataset; /* that it was first read for */
    uint64_t object_size;
    uint32_t block_size;
    uint32_t payload_size;
    struct span key;
    struct span pin;
    const uint8_t *checksums; /* u64 little endian, one for each chunk */
};

/* Bytes of a segment that a record with this payload takes. */
static inline uint32_t record_size(uint32_t payload_size)
{
    return RECORD_HEADER_SIZE + (payload_size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

void record_encode(const struct record *record, uint8_t out[RECORD_HEADER_SIZE]);
/* `header` has RECORD_HEADER_SIZE bytes; spans in *out point into it. ERR_MALFORMED: no record is
 * there. ERR_CORRUPT: there was one. ERR_VERSION: a newer one, to be left alone; one of
 * an older version is none. */
enum err record_decode(struct span header, struct record *out) MUST_USE;
