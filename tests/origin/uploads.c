#include "tests/origin/uploads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "tests/origin/text.h"

struct upload {
    struct upload *next;
    char id[UPLOADS_ID_SIZE];
    char *name;
    char *meta;
    struct uploads_part *parts; /* UPLOADS_PARTS_MAX of them */
};

struct uploads {
    pthread_mutex_t mutex; /* of all */
    struct upload *first;
};

struct uploads *uploads_new(void)
{
    struct uploads *uploads = text_alloc(sizeof *uploads);
    pthread_mutex_init(&uploads->mutex, NULL);
    return uploads;
}

static void upload_free(struct upload *upload)
{
    free(upload->name);
    free(upload->meta);
    free(upload->parts);
    free(upload);
}

void uploads_free(struct uploads **uploads)
{
    for (struct upload *upload = (*uploads)->first, *next; upload != NULL; upload = next) {
        next = upload->next;
        upload_free(upload);
    }
    pthread_mutex_destroy(&(*uploads)->mutex);
    free(*uploads);
    *uploads = NULL;
}

/* The mutex is held. The link that points to the upload, or to NULL. */
static struct upload **find(struct uploads *uploads, const char *id)
{
    struct upload **link = &uploads->first;
    while (*link != NULL && strcmp((*link)->id, id) != 0) {
        link = &(*link)->next;
    }
    return link;
}

void uploads_start(struct uploads *uploads, const char *name, char *meta, char id[UPLOADS_ID_SIZE])
{
    struct upload *upload = text_alloc(sizeof *upload);
    uint8_t random[16];
    if (RAND_bytes(random, sizeof random) != 1) {
        abort();
    }
    text_hex(random, sizeof random, upload->id);
    memcpy(id, upload->id, UPLOADS_ID_SIZE);
    upload->name = text_dup(name, strlen(name));
    upload->meta = meta;
    upload->parts = text_alloc(UPLOADS_PARTS_MAX * sizeof *upload->parts);
    pthread_mutex_lock(&uploads->mutex);
    upload->next = uploads->first;
    uploads->first = upload;
    pthread_mutex_unlock(&uploads->mutex);
}

bool uploads_has(struct uploads *uploads, const char *name, const char *id)
{
    pthread_mutex_lock(&uploads->mutex);
    struct upload *upload = *find(uploads, id);
    bool has = upload != NULL && strcmp(upload->name, name) == 0;
    pthread_mutex_unlock(&uploads->mutex);
    return has;
}

bool uploads_set_part(struct uploads *uploads, const char *id, uint32_t number,
                      const struct uploads_part *part, struct uploads_part *old)
{
    pthread_mutex_lock(&uploads->mutex);
    struct upload *upload = *find(uploads, id);
    bool good = upload != NULL && number >= 1 && number <= UPLOADS_PARTS_MAX;
    if (good) {
        *old = upload->parts[number - 1];
        upload->parts[number - 1] = *part;
    }
    pthread_mutex_unlock(&uploads->mutex);
    return good;
}

struct uploads_part *uploads_parts(struct uploads *uploads, const char *id)
{
    struct uploads_part *copy = NULL;
    pthread_mutex_lock(&uploads->mutex);
    struct upload *upload = *find(uploads, id);
    if (upload != NULL) {
        copy = text_alloc(UPLOADS_PARTS_MAX * sizeof *copy);
        memcpy(copy, upload->parts, UPLOADS_PARTS_MAX * sizeof *copy);
    }
    pthread_mutex_unlock(&uploads->mutex);
    return copy;
}

struct uploads_part *uploads_end(struct uploads *uploads, const char *id, char **meta)
{
    pthread_mutex_lock(&uploads->mutex);
    struct upload **link = find(uploads, id);
    struct upload *upload = *link;
    if (upload != NULL) {
        *link = upload->next;
    }
    pthread_mutex_unlock(&uploads->mutex);
    if (upload == NULL) {
        return NULL;
    }
    struct uploads_part *parts = upload->parts;
    *meta = upload->meta;
    upload->parts = NULL;
    upload->meta = NULL;
    upload_free(upload);
    return parts;
}
