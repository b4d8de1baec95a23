/* node/io/key_json.c: JSON with hex in it. Secrets are wiped from memory after use. */
#include "node/io/key_json.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/next.h"

#define FILE_MAX_BYTES 65536

enum err key_json_refuse(enum err err, struct text *why, const char *path, const char *reason)
{
    text_str(why, path);
    text_str(why, ": ");
    text_str(why, reason);
    return err;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static enum err open_secret(const char *path, int *out, struct text *why)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would be waited for */
    if (fd < 0) {
        const enum err err = errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID;
        return key_json_refuse(err, why, path, strerror(errno));
    }
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        close(fd);
        return key_json_refuse(ERR_INVALID, why, path, "not a regular file");
    }
    if ((stat.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        close(fd);
        return key_json_refuse(ERR_INVALID, why, path,
                               "holds secrets and others can read it: chmod 600 it");
    }
    *out = fd;
    return ERR_OK;
}

static enum err check_form(const json_t *root, const char *path, const char *kind, struct text *why)
{
    const json_t *version = json_object_get(root, "version");
    const json_t *found = json_object_get(root, "kind");
    if (!json_is_integer(version) || !json_is_string(found)) {
        return key_json_refuse(ERR_MALFORMED, why, path, "not a file of keys of Atoll");
    }
    if (json_integer_value(version) > KEY_JSON_VERSION) {
        return key_json_refuse(
            ERR_VERSION, why, path,
            "written by a newer version of Atoll; this one does not understand it");
    }
    if (strcmp(json_string_value(found), kind) != 0) {
        text_str(why, path);
        text_str(why, ": a file of kind ");
        text_str(why, json_string_value(found));
        text_str(why, ", wanted one of kind ");
        text_str(why, kind);
        return ERR_INVALID;
    }
    return ERR_OK;
}

enum err key_json_load(const char *path, const char *kind, json_t **out, struct text *why)
{
    char data[FILE_MAX_BYTES];
    json_error_t error;
    int fd = -1;
    enum err err = open_secret(path, &fd, why);
    if (err != ERR_OK) {
        return err;
    }
    const ssize_t size = read(fd, data, sizeof data);
    close(fd);
    json_t *root = size <= 0 ? NULL : json_loadb(data, (size_t)size, 0, &error);
    sodium_memzero(data, sizeof data);
    if (root == NULL) {
        return key_json_refuse(ERR_MALFORMED, why, path, "not a file of keys of Atoll: no JSON");
    }
    err = check_form(root, path, kind, why);
    if (err != ERR_OK) {
        json_decref(root);
        return err;
    }
    *out = root;
    return ERR_OK;
}

bool key_json_bytes(const json_t *root, const struct key_field *field)
{
    size_t got = 0;
    const char *text = json_string_value(json_object_get(root, field->name));
    return text != NULL && strlen(text) == 2 * field->size &&
           sodium_hex2bin(field->bytes, field->size, text, strlen(text), NULL, &got, NULL) == 0 &&
           got == field->size;
}

bool key_json_fields(const json_t *root, const struct key_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!key_json_bytes(root, &fields[i])) {
            return false;
        }
    }
    return true;
}

bool key_json_number(const json_t *root, const char *name, uint32_t most, uint32_t *out)
{
    const json_t *value = json_object_get(root, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > most) {
        return false;
    }
    *out = (uint32_t)json_integer_value(value);
    return true;
}

bool key_json_cluster(const json_t *root, char out[65])
{
    const char *text = json_string_value(json_object_get(root, "cluster"));
    if (text == NULL || text[0] == 0 || strlen(text) > 64) {
        return false;
    }
    memcpy(out, text, strlen(text) + 1);
    return true;
}

/* ---- writing ----------------------------------------------------------------------------------- */

bool key_json_put(json_t *root, const struct key_field *field)
{
    char text[2 * KEY_JSON_FIELD_MAX + 1];
    sodium_bin2hex(text, sizeof text, field->bytes, field->size);
    const bool put = json_object_set_new(root, field->name, json_string(text)) == 0;
    sodium_memzero(text, sizeof text);
    return put;
}

json_t *key_json_begin(const char *kind, const char *cluster, uint32_t slots_log2)
{
    json_t *root = json_pack("{s:s, s:i, s:s, s:i}", "kind", kind, "version", KEY_JSON_VERSION,
                             "cluster", cluster, "slots_log2", (int)slots_log2);
    if (IS_NEXT && root != NULL) {
        json_object_set_new(root, "next", json_pack("[i, n]", 1));
    }
    return root;
}

/* A file that is there whole, or not at all. */
static enum err write_whole(const char *path, int flags, const char *data, struct text *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
    if (fd < 0 && errno == EEXIST) {
        return key_json_refuse(ERR_EXISTS, why, path, "exists already; keys are never replaced");
    }
    if (fd < 0) {
        return key_json_refuse(ERR_INVALID, why, path, strerror(errno));
    }
    const size_t size = strlen(data);
    errno = ENOSPC; /* what a short write says by itself */
    const bool written = write(fd, data, size) == (ssize_t)size && fsync(fd) == 0;
    const int reason = errno;
    close(fd);
    if (!written) {
        unlink(path);
        errno = reason;
        return key_json_refuse(ERR_SYSTEM, why, path, strerror(reason));
    }
    return ERR_OK;
}

/* Takes over `root`. */
static enum err write_json(const char *path, int flags, json_t *root, struct text *why)
{
    char *data = json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(root);
    if (data == NULL) {
        return ERR_NOMEM;
    }
    enum err err = write_whole(path, flags, data, why);
    sodium_memzero(data, strlen(data));
    free(data);
    return err;
}

enum err key_json_save(const char *path, json_t *root, struct text *why)
{
    return write_json(path, O_EXCL, root, why);
}

static bool sync_dir(const char *dir)
{
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return synced;
}

enum err key_json_replace(const char *dir, const char *name, json_t *root, struct text *why)
{
    char path[4096];
    char fresh[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (snprintf(fresh, sizeof fresh, "%s/%s.new", dir, name) >= (int)sizeof fresh) {
        json_decref(root);
        return key_json_refuse(ERR_INVALID, why, dir, strerror(ENAMETOOLONG));
    }
    enum err err = write_json(fresh, O_TRUNC, root, why);
    if (err != ERR_OK) {
        return err;
    }
    if (rename(fresh, path) != 0 || !sync_dir(dir)) {
        return key_json_refuse(ERR_SYSTEM, why, path, strerror(errno));
    }
    return ERR_OK;
}
