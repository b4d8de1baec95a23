/* node/core/lookup.h: one name of a directory that is being listed for the first time.
 *
 * Beside the listing one HEAD (is it a file?) and one listing of a single key below it (is it a
 * directory? then it wins) go out; whichever comes first, they or the whole listing, answers. A
 * small file gets its place here, and the snapshot adopts it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "node/core/dirbuild.h"
#include "node/core/node.h"

#define LOOKUPS_MAX DIRBUILD_ADOPTED_MAX /* beside one listing; who comes later waits for it */

struct snapshot;
struct meta_ask;

enum lookup_state {
    LOOKUP_FREE,
    LOOKUP_ASKED,
    LOOKUP_FOUND,
    LOOKUP_ABSENT,
    LOOKUP_OVER, /* the source failed: the listing decides */
};

struct lookup {
    enum lookup_state state;
    uint64_t head_io;
    uint64_t list_io;
    bool has_file;
    bool no_file;
    bool no_directory;
    uint32_t name_size;
    uint32_t pin_size;
    uint64_t size;
    int64_t mtime_us;
    uint8_t type; /* FOUND: enum entry_type */
    struct place place;
    uint8_t name[ENTRY_NAME_MAX];
    uint8_t pin[PIN_MAX];
};

struct lookups {
    struct lookup of[LOOKUPS_MAX];
};

/* The ask waits for this listing: answer it from a lookup that is over, or start one, where a name
 * is asked for and no earlier generation is known. */
void lookup_join(struct node *node, struct snapshot *snapshot, struct meta_ask *ask);
void lookup_on_head(struct node *node, struct snapshot *snapshot, uint64_t number,
                    const struct node_event *event);
void lookup_on_list(struct node *node, struct snapshot *snapshot, uint64_t number,
                    const struct node_event *event);
void lookup_cancel(struct node *node, struct snapshot *snapshot);
