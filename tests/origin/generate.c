#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/generate.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "tests/origin/text.h"

#define GOLDEN 0x9e3779b97f4a7c15ull
#define PAGE_SIZE 4096u
#define PAD_SIZE (1u << 20)

/* Written by generate_init, read by all threads from then on. */
static uint8_t pad[PAD_SIZE + PAGE_SIZE];

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

void generate_init(void)
{
    for (uint64_t i = 0; i < sizeof pad / 8; i++) {
        uint64_t word = htole64(mix((i + 1) * GOLDEN));
        memcpy(&pad[8 * i], &word, 8);
    }
}

uint64_t generate_base(uint64_t seed, const char *key, size_t key_size)
{
    uint64_t hash = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < key_size; i++) {
        hash = (hash ^ (uint8_t)key[i]) * 0x100000001b3ull;
    }
    return mix(seed ^ hash);
}

/* Bytes [from, to) of one page. */
static void page_bytes(uint64_t stamp, size_t from, size_t to, uint8_t *out)
{
    uint64_t word = htole64(stamp);
    const uint8_t *head = (const uint8_t *)&word;
    while (from < to && from < 8) {
        *out++ = head[from++];
    }
    if (from < to) {
        memcpy(out, &pad[stamp % PAD_SIZE + (from - 8)], to - from);
    }
}

void generate_bytes(uint64_t base, uint64_t offset, void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        uint64_t page = offset / PAGE_SIZE;
        size_t from = offset % PAGE_SIZE;
        size_t part = PAGE_SIZE - from < size ? PAGE_SIZE - from : size;
        page_bytes(mix(base + (page + 1) * GOLDEN), from, from + part, at);
        at += part;
        offset += part;
        size -= part;
    }
}

static bool parse_sizes(char *value, struct generate_spec *spec)
{
    char *dash = strchr(value, '-');
    if (dash != NULL) {
        *dash = '\0';
    }
    bool good = text_size(value, &spec->size_min);
    spec->size_max = spec->size_min;
    good = good && (dash == NULL || text_size(dash + 1, &spec->size_max));
    return good && spec->size_min <= spec->size_max;
}

static bool parse_part(char *part, struct generate_spec *spec)
{
    char *value = strchr(part, '=');
    if (value == NULL) {
        return false;
    }
    *value++ = '\0';
    if (strcmp(part, "count") == 0) {
        return text_u64(value, &spec->count);
    }
    if (strcmp(part, "size") == 0) {
        return parse_sizes(value, spec);
    }
    if (strcmp(part, "seed") == 0) {
        return text_u64(value, &spec->seed);
    }
    if (strcmp(part, "fanout") == 0) {
        return text_u64(value, &spec->fanout);
    }
    if (strcmp(part, "time") == 0) {
        return text_u64(value, &spec->time_s);
    }
    if (strcmp(part, "suffix") == 0) {
        free(spec->suffix);
        spec->suffix = text_dup(value, strlen(value));
        return true;
    }
    return false;
}

static bool parse_parts(char *rest, struct generate_spec *spec)
{
    bool good = true;
    for (char *part = strsep(&rest, ","); good && part != NULL; part = strsep(&rest, ",")) {
        part += strspn(part, " ");
        good = parse_part(part, spec);
    }
    return good;
}

bool generate_spec_init(struct generate_spec *out, const char *text)
{
    /* 14 November 2023: any fixed time will do; a restarted origin must not change its objects. */
    struct generate_spec spec = { .count = 1, .seed = 1, .time_s = 1700000000 };
    char *copy = text_dup(text, strlen(text));
    char *rest = copy;
    char *head = strsep(&rest, ",");
    char *slash = strchr(head, '/');
    spec.bucket = text_dup(head, slash == NULL ? strlen(head) : (size_t)(slash - head));
    spec.prefix = slash == NULL ? text_dup("", 0) : text_dup(slash + 1, strlen(slash + 1));
    spec.suffix = text_dup("", 0);
    bool good = spec.bucket[0] != '\0' && (rest == NULL || parse_parts(rest, &spec));
    free(copy);
    if (!good) {
        generate_spec_fini(&spec);
        return false;
    }
    *out = spec;
    return true;
}

bool generate_object_parse(const char *text, uint64_t *size, uint64_t *seed)
{
    struct generate_spec spec = { .seed = 1 };
    char *copy = text_dup(text, strlen(text));
    bool good = parse_parts(copy, &spec);
    free(copy);
    generate_spec_fini(&spec);
    *size = spec.size_min;
    *seed = spec.seed;
    return good;
}

void generate_spec_fini(struct generate_spec *spec)
{
    free(spec->bucket);
    free(spec->prefix);
    free(spec->suffix);
    spec->bucket = NULL;
    spec->prefix = NULL;
    spec->suffix = NULL;
}

char *generate_key(const struct generate_spec *spec, uint64_t index)
{
    struct text key = { 0 };
    text_puts(&key, spec->prefix);
    if (spec->fanout > 0) {
        text_printf(&key, "d%05llu/", (unsigned long long)(index / spec->fanout));
    }
    text_printf(&key, "%08llu%s", (unsigned long long)index, spec->suffix);
    return key.bytes;
}

uint64_t generate_size(const struct generate_spec *spec, uint64_t index)
{
    uint64_t span = spec->size_max - spec->size_min + 1;
    return spec->size_min + mix(spec->seed + (index + 1) * GOLDEN) % span;
}
