/* node/io/disk_actor.c: reads and writes of one tier.
 * Threads: "disk-write" (writes and drops, in order) and "disk-read" x 2; the first of these scans
 * at start. Owns: the files.   Takes: struct job *, moved in; buffers of the node's region, lent.
 * Gives: items for the peer thread.   Shares: open descriptors (disk_files.h). */
#include "node/io/disk_actor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/crc.h"
#include "node/core/record.h"
#include "node/io/clock.h"
#include "node/io/disk_files.h"
#include "node/io/item.h"
#include "node/io/log.h"
#include "node/io/threads.h"

#define READERS 2
#define DIRECT_MIN (1u << 20) /* smaller ones are gathered better by the kernel than by us */
#define SCAN_AHEAD 4096       /* records told at start that the peer thread has not taken in yet */

struct job {
    struct queue_item queue;
    struct node_effect effect;
    struct item *answer; /* NULL for a drop */
    usec_t begun_us;
};

/* Records that may still be told ahead. Lives until the last item that came from it is freed. */
struct room {
    sem_t free;
    atomic_uint refs;
};

struct disk_actor {
    struct disk_actor_options options;
    struct disk_files *files;
    struct queue *reads;
    struct queue *writes;
    pthread_t threads[1 + READERS];
    uint32_t running;
    atomic_bool stopping;
    atomic_uint readers; /* gives each reader its number */
    struct room *room;
};

/* ---- jobs ------------------------------------------------------------------------------------ */

static void answer(struct disk_actor *disk, struct job *job, enum err err)
{
    job->answer->event.disk.err = err;
    job->answer->event.disk.took_us = clock_mono_us() - job->begun_us;
    queue_push(disk->options.out, &job->answer->queue);
    free(job);
}

/* All of it, or false with errno (0: the file ends before). */
static bool read_at(int fd, void *data, size_t size, uint64_t offset)
{
    uint8_t *to = data;
    while (size > 0) {
        const ssize_t got = pread(fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            errno = got == 0 ? 0 : errno;
            return false;
        }
        to += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

static bool is_same(const struct record *found, const struct disk_record *wanted)
{
    return block_id_equal(found->block, wanted->block) &&
           source_id_equal(found->source, wanted->source) &&
           found->payload_size == wanted->payload_size;
}

/* Bytes and the header that vouches for them. */
static enum err read_checked(int fd, const struct node_effect *effect, uint8_t *header)
{
    const struct disk_record *wanted = &effect->disk_read.record;
    const uint32_t offset = effect->disk_read.offset;
    const uint32_t size = effect->disk_read.size;
    const uint64_t payload_at = (uint64_t)wanted->offset + wanted->header_size;
    struct record record;
    CHECK(offset % CHUNK_SIZE == 0 && offset <= wanted->payload_size &&
          size <= wanted->payload_size - offset);
    if (!read_at(fd, header, RECORD_HEADER_SIZE, wanted->offset) ||
        !read_at(fd, effect->disk_read.data, size, payload_at + offset)) {
        return errno == 0 ? ERR_CORRUPT : ERR_SYSTEM;
    }
    if (record_decode(span_of(header, RECORD_HEADER_SIZE), &record) != ERR_OK ||
        !is_same(&record, wanted)) {
        return ERR_CORRUPT;
    }
    const uint8_t *checksums = record.checksums + (size_t)offset / CHUNK_SIZE * 8;
    for (uint32_t done = 0; done < size; done += CHUNK_SIZE) {
        const uint32_t chunk = size - done < CHUNK_SIZE ? size - done : CHUNK_SIZE;
        const size_t at = (size_t)done / CHUNK_SIZE * 8;
        if (crc64(0, effect->disk_read.data + done, chunk) != get_u64(checksums + at)) {
            return ERR_CORRUPT;
        }
    }
    memcpy(effect->disk_read.checksums, checksums, (size_t)chunk_count(size) * 8);
    if (effect->disk_read.header != NULL) {
        memcpy(effect->disk_read.header, header, RECORD_HEADER_SIZE);
    }
    return ERR_OK;
}

static void do_read(struct disk_actor *disk, struct job *job)
{
    const uint32_t segment = job->effect.disk_read.record.segment;
    job->begun_us = clock_mono_us();
    uint8_t header[RECORD_HEADER_SIZE];
    int fd = disk_files_take(disk->files, segment, false);
    if (fd < 0) {
        answer(disk, job, errno == ENOENT ? ERR_CORRUPT : ERR_SYSTEM);
        return;
    }
    enum err err = read_checked(fd, &job->effect, header);
    disk_files_give(disk->files, segment);
    if (err != ERR_OK) {
        LOG(LOG_WARN, "disk.read.failed", LOG_TEXT("dir", disk->options.dir),
            LOG_NUM("segment", segment), LOG_TEXT("err", err_name(err)));
    }
    answer(disk, job, err);
}

static bool write_all(int fd, struct iovec *parts, int count, uint64_t offset)
{
    while (count > 0) {
        ssize_t put = pwritev(fd, parts, count, (off_t)offset);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return false;
        }
        offset += (uint64_t)put;
        while (count > 0 && (size_t)put >= parts->iov_len) {
            put -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + put;
            parts->iov_len -= (size_t)put;
        }
    }
    return true;
}

static bool is_aligned(const void *data)
{
    return (uintptr_t)data % RECORD_ALIGN == 0;
}

/* Past the page cache: the node has the block in its own memory, so a copy in the kernel's would
 * cost processor and memory (of a container's limit, too). false: not possible here, or failed. */
static bool write_direct(int fd, const struct node_effect *effect)
{
    const struct span header = effect->disk_write.header;
    const struct span payload = effect->disk_write.payload;
    const size_t rest = payload.size % RECORD_ALIGN;
    alignas(RECORD_ALIGN) uint8_t last[RECORD_ALIGN] = { 0 };
    struct iovec parts[3] = {
        { .iov_base = (void *)(uintptr_t)header.data, .iov_len = header.size },
        { .iov_base = (void *)(uintptr_t)payload.data, .iov_len = payload.size - rest },
        { .iov_base = last, .iov_len = sizeof last },
    };
    char path[32];
    if (payload.size < DIRECT_MIN || !is_aligned(header.data) || !is_aligned(payload.data)) {
        return false;
    }
    memcpy(last, payload.data + payload.size - rest, rest);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int direct = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (direct < 0) {
        return false;
    }
    bool done = write_all(direct, parts, rest == 0 ? 2 : 3, effect->disk_write.offset);
    close(direct);
    return done;
}

/* No sync: a block that a power cut tears is a miss. The kernel is told to begin writing at once,
 * so that dirty pages do not pile up and then stall everybody. */
static enum err write_record(int fd, const struct node_effect *effect)
{
    const struct span header = effect->disk_write.header;
    const struct span payload = effect->disk_write.payload;
    struct iovec parts[2] = {
        { .iov_base = (void *)(uintptr_t)header.data, .iov_len = header.size },
        { .iov_base = (void *)(uintptr_t)payload.data, .iov_len = payload.size },
    };
    if (write_direct(fd, effect)) {
        return ERR_OK;
    }
    if (!write_all(fd, parts, 2, effect->disk_write.offset)) {
        return errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_SYSTEM;
    }
    sync_file_range(fd, effect->disk_write.offset, (off_t)(header.size + payload.size),
                    SYNC_FILE_RANGE_WRITE);
    return ERR_OK;
}

static void do_write(struct disk_actor *disk, struct job *job)
{
    const uint32_t segment = job->effect.disk_write.segment;
    job->begun_us = clock_mono_us();
    int fd = disk_files_take(disk->files, segment, true);
    enum err err = fd < 0 ? ERR_SYSTEM : write_record(fd, &job->effect);
    if (fd >= 0) {
        disk_files_give(disk->files, segment);
    }
    if (err != ERR_OK) {
        LOG(LOG_ERROR, "disk.write.failed", LOG_TEXT("dir", disk->options.dir),
            LOG_NUM("segment", segment), LOG_TEXT("reason", strerror(errno)));
    }
    answer(disk, job, err);
}

static void *run_writer(void *self)
{
    struct disk_actor *disk = self;
    struct queue_item *item;
    while ((item = queue_pop(disk->writes, USEC_NEVER)) != NULL) {
        struct job *job = CONTAINER_OF(item, struct job, queue);
        if (job->effect.kind == NODE_DISK_DROP) {
            disk_files_unlink(disk->files, job->effect.disk_drop.segment);
            free(job);
        } else {
            do_write(disk, job);
        }
    }
    return NULL;
}

/* ---- the scan at start ----------------------------------------------------------------------- */

struct scanned {
    struct item item;
    struct room *room;
};

static struct room *room_new(void)
{
    struct room *room = calloc(1, sizeof *room);
    if (room != NULL) {
        atomic_init(&room->refs, 1);
        CHECK(sem_init(&room->free, 0, SCAN_AHEAD) == 0);
    }
    return room;
}

static void room_unref(struct room *room)
{
    if (atomic_fetch_sub(&room->refs, 1) == 1) {
        sem_destroy(&room->free);
        free(room);
    }
}

static void scanned_free(struct item *item)
{
    struct scanned *scanned = CONTAINER_OF(item, struct scanned, item);
    sem_post(&scanned->room->free);
    room_unref(scanned->room);
    free(scanned);
}

/* false: the actor is being stopped. */
static bool wait_for_room(struct disk_actor *disk)
{
    struct timespec until;
    while (!atomic_load(&disk->stopping)) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        if (sem_clockwait(&disk->room->free, CLOCK_MONOTONIC, &until) == 0) {
            return true;
        }
    }
    return false;
}

static enum err tell_record(struct disk_actor *disk, uint32_t segment, uint32_t offset,
                            const struct record *record)
{
    if (!wait_for_room(disk)) {
        return ERR_CLOSED;
    }
    struct scanned *scanned = calloc(1, sizeof *scanned);
    if (scanned == NULL) {
        return ERR_NOMEM;
    }
    scanned->room = disk->room;
    atomic_fetch_add(&disk->room->refs, 1);
    scanned->item.free = scanned_free;
    scanned->item.event = (struct node_event){
        .kind = NODE_DISK_RECORD,
        .disk_record = { .tier = disk->options.tier,
                         .record = { .block = record->block,
                                     .source = record->source,
                                     .place = record->place,
                                     .dataset = record->dataset,
                                     .segment = segment,
                                     .offset = offset,
                                     .header_size = RECORD_HEADER_SIZE,
                                     .payload_size = record->payload_size } }
    };
    queue_push(disk->options.out, &scanned->item.queue);
    return ERR_OK;
}

/* Up to the first record that is not whole: the writer was cut off there. */
static enum err scan_segment(struct disk_actor *disk, uint32_t segment, int fd)
{
    uint8_t header[RECORD_HEADER_SIZE];
    struct record record;
    struct stat stat;
    uint64_t offset = 0;
    enum err err = fstat(fd, &stat) == 0 ? ERR_OK : ERR_SYSTEM;
    while (err == ERR_OK && offset + RECORD_HEADER_SIZE <= (uint64_t)stat.st_size) {
        if (!read_at(fd, header, sizeof header, offset)) {
            return ERR_SYSTEM;
        }
        const enum err decoded = record_decode(span_of(header, sizeof header), &record);
        if (decoded == ERR_VERSION) {
            return ERR_VERSION;
        }
        if (decoded != ERR_OK ||
            offset + RECORD_HEADER_SIZE + record.payload_size > (uint64_t)stat.st_size) {
            break;
        }
        err = tell_record(disk, segment, (uint32_t)offset, &record);
        offset += record_size(record.payload_size);
    }
    if (err == ERR_OK && offset == 0) { /* nothing in it: nobody would ever drop it */
        disk_files_unlink(disk->files, segment);
    } else if (err == ERR_OK && offset < (uint64_t)stat.st_size) {
        /* What is behind a bad record is never found again: it must not take room beside the quota. */
        err = ftruncate(fd, (off_t)offset) == 0 ? ERR_OK : ERR_SYSTEM;
    }
    return err;
}

static enum err scan_all(struct disk_actor *disk, uint32_t *next_segment)
{
    uint32_t *segments = NULL;
    uint32_t count = 0;
    enum err err = disk_files_list(disk->files, &segments, &count);
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        int fd = disk_files_take(disk->files, segments[i], false);
        err = fd < 0 ? ERR_SYSTEM : scan_segment(disk, segments[i], fd);
        if (fd >= 0) {
            disk_files_give(disk->files, segments[i]);
        }
    }
    *next_segment = count > 0 ? segments[count - 1] + 1 : 0;
    free(segments);
    return err;
}

static void scan(struct disk_actor *disk)
{
    struct item *item = item_must(NODE_DISK_READY, 0);
    item->event.disk_ready.tier = disk->options.tier;
    item->event.disk_ready.err = scan_all(disk, &item->event.disk_ready.next_segment);
    if (item->event.disk_ready.err != ERR_OK) {
        LOG(LOG_ERROR, "disk.scan.failed", LOG_TEXT("dir", disk->options.dir),
            LOG_TEXT("err", err_name(item->event.disk_ready.err)));
    }
    queue_push(disk->options.out, &item->queue);
}

static void *run_reader(void *self)
{
    struct disk_actor *disk = self;
    struct queue_item *item;
    if (atomic_fetch_add(&disk->readers, 1) == 0) {
        scan(disk);
    }
    while ((item = queue_pop(disk->reads, USEC_NEVER)) != NULL) {
        do_read(disk, CONTAINER_OF(item, struct job, queue));
    }
    return NULL;
}

/* ---- start and end --------------------------------------------------------------------------- */

static enum err start_threads(struct disk_actor *disk)
{
    enum err err = queue_new(&disk->reads);
    if (err == ERR_OK) {
        err = queue_new(&disk->writes);
    }
    if (err == ERR_OK) {
        err = threads_start("disk-write", run_writer, disk, &disk->threads[0]);
        disk->running += err == ERR_OK;
    }
    for (uint32_t i = 0; err == ERR_OK && i < READERS; i++) {
        err = threads_start("disk-read", run_reader, disk, &disk->threads[1 + i]);
        disk->running += err == ERR_OK;
    }
    return err;
}

enum err disk_actor_start(const struct disk_actor_options *options, struct disk_actor **out,
                          char *uuid, struct text *why)
{
    struct disk_actor *disk = calloc(1, sizeof *disk);
    if (disk == NULL) {
        return ERR_NOMEM;
    }
    disk->options = *options;
    disk->room = room_new();
    disk->options.dir = strdup(options->dir);
    enum err err =
        disk->options.dir == NULL || disk->room == NULL
            ? ERR_NOMEM
            : disk_files_open(options->dir, options->quota, options->uuid, &disk->files, why);
    if (err == ERR_OK) {
        memcpy(uuid, disk_files_uuid(disk->files), DISK_UUID_SIZE);
        err = start_threads(disk);
    }
    if (err != ERR_OK) {
        disk_actor_stop(&disk);
        return err;
    }
    *out = disk;
    return ERR_OK;
}

void disk_actor_stop(struct disk_actor **pointer)
{
    struct disk_actor *disk = *pointer;
    if (disk == NULL) {
        return;
    }
    atomic_store(&disk->stopping, true);
    if (disk->writes != NULL) {
        queue_close(disk->writes);
    }
    if (disk->reads != NULL) {
        queue_close(disk->reads);
    }
    for (uint32_t i = 0; i < disk->running; i++) {
        threads_join(disk->threads[i]);
    }
    queue_free(&disk->writes);
    queue_free(&disk->reads);
    disk_files_close(&disk->files);
    if (disk->room != NULL) {
        room_unref(disk->room);
    }
    free((char *)(uintptr_t)disk->options.dir);
    free(disk);
    *pointer = NULL;
}

enum err disk_actor_do(struct disk_actor *disk, const struct node_effect *effect)
{
    const bool is_drop = effect->kind == NODE_DISK_DROP;
    struct job *job = malloc(sizeof *job);
    struct item *item = is_drop ? NULL : item_new(NODE_DISK, 0);
    if (job == NULL || (!is_drop && item == NULL)) {
        free(job);
        free(item);
        return ERR_NOMEM;
    }
    job->effect = *effect;
    job->answer = item;
    if (item != NULL) {
        item->event.disk.id =
            effect->kind == NODE_DISK_WRITE ? effect->disk_write.id : effect->disk_read.id;
    }
    queue_push(effect->kind == NODE_DISK_READ ? disk->reads : disk->writes, &job->queue);
    return ERR_OK;
}

void disk_actor_abandon(struct disk_actor *disk)
{
    disk_files_abandon(disk->files);
}
