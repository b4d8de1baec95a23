/* tests/unit/node/core/shelf.h: a lab with metadata: each node's store, an object store that lists,
 * operators, and mounts that ask for directories. */
#pragma once
#include "tests/unit/node/core/lab.h"
#include "wire/dir.h"

#define SHELF_KEYS_MAX 20000
#define SHELF_ANSWERS_MAX 64
#define SHELF_PLANS_MAX 16

struct shelf_key {
    char *key;
    char pin[16];
    uint64_t size;
    int64_t mtime_us;
};

/* One record of a node's store. */
struct shelf_record {
    struct shelf_record *next;
    enum meta_space space;
    uint8_t *key;
    size_t key_size;
    uint8_t *value;
    size_t value_size;
};

struct shelf_answer {
    uint64_t admin;
    enum err err;
    char *text;
};

struct shelf {
    struct lab *lab;
    struct lab_hooks hooks;
    struct shelf_record *records[LAB_NODES];
    struct shelf_key keys[SHELF_KEYS_MAX]; /* sorted */
    uint32_t key_count;
    size_t region_size; /* of each node */
    usec_t list_us;     /* latency */
    usec_t head_us;
    uint32_t page;   /* keys a listing gives at once */
    uint32_t lists;  /* of whole directories */
    uint32_t probes; /* LIST of a single key */
    uint32_t heads;
    uint32_t puts;
    uint32_t put_pages;
    uint32_t sources;
    enum err fail_lists;             /* every one, while it is set */
    enum err fail_heads;             /* the same */
    bool mute_heads;                 /* ... without a word */
    enum err plans[SHELF_PLANS_MAX]; /* of the next ones */
    uint32_t plan_count;
    enum err fail_puts;     /* every META_PUT of a page or root */
    enum err fail_datasets; /* ... of a dataset */
    bool fail_roots;        /* ... of a root alone */
    struct shelf_answer answers[SHELF_ANSWERS_MAX];
    uint32_t answer_count;
    uint64_t next_admin;
    uint64_t digests[LAB_NODES];
    uint32_t warnings;
    char log[8192];         /* what was logged, a line each */
    struct dataset dataset; /* every node has it at its first start */
    bool empty_catalog;     /* ... or none */
};

/* The dataset is "train": policy once, source file:///data/, prefix "p/". */
struct shelf *shelf_new(uint32_t nodes);
struct shelf *shelf_new_with(uint32_t nodes, void (*change)(struct shelf *shelf));
void shelf_free(struct shelf *shelf);
/* Put, replace; remove. */
void shelf_put(struct shelf *shelf, const char *key, const char *pin, uint64_t size);
void shelf_remove(struct shelf *shelf, const char *key);

/* An open mount at that node. */
void shelf_mount(struct shelf *shelf, uint32_t client, uint32_t node);
/* DIR_GET; fields that are zero are filled in. Its number. */
uint64_t shelf_dir_get(struct shelf *shelf, uint32_t client, const char *prefix,
                       const struct message_dir_get *get);
/* Ask at the owner of the root and wait until it is answered; the root's bytes are the inbox's. */
struct root shelf_root(struct shelf *shelf, uint32_t client, const char *prefix);
/* What came for a request: the root; false: something else or nothing. */
bool shelf_got_root(const struct shelf *shelf, uint32_t client, uint64_t request, struct root *out);
/* FAIL's error; ERR_OK when there is none. */
enum err shelf_failed(const struct shelf *shelf, uint32_t client, uint64_t request);
/* One entry of a published directory, found as a mount does it: page from the first rank that has it. */
bool shelf_entry(struct shelf *shelf, const struct root *root, const char *name, struct entry *out);
/* All entries of a root, page by page; counts them. */
uint32_t shelf_count(struct shelf *shelf, const struct root *root);

/* Rank `rank` of a place; of a directory's root. */
uint32_t shelf_rank(const struct shelf *shelf, struct place place, uint32_t rank);
uint32_t shelf_owner(const struct shelf *shelf, const char *prefix);
struct dir_id shelf_dir(const struct shelf *shelf, const char *prefix);

/* An operator asks; the number of the answer. */
uint64_t shelf_admin(struct shelf *shelf, uint32_t node, enum admin_kind kind,
                     struct span argument);
/* NULL: not answered yet. */
const struct shelf_answer *shelf_answer(const struct shelf *shelf, uint64_t admin);
uint64_t shelf_create(struct shelf *shelf, uint32_t node, const struct dataset *dataset);
/* Is that record in the node's store? */
bool shelf_has(const struct shelf *shelf, uint32_t node, enum meta_space space, struct span key);
