/* node/origin/credentials.c: files of named credentials, and the environment's. */
#include "node/origin/credentials.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHED_MAX 16
#define NAME_MAX_SIZE 64
#define PREFIXES_MAX 16
#define FILE_MAX 65536

struct cached {
    char name[NAME_MAX_SIZE + 1];
    struct timespec mtime;
    ino_t inode;
    struct credential credential;
    char prefixes[PREFIXES_MAX][SOURCE_BUCKET_MAX + 1];
    uint32_t prefix_count;
};

struct credentials {
    int directory; /* -1: none */
    bool environment;
    struct cached cached[CACHED_MAX];
    uint32_t next; /* the one replaced next */
};

static bool name_is_valid(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        bool fine = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                    (*c >= '0' && *c <= '9') || *c == '-' || *c == '_' || (*c == '.' && c > name);
        if (!fine) {
            return false;
        }
    }
    return name[0] != '\0' && strlen(name) <= NAME_MAX_SIZE;
}

void credentials_close(struct credentials **credentials)
{
    struct credentials *c = *credentials;
    if (c == NULL) {
        return;
    }
    if (c->directory >= 0) {
        close(c->directory);
    }
    explicit_bzero(c, sizeof *c);
    free(c);
    *credentials = NULL;
}

static bool copy_string(const json_t *object, const char *key, char *to, size_t room)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (value == NULL || strlen(value) >= room) {
        return false;
    }
    memcpy(to, value, strlen(value) + 1);
    return true;
}

static bool copy_prefixes(const json_t *object, struct cached *to)
{
    const json_t *list = json_object_get(object, "uri_prefixes");
    size_t count = json_array_size(list); /* 0 also when it is something else */
    if (list == NULL) {
        return true;
    }
    if (count == 0 || count > PREFIXES_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const char *value = json_string_value(json_array_get(list, i));
        if (value == NULL || strlen(value) > SOURCE_BUCKET_MAX) {
            return false;
        }
        memcpy(to->prefixes[i], value, strlen(value) + 1);
    }
    to->prefix_count = (uint32_t)count;
    return true;
}

/* A limit that was misspelt must not become no limit. */
static bool knows_all(json_t *object)
{
    static const char *const known[] = { "access_key_id", "access_key_secret", "security_token",
                                         "uri_prefixes" };
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
            found = found || strcmp(key, known[i]) == 0;
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool parse(const char *body, size_t size, struct cached *to)
{
    json_t *object = json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL);
    bool fine = object != NULL && knows_all(object) &&
                copy_string(object, "access_key_id", to->credential.access_key_id,
                            sizeof to->credential.access_key_id) &&
                copy_string(object, "access_key_secret", to->credential.access_key_secret,
                            sizeof to->credential.access_key_secret) &&
                copy_prefixes(object, to);
    if (fine && json_object_get(object, "security_token") != NULL) {
        fine = copy_string(object, "security_token", to->credential.security_token,
                           sizeof to->credential.security_token);
    }
    json_decref(object);
    return fine;
}

static enum err refuse(struct text *why, const char *name, const char *what)
{
    text_str(why, "credential \"");
    text_str(why, name);
    text_str(why, "\" ");
    text_str(why, what);
    return ERR_NO_CREDENTIAL;
}

static enum err read_file(int fd, const char *name, struct cached *to, struct text *why)
{
    char body[FILE_MAX];
    ssize_t size = read(fd, body, sizeof body);
    bool fine = size > 0 && (size_t)size < sizeof body && parse(body, (size_t)size, to);
    explicit_bzero(body, sizeof body);
    return fine ? ERR_OK
                : refuse(why, name,
                         "is not JSON with access_key_id, access_key_secret and at most "
                         "security_token and uri_prefixes beside them (docs/sources.md)");
}

static struct cached *cached_find(struct credentials *credentials, const char *name)
{
    for (uint32_t i = 0; i < CACHED_MAX; i++) {
        if (strcmp(credentials->cached[i].name, name) == 0) {
            return &credentials->cached[i];
        }
    }
    return NULL;
}

static struct cached *cached_place(struct credentials *credentials, const char *name)
{
    struct cached *at = cached_find(credentials, name);
    if (at == NULL) {
        at = &credentials->cached[credentials->next++ % CACHED_MAX];
    }
    return at;
}

static enum err load(struct credentials *credentials, const char *name, struct cached **out,
                     struct text *why)
{
    char file[NAME_MAX_SIZE + 8];
    struct text path;
    struct stat st;
    struct cached fresh, *at = cached_find(credentials, name);
    enum err err = ERR_NO_CREDENTIAL;
    text_init(&path, file, sizeof file);
    text_str(&path, name);
    text_str(&path, ".json");
    int fd = openat(credentials->directory, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err = refuse(why, name, "has no readable file NAME.json in --credentials-dir");
        goto out;
    }
    if ((st.st_mode & 077) != 0) {
        err = refuse(why, name, "can be read by others: chmod 600 its file");
        goto out;
    }
    if (at != NULL && at->inode == st.st_ino && at->mtime.tv_sec == st.st_mtim.tv_sec &&
        at->mtime.tv_nsec == st.st_mtim.tv_nsec) {
        *out = at;
        err = ERR_OK;
        goto out;
    }
    memset(&fresh, 0, sizeof fresh);
    err = read_file(fd, name, &fresh, why);
    if (err == ERR_OK) {
        memcpy(fresh.name, name, strlen(name) + 1);
        fresh.mtime = st.st_mtim;
        fresh.inode = st.st_ino;
        *out = cached_place(credentials, name);
        **out = fresh;
        explicit_bzero(&fresh, sizeof fresh);
    }
out:
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

/* Is what is wanted below the prefix? "oss://b/a" admits oss://b/a and oss://b/a/..., not
 * oss://b/ab. */
static bool is_below(struct span uri, struct span prefix)
{
    if (prefix.size > 0 && prefix.data[prefix.size - 1] == '/') {
        return span_starts_with(uri, prefix);
    }
    return span_starts_with(uri, prefix) &&
           (uri.size == prefix.size || uri.data[prefix.size] == '/');
}

/* May this credential be used for that? Without prefixes it may be used for anything. */
static bool admits(const struct cached *cached, const struct credential_use *use)
{
    char uri[SOURCE_BUCKET_MAX + SOURCE_PREFIX_MAX + 16];
    struct text text;
    text_init(&text, uri, sizeof uri);
    source_uri(use->source, &text);
    text_char(&text, '/');
    text_span(&text, use->key);
    for (uint32_t i = 0; i < cached->prefix_count; i++) {
        struct span prefix = span_text(cached->prefixes[i]);
        if (!text.overflow && is_below(span_of(text.data, text.used), prefix)) {
            return true;
        }
    }
    return cached->prefix_count == 0;
}

static bool from_environment(char *to, size_t room, const char *const *names)
{
    for (; *names != NULL; names++) {
        const char *value = getenv(*names);
        if (value != NULL && strlen(value) < room) {
            memcpy(to, value, strlen(value) + 1);
            return true;
        }
    }
    return false;
}

static void environment_credential(const struct source *source, struct credential *out)
{
    static const char *const s3[3][2] = { { "AWS_ACCESS_KEY_ID", NULL },
                                          { "AWS_SECRET_ACCESS_KEY", NULL },
                                          { "AWS_SESSION_TOKEN", NULL } };
    static const char *const oss[3][3] = {
        { "OSS_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID", NULL },
        { "OSS_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", NULL },
        { "OSS_SESSION_TOKEN", "ALIBABA_CLOUD_SECURITY_TOKEN", NULL },
    };
    bool is_oss = source->kind == SOURCE_OSS;
    bool fine =
        from_environment(out->access_key_id, sizeof out->access_key_id, is_oss ? oss[0] : s3[0]) &&
        from_environment(out->access_key_secret, sizeof out->access_key_secret,
                         is_oss ? oss[1] : s3[1]);
    if (!fine) {
        memset(out, 0, sizeof *out);
        return;
    }
    (void)from_environment(out->security_token, sizeof out->security_token,
                           is_oss ? oss[2] : s3[2]);
}

enum err credentials_find(struct credentials *credentials, const struct credential_use *use,
                          struct credential *out, struct text *why)
{
    struct cached *cached = NULL;
    enum err err;
    memset(out, 0, sizeof *out);
    if (use->name[0] == '\0') {
        if (credentials->environment) {
            environment_credential(use->source, out);
        }
        return ERR_OK;
    }
    if (!name_is_valid(use->name)) {
        return refuse(why, use->name, "is no name: use letters, digits, '-', '_' and '.'");
    }
    if (credentials->directory < 0) {
        return refuse(why, use->name, "is not known here: this node has no --credentials-dir");
    }
    err = load(credentials, use->name, &cached, why);
    if (err != ERR_OK) {
        return err;
    }
    if (!admits(cached, use)) {
        return refuse(why, use->name, "may not be used for this URI (its uri_prefixes)");
    }
    *out = cached->credential;
    return ERR_OK;
}

void credentials_forget(struct credentials *credentials, const char *name)
{
    struct cached *at = name[0] == '\0' ? NULL : cached_find(credentials, name);
    if (at != NULL) {
        explicit_bzero(at, sizeof *at);
    }
}

/* "NAME.json" gives NAME; false for every other file. */
static bool name_of(const char *file, char name[NAME_MAX_SIZE + 1])
{
    size_t size = strlen(file);
    if (size <= 5 || size - 5 > NAME_MAX_SIZE || strcmp(file + size - 5, ".json") != 0) {
        return false;
    }
    memcpy(name, file, size - 5);
    name[size - 5] = '\0';
    return name_is_valid(name);
}

static int keep_named(const struct dirent *entry)
{
    char name[NAME_MAX_SIZE + 1];
    return name_of(entry->d_name, name);
}

static bool is_private(int directory, const char *file)
{
    struct stat st;
    return fstatat(directory, file, &st, 0) == 0 && (st.st_mode & 077) == 0;
}

static void add_name(struct text *out, const char *name)
{
    if (out->used + strlen(name) + 2 > out->size) {
        return; /* a whole name or none */
    }
    if (out->used > 0) {
        text_char(out, ',');
    }
    text_str(out, name);
}

void credentials_names(struct credentials *credentials, char *out, size_t room)
{
    struct dirent **entries = NULL;
    struct text text;
    char name[NAME_MAX_SIZE + 1];
    int count = 0;
    text_init(&text, out, room);
    if (credentials->directory >= 0) {
        count = scandirat(credentials->directory, ".", &entries, keep_named, alphasort);
    }
    for (int i = 0; i < count; i++) {
        if (name_of(entries[i]->d_name, name) &&
            is_private(credentials->directory, entries[i]->d_name)) {
            add_name(&text, name);
        }
        free(entries[i]);
    }
    free(entries);
}

/* Told at the start and not at the first read: who set the files up is still there to hear it. */
static enum err refuse_open_files(int directory, struct text *why)
{
    struct dirent **entries = NULL;
    enum err err = ERR_OK;
    int count = scandirat(directory, ".", &entries, keep_named, alphasort);
    for (int i = 0; i < count; i++) {
        if (err == ERR_OK && !is_private(directory, entries[i]->d_name)) {
            text_str(why, "the credential file ");
            text_str(why, entries[i]->d_name);
            text_str(why, " can be read by others: chmod 600 it");
            err = ERR_INVALID;
        }
        free(entries[i]);
    }
    free(entries);
    return err;
}

enum err credentials_open(const char *directory, bool environment, struct credentials **out,
                          struct text *why)
{
    enum err err = ERR_OK;
    struct credentials *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return ERR_NOMEM;
    }
    made->environment = environment;
    made->directory = -1;
    if (directory != NULL) {
        made->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (made->directory < 0) {
            text_str(why, "the directory of credentials ");
            text_str(why, directory);
            text_str(why, " cannot be read: ");
            text_str(why, strerrordesc_np(errno));
            err = ERR_INVALID;
            goto out;
        }
        err = refuse_open_files(made->directory, why);
    }
out:
    if (err != ERR_OK) {
        credentials_close(&made);
        return err;
    }
    *out = made;
    return ERR_OK;
}
