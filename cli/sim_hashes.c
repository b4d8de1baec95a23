/* cli/sim_hashes.c: a file that is there whole, or as it was. */
#include "cli/sim_hashes.h"

#include <errno.h>
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

/* What is no regular file cannot be replaced: a device, a pipe. NULL: errno says why. */
static FILE *open_file(struct sim_hashes *hashes)
{
    struct stat stat_of;
    const bool exists = stat(hashes->path, &stat_of) == 0;
    if (exists && is_output(&stat_of)) {
        const int fd = dup(STDOUT_FILENO);
        return fd < 0 ? NULL : fdopen(fd, "w");
    }
    if (exists && !S_ISREG(stat_of.st_mode)) {
        return fopen(hashes->path, "we");
    }
    char *real = exists ? realpath(hashes->path, NULL) : NULL;
    if (exists && (real == NULL || access(real, W_OK) != 0)) {
        free(real);
        return NULL;
    }
    if (exists) {
        free(hashes->path);
        hashes->path = real;
    }
    if (asprintf(&hashes->partial, "%s.partial", hashes->path) < 0) {
        hashes->partial = NULL;
        return NULL;
    }
    return fopen(hashes->partial, "we");
}

enum err sim_hashes_new(const char *path, uint64_t count, struct sim_hashes **out)
{
    enum err err = ERR_NOMEM;
    struct sim_hashes *hashes = calloc(1, sizeof *hashes);
    if (hashes != NULL) {
        hashes->path = strdup(path);
        hashes->hash = calloc(count, sizeof *hashes->hash);
    }
    if (hashes != NULL && hashes->path != NULL && hashes->hash != NULL) {
        hashes->file = open_file(hashes);
        err = hashes->file == NULL ? ERR_INVALID : ERR_OK;
    }
    if (err == ERR_OK) {
        *out = hashes;
        return ERR_OK;
    }
    fprintf(stderr, "atoll sim fuzz: --hashes: %s: %s\n", path, strerror(errno));
    if (hashes != NULL) {
        hashes_free(&hashes);
    }
    return err;
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

enum err sim_hashes_end(struct sim_hashes **hashes, uint64_t first, uint64_t count, bool whole)
{
    struct sim_hashes *own = *hashes;
    const bool beside = own->partial != NULL;
    bool good = write_lines(own, first, count);
    if (good && beside && whole) {
        good = rename(own->partial, own->path) == 0;
    }
    if (!good) {
        fprintf(stderr, "atoll sim fuzz: --hashes: %s could not be written: %s\n", own->path,
                strerror(errno));
    }
    if (beside && (!good || (!whole && count == 0))) {
        unlink(own->partial);
    } else if (beside && !whole) {
        fprintf(stderr, "atoll sim fuzz: their hashes are in %s\n", own->partial);
    }
    hashes_free(hashes);
    return good ? ERR_OK : ERR_FULL;
}
