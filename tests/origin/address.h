/* tests/origin/address.h: which bucket and key a request means, by its Host and path. */
#ifndef ATOLL_TESTS_ORIGIN_ADDRESS_H
#define ATOLL_TESTS_ORIGIN_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

struct address_domains {
    const char **names; /* NULL-terminated; NULL: no domain is known */
};

/* Decoded; NULL for what the request does not name. */
struct address {
    char *bucket;
    char *key;
};

/* Where Host is an IP address, a single label or a known domain, the path begins with the bucket.
 * Else the bucket is what stands before the domain, or before the first dot where no domain is
 * known. False when the path is malformed; *out then needs no fini. */
bool address_init(struct address *out, const char *host, const char *path,
                  const struct address_domains *domains);
void address_fini(struct address *address);

#endif
