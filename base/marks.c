/* base/marks.c: a short list of names and counts. */
#include "base/marks.h"

#include <stddef.h>
#include <string.h>

#include "base/check.h"

/* The slot of `name`, or `used`. One name may be a literal at several addresses. */
static uint32_t find(const struct marks *marks, const char *name)
{
    for (uint32_t i = 0; i < marks->used; i++) {
        if (marks->slot[i].name == name) {
            return i;
        }
    }
    for (uint32_t i = 0; i < marks->used; i++) {
        if (strcmp(marks->slot[i].name, name) == 0) {
            return i;
        }
    }
    return marks->used;
}

void marks_hit(struct marks *marks, const char *name)
{
    if (marks == NULL) {
        return;
    }
    CHECK(name != NULL);
    uint32_t at = find(marks, name);
    if (at == marks->used) {
        CHECK(marks->used < MARKS_MAX);
        marks->slot[at].name = name;
        marks->slot[at].count = 0;
        marks->used++;
    }
    marks->slot[at].count++;
}

uint64_t marks_count(const struct marks *marks, const char *name)
{
    CHECK(name != NULL);
    uint32_t at = find(marks, name);
    return at == marks->used ? 0 : marks->slot[at].count;
}
