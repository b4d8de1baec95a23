/* tests/fuzz/fuzz_root.c: roots from strangers, with and without a right checksum. What opens is in
 * order, and written again it opens to the same shards. */
#include <stdlib.h>

#include "base/crc.h"
#include "wire/dir.h"

#define RAW_MAX 4096u
#define HEAD 88u   /* of a root (wire/dir.c), at least */
#define FIXED 90u  /* with the size of a prefix */
#define RECORD 28u /* of a shard */
#define AT_FILES 48
#define AT_DIRECTORIES 56

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span write_again(const struct root *root)
{
    static uint8_t buffer[ROOT_SIZE_MAX];
    struct root_writer writer;
    CHECK(root_writer_init(&writer, buffer, sizeof buffer, root->prefix) == ERR_OK);
    for (uint32_t i = 0; i < root->shards; i++) {
        struct root_shard shard;
        root_shard(root, i, &shard);
        CHECK(root_writer_add(&writer, &shard) == ERR_OK);
    }
    return span_of(buffer, root_writer_end(&writer, &root->head));
}

static void check_head(const struct root_head *a, const struct root_head *b)
{
    CHECK(dir_id_equal(a->dir, b->dir) && a->generation == b->generation);
    CHECK(a->listed_wall_us == b->listed_wall_us && a->bytes == b->bytes);
    CHECK(a->files == b->files && a->directories == b->directories);
    CHECK(a->hidden == b->hidden && a->digest == b->digest);
}

static void check_root(const struct root *root)
{
    struct root back;
    CHECK(root_open(write_again(root), &back) == ERR_OK);
    CHECK(back.shards == root->shards && span_equal(back.prefix, root->prefix));
    check_head(&root->head, &back.head);
    for (uint32_t i = 0; i < root->shards; i++) {
        struct root_shard a;
        struct root_shard b;
        uint32_t index = UINT32_MAX;
        root_shard(root, i, &a);
        root_shard(&back, i, &b);
        CHECK(span_equal(a.lower, b.lower) && a.place.v == b.place.v);
        CHECK(a.entries == b.entries && a.page_bytes == b.page_bytes);
        CHECK(a.page_crc == b.page_crc);
        CHECK(root_shard_for(root, a.lower, &index) && index == i);
    }
}

/* Open `size` bytes of `bytes` with a right checksum, in memory of this size exactly, so that a step
 * outside is seen. */
static void try_sealed(const uint8_t *bytes, size_t size)
{
    struct root root;
    uint8_t *copy = malloc(size);
    CHECK(copy != NULL);
    memcpy(copy, bytes, size);
    put_u64(copy + size - 8, crc64(0, copy, size - 8));
    if (root_open(span_of(copy, size), &root) == ERR_OK) {
        check_root(&root);
    }
    free(copy);
}

/* Most random bytes fail at the head. Here the head, as long as it claims, and the table of offsets
 * are made to fit the records between them, by the sizes they claim; what is left over is cut off. */
static void try_mended(const uint8_t *data, size_t size)
{
    static uint8_t bytes[RAW_MAX + 4 * RAW_MAX + 8];
    static uint32_t offsets[RAW_MAX];
    uint64_t entries = 0;
    if (size < HEAD || size > RAW_MAX) {
        return;
    }
    memcpy(bytes, data, size);
    size_t at = get_u16(data + 6);
    uint32_t count = 0;
    at = at < HEAD ? HEAD : at < size ? at : size;
    put_u16(bytes + 6, (uint16_t)at);
    if (at >= FIXED) {
        put_u16(bytes + HEAD, bytes[HEAD]); /* of the prefix: it may fit */
    }
    while (size - at >= RECORD && get_u16(bytes + at) >= 2 && get_u16(bytes + at) <= size - at) {
        entries += get_u32(bytes + at + 12);
        offsets[count] = (uint32_t)at;
        at += get_u16(bytes + at);
        count++;
    }
    memcpy(bytes, "AROT\1", 6); /* magic, version */
    put_u32(bytes + 8, count);
    put_u32(bytes + 12, (uint32_t)at);
    put_u64(bytes + AT_FILES, entries - (bytes[AT_FILES] <= entries ? bytes[AT_FILES] : 0));
    put_u64(bytes + AT_DIRECTORIES, entries - get_u64(bytes + AT_FILES));
    for (uint32_t i = 0; i < count; i++) {
        put_u32(bytes + at + (size_t)4 * i, offsets[i]);
    }
    try_sealed(bytes, at + (size_t)4 * count + 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct root root;
    if (root_open(span_of(data, size), &root) == ERR_OK) {
        check_root(&root);
    }
    if (size >= 8) {
        try_sealed(data, size);
        try_mended(data, size);
    }
    return 0;
}
