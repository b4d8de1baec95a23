/* tests/origin/keys.h: who may ask: access keys, their secrets, the STS token some of them need. */
#ifndef ATOLL_TESTS_ORIGIN_KEYS_H
#define ATOLL_TESTS_ORIGIN_KEYS_H

#include <stdbool.h>
#include <stddef.h>

struct key {
    const char *id;
    const char *secret;
    const char *token; /* NULL: the key is a permanent one and takes no token */
};

struct keys;

/* Read entries ID:SECRET[:TOKEN], one a line or separated by commas; "#" starts a comment line.
 * NULL when an entry is malformed or there is none. The result belongs to the caller. */
struct keys *keys_new(const char *entries);
/* The same from a file; NULL when it cannot be read. */
struct keys *keys_new_from_file(const char *path);
void keys_free(struct keys **keys);

/* NULL when the key is unknown. The result lives as long as `keys`. */
const struct key *keys_find(const struct keys *keys, const char *id);

#endif
