#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/rng.h"
#include "node/core/record.h"
#include "node/io/disk_actor.h"
#include "node/io/item.h"

#define PAYLOAD 200000u
#define RECORDS 5u
#define LARGE (2u << 20)

struct tier {
    char dir[64];
    char uuid[DISK_UUID_SIZE];
    char why_room[512];
    struct queue *out;
    struct disk_actor *disk;
    uint8_t *payload; /* of every record the same, xor its index */
};

static int set_up(void **state)
{
    struct tier *tier = calloc(1, sizeof *tier);
    struct rng rng;
    strcpy(tier->dir, "/tmp/atoll-test-tier-XXXXXX");
    assert_non_null(mkdtemp(tier->dir));
    assert_int_equal(queue_new(&tier->out), ERR_OK);
    tier->payload = malloc(PAYLOAD);
    rng_init(&rng, 5, 5);
    for (uint32_t i = 0; i < PAYLOAD; i++) {
        tier->payload[i] = (uint8_t)rng_next(&rng);
    }
    *state = tier;
    return 0;
}

static void drain(struct tier *tier)
{
    struct queue_item *next = queue_take(tier->out);
    while (next != NULL) {
        struct item *item = item_of(next);
        next = next->next;
        item->free(item);
    }
}

static int tear_down(void **state)
{
    struct tier *tier = *state;
    char command[128];
    disk_actor_stop(&tier->disk);
    drain(tier);
    queue_free(&tier->out);
    snprintf(command, sizeof command, "rm -rf %s", tier->dir);
    assert_int_equal(system(command), 0);
    free(tier->payload);
    free(tier);
    return 0;
}

static enum err start(struct tier *tier, uint64_t quota, const char *uuid)
{
    const struct disk_actor_options options = {
        .out = tier->out, .tier = 2, .dir = tier->dir, .quota = quota, .uuid = uuid
    };
    struct text why;
    text_init(&why, tier->why_room, sizeof tier->why_room);
    return disk_actor_start(&options, &tier->disk, tier->uuid, &why);
}

static struct item *next_item(struct tier *tier)
{
    struct queue_item *item = queue_pop(tier->out, SEC(60));
    assert_non_null(item);
    return item_of(item);
}

/* How many records the scan told; *next is the next segment. */
static uint32_t wait_ready(struct tier *tier, uint32_t *next, struct disk_record *records)
{
    uint32_t count = 0;
    struct item *item = next_item(tier);
    while (item->event.kind == NODE_DISK_RECORD) {
        assert_int_equal(item->event.disk_record.tier, 2);
        if (count < RECORDS) {
            records[count] = item->event.disk_record.record;
        }
        count++;
        item->free(item);
        item = next_item(tier);
    }
    assert_int_equal(item->event.kind, NODE_DISK_READY);
    assert_int_equal(item->event.disk_ready.err, ERR_OK);
    *next = item->event.disk_ready.next_segment;
    item->free(item);
    return count;
}

static enum err wait_end(struct tier *tier, uint64_t id)
{
    struct item *item = next_item(tier);
    assert_int_equal(item->event.kind, NODE_DISK);
    assert_int_equal(item->event.disk.id, id);
    const enum err err = item->event.disk.err;
    item->free(item);
    return err;
}

static void make_header(const struct tier *tier, uint32_t index, uint8_t *header)
{
    uint8_t checksums[8 * 4];
    const struct source_id source = { { 9 } };
    const struct object_id object =
        object_id_make(source, span_text("a/b"), span_text("pin"), 4u << 20);
    struct record record = { .block = { .object = object, .index = index },
                             .source = source,
                             .object_size = (uint64_t)(index + 1) * (4u << 20),
                             .block_size = 4u << 20,
                             .payload_size = PAYLOAD,
                             .key = span_text("a/b"),
                             .pin = span_text("pin"),
                             .checksums = checksums };
    for (uint32_t i = 0; i < chunk_count(PAYLOAD); i++) {
        const uint32_t at = i * CHUNK_SIZE;
        const uint32_t size = PAYLOAD - at < CHUNK_SIZE ? PAYLOAD - at : CHUNK_SIZE;
        put_u64(checksums + i * 8, crc64(0, tier->payload + at, size));
    }
    record_encode(&record, header);
}

/* RECORDS records, two to a segment. */
static void write_records(struct tier *tier)
{
    uint8_t header[RECORD_HEADER_SIZE];
    for (uint32_t i = 0; i < RECORDS; i++) {
        make_header(tier, i, header);
        struct node_effect effect = { .kind = NODE_DISK_WRITE,
                                      .disk_write = { .id = 100 + i,
                                                      .tier = 2,
                                                      .segment = i / 2,
                                                      .offset = i % 2 * record_size(PAYLOAD),
                                                      .header = span_of(header, sizeof header),
                                                      .payload =
                                                          span_of(tier->payload, PAYLOAD) } };
        assert_int_equal(disk_actor_do(tier->disk, &effect), ERR_OK);
        assert_int_equal(wait_end(tier, 100 + i), ERR_OK);
    }
}

static enum err read_back(struct tier *tier, const struct disk_record *record, uint32_t offset,
                          uint32_t size)
{
    static uint8_t data[PAYLOAD];
    uint8_t checksums[8 * 4];
    struct node_effect effect = { .kind = NODE_DISK_READ,
                                  .disk_read = { .id = 7,
                                                 .tier = 2,
                                                 .record = *record,
                                                 .offset = offset,
                                                 .size = size,
                                                 .data = data,
                                                 .checksums = checksums } };
    assert_int_equal(disk_actor_do(tier->disk, &effect), ERR_OK);
    const enum err err = wait_end(tier, 7);
    if (err == ERR_OK) {
        const uint32_t first = size < CHUNK_SIZE ? size : CHUNK_SIZE;
        assert_memory_equal(data, tier->payload + offset, size);
        assert_int_equal(get_u64(checksums), crc64(0, data, first));
    }
    return err;
}

static void restart(struct tier *tier)
{
    disk_actor_stop(&tier->disk);
    drain(tier);
    assert_int_equal(start(tier, 1 << 20, tier->uuid), ERR_OK);
}

/* Overwrite bytes of a segment file. */
static void spoil(const struct tier *tier, uint32_t segment, off_t offset, off_t cut)
{
    char path[128];
    snprintf(path, sizeof path, "%s/segments/%08x", tier->dir, segment);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    if (cut >= 0) {
        assert_int_equal(ftruncate(fd, cut), 0);
    } else {
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, offset), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    }
    close(fd);
}

static void what_was_written_is_found_and_read_after_a_restart(void **state)
{
    struct tier *tier = *state;
    struct disk_record records[RECORDS];
    uint32_t next;
    assert_int_equal(start(tier, 1 << 20, NULL), ERR_OK);
    assert_int_equal(wait_ready(tier, &next, records), 0);
    assert_int_equal(next, 0);
    write_records(tier);
    restart(tier);
    assert_int_equal(wait_ready(tier, &next, records), RECORDS);
    assert_int_equal(next, 3);
    for (uint32_t i = 0; i < RECORDS; i++) {
        assert_int_equal(records[i].block.index, i);
        assert_int_equal(records[i].segment, i / 2);
        assert_int_equal(records[i].payload_size, PAYLOAD);
        assert_int_equal(read_back(tier, &records[i], 0, PAYLOAD), ERR_OK);
        assert_int_equal(read_back(tier, &records[i], CHUNK_SIZE, 1000), ERR_CORRUPT);
        assert_int_equal(read_back(tier, &records[i], CHUNK_SIZE, CHUNK_SIZE), ERR_OK);
        assert_int_equal(read_back(tier, &records[i], 3 * CHUNK_SIZE, PAYLOAD - 3 * CHUNK_SIZE),
                         ERR_OK);
    }
}

/* Pages of a file in the kernel's cache. */
static uint32_t cached_pages(const char *path, size_t size)
{
    unsigned char there[LARGE / 4096 + 2];
    uint32_t count = 0;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mincore(map, size, there), 0);
    for (size_t i = 0; i < size / 4096; i++) {
        count += there[i] & 1u;
    }
    munmap(map, size);
    close(fd);
    return count;
}

/* Not every file system writes past the kernel's cache; tmpfs is that cache. */
static bool has_direct_writes(const struct tier *tier, const uint8_t *bytes)
{
    char path[128];
    snprintf(path, sizeof path, "%s/probe", tier->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_DIRECT, 0600);
    if (fd < 0) {
        return false;
    }
    const bool written = write(fd, bytes, LARGE) == LARGE;
    close(fd);
    const bool past = written && cached_pages(path, LARGE) == 0;
    unlink(path);
    return past;
}

/* Its length is no multiple of a page, and what is behind it in memory is none of the disk's. */
static void a_large_block_goes_to_the_disk_past_the_page_cache(void **state)
{
    struct tier *tier = *state;
    const size_t size = LARGE - 1000;
    uint8_t *memory = aligned_alloc(4096, RECORD_HEADER_SIZE + LARGE);
    uint8_t *found = malloc(RECORD_HEADER_SIZE + LARGE);
    char path[128];
    uint32_t next;
    memset(memory, 0x5a, RECORD_HEADER_SIZE + LARGE);
    const bool direct = has_direct_writes(tier, memory);
    assert_int_equal(start(tier, 4 << 20, NULL), ERR_OK);
    assert_int_equal(wait_ready(tier, &next, NULL), 0);
    struct node_effect effect = { .kind = NODE_DISK_WRITE,
                                  .disk_write = {
                                      .id = 3,
                                      .header = span_of(memory, RECORD_HEADER_SIZE),
                                      .payload = span_of(memory + RECORD_HEADER_SIZE, size) } };
    assert_int_equal(disk_actor_do(tier->disk, &effect), ERR_OK);
    assert_int_equal(wait_end(tier, 3), ERR_OK);
    snprintf(path, sizeof path, "%s/segments/%08x", tier->dir, 0);
    assert_true(!direct || cached_pages(path, record_size(size)) == 0);
    int fd = open(path, O_RDONLY);
    ssize_t got = read(fd, found, RECORD_HEADER_SIZE + LARGE);
    close(fd);
    assert_true(got >= (ssize_t)(RECORD_HEADER_SIZE + size));
    assert_memory_equal(found, memory, RECORD_HEADER_SIZE + size);
    for (ssize_t i = RECORD_HEADER_SIZE + (ssize_t)size; i < got; i++) {
        assert_int_equal(found[i], 0);
    }
    free(found);
    free(memory);
}

static void a_flipped_bit_is_never_given_out(void **state)
{
    struct tier *tier = *state;
    struct disk_record records[RECORDS];
    uint32_t next;
    assert_int_equal(start(tier, 1 << 20, NULL), ERR_OK);
    wait_ready(tier, &next, records);
    write_records(tier);
    spoil(tier, 0, RECORD_HEADER_SIZE + 70000, -1); /* payload of the first, second chunk */
    spoil(tier, 1, 100, -1);                        /* header of the third */
    restart(tier);
    /* The third ends its segment's list: the fourth is behind it. */
    assert_int_equal(wait_ready(tier, &next, records), 3);
    assert_int_equal(read_back(tier, &records[0], 0, PAYLOAD), ERR_CORRUPT);
    assert_int_equal(read_back(tier, &records[0], 0, CHUNK_SIZE), ERR_OK); /* the chunk before */
    assert_int_equal(read_back(tier, &records[1], 0, PAYLOAD), ERR_OK);
    assert_int_equal(records[2].block.index, 4);
}

static void what_lies_behind_a_bad_record_takes_no_room(void **state)
{
    struct tier *tier = *state;
    struct disk_record records[RECORDS];
    struct stat file;
    char path[128];
    uint32_t next;
    assert_int_equal(start(tier, 1 << 20, NULL), ERR_OK);
    wait_ready(tier, &next, records);
    write_records(tier);
    spoil(tier, 0, record_size(PAYLOAD) + 100, -1); /* header of the second */
    restart(tier);
    assert_int_equal(wait_ready(tier, &next, records), RECORDS - 1);
    snprintf(path, sizeof path, "%s/segments/%08x", tier->dir, 0);
    assert_int_equal(stat(path, &file), 0);
    assert_true((uint64_t)file.st_size <= record_size(PAYLOAD));
}

static void a_torn_tail_is_a_miss(void **state)
{
    struct tier *tier = *state;
    struct disk_record records[RECORDS];
    uint32_t next;
    assert_int_equal(start(tier, 1 << 20, NULL), ERR_OK);
    wait_ready(tier, &next, records);
    write_records(tier);
    spoil(tier, 2, 0, RECORD_HEADER_SIZE + 10);
    spoil(tier, 1, 0, record_size(PAYLOAD) + 10);
    restart(tier);
    assert_int_equal(wait_ready(tier, &next, records), 3);
    assert_int_equal(next, 3); /* its number is not used again */
}

static void a_dropped_segment_is_gone(void **state)
{
    struct tier *tier = *state;
    struct disk_record records[RECORDS];
    uint32_t next;
    struct node_effect drop = { .kind = NODE_DISK_DROP, .disk_drop = { .tier = 2, .segment = 1 } };
    assert_int_equal(start(tier, 1 << 20, NULL), ERR_OK);
    wait_ready(tier, &next, records);
    write_records(tier);
    assert_int_equal(disk_actor_do(tier->disk, &drop), ERR_OK);
    restart(tier);
    assert_int_equal(wait_ready(tier, &next, records), 3);
    records[0].segment = 1;
    assert_int_equal(read_back(tier, &records[0], 0, PAYLOAD), ERR_CORRUPT);
}

static void a_record_of_another_block_is_a_miss(void **state)
{
    struct tier *tier = *state;
    struct disk_record records[RECORDS];
    uint32_t next;
    assert_int_equal(start(tier, 1 << 20, NULL), ERR_OK);
    wait_ready(tier, &next, records);
    write_records(tier);
    restart(tier);
    wait_ready(tier, &next, records);
    records[0].block.index = 3;
    assert_int_equal(read_back(tier, &records[0], 0, PAYLOAD), ERR_CORRUPT);
}

static void a_quota_above_the_disk_is_refused(void **state)
{
    struct tier *tier = *state;
    assert_int_equal(start(tier, 1ull << 60, NULL), ERR_INVALID);
    assert_non_null(strstr(tier->why_room, "is more than there is"));
    assert_null(tier->disk);
}

static void a_disk_that_is_not_mounted_is_told(void **state)
{
    struct tier *tier = *state;
    char marker[128];
    assert_int_equal(start(tier, 1 << 20, NULL), ERR_OK);
    disk_actor_stop(&tier->disk);
    drain(tier);
    snprintf(marker, sizeof marker, "%s/atoll-tier.json", tier->dir);
    assert_int_equal(unlink(marker), 0);
    assert_int_equal(start(tier, 1 << 20, tier->uuid), ERR_INVALID);
    assert_non_null(strstr(tier->why_room, "is the disk mounted?"));
    assert_int_equal(access(marker, F_OK), -1);
}

static void another_disk_in_its_place_is_refused(void **state)
{
    struct tier *tier = *state;
    assert_int_equal(start(tier, 1 << 20, NULL), ERR_OK);
    disk_actor_stop(&tier->disk);
    drain(tier);
    assert_int_equal(start(tier, 1 << 20, "00112233445566778899aabbccddeeff"), ERR_INVALID);
    assert_non_null(strstr(tier->why_room, "not the disk"));
}

static void a_directory_of_somebody_else_is_refused(void **state)
{
    struct tier *tier = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/thesis.txt", tier->dir);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    assert_int_equal(start(tier, 1 << 20, NULL), ERR_INVALID);
    assert_non_null(strstr(tier->why_room, "empty directory"));
}

static void one_directory_has_one_node(void **state)
{
    struct tier *tier = *state;
    struct tier other = *tier;
    assert_int_equal(start(tier, 1 << 20, NULL), ERR_OK);
    assert_int_equal(start(&other, 1 << 20, NULL), ERR_INVALID);
    assert_non_null(strstr(other.why_room, "another node"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_found_and_read_after_a_restart, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_large_block_goes_to_the_disk_past_the_page_cache, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_flipped_bit_is_never_given_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_lies_behind_a_bad_record_takes_no_room, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_torn_tail_is_a_miss, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dropped_segment_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_record_of_another_block_is_a_miss, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_quota_above_the_disk_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_disk_that_is_not_mounted_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_disk_in_its_place_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_of_somebody_else_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_directory_has_one_node, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
