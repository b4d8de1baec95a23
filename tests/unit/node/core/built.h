/* tests/unit/node/core/built.h: a directory being built, and the pages that came out. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/core/dirbuild.h"

#define BUILT_PAGES_MAX 4096

struct built {
    struct dirbuild build;
    uint8_t *memory;
    struct page pages[BUILT_PAGES_MAX];
    uint32_t count;
    uint32_t late;
    uint32_t disorder;
};

struct dir_id built_dir(void);
struct built *built_new(uint64_t generation, const struct root *old);
void built_free(struct built *b);
/* One key of the listing; one that ends in "/" is a common prefix. */
void built_put(struct built *b, const char *key, const char *pin, uint64_t size);
/* Take off all pages that can be cut. */
void built_cut(struct built *b, bool last);
/* f000000 and so on, cut every thousand. */
struct built *built_numbered(uint64_t generation, const struct root *old, uint32_t count,
                             uint64_t size);
/* A root over the pages; the caller frees its bytes. */
struct root built_root(const struct built *b);
uint32_t built_entries(const struct built *b);
/* Names ascend over all pages, each page ends where the next begins, the last one at the end. */
void built_check_order(const struct built *b);
bool built_find(const struct built *b, const char *name, struct entry *out);
