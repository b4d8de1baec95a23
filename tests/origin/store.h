/* tests/origin/store.h: buckets and their objects, on disk and in memory.
 *
 * A bucket is a directory of the root. Files found in it when the store opens are objects under
 * their own names. What is PUT goes to ROOT/.atoll/BUCKET/, as files named by numbers and a journal
 * that says what they are, so that any key can be held. Generated objects are in memory alone.
 * Shared by all threads: the list of buckets has a lock, and each bucket its own. */
#ifndef ATOLL_TESTS_ORIGIN_STORE_H
#define ATOLL_TESTS_ORIGIN_STORE_H

#include <pthread.h>
#include <stdio.h>

#include "tests/origin/generate.h"
#include "tests/origin/index.h"

struct bucket {
    char *name;
    int64_t created_s;
    pthread_rwlock_t lock; /* of what follows */
    struct index index;
    FILE *journal;
};

struct store;

/* Open the directory, making it where it is missing; NULL with a message on stderr when that
 * fails. `root` NULL: a temporary directory, removed by store_close. */
struct store *store_open(const char *root);
void store_close(struct store **store);

/* NULL when there is none. A bucket lives as long as the store. */
struct bucket *store_bucket(struct store *store, const char *name);
/* The existing one or a new one; NULL when the name is none or the disk refuses. */
struct bucket *store_bucket_create(struct store *store, const char *name);
/* False when it is not empty. */
bool store_bucket_delete(struct store *store, struct bucket *bucket);
/* Call `visit` with each bucket in the order of names. */
void store_buckets(struct store *store, void (*visit)(const struct bucket *, void *),
                   void *context);

/* Add the generated objects of a set; a key that is there already keeps its object. False when the bucket cannot be made. */
bool store_generate(struct store *store, const struct generate_spec *spec);

/* One more reference, or NULL. A plain file that changed on disk is taken as it is now. */
struct object *store_find(struct store *store, struct bucket *bucket, const char *key);
/* A descriptor of its file, the caller's; -1 for a generated object and on failure. */
int store_object_open(struct store *store, const struct bucket *bucket,
                      const struct object *object);
/* Make it the bucket's. Both references move in. */
void store_put(struct store *store, struct bucket *bucket, struct object *object);
/* False when there was none. */
bool store_delete(struct store *store, struct bucket *bucket, const char *key);

/* A new, empty numbered file to write; -1 on failure. It is lost unless an object of that id is
 * put. */
int store_file_create(struct store *store, const struct bucket *bucket, uint64_t *id);
int store_file_open(struct store *store, const struct bucket *bucket, uint64_t id);
void store_file_drop(struct store *store, const struct bucket *bucket, uint64_t id);

#endif
