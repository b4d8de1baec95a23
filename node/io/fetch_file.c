/* node/io/fetch_file.c: jobs over file://, in steps between which the thread looks elsewhere.
 * Thread: that of the job's worker. A slow disk stops that thread; the stores of the others do not
 * notice, since transfers go on in the kernel's buffers. */
#include <limits.h>
#include <string.h>

#include "node/io/fetch_inside.h"

#define STEP_BYTES (1u << 20)

static void count_request(struct fetch_job *job)
{
    atomic_fetch_add(&job->worker->fetch->requests[job->kind], 1);
}

static enum err open_version(struct fetch_job *job, struct span pin, struct text *why)
{
    char root[PATH_MAX];
    count_request(job);
    enum err err = fetch_source_root(job->worker->fetch, &job->source->source, root, why);
    if (err != ERR_OK) {
        return err;
    }
    err = file_open(root, job->request.key, pin, &job->file, why);
    job->opened = err == ERR_OK;
    return err;
}

static void close_version(struct fetch_job *job)
{
    if (job->opened) {
        file_close(&job->file);
        job->opened = false;
    }
}

static enum err open_object(struct fetch_job *job, struct text *why)
{
    enum err err = open_version(job, job->request.pin, why);
    if (err == ERR_OK && job->file.size != job->request.object_size) {
        text_str(why, "the file has another size now");
        return ERR_CHANGED;
    }
    return err;
}

static enum err read_some(struct fetch_job *job, struct text *why)
{
    uint32_t room = 0;
    uint8_t *to = sink_room(&job->sink, &room);
    CHECK(to != NULL);
    room = room < STEP_BYTES ? room : STEP_BYTES;
    enum err err = file_read(&job->file, job->request.offset + job->sink.received, to, room);
    if (err != ERR_OK) {
        text_str(why, err == ERR_CHANGED ? "the file changed while it was read"
                                         : "the file cannot be read");
        return err;
    }
    atomic_fetch_add(&job->worker->fetch->bytes, room);
    sink_filled(&job->sink, room);
    return ERR_OK;
}

static void step_get(struct fetch_job *job)
{
    struct text why;
    enum err err = ERR_OK;
    text_init(&why, job->why, sizeof job->why);
    if (!job->opened) {
        err = open_object(job, &why);
    }
    if (err == ERR_OK) {
        err = read_some(job, &why);
    }
    if (err == ERR_OK && job->sink.received < job->request.size) {
        fetch_worker_fresh(job);
        return;
    }
    close_version(job);
    fetch_worker_end(job, err);
}

static void step_head(struct fetch_job *job)
{
    struct text why;
    text_init(&why, job->why, sizeof job->why);
    enum err err = open_version(job, span_of(NULL, 0), &why);
    if (err != ERR_OK) {
        fetch_worker_end(job, err);
        return;
    }
    struct listing_entry entry = { .key = job->request.key,
                                   .pin = span_text(job->file.pin),
                                   .size = job->file.size,
                                   .mtime_us = job->file.mtime_us };
    close_version(job);
    fetch_worker_end_entry(job, &entry);
}

static void step_list(struct fetch_job *job)
{
    char root[PATH_MAX];
    struct listing listing;
    struct text why;
    text_init(&why, job->why, sizeof job->why);
    struct file_page page = { .root = root,
                              .prefix = job->request.prefix,
                              .after = job->request.after,
                              .continuation = job->request.continuation,
                              .limit = job->request.limit,
                              .delimited = job->request.delimited };
    enum err err = fetch_source_root(job->worker->fetch, &job->source->source, root, &why);
    count_request(job);
    if (err == ERR_OK) {
        err = file_list(&job->worker->lister, &page, &listing, &why);
    }
    if (err != ERR_OK) {
        fetch_worker_end(job, err);
        return;
    }
    fetch_worker_end_listing(job, &listing);
}

void fetch_file_step(struct fetch_job *job)
{
    switch (job->kind) {
    case FETCH_GET:
        step_get(job);
        return;
    case FETCH_HEAD:
        step_head(job);
        return;
    case FETCH_LIST:
        step_list(job);
        return;
    case FETCH_CANCEL:
    case FETCH_STOP:
        BUG("a command is not a job");
    }
}

void fetch_file_drop(struct fetch_job *job)
{
    close_version(job);
}
