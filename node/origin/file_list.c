/* node/origin/file_list.c: pages of a directory tree, in the order of keys.
 *
 * A directory's name is sorted with "/" at its end: then a walk of sorted directories meets all keys
 * in byte order. What was read of a directory is kept for the next page while it has not changed. */
#include "node/origin/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/origin/source.h"

#define KEY_MAX SOURCE_PREFIX_MAX
/* What an entry takes of a page's memory. */
#define ENTRY_BYTES (KEY_MAX + FILE_PIN_MAX)

struct file_names {
    char path[KEY_MAX + 1]; /* below the root; "" or ends in "/" */
    ino_t inode;
    struct timespec mtime;
    char **names; /* sorted as keys: a directory's with "/" at its end */
    size_t count, room;
};

struct walk {
    struct file_lister *lister;
    const struct file_page *page;
    int root;
    struct span after; /* what was given already, or start-after */
    struct listing made;
    size_t used;
    char path[KEY_MAX + 1]; /* of the directory the walk is in */
    size_t path_size;
    bool full; /* there is more than the page holds */
};

static void names_free(struct file_names *names)
{
    if (names == NULL) {
        return;
    }
    for (size_t i = 0; i < names->count; i++) {
        free(names->names[i]);
    }
    free(names->names);
    free(names);
}

void file_lister_fini(struct file_lister *lister)
{
    for (size_t i = 0; i < lister->count; i++) {
        names_free(lister->levels[i]);
    }
    free(lister->levels);
    memset(lister, 0, sizeof *lister);
}

/* ---- one directory ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static int stat_beneath(int root, const char *path, struct stat *out)
{
    int fd = file_open_beneath(root, path, O_PATH);
    int failed = fd < 0 ? -1 : fstat(fd, out);
    if (fd >= 0) {
        close(fd);
    }
    return failed;
}

/* A link to a directory that the walk is in would have no end. */
static bool is_around(const struct walk *w, const struct stat *st)
{
    char path[KEY_MAX + 1];
    struct stat above;
    for (size_t i = 0; i <= w->path_size; i++) {
        if (i > 0 && w->path[i - 1] != '/') {
            continue;
        }
        memcpy(path, w->path, i);
        path[i] = '\0';
        if (stat_beneath(w->root, path, &above) == 0 && same_file(&above, st)) {
            return true;
        }
    }
    return false;
}

enum shown { SHOWN_NOT, SHOWN_FILE, SHOWN_DIRECTORY };

static enum shown kind_of(const struct walk *w, const struct dirent *entry)
{
    char path[KEY_MAX + 1];
    struct text text;
    struct stat st;
    if (entry->d_type == DT_REG) {
        return SHOWN_FILE;
    }
    if (entry->d_type == DT_DIR) {
        return SHOWN_DIRECTORY;
    }
    text_init(&text, path, sizeof path);
    text_span(&text, span_of(w->path, w->path_size));
    text_str(&text, entry->d_name);
    if (text.overflow || stat_beneath(w->root, path, &st) != 0) {
        return SHOWN_NOT;
    }
    if (S_ISDIR(st.st_mode)) {
        return is_around(w, &st) ? SHOWN_NOT : SHOWN_DIRECTORY;
    }
    return S_ISREG(st.st_mode) ? SHOWN_FILE : SHOWN_NOT;
}

static bool add_name(struct file_names *names, const char *name, bool directory)
{
    char *copy;
    if (names->count == names->room) {
        size_t room = names->room == 0 ? 256 : names->room * 2;
        char **more = realloc(names->names, room * sizeof *more);
        if (more == NULL) {
            return false;
        }
        names->names = more;
        names->room = room;
    }
    if (asprintf(&copy, "%s%s", name, directory ? "/" : "") < 0) {
        return false;
    }
    names->names[names->count++] = copy;
    return true;
}

static enum err read_names(const struct walk *w, DIR *stream, struct file_names *names)
{
    struct dirent *entry;
    while (errno = 0, (entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        enum shown shown = kind_of(w, entry);
        if (shown != SHOWN_NOT && !add_name(names, entry->d_name, shown == SHOWN_DIRECTORY)) {
            return ERR_NOMEM;
        }
    }
    if (errno != 0) {
        return ERR_SOURCE_UNREACHABLE;
    }
    if (names->count > 0) {
        qsort(names->names, names->count, sizeof *names->names, compare_names);
    }
    return ERR_OK;
}

/* Room for one more level, empty. */
static bool deepen(struct file_lister *lister, size_t depth)
{
    struct file_names **more;
    if (depth < lister->count) {
        return true;
    }
    CHECK(depth == lister->count);
    more = realloc(lister->levels, (depth + 1) * sizeof(struct file_names *));
    if (more == NULL) {
        return false;
    }
    lister->levels = more;
    lister->levels[lister->count++] = NULL;
    return true;
}

static bool is_known(const struct walk *w, const struct file_names *names, const struct stat *st)
{
    return names != NULL && w->after.size > 0 && strcmp(names->path, w->path) == 0 &&
           names->inode == st->st_ino && names->mtime.tv_sec == st->st_mtim.tv_sec &&
           names->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

/* Takes `fd`. */
static enum err read_level(struct walk *w, size_t depth, int fd, const struct stat *st)
{
    enum err err = ERR_NOMEM;
    struct file_names *names = calloc(1, sizeof *names);
    DIR *stream = fdopendir(fd);
    if (names == NULL || stream == NULL) {
        goto out;
    }
    memcpy(names->path, w->path, w->path_size + 1);
    names->inode = st->st_ino;
    names->mtime = st->st_mtim;
    err = read_names(w, stream, names);
out:
    if (stream != NULL) {
        closedir(stream);
    } else {
        close(fd);
    }
    if (err != ERR_OK) {
        names_free(names);
        return err;
    }
    names_free(w->lister->levels[depth]);
    w->lister->levels[depth] = names;
    return ERR_OK;
}

/* The names of the directory the walk is in. ERR_NOT_FOUND: it is none, or none any more. */
static enum err load(struct walk *w, size_t depth)
{
    struct stat st;
    int fd = file_open_beneath(w->root, w->path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return errno == EACCES || errno == EPERM ? ERR_SOURCE_DENIED : ERR_NOT_FOUND;
    }
    if (fstat(fd, &st) != 0 || !deepen(w->lister, depth)) {
        close(fd);
        return ERR_NOMEM;
    }
    if (is_known(w, w->lister->levels[depth], &st)) {
        close(fd);
        return ERR_OK;
    }
    return read_level(w, depth, fd, &st);
}

/* ---- the walk ---- */

static bool is_directory(const char *name)
{
    return name[strlen(name) - 1] == '/';
}

static struct span path_of(const struct walk *w)
{
    return span_of(w->path, w->path_size);
}

/* The first name with keys behind `after`. */
static size_t first_after(const struct walk *w, const struct file_names *names)
{
    size_t low = 0, high = names->count;
    if (!span_starts_with(w->after, path_of(w))) {
        return span_compare(w->after, path_of(w)) < 0 ? 0 : names->count;
    }
    struct span rest = span_of(w->after.data + w->path_size, w->after.size - w->path_size);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (span_compare(span_text(names->names[middle]), rest) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    /* A directory before `after` may hold keys behind it; one that was given is not given again. */
    bool inside = low > 0 && is_directory(names->names[low - 1]) &&
                  span_starts_with(rest, span_text(names->names[low - 1]));
    bool given = w->page->delimited && w->page->continuation.size > 0;
    return inside && !given ? low - 1 : low;
}

static struct span keep(struct walk *w, struct span a, struct span b)
{
    char *at = w->made.memory + w->used;
    memcpy(at, a.data, a.size);
    memcpy(at + a.size, b.data, b.size);
    w->used += a.size + b.size;
    return span_of(at, a.size + b.size);
}

static void add_object(struct walk *w, const char *name, const struct stat *st)
{
    struct file_version version;
    struct listing_entry *entry = &w->made.entries[w->made.count++];
    file_describe(st, &version);
    entry->key = keep(w, path_of(w), span_text(name));
    entry->pin = keep(w, span_text(version.pin), span_of("", 0));
    entry->size = S_ISDIR(st->st_mode) ? 0 : version.size;
    entry->mtime_us = version.mtime_us;
}

/* One name; what vanished since it was read is passed over. */
static void add(struct walk *w, const char *name)
{
    char key[KEY_MAX + 1];
    struct text text;
    struct stat st;
    if (is_directory(name)) {
        struct listing_entry *entry = &w->made.entries[w->made.count++];
        entry->key = keep(w, path_of(w), span_text(name));
        entry->is_prefix = true;
        return;
    }
    text_init(&text, key, sizeof key);
    text_span(&text, path_of(w));
    text_str(&text, name);
    if (stat_beneath(w->root, key, &st) == 0 && S_ISREG(st.st_mode)) {
        add_object(w, name, &st);
    }
}

static enum err walk(struct walk *w, size_t depth);

static enum err descend(struct walk *w, size_t depth, const char *name)
{
    size_t size = strlen(name);
    memcpy(w->path + w->path_size, name, size + 1);
    w->path_size += size;
    enum err err = walk(w, depth + 1);
    w->path_size -= size;
    w->path[w->path_size] = '\0';
    return err == ERR_NOT_FOUND ? ERR_OK : err; /* it vanished */
}

/* An empty directory has no key to be seen by; stores keep one as an object of its name. */
static void add_marker(struct walk *w)
{
    struct stat st;
    if (w->made.count == w->page->limit) {
        w->full = true;
        return;
    }
    if (stat_beneath(w->root, w->path, &st) == 0 && S_ISDIR(st.st_mode)) {
        add_object(w, "", &st);
    }
}

static enum err walk_names(struct walk *w, size_t depth, struct span start)
{
    const struct file_names *names = w->lister->levels[depth];
    enum err err = ERR_OK;
    for (size_t i = first_after(w, names); i < names->count && !w->full; i++) {
        const char *name = names->names[i];
        if (!span_starts_with(span_text(name), start) || w->path_size + strlen(name) > KEY_MAX) {
            continue;
        }
        if (w->made.count == w->page->limit) {
            w->full = true;
        } else if (is_directory(name) && !w->page->delimited) {
            err = descend(w, depth, name);
        } else {
            add(w, name);
        }
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

/* Everything in the directory w->path, and below it unless the page is delimited. */
static enum err walk(struct walk *w, size_t depth)
{
    uint32_t before = w->made.count;
    bool begins = span_compare(path_of(w), w->after) > 0;
    struct span start = span_of("", 0);
    if (depth == 0) { /* the rest of the prefix, behind its last "/" */
        start = span_of(w->page->prefix.data + w->path_size, w->page->prefix.size - w->path_size);
    }
    enum err err = load(w, depth);
    if (err == ERR_OK) {
        err = walk_names(w, depth, start);
    }
    bool empty = err == ERR_OK && w->made.count == before && !w->full;
    if (empty && begins && start.size == 0) {
        add_marker(w);
    }
    return err;
}

/* The directory part of the prefix; false: no path below a root can begin so. */
static bool enter(struct walk *w, struct span prefix)
{
    size_t size = prefix.size;
    while (size > 0 && prefix.data[size - 1] != '/') {
        size--;
    }
    if (size > KEY_MAX || memchr(prefix.data, 0, prefix.size) != NULL) {
        return false;
    }
    memcpy(w->path, prefix.data, size);
    w->path[size] = '\0';
    w->path_size = size;
    return size == 0 || prefix.data[0] != '/';
}

static enum err make(struct walk *w, struct text *why)
{
    enum err err;
    w->made.entries = calloc((size_t)w->page->limit + 1, sizeof *w->made.entries);
    w->made.memory = malloc(((size_t)w->page->limit + 1) * ENTRY_BYTES);
    if (w->made.entries == NULL || w->made.memory == NULL) {
        return ERR_NOMEM;
    }
    err = enter(w, w->page->prefix) ? walk(w, 0) : ERR_NOT_FOUND;
    if (err == ERR_NOT_FOUND && w->page->prefix.size > 0) {
        err = ERR_OK;
    }
    if (err != ERR_OK) {
        text_str(why, w->page->root);
        text_char(why, '/');
        text_str(why, w->path);
        text_str(why, ": the directory cannot be read");
        return err == ERR_NOT_FOUND ? ERR_SOURCE_NOT_FOUND : err;
    }
    w->made.truncated = w->full;
    w->made.next = w->full ? w->made.entries[w->made.count - 1].key : span_of(w->made.memory, 0);
    return ERR_OK;
}

enum err file_list(struct file_lister *lister, const struct file_page *page, struct listing *out,
                   struct text *why)
{
    enum err err;
    struct walk w = { .lister = lister,
                      .page = page,
                      .after = page->continuation.size > 0 ? page->continuation : page->after };
    CHECK(page->limit > 0);
    w.root = open(page->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (w.root < 0) {
        text_str(why, page->root);
        text_str(why, ": ");
        text_str(why, strerrordesc_np(errno));
        return errno == EACCES ? ERR_SOURCE_DENIED : ERR_SOURCE_NOT_FOUND;
    }
    err = make(&w, why);
    close(w.root);
    if (err != ERR_OK) {
        listing_fini(&w.made);
        return err;
    }
    *out = w.made;
    return ERR_OK;
}
