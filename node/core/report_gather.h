/* node/core/report_gather.h: one question of an operator, asked of several nodes at once.
 *
 * Numbers of a node travel as lines of "name value": readable, and open at the end. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "node/core/dirbuild.h"
#include "node/core/meta.h"
#include "node/core/report_json.h"

#define GATHER_NODES_MAX 128u /* asked at once; a larger cluster is told so */
#define GATHER_OUTAGES_MAX 16u

/* What a node says of itself: NUMBER(field). */
#define REPORT_NUMBERS           \
    NUMBER(ring_digest)          \
    NUMBER(view_digest)          \
    NUMBER(catalog_digest)       \
    NUMBER(memory_used)          \
    NUMBER(memory_size)          \
    NUMBER(disk_used)            \
    NUMBER(disk_quota)           \
    NUMBER(disks_failed)         \
    NUMBER(disks_slow)           \
    NUMBER(weight_wanted)        \
    NUMBER(blocks)               \
    NUMBER(requests_open)        \
    NUMBER(fetches_open)         \
    NUMBER(served_memory)        \
    NUMBER(served_disk)          \
    NUMBER(served_peer)          \
    NUMBER(served_source)        \
    NUMBER(source_gets)          \
    NUMBER(source_lists)         \
    NUMBER(source_heads)         \
    NUMBER(source_bytes)         \
    NUMBER(source_wanted)        \
    NUMBER(source_errors)        \
    NUMBER(acting)               \
    NUMBER(differing)            \
    NUMBER(owning)               \
    NUMBER(keys_hidden)          \
    NUMBER(handover_left)        \
    NUMBER(handover_left_bytes)  \
    NUMBER(handover_taking)      \
    NUMBER(handover_given)       \
    NUMBER(handover_given_bytes) \
    NUMBER(handover_taken)       \
    NUMBER(handover_taken_bytes) \
    NUMBER(credentials_broken)   \
    NUMBER(data_dir_err)         \
    NUMBER(load)                 \
    NUMBER(hot_blocks)           \
    NUMBER(hot_copies)           \
    NUMBER(handed_on)            \
    NUMBER(key_number)           \
    NUMBER(key_id)               \
    NUMBER(newest_number)        \
    NUMBER(newest_id)

struct report_numbers {
#define NUMBER(field) uint64_t field;
    REPORT_NUMBERS
#undef NUMBER
};

enum gather_state { GATHER_WAITS, GATHER_OPEN, GATHER_ANSWERED, GATHER_FAILED };

struct gather_node {
    struct node_id id;
    enum gather_state state;
    uint64_t call;
    struct report_numbers numbers;
    char blocks[REPORT_BLOCKS_MAX]; /* WHERE: a letter each */
};

enum gather_kind { GATHER_STATUS, GATHER_NODES, GATHER_WHERE, GATHER_TOTALS };

/* WHERE: the file. */
struct gather_file {
    struct dataset_id dataset;
    struct source_id source;
    struct dir_id dir;
    uint32_t path_size;
    uint32_t key_size;
    uint32_t name_at; /* of the last part, in the key */
    uint8_t path[DIR_PREFIX_MAX];
    uint8_t key[LISTED_KEY_MAX + 1]; /* of a directory with the slash at its end */
    uint8_t type;
    uint64_t size;
    int64_t mtime_us;
    struct place place;
    uint32_t pin_size;
    uint8_t pin[PIN_MAX];
    uint32_t block_size;
    char selector[SELECTOR_MAX + 1];
    struct object_id object;
    uint64_t block_count;
    uint32_t shown;
};

/* STATUS: an outage as one or more nodes tell it. */
struct gather_outage {
    enum outage_kind kind;
    struct dataset_id dataset;
    struct source_id source;
    enum err err;
    usec_t since_us; /* wall: the earliest */
    usec_t last_us;  /* wall: the latest */
    uint64_t failures;
    struct node_id node; /* the first that told it */
    uint32_t nodes;
    uint32_t said_size;
    char said[OUTAGE_SAID_MAX];
    bool mute; /* as in struct outage */
};

struct gather {
    enum gather_kind kind;
    uint64_t admin;
    struct timer timer;
    usec_t give_up_us;
    bool ringless;        /* WHERE: waits until the ring of its selector is built */
    struct meta_ask *ask; /* WHERE: for the directory */
    struct page_waiter waiter;
    struct gather_file file;
    uint32_t node_count;
    uint32_t next; /* not yet asked */
    uint32_t open;
    bool cut; /* more nodes than could be asked */
    struct gather_outage outages[GATHER_OUTAGES_MAX];
    uint32_t outage_count;
    uint32_t outages_left_out;
    struct gather_node nodes[GATHER_NODES_MAX];
};

/* NULL: too many at once; the operator has been told (admin 0: nobody is). */
struct gather *gather_new(struct node *node, enum gather_kind kind, uint64_t admin);
void gather_free(struct node *node, struct gather *gather);
/* One more node to be asked, once. This node answers for itself at once. */
void gather_add(struct node *node, struct gather *gather, struct node_id id);
/* All living members. */
void gather_add_living(struct node *node, struct gather *gather);
/* Ask; ends in the kind's own function, perhaps at once. */
void gather_start(struct node *node, struct gather *gather);
/* NULL: not among them. */
const struct gather_node *gather_find(const struct gather *gather, struct node_id id);

/* report_outages.c: lines of this node's outages; one such line of a node (false: it is none); all
 * of this node. */
void report_outages_put(struct node *node, struct text *text);
bool report_outages_take(struct gather *gather, struct node_id from, struct span line);
void report_outages_here(struct node *node, struct gather *gather);
/* Prometheus: a series for each outage. */
void report_outages_metrics(struct node *node, struct text *text);

void report_numbers_here(struct node *node, struct report_numbers *out);
/* Letters for blocks first .. first + count of an object: m memory, d disk, f fetching, - absent. */
void report_blocks_here(struct node *node, struct object_id object, uint32_t count, char *out);

/* Begin to write an answer; `bytes` of room are the node's own. */
void report_begin(struct node *node, struct text *text);
/* The member's name; its id when it has none. */
void report_node_name(struct node *node, struct json *json, const char *key, struct node_id id);
const char *report_state_word(enum member_state state);

/* When all have answered, or the time is over. They do not free it. */
void report_status(struct node *node, struct gather *gather);
void report_nodes(struct node *node, struct gather *gather);
void report_where(struct node *node, struct gather *gather);
void report_ring(struct node *node, uint64_t admin);
void report_ring_diff(struct node *node, uint64_t admin, struct span argument);
void report_keys(struct node *node, uint64_t admin);
void report_key_rotate(struct node *node, uint64_t admin, struct span rotation);
/* "3-1f2e3d4c5b6a7988": a key's number and id. */
#define REPORT_KEY_NAME_SIZE 32u
void report_key_name(uint32_t number, uint64_t id, char out[REPORT_KEY_NAME_SIZE]);
/* Answered when the other members have told their totals, or at once when nobody has to be asked. */
void report_dataset_list(struct node *node, uint64_t admin);
void report_dataset_show(struct node *node, uint64_t admin, struct span name);
/* They have: answer those who wait for it. */
void report_datasets_go_on(struct node *node);
/* ADMIN_WHERE: find the entry, then ask its ranks. */
void report_where_start(struct node *node, uint64_t admin, struct span argument);
/* Is its ring built meanwhile? */
void report_where_look(struct node *node, struct gather *gather);
void report_where_on_page(struct node *node, struct page_waiter *waiter,
                          const struct page_bytes *page, enum err err);
