/* base/marks.h: counts rare branches, so that a test run can show which it has taken. */
#pragma once
#include <stdint.h>

#define MARKS_MAX 512

struct marks {
    struct {
        const char *name;
        uint64_t count;
    } slot[MARKS_MAX];
    uint32_t used;
};

/* `name` is a string literal. A NULL `marks` counts nothing. */
void marks_hit(struct marks *marks, const char *name);
uint64_t marks_count(const struct marks *marks, const char *name);

/* `owner` has a member `struct marks *marks`. */
#define MARK(owner, name) marks_hit((owner)->marks, name)
