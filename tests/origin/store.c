#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/origin/journal.h"
#include "tests/origin/text.h"

/* 63: the longest name of a bucket. */
enum { BUCKETS_MAX = 256, BUCKET_NAME_MAX = 63 };

struct store {
    char *root;
    bool temporary;
    atomic_ullong next_id;
    pthread_rwlock_t lock;               /* of what follows */
    struct bucket *buckets[BUCKETS_MAX]; /* in the order of names */
    size_t count;
};

/* ROOT/.atoll/BUCKET/TAIL or, for plain files, ROOT/BUCKET/TAIL. The result is the caller's. */
static char *path_of(const struct store *store, bool own, const char *bucket, const char *tail)
{
    struct text path = { 0 };
    text_printf(&path, "%s/%s%s%s%s", store->root, own ? ".atoll/" : "", bucket,
                tail[0] != '\0' ? "/" : "", tail);
    return path.bytes;
}

static char *path_of_id(const struct store *store, const char *bucket, uint64_t id)
{
    char tail[32];
    snprintf(tail, sizeof tail, "%llu", (unsigned long long)id);
    return path_of(store, true, bucket, tail);
}

/* The ETag of a file that no PUT brought: opaque, new whenever size or time change. */
static void plain_digest(struct object *object)
{
    struct text seed = { 0 };
    text_printf(&seed, "%d %llu %llu %lld %s", (int)object->kind, (unsigned long long)object->id,
                (unsigned long long)object->size, (long long)object->mtime_ns, object->key);
    unsigned size = 0;
    EVP_Digest(seed.bytes, seed.size, object->digest, &size, EVP_md5(), NULL);
    text_fini(&seed);
    /* "-1": not the MD5 of its bytes, and clients that check it must not take it for one. */
    object->part_count = 1;
}

static struct object *plain_object(const char *key, const struct stat *status)
{
    struct object *object = object_new(key, strlen(key), OBJECT_PLAIN);
    object->size = (uint64_t)status->st_size;
    object->mtime_ns = status->st_mtim.tv_sec * 1000000000ll + status->st_mtim.tv_nsec;
    plain_digest(object);
    return object;
}

/* Load the files below ROOT/BUCKET/`folder`; `folder` is "" or ends in a slash. */
static void load_plain(const struct store *store, struct bucket *bucket, const char *folder)
{
    char *path = path_of(store, false, bucket->name, folder);
    DIR *directory = opendir(path);
    free(path);
    struct dirent *item = NULL;
    while (directory != NULL && (item = readdir(directory)) != NULL) {
        struct stat status;
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0 ||
            fstatat(dirfd(directory), item->d_name, &status, 0) != 0) {
            continue;
        }
        struct text key = { 0 };
        text_printf(&key, "%s%s", folder, item->d_name);
        if (S_ISDIR(status.st_mode)) {
            text_puts(&key, "/");
            load_plain(store, bucket, key.bytes);
        } else if (S_ISREG(status.st_mode)) {
            index_load(&bucket->index, plain_object(key.bytes, &status));
        }
        text_fini(&key);
    }
    if (directory != NULL) {
        closedir(directory);
    }
}

static bool make_directory(char *path)
{
    struct stat status;
    bool good = mkdir(path, 0755) == 0 || errno == EEXIST;
    good = good && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    free(path);
    return good;
}

static struct bucket *bucket_load(struct store *store, const char *name)
{
    struct bucket *bucket = text_alloc(sizeof *bucket);
    bucket->name = text_dup(name, strlen(name));
    bucket->created_s = time(NULL);
    /* Else readers that never pause would keep a PUT waiting. */
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&bucket->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    load_plain(store, bucket, "");
    index_sort(&bucket->index);
    char *path = path_of(store, true, name, "journal");
    uint64_t highest = journal_load(path, &bucket->index);
    if (highest >= atomic_load(&store->next_id)) {
        atomic_store(&store->next_id, highest + 1);
    }
    if (make_directory(path_of(store, true, name, ""))) {
        bucket->journal = fopen(path, "ae");
    }
    free(path);
    if (bucket->journal == NULL) {
        index_fini(&bucket->index);
        free(bucket->name);
        free(bucket);
        return NULL;
    }
    return bucket;
}

static void insert_bucket(struct store *store, struct bucket *bucket)
{
    size_t at = store->count++;
    while (at > 0 && strcmp(store->buckets[at - 1]->name, bucket->name) > 0) {
        store->buckets[at] = store->buckets[at - 1];
        at--;
    }
    store->buckets[at] = bucket;
}

static struct bucket *find_bucket(const struct store *store, const char *name)
{
    for (size_t i = 0; i < store->count; i++) {
        if (strcmp(store->buckets[i]->name, name) == 0) {
            return store->buckets[i];
        }
    }
    return NULL;
}

static bool bucket_name_is_good(const char *name)
{
    size_t size = strlen(name);
    return size >= 1 && size <= BUCKET_NAME_MAX && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               size;
}

static bool load_buckets(struct store *store)
{
    DIR *directory = opendir(store->root);
    if (directory == NULL) {
        return false;
    }
    bool good = true;
    for (struct dirent *item; good && (item = readdir(directory)) != NULL;) {
        struct stat status;
        if (!bucket_name_is_good(item->d_name) ||
            fstatat(dirfd(directory), item->d_name, &status, 0) != 0 || !S_ISDIR(status.st_mode) ||
            store->count == BUCKETS_MAX) {
            continue;
        }
        struct bucket *bucket = bucket_load(store, item->d_name);
        good = bucket != NULL;
        if (good) {
            insert_bucket(store, bucket);
        }
    }
    closedir(directory);
    return good;
}

struct store *store_open(const char *root)
{
    struct store *store = text_alloc(sizeof *store);
    pthread_rwlock_init(&store->lock, NULL);
    atomic_init(&store->next_id, 1);
    if (root == NULL) {
        const char *parent = getenv("TMPDIR");
        struct text path = { 0 };
        text_printf(&path, "%s/atoll-test-origin-XXXXXX", parent == NULL ? "/tmp" : parent);
        store->root = path.bytes;
        store->temporary = mkdtemp(store->root) != NULL;
    } else {
        store->root = text_dup(root, strlen(root));
    }
    bool good = (root == NULL ? store->temporary : make_directory(text_dup(root, strlen(root)))) &&
                make_directory(path_of(store, false, ".atoll", "")) && load_buckets(store);
    if (!good) {
        fprintf(stderr, "atoll-test-origin: cannot use the directory %s: %s\n", store->root,
                strerror(errno));
        store_close(&store);
    }
    return store;
}

static int remove_item(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

void store_close(struct store **store)
{
    struct store *old = *store;
    if (old == NULL) {
        return;
    }
    for (size_t i = 0; i < old->count; i++) {
        struct bucket *bucket = old->buckets[i];
        index_fini(&bucket->index);
        fclose(bucket->journal);
        pthread_rwlock_destroy(&bucket->lock);
        free(bucket->name);
        free(bucket);
    }
    if (old->temporary) {
        nftw(old->root, remove_item, 16, FTW_DEPTH | FTW_PHYS);
    }
    pthread_rwlock_destroy(&old->lock);
    free(old->root);
    free(old);
    *store = NULL;
}

struct bucket *store_bucket(struct store *store, const char *name)
{
    pthread_rwlock_rdlock(&store->lock);
    struct bucket *bucket = find_bucket(store, name);
    pthread_rwlock_unlock(&store->lock);
    return bucket;
}

struct bucket *store_bucket_create(struct store *store, const char *name)
{
    if (!bucket_name_is_good(name)) {
        return NULL;
    }
    pthread_rwlock_wrlock(&store->lock);
    struct bucket *bucket = find_bucket(store, name);
    if (bucket == NULL && store->count < BUCKETS_MAX &&
        make_directory(path_of(store, false, name, ""))) {
        bucket = bucket_load(store, name);
        if (bucket != NULL) {
            insert_bucket(store, bucket);
        }
    }
    pthread_rwlock_unlock(&store->lock);
    return bucket;
}

/* Requests under way may still hold the bucket, so it is not freed: a test deletes few. */
bool store_bucket_delete(struct store *store, struct bucket *bucket)
{
    pthread_rwlock_wrlock(&store->lock);
    pthread_rwlock_rdlock(&bucket->lock);
    bool empty = bucket->index.count == 0;
    pthread_rwlock_unlock(&bucket->lock);
    size_t kept = 0;
    for (size_t i = 0; empty && i < store->count; i++) {
        if (store->buckets[i] != bucket) {
            store->buckets[kept++] = store->buckets[i];
        }
    }
    if (empty) {
        store->count = kept;
        char *path = path_of(store, false, bucket->name, "");
        rmdir(path);
        free(path);
    }
    pthread_rwlock_unlock(&store->lock);
    return empty;
}

void store_buckets(struct store *store, void (*visit)(const struct bucket *, void *), void *context)
{
    pthread_rwlock_rdlock(&store->lock);
    for (size_t i = 0; i < store->count; i++) {
        visit(store->buckets[i], context);
    }
    pthread_rwlock_unlock(&store->lock);
}

static struct object *generated_object(const struct generate_spec *spec, uint64_t i)
{
    char *key = generate_key(spec, i);
    struct object *object = object_new(key, strlen(key), OBJECT_GENERATED);
    object->id = spec->seed;
    object->size = generate_size(spec, i);
    object->mtime_ns = (int64_t)spec->time_s * 1000000000;
    plain_digest(object);
    free(key);
    return object;
}

bool store_generate(struct store *store, const struct generate_spec *spec)
{
    struct bucket *bucket = store_bucket_create(store, spec->bucket);
    if (bucket == NULL) {
        return false;
    }
    /* Loaded last, so what is in the bucket already stays: an overwrite outlives a restart. */
    struct index index = { 0 };
    for (uint64_t i = 0; i < spec->count; i++) {
        index_load(&index, generated_object(spec, i));
    }
    pthread_rwlock_wrlock(&bucket->lock);
    for (size_t i = 0; i < bucket->index.count; i++) {
        index_load(&index, object_ref(bucket->index.objects[i]));
    }
    index_sort(&index);
    struct index old = bucket->index;
    bucket->index = index;
    pthread_rwlock_unlock(&bucket->lock);
    index_fini(&old);
    return true;
}

/* The file under this name as it is now, or `known` where that is the same. The reference of
 * `known` moves in. */
static struct object *refresh_plain(struct store *store, struct bucket *bucket,
                                    struct object *known)
{
    struct stat status;
    char *path = path_of(store, false, bucket->name, known->key);
    bool there = stat(path, &status) == 0 && S_ISREG(status.st_mode);
    free(path);
    if (!there) {
        return known;
    }
    struct object *now = plain_object(known->key, &status);
    if (memcmp(now->digest, known->digest, sizeof now->digest) == 0) {
        object_unref(now);
        return known;
    }
    pthread_rwlock_wrlock(&bucket->lock);
    if (index_find(&bucket->index, known->key, known->key_size) == known) {
        object_unref(index_put(&bucket->index, object_ref(now)));
    }
    pthread_rwlock_unlock(&bucket->lock);
    object_unref(known);
    return now;
}

struct object *store_find(struct store *store, struct bucket *bucket, const char *key)
{
    pthread_rwlock_rdlock(&bucket->lock);
    struct object *object = index_find(&bucket->index, key, strlen(key));
    if (object != NULL) {
        object_ref(object);
    }
    pthread_rwlock_unlock(&bucket->lock);
    if (object != NULL && object->kind == OBJECT_PLAIN) {
        object = refresh_plain(store, bucket, object);
    }
    return object;
}

int store_object_open(struct store *store, const struct bucket *bucket, const struct object *object)
{
    if (object->kind == OBJECT_GENERATED) {
        return -1;
    }
    char *path = object->kind == OBJECT_PLAIN ? path_of(store, false, bucket->name, object->key)
                                              : path_of_id(store, bucket->name, object->id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    return fd;
}

/* Remove the file of an object that is no longer the bucket's; its readers keep it open. */
static void drop_object(struct store *store, const struct bucket *bucket, struct object *object)
{
    if (object == NULL) {
        return;
    }
    if (object->kind == OBJECT_STORED) {
        store_file_drop(store, bucket, object->id);
    } else if (object->kind == OBJECT_PLAIN) {
        char *path = path_of(store, false, bucket->name, object->key);
        unlink(path);
        free(path);
    }
    object_unref(object);
}

void store_put(struct store *store, struct bucket *bucket, struct object *object)
{
    if (object->kind == OBJECT_GENERATED) {
        plain_digest(object);
    }
    pthread_rwlock_wrlock(&bucket->lock);
    journal_put(bucket->journal, object);
    struct object *old = index_put(&bucket->index, object);
    drop_object(store, bucket, old);
    pthread_rwlock_unlock(&bucket->lock);
}

bool store_delete(struct store *store, struct bucket *bucket, const char *key)
{
    pthread_rwlock_wrlock(&bucket->lock);
    struct object *old = index_take(&bucket->index, key, strlen(key));
    if (old != NULL) {
        journal_delete(bucket->journal, key, strlen(key));
        drop_object(store, bucket, old);
    }
    pthread_rwlock_unlock(&bucket->lock);
    return old != NULL;
}

int store_file_create(struct store *store, const struct bucket *bucket, uint64_t *id)
{
    for (;;) {
        *id = atomic_fetch_add(&store->next_id, 1);
        char *path = path_of_id(store, bucket->name, *id);
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        free(path);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
}

int store_file_open(struct store *store, const struct bucket *bucket, uint64_t id)
{
    char *path = path_of_id(store, bucket->name, id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    return fd;
}

void store_file_drop(struct store *store, const struct bucket *bucket, uint64_t id)
{
    char *path = path_of_id(store, bucket->name, id);
    unlink(path);
    free(path);
}
