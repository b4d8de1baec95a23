/* node/io/disk_files.c: marker, lock and segment files of one tier.
 * Shares: the table of open descriptors, under a mutex. */
#include "node/io/disk_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/next.h"
#include "node/io/disk_actor.h"

#define MARKER "atoll-tier.json"
#define MARKER_VERSION 1
#define OPEN_MAX_FILES 128

struct slot {
    int fd; /* -1: free */
    uint32_t segment;
    uint32_t refs;
    bool gone; /* unlinked: closed when the last one gives it back */
    uint64_t used;
};

struct disk_files {
    int dir;    /* DIR/segments */
    int marker; /* holds the lock */
    char *path;
    bool is_new; /* the marker was made by this process */
    bool made_dir;
    bool abandoned;
    char uuid[DISK_UUID_SIZE];
    pthread_mutex_t mutex;
    uint64_t clock;
    struct slot slots[OPEN_MAX_FILES];
};

static enum err refuse(struct text *why, const char *dir, const char *reason)
{
    text_str(why, "tier ");
    text_str(why, dir);
    text_str(why, ": ");
    text_str(why, reason);
    return ERR_INVALID;
}

static void segment_name(uint32_t segment, char out[9])
{
    snprintf(out, 9, "%08x", segment);
}

/* ---- marker ---------------------------------------------------------------------------------- */

static enum err write_marker(struct disk_files *files, const char *dir, struct text *why)
{
    uint8_t random[16];
    char text[160];
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(files->uuid, sizeof files->uuid, random, sizeof random);
    const int size = snprintf(text, sizeof text,
                              "{\"kind\": \"atoll-tier\", \"version\": %d, \"uuid\": \"%s\"%s}\n",
                              MARKER_VERSION, files->uuid, IS_NEXT ? ", \"next\": [1]" : "");
    if (pwrite(files->marker, text, (size_t)size, 0) != size || fsync(files->marker) != 0) {
        return refuse(why, dir, strerror(errno));
    }
    return ERR_OK;
}

static enum err read_marker(struct disk_files *files, const char *dir, struct text *why)
{
    char text[4096];
    const ssize_t size = pread(files->marker, text, sizeof text, 0);
    json_t *root = size > 0 ? json_loadb(text, (size_t)size, 0, NULL) : NULL;
    const char *kind = json_string_value(json_object_get(root, "kind"));
    const char *uuid = json_string_value(json_object_get(root, "uuid"));
    const json_int_t version = json_integer_value(json_object_get(root, "version"));
    const bool ours = kind != NULL && strcmp(kind, "atoll-tier") == 0 && version >= 1;
    enum err err = ERR_OK;
    if (ours && version > MARKER_VERSION) {
        (void)refuse(why, dir, "written by a newer version of Atoll; it is left alone");
        err = ERR_VERSION;
    } else if (!ours || uuid == NULL || strlen(uuid) != DISK_UUID_SIZE - 1) {
        err = refuse(why, dir, MARKER " is damaged; remove the directory's contents to start anew");
    } else {
        memcpy(files->uuid, uuid, DISK_UUID_SIZE);
    }
    json_decref(root);
    return err;
}

/* A directory that is somebody else's must not be filled with segments. */
static bool is_empty(int dir)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    bool empty = true;
    const struct dirent *entry;
    while (list != NULL && (entry = readdir(list)) != NULL) {
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                          strcmp(entry->d_name, "lost+found") == 0);
    }
    if (list != NULL) {
        closedir(list);
    }
    return empty;
}

static enum err open_marker(struct disk_files *files, int top, const char *dir,
                            const char *expected, struct text *why)
{
    files->marker = openat(top, MARKER, O_RDWR | O_CLOEXEC);
    const bool is_new = files->marker < 0 && errno == ENOENT;
    if (is_new && expected != NULL) {
        return refuse(why, dir,
                      "this node kept blocks here and its marker is gone: is the disk mounted? "
                      "(to start anew, remove tiers.json from the node's --data-dir)");
    }
    if (is_new && !is_empty(top)) {
        return refuse(why, dir, "neither empty nor a tier of Atoll; give an empty directory");
    }
    if (is_new) {
        files->marker = openat(top, MARKER, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        files->is_new = files->marker >= 0;
    }
    if (files->marker < 0) {
        return refuse(why, dir, strerror(errno));
    }
    if (flock(files->marker, LOCK_EX | LOCK_NB) != 0) {
        return refuse(why, dir, "another node keeps its blocks here");
    }
    enum err err = is_new ? write_marker(files, dir, why) : read_marker(files, dir, why);
    if (err == ERR_OK && expected != NULL && strcmp(expected, files->uuid) != 0) {
        err = refuse(why, dir,
                     "this is not the disk that this node used here before (to use it anyway, "
                     "remove tiers.json from the node's --data-dir)");
    }
    return err;
}

/* ---- room ------------------------------------------------------------------------------------ */

static uint64_t used_bytes(int dir)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    uint64_t used = 0;
    const struct dirent *entry;
    struct stat stat;
    while (list != NULL && (entry = readdir(list)) != NULL) {
        if (fstatat(dir, entry->d_name, &stat, 0) == 0 && S_ISREG(stat.st_mode)) {
            used += (uint64_t)stat.st_blocks * 512;
        }
    }
    if (list != NULL) {
        closedir(list);
    }
    return used;
}

static void put_size(struct text *text, uint64_t bytes)
{
    const uint32_t unit = bytes >> 40 != 0 ? 40 : bytes >> 30 != 0 ? 30 : 20;
    text_fixed(text, (int64_t)(bytes >> (unit - 10)) * 100 / 1024, 2);
    text_str(text, unit == 40 ? " TiB" : unit == 30 ? " GiB" : " MiB");
}

/* Before anything is written: what is free, and what segments take that are there already. */
static enum err check_room(int top, const char *dir, uint64_t quota, struct text *why)
{
    struct statvfs room;
    int segments = openat(top, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const uint64_t used = segments >= 0 ? used_bytes(segments) : 0;
    if (segments >= 0) {
        close(segments);
    }
    if (fstatvfs(top, &room) != 0) {
        return refuse(why, dir, strerror(errno));
    }
    const uint64_t free_bytes = (uint64_t)room.f_bavail * room.f_frsize;
    if (quota <= free_bytes + used) {
        return ERR_OK;
    }
    (void)refuse(why, dir, "the quota of ");
    put_size(why, quota);
    text_str(why, " is more than there is: ");
    put_size(why, free_bytes);
    text_str(why, " free and ");
    put_size(why, used);
    text_str(why, " in segments");
    return ERR_INVALID;
}

/* ---- open and close -------------------------------------------------------------------------- */

static enum err open_all(struct disk_files *files, const char *dir, uint64_t quota,
                         const char *expected, struct text *why)
{
    files->made_dir = expected == NULL && mkdir(dir, 0700) == 0;
    int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0) {
        return refuse(why, dir, strerror(errno));
    }
    enum err err = check_room(top, dir, quota, why);
    if (err == ERR_OK) {
        err = open_marker(files, top, dir, expected, why);
    }
    if (err == ERR_OK && mkdirat(top, "segments", 0700) != 0 && errno != EEXIST) {
        err = refuse(why, dir, strerror(errno));
    }
    if (err == ERR_OK) {
        files->dir = openat(top, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        err = files->dir < 0 ? refuse(why, dir, strerror(errno)) : ERR_OK;
    }
    close(top);
    return err;
}

enum err disk_files_open(const char *dir, uint64_t quota, const char *expected_uuid,
                         struct disk_files **out, struct text *why)
{
    struct disk_files *files = calloc(1, sizeof *files);
    if (files == NULL) {
        return ERR_NOMEM;
    }
    files->dir = -1;
    files->marker = -1;
    for (uint32_t i = 0; i < OPEN_MAX_FILES; i++) {
        files->slots[i].fd = -1;
    }
    CHECK(pthread_mutex_init(&files->mutex, NULL) == 0);
    files->path = strdup(dir);
    enum err err =
        files->path == NULL ? ERR_NOMEM : open_all(files, dir, quota, expected_uuid, why);
    if (err != ERR_OK) {
        files->abandoned = true;
        disk_files_close(&files);
        return err;
    }
    *out = files;
    return ERR_OK;
}

void disk_files_abandon(struct disk_files *files)
{
    files->abandoned = true;
}

/* Only what this process has made; a directory that has got something in it stays. */
static void remove_traces(const struct disk_files *files)
{
    int top = open(files->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top >= 0 && files->is_new) {
        unlinkat(top, "segments", AT_REMOVEDIR);
        unlinkat(top, MARKER, 0);
    }
    if (top >= 0) {
        close(top);
    }
    if (files->made_dir) {
        rmdir(files->path);
    }
}

void disk_files_close(struct disk_files **pointer)
{
    struct disk_files *files = *pointer;
    if (files == NULL) {
        return;
    }
    for (uint32_t i = 0; i < OPEN_MAX_FILES; i++) {
        if (files->slots[i].fd >= 0) {
            close(files->slots[i].fd);
        }
    }
    if (files->abandoned && files->path != NULL) {
        remove_traces(files);
    }
    if (files->dir >= 0) {
        close(files->dir);
    }
    if (files->marker >= 0) {
        close(files->marker);
    }
    pthread_mutex_destroy(&files->mutex);
    free(files->path);
    free(files);
    *pointer = NULL;
}

const char *disk_files_uuid(const struct disk_files *files)
{
    return files->uuid;
}

/* ---- segments -------------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool segment_number(const char *name, uint32_t *out)
{
    char *end = NULL;
    if (strlen(name) != 8 || strspn(name, "0123456789abcdef") != 8) {
        return false;
    }
    *out = (uint32_t)strtoul(name, &end, 16);
    return true;
}

enum err disk_files_list(struct disk_files *files, uint32_t **out, uint32_t *count)
{
    int copy = openat(files->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    uint32_t *numbers = NULL;
    uint32_t found = 0;
    uint32_t room = 0;
    uint32_t number;
    const struct dirent *entry;
    if (list == NULL) {
        return ERR_SYSTEM;
    }
    while ((entry = readdir(list)) != NULL) {
        if (!segment_number(entry->d_name, &number)) {
            continue;
        }
        if (found == room) {
            room = room * 2 + 64;
            uint32_t *more = realloc(numbers, room * sizeof *numbers);
            if (more == NULL) {
                free(numbers);
                closedir(list);
                return ERR_NOMEM;
            }
            numbers = more;
        }
        numbers[found++] = number;
    }
    closedir(list);
    if (found > 0) {
        qsort(numbers, found, sizeof *numbers, compare_numbers);
    }
    *out = numbers;
    *count = found;
    return ERR_OK;
}

static struct slot *find_slot(struct disk_files *files, uint32_t segment)
{
    for (uint32_t i = 0; i < OPEN_MAX_FILES; i++) {
        struct slot *slot = &files->slots[i];
        if (slot->fd >= 0 && slot->segment == segment && !slot->gone) {
            return slot;
        }
    }
    return NULL;
}

/* A free one, or the one that nobody has used for longest; more threads than slots there are not. */
static struct slot *spare_slot(struct disk_files *files)
{
    struct slot *best = NULL;
    for (uint32_t i = 0; i < OPEN_MAX_FILES; i++) {
        struct slot *slot = &files->slots[i];
        if (slot->fd < 0) {
            return slot;
        }
        if (slot->refs == 0 && (best == NULL || slot->used < best->used)) {
            best = slot;
        }
    }
    CHECK(best != NULL);
    close(best->fd);
    best->fd = -1;
    return best;
}

int disk_files_take(struct disk_files *files, uint32_t segment, bool create)
{
    char name[9];
    int fd = -1;
    segment_name(segment, name);
    pthread_mutex_lock(&files->mutex);
    struct slot *slot = find_slot(files, segment);
    if (slot == NULL) {
        fd = openat(files->dir, name, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
        if (fd >= 0) {
            slot = spare_slot(files);
            *slot = (struct slot){ .fd = fd, .segment = segment };
        }
    }
    if (slot != NULL) {
        slot->refs++;
        slot->used = ++files->clock;
        fd = slot->fd;
    }
    pthread_mutex_unlock(&files->mutex);
    return fd;
}

/* Was the segment unlinked while it was in use, then `gone` finds its slot. */
static struct slot *find_taken(struct disk_files *files, uint32_t segment)
{
    for (uint32_t i = 0; i < OPEN_MAX_FILES; i++) {
        struct slot *slot = &files->slots[i];
        if (slot->fd >= 0 && slot->segment == segment && slot->refs > 0) {
            return slot;
        }
    }
    BUG("a segment is given back that nobody took");
}

void disk_files_give(struct disk_files *files, uint32_t segment)
{
    pthread_mutex_lock(&files->mutex);
    struct slot *slot = find_taken(files, segment);
    slot->refs--;
    if (slot->refs == 0 && slot->gone) {
        close(slot->fd);
        slot->fd = -1;
    }
    pthread_mutex_unlock(&files->mutex);
}

void disk_files_unlink(struct disk_files *files, uint32_t segment)
{
    char name[9];
    segment_name(segment, name);
    pthread_mutex_lock(&files->mutex);
    unlinkat(files->dir, name, 0);
    struct slot *slot = find_slot(files, segment);
    if (slot != NULL && slot->refs == 0) {
        close(slot->fd);
        slot->fd = -1;
    } else if (slot != NULL) {
        slot->gone = true;
    }
    pthread_mutex_unlock(&files->mutex);
}
