/* wire/dirtable.h: what pages and roots of directories have in common (wire/dir.h): a head, records
 * back to back, a table of where each begins, and a checksum.
 *
 *   head     magic u32, format version u16, size of the head u16, records u32, table at u32,
 *            directory, generation u64, and what page or root have beside
 *   records  each begins with its own size u16
 *   table    u32 for each record
 *   crc      CRC-64/XZ of all that precedes, u64 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"

#define DIRTABLE_AT_DIR 16
#define DIRTABLE_AT_GENERATION 32
#define DIRTABLE_CRC_SIZE 8u

/* Fields may be read, and set to leave out what is not a record. */
struct dirtable {
    struct span bytes;
    const uint8_t *offsets;
    size_t records_at; /* behind the head */
    size_t end;        /* where the table begins */
    uint32_t count;
};

/* Everything but the records is in order, and the head has at least `least_head` bytes.
 * ERR_MALFORMED, ERR_CORRUPT (checksum), ERR_VERSION. */
enum err dirtable_open(struct span bytes, uint32_t magic, size_t least_head, struct dirtable *out)
    MUST_USE;
/* Do the records follow each other without a gap from records_at to `end`? Each has at least
 * `least` bytes. */
bool dirtable_is_sound(const struct dirtable *table, size_t end, size_t least);
/* The record that begins where the table says; only for one that dirtable_is_sound has passed. */
struct span dirtable_record(struct span bytes, const uint8_t *offsets, uint32_t index);

/* Writing, into a buffer of `room` bytes of which `used` are head and records. */
void dirtable_put_head(uint8_t *buffer, uint32_t magic, uint16_t size, const struct dir_id *dir,
                       uint64_t generation);
/* Is there room for `more` bytes, one more record and the checksum? */
bool dirtable_has_room(size_t used, size_t room, uint32_t count, size_t more);
/* Record `count` begins at `at`. While records are added, their offsets grow down from the end of
 * the buffer. */
void dirtable_push(uint8_t *buffer, size_t room, uint32_t count, size_t at);
/* Turn the offsets round, move them behind the records, and close with the checksum. Returns the
 * size of all. */
size_t dirtable_end(uint8_t *buffer, size_t room, size_t used, uint32_t count);
