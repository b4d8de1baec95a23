/* node/origin/credentials.c: files of named credentials, and the environment's. */
#include "node/origin/credentials.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_SIZE 64
#define PREFIXES_MAX 16
#define FILE_MAX 65536

/* Compared as memory: what is not used is zero. */
struct content {
    struct credential credential;
    char prefixes[PREFIXES_MAX][SOURCE_BUCKET_MAX + 1];
    uint32_t prefix_count;
};

struct file {
    char name[NAME_MAX_SIZE + 1];
    uint64_t serial; /* 0: no content */
    const char *fault;
    bool settled;
    usec_t faulty_us; /* since when, by the caller's clock */
    struct content content;
};

struct credentials {
    char *directory; /* NULL: none */
    bool environment;
    uint64_t last_serial;
    uint32_t count; /* sorted by name */
    struct file *files[CREDENTIALS_MAX];
};

/* A look under way. */
struct look {
    const struct credentials *before; /* NULL: the first one */
    usec_t now_us;
    int directory;
    struct credentials *made;
};

static const char fault_gone[] = "has no file any more";
static const char fault_unreadable[] = "cannot be read by this node";
static const char fault_open[] = "can be read by others: chmod 600 its file";
static const char fault_form[] = "is not JSON with access_key_id, access_key_secret and at most "
                                 "security_token and uri_prefixes beside them (docs/sources.md)";

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

void credentials_close(struct credentials **pointer)
{
    struct credentials *credentials = *pointer;
    if (credentials == NULL) {
        return;
    }
    for (uint32_t i = 0; i < credentials->count; i++) {
        explicit_bzero(credentials->files[i], sizeof *credentials->files[i]);
        free(credentials->files[i]);
    }
    free(credentials->directory);
    free(credentials);
    *pointer = NULL;
}

static struct credentials *table_new(const char *directory, bool environment)
{
    struct credentials *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    made->environment = environment;
    if (directory != NULL) {
        made->directory = strdup(directory);
        if (made->directory == NULL) {
            credentials_close(&made);
        }
    }
    return made;
}

static const struct file *find(const struct credentials *credentials, const char *name)
{
    for (uint32_t i = 0; credentials != NULL && i < credentials->count; i++) {
        if (strcmp(credentials->files[i]->name, name) == 0) {
            return credentials->files[i];
        }
    }
    return NULL;
}

/* ---- one file ---- */

static bool copy_string(const json_t *object, const char *key, char *to, size_t room)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (value == NULL || strlen(value) >= room) {
        return false;
    }
    memcpy(to, value, strlen(value) + 1);
    return true;
}

static bool copy_prefixes(const json_t *object, struct content *to)
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

static bool parse(const char *body, size_t size, struct content *to)
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

/* What is wrong with it; NULL: nothing, and `to` has what it says. */
static const char *read_file(int directory, const char *file, struct content *to)
{
    char body[FILE_MAX];
    struct stat st;
    const char *fault = fault_unreadable;
    ssize_t size = 0;
    int fd = openat(directory, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        goto out;
    }
    fault = fault_open;
    if ((st.st_mode & 077) != 0) {
        goto out;
    }
    fault = fault_form;
    size = read(fd, body, sizeof body);
    if (size > 0 && (size_t)size < sizeof body && parse(body, (size_t)size, to)) {
        fault = NULL;
    }
    explicit_bzero(body, sizeof body);
out:
    if (fd >= 0) {
        close(fd);
    }
    return fault;
}

/* Wrong as it is now: what it said before stays. */
static void keep(const struct look *look, struct file *file, const struct file *old,
                 const char *fault)
{
    file->fault = fault;
    file->faulty_us = look->now_us;
    if (old == NULL) {
        file->settled = look->before == NULL;
        return;
    }
    file->serial = old->serial;
    file->content = old->content;
    if (old->fault == fault) {
        file->faulty_us = old->faulty_us;
        file->settled = old->settled || look->now_us - old->faulty_us >= CREDENTIALS_SETTLE_US;
    }
}

/* NULL: no memory. There is room. */
static struct file *file_add(const struct look *look, const char *name)
{
    struct file *file = calloc(1, sizeof *file);
    CHECK(look->made->count < CREDENTIALS_MAX);
    if (file != NULL) {
        memcpy(file->name, name, strlen(name) + 1);
        look->made->files[look->made->count++] = file;
    }
    return file;
}

static bool look_at(const struct look *look, const char *path, const char *name)
{
    const struct file *old = find(look->before, name);
    struct file *file = file_add(look, name);
    if (file == NULL) {
        return false;
    }
    const char *fault = read_file(look->directory, path, &file->content);
    if (fault != NULL) {
        explicit_bzero(&file->content, sizeof file->content);
        keep(look, file, old, fault);
        return true;
    }
    bool same = old != NULL && old->serial != 0 &&
                memcmp(&old->content, &file->content, sizeof file->content) == 0;
    file->serial = same ? old->serial : ++look->made->last_serial;
    return true;
}

/* ---- all of them ---- */

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

/* Does a file that is not there any more still count? */
static bool is_missed(const struct look *look, const struct file *old)
{
    bool settled =
        old->fault == fault_gone && look->now_us - old->faulty_us >= CREDENTIALS_SETTLE_US;
    return old->serial != 0 && !settled && find(look->made, old->name) == NULL &&
           look->made->count < CREDENTIALS_MAX;
}

static bool look_for_gone(const struct look *look)
{
    for (uint32_t i = 0; look->before != NULL && i < look->before->count; i++) {
        const struct file *old = look->before->files[i];
        if (is_missed(look, old)) {
            struct file *file = file_add(look, old->name);
            if (file == NULL) {
                return false;
            }
            keep(look, file, old, fault_gone);
        }
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct file *const *left = a;
    const struct file *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static enum err look_around(const struct look *look, struct text *why)
{
    struct dirent **entries = NULL;
    char name[NAME_MAX_SIZE + 1];
    bool fine = true;
    int count = scandirat(look->directory, ".", &entries, keep_named, alphasort);
    if (count < 0) {
        text_str(why, strerrordesc_np(errno));
        return ERR_INVALID;
    }
    for (int i = 0; i < count; i++) {
        if (fine && name_of(entries[i]->d_name, name) && look->made->count < CREDENTIALS_MAX) {
            fine = look_at(look, entries[i]->d_name, name);
        }
        free(entries[i]);
    }
    free(entries);
    if (!fine || !look_for_gone(look)) {
        text_str(why, "out of memory");
        return ERR_NOMEM;
    }
    qsort(look->made->files, look->made->count, sizeof look->made->files[0], by_name);
    return ERR_OK;
}

/* Fills look->made. */
static enum err look_into(struct look *look, struct text *why)
{
    const char *directory = look->made->directory;
    struct text reason;
    char room[128];
    enum err err = ERR_INVALID;
    text_init(&reason, room, sizeof room);
    if (directory == NULL) {
        return ERR_OK;
    }
    look->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (look->directory < 0) {
        text_str(&reason, strerrordesc_np(errno));
    } else {
        err = look_around(look, &reason);
        close(look->directory);
    }
    if (err != ERR_OK) {
        text_str(why, "the directory of credentials ");
        text_str(why, directory);
        text_str(why, " cannot be read: ");
        text_str(why, room);
    }
    return err;
}

/* Told at the start and not at the first read: who set the files up is still there to hear it. */
static enum err refuse_open_files(const struct credentials *made, struct text *why)
{
    for (uint32_t i = 0; i < made->count; i++) {
        if (made->files[i]->fault == fault_open) {
            text_str(why, "the credential file ");
            text_str(why, made->files[i]->name);
            text_str(why, ".json can be read by others: chmod 600 it");
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

enum err credentials_open(const char *directory, bool environment, struct credentials **out,
                          struct text *why)
{
    struct look look = { .made = table_new(directory, environment) };
    if (look.made == NULL) {
        return ERR_NOMEM;
    }
    enum err err = look_into(&look, why);
    if (err == ERR_OK) {
        err = refuse_open_files(look.made, why);
    }
    if (err != ERR_OK) {
        credentials_close(&look.made);
        return err;
    }
    *out = look.made;
    return ERR_OK;
}

enum err credentials_look(const struct credentials *before, usec_t now_us, struct credentials **out,
                          struct text *why)
{
    struct look look = { .before = before,
                         .now_us = now_us,
                         .made = table_new(before->directory, before->environment) };
    if (look.made == NULL) {
        return ERR_NOMEM;
    }
    look.made->last_serial = before->last_serial;
    enum err err = look_into(&look, why);
    if (err != ERR_OK) {
        credentials_close(&look.made);
        return err;
    }
    *out = look.made;
    return ERR_OK;
}

uint32_t credentials_count(const struct credentials *credentials)
{
    return credentials->count;
}

struct credential_state credentials_at(const struct credentials *credentials, uint32_t index)
{
    CHECK(index < credentials->count);
    const struct file *file = credentials->files[index];
    return (struct credential_state){
        .name = file->name, .serial = file->serial, .fault = file->fault, .settled = file->settled
    };
}

bool credentials_are_unsettled(const struct credentials *credentials)
{
    for (uint32_t i = 0; i < credentials->count; i++) {
        if (credentials->files[i]->fault != NULL && !credentials->files[i]->settled) {
            return true;
        }
    }
    return false;
}

/* ---- use ---- */

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
static bool admits(const struct content *content, const struct credential_use *use)
{
    char uri[SOURCE_BUCKET_MAX + SOURCE_PREFIX_MAX + 16];
    struct text text;
    text_init(&text, uri, sizeof uri);
    source_uri(use->source, &text);
    text_char(&text, '/');
    text_span(&text, use->key);
    for (uint32_t i = 0; i < content->prefix_count; i++) {
        struct span prefix = span_text(content->prefixes[i]);
        if (!text.overflow && is_below(span_of(text.data, text.used), prefix)) {
            return true;
        }
    }
    return content->prefix_count == 0;
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

static enum err refuse(struct text *why, const char *name, const char *what)
{
    text_str(why, "credential \"");
    text_str(why, name);
    text_str(why, "\" ");
    text_str(why, what);
    return ERR_NO_CREDENTIAL;
}

enum err credentials_find(const struct credentials *credentials, const struct credential_use *use,
                          struct credential *out, uint64_t *serial, struct text *why)
{
    memset(out, 0, sizeof *out);
    *serial = 0;
    if (use->name[0] == '\0') {
        if (credentials->environment) {
            environment_credential(use->source, out);
        }
        return ERR_OK;
    }
    if (!name_is_valid(use->name)) {
        return refuse(why, use->name, "is no name: use letters, digits, '-', '_' and '.'");
    }
    if (credentials->directory == NULL) {
        return refuse(why, use->name, "is not known here: this node has no --credentials-dir");
    }
    const struct file *file = find(credentials, use->name);
    if (file == NULL) {
        return refuse(why, use->name, "has no file NAME.json in --credentials-dir");
    }
    if (file->serial == 0) {
        return refuse(why, use->name, file->fault);
    }
    if (!admits(&file->content, use)) {
        return refuse(why, use->name, "may not be used for this URI (its uri_prefixes)");
    }
    *out = file->content.credential;
    *serial = file->serial;
    return ERR_OK;
}

uint64_t credentials_serial(const struct credentials *credentials, const char *name)
{
    const struct file *file = find(credentials, name);
    return file == NULL ? 0 : file->serial;
}

/* A whole name or none. */
static bool add_name(struct text *out, const char *name)
{
    if (out->used + strlen(name) + 2 > out->size) {
        return false;
    }
    if (out->used > 0) {
        text_char(out, ',');
    }
    text_str(out, name);
    return true;
}

uint32_t credentials_names(const struct credentials *credentials, char *out, size_t room)
{
    struct text text;
    uint32_t left_out = 0;
    text_init(&text, out, room);
    for (uint32_t i = 0; i < credentials->count; i++) {
        const struct file *file = credentials->files[i];
        if (file->serial != 0 && !add_name(&text, file->name)) {
            left_out++;
        }
    }
    return left_out;
}
