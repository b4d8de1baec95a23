/* tests/fuzz/scratch.h: the input as a file, for what is read by name. */
#pragma once
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"

/* A file in memory with these bytes, for its owner alone. Each `number` is another one, up to 3. */
static inline const char *scratch_file(unsigned number, struct span bytes)
{
    static char paths[4][32];
    static int fds[4];
    CHECK(number < 4);
    if (paths[number][0] == '\0') {
        fds[number] = memfd_create("scratch", MFD_CLOEXEC);
        CHECK(fds[number] >= 0 && fchmod(fds[number], 0600) == 0);
        snprintf(paths[number], sizeof paths[number], "/proc/self/fd/%d", fds[number]);
    }
    CHECK(ftruncate(fds[number], 0) == 0);
    CHECK(bytes.size == 0 || pwrite(fds[number], bytes.data, bytes.size, 0) == (ssize_t)bytes.size);
    return paths[number];
}

static char scratch_dir_path[] = "/tmp/atoll-fuzz-XXXXXX";

static void scratch_dir_remove(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", scratch_dir_path);
    (void)!system(command);
}

/* A directory of this process, gone when it ends. */
static inline const char *scratch_dir(void)
{
    static bool made;
    if (!made) {
        CHECK(mkdtemp(scratch_dir_path) != NULL && atexit(scratch_dir_remove) == 0);
        made = true;
    }
    return scratch_dir_path;
}

/* In it, `name` is scratch_file(number). */
static inline void scratch_link(const char *name, unsigned number)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", scratch_dir(), name);
    (void)unlink(path);
    CHECK(symlink(scratch_file(number, span_of(NULL, 0)), path) == 0);
}

/* What is before the first byte `end`, taken off *rest with that byte. */
static inline struct span scratch_take(struct span *rest, uint8_t end)
{
    const uint8_t *at = rest->size == 0 ? NULL : memchr(rest->data, end, rest->size);
    struct span part = *rest;
    if (at == NULL) {
        *rest = span_of(rest->data, 0);
        return part;
    }
    part.size = (size_t)(at - rest->data);
    *rest = span_of(at + 1, rest->size - part.size - 1);
    return part;
}

/* As a string on the heap, so that reading behind it is seen; cut at a zero byte. */
static inline char *scratch_string(struct span bytes)
{
    char *text = malloc(bytes.size + 1);
    CHECK(text != NULL);
    if (bytes.size > 0) {
        memcpy(text, bytes.data, bytes.size);
    }
    text[bytes.size] = '\0';
    return text;
}
