/* node/core/reads.h: block requests of mounts and nodes, from GET to the last byte (DESIGN 7).
 *
 * A read is admitted within its session's budget, then answered from memory or disk, waits for the
 * block's flight, or is passed on to the owner. Sessions with bytes to send take turns. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"
#include "node/core/asks.h"
#include "node/core/blocks.h"
#include "node/core/calls.h"
#include "node/core/node.h"
#include "node/core/objects.h"
#include "wire/message.h"

#define READ_PART_MIN (1u << 20) /* smaller ones cost more than they bring (ceilings.md) */
#define READ_PART_MAX (4u << 20)
#define READ_PART_LATE_US MSEC(20) /* a slow source: a reader gets what is there */
#define READ_SILENT_MAX 256

struct flight;
struct link;
struct session;

struct read {
    struct ask ask;
    struct list waiting; /* of a flight */
    struct list turn;    /* of its session's `queue` (not admitted) or `ready` */
    struct list disk_ops;
    struct session *session;
    struct flight *flight;
    struct object *object;
    struct dataset_id dataset; /* for which it is read: others may show the object too */
    struct buffer *buffer;     /* held; its first byte is byte `base` of the block */
    uint32_t base;
    uint32_t block_bytes;
    struct block_id id;
    struct place place;
    uint32_t offset; /* what was asked for, within the block */
    uint32_t length;
    uint32_t sent;
    uint32_t available; /* bytes of `length` that may be sent */
    uint32_t silent_size;
    enum get_mode mode;
    enum get_class class;
    enum data_tier tier;
    bool extent;
    bool differing;   /* asked by a node with another ring */
    bool admitted;    /* `length - sent` bytes are promised to the session */
    usec_t moved_us;  /* asked, or the last part went out */
    uint64_t forward; /* number of the call that passes it on */
    uint64_t trace;
    uint8_t mount[ID_SIZE];
    uint8_t silent[READ_SILENT_MAX]; /* ids: ranks that did not answer */
};

struct reads {
    struct pool pool;
    struct list turns;   /* sessions with something ready */
    uint64_t forwarding; /* bytes that pass through */
};

size_t reads_memory(const struct node_options *options);
enum err reads_init(struct reads *reads, struct arena *mem, const struct node_options *options)
    MUST_USE;

/* A GET on an open data link. */
void reads_on_get(struct node *node, struct link *link, const struct message_get *get);
/* Are its fields what a mount or node would send, for that block? */
bool gets_is_good(const struct message_get *get, struct block_id id);
/* Find out where the bytes are to come from; for an admitted read that waits for nothing. */
void reads_route(struct node *node, struct read *read);
/* Admit what now fits the session's budget. */
void reads_admit(struct node *node, struct session *session);
/* More of the block is in memory. */
void reads_wake(struct node *node, struct read *read, struct block *block, enum data_tier tier);
/* FAIL, and the end of it. */
void reads_fail(struct node *node, struct read *read, enum err err, usec_t retry_us);
/* Send what is ready, sessions in turn, as far as this step has room. */
void reads_serve(struct node *node);
/* Is there something to send that needs no other event? */
bool reads_can_serve(const struct node *node);

void reads_on_gone(struct node *node, struct ask *ask);
void reads_on_disk(struct node *node, struct read *read, enum err err);
enum call_more reads_on_answer(struct node *node, const struct call *call,
                               const struct message *message, struct payload payload);
void reads_on_failure(struct node *node, const struct call *call, enum err err);

/* How the owner question stands for a read. */
struct read_want {
    struct span selector;
    struct span silent;
    struct place place;
    bool acting;
    bool owner;
};
struct read_want reads_want(struct node *node, const struct read *read);

/* serve.c: one DATA from a buffer, within the budget of the session. */
struct serve {
    struct session *session;
    struct link_id link;
    uint64_t request;
    struct buffer *buffer;
    uint32_t base;   /* of the buffer, within the block */
    uint32_t offset; /* of the part, within the block */
    uint32_t size;
    bool more;
    bool announced; /* a PENDING goes ahead */
    enum data_tier tier;
};
void serve_part(struct node *node, const struct serve *part);
void serve_count(struct node *node, enum data_tier tier, uint64_t bytes, bool first);
/* A request was answered in full. */
void serve_count_answer(struct node *node, usec_t waited_us);
