/* tests/origin/query.h: the parameters of a request's query, decoded, in the order they came. */
#ifndef ATOLL_TESTS_ORIGIN_QUERY_H
#define ATOLL_TESTS_ORIGIN_QUERY_H

#include <stdbool.h>
#include <stddef.h>

struct param {
    const char *name;
    const char *value; /* "" where there is none */
};

struct query {
    struct param *params;
    size_t count;
    char *storage;
};

/* Parse the text behind the "?" (NULL: none). False when malformed; *out then needs no fini. */
bool query_init(struct query *out, const char *raw);
void query_fini(struct query *query);
/* The first value of that name, NULL when there is none. */
const char *query_get(const struct query *query, const char *name);

#endif
