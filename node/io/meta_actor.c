/* node/io/meta_actor.c: LMDB behind two queues, so that a lookup never waits for a commit.
 * Threads: "meta" (the only writer, commits in batches) and "meta-read".
 * Owns:  the LMDB environment.  Takes: struct job *, moved in.
 * Gives: items for the peer thread.  Shares: LMDB's map, read-only, by its own rules. */
#include "node/io/meta_actor.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "node/io/item.h"
#include "node/io/log.h"
#include "node/io/threads.h"

/* Address space, not memory or disk: the file grows as it is filled. Beyond it PUT is ERR_FULL. */
#define MAP_BYTES (64ull << 30)
#define BATCH 256
#define ROOM_LEAST (16ull << 20) /* free bytes: some batches of records fit */
#define ROOM_AGAIN_US SEC(2)     /* a full disk is looked at that often */
#define KEY_MAX 511              /* of LMDB as Debian builds it */
#define FORMAT_VERSION 1
#define VERSION_KEY "v"

/* Of what is below the directory: LMDB may be written to where no file can be made. */
enum part { PART_RECORDS, PART_FILES };
#define PARTS 2u

struct job {
    struct queue_item queue;
    enum node_effect_kind kind;
    int failed;          /* of a word about a file, which has no answer */
    struct item *answer; /* ready before it is needed, so that the end of a job cannot be lost */
    MDB_val value;       /* behind the key */
    size_t key_size;
    uint8_t key[KEY_MAX];
    uint8_t bytes[];
};

struct meta_actor {
    struct queue *out;
    struct queue *writes;
    struct queue *reads;
    pthread_t writer;
    pthread_t reader;
    bool writer_runs;
    bool reader_runs;
    sem_t ready; /* NODE_META_READY is in `out` */
    atomic_bool stopping;
    const char *dir; /* "": files without a name */
    MDB_env *env;
    MDB_dbi dbi;
    int failing[PARTS]; /* the writer's: why the last write failed; 0: it did not */
};

static enum err err_of(int failed)
{
    switch (failed) {
    case 0:
        return ERR_OK;
    case MDB_NOTFOUND:
        return ERR_NOT_FOUND;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* the limit of the process, or of the file system */
        return ERR_FULL;
    case ENOMEM:
        return ERR_NOMEM;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
        return ERR_CORRUPT;
    default:
        return ERR_SYSTEM;
    }
}

static MDB_val key_of(const struct job *job)
{
    return (MDB_val){ .mv_size = job->key_size, .mv_data = (void *)(uintptr_t)job->key };
}

/* Moves the answer out and frees the job. */
static void answer(struct meta_actor *meta, struct job *job, enum err err)
{
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        LOG(LOG_ERROR, "meta.failed", LOG_TEXT("err", err_name(err)));
    }
    job->answer->event.meta.err = err;
    queue_push(meta->out, &job->answer->queue);
    free(job);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* An answer with the value in it in place of the one without. */
static enum err take_value(struct job *job, const MDB_val *value)
{
    struct item *item = item_new(NODE_META, value->mv_size);
    if (item == NULL) {
        return ERR_NOMEM;
    }
    memcpy(item_room(item), value->mv_data, value->mv_size);
    item->event.meta.id = job->answer->event.meta.id;
    item->event.meta.value = span_of(item_room(item), value->mv_size);
    job->answer->free(job->answer);
    job->answer = item;
    return ERR_OK;
}

static void read_one(struct meta_actor *meta, MDB_txn *txn, struct job *job)
{
    MDB_val key = key_of(job);
    MDB_val value;
    enum err err = err_of(mdb_get(txn, meta->dbi, &key, &value));
    if (err == ERR_OK) {
        err = take_value(job, &value);
    }
    answer(meta, job, err);
}

static void give_record(struct meta_actor *meta, const MDB_val *value)
{
    struct item *item = item_must(NODE_META_RECORD, value->mv_size);
    memcpy(item_room(item), value->mv_data, value->mv_size);
    item->event.meta_record.value = span_of(item_room(item), value->mv_size);
    queue_push(meta->out, &item->queue);
}

/* All dataset records, then READY. */
static void give_records(struct meta_actor *meta)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    uint8_t first = META_DATASET;
    MDB_val key = { .mv_size = 1, .mv_data = &first };
    MDB_val value;
    int failed = mdb_txn_begin(meta->env, NULL, MDB_RDONLY, &txn);
    if (failed == 0) {
        failed = mdb_cursor_open(txn, meta->dbi, &cursor);
    }
    if (failed == 0) {
        failed = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    }
    while (failed == 0 && ((uint8_t *)key.mv_data)[0] == META_DATASET) {
        give_record(meta, &value);
        failed = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (failed != 0 && failed != MDB_NOTFOUND) {
        LOG(LOG_ERROR, "meta.scan.failed", LOG_TEXT("err", mdb_strerror(failed)));
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    queue_push(meta->out, &item_must(NODE_META_READY, 0)->queue);
    sem_post(&meta->ready);
}

static void *run_reader(void *self)
{
    struct meta_actor *meta = self;
    MDB_txn *txn = NULL;
    struct queue_item *item;
    give_records(meta);
    while ((item = queue_pop(meta->reads, USEC_NEVER)) != NULL) {
        struct job *job = CONTAINER_OF(item, struct job, queue);
        int failed =
            txn == NULL ? mdb_txn_begin(meta->env, NULL, MDB_RDONLY, &txn) : mdb_txn_renew(txn);
        if (failed != 0) {
            answer(meta, job, err_of(failed));
            continue;
        }
        read_one(meta, txn, job);
        mdb_txn_reset(txn); /* a reader that stays open would keep old pages alive */
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    return NULL;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_one(struct meta_actor *meta, MDB_txn *txn, struct job *job)
{
    MDB_val key = key_of(job);
    if (job->kind == NODE_META_PUT) {
        return mdb_put(txn, meta->dbi, &key, &job->value, 0);
    }
    const int failed = mdb_del(txn, meta->dbi, &key, NULL);
    return failed == MDB_NOTFOUND ? 0 : failed;
}

static bool has_room(const struct meta_actor *meta)
{
    struct statvfs room;
    mdb_filehandle_t fd;
    if (mdb_env_get_fd(meta->env, &fd) != 0 || fstatvfs(fd, &room) != 0) {
        return true; /* the next write will tell */
    }
    return (uint64_t)room.f_bavail * room.f_frsize >= ROOM_LEAST &&
           (room.f_files == 0 || room.f_favail > 0); /* 0: it does not count files */
}

/* 0: it can be written, as far as is known. */
static int failure_of(const struct meta_actor *meta)
{
    return meta->failing[PART_RECORDS] != 0 ? meta->failing[PART_RECORDS]
                                            : meta->failing[PART_FILES];
}

static void tell_disk(struct meta_actor *meta, enum part part, int failed)
{
    const enum err before = err_of(failure_of(meta));
    meta->failing[part] = failed;
    const int failure = failure_of(meta);
    if (err_of(failure) == before) {
        return;
    }
    if (failure == 0) {
        LOG(LOG_INFO, "meta.disk.well", LOG_TEXT("dir", meta->dir));
    } else {
        LOG(LOG_ERROR, "meta.disk.failing", LOG_TEXT("dir", meta->dir),
            LOG_TEXT("why", mdb_strerror(failure)));
    }
    struct item *item = item_must(NODE_META_DISK, 0);
    item->event.meta_disk.err = err_of(failure);
    queue_push(meta->out, &item->queue);
}

/* One transaction over `count` jobs: all of them or none. */
static int write_batch(struct meta_actor *meta, struct job **jobs, uint32_t count)
{
    MDB_txn *txn = NULL;
    int failed = mdb_txn_begin(meta->env, NULL, 0, &txn);
    if (failed != 0) {
        return failed;
    }
    for (uint32_t i = 0; failed == 0 && i < count; i++) {
        failed = write_one(meta, txn, jobs[i]);
    }
    if (failed != 0) {
        mdb_txn_abort(txn);
        return failed;
    }
    failed = mdb_txn_commit(txn);
    /* LMDB says EIO also of a write that was cut short because the disk is full now. */
    return failed == EIO && !has_room(meta) ? ENOSPC : failed;
}

static void write_all(struct meta_actor *meta, struct job **jobs, uint32_t count)
{
    const int together = write_batch(meta, jobs, count);
    int failing = 0;
    for (uint32_t i = 0; i < count; i++) {
        /* One that does not fit must not take the others with it. */
        const bool alone = together != 0 && count > 1;
        const int failed = alone ? write_batch(meta, &jobs[i], 1) : together;
        failing = failed != 0 ? failed : failing;
        answer(meta, jobs[i], err_of(failed));
    }
    tell_disk(meta, PART_RECORDS, failing);
}

static bool is_full(const struct meta_actor *meta)
{
    return meta->failing[PART_RECORDS] == ENOSPC || meta->failing[PART_FILES] == ENOSPC;
}

static void look_for_room(struct meta_actor *meta)
{
    if (!is_full(meta) || !has_room(meta)) {
        return;
    }
    for (uint32_t part = 0; part < PARTS; part++) {
        if (meta->failing[part] == ENOSPC) {
            tell_disk(meta, (enum part)part, 0);
        }
    }
}

/* The next job, or NULL at the end. Meanwhile a full disk may have got room. */
static struct queue_item *next_write(struct meta_actor *meta)
{
    struct queue_item *item = NULL;
    bool over = false;
    while (item == NULL && !over) {
        over = atomic_load(&meta->stopping); /* then all there is is in the queue */
        item = queue_pop(meta->writes, is_full(meta) ? ROOM_AGAIN_US : USEC_NEVER);
        if (item == NULL) {
            look_for_room(meta);
        }
    }
    return item;
}

/* A job that is only a word about a file ends here. */
static bool take_word(struct meta_actor *meta, struct job *job)
{
    if (job->answer != NULL) {
        return false;
    }
    tell_disk(meta, PART_FILES, job->failed);
    free(job);
    return true;
}

static void *run_writer(void *self)
{
    struct meta_actor *meta = self;
    struct job *jobs[BATCH];
    struct queue_item *item = next_write(meta);
    while (item != NULL) {
        uint32_t count = 0;
        while (item != NULL) {
            jobs[count] = CONTAINER_OF(item, struct job, queue);
            count += take_word(meta, jobs[count]) ? 0 : 1;
            item = count < BATCH ? queue_pop(meta->writes, 0) : NULL;
        }
        if (count > 0) {
            write_all(meta, jobs, count);
        }
        item = next_write(meta);
    }
    return NULL;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

/* Space and key; a key too long for LMDB ends in a hash of what is left. */
static void set_key(struct job *job, enum meta_space space, struct span key)
{
    struct hasher hasher;
    const size_t most = KEY_MAX - 1 - 16;
    const size_t size = key.size <= KEY_MAX - 1 ? key.size : most;
    job->key[0] = (uint8_t)space;
    if (size > 0) {
        memcpy(job->key + 1, key.data, size);
    }
    job->key_size = 1 + size;
    if (size < key.size) {
        hasher_init(&hasher, "atoll meta key");
        hasher_span(&hasher, key);
        hasher_end(&hasher, job->key + job->key_size);
        job->key_size += 16;
    }
}

void meta_actor_wrote_file(struct meta_actor *meta, int failed)
{
    struct job *job = calloc(1, sizeof *job);
    if (job != NULL) { /* the next write tells it, too */
        job->failed = failed;
        queue_push(meta->writes, &job->queue);
    }
}

enum err meta_actor_do(struct meta_actor *meta, const struct node_effect *effect)
{
    const bool is_put = effect->kind == NODE_META_PUT;
    const size_t value_size = is_put ? effect->meta.value.size : 0;
    struct job *job = malloc(sizeof *job + value_size);
    struct item *item = item_new(NODE_META, 0);
    if (job == NULL || item == NULL) {
        free(job);
        free(item);
        return ERR_NOMEM;
    }
    job->kind = effect->kind;
    job->answer = item;
    job->answer->event.meta.id = effect->meta.id;
    set_key(job, effect->meta.space, effect->meta.key);
    if (value_size > 0) {
        memcpy(job->bytes, effect->meta.value.data, value_size);
    }
    job->value = (MDB_val){ .mv_size = value_size, .mv_data = job->bytes };
    queue_push(effect->kind == NODE_META_GET ? meta->reads : meta->writes, &job->queue);
    return ERR_OK;
}

/* ---- start ----------------------------------------------------------------------------------- */

static enum err refuse(struct text *why, enum err err, const char *dir, const char *reason)
{
    text_str(why, dir);
    text_str(why, ": ");
    text_str(why, reason);
    return err;
}

/* What this Atoll writes is what is there, or nothing is there yet. */
static enum err check_version(struct meta_actor *meta, const char *dir, struct text *why)
{
    MDB_txn *txn = NULL;
    uint8_t version[4];
    MDB_val key = { .mv_size = 1, .mv_data = VERSION_KEY };
    MDB_val value;
    int failed = mdb_txn_begin(meta->env, NULL, 0, &txn);
    if (failed != 0) {
        return refuse(why, ERR_SYSTEM, dir, mdb_strerror(failed));
    }
    failed = mdb_dbi_open(txn, NULL, 0, &meta->dbi);
    if (failed == 0) {
        failed = mdb_get(txn, meta->dbi, &key, &value);
    }
    if (failed == 0) {
        const bool newer = value.mv_size != 4 || get_u32(value.mv_data) > FORMAT_VERSION;
        mdb_txn_abort(txn);
        return newer ? refuse(why, ERR_VERSION, dir,
                              "metadata written by a newer version of Atoll; it is left alone")
                     : ERR_OK;
    }
    if (failed == MDB_NOTFOUND) {
        put_u32(version, FORMAT_VERSION);
        value = (MDB_val){ .mv_size = sizeof version, .mv_data = version };
        failed = mdb_put(txn, meta->dbi, &key, &value, 0);
    }
    if (failed == 0) {
        failed = mdb_txn_commit(txn);
    } else {
        mdb_txn_abort(txn);
    }
    return failed == 0 ? ERR_OK : refuse(why, ERR_SYSTEM, dir, mdb_strerror(failed));
}

static void unlink_in(const char *dir, const char *file)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    unlink(path);
}

static enum err open_env(struct meta_actor *meta, const char *dir, struct text *why)
{
    char made[128];
    const char *temporary = getenv("TMPDIR");
    const bool nameless = dir == NULL;
    if (nameless) {
        snprintf(made, sizeof made, "%.100s/atoll-XXXXXX",
                 temporary != NULL && temporary[0] == '/' ? temporary : "/tmp");
        dir = mkdtemp(made);
    }
    if (dir == NULL) {
        return refuse(why, ERR_SYSTEM, made, strerror(errno));
    }
    int failed = mdb_env_create(&meta->env);
    if (failed == 0) {
        failed = mdb_env_set_mapsize(meta->env, MAP_BYTES);
    }
    if (failed == 0) {
        failed = mdb_env_open(meta->env, dir, nameless ? MDB_NOSYNC : 0, 0600);
    }
    if (nameless) { /* open files stay until they are closed */
        unlink_in(dir, "data.mdb");
        unlink_in(dir, "lock.mdb");
        rmdir(dir);
    }
    return failed == 0 ? ERR_OK : refuse(why, ERR_SYSTEM, dir, mdb_strerror(failed));
}

enum err meta_actor_start(const struct meta_actor_options *options, struct meta_actor **out,
                          struct text *why)
{
    struct meta_actor *meta = calloc(1, sizeof *meta);
    if (meta == NULL) {
        return ERR_NOMEM;
    }
    meta->out = options->out;
    meta->dir = options->dir != NULL ? options->dir : "";
    sem_init(&meta->ready, 0, 0);
    enum err err = open_env(meta, options->dir, why);
    if (err == ERR_OK) {
        err = check_version(meta, options->dir != NULL ? options->dir : "metadata", why);
    }
    if (err == ERR_OK) {
        err = queue_new(&meta->writes);
    }
    if (err == ERR_OK) {
        err = queue_new(&meta->reads);
    }
    if (err == ERR_OK) {
        err = threads_start("meta", run_writer, meta, &meta->writer);
        meta->writer_runs = err == ERR_OK;
    }
    if (err == ERR_OK) {
        err = threads_start("meta-read", run_reader, meta, &meta->reader);
        meta->reader_runs = err == ERR_OK;
    }
    if (err != ERR_OK) {
        meta_actor_stop(&meta);
        return err;
    }
    *out = meta;
    return ERR_OK;
}

enum err meta_actor_wait_ready(struct meta_actor *meta, usec_t most_us)
{
    struct timespec until;
    int failed;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(most_us / SEC(1));
    do {
        failed = sem_timedwait(&meta->ready, &until);
    } while (failed != 0 && errno == EINTR);
    return failed == 0 ? ERR_OK : ERR_TIMEOUT;
}

void meta_actor_stop(struct meta_actor **pointer)
{
    struct meta_actor *meta = *pointer;
    if (meta == NULL) {
        return;
    }
    atomic_store(&meta->stopping, true);
    if (meta->writer_runs) {
        queue_close(meta->writes);
        threads_join(meta->writer);
    }
    if (meta->reader_runs) {
        queue_close(meta->reads);
        threads_join(meta->reader);
    }
    queue_free(&meta->writes);
    queue_free(&meta->reads);
    if (meta->env != NULL) {
        mdb_env_close(meta->env);
    }
    sem_destroy(&meta->ready);
    free(meta);
    *pointer = NULL;
}
