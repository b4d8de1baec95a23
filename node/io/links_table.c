/* node/io/links_table.c: slots; a number is (how many were taken before) << 20 | slot, so that it
 * is found without a search and never used twice. */
#include "node/io/links_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define SLOT_BITS 20
#define SLOT_MASK ((1u << SLOT_BITS) - 1)

enum err table_init(struct table *table, uint32_t limit)
{
    struct arena arena;
    CHECK(limit > 0 && limit <= SLOT_MASK);
    const size_t size = sizeof(struct link) * limit + 4 * sizeof(void *) * 2 * (size_t)limit + 4096;
    memset(table, 0, sizeof *table);
    table->memory = malloc(size);
    if (table->memory == NULL) {
        return ERR_NOMEM;
    }
    arena_init(&arena, table->memory, size);
    table->links = arena_array(&arena, limit, sizeof *table->links);
    table->limit = limit;
    table->next_number = 1;
    if (table->links == NULL || map_init(&table->by_route, &arena, limit) != ERR_OK ||
        map_init(&table->by_fd, &arena, limit) != ERR_OK) {
        table_fini(table);
        return ERR_NOMEM;
    }
    return ERR_OK;
}

void table_fini(struct table *table)
{
    free(table->memory);
    table->memory = NULL;
}

struct link *table_take(struct table *table)
{
    for (uint32_t i = 0; i < table->limit && table->used < table->limit; i++) {
        const uint32_t slot = (table->free_from + i) % table->limit;
        struct link *link = &table->links[slot];
        if (link->state == LINK_FREE && link->id == 0) {
            memset(link, 0, sizeof *link);
            link->id = table->next_number++ << SLOT_BITS | slot;
            link->fd = -1;
            list_init(&link->news);
            list_init(&link->retry);
            list_init(&link->socket.dirty);
            list_init(&link->watch.dirty);
            table->free_from = (slot + 1) % table->limit;
            table->used++;
            return link;
        }
    }
    return NULL;
}

void table_give(struct table *table, struct link *link)
{
    CHECK(link->id != 0 && link->socket.zmq == NULL && link->watch.zmq == NULL);
    if (link->router != NULL) {
        map_remove(&table->by_route, &link->by_route);
    }
    if (link->fd >= 0) {
        table_forget_fd(table, link);
    }
    list_remove(&link->news);
    list_remove(&link->retry);
    list_remove(&link->socket.dirty);
    list_remove(&link->watch.dirty);
    link->id = 0;
    link->state = LINK_FREE;
    table->used--;
}

struct link *table_find(const struct table *table, uint64_t id)
{
    const uint32_t slot = (uint32_t)(id & SLOT_MASK);
    if (id == 0 || slot >= table->limit || table->links[slot].id != id) {
        return NULL;
    }
    return &table->links[slot];
}

static uint64_t hash_route(const struct port *router, const uint8_t *route)
{
    return hash64(route, SOCKET_ROUTE_SIZE, router->purpose);
}

static uint64_t hash_fd(const struct port *router, int fd)
{
    return hash64(&fd, sizeof fd, router->purpose);
}

struct link *table_by_route(const struct table *table, const struct port *router,
                            const uint8_t *route)
{
    struct map_node *node = map_first(&table->by_route, hash_route(router, route));
    for (; node != NULL; node = map_next(node)) {
        struct link *link = CONTAINER_OF(node, struct link, by_route);
        if (link->router == router && memcmp(link->route, route, SOCKET_ROUTE_SIZE) == 0) {
            return link;
        }
    }
    return NULL;
}

struct link *table_by_fd(const struct table *table, const struct port *router, int fd)
{
    struct map_node *node = map_first(&table->by_fd, hash_fd(router, fd));
    for (; node != NULL; node = map_next(node)) {
        struct link *link = CONTAINER_OF(node, struct link, by_fd);
        if (link->router == router && link->fd == fd) {
            return link;
        }
    }
    return NULL;
}

void table_index(struct table *table, struct link *link)
{
    map_insert(&table->by_route, &link->by_route, hash_route(link->router, link->route));
    if (link->fd >= 0) {
        map_insert(&table->by_fd, &link->by_fd, hash_fd(link->router, link->fd));
    }
}

void table_forget_fd(struct table *table, struct link *link)
{
    CHECK(link->fd >= 0);
    map_remove(&table->by_fd, &link->by_fd);
    link->fd = -1;
}
