/* sim/trial/runs.c: children, and a pipe for the result of each. */
#include "sim/trial/runs.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_SECONDS_MAX 120 /* of processor time */

/* A child that makes one run. */
struct child {
    pid_t pid; /* 0: none */
    uint64_t index;
    int result; /* what it read comes from there */
    int words;  /* what it said on stderr: a file in memory, which takes any length */
};

/* ---- one run in a child ---------------------------------------------------------------------- */

static _Noreturn void run_child(const struct runs *runs, uint64_t index, int result)
{
    static struct trial_result out;
    static struct scenario scenario;
    const struct rlimit limit = { .rlim_cur = RUN_SECONDS_MAX, .rlim_max = RUN_SECONDS_MAX };
    (void)setrlimit(RLIMIT_CPU, &limit);
    (void)mallopt(M_MMAP_THRESHOLD,
                  32 << 20);                  /* copies of payloads come from the heap, again and */
    (void)mallopt(M_TRIM_THRESHOLD, INT_MAX); /* again from pages that are there: twice as fast */
    runs->make(runs->self, index, &scenario);
    trial_run(&scenario, &runs->trial, &out);
    const uint8_t *at = (const uint8_t *)&out;
    size_t left = sizeof out;
    while (left > 0) {
        const ssize_t wrote = write(result, at, left);
        if (wrote <= 0) {
            _exit(3);
        }
        at += wrote;
        left -= (size_t)wrote;
    }
    fflush(NULL);
    _exit(0);
}

/* errno stays. */
static void close_all(const int *fds, uint32_t count)
{
    const int number = errno;
    for (uint32_t i = 0; i < count; i++) {
        close(fds[i]);
    }
    errno = number;
}

/* Signals that end the parent are held back here, too: whatever it dies of, this process goes along. */
static void die_with(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        _exit(3);
    }
}

/* ERR_SYSTEM: errno says why. */
static enum err child_start(const struct runs *runs, uint64_t index, struct child *child)
{
    int fds[3]; /* the ends of a pipe; words */
    if (pipe(fds) != 0) {
        return ERR_SYSTEM;
    }
    fds[2] = memfd_create("words", MFD_CLOEXEC);
    if (fds[2] < 0) {
        close_all(fds, 2);
        return ERR_SYSTEM;
    }
    fflush(NULL);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) {
        close_all(fds, 3);
        return ERR_SYSTEM;
    }
    if (pid == 0) {
        die_with(parent);
        close(fds[0]);
        if (!runs->trial.verbose) {
            dup2(fds[2], STDERR_FILENO);
        }
        run_child(runs, index, fds[1]);
    }
    close(fds[1]);
    *child = (struct child){ .pid = pid, .index = index, .result = fds[0], .words = fds[2] };
    return ERR_OK;
}

/* All of a pipe, or as much as fits. */
static size_t read_all(int fd, void *to, size_t room)
{
    size_t used = 0;
    ssize_t got = 0;
    while (used < room && (got = read(fd, (char *)to + used, room - used)) > 0) {
        used += (size_t)got;
    }
    return used;
}

/* Why a child that gave no result died. */
static void explain(const struct child *child, int status, char *out, size_t room)
{
    lseek(child->words, 0, SEEK_SET);
    const size_t used = read_all(child->words, out, room - 1);
    out[used] = '\0';
    char *line_end = strchr(out, '\n');
    if (line_end != NULL) {
        *line_end = '\0';
    }
    if (used == 0 && WIFSIGNALED(status)) {
        const int signal = WTERMSIG(status);
        const bool is_late = signal == SIGXCPU || signal == SIGKILL;
        snprintf(out, room, "%s", is_late ? "took too long" : strsignal(signal));
    }
}

static void child_end(struct child *child, struct trial_result *out)
{
    int status = 0;
    const size_t got = read_all(child->result, out, sizeof *out);
    const pid_t ended = waitpid(child->pid, &status, 0);
    CHECK(ended == child->pid);
    if (got != sizeof *out) {
        memset(out, 0, sizeof *out);
        out->failed = true;
        explain(child, status, out->failure, sizeof out->failure);
    }
    close(child->result);
    close(child->words);
    child->pid = 0;
}

/* ---- all of them ------------------------------------------------------------------------------- */

/* Wait until a child has something to say, or has ended. NULL: there is none, or *stopped. */
static struct child *wait_for_one(struct child *children, const struct runs *runs, bool *stopped)
{
    struct pollfd fds[RUNS_JOBS_MAX + 1];
    struct child *of[RUNS_JOBS_MAX];
    nfds_t count = 0;
    for (uint32_t i = 0; i < runs->jobs; i++) {
        if (children[i].pid != 0) {
            of[count] = &children[i];
            fds[count++] = (struct pollfd){ .fd = children[i].result, .events = POLLIN };
        }
    }
    if (count == 0) {
        return NULL;
    }
    fds[count] = (struct pollfd){ .fd = runs->stop != NULL ? *runs->stop : -1, .events = POLLIN };
    while (poll(fds, count + 1, -1) < 0) {
        CHECK(errno == EINTR || errno == ENOMEM);
    }
    *stopped = fds[count].revents != 0;
    nfds_t at = 0;
    while (!*stopped && fds[at].revents == 0) {
        at++;
    }
    return *stopped ? NULL : of[at];
}

/* End those that are under way. Returns the lowest of them; `next` when there are none. */
static uint64_t kill_all(struct child *children, uint32_t jobs, uint64_t next)
{
    for (uint32_t i = 0; i < jobs; i++) {
        struct child *child = &children[i];
        if (child->pid != 0) {
            kill(child->pid, SIGKILL);
            const pid_t ended = waitpid(child->pid, NULL, 0);
            CHECK(ended == child->pid);
            close(child->result);
            close(child->words);
            child->pid = 0;
            next = child->index < next ? child->index : next;
        }
    }
    return next;
}

enum err runs_go(const struct runs *runs)
{
    static struct trial_result result;
    struct child children[RUNS_JOBS_MAX] = { 0 };
    struct child *child = NULL;
    uint64_t started = 0;
    bool enough = false;
    bool stopped = false;
    int number = 0;
    enum err err = ERR_OK;
    CHECK(runs->jobs > 0 && runs->jobs <= RUNS_JOBS_MAX);
    do {
        for (uint32_t i = 0; i < runs->jobs && err == ERR_OK; i++) {
            if (children[i].pid == 0 && started < runs->count && !enough) {
                err = child_start(runs, started, &children[i]);
                started += err == ERR_OK;
                number = errno;
            }
        }
        child = wait_for_one(children, runs, &stopped);
        if (child != NULL) {
            const uint64_t index = child->index;
            child_end(child, &result);
            enough |= !runs->done(runs->self, index, &result);
        }
    } while (child != NULL);
    const uint64_t over = kill_all(children, runs->jobs, started);
    if (runs->over != NULL) {
        *runs->over = over;
    }
    errno = number;
    return stopped ? ERR_CANCELLED : err;
}
