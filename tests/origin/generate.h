/* tests/origin/generate.h: objects without a disk: bytes made from (seed, key, offset).
 *
 * The formula, which tests/origin/generated.py repeats; all numbers are unsigned 64-bit, words are
 * little-endian:
 *   mix(z)    z ^= z >> 30; z *= 0xbf58476d1ce4e5b9; z ^= z >> 27; z *= 0x94d049bb133111eb;
 *             z ^= z >> 31   (the finalizer of splitmix64)
 *   pad       2^20 + 4096 bytes, the same for all objects: word i is mix((i + 1) * G)
 *   base      mix(seed ^ fnv1a64(key)), the key without its bucket
 *   stamp(p)  mix(base + (p + 1) * G)
 *   page p    bytes [4096 p, 4096 p + 4096): the word stamp(p), then the 4088 bytes of the pad that
 *             start at stamp(p) mod 2^20
 *   G         0x9e3779b97f4a7c15
 * So every page names its place and its object, and both C and Python make gigabytes a second. */
#ifndef ATOLL_TESTS_ORIGIN_GENERATE_H
#define ATOLL_TESTS_ORIGIN_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Call once, before the other functions and before threads start. */
void generate_init(void);

uint64_t generate_base(uint64_t seed, const char *key, size_t key_size);
void generate_bytes(uint64_t base, uint64_t offset, void *out, size_t size);

/* A set of objects: BUCKET/PREFIX,count=N,size=SIZE[-SIZE],seed=N,suffix=TEXT,fanout=N,time=N.
 * Their keys are PREFIX, with a fan-out "d%05u/" of i / fanout, "%08u" of i, the suffix. */
struct generate_spec {
    char *bucket;
    char *prefix;
    char *suffix;
    uint64_t count;
    uint64_t size_min;
    uint64_t size_max;
    uint64_t seed;
    uint64_t fanout; /* objects a folder; 0: no folders */
    uint64_t time_s;
};

#define GENERATE_HELP "BUCKET/PREFIX,count=N,size=SIZE[-SIZE],seed=N,suffix=TEXT,fanout=N,time=N"

/* False when the text is none; *out then needs no fini. */
bool generate_spec_init(struct generate_spec *out, const char *text);
/* "size=SIZE,seed=N" alone: the object that a PUT asks for in its metadata. */
bool generate_object_parse(const char *text, uint64_t *size, uint64_t *seed);
void generate_spec_fini(struct generate_spec *spec);

/* The key of object `index`; the result belongs to the caller. */
char *generate_key(const struct generate_spec *spec, uint64_t index);
/* Its size: between both ends of the range, drawn from (seed, index). */
uint64_t generate_size(const struct generate_spec *spec, uint64_t index);

#endif
