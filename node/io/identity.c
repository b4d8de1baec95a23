/* node/io/identity.c: two small JSON files and a lock. */
#include "node/io/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/next.h"
#include "gossip/datagram.h"

#define FORMAT_VERSION 1
#define NODE_FILE "node.json"
#define TIERS_FILE "tiers.json"
#define WEIGHT_FILE "weight.json"

struct identity {
    char *path;
    int dir;
    int lock;
    struct node_id id;
    uint64_t incarnation; /* highest kept */
    json_t *tiers;        /* directory -> UUID */
    bool has_weight;
    uint32_t weight;
    bool is_new; /* node.json was made by this process */
    bool made_dir;
    bool abandoned;
};

static enum err refuse(struct text *why, enum err err, const char *dir, const char *reason)
{
    text_str(why, dir);
    text_str(why, ": ");
    text_str(why, reason);
    return err;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* NULL with errno 0: there is no such file; NULL with errno: it cannot be read, or is no JSON. */
static json_t *read_json(const struct identity *identity, const char *name)
{
    json_t *root = NULL;
    int fd = openat(identity->dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        errno = errno == ENOENT ? 0 : errno;
        return NULL;
    }
    root = json_loadfd(fd, 0, NULL);
    close(fd);
    errno = root == NULL ? EINVAL : 0;
    return root;
}

/* Replaces the file whole: a new one, synced, over the old one. */
static enum err write_json(const struct identity *identity, const char *name, json_t *root)
{
    char fresh[32];
    snprintf(fresh, sizeof fresh, "%s.new", name);
    int fd = openat(identity->dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return ERR_SYSTEM;
    }
    if (IS_NEXT) {
        json_object_set_new(root, "next", json_pack("[i, n]", 1));
    }
    errno = ENOSPC; /* what a short write says by itself */
    const bool written = json_dumpfd(root, fd, JSON_INDENT(2)) == 0 && fsync(fd) == 0;
    const int reason = errno;
    close(fd);
    if (!written || renameat(identity->dir, fresh, identity->dir, name) != 0) {
        const int failed = written ? errno : reason;
        unlinkat(identity->dir, fresh, 0);
        errno = failed;
        return ERR_SYSTEM;
    }
    return fsync(identity->dir) == 0 ? ERR_OK : ERR_SYSTEM;
}

static enum err check_version(const json_t *root, const char *path, struct text *why)
{
    const json_t *version = json_object_get(root, "version");
    if (json_is_integer(version) && json_integer_value(version) > FORMAT_VERSION) {
        return refuse(why, ERR_VERSION, path,
                      "written by a newer version of Atoll; it is left alone");
    }
    if (!json_is_integer(version) || json_integer_value(version) < 1) {
        return refuse(why, ERR_MALFORMED, path, "a file in it is damaged");
    }
    return ERR_OK;
}

static enum err save_node(const struct identity *identity, uint64_t incarnation)
{
    char id[ID_TEXT_SIZE];
    id_text(identity->id.b, id);
    json_t *root = json_pack("{s:i, s:s, s:I}", "version", FORMAT_VERSION, "id", id, "incarnation",
                             (json_int_t)incarnation);
    if (root == NULL) {
        return ERR_NOMEM;
    }
    enum err err = write_json(identity, NODE_FILE, root);
    json_decref(root);
    return err;
}

bool identity_exists(const char *dir)
{
    char path[4096];
    const int size = snprintf(path, sizeof path, "%s/" NODE_FILE, dir);
    return size > 0 && (size_t)size < sizeof path && access(path, F_OK) == 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool make_dirs(const char *path, bool *made)
{
    char part[4096];
    const size_t size = strlen(path);
    if (size >= sizeof part) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != 0) {
            continue;
        }
        memcpy(part, path, i);
        part[i] = 0;
        *made = mkdir(part, 0700) == 0;
        if (!*made && errno != EEXIST) {
            return false;
        }
    }
    return true;
}

static enum err load_node(struct identity *identity, struct text *why)
{
    json_t *root = read_json(identity, NODE_FILE);
    if (root == NULL && errno != 0) {
        return refuse(why, ERR_MALFORMED, identity->path, NODE_FILE " cannot be read");
    }
    if (root == NULL) {
        randombytes_buf(identity->id.b, sizeof identity->id.b);
        enum err err = save_node(identity, 0);
        identity->is_new = err == ERR_OK;
        return err == ERR_OK ? ERR_OK : refuse(why, err, identity->path, strerror(errno));
    }
    const char *id = json_string_value(json_object_get(root, "id"));
    const json_t *value = json_object_get(root, "incarnation");
    const json_int_t incarnation = json_integer_value(value);
    enum err err = check_version(root, identity->path, why);
    if (err == ERR_OK &&
        (id == NULL || !id_parse(span_text(id), identity->id.b) || node_id_is_zero(identity->id) ||
         !json_is_integer(value) || incarnation < 0 ||
         (uint64_t)incarnation >= DATAGRAM_INCARNATION_MAX - 1)) {
        err = refuse(why, ERR_MALFORMED, identity->path, NODE_FILE " is damaged");
    }
    identity->incarnation = (uint64_t)incarnation;
    json_decref(root);
    return err;
}

static enum err load_tiers(struct identity *identity, struct text *why)
{
    json_t *root = read_json(identity, TIERS_FILE);
    if (root == NULL && errno != 0) {
        return refuse(why, ERR_MALFORMED, identity->path, TIERS_FILE " cannot be read");
    }
    if (root == NULL) {
        identity->tiers = json_object();
        return identity->tiers != NULL ? ERR_OK : ERR_NOMEM;
    }
    enum err err = check_version(root, identity->path, why);
    json_t *tiers = json_object_get(root, "tiers");
    if (err == ERR_OK && !json_is_object(tiers)) {
        err = refuse(why, ERR_MALFORMED, identity->path, TIERS_FILE " is damaged");
    }
    if (err == ERR_OK) {
        identity->tiers = json_incref(tiers);
    }
    json_decref(root);
    return err;
}

static enum err load_weight(struct identity *identity, struct text *why)
{
    json_t *root = read_json(identity, WEIGHT_FILE);
    if (root == NULL && errno != 0) {
        return refuse(why, ERR_MALFORMED, identity->path, WEIGHT_FILE " cannot be read");
    }
    if (root == NULL) {
        return ERR_OK;
    }
    const json_t *weight = json_object_get(root, "weight");
    enum err err = check_version(root, identity->path, why);
    if (err == ERR_OK && (!json_is_integer(weight) || json_integer_value(weight) < 0 ||
                          json_integer_value(weight) > UINT16_MAX)) {
        err = refuse(why, ERR_MALFORMED, identity->path, WEIGHT_FILE " is damaged");
    }
    if (err == ERR_OK) {
        identity->has_weight = true;
        identity->weight = (uint32_t)json_integer_value(weight);
    }
    json_decref(root);
    return err;
}

static enum err open_all(struct identity *identity, struct text *why)
{
    if (!make_dirs(identity->path, &identity->made_dir)) {
        return refuse(why, ERR_INVALID, identity->path, strerror(errno));
    }
    identity->dir = open(identity->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (identity->dir >= 0) {
        identity->lock = openat(identity->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    }
    if (identity->lock < 0) {
        return refuse(why, ERR_INVALID, identity->path, strerror(errno));
    }
    if (flock(identity->lock, LOCK_EX | LOCK_NB) != 0) {
        return refuse(why, ERR_IDENTITY_IN_USE, identity->path,
                      "another node runs with this --data-dir; give each node its own");
    }
    enum err err = load_node(identity, why);
    err = err == ERR_OK ? load_tiers(identity, why) : err;
    return err == ERR_OK ? load_weight(identity, why) : err;
}

enum err identity_open(const char *dir, struct identity **out, struct text *why)
{
    struct identity *identity = calloc(1, sizeof *identity);
    if (identity == NULL) {
        return ERR_NOMEM;
    }
    identity->dir = -1;
    identity->lock = -1;
    identity->path = strdup(dir);
    enum err err = identity->path == NULL ? ERR_NOMEM : open_all(identity, why);
    if (err != ERR_OK) {
        identity_close(&identity);
        return err;
    }
    *out = identity;
    return ERR_OK;
}

void identity_abandon(struct identity *identity)
{
    identity->abandoned = true;
}

/* What a first start has made so far, here and (in the same directory) in LMDB. */
static void remove_traces(const struct identity *identity)
{
    static const char *const files[] = { NODE_FILE,  TIERS_FILE, "lock",
                                         "data.mdb", "lock.mdb", "keyring.json" };
    for (uint32_t i = 0; i < ARRAY_COUNT(files); i++) {
        unlinkat(identity->dir, files[i], 0);
    }
    if (identity->made_dir) {
        rmdir(identity->path);
    }
}

void identity_close(struct identity **pointer)
{
    struct identity *identity = *pointer;
    if (identity == NULL) {
        return;
    }
    if (identity->abandoned && identity->is_new) {
        remove_traces(identity);
    }
    json_decref(identity->tiers);
    if (identity->lock >= 0) {
        close(identity->lock);
    }
    if (identity->dir >= 0) {
        close(identity->dir);
    }
    free(identity->path);
    free(identity);
    *pointer = NULL;
}

/* ---- what is remembered ------------------------------------------------------------------------ */

struct node_id identity_id(const struct identity *identity)
{
    return identity->id;
}

uint64_t identity_incarnation(const struct identity *identity, usec_t wall_us)
{
    const uint64_t clock = (uint64_t)(wall_us / 1000) << 16;
    return clock > identity->incarnation ? clock : identity->incarnation + 1;
}

enum err identity_keep(struct identity *identity, uint64_t incarnation)
{
    if (incarnation <= identity->incarnation) {
        return ERR_OK;
    }
    enum err err = save_node(identity, incarnation);
    if (err == ERR_OK) {
        identity->incarnation = incarnation;
    }
    return err;
}

const char *identity_tier(const struct identity *identity, const char *dir)
{
    return json_string_value(json_object_get(identity->tiers, dir));
}

enum err identity_keep_tier(struct identity *identity, const char *dir, const char *uuid)
{
    const char *known = identity_tier(identity, dir);
    if (known != NULL && strcmp(known, uuid) == 0) {
        return ERR_OK;
    }
    json_t *root = NULL;
    if (json_object_set_new(identity->tiers, dir, json_string(uuid)) == 0) {
        root = json_pack("{s:i, s:O}", "version", FORMAT_VERSION, "tiers", identity->tiers);
    }
    if (root == NULL) {
        return ERR_NOMEM;
    }
    enum err err = write_json(identity, TIERS_FILE, root);
    json_decref(root);
    return err;
}

bool identity_weight(const struct identity *identity, uint32_t *out)
{
    if (identity->has_weight) {
        *out = identity->weight;
    }
    return identity->has_weight;
}

enum err identity_keep_weight(struct identity *identity, uint32_t weight)
{
    json_t *root = json_pack("{s:i, s:i}", "version", FORMAT_VERSION, "weight", (int)weight);
    enum err err = root == NULL ? ERR_NOMEM : write_json(identity, WEIGHT_FILE, root);
    if (err == ERR_OK) {
        identity->has_weight = true;
        identity->weight = weight;
    }
    json_decref(root);
    return err;
}

enum err identity_forget_weight(struct identity *identity)
{
    if ((unlinkat(identity->dir, WEIGHT_FILE, 0) != 0 && errno != ENOENT) ||
        fsync(identity->dir) != 0) {
        return ERR_SYSTEM;
    }
    identity->has_weight = false;
    return ERR_OK;
}

const char *identity_dir(const struct identity *identity)
{
    return identity->path;
}
