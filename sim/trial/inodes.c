/* sim/trial/inodes.c: a table that grows. */
#include "sim/trial/inodes.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

struct told {
    uint64_t ino; /* 0: free */
    uint64_t meaning;
};

struct inodes {
    struct told *at;
    uint32_t log2;
    uint32_t count;
};

struct inodes *inodes_new(void)
{
    struct inodes *inodes = calloc(1, sizeof *inodes);
    CHECK(inodes != NULL);
    inodes->log2 = 10;
    inodes->at = calloc(1u << inodes->log2, sizeof *inodes->at);
    CHECK(inodes->at != NULL);
    return inodes;
}

void inodes_free(struct inodes **inodes)
{
    free((*inodes)->at);
    free(*inodes);
    *inodes = NULL;
}

/* Where it is, or would be. */
static struct told *find(const struct inodes *inodes, uint64_t ino)
{
    const uint32_t mask = (1u << inodes->log2) - 1;
    uint32_t place = (uint32_t)hash64_mix(ino, 1) & mask;
    while (inodes->at[place].ino != 0 && inodes->at[place].ino != ino) {
        place = (place + 1) & mask;
    }
    return &inodes->at[place];
}

static void grow(struct inodes *inodes)
{
    struct told *old = inodes->at;
    const uint32_t size = 1u << inodes->log2;
    inodes->log2++;
    inodes->at = calloc(1u << inodes->log2, sizeof *inodes->at);
    CHECK(inodes->at != NULL);
    for (uint32_t i = 0; i < size; i++) {
        if (old[i].ino != 0) {
            *find(inodes, old[i].ino) = old[i];
        }
    }
    free(old);
}

bool inodes_tell(struct inodes *inodes, uint64_t ino, struct span path, uint64_t version)
{
    const uint64_t meaning = hash64(path.data, path.size, version);
    struct told *told = find(inodes, ino);
    if (told->ino == ino) {
        return told->meaning == meaning;
    }
    *told = (struct told){ .ino = ino, .meaning = meaning };
    inodes->count++;
    if (inodes->count > (1u << inodes->log2) / 2) {
        grow(inodes);
    }
    return true;
}
