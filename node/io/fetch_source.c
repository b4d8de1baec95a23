/* node/io/fetch_source.c: sources by id, as the node's core described them. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "node/io/fetch_inside.h"

static bool copy_text(char *to, size_t room, struct span from)
{
    struct text text;
    text_init(&text, to, room);
    text_span(&text, from);
    return !text.overflow && strlen(to) == from.size;
}

/* The source's own description of what is wrong with it, if anything. */
static void describe(struct fetch_source *made, const struct node_effect *effect)
{
    struct source_text written = { .uri = effect->source.uri,
                                   .endpoint = effect->source.endpoint,
                                   .region = effect->source.region };
    char prefix[SOURCE_PREFIX_MAX + 1];
    struct text why;
    text_init(&why, made->why, sizeof made->why);
    made->err = source_parse(&written, &made->source, prefix, &why);
    if (!copy_text(made->credential, sizeof made->credential, effect->source.credential)) {
        text_init(&why, made->why, sizeof made->why);
        text_str(&why, "the credential's name has over 64 letters");
        made->err = ERR_INVALID;
    }
}

static struct fetch_source **find(struct fetch *fetch, struct source_id id)
{
    struct fetch_source **at = &fetch->sources;
    while (*at != NULL && !source_id_equal((*at)->id, id)) {
        at = &(*at)->next;
    }
    return at;
}

enum err fetch_source_put(struct fetch *fetch, const struct node_effect *effect)
{
    struct fetch_source *old;
    struct fetch_source **at;
    struct fetch_source *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return ERR_NOMEM;
    }
    atomic_init(&made->refs, 1);
    made->id = effect->source.source;
    describe(made, effect);
    pthread_mutex_lock(&fetch->mutex);
    at = find(fetch, made->id);
    old = *at;
    made->next = old == NULL ? NULL : old->next;
    *at = made;
    pthread_mutex_unlock(&fetch->mutex);
    if (old != NULL) {
        fetch_source_unref(old);
    }
    return ERR_OK;
}

struct fetch_source *fetch_source_ref(struct fetch *fetch, struct source_id id)
{
    struct fetch_source *found;
    pthread_mutex_lock(&fetch->mutex);
    found = *find(fetch, id);
    if (found != NULL) {
        atomic_fetch_add(&found->refs, 1);
    }
    pthread_mutex_unlock(&fetch->mutex);
    return found;
}

void fetch_source_unref(struct fetch_source *source)
{
    if (atomic_fetch_sub(&source->refs, 1) == 1) {
        free(source);
    }
}

void fetch_sources_fini(struct fetch *fetch)
{
    while (fetch->sources != NULL) {
        struct fetch_source *first = fetch->sources;
        fetch->sources = first->next;
        fetch_source_unref(first);
    }
}

static bool is_at_or_below(const char *path, const char *root)
{
    size_t size = strlen(root);
    if (strcmp(root, "/") == 0) {
        return true;
    }
    return strncmp(path, root, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

enum err fetch_source_root(const struct fetch *fetch, const struct source *source, char *out,
                           struct text *why)
{
    char path[PATH_MAX];
    if (realpath(source->bucket, path) == NULL) {
        text_str(why, source->bucket);
        text_str(why, ": ");
        text_str(why, strerrordesc_np(errno));
        return errno == EACCES ? ERR_SOURCE_DENIED : ERR_SOURCE_NOT_FOUND;
    }
    for (uint32_t i = 0; i < fetch->root_count; i++) {
        if (is_at_or_below(path, fetch->roots[i])) {
            memcpy(out, path, strlen(path) + 1);
            return ERR_OK;
        }
    }
    text_str(why, path);
    text_str(why, " is below no --allow-root of this node");
    return ERR_SOURCE_NOT_ALLOWED;
}
