/* fs/core/tree.h: names and directories: name.c, inode.c, folder.c, sheet.c. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "fs/core/cell.h"
#include "fs/core/mount.h"
#include "wire/dir.h"
#include "wire/message.h"

struct mount;
struct call;
struct op;
struct block;
struct inode;
struct folder;
struct sheet;
struct peer;
struct listing;
struct piece;

/* ---- name.c: paths, rows and keys ----------------------------------------------------------- */

/* Path of a directory or file in the dataset, without slashes at its ends, into `buffer` of
 * PATH_MAX_SIZE. false: too long. */
bool name_path(const struct mount *m, const struct inode *inode, uint8_t *buffer, struct span *out);
/* Row that shows this path, or ROW_NONE. */
uint32_t name_row(const struct mount *m, struct span path);
/* Prefix of a directory's keys in its source, into `buffer` of KEY_MAX. false: too long. */
bool name_prefix(const struct mount *m, const struct inode *dir, uint8_t *buffer, struct span *out);
/* Directories that exist only because rows lie below them: the i-th one under `dir`, by name. */
bool name_below(const struct mount *m, const struct inode *dir, uint32_t index, struct span *out);
bool name_is_below(const struct mount *m, const struct inode *dir, struct span name);

/* ---- inode.c -------------------------------------------------------------------------------- */

struct inode {
    struct map_node by_name; /* only while `current` */
    struct list lru;
    struct list drop; /* m->drops */
    uint64_t lookups; /* the kernel's references */
    uint64_t st_ino;
    uint64_t size;
    int64_t mtime_us;
    struct place place;
    usec_t fresh_us;     /* the name stands for this version at least until then */
    uint64_t listed;     /* generation of the listing that said so; 0: none */
    uint8_t id[ID_SIZE]; /* struct object_id of a file, struct dir_id of a directory */
    struct cell_ref name;
    struct cell_ref pin;
    uint32_t slot;
    uint32_t generation;
    uint32_t parent; /* slot */
    uint32_t children;
    uint32_t row; /* of a directory: what shows it */
    bool used;
    bool dir;
    bool has_id;
    bool current; /* it is what its name stands for */
    bool stale;   /* its version is gone from the source */
    bool expire;  /* how it leaves the kernel: drops are removals or mere doubts */
};

size_t inode_memory(const struct mount_options *options);
enum err inode_init(struct mount *m, struct arena *mem) MUST_USE;
/* The root exists from now on: the dataset is known. */
void inode_root(struct mount *m);
struct inode *inode_at(const struct mount *m, uint64_t ino);
uint64_t inode_ino(const struct inode *inode);
struct inode *inode_parent(const struct mount *m, const struct inode *inode);
struct inode *inode_find(const struct mount *m, const struct inode *parent, struct span name);
/* What a listing says about one name. */
struct inode_facts {
    struct entry entry; /* its pin is empty for a directory */
    usec_t fresh_us;
    uint64_t listed;
};
/* The inode of this version of this name, made when there is none; NULL: the table is full. */
struct inode *inode_make(struct mount *m, struct inode *parent, const struct inode_facts *facts);
void inode_forget(struct mount *m, uint64_t ino, uint64_t count);
void inode_touch(struct mount *m, struct inode *inode);
void inode_attr(const struct mount *m, const struct inode *inode, struct mount_attr *out);
void inode_entry(struct mount *m, struct inode *inode, struct mount_entry *out);
uint64_t inode_st_ino(uint64_t parent_st_ino, struct span name);
/* Tell the kernel: the name may mean something else now. */
void inode_drop(struct mount *m, struct inode *inode, bool expire);
void inode_drop_pump(struct mount *m);
/* Ask the kernel to let go of the names used least lately. */
void inode_shrink(struct mount *m);
bool inode_is_crowded(const struct mount *m);
/* Everything the kernel knows is in doubt (a refresh). */
void inode_expire_all(struct mount *m);
void inode_changed(struct mount *m, struct inode *inode);

/* ---- folder.c: directories: roots and pages ------------------------------------------------- */

/* One root record, held by its folder and by open handles. */
struct listing {
    uint32_t refs;
    struct folder *folder;
    uint8_t *bytes;
    uint32_t size;
    struct root root;
    usec_t fresh_us;    /* mono; believed without asking until then */
    usec_t received_us; /* mono */
    bool broken;        /* a page of it is nowhere */
};

struct folder {
    struct map_node by_id;
    struct list lru;
    struct dir_id id;
    uint32_t row;
    struct cell_ref prefix;
    struct listing *listing; /* the newest one; may be NULL */
    struct call *call;
    struct list waiters;
    uint32_t listings;   /* that point here */
    uint32_t users;      /* requests that look a name up in it */
    uint64_t opened;     /* generation that opendir gave last: what the kernel may have cached */
    uint32_t losses;     /* listings in a row of which a page was nowhere */
    uint64_t newer_than; /* this generation is stale; 0: none is */
    /* Small files read in the order of the directory (ahead.c). */
    struct {
        uint64_t generation;
        uint32_t shard;
        uint32_t last;  /* entry read last */
        uint32_t ahead; /* asked for up to here */
        uint32_t window;
    } batch;
};

struct sheet {
    struct map_node by_id;
    struct list lru;
    struct dir_id dir;
    struct source_id source;
    uint64_t generation;
    uint32_t index;
    uint32_t reserved;
    uint64_t crc;
    uint32_t entries;
    uint8_t fence[ENTRY_NAME_MAX];
    uint8_t fence_size;
    struct call *call;   /* until it is here */
    struct piece *piece; /* NULL until it is here */
    struct page page;
    struct list waiters;
    struct listing *listing; /* while it is asked for: marked broken when nobody has it */
};

size_t folder_memory(const struct mount_options *options);
enum err folder_init(struct mount *m, struct arena *mem) MUST_USE;
/* The folder of a directory that a row shows. NULL: tables are full. */
struct folder *folder_get(struct mount *m, struct inode *dir);
struct folder *folder_find(const struct mount *m, struct dir_id id);
/* The listing a request that began at `since_us` may use, or NULL: ask. */
struct listing *folder_listing(struct mount *m, struct folder *folder, usec_t since_us);
/* Ask for the root, once for all who wait. false: no call is free. */
bool folder_fetch(struct mount *m, struct folder *folder);
/* How long to wait before asking again for a listing whose pages get lost. */
usec_t folder_pause(const struct folder *folder);
/* A root that came as an answer to a question sent at `sent_us`. */
struct root_answer {
    struct span root;
    usec_t sent_us;
    uint64_t fresh_us;
};
/* ERR_CORRUPT and the like, or ERR_NOMEM. */
enum err folder_install(struct mount *m, struct folder *folder, const struct root_answer *answer)
    MUST_USE;
/* How long an answer is believed. */
usec_t folder_fresh(usec_t sent_us, uint64_t fresh_us);
void folder_on_root(struct mount *m, struct call *call, const struct message_dir_root *answer);
void folder_failed(struct mount *m, struct call *call, enum err err);
void folder_encode(struct mount *m, struct call *call, struct message_dir_get *out);
void folder_ref(struct listing *listing);
void folder_unref(struct mount *m, struct listing *listing);
/* Nothing that was listed until now is believed without asking. */
void folder_expire_all(struct mount *m);
void folder_changed(struct mount *m, struct dir_id id, uint64_t generation);

/* ---- sheet.c: pages of directories ---------------------------------------------------------- */

size_t sheet_memory(const struct mount_options *options);
enum err sheet_init(struct mount *m, struct arena *mem) MUST_USE;
/* A page of a listing, here or asked for. NULL: no room for it now. */
struct sheet *sheet_get(struct mount *m, struct listing *listing, uint32_t index);
/* The same, only when it is here already. */
struct sheet *sheet_find(struct mount *m, const struct listing *listing, uint32_t index);
static inline bool sheet_is_here(const struct sheet *sheet)
{
    return sheet->piece != NULL;
}
bool sheet_on_shard(struct mount *m, struct call *call, const struct message_shard *answer,
                    struct payload payload);
void sheet_failed(struct mount *m, struct call *call, enum err err);
void sheet_encode(struct mount *m, struct call *call, struct message_shard_get *out);
bool sheet_evict(struct mount *m);
