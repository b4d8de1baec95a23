#include "fs/point.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/io/mountinfo.h"

enum mounted { MOUNTED_NOTHING, MOUNTED_ATOLL, MOUNTED_OTHER };

static enum err refuse(struct text *why, const char *dir, const char *what)
{
    text_str(why, dir);
    text_str(why, ": ");
    text_str(why, what);
    return ERR_INVALID;
}

static enum mounted mounted_at(const char *dir)
{
    struct mountinfo found;
    if (!mountinfo_of(dir, &found) || strcmp(found.dir, dir) != 0) {
        return MOUNTED_NOTHING;
    }
    return strcmp(found.type, "fuse.atoll") == 0 ? MOUNTED_ATOLL : MOUNTED_OTHER;
}

static bool detach(const char *dir)
{
    int status = -1;
    pid_t child;
    if (umount2(dir, MNT_DETACH) == 0) {
        return true;
    }
    child = fork();
    if (child == 0) {
        execlp("fusermount3", "fusermount3", "-u", "-z", "-q", "--", dir, (char *)NULL);
        _exit(127);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool is_empty(const char *dir)
{
    struct dirent *entry;
    int count = 0;
    DIR *stream = opendir(dir);
    while (stream != NULL && count < 3 && (entry = readdir(stream)) != NULL) {
        count++;
    }
    if (stream != NULL) {
        closedir(stream);
    }
    return count <= 2;
}

static enum err check_directory(const char *dir, bool nonempty, struct text *why)
{
    struct stat st;
    if (stat(dir, &st) != 0) {
        return refuse(why, dir,
                      errno == ENOENT ? "no such directory; create it first" : strerror(errno));
    }
    if (!S_ISDIR(st.st_mode)) {
        return refuse(why, dir, "not a directory; a mount point must be one");
    }
    if (mounted_at(dir) == MOUNTED_ATOLL) {
        return refuse(why, dir, "Atoll is mounted here already; unmount with fusermount3 -u");
    }
    if (mounted_at(dir) == MOUNTED_OTHER) {
        return refuse(why, dir, "something else is mounted here; choose another directory");
    }
    if (!nonempty && !is_empty(dir)) {
        return refuse(why, dir, "not empty; its files would be hidden (-o nonempty allows it)");
    }
    return ERR_OK;
}

/* The kernel may still know the root's attributes: only what it has to ask for tells. A mount that
 * lives answers statfs by itself, however its nodes are. */
static bool is_stale(const char *dir)
{
    struct statfs st;
    return statfs(dir, &st) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

enum err point_check(const char *dir, bool nonempty, bool *recovered, struct text *why)
{
    *recovered = false;
    if (is_stale(dir)) {
        if (mounted_at(dir) != MOUNTED_ATOLL) {
            return refuse(why, dir, "a mount of something else is stale here; unmount it first");
        }
        if (!detach(dir)) {
            return refuse(why, dir, "a stale mount cannot be removed; try fusermount3 -u -z");
        }
        *recovered = true;
    }
    return check_directory(dir, nonempty, why);
}

enum err point_check_descriptor(const char *dir, struct text *why)
{
    const char *number = strrchr(dir, '/') + 1;
    struct stat fuse;
    struct stat st;
    if (stat("/dev/fuse", &fuse) != 0) {
        return refuse(why, "/dev/fuse", strerror(errno));
    }
    if (fstat(atoi(number), &st) != 0 || !S_ISCHR(st.st_mode) || st.st_rdev != fuse.st_rdev) {
        return refuse(why, dir, "not an open /dev/fuse; whoever starts the mount must pass it on");
    }
    return ERR_OK;
}

void point_read_ahead(const char *dir, unsigned kib)
{
    char path[96];
    struct stat st;
    FILE *file;
    if (stat(dir, &st) != 0) {
        return;
    }
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev),
             minor(st.st_dev));
    file = fopen(path, "we");
    if (file != NULL) {
        fprintf(file, "%u\n", kib);
        fclose(file);
    }
}
