/* base/list.h: intrusive doubly linked list with a head. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

/* true when the item is on a list; only for items that list_init or list_remove has touched. */
static inline bool list_is_linked(const struct list *item)
{
    return item->next != item;
}

static inline void list_insert_before(struct list *item, struct list *at)
{
    item->prev = at->prev;
    item->next = at;
    at->prev->next = item;
    at->prev = item;
}

static inline void list_push_back(struct list *head, struct list *item)
{
    list_insert_before(item, head);
}

static inline void list_push_front(struct list *head, struct list *item)
{
    list_insert_before(item, head->next);
}

/* Leaves the item linked to itself, so that removing twice is harmless. */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    item->next = item;
    item->prev = item;
}

/* All items of `from`, behind those of `to`. */
static inline void list_move_all(struct list *from, struct list *to)
{
    while (!list_is_empty(from)) {
        struct list *item = from->next;
        list_remove(item);
        list_push_back(to, item);
    }
}

/* The first item, NULL when empty; the caller applies CONTAINER_OF. */
static inline struct list *list_first(struct list *head)
{
    return list_is_empty(head) ? NULL : head->next;
}
