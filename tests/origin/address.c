#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/address.h"

#include <stdlib.h>
#include <string.h>

#include "tests/origin/text.h"

/* Host without its port; brackets of IPv6 stay. */
static char *host_name(const char *host)
{
    const char *bracket = strchr(host, ']');
    const char *colon = strchr(bracket == NULL ? host : bracket, ':');
    return text_dup(host, colon == NULL ? strlen(host) : (size_t)(colon - host));
}

static bool is_ip(const char *name)
{
    return name[0] == '[' || strspn(name, "0123456789.") == strlen(name);
}

/* How many bytes at the start of the host are the bucket; 0: path style. */
static size_t bucket_in_host(const char *name, const struct address_domains *domains)
{
    const char *dot = strchr(name, '.');
    if (is_ip(name) || dot == NULL) {
        return 0;
    }
    size_t size = strlen(name);
    bool any = false;
    for (const char **domain = domains->names; domain != NULL && *domain != NULL; domain++) {
        size_t tail = strlen(*domain);
        any = true;
        if (text_same_nocase(name, *domain)) {
            return 0;
        }
        if (size > tail + 1 && name[size - tail - 1] == '.' &&
            text_same_nocase(name + size - tail, *domain)) {
            return size - tail - 1;
        }
    }
    return any ? 0 : (size_t)(dot - name);
}

bool address_init(struct address *out, const char *host, const char *path,
                  const struct address_domains *domains)
{
    struct address address = { 0 };
    if (path[0] != '/') {
        return false;
    }
    char *decoded = text_alloc(strlen(path) + 1);
    if (!text_uri_decode(path + 1, strlen(path) - 1, false, decoded)) {
        free(decoded);
        return false;
    }
    char *name = host_name(host == NULL ? "" : host);
    size_t in_host = bucket_in_host(name, domains);
    const char *key = decoded;
    if (in_host > 0) {
        address.bucket = text_dup(name, in_host);
    } else {
        /* An encoded slash ends the bucket as well as a plain one: no bucket's name holds any. */
        size_t size = strcspn(decoded, "/");
        address.bucket = size > 0 ? text_dup(decoded, size) : NULL;
        key = decoded[size] == '/' ? decoded + size + 1 : decoded + size;
    }
    if (address.bucket != NULL && key[0] != '\0') {
        address.key = text_dup(key, strlen(key));
    }
    free(name);
    free(decoded);
    *out = address;
    return true;
}

void address_fini(struct address *address)
{
    free(address->bucket);
    free(address->key);
    *address = (struct address){ 0 };
}
