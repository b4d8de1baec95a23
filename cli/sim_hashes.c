/* cli/sim_hashes.c: a file that is there whole, or as it was. */
#include "cli/sim_hashes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sim_hashes {
    char *path;    /* as links lead to it */
    char *partial; /* NULL: written in place */
    FILE *file;
    uint64_t *hash;
};

static void hashes_free(struct sim_hashes **hashes)
{
    struct sim_hashes *own = *hashes;
    if (own->file != NULL) {
        fclose(own->file);
    }
    free(own->path);
    free(own->partial);
    free(own->hash);
    free(own);
    *hashes = NULL;
}

/* Is it this process's standard output, whatever its name? It has a place in it then. */
static bool is_output(const struct stat *file)
{
    struct stat out;
    return fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == file->st_dev &&
           out.st_ino == file->st_ino;
}

static void refuse(const char *path, const char *why)
{
    fprintf(stderr, "atoll sim fuzz: --hashes: %s: %s\n", path, why);
}

/* NULL: told. One that is there has hashes of a run that was ended: they are not to be lost. */
static FILE *open_partial(const char *path)
{
    FILE *file = fopen(path, "wxe");
    if (file == NULL && errno == EEXIST) {
        fprintf(stderr,
                "atoll sim fuzz: --hashes: %s is there, of a run that was ended: move it away or "
                "remove it\n",
                path);
    } else if (file == NULL) {
        fprintf(stderr, "atoll sim fuzz: --hashes: %s cannot be made: %s\n", path, strerror(errno));
    }
    return file;
}

/* NULL: told. What is no regular file cannot be replaced: a device, a pipe. */
static FILE *open_in_place(const char *path, bool output)
{
    const int fd = output ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL) {
        refuse(path, strerror(errno));
    }
    return file;
}

/* The path that links lead to. NULL: told. */
static char *real_path(const char *path)
{
    char *real = realpath(path, NULL);
    if (real == NULL || access(real, W_OK) != 0) {
        refuse(path, strerror(errno));
        free(real);
        return NULL;
    }
    return real;
}

/* NULL: told. */
static FILE *open_file(struct sim_hashes *hashes, const char *path)
{
    struct stat stat_of;
    struct stat link_of;
    const bool exists = stat(path, &stat_of) == 0;
    if (!exists && lstat(path, &link_of) == 0) {
        refuse(path, "a link that leads to nothing");
        return NULL;
    }
    if (exists && (is_output(&stat_of) || !S_ISREG(stat_of.st_mode))) {
        hashes->path = strdup(path);
        return open_in_place(path, is_output(&stat_of));
    }
    hashes->path = exists ? real_path(path) : strdup(path);
    if (hashes->path == NULL || asprintf(&hashes->partial, "%s.partial", hashes->path) < 0) {
        hashes->partial = NULL;
        return NULL;
    }
    return open_partial(hashes->partial);
}

enum err sim_hashes_new(const char *path, uint64_t count, struct sim_hashes **out)
{
    struct sim_hashes *hashes = calloc(1, sizeof *hashes);
    if (hashes != NULL) {
        hashes->hash = calloc(count, sizeof *hashes->hash);
    }
    if (hashes == NULL || hashes->hash == NULL) {
        refuse(path, strerror(ENOMEM));
        free(hashes);
        return ERR_NOMEM;
    }
    hashes->file = open_file(hashes, path);
    if (hashes->file == NULL) {
        hashes_free(&hashes);
        return ERR_INVALID;
    }
    *out = hashes;
    return ERR_OK;
}

void sim_hashes_set(struct sim_hashes *hashes, uint64_t index, uint64_t hash)
{
    hashes->hash[index] = hash;
}

/* false: errno says why. */
static bool write_lines(struct sim_hashes *hashes, uint64_t first, uint64_t count)
{
    bool good = true;
    for (uint64_t i = 0; i < count && good; i++) {
        good =
            fprintf(hashes->file, "%" PRIu64 " %016" PRIx64 "\n", first + i, hashes->hash[i]) > 0;
    }
    good = good && fflush(hashes->file) == 0;
    const int number = errno;
    const bool closed = fclose(hashes->file) == 0;
    hashes->file = NULL;
    errno = good ? errno : number;
    return good && closed;
}

/* The file is there, beside the older one. false: told. */
static bool end_partial(const struct sim_hashes *own, bool whole)
{
    if (whole && rename(own->partial, own->path) == 0) {
        return true;
    }
    if (whole) {
        fprintf(stderr,
                "atoll sim fuzz: --hashes: %s could not be replaced: %s; all hashes are in %s\n",
                own->path, strerror(errno), own->partial);
        return false;
    }
    fprintf(stderr, "atoll sim fuzz: their hashes are in %s: move it away before the next run\n",
            own->partial);
    return true;
}

enum err sim_hashes_end(struct sim_hashes **hashes, uint64_t first, uint64_t count, bool whole)
{
    struct sim_hashes *own = *hashes;
    const bool beside = own->partial != NULL;
    bool good = write_lines(own, first, count);
    if (!good) {
        fprintf(stderr, "atoll sim fuzz: --hashes: %s could not be written: %s\n",
                beside ? own->partial : own->path, strerror(errno));
    }
    if (beside && (!good || count == 0)) {
        unlink(own->partial);
    } else if (beside) {
        good = end_partial(own, whole);
    }
    hashes_free(hashes);
    return good ? ERR_OK : ERR_FULL;
}
