#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/origin/file.h"
#include "node/origin/source.h"

/* An entry with its key, pin and their zeros: what one takes of a page's memory. */
#define ENTRY_BYTES (SOURCE_PREFIX_MAX + 258 + FILE_PIN_MAX)

void file_lister_fini(struct file_lister *lister)
{
    for (size_t i = 0; i < lister->count; i++) {
        free(lister->names[i]);
    }
    free(lister->names);
    free(lister->directory);
    memset(lister, 0, sizeof *lister);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Is it a directory, a regular file, or nothing to show? Links are followed inside the root by
 * the open that reads the attributes, so here they count as files to be looked at. */
static bool is_directory(int directory, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK) {
        return entry->d_type == DT_DIR;
    }
    return fstatat(directory, entry->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static bool add_name(struct file_lister *lister, size_t *room, const char *name, bool directory)
{
    char *copy;
    if (lister->count == *room) {
        size_t more = *room == 0 ? 256 : *room * 2;
        char **names = realloc(lister->names, more * sizeof *names);
        if (names == NULL) {
            return false;
        }
        lister->names = names;
        *room = more;
    }
    if (asprintf(&copy, "%s%s", name, directory ? "/" : "") < 0) {
        return false;
    }
    lister->names[lister->count++] = copy;
    return true;
}

static enum err read_names(struct file_lister *lister, DIR *stream)
{
    size_t room = 0;
    struct dirent *entry;
    while (errno = 0, (entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (!add_name(lister, &room, entry->d_name, is_directory(dirfd(stream), entry))) {
            return ERR_NOMEM;
        }
    }
    if (errno != 0) {
        return ERR_SOURCE_UNREACHABLE;
    }
    if (lister->count > 0) {
        qsort(lister->names, lister->count, sizeof *lister->names, compare_names);
    }
    return ERR_OK;
}

/* Read and sort the directory's names. ERR_SOURCE_NOT_FOUND: no such directory. */
static enum err load(struct file_lister *lister, const char *directory, struct text *why)
{
    enum err err;
    DIR *stream = opendir(directory);
    if (stream == NULL) {
        text_str(why, directory);
        text_str(why, ": ");
        text_str(why, strerror(errno));
        return errno == EACCES ? ERR_SOURCE_DENIED : ERR_SOURCE_NOT_FOUND;
    }
    file_lister_fini(lister);
    lister->directory = strdup(directory);
    err = lister->directory == NULL ? ERR_NOMEM : read_names(lister, stream);
    closedir(stream);
    if (err != ERR_OK) {
        file_lister_fini(lister);
    }
    return err;
}

/* The first name whose key is behind `after`. */
static size_t first_after(const struct file_lister *lister, struct span prefix, struct span after)
{
    size_t low = 0, high = lister->count;
    if (!span_starts_with(after, prefix)) {
        return span_compare(after, prefix) < 0 ? 0 : lister->count;
    }
    after = span_of(after.data + prefix.size, after.size - prefix.size);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (span_compare(span_text(lister->names[middle]), after) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct span keep(struct listing *to, size_t *used, struct span a, struct span b)
{
    char *at = to->memory + *used;
    memcpy(at, a.data, a.size);
    memcpy(at + a.size, b.data, b.size);
    *used += a.size + b.size;
    return span_of(at, a.size + b.size);
}

/* Add one name; one that vanished or is of another kind is passed over. */
static void add_entry(const struct file_page *page, const char *name, struct listing *to,
                      size_t *used)
{
    struct span text = span_text(name);
    struct listing_entry *entry = &to->entries[to->count];
    struct file_version file;
    char ignored[256];
    struct text why;
    memset(entry, 0, sizeof *entry);
    entry->key = keep(to, used, page->prefix, text);
    entry->is_prefix = name[text.size - 1] == '/';
    if (entry->is_prefix) {
        to->count++;
        return;
    }
    text_init(&why, ignored, sizeof ignored);
    if (file_open(page->root, entry->key, span_of(NULL, 0), &file, &why) != ERR_OK) {
        return;
    }
    entry->size = file.size;
    entry->mtime_us = file.mtime_us;
    entry->pin = keep(to, used, span_text(file.pin), span_of("", 0));
    file_close(&file);
    to->count++;
}

static enum err fill(const struct file_lister *lister, const struct file_page *page,
                     struct listing *out)
{
    struct listing made = { 0 };
    size_t used = 0;
    size_t at = first_after(lister, page->prefix, page->after);
    made.entries = calloc((size_t)page->limit + 1, sizeof *made.entries);
    made.memory = malloc(((size_t)page->limit + 2) * ENTRY_BYTES);
    if (made.entries == NULL || made.memory == NULL) {
        listing_fini(&made);
        return ERR_NOMEM;
    }
    while (at < lister->count && made.count < page->limit) {
        add_entry(page, lister->names[at], &made, &used);
        at++;
    }
    made.truncated = at < lister->count;
    if (made.truncated) {
        made.next = keep(&made, &used, page->prefix, span_text(lister->names[at - 1]));
    }
    *out = made;
    return ERR_OK;
}

static bool is_beneath(struct span prefix)
{
    /* The fetch of a prefix such as "a/../../" must not leave the root. */
    static const char up[] = "../";
    return memmem(prefix.data, prefix.size, up, sizeof up - 1) == NULL;
}

enum err file_list(struct file_lister *lister, const struct file_page *page, struct listing *out,
                   struct text *why)
{
    char directory[SOURCE_BUCKET_MAX + SOURCE_PREFIX_MAX + 3];
    struct text text;
    enum err err = ERR_OK;
    text_init(&text, directory, sizeof directory);
    text_str(&text, page->root);
    text_char(&text, '/');
    text_span(&text, page->prefix);
    if (text.overflow || !is_beneath(page->prefix) || page->limit == 0) {
        return ERR_INVALID;
    }
    if (page->after.size == 0 || lister->directory == NULL ||
        strcmp(lister->directory, directory) != 0) {
        err = load(lister, directory, why);
    }
    if (err == ERR_SOURCE_NOT_FOUND && page->prefix.size > 0) {
        file_lister_fini(lister);
        err = ERR_OK;
    }
    return err == ERR_OK ? fill(lister, page, out) : err;
}
