/* tests/origin/options.h: the command line. */
#ifndef ATOLL_TESTS_ORIGIN_OPTIONS_H
#define ATOLL_TESTS_ORIGIN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OPTIONS_LIST_MAX = 64 };

/* All text is that of the arguments. */
struct options {
    const char *root;
    const char *listen;
    const char *admin;
    const char *keys_file;
    const char *region;
    const char *access_log;
    const char *domains[OPTIONS_LIST_MAX + 1]; /* NULL-terminated, as the two others */
    const char *buckets[OPTIONS_LIST_MAX + 1];
    const char *generate[OPTIONS_LIST_MAX + 1];
    const char *faults[OPTIONS_LIST_MAX + 1];
    uint64_t bandwidth;
    uint64_t connection_bandwidth;
    uint64_t requests_per_second;
    uint64_t threads;
    uint64_t idle_s;
    int64_t clock_offset_s;
    bool anonymous_read;
    bool allow_nonloopback;
};

enum options_outcome {
    OPTIONS_GOOD,
    OPTIONS_HELP, /* was printed */
    OPTIONS_BAD,  /* a message was printed */
};

enum options_outcome options_parse(int count, char **arguments, struct options *out);

#endif
