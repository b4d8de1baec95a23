/* node/io/secrets.c: looks at the credential files when something changed.
 * Thread: "secrets", one, if there is a directory. Owns: the descriptor of inotify.
 * Takes: the end.   Gives: word that the names changed, by the callback.
 * Shares: the table of now, under a mutex; it is never changed, only replaced. */
#include "node/io/secrets.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "node/io/clock.h"
#include "node/io/log.h"
#include "node/io/threads.h"

#define NAMES_MAX 257
#define UNSETTLED_US MSEC(250) /* between two looks at a file that is wrong just now */
#define WATCHED                                                                         \
    (IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | \
     IN_MODIFY | IN_ONLYDIR)

/* What the others are told, and how much is wrong. */
struct summary {
    char names[NAMES_MAX];
    uint32_t left_out;
    uint32_t broken;
};

struct secrets {
    char *directory; /* NULL: none */
    secrets_changed *changed;
    void *self;
    pthread_t thread;
    bool runs;
    int notify; /* -1: the system has none left; looking now and then has to do */
    int wake;
    atomic_bool stopping;
    pthread_mutex_t looking; /* one look at a time; of the three below */
    struct summary told;
    bool unreadable; /* the directory is, and that was logged */
    bool unsettled;
    pthread_mutex_t mutex; /* of `now`, and of `told` for whoever does not hold `looking` */
    struct credentials *now;
};

/* ---- what is said of a look ---- */

static bool is_broken(const struct credential_state *state)
{
    return state->fault != NULL && state->settled;
}

static struct summary summary_of(const struct credentials *table)
{
    struct summary summary = { .broken = 0 };
    summary.left_out = credentials_names(table, summary.names, sizeof summary.names);
    for (uint32_t i = 0; i < credentials_count(table); i++) {
        const struct credential_state state = credentials_at(table, i);
        summary.broken += is_broken(&state) ? 1 : 0;
    }
    return summary;
}

static struct credential_state state_of(const struct credentials *table, const char *name)
{
    for (uint32_t i = 0; table != NULL && i < credentials_count(table); i++) {
        const struct credential_state state = credentials_at(table, i);
        if (strcmp(state.name, name) == 0) {
            return state;
        }
    }
    return (struct credential_state){ .name = name };
}

/* Once for each thing that is wrong. */
static void log_one(const struct credential_state *before, const struct credential_state *after)
{
    const bool same_fault = is_broken(before) && before->fault == after->fault;
    if (is_broken(after) && !same_fault) {
        LOG(LOG_ERROR, "credential.broken", LOG_TEXT("name", after->name),
            LOG_TEXT("why", after->fault),
            LOG_TEXT("text", after->serial != 0 ? "what the file said before stays in use"
                                                : "the name cannot be used until this is mended"));
    } else if (after->fault == NULL && (before->serial != after->serial || is_broken(before))) {
        LOG(LOG_INFO, "credential.read", LOG_TEXT("name", after->name));
    }
}

/* `before` may be NULL. */
static void log_changes(const struct credentials *before, const struct credentials *after)
{
    for (uint32_t i = 0; i < credentials_count(after); i++) {
        const struct credential_state now = credentials_at(after, i);
        const struct credential_state old = state_of(before, now.name);
        log_one(&old, &now);
    }
    for (uint32_t i = 0; before != NULL && i < credentials_count(before); i++) {
        const struct credential_state old = credentials_at(before, i);
        if (old.serial != 0 && state_of(after, old.name).serial == 0) {
            LOG(LOG_WARN, "credential.gone", LOG_TEXT("name", old.name),
                LOG_TEXT("text", "its file was removed: this node reads nothing by that name"));
        }
    }
}

static void log_left_out(const struct summary *before, const struct summary *after)
{
    if (after->left_out > before->left_out) {
        LOG(LOG_ERROR, "credentials.left_out", LOG_NUM("names", after->left_out),
            LOG_TEXT("text", "names of credentials have 256 bytes together; those that do not fit "
                             "are not used: shorten names, or remove files"));
    }
}

/* ---- looking ---- */

/* Is there one by a name that had none, or that had another one? */
static bool has_other_content(const struct credentials *before, const struct credentials *after)
{
    for (uint32_t i = 0; i < credentials_count(after); i++) {
        const struct credential_state now = credentials_at(after, i);
        if (state_of(before, now.name).serial != now.serial) {
            return true;
        }
    }
    return false;
}

/* Under `looking`. */
static void replace(struct secrets *secrets, struct credentials *fresh)
{
    const struct summary summary = summary_of(fresh);
    struct credentials *old = secrets->now;
    const bool other = strcmp(summary.names, secrets->told.names) != 0 ||
                       summary.broken != secrets->told.broken || has_other_content(old, fresh);
    log_changes(old, fresh);
    log_left_out(&secrets->told, &summary);
    secrets->unsettled = credentials_are_unsettled(fresh);
    pthread_mutex_lock(&secrets->mutex);
    secrets->now = fresh;
    secrets->told = summary;
    pthread_mutex_unlock(&secrets->mutex);
    credentials_close(&old);
    if (other && secrets->changed != NULL) {
        secrets->changed(secrets->self, summary.names, summary.broken);
    }
}

static void look(struct secrets *secrets)
{
    char room[512];
    struct text why;
    struct credentials *fresh = NULL;
    text_init(&why, room, sizeof room);
    pthread_mutex_lock(&secrets->looking);
    /* Nobody else replaces `now`: it may be read without its mutex. */
    if (credentials_look(secrets->now, clock_mono_us(), &fresh, &why) == ERR_OK) {
        secrets->unreadable = false;
        replace(secrets, fresh);
    } else if (!secrets->unreadable) {
        secrets->unreadable = true;
        LOG(LOG_ERROR, "credentials.unreadable", LOG_TEXT("why", room),
            LOG_TEXT("text", "what was read before stays in use"));
    }
    pthread_mutex_unlock(&secrets->looking);
}

/* The directory may be another one by now: watched anew each time, which costs nothing. */
static void watch(const struct secrets *secrets)
{
    if (secrets->notify >= 0) {
        (void)inotify_add_watch(secrets->notify, secrets->directory, WATCHED);
    }
}

/* What changed is not looked at: everything is read again. */
static void drain(int fd)
{
    char events[4096];
    while (read(fd, events, sizeof events) > 0) {
    }
}

static void *run(void *self)
{
    struct secrets *secrets = self;
    struct pollfd fds[2] = { { .fd = secrets->wake, .events = POLLIN },
                             { .fd = secrets->notify, .events = POLLIN } };
    while (!atomic_load(&secrets->stopping)) {
        pthread_mutex_lock(&secrets->looking);
        const usec_t wait_us = secrets->unsettled ? UNSETTLED_US : SECRETS_LOOK_US;
        pthread_mutex_unlock(&secrets->looking);
        poll(fds, 2, (int)(wait_us / 1000));
        if (secrets->notify >= 0) {
            drain(secrets->notify);
        }
        if (!atomic_load(&secrets->stopping)) {
            watch(secrets);
            look(secrets);
        }
    }
    return NULL;
}

/* ---- start and end ---- */

static enum err start_thread(struct secrets *secrets)
{
    secrets->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (secrets->wake < 0) {
        return ERR_SYSTEM;
    }
    enum err err = threads_start("secrets", run, secrets, &secrets->thread);
    secrets->runs = err == ERR_OK;
    return err;
}

/* Before the first look, so that no change is missed. */
static enum err start_watching(struct secrets *secrets, const char *directory)
{
    secrets->directory = strdup(directory);
    secrets->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (secrets->directory == NULL) {
        return ERR_NOMEM;
    }
    watch(secrets);
    return ERR_OK;
}

enum err secrets_start(const struct secrets_options *options, struct secrets **out,
                       struct text *why)
{
    struct credentials *first = NULL;
    struct secrets *secrets = calloc(1, sizeof *secrets);
    if (secrets == NULL) {
        return ERR_NOMEM;
    }
    secrets->notify = -1;
    secrets->wake = -1;
    secrets->self = options->self;
    CHECK(pthread_mutex_init(&secrets->looking, NULL) == 0);
    CHECK(pthread_mutex_init(&secrets->mutex, NULL) == 0);
    enum err err =
        options->directory == NULL ? ERR_OK : start_watching(secrets, options->directory);
    if (err == ERR_OK) {
        err = credentials_open(options->directory, options->environment, &first, why);
    }
    if (err == ERR_OK) {
        replace(secrets, first);
        secrets->changed = options->changed; /* of the first look nobody needs to be told */
        err = options->directory == NULL ? ERR_OK : start_thread(secrets);
    }
    if (err != ERR_OK) {
        secrets_stop(&secrets);
        return err;
    }
    *out = secrets;
    return ERR_OK;
}

void secrets_stop(struct secrets **pointer)
{
    struct secrets *secrets = *pointer;
    if (secrets == NULL) {
        return;
    }
    atomic_store(&secrets->stopping, true);
    if (secrets->runs) {
        CHECK(eventfd_write(secrets->wake, 1) == 0);
        threads_join(secrets->thread);
    }
    if (secrets->notify >= 0) {
        close(secrets->notify);
    }
    if (secrets->wake >= 0) {
        close(secrets->wake);
    }
    credentials_close(&secrets->now);
    pthread_mutex_destroy(&secrets->looking);
    pthread_mutex_destroy(&secrets->mutex);
    free(secrets->directory);
    free(secrets);
    *pointer = NULL;
}

/* ---- use ---- */

enum err secrets_find(struct secrets *secrets, const struct credential_use *use,
                      struct credential *out, uint64_t *serial, struct text *why)
{
    pthread_mutex_lock(&secrets->mutex);
    enum err err = credentials_find(secrets->now, use, out, serial, why);
    pthread_mutex_unlock(&secrets->mutex);
    return err;
}

static bool is_other(struct secrets *secrets, const char *name, uint64_t serial)
{
    pthread_mutex_lock(&secrets->mutex);
    const uint64_t now = credentials_serial(secrets->now, name);
    pthread_mutex_unlock(&secrets->mutex);
    return now != 0 && now != serial;
}

bool secrets_refused(struct secrets *secrets, const char *name, uint64_t serial)
{
    if (serial == 0) {
        return false;
    }
    if (!is_other(secrets, name, serial)) {
        look(secrets);
    }
    return is_other(secrets, name, serial);
}

uint32_t secrets_names(struct secrets *secrets, char *out, size_t room)
{
    struct text text;
    text_init(&text, out, room);
    pthread_mutex_lock(&secrets->mutex);
    text_str(&text, secrets->told.names);
    const uint32_t broken = secrets->told.broken;
    pthread_mutex_unlock(&secrets->mutex);
    CHECK(!text.overflow);
    return broken;
}
