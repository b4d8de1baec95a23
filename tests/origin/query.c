#include "tests/origin/query.h"

#include <stdlib.h>
#include <string.h>

#include "tests/origin/text.h"

static bool add_param(struct query *query, const char *raw, size_t size, char *out)
{
    const char *equals = memchr(raw, '=', size);
    size_t name_size = equals == NULL ? size : (size_t)(equals - raw);
    char *value = out + name_size + 1;
    if (!text_uri_decode(raw, name_size, true, out)) {
        return false;
    }
    value[0] = '\0';
    if (equals != NULL && !text_uri_decode(equals + 1, size - name_size - 1, true, value)) {
        return false;
    }
    query->params[query->count++] = (struct param){ .name = out, .value = value };
    return true;
}

bool query_init(struct query *out, const char *raw)
{
    *out = (struct query){ 0 };
    if (raw == NULL) {
        return true;
    }
    size_t most = 1;
    for (const char *c = raw; *c != '\0'; c++) {
        most += *c == '&';
    }
    struct query query = { .params = text_alloc(most * sizeof *query.params),
                           .storage = text_alloc(strlen(raw) + 2 * most) };
    char *room = query.storage;
    const char *at = raw;
    while (at != NULL && *at != '\0') {
        const char *end = strchr(at, '&');
        size_t size = end == NULL ? strlen(at) : (size_t)(end - at);
        if (size > 0 && !add_param(&query, at, size, room)) {
            query_fini(&query);
            return false;
        }
        room += size + 2;
        at = end == NULL ? NULL : end + 1;
    }
    *out = query;
    return true;
}

void query_fini(struct query *query)
{
    free(query->params);
    free(query->storage);
    *query = (struct query){ 0 };
}

const char *query_get(const struct query *query, const char *name)
{
    for (size_t i = 0; i < query->count; i++) {
        if (strcmp(query->params[i].name, name) == 0) {
            return query->params[i].value;
        }
    }
    return NULL;
}
