#include "tests/unit/node/io/fetch_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct span text_or_none(const char *text)
{
    return text == NULL ? span_of(NULL, 0) : span_text(text);
}

void bench_start(struct bench *bench, const struct bench_options *options)
{
    char line[1024];
    struct text why;
    struct fetch_options wanted = { .credentials_dir = options->credentials_dir,
                                    .allow_roots = &options->allow_root,
                                    .allow_root_count = options->allow_root == NULL ? 0 : 1,
                                    .threads = options->threads };
    memset(bench, 0, sizeof *bench);
    text_init(&why, line, sizeof line);
    CHECK(queue_new(&bench->out) == ERR_OK);
    bench->data = calloc(1, BENCH_BYTES);
    bench->checksums = calloc(1, (size_t)chunk_count(BENCH_BYTES) * 8 * 2);
    CHECK(bench->data != NULL && bench->checksums != NULL);
    wanted.out = bench->out;
    enum err err = fetch_start(&wanted, &bench->fetch, &why);
    if (err != ERR_OK) {
        fprintf(stderr, "fetch_start: %s\n", line);
    }
    CHECK(err == ERR_OK);
    bench->source.b[0] = 7;
    if (options->uri != NULL) {
        struct node_effect effect = { .kind = NODE_SOURCE };
        effect.source.source = bench->source;
        effect.source.uri = span_text(options->uri);
        effect.source.endpoint = text_or_none(options->endpoint);
        effect.source.region = text_or_none(options->region);
        effect.source.credential = text_or_none(options->credential);
        CHECK(fetch_do(bench->fetch, &effect) == ERR_OK);
    }
}

void bench_stop(struct bench *bench)
{
    struct queue_item *item;
    fetch_stop(&bench->fetch);
    item = queue_take(bench->out);
    while (item != NULL) {
        struct item *event = item_of(item);
        item = item->next;
        event->free(event);
    }
    queue_free(&bench->out);
    free(bench->data);
    free(bench->checksums);
}

uint8_t bench_byte(uint64_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

void bench_get(struct bench *bench, const struct bench_get *get)
{
    struct node_effect effect = { .kind = NODE_FETCH };
    size_t data = 0, chunks = 0;
    uint32_t count = 0;
    memset(bench->parts, 0, sizeof bench->parts);
    for (; count < BENCH_PARTS && get->sizes[count] > 0; count++) {
        bench->parts[count] = (struct fetch_part){ .data = bench->data + data,
                                                   .checksums = bench->checksums + chunks * 8,
                                                   .size = get->sizes[count] };
        data += get->sizes[count];
        chunks += chunk_count(get->sizes[count]);
    }
    CHECK(data <= BENCH_BYTES);
    effect.fetch.id = get->id;
    effect.fetch.source = bench->source;
    effect.fetch.key = span_text(get->key);
    effect.fetch.pin = text_or_none(get->pin);
    effect.fetch.object_size = get->object_size;
    effect.fetch.offset = get->offset;
    effect.fetch.size = data;
    effect.fetch.parts = bench->parts;
    effect.fetch.part_count = count;
    effect.fetch.background = get->background;
    CHECK(fetch_do(bench->fetch, &effect) == ERR_OK);
}

void bench_head(struct bench *bench, uint64_t id, const char *key)
{
    struct node_effect effect = { .kind = NODE_HEAD };
    effect.head.id = id;
    effect.head.source = bench->source;
    effect.head.key = span_text(key);
    CHECK(fetch_do(bench->fetch, &effect) == ERR_OK);
}

void bench_cancel(struct bench *bench, uint64_t id)
{
    struct node_effect effect = { .kind = NODE_FETCH_CANCEL };
    effect.fetch_cancel.id = id;
    CHECK(fetch_do(bench->fetch, &effect) == ERR_OK);
}

void bench_list(struct bench *bench, const struct bench_list *list)
{
    struct node_effect effect = { .kind = NODE_LIST };
    effect.list.id = list->id;
    effect.list.source = bench->source;
    effect.list.prefix = text_or_none(list->prefix);
    effect.list.after = text_or_none(list->after);
    effect.list.continuation = text_or_none(list->continuation);
    effect.list.limit = list->limit == 0 ? 1000 : list->limit;
    effect.list.delimited = !list->flat;
    CHECK(fetch_do(bench->fetch, &effect) == ERR_OK);
}

struct item *bench_next(struct bench *bench)
{
    struct queue_item *item = queue_pop(bench->out, SEC(60));
    CHECK(item != NULL);
    return item_of(item);
}

void bench_done(struct item *item)
{
    item->free(item);
}

enum err bench_wait(struct bench *bench, uint64_t id, uint64_t *bytes)
{
    uint64_t before = 0;
    for (;;) {
        struct item *item = bench_next(bench);
        const struct node_event *event = &item->event;
        bool ours = event->kind == NODE_FETCHED && event->fetched.id == id;
        uint64_t got = ours ? event->fetched.bytes : 0;
        bool ended = ours && event->fetched.ended;
        enum err err = ours ? event->fetched.err : ERR_OK;
        CHECK(!ours || got >= before);
        before = got;
        bench_done(item);
        if (ended) {
            if (bytes != NULL) {
                *bytes = got;
            }
            return err;
        }
    }
}

static bool part_is_right(const struct fetch_part *part, uint64_t offset)
{
    for (uint32_t i = 0; i < part->size; i++) {
        if (part->data[i] != bench_byte(offset + i)) {
            return false;
        }
    }
    for (uint32_t chunk = 0; chunk < chunk_count(part->size); chunk++) {
        uint32_t at = chunk * CHUNK_SIZE;
        uint32_t size = part->size - at < CHUNK_SIZE ? part->size - at : CHUNK_SIZE;
        if (get_u64(part->checksums + (size_t)chunk * 8) != crc64(0, part->data + at, size)) {
            return false;
        }
    }
    return true;
}

bool bench_is_right(const struct bench *bench, uint64_t offset)
{
    for (uint32_t i = 0; i < BENCH_PARTS && bench->parts[i].size > 0; i++) {
        if (!part_is_right(&bench->parts[i], offset)) {
            return false;
        }
        offset += bench->parts[i].size;
    }
    return bench->parts[0].size > 0;
}

bool bench_is_quiet(struct bench *bench)
{
    struct queue_item *item = queue_pop(bench->out, 0);
    if (item == NULL) {
        return true;
    }
    bench_done(item_of(item));
    return false;
}
