/* tests/origin/body.h: the body of a request: hashed as it comes, and kept in a file or in memory. */
#ifndef ATOLL_TESTS_ORIGIN_BODY_H
#define ATOLL_TESTS_ORIGIN_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/origin/text.h"

/* The largest body kept in memory: a list of 10,000 parts or 1,000 keys, and some. */
#define BODY_TEXT_MAX (4u << 20)

struct body;

/* `fd` >= 0: write it there, the descriptor moves in. Else keep it as text. `sha256`: work that out
 * too, which halves the speed. */
struct body *body_new(int fd, bool sha256);
void body_free(struct body **body);

/* False when the disk refuses or a text becomes too long. */
bool body_add(struct body *body, const void *bytes, size_t size);

/* What came so far. The text is the body's. */
uint64_t body_size(const struct body *body);
uint64_t body_crc64(const struct body *body);
const struct text *body_text(const struct body *body);
/* Ends the hashing; call it once, when all has come. `sha256` is left alone where it was not asked
 * for. */
void body_digests(struct body *body, uint8_t md5[16], uint8_t sha256[32]);

#endif
