/* node/io/item.c: one malloc for an event and what it points to. */
#include "node/io/item.h"

#include <stdlib.h>
#include <string.h>

static void item_free(struct item *item)
{
    free(item);
}

struct item *item_new(enum node_event_kind kind, size_t room)
{
    struct item *item = malloc(sizeof *item + room);
    if (item == NULL) {
        return NULL;
    }
    memset(item, 0, sizeof *item);
    item->free = item_free;
    item->event.kind = kind;
    return item;
}

void *item_room(struct item *item)
{
    return item + 1;
}

struct item *item_must(enum node_event_kind kind, size_t room)
{
    struct item *item = item_new(kind, room);
    if (item == NULL) {
        BUG("out of memory for an event");
    }
    return item;
}
