/* tests/origin/uploads.h: multipart uploads under way. In memory: a restart forgets them. Shared by
 * all threads. */
#ifndef ATOLL_TESTS_ORIGIN_UPLOADS_H
#define ATOLL_TESTS_ORIGIN_UPLOADS_H

#include <stdbool.h>
#include <stdint.h>

enum { UPLOADS_PARTS_MAX = 10000, UPLOADS_ID_SIZE = 33 };

struct uploads_part {
    uint64_t file_id; /* 0: there is no such part */
    uint64_t size;
    uint8_t md5[16];
};

struct uploads;

struct uploads *uploads_new(void);
void uploads_free(struct uploads **uploads);

/* `meta` (may be NULL) moves in. */
void uploads_start(struct uploads *uploads, const char *name, char *meta, char id[UPLOADS_ID_SIZE]);
/* Whether that upload of "bucket/key" is under way. */
bool uploads_has(struct uploads *uploads, const char *name, const char *id);
/* Set part `number` (from 1); *old is the one it replaces. False when there is no such upload. */
bool uploads_set_part(struct uploads *uploads, const char *id, uint32_t number,
                      const struct uploads_part *part, struct uploads_part *old);
/* A copy of the parts; the caller's. NULL when there is no such upload. */
struct uploads_part *uploads_parts(struct uploads *uploads, const char *id);
/* Forget it. Its metadata moves out to *meta, its parts to the result, which is the caller's. */
struct uploads_part *uploads_end(struct uploads *uploads, const char *id, char **meta);

#endif
