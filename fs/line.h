/* fs/line.h: requests that the core has no place for yet, oldest first. One thread owns it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "fs/core/mount.h"
#include "fs/kernel.h"

struct line {
    struct kernel_item *first;
    struct kernel_item *last;
};

/* Does the core keep a request of this kind until it is answered? Others never wait. */
bool line_is_for(enum mount_op_kind kind);
bool line_is_empty(const struct line *line);
/* The item is the line's until it is popped or taken. */
void line_push(struct line *line, struct kernel_item *item);
/* NULL when empty. */
struct kernel_item *line_pop(struct line *line);
/* The request of this number, wherever it stands; NULL: it is not here. */
struct kernel_item *line_take(struct line *line, uint64_t id);
