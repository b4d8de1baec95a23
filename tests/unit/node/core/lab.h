/* tests/unit/node/core/lab.h: one to six whole nodes, clients, a source and disks, in one thread
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

#define LAB_NODES 6
#define LAB_CLIENTS 4
#define LAB_RANGES 512
#define LAB_BLOCK 262144u
#define LAB_PLANS 32
#define INBOX_MAX 2048

struct lab;

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
    struct plan plans[LAB_PLANS];
    uint32_t plan_count;
    uint32_t gets;
    uint64_t bytes;
    struct range ranges[LAB_RANGES];
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

struct lab_node {
    struct node *node;
    struct node_id id;
    struct node_options options;
    void *arena;
    uint8_t *region;
    struct disk disk;
    bool up;
    bool leaving; /* its member record says so */
    bool warming; /* or this */
    bool frozen;
    bool owning;
    bool drained;
    uint32_t weight;       /* told to gossip */
    uint32_t weight_tells; /* how often */
    uint32_t weight_kept;  /* for the next start; UINT32_MAX: forgotten */
    enum err weight_keep_err;
    uint32_t evidence;
    uint32_t connects;
    uint64_t most_used; /* of the region */
    usec_t last_us;     /* of its last step */
};

/* What a test plays itself: the metadata store, listings, operators. */
struct lab_hooks {
    void (*tune)(struct node_options *options);
    void (*load)(struct lab *lab, uint32_t index); /* a start: META_RECORDs and META_READY */
    /* true: the effect was theirs. */
    bool (*effect)(struct lab *lab, uint32_t index, const struct node_effect *effect);
    void *context;
};

struct lab {
    const struct lab_hooks *hooks; /* may be NULL */
    struct lab_node nodes[LAB_NODES];
    uint32_t node_count;
    struct client clients[LAB_CLIENTS];
    struct source source;
    struct marks marks;
    struct dataset dataset;
    usec_t now_us;
    usec_t set_us;           /* so far forward wall clocks have been set */
    struct pending *pending; /* in order of time */
    uint64_t next_link;
    uint64_t next_token;
    usec_t sent_us; /* how long a receiver takes to take a payload in; 0: no time */
    bool insecure;
    char cluster[65];
    uint32_t slots_log2;
    uint64_t violations;
    struct wire *wires;
    struct received_payload *payloads;
    uint64_t meta_puts;
};

/* A lab with `count` nodes in one ring, their links up. region_size and tier quota per node;
 * 0: no tier. */
struct lab *lab_new(uint32_t count, size_t region_size, uint64_t quota);
struct lab *lab_new_hooked(uint32_t count, size_t region_size, const struct lab_hooks *hooks);
void lab_free(struct lab *lab);
/* The keys that all nodes start with where hooks->tune has switched `insecure` off: byte 1. */
struct keyring lab_keyring(uint8_t byte);
/* What a node's links prove of it. */
struct link_peer lab_node_peer(const struct lab *lab, uint32_t index, enum link_purpose purpose);
/* Let that much time pass. */
void lab_run(struct lab *lab, usec_t us);
/* The process stops, with all it had in memory; and starts again, with what was on its disk. */
void lab_kill(struct lab *lab, uint32_t index);
void lab_start(struct lab *lab, uint32_t index);
/* ... before the disk has told anything. */
void lab_start_unscanned(struct lab *lab, uint32_t index);
/* It leaves in order, and all are told. */
void lab_leave(struct lab *lab, uint32_t index);
/* As gossip tells of it when it is well. */
struct member lab_member(const struct lab *lab, uint32_t index);
/* Tell every node that is up who the members are: those that are up. */
void lab_tell_members(struct lab *lab);
void lab_event(struct lab *lab, uint32_t index, const struct node_event *event);

/* Open control and data links of a mount (or node) to a node. */
void lab_client_open(struct lab *lab, uint32_t client, uint32_t node);
/* A raw link, before any HELLO; its number. */
uint64_t lab_client_link(struct lab *lab, uint32_t client, uint32_t node, enum link_purpose purpose,
                         struct link_peer peer);
struct message lab_client_hello(const struct lab *lab, uint32_t client, enum link_purpose purpose);
void lab_client_send(struct lab *lab, uint64_t link, const struct message *message);
void lab_client_close(struct lab *lab, uint64_t link);
/* A good GET of a whole block of object `key` with `size` bytes. */
struct message lab_get(struct lab *lab, const char *key, uint64_t size, uint32_t index);
/* Empty its inbox. */
void lab_client_forget(struct lab *lab, uint32_t client);
/* Send it to the client's node with a number of its own, which is returned. */
uint64_t lab_client_get(struct lab *lab, uint32_t client, struct message *get);
/* The last message of that kind for a request; NULL: none. */
const struct received *lab_client_find(const struct client *client, enum message_kind kind,
                                       uint64_t request);
uint32_t lab_client_count(const struct client *client, enum message_kind kind, uint64_t request);
/* Bytes of DATA for a request; checks each against the object, and its checksums. */
uint64_t lab_client_bytes(const struct client *client, uint64_t request, const char *key,
                          uint32_t index);
/* PENDINGs that name it. */
uint32_t lab_client_pendings(const struct client *client, uint64_t request, usec_t *first_us);

/* Byte `offset` of the object. */
uint8_t lab_object_byte(uint64_t lab_key_hash, uint64_t offset);
uint64_t lab_key_hash(const char *key);
/* Did the source deliver any byte twice? */
bool lab_source_repeats(const struct lab *lab);
/* The place of the block, and who owns it. */
struct place lab_place(const struct lab *lab, const char *key, uint64_t size, uint32_t index);
uint32_t lab_owner(struct lab *lab, const char *key, uint64_t size, uint32_t index);
/* A key of an object of `size` bytes whose first block belongs to that node. */
void lab_key_of(struct lab *lab, uint32_t node, uint64_t size, char key[32]);
/* As lab_owner, for any rank. */
uint32_t lab_rank(struct lab *lab, const char *key, uint64_t size, uint32_t index, uint32_t rank);
/* Flip a byte of every record of a node's disk. */
void lab_disk_corrupt(struct lab *lab, uint32_t node);
