/* sim/trial/reader.c: one application: a job after the other, one step of a job after the other. */
#include "sim/trial/reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/trial/faults.h"
#include "sim/trial/reader_inside.h"

static void job_next(struct reader *r);
static void job_begin(struct reader *r);
static void walk(struct reader *r);

/* ---- requests ---------------------------------------------------------------------------------- */

static void wrong(struct reader *r, const char *what)
{
    world_fail(world_of(r), "%s reader %u, %s of \"%s\": %s", r->mount->process.name, r->number,
               reader_what(r), r->path, what);
}

static struct pending *pending_free(struct reader *r)
{
    for (uint32_t i = 0; i < READS_MAX; i++) {
        if (r->pending[i].id == 0) {
            return &r->pending[i];
        }
    }
    return NULL;
}

static void ask(struct reader *r, struct mount_op *op)
{
    struct pending *pending = pending_free(r);
    CHECK(pending != NULL);
    r->next_id++;
    op->id = (uint64_t)(r->number + 1) << 40 | r->next_id;
    *pending = (struct pending){
        .id = op->id, .offset = op->offset, .size = op->size, .since_us = world_of(r)->now_us
    };
    r->totals.ops++;
    host_mount_op(r->mount, op);
}

static void forget(struct reader *r, uint64_t ino)
{
    struct mount_op op = { .kind = OP_FORGET, .ino = ino, .count = 1 };
    if (ino != 0) {
        host_mount_op(r->mount, &op);
    }
}

/* At once, or so late that the name may have another meaning when it is looked up again. */
static void forget_walked(struct reader *r)
{
    for (uint32_t i = 0; i < r->walked_count; i++) {
        uint64_t ino = r->walked[i];
        if (r->keeps > 0) {
            r->kept_at = (r->kept_at + 1) % r->keeps;
            ino = r->kept[r->kept_at];
            r->kept[r->kept_at] = r->walked[i];
        }
        forget(r, ino);
    }
    r->walked_count = 0;
}

static void job_end(struct reader *r)
{
    forget_walked(r);
    r->phase = PHASE_IDLE;
    if (r->running) {
        world_set(world_of(r), &r->next,
                  rng_between(&r->rng, 0, PAUSE_US) * (r->job == JOB_LIST ? 8 : 1));
    }
}

/* The file is another one by now: walk again, as a kernel does on ESTALE. */
static void job_again(struct reader *r)
{
    const struct source_object *object = r->object;
    r->totals.stale++;
    if (r->again++ >= AGAIN_MAX || object == NULL || object->version_count == 1) {
        wrong(r, "ESTALE of a file that has not changed");
        return;
    }
    forget_walked(r);
    r->rest = r->path;
    r->phase = PHASE_IDLE;
    world_set(world_of(r), &r->next, MSEC(200));
}

/* ---- reading -------------------------------------------------------------------------------------- */

static uint64_t version_size(const struct reader *r)
{
    return r->object->versions[r->version].size;
}

static bool nothing_pending(const struct reader *r)
{
    for (uint32_t i = 0; i < READS_MAX; i++) {
        if (r->pending[i].id != 0) {
            return false;
        }
    }
    return true;
}

static void close_file(struct reader *r)
{
    struct mount_op op = { .kind = OP_RELEASE, .handle = r->handle, .ino = r->handle };
    r->phase = PHASE_RELEASE;
    ask(r, &op);
}

static void pick_piece(struct reader *r)
{
    const uint64_t size = version_size(r);
    r->pieces--;
    r->offset = rng_below(&r->rng, size + 1) / 4096 * 4096;
    r->end = r->offset + 1 + rng_below(&r->rng, (uint64_t)2 * READ_SIZE);
    r->end = r->end < size ? r->end : size;
}

/* As many reads as the window allows. */
static void read_on(struct reader *r)
{
    if (r->failed_stale) {
        if (nothing_pending(r)) {
            close_file(r);
        }
        return;
    }
    if (r->offset >= r->end && r->pieces > 0 && nothing_pending(r)) {
        pick_piece(r);
    }
    for (uint32_t i = 0; i < r->window && r->offset < r->end; i++) {
        if (pending_free(r) == NULL) {
            return;
        }
        /* The kernel asks for whole pages, also beyond the end. */
        const uint64_t left = (r->end - r->offset + 4095) / 4096 * 4096;
        struct mount_op op = { .kind = OP_READ,
                               .ino = r->walked[r->walked_count - 1],
                               .handle = r->handle,
                               .offset = r->offset,
                               .size = left < READ_SIZE ? (uint32_t)left : READ_SIZE };
        r->offset += op.size;
        ask(r, &op);
    }
    if (nothing_pending(r)) {
        r->totals.files++;
        close_file(r);
    }
}

static void take_data(struct reader *r, const struct mount_effect *effect,
                      const struct pending *asked)
{
    const uint64_t size = version_size(r);
    const uint64_t left = asked->offset < size ? size - asked->offset : 0;
    const uint64_t want = left < asked->size ? left : asked->size;
    uint64_t at = asked->offset;
    for (uint32_t i = 0; i < effect->reply_data.count; i++) {
        const struct span piece = effect->reply_data.pieces[i];
        if (at + piece.size > asked->offset + want) {
            wrong(r, "more bytes than there are");
            return;
        }
        if (!source_is(r->object, (uint32_t)r->version, at, piece)) {
            wrong(r, "wrong bytes");
            return;
        }
        at += piece.size;
    }
    if (at - asked->offset != want) {
        wrong(r, "fewer bytes than there are");
        return;
    }
    r->totals.bytes += want;
    read_on(r);
}

static uint64_t walked_ino(const struct reader *r)
{
    return r->walked_count > 0 ? r->walked[r->walked_count - 1] : MOUNT_ROOT_INO;
}

static void list_on(struct reader *r)
{
    struct mount_op op = { .kind = OP_READDIRPLUS,
                           .handle = r->handle,
                           .offset = r->dir_offset,
                           .size = LIST_BYTES,
                           .ino = walked_ino(r) };
    ask(r, &op);
}

static void open_done(struct reader *r, const struct mount_effect *effect)
{
    r->handle = effect->reply_open.handle;
    if (r->phase == PHASE_OPENDIR) {
        r->dir_offset = 0;
        tree_seen_begin(&r->seen, r->path);
        r->phase = PHASE_READDIR;
        list_on(r);
        return;
    }
    r->phase = PHASE_READ;
    r->failed_stale = false;
    r->window = rng_chance(&r->rng, 500000) ? 1 : READS_MAX;
    r->offset = 0;
    r->end = version_size(r);
    r->pieces = 0;
    if (r->job == JOB_PIECES) {
        r->end = 0;
        r->pieces = 1 + (uint32_t)rng_below(&r->rng, 8);
    }
    read_on(r);
}

/* ---- listing ----------------------------------------------------------------------------------------- */

/* The core gives what fits: lookups are counted by it. */
static bool take_dirents(struct reader *r, const struct mount_effect *effect)
{
    uint32_t room = LIST_BYTES;
    for (uint32_t i = 0; i < effect->reply_dir.count; i++) {
        const struct mount_dirent *entry = &effect->reply_dir.entries[i];
        const uint32_t size = (152 + (uint32_t)entry->name.size + 7) & ~7u;
        const char *fault = size > room ? "more entries than fit"
                                        : tree_seen_add(&r->seen, world_of(r)->source, entry);
        if (fault != NULL) {
            world_say(world_of(r), "entry %.*s", (int)entry->name.size,
                      (const char *)entry->name.data);
            wrong(r, fault);
            return false;
        }
        room -= size;
        r->dir_offset = entry->next;
        if (entry->entry.ino != 0) {
            if (!reader_knows(r, &entry->entry, entry->name)) {
                wrong(r, "an inode that was another file's");
            }
            forget(r, entry->entry.ino);
        }
    }
    return true;
}

static void close_dir(struct reader *r)
{
    struct mount_op op = { .kind = OP_RELEASEDIR, .handle = r->handle };
    r->phase = PHASE_RELEASEDIR;
    ask(r, &op);
}

/* Pages of the listing it began with are nowhere in reach (docs/posix.md, P15): a later one works. */
static void dir_lost(struct reader *r)
{
    r->totals.stale++;
    if (faults_settled(r->trial->faults)) {
        wrong(r, "a listing is lost although nodes find each other");
        return;
    }
    close_dir(r);
}

static void take_dir(struct reader *r, const struct mount_effect *effect)
{
    if (!take_dirents(r, effect)) {
        return;
    }
    if (effect->reply_dir.count > 0) {
        list_on(r);
        return;
    }
    const char *fault = tree_seen_end(&r->seen, world_of(r)->source);
    if (fault != NULL) {
        wrong(r, fault);
        return;
    }
    r->totals.listings++;
    close_dir(r);
}

/* ---- walking ------------------------------------------------------------------------------------------ */

static void walk_done(struct reader *r)
{
    struct mount_op op = { .kind = OP_OPENDIR, .ino = walked_ino(r) };
    if (r->object == NULL) {
        r->phase = PHASE_OPENDIR;
    } else {
        op.kind = OP_OPEN;
        r->phase = PHASE_OPEN;
    }
    ask(r, &op);
}

static void walk(struct reader *r)
{
    while (*r->rest == '/') {
        r->rest++;
    }
    if (*r->rest == '\0') {
        walk_done(r);
        return;
    }
    struct mount_op op = { .kind = OP_LOOKUP, .ino = walked_ino(r) };
    const char *slash = strchr(r->rest, '/');
    const size_t size = slash == NULL ? strlen(r->rest) : (size_t)(slash - r->rest);
    op.name = span_of(r->rest, size);
    r->rest += size;
    r->phase = PHASE_WALK;
    ask(r, &op);
}

/* A version is shown no longer than the listing's ttl after the next one came (docs/metadata.md), as
 * long as the source can be asked. */
static bool is_outdated(const struct reader *r, const struct pending *asked)
{
    const struct scenario *scenario = r->trial->scenario;
    const usec_t now_us = world_of(r)->now_us;
    if (scenario->metadata != METADATA_TTL ||
        (uint32_t)r->version + 1 == r->object->version_count ||
        now_us - faults_source_us(r->trial->faults) < SOURCE_BACK_US) {
        return false;
    }
    const usec_t next_us = r->object->versions[r->version + 1].from_us;
    /* A node whose clock was set back takes a listing of another one for one of this moment. */
    const usec_t most_us =
        scenario->ttl_us * (faults_has_begun(r->trial->faults, "clock-jump") ? 2 : 1);
    return asked->since_us - next_us > most_us + OUTDATED_US;
}

static void take_entry(struct reader *r, const struct mount_effect *effect,
                       const struct pending *asked)
{
    const struct mount_entry *entry = &effect->reply_entry.entry;
    const bool last = *r->rest == '\0' || strcmp(r->rest, "/") == 0;
    if (entry->ino == 0) {
        if (r->job == JOB_ABSENT && last) {
            job_end(r);
        } else {
            wrong(r, "a name that exists was not found");
        }
        return;
    }
    if (!reader_knows(r, entry, span_of(r->path, (size_t)(r->rest - r->path)))) {
        wrong(r, "an inode that was another file's");
        return;
    }
    CHECK(r->walked_count < DEPTH_MAX);
    r->walked[r->walked_count++] = entry->ino;
    if (r->job == JOB_ABSENT && last) {
        wrong(r, "a name that does not exist was found");
        return;
    }
    if (last && r->object != NULL) {
        r->version = source_version_of(r->object, entry->attr.size, entry->attr.mtime_us);
        if (r->version < 0 || entry->attr.is_dir) {
            wrong(r, "attributes of no version");
            return;
        }
        if (is_outdated(r, asked)) {
            wrong(r, "a version that was overwritten longer ago than the ttl");
            return;
        }
    } else if (!entry->attr.is_dir) {
        wrong(r, "a directory that is none");
        return;
    }
    walk(r);
}

/* ---- answers ----------------------------------------------------------------------------------------- */

static void take_err(struct reader *r, int err)
{
    char what[64];
    if (err == 0 && (r->phase == PHASE_RELEASE || r->phase == PHASE_RELEASEDIR)) {
        if (r->failed_stale) {
            job_again(r);
        } else {
            job_end(r);
        }
    } else if (err == ENOENT && r->phase == PHASE_WALK && r->job == JOB_ABSENT) {
        job_end(r);
    } else if (err == ESTALE && r->phase == PHASE_READ) {
        r->failed_stale = true;
        read_on(r);
    } else if (err == ESTALE && r->phase == PHASE_READDIR) {
        dir_lost(r);
    } else if (err == ESTALE && r->phase != PHASE_IDLE) {
        job_again(r);
    } else {
        snprintf(what, sizeof what, "error %d (%s)", err, strerror(err));
        wrong(r, what);
    }
}

bool reader_take(struct reader *r, const struct mount_effect *effect)
{
    const uint64_t id = effect->reply_err.id; /* all replies begin with it */
    struct pending *found = NULL;
    for (uint32_t i = 0; i < READS_MAX; i++) {
        found = r->pending[i].id == id ? &r->pending[i] : found;
    }
    if (id == 0 || found == NULL) {
        return false;
    }
    const struct pending asked = *found;
    const usec_t took_us = world_of(r)->now_us - asked.since_us;
    found->id = 0;
    r->totals.longest_us = usec_max(r->totals.longest_us, took_us);
    if (took_us > SEC(1)) {
        world_say(world_of(r), "%s reader %u: %s of %s took %.3f s", r->mount->process.name,
                  r->number, reader_what(r), r->path, (double)took_us / 1e6);
    }
    if (effect->kind == MOUNT_REPLY_ERR) {
        take_err(r, effect->reply_err.err);
    } else if (effect->kind == MOUNT_REPLY_ENTRY && r->phase == PHASE_WALK) {
        take_entry(r, effect, &asked);
    } else if (effect->kind == MOUNT_REPLY_OPEN &&
               (r->phase == PHASE_OPEN || r->phase == PHASE_OPENDIR)) {
        open_done(r, effect);
    } else if (effect->kind == MOUNT_REPLY_DATA && r->phase == PHASE_READ) {
        take_data(r, effect, &asked);
    } else if (effect->kind == MOUNT_REPLY_DIR && r->phase == PHASE_READDIR) {
        take_dir(r, effect);
    } else {
        wrong(r, "an answer to another question");
    }
    return true;
}

/* ---- jobs ------------------------------------------------------------------------------------------------ */

static void job_begin(struct reader *r)
{
    r->rest = r->path;
    walk(r);
}

static void job_next(struct reader *r)
{
    if (r->again > 0 && r->object != NULL && r->failed_stale) {
        r->failed_stale = false;
        job_begin(r);
        return;
    }
    r->again = 0;
    r->failed_stale = false;
    if (r->pattern == READER_LISTER) {
        reader_pick_directory(r);
    } else {
        reader_pick_file(r);
    }
    if (r->done) {
        return;
    }
    job_begin(r);
}

static void next_fire(struct world *world, struct happening *what)
{
    struct reader *r = CONTAINER_OF(what, struct reader, next);
    (void)world;
    if (!r->running && r->again == 0) {
        return;
    }
    job_next(r);
}

/* ---- life -------------------------------------------------------------------------------------------------- */

struct reader *reader_new(struct trial *trial, struct host_mount *mount, uint32_t number)
{
    struct reader *r = calloc(1, sizeof *r);
    CHECK(r != NULL);
    r->trial = trial;
    r->mount = mount;
    r->number = number;
    r->next.fire = next_fire;
    r->order = calloc(source_count(trial->world->source), sizeof *r->order);
    CHECK(r->order != NULL);
    rng_init(&r->rng, trial->scenario->seed, 9000 + number);
    r->keeps = rng_chance(&r->rng, 500000) ? KEPT_MAX : 0;
    return r;
}

void reader_free(struct reader **pointer)
{
    struct reader *r = *pointer;
    world_cancel(world_of(r), &r->next);
    free(r->order);
    free(r);
    *pointer = NULL;
}

void reader_start(struct reader *r, enum reader_pattern pattern, bool held_back)
{
    CHECK(reader_is_idle(r));
    r->pattern = pattern;
    r->held_back = held_back;
    r->done = false;
    r->running = true;
    reader_make_order(r);
    CHECK(r->order_count > 0);
    world_set(world_of(r), &r->next, rng_between(&r->rng, 0, MSEC(500)));
}

void reader_stop(struct reader *r)
{
    r->running = false;
    if (r->phase == PHASE_IDLE && !r->failed_stale) {
        world_cancel(world_of(r), &r->next);
    }
}

void reader_go_on(struct reader *r)
{
    const bool idle = reader_is_idle(r);
    r->running = true;
    if (idle) {
        world_set(world_of(r), &r->next, rng_between(&r->rng, 0, MSEC(500)));
    }
}

bool reader_is_idle(const struct reader *r)
{
    return r->phase == PHASE_IDLE && !timer_is_set(&r->next.timer);
}

bool reader_is_done(const struct reader *r)
{
    return r->done;
}

usec_t reader_waiting_us(const struct reader *r)
{
    usec_t longest_us = 0;
    for (uint32_t i = 0; i < READS_MAX; i++) {
        if (r->pending[i].id != 0) {
            longest_us = usec_max(longest_us, r->trial->world->now_us - r->pending[i].since_us);
        }
    }
    return longest_us;
}

const struct reader_totals *reader_totals(const struct reader *r)
{
    return &r->totals;
}

const char *reader_what(const struct reader *r)
{
    static const char *const names[] = { "nothing", "lookup",  "getattr", "open",      "read",
                                         "release", "opendir", "readdir", "releasedir" };
    return names[r->phase];
}
