/* wire/reader.h: a bounded cursor over msgpack bytes.
 *
 * It allocates nothing and never recurses: what it returns points into the bytes, which must
 * outlive it. A function that says false has not moved the cursor. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define READER_DEPTH_MAX 16u /* of containers inside a value that is skipped */

struct reader {
    const uint8_t *at;
    size_t left;
};

enum token_kind {
    TOKEN_NIL,
    TOKEN_BOOL,  /* number: 0 or 1 */
    TOKEN_UINT,  /* number */
    TOKEN_INT,   /* number: a negative one, as two's complement */
    TOKEN_FLOAT, /* bytes: 4 or 8, big endian */
    TOKEN_STR,   /* bytes */
    TOKEN_BIN,   /* bytes */
    TOKEN_EXT,   /* bytes; number: the type, 0..255 */
    TOKEN_ARRAY, /* number: how many values follow */
    TOKEN_MAP,   /* number: how many pairs follow */
};

struct token {
    enum token_kind kind;
    uint64_t number;
    struct span bytes;
};

void reader_init(struct reader *reader, struct span bytes);
bool reader_at_end(const struct reader *reader);
/* The next token, whatever it is: of a container only its head. */
bool reader_token(struct reader *reader, struct token *out);
bool reader_map(struct reader *reader, uint32_t *pairs);
/* A number that is not negative, in any of the forms msgpack has for it. */
bool reader_uint(struct reader *reader, uint64_t *out);
/* A byte string or a text. */
bool reader_bytes(struct reader *reader, struct span *out);
/* A whole value with all it contains; false also when it is deeper than READER_DEPTH_MAX. */
bool reader_skip(struct reader *reader);
