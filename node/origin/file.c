/* node/origin/file.c: versions of files below a root. */
#include "node/origin/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "node/origin/source.h"

#define PATH_SIZE (SOURCE_BUCKET_MAX + SOURCE_PREFIX_MAX + 2)

static enum err fail(struct text *why, enum err err, const char *root, struct span key)
{
    text_str(why, root);
    text_char(why, '/');
    text_span(why, key);
    text_str(why, ": ");
    text_str(why, strerrordesc_np(errno));
    return err;
}

static enum err of_errno(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV: /* leads out of the root */
    case ENAMETOOLONG:
        return ERR_SOURCE_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERR_SOURCE_DENIED;
    default:
        return ERR_SOURCE_UNREACHABLE;
    }
}

int file_open_beneath(int directory, const char *path, int flags)
{
    struct open_how how = { .flags = (__u64)(unsigned int)(flags | O_CLOEXEC),
                            .resolve = RESOLVE_BENEATH };
    return (int)syscall(SYS_openat2, directory, path[0] == '\0' ? "." : path, &how, sizeof how);
}

static int open_below_root(const char *root, const char *path)
{
    int fd, error;
    int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return -1;
    }
    /* NONBLOCK: opening a pipe must not wait for its writer. */
    fd = file_open_beneath(directory, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    error = errno;
    close(directory);
    errno = error;
    return fd;
}

static void write_pin(const struct stat *st, char *pin)
{
    snprintf(pin, FILE_PIN_MAX, "%" PRIx64 "-%" PRIx64 ".%lx-%" PRIx64, (uint64_t)st->st_size,
             (uint64_t)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec,
             (uint64_t)st->st_ino);
}

void file_describe(const struct stat *st, struct file_version *out)
{
    write_pin(st, out->pin);
    out->size = (uint64_t)st->st_size;
    out->mtime_us = SEC(st->st_mtim.tv_sec) + st->st_mtim.tv_nsec / 1000;
}

enum err file_open(const char *root, struct span key, struct span pin, struct file_version *out,
                   struct text *why)
{
    char path[PATH_SIZE];
    struct text text;
    struct stat st;
    struct file_version file = { .fd = -1 };
    enum err err = ERR_SOURCE_NOT_FOUND;
    text_init(&text, path, sizeof path);
    text_span(&text, key);
    errno = ENAMETOOLONG;
    if (!text.overflow && memchr(key.data, 0, key.size) == NULL) {
        file.fd = open_below_root(root, path);
    }
    if (file.fd < 0) {
        err = of_errno(errno);
        return fail(why, err == ERR_SOURCE_NOT_FOUND && pin.size > 0 ? ERR_CHANGED : err, root,
                    key);
    }
    if (fstat(file.fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        errno = EISDIR;
        (void)fail(why, err, root, key);
        goto out;
    }
    file_describe(&st, &file);
    if (pin.size > 0 && !span_equal(pin, span_text(file.pin))) {
        text_str(why, "the file is another one now");
        err = ERR_CHANGED;
        goto out;
    }
    *out = file;
    return ERR_OK;
out:
    close(file.fd);
    return err;
}

enum err file_read(const struct file_version *file, uint64_t offset, uint8_t *data, uint64_t size)
{
    char pin[FILE_PIN_MAX];
    struct stat st;
    while (size > 0) {
        ssize_t got = pread(file->fd, data, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return ERR_SOURCE_UNREACHABLE;
        }
        if (got == 0) {
            return ERR_CHANGED;
        }
        data += got;
        offset += (uint64_t)got;
        size -= (uint64_t)got;
    }
    if (fstat(file->fd, &st) != 0) {
        return ERR_SOURCE_UNREACHABLE;
    }
    write_pin(&st, pin);
    return strcmp(pin, file->pin) == 0 ? ERR_OK : ERR_CHANGED;
}

void file_close(struct file_version *file)
{
    close(file->fd);
    file->fd = -1;
}
