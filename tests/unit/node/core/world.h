/* tests/unit/node/core/world.h: one to four whole nodes, clients, a source and disks, in one thread
 * under a virtual clock. What is sent arrives 100 us later, in order; nothing is lost. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/marks.h"
#include "node/core/internal.h"
#include "node/core/node.h"
#include "node/core/record.h"
#include "wire/message.h"

#define WORLD_NODES 4
#define WORLD_CLIENTS 4
#define WORLD_RANGES 512
#define WORLD_BLOCK 262144u
#define WORLD_PLANS 32
#define INBOX_MAX 2048

struct world;

/* A message that came to a client. */
struct received {
    struct message message;
    usec_t at_us;
    bool control;
    uint8_t *frame;
    uint8_t *payload;
    uint32_t payload_size;
};

struct client {
    uint32_t node;
    bool open;
    uint64_t control;
    uint64_t data;
    uint8_t session[ID_SIZE];
    enum wire_role role;
    struct node_id id;
    struct received inbox[INBOX_MAX];
    uint32_t count;
    uint64_t next_request;
};

/* What the source does with its next GETs, in order; then all goes well. */
struct plan {
    uint64_t bytes; /* deliver that many, then end with err */
    enum err err;
    usec_t retry_us;
};

struct range { /* delivered by the source */
    uint64_t key;
    uint64_t offset;
    uint64_t size;
};

struct source {
    usec_t latency_us;
    uint32_t step; /* bytes between reports */
    usec_t step_us;
    struct plan plans[WORLD_PLANS];
    uint32_t plan_count;
    uint32_t gets;
    uint64_t bytes;
    struct range ranges[WORLD_RANGES];
    uint32_t range_count;
};

struct disk_record_kept {
    struct disk_record record;
    uint8_t *bytes; /* header and payload */
};

struct disk {
    struct disk_record_kept kept[256];
    uint32_t count;
    usec_t latency_us;
    enum err write_err;
    uint32_t writes;
    uint32_t reads;
    uint32_t drops;
};

struct world_node {
    struct node *node;
    struct node_id id;
    struct node_options options;
    void *arena;
    uint8_t *region;
    struct disk disk;
    bool up;
    bool frozen;
    bool owning;
    bool drained;
    uint32_t evidence;
    uint32_t connects;
    uint64_t most_used; /* of the region */
    usec_t last_us;     /* of its last step */
};

struct world {
    struct world_node nodes[WORLD_NODES];
    uint32_t node_count;
    struct client clients[WORLD_CLIENTS];
    struct source source;
    struct marks marks;
    struct dataset dataset;
    usec_t now_us;
    struct pending *pending; /* in order of time */
    uint64_t next_link;
    uint64_t next_token;
    bool hold_sent; /* receivers are slow: no SENT */
    bool insecure;
    struct cluster_keys keys;
    uint64_t violations;
    struct wire *wires;
    struct received_payload *payloads;
    uint64_t meta_puts;
};

/* A world with `count` nodes in one ring, their links up. region_size and tier quota per node;
 * 0: no tier. */
struct world *world_new(uint32_t count, size_t region_size, uint64_t quota);
void world_free(struct world *world);
/* Let that much time pass. */
void world_run(struct world *world, usec_t us);
/* The process stops, with all it had in memory; and starts again, with what was on its disk. */
void world_kill(struct world *world, uint32_t index);
void world_start(struct world *world, uint32_t index);
/* ... before the disk has told anything. */
void world_start_unscanned(struct world *world, uint32_t index);
/* Tell every node that is up who the members are: those that are up. */
void world_tell_members(struct world *world);
void world_event(struct world *world, uint32_t index, const struct node_event *event);

/* Open control and data links of a mount (or node) to a node. */
void client_open(struct world *world, uint32_t client, uint32_t node);
/* A raw link, before any HELLO; its number. */
uint64_t client_link(struct world *world, uint32_t client, uint32_t node, enum link_purpose purpose,
                     struct link_peer peer);
struct message client_hello(const struct world *world, uint32_t client, enum link_purpose purpose);
void client_send(struct world *world, uint64_t link, const struct message *message);
void client_close(struct world *world, uint64_t link);
/* A good GET of a whole block of object `key` with `size` bytes. */
struct message world_get(struct world *world, const char *key, uint64_t size, uint32_t index);
/* Empty its inbox. */
void client_forget(struct world *world, uint32_t client);
/* Send it to the client's node with a number of its own, which is returned. */
uint64_t client_get(struct world *world, uint32_t client, struct message *get);
/* The last message of that kind for a request; NULL: none. */
const struct received *client_find(const struct client *client, enum message_kind kind,
                                   uint64_t request);
uint32_t client_count(const struct client *client, enum message_kind kind, uint64_t request);
/* Bytes of DATA for a request; checks each against the object, and its checksums. */
uint64_t client_bytes(const struct client *client, uint64_t request, const char *key,
                      uint32_t index);
/* PENDINGs that name it. */
uint32_t client_pendings(const struct client *client, uint64_t request, usec_t *first_us);

/* Byte `offset` of the object. */
uint8_t object_byte(uint64_t key_hash, uint64_t offset);
uint64_t key_hash(const char *key);
/* Did the source deliver any byte twice? */
bool source_repeats(const struct world *world);
/* The place of the block, and who owns it. */
struct place world_place(const struct world *world, const char *key, uint64_t size, uint32_t index);
uint32_t world_owner(struct world *world, const char *key, uint64_t size, uint32_t index);
/* A key of an object of `size` bytes whose first block belongs to that node. */
void world_key_of(struct world *world, uint32_t node, uint64_t size, char key[32]);
/* As world_owner, for any rank. */
uint32_t world_rank(struct world *world, const char *key, uint64_t size, uint32_t index,
                    uint32_t rank);
/* Flip a byte of every record of a node's disk. */
void disk_corrupt(struct world *world, uint32_t node);
