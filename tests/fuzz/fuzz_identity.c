/* tests/fuzz/fuzz_identity.c: what a node finds in its --data-dir and on its disks: node.json,
 * tiers.json and a tier's marker, a zero byte between them. A damaged one is refused; a node never
 * starts again with an incarnation that is not newer. */
#include "gossip/datagram.h"
#include "node/io/disk_files.h"
#include "node/io/identity.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_identity(const char *dir, struct text *why)
{
    struct identity *identity = NULL;
    if (identity_open(dir, &identity, why) != ERR_OK) {
        CHECK(identity == NULL && why->used > 0);
        return;
    }
    CHECK(!node_id_is_zero(identity_id(identity)));
    uint64_t first = identity_incarnation(identity, 0);
    CHECK(first > 0 && first < DATAGRAM_INCARNATION_MAX);
    (void)identity_tier(identity, "/a");
    identity_close(&identity);
}

static void try_tier(const char *dir, struct text *why)
{
    struct disk_files *files = NULL;
    if (disk_files_open(dir, 1 << 20, NULL, &files, why) != ERR_OK) {
        CHECK(files == NULL && why->used > 0);
        return;
    }
    CHECK(strlen(disk_files_uuid(files)) == 32);
    disk_files_close(&files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    char line[1024];
    struct text why;
    struct span rest = span_of(data, size);
    if (!made) {
        scratch_link("node.json", 0);
        scratch_link("tiers.json", 1);
        scratch_link("atoll-tier.json", 2);
        made = true;
    }
    (void)scratch_file(0, scratch_take(&rest, 0));
    (void)scratch_file(1, scratch_take(&rest, 0));
    (void)scratch_file(2, rest);
    text_init(&why, line, sizeof line);
    try_identity(scratch_dir(), &why);
    text_init(&why, line, sizeof line);
    try_tier(scratch_dir(), &why);
    return 0;
}
