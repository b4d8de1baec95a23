/* tests/unit/node/io/fetch_bench.h: a fetch actor, the queue it answers into, and effects for it. */
#pragma once
#include "base/crc.h"
#include "node/io/fetch.h"
#include "node/io/item.h"

#define BENCH_BYTES (4u << 20)
#define BENCH_PARTS 8

struct bench {
    struct queue *out;
    struct fetch *fetch;
    uint8_t *data; /* BENCH_BYTES, where parts go */
    uint8_t *checksums;
    struct fetch_part parts[BENCH_PARTS];
    struct source_id source;
};

struct bench_options {
    const char *uri; /* NULL: no source is described */
    const char *endpoint;
    const char *region;
    const char *credential;
    const char *credentials_dir;
    const char *allow_root;
    uint32_t threads; /* 0: one */
};

void bench_start(struct bench *bench, const struct bench_options *options);
void bench_stop(struct bench *bench);
/* What the object is in all tests: byte i of any key. */
uint8_t bench_byte(uint64_t i);

struct bench_get {
    uint64_t id;
    const char *key;
    const char *pin;
    uint64_t object_size, offset;
    uint32_t sizes[BENCH_PARTS]; /* of parts, up to the first 0 */
    bool background;
};
void bench_get(struct bench *bench, const struct bench_get *get);
void bench_head(struct bench *bench, uint64_t id, const char *key);
void bench_cancel(struct bench *bench, uint64_t id);
struct bench_list {
    uint64_t id;
    const char *prefix;
    const char *after;
    const char *continuation;
    uint32_t limit; /* 0: 1000 */
    bool flat;
};
void bench_list(struct bench *bench, const struct bench_list *list);

/* The next item; there must be one within 20 s. Give it to bench_done. */
struct item *bench_next(struct bench *bench);
void bench_done(struct item *item);
/* Waits for the end of GET `id` over its progress; gives its failure. *bytes may be NULL. */
enum err bench_wait(struct bench *bench, uint64_t id, uint64_t *bytes);
/* true when all parts hold the object's bytes from `offset` on and their checksums are right. */
bool bench_is_right(const struct bench *bench, uint64_t offset);
/* Nothing came that was not looked at. */
bool bench_is_quiet(struct bench *bench);
