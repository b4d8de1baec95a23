#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/origin/admin.h"
#include "tests/origin/faults.h"
#include "tests/origin/generate.h"
#include "tests/origin/text.h"

enum option_kind { TEXT, LIST, NUMBER, SIGNED, FLAG };

/* One entry an option: where its value goes, and its help. */
#define OPTIONS(X)                                                                          \
    X("root", TEXT, root, "DIR", "directory of buckets (default: a temporary one)")         \
    X("listen", TEXT, listen, "ADDR:PORT", "default 127.0.0.1:0, a free port")              \
    X("admin", TEXT, admin, "ADDR:PORT", "of the admin port, default 127.0.0.1:0")          \
    X("keys-file", TEXT, keys_file, "FILE",                                                 \
      "lines ID:SECRET[:TOKEN]; read again on SIGHUP (or ATOLL_TEST_ORIGIN_KEYS, "          \
      "comma-separated)")                                                                   \
    X("bucket", LIST, buckets, "NAME", "create this bucket (may be repeated)")              \
    X("generate", LIST, generate, "SPEC", GENERATE_HELP " (may be repeated)")               \
    X("domain", LIST, domains, "NAME",                                                      \
      "Host BUCKET.NAME is virtual-host style, NAME is path style (may be repeated)")       \
    X("region", TEXT, region, "NAME", "refuse signatures for another region")               \
    X("anonymous-read", FLAG, anonymous_read, NULL, "reads need no signature")              \
    X("fault", LIST, faults, "FAULT", "ACTION,name=value,… as below (may be repeated)")     \
    X("bandwidth", NUMBER, bandwidth, "SIZE", "bytes a second of all answers together")     \
    X("connection-bandwidth", NUMBER, connection_bandwidth, "SIZE",                         \
      "bytes a second of one connection")                                                   \
    X("requests-per-second", NUMBER, requests_per_second, "N", "503 beyond")                \
    X("clock-offset", SIGNED, clock_offset_s, "SECONDS", "of the origin's clock")           \
    X("threads", NUMBER, threads, "N", "default: one a processor, at least 2")              \
    X("idle-timeout", NUMBER, idle_s, "SECONDS", "close idle connections (default: never)") \
    X("access-log", TEXT, access_log, "FILE", "a line for each request")                    \
    X("allow-nonloopback", FLAG, allow_nonloopback, NULL, "also listen on other addresses")

struct row {
    const char *name;
    enum option_kind kind;
    size_t offset;
    const char *argument;
    const char *help;
};

static const struct row rows[] = {
#define X(name, kind, member, argument, help) \
    { name, kind, offsetof(struct options, member), argument, help },
    OPTIONS(X)
#undef X
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static void print_help(void)
{
    static const char *const actions[][2] = {
#define X(name, action, help) { name, help },
        FAULT_ACTIONS(X)
#undef X
    };
    printf("atoll-test-origin: a small S3 and OSS server for tests, which verifies signatures.\n\n"
           "Usage: atoll-test-origin [options]\n\n"
           "It prints \"ready listen=ADDR:PORT admin=ADDR:PORT\" and serves until SIGTERM.\n\n");
    for (size_t i = 0; i < ROWS; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", rows[i].name, rows[i].argument != NULL ? " " : "",
                 rows[i].argument != NULL ? rows[i].argument : "");
        printf("  %-34s %s\n", left, rows[i].help);
    }
    printf("\nFaults:\n");
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        printf("  %-12s %s\n", actions[i][0], actions[i][1]);
    }
    printf(
        "  Each may be limited: kind=GET|HEAD|PUT|DELETE|LIST|MULTIPART|BUCKET, bucket=NAME,\n"
        "  prefix=KEY, probability=0.1, count=N (fire N times), skip=N (let N pass), seed=N.\n"
        "\nAdmin port:\n%s"
        "\nExamples:\n"
        "  printf 'me:secret\\n' > keys && atoll-test-origin --keys-file keys --root /tmp/origin "
        "\\\n      --bucket data\n"
        "  atoll-test-origin --keys-file keys --generate "
        "'data/train/,count=3000,size=100KiB,seed=7' \\\n"
        "      --fault latency,ms=5000,probability=0.1,kind=GET --bandwidth 100MiB\n"
        "  curl -s http://127.0.0.1:ADMIN/counters?keys=0\n"
        "  curl -s http://127.0.0.1:ADMIN/faults -d "
        "'{\"faults\":[{\"action\":\"status\",\"count\":3}]}'\n"
        "A PUT with x-amz-meta-atoll-generate (x-oss-meta-…): size=20GiB,seed=3 makes a generated "
        "object.\n",
        ADMIN_HELP);
}

static bool add_to_list(const char **list, const char *value)
{
    size_t count = 0;
    while (list[count] != NULL) {
        count++;
    }
    if (count == OPTIONS_LIST_MAX) {
        return false;
    }
    list[count] = value;
    return true;
}

static bool take_signed(const char *value, int64_t *out)
{
    uint64_t number = 0;
    bool negative = value[0] == '-';
    bool good = text_u64(value + negative, &number) && number <= INT32_MAX;
    *out = negative ? -(int64_t)number : (int64_t)number;
    return good;
}

static bool take(const struct row *row, const char *value, struct options *options)
{
    void *member = (char *)options + row->offset;
    switch (row->kind) {
    case TEXT:
        *(const char **)member = value;
        return true;
    case LIST:
        return add_to_list(member, value);
    case NUMBER:
        return text_size(value, member);
    case SIGNED:
        return take_signed(value, member);
    case FLAG:
        *(bool *)member = true;
        return true;
    }
    return false;
}

static uint64_t default_threads(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 2 ? 2 : (uint64_t)processors;
}

enum options_outcome options_parse(int count, char **arguments, struct options *out)
{
    struct option table[ROWS + 2] = { 0 };
    for (size_t i = 0; i < ROWS; i++) {
        table[i] = (struct option){ .name = rows[i].name,
                                    .has_arg = rows[i].argument != NULL,
                                    .val = (int)i + 256 };
    }
    table[ROWS] = (struct option){ .name = "help", .val = 'h' };
    *out = (struct options){ .listen = "127.0.0.1:0",
                             .admin = "127.0.0.1:0",
                             .threads = default_threads() };
    for (int found; (found = getopt_long(count, arguments, "h", table, NULL)) != -1;) {
        if (found == 'h') {
            print_help();
            return OPTIONS_HELP;
        }
        if (found == '?') {
            return OPTIONS_BAD;
        }
        const struct row *row = &rows[found - 256];
        if (!take(row, optarg, out)) {
            fprintf(stderr, "atoll-test-origin: bad value for --%s: %s\n", row->name, optarg);
            return OPTIONS_BAD;
        }
    }
    if (optind < count || out->threads < 1 || out->threads > 256) {
        fprintf(stderr, "atoll-test-origin: %s\n",
                optind < count ? "takes no arguments but options, see --help"
                               : "--threads is 1 to 256");
        return OPTIONS_BAD;
    }
    return OPTIONS_GOOD;
}
