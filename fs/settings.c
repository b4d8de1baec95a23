#include "fs/settings.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/io/log.h"
#include "node/io/resolver.h"

static const struct option_row rows[] = {
#define OPTION(of, name, letter, kind, argument, fallback, help) \
    { name, letter, OPTION_##kind, argument, fallback, help },
#include "fs/options.def"
#undef OPTION
};

/* What each of the rows is for. */
enum scope { SCOPE_ANY, SCOPE_DATASET, SCOPE_URI };
static const enum scope scopes[] = {
#define OPTION(of, name, letter, kind, argument, fallback, help) SCOPE_##of,
#include "fs/options.def"
#undef OPTION
};

const struct options_table settings_table = {
    .command = "mount",
    .usage = "atoll mount DATASET[/PREFIX] DIR --seeds HOST:PORT,... [OPTIONS]\n"
             "       atoll mount URI DIR [OPTIONS]",
    .intro = "Shows a dataset of a cluster, or a bucket without any cluster, as files under DIR.\n"
             "Read-only. Unmount with: fusermount3 -u DIR\n"
             "DIR may be /dev/fd/N: /dev/fuse, opened and mounted by whoever starts the command.",
    .examples = "  atoll mount train /mnt/train --seeds cache1:7700,cache2:7700 "
                "--client-file me.key\n"
                "  atoll mount train/2026/ /mnt/t --seeds @/etc/atoll/seeds -o hard,allow_other\n"
                "  atoll mount s3://bucket/set/ /mnt/set --region eu-west-1   # a private node\n"
                "  atoll mount file:///data/set /mnt/set -f\n"
                "  # in fstab, see docs/operations.md:\n"
                "  train /mnt/train fuse.atoll _netdev,seeds=@/etc/atoll/seeds,"
                "client-file=/etc/atoll/me.key\n",
    .rows = rows,
    .count = ARRAY_COUNT(rows),
    .environment = true,
    .arguments_max = 2,
};

static enum err refuse(struct text *why, const char *what, const char *value, const char *then)
{
    text_str(why, what);
    if (value != NULL) {
        text_str(why, " \"");
        text_str(why, value);
        text_char(why, '"');
    }
    text_str(why, ": ");
    text_str(why, then);
    return ERR_INVALID;
}

static bool copy(char *to, size_t room, const char *from, size_t size)
{
    if (size >= room) {
        return false;
    }
    memcpy(to, from, size);
    to[size] = '\0';
    return true;
}

static enum err take_dataset(const char *word, struct settings *out, struct text *why)
{
    const char *slash = strchr(word, '/');
    size_t size = slash == NULL ? strlen(word) : (size_t)(slash - word);
    size_t rest;
    if (size == 0 || !copy(out->dataset, sizeof out->dataset, word, size)) {
        return refuse(why, "dataset", word, "a name of 1 to 64 letters");
    }
    while (slash != NULL && *slash == '/') {
        slash++;
    }
    rest = slash == NULL ? 0 : strlen(slash);
    if (!copy(out->prefix, sizeof out->prefix - 1, rest == 0 ? "" : slash, rest)) {
        return refuse(why, "prefix", word, "at most 1,023 bytes");
    }
    if (rest > 0 && out->prefix[rest - 1] != '/') {
        memcpy(out->prefix + rest, "/", 2);
    }
    return ERR_OK;
}

/* Write `word` behind what `path` holds, from the root: the process may change its directory. */
static enum err put_absolute(struct text *path, const char *word, const char *what,
                             struct text *why)
{
    char here[SETTINGS_PATH_MAX] = "";
    if (word[0] != '/') {
        if (getcwd(here, sizeof here) == NULL) {
            return refuse(why, "current directory", NULL, strerror(errno));
        }
        text_str(path, here);
        text_char(path, '/');
    }
    text_str(path, word);
    return path->overflow ? refuse(why, what, word, "too long") : ERR_OK;
}

/* "/dev/fd/N": whoever started us has mounted, and N is /dev/fuse. */
static bool is_descriptor(const char *word)
{
    static const char before[] = "/dev/fd/";
    const size_t size = sizeof before - 1;
    return strncmp(word, before, size) == 0 && word[size] != '\0' &&
           word[size + strspn(word + size, "0123456789")] == '\0';
}

/* The directory as the kernel names it, without symbolic links and "..": only so a mount that is
 * there already, alive or stale, is found among the kernel's. */
static enum err take_dir(const char *word, struct settings *out, struct text *why)
{
    struct text path;
    text_init(&path, out->dir, sizeof out->dir);
    if (is_descriptor(word)) {
        out->inherited = true;
        text_str(&path, word);
        return path.overflow ? refuse(why, "DIR", word, "too long") : ERR_OK;
    }
    enum err err = put_absolute(&path, word, "DIR", why);
    if (err != ERR_OK) {
        return err;
    }
    while (path.used > 1 && path.data[path.used - 1] == '/') {
        path.data[--path.used] = '\0';
    }
    char *real = realpath(out->dir, NULL);
    if (real != NULL && !copy(out->dir, sizeof out->dir, real, strlen(real))) {
        err = refuse(why, "DIR", word, "too long");
    }
    free(real); /* NULL: not there, or not to be looked at; whoever mounts will say so */
    return err;
}

/* "@FILE" is read again and again, from wherever the process is then. */
static enum err take_seeds(const char *seeds, struct settings *out, struct text *why)
{
    struct text text;
    const char *fault = resolver_fault(seeds);
    text_init(&text, out->seeds, sizeof out->seeds);
    if (fault != NULL) {
        return refuse(why, "--seeds", seeds, fault);
    }
    if (seeds[0] != '@') {
        text_str(&text, seeds);
        return text.overflow ? refuse(why, "--seeds", NULL, "too long; use @FILE") : ERR_OK;
    }
    text_char(&text, '@');
    enum err err = put_absolute(&text, seeds + 1, "--seeds", why);
    if (err == ERR_OK && access(out->seeds + 1, R_OK) != 0) {
        err = refuse(why, "--seeds", seeds, strerror(errno));
    }
    return err;
}

static bool parse_octal(const char *text, uint32_t *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 8);
    if (*text == '\0' || *end != '\0' || value > 07777) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool parse_number(const char *text, uint32_t *out)
{
    uint64_t value;
    if (!parse_u64(span_text(text), &value) || value >= UINT32_MAX) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

/* Options of mount(8) that say what is so anyway, or that systemd and fstab add. */
static bool is_harmless(const char *word)
{
    static const char *const words[] = {
        "ro",         "nodev",       "nosuid",   "noatime", "relatime", "_netdev", "noauto",
        "nofail",     "user",        "defaults", "exec",    "auto",     "users",   "nodiratime",
        "norelatime", "strictatime", "lazytime", "sync",    "async",    "dirsync", "nouser",
        "owner",      "group",       "silent",   "loud",
    };
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            return true;
        }
    }
    return strncmp(word, "x-", 2) == 0 || strncmp(word, "user=", 5) == 0;
}

/* KEY=VALUE of -o. */
static enum err take_value(const char *word, struct settings *out, struct text *why)
{
    size_t size = strcspn(word, "=");
    const char *value = word[size] == '=' ? word + size + 1 : "";
    bool fine = false;
    if (size == 5 && memcmp(word, "timeo", size) == 0) {
        fine = parse_duration(span_text(value), &out->timeo_us) && out->timeo_us > 0;
    } else if (size == 3 && memcmp(word, "uid", size) == 0) {
        fine = parse_number(value, &out->uid);
    } else if (size == 3 && memcmp(word, "gid", size) == 0) {
        fine = parse_number(value, &out->gid);
    } else if (size == 9 && memcmp(word, "file-mode", size) == 0) {
        fine = parse_octal(value, &out->file_mode);
    } else if (size == 8 && memcmp(word, "dir-mode", size) == 0) {
        fine = parse_octal(value, &out->dir_mode);
    } else {
        return refuse(why, "-o", word,
                      "unknown; known are hard, timeo=SECS, uid=N, gid=N, file-mode=OCTAL, "
                      "dir-mode=OCTAL, allow_other, nonempty, noexec, ro, and the flags, as "
                      "seeds=@FILE");
    }
    return fine ? ERR_OK : refuse(why, "-o", word, "the value is not valid");
}

static enum err take_word(const char *word, struct settings *out, struct text *why)
{
    if (strcmp(word, "rw") == 0) {
        return refuse(why, "-o", word, "Atoll shows datasets read-only; leave it out or say ro");
    }
    if (strcmp(word, "hard") == 0) {
        out->hard = true;
    } else if (strcmp(word, "allow_other") == 0) {
        out->allow_other = true;
    } else if (strcmp(word, "nonempty") == 0) {
        out->nonempty = true;
    } else if (strcmp(word, "noexec") == 0) {
        out->noexec = true;
    } else if (!is_harmless(word)) {
        return take_value(word, out, why);
    }
    return ERR_OK;
}

/* NAME=VALUE or NAME of -o, where fstab has no other way to give a flag. The comma ends a word, so
 * that seeds stand apart by '/'. *taken: it was one. */
static enum err take_flag(struct options *options, char *word, bool *taken, struct text *why)
{
    char *value = strchr(word, '=');
    if (value != NULL) {
        *value++ = '\0';
    }
    *taken = options_has(&settings_table, word) && strcmp(word, "options") != 0 &&
             strcmp(word, "foreground") != 0;
    for (char *at = value;
         *taken && strcmp(word, "seeds") == 0 && at != NULL && *at != '\0' && value[0] != '@';
         at++) {
        *at = *at == '/' ? ',' : *at;
    }
    return *taken ? options_set(options, word, value, why) : ERR_OK;
}

/* One -o LIST. */
static enum err take_list(struct options *options, const char *list, struct settings *out,
                          struct text *why)
{
    char word[SETTINGS_PATH_MAX];
    char flag[SETTINGS_PATH_MAX];
    enum err err = ERR_OK;
    while (*list != '\0' && err == ERR_OK) {
        bool taken = false;
        size_t size = strcspn(list, ",");
        if (!copy(word, sizeof word, list, size)) {
            return refuse(why, "-o", list, "too long");
        }
        memcpy(flag, word, size + 1);
        if (size > 0) {
            err = take_flag(options, flag, &taken, why);
        }
        if (err == ERR_OK && size > 0 && !taken) {
            err = take_word(word, out, why);
        }
        list += size + (list[size] == ',' ? 1 : 0);
    }
    return err;
}

static enum err take_mount_options(struct options *options, struct settings *out, struct text *why)
{
    enum err err = ERR_OK;
    out->timeo_us = SEC(300);
    out->uid = (uint32_t)getuid();
    out->gid = (uint32_t)getgid();
    out->file_mode = 0444;
    out->dir_mode = 0555;
    for (uint32_t i = 0; i < options_count(options, "options") && err == ERR_OK; i++) {
        err = take_list(options, options_item(options, "options", i), out, why);
    }
    return err;
}

static enum err take_cluster(const struct options *options, struct settings *out, struct text *why)
{
    const char *seeds = options_string(options, "seeds");
    const char *file = options_string(options, "client-file");
    const char *cluster = options_string(options, "cluster");
    if (seeds == NULL) {
        return refuse(why, "no --seeds", NULL,
                      "name some nodes (HOST:PORT,...), or give a URI such as s3://bucket/ instead "
                      "of a dataset");
    }
    enum err err = take_seeds(seeds, out, why);
    if (err != ERR_OK) {
        return err;
    }
    out->insecure = options_flag(options, "insecure");
    if (out->insecure) {
        if (cluster == NULL ||
            !copy(out->keys.cluster, sizeof out->keys.cluster, cluster, strlen(cluster))) {
            return refuse(why, "--insecure", NULL, "give the cluster's name with --cluster NAME");
        }
        return ERR_OK;
    }
    if (file == NULL) {
        return refuse(why, "no --client-file", NULL,
                      "make one with `atoll keygen client`, or say --insecure --cluster NAME");
    }
    return keys_load_client(file, &out->keys, why);
}

/* As the clients of the stores have it: the first of these variables that is set. */
static const char *of_environment(const char *uri, const char *const *s3, const char *oss)
{
    if (strncmp(uri, "oss://", 6) == 0) {
        return getenv(oss);
    }
    for (; strncmp(uri, "s3://", 5) == 0 && *s3 != NULL; s3++) {
        const char *value = getenv(*s3);
        if (value != NULL && value[0] != '\0') {
            return value;
        }
    }
    return NULL;
}

static void take_place(const struct options *options, const char *uri, struct settings *out)
{
    static const char *const endpoints[] = { "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", NULL };
    static const char *const regions[] = { "AWS_REGION", "AWS_DEFAULT_REGION", NULL };
    out->endpoint = options_string(options, "endpoint");
    out->region = options_string(options, "region");
    out->path_style = options_flag(options, "path-style");
    if (out->endpoint == NULL) {
        out->endpoint = of_environment(uri, endpoints, "OSS_ENDPOINT");
    }
    if (out->region == NULL) {
        out->region = of_environment(uri, regions, "OSS_REGION");
    }
}

static enum err take_private(const struct options *options, const char *uri, struct settings *out,
                             struct text *why)
{
    const char *metadata = options_string(options, "metadata");
    memcpy(out->uri, uri, strlen(uri) + 1); /* as long as out->source, which took it */
    out->insecure = true;
    take_place(options, uri, out);
    out->credential = options_string(options, "credential");
    out->credentials_dir = options_string(options, "credentials-dir");
    out->tier = options_string(options, "tier");
    out->block_size = options_size(options, "block-size");
    out->ttl_us = -1;
    if (metadata == NULL || strcmp(metadata, "once") == 0) {
        return ERR_OK;
    }
    if (strcmp(metadata, "always") == 0) {
        out->ttl_us = 0;
        return ERR_OK;
    }
    if (strncmp(metadata, "ttl=", 4) != 0 ||
        !parse_duration(span_text(metadata + 4), &out->ttl_us) || out->ttl_us == 0) {
        return refuse(why, "--metadata", metadata, "write once, ttl=SECS or always");
    }
    return ERR_OK;
}

static enum err take_process(const struct options *options, struct settings *out, struct text *why)
{
    enum log_level level = LOG_WARN;
    const char *word = options_string(options, "log-level");
    if (word != NULL && !log_level_parse(word, &level)) {
        return refuse(why, "--log-level", word, "write error, warn, info or debug");
    }
    out->log_level = (int)level;
    out->memory = options_size(options, "memory");
    out->foreground = options_flag(options, "foreground");
    return out->memory < (96u << 20) ? refuse(why, "--memory", NULL, "at least 96MiB") : ERR_OK;
}

/* An option that would change nothing, though somebody wrote it for this mount. What a variable or
 * a file says is for all mounts of this host. */
static enum err refuse_useless(const struct options *options, const char *source, bool is_uri,
                               struct text *why)
{
    const enum scope other = is_uri ? SCOPE_DATASET : SCOPE_URI;
    for (uint32_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (scopes[i] != other || !options_commanded(options, rows[i].name)) {
            continue;
        }
        text_str(why, "--");
        text_str(why, rows[i].name);
        return refuse(why, " is of no use for", source,
                      is_uri
                          ? "a URI is shown without any cluster; leave it out, or mount a dataset"
                          : "it is for a URI; what a dataset's source is, and how it is cached, "
                            "is said when it is created (atoll dataset create)");
    }
    return ERR_OK;
}

enum err settings_make(struct options *options, struct settings *out, struct text *why)
{
    memset(out, 0, sizeof *out);
    if (options_arguments(options) != 2) {
        return refuse(why, "usage", NULL, "atoll mount DATASET|URI DIR; see atoll mount --help");
    }
    const char *source = options_argument(options, 0);
    enum err err = take_mount_options(options, out, why);
    if (err == ERR_OK) {
        err = take_process(options, out, why);
    }
    if (err == ERR_OK) {
        err = take_dir(options_argument(options, 1), out, why);
    }
    if (err == ERR_OK && !copy(out->source, sizeof out->source, source, strlen(source))) {
        err = refuse(why, "the first argument", NULL, "too long");
    }
    if (err != ERR_OK) {
        return err;
    }
    const bool is_uri = strstr(source, "://") != NULL;
    err = refuse_useless(options, source, is_uri, why);
    if (err != ERR_OK || is_uri) {
        return err == ERR_OK ? take_private(options, source, out, why) : err;
    }
    err = take_dataset(source, out, why);
    return err == ERR_OK ? take_cluster(options, out, why) : err;
}
