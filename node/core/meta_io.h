/* node/core/meta_io.h: what the metadata half has asked its shell for: LIST, HEAD, META_*.
 *
 * Each ends in one event, which goes to the owner's function (meta_io.c, the switch). Spans are
 * copied, except the value of a PUT: it must hold until the answer. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "base/pool.h"
#include "node/core/node.h"

enum io_kind {
    IO_CATALOG_PUT,   /* struct catalog_op */
    IO_CATALOG_KEEP,  /* struct catalog_item, tag: which write of it */
    IO_CATALOG_PROBE, /* struct catalog_op */
    IO_ROOT_LOAD,     /* struct work */
    IO_ROOT_KEEP,     /* struct buffer */
    IO_ROOT_TAKE,     /* struct offer */
    IO_PAGE_LOAD,     /* struct page_fetch */
    IO_PAGE_KEEP,     /* struct buffer */
    IO_PAGE_TAKE,     /* struct offer */
    IO_BUILD_LIST,    /* struct snapshot */
    IO_BUILD_PUT,     /* struct copies */
    IO_PROBE_HEAD,    /* struct snapshot, tag: the probe's number */
    IO_PROBE_LIST,
    IO_MOVE_ROOT, /* struct move */
    IO_OUTAGE,    /* struct outage */
};

/* Who is told of the end. */
struct io_for {
    enum io_kind kind;
    void *owner;
    uint64_t tag;
};

struct io {
    struct map_node by_id;
    uint64_t id;
    struct io_for of;
};

struct meta_io {
    struct map by_id;
    struct pool pool;
};

size_t io_memory(const struct node_options *options);
enum err io_init(struct meta_io *io, struct arena *mem, const struct node_options *options)
    MUST_USE;

struct io_list {
    struct source_id source;
    struct span prefix;
    struct span continuation;
    uint32_t limit;
    bool delimited;
};

/* The number of what was started; 0 when too much is under way (then nothing follows). */
uint64_t io_list(struct node *node, const struct io_for *of, const struct io_list *list);
uint64_t io_head(struct node *node, const struct io_for *of, struct source_id source,
                 struct span key);
uint64_t io_get(struct node *node, const struct io_for *of, enum meta_space space, struct span key);
uint64_t io_put(struct node *node, const struct io_for *of, enum meta_space space, struct span key,
                struct span value);
/* The owner dies: the answer is dropped. 0 and ended ones are fine. */
void io_forget(struct node *node, uint64_t id);
/* LISTED or META. */
void io_on_event(struct node *node, const struct node_event *event);
