/* fs/core/name.c: paths in the dataset, the rows that show them, and keys in the source. */
#include "fs/core/internal.h"

/* Write names from `inode` up to the root, last one first. Returns where the path begins. */
static bool write_up(const struct mount *m, const struct inode *inode, uint8_t *buffer, size_t *at)
{
    *at = PATH_MAX_SIZE;
    for (; inode->slot != MOUNT_ROOT_INO; inode = inode_parent(m, inode)) {
        size_t slash = *at < PATH_MAX_SIZE;
        if (inode->name.size + slash > *at) {
            return false;
        }
        *at -= slash;
        if (slash) {
            buffer[*at] = '/';
        }
        *at -= inode->name.size;
        cell_copy(&m->cells, inode->name, buffer + *at);
    }
    return true;
}

bool name_path(const struct mount *m, const struct inode *inode, uint8_t *buffer, struct span *out)
{
    size_t at = 0;
    if (!write_up(m, inode, buffer, &at)) {
        return false;
    }
    struct span prefix = span_text(m->options.prefix);
    bool is_root = at == PATH_MAX_SIZE;
    prefix.size -= is_root && prefix.size > 0; /* its slash */
    if (prefix.size > at) {
        return false;
    }
    at -= prefix.size;
    memcpy(buffer + at, prefix.data, prefix.size);
    *out = span_of(buffer + at, PATH_MAX_SIZE - at);
    return true;
}

uint32_t name_row(const struct mount *m, struct span path)
{
    const struct dataset_row *row = dataset_row_of(&m->dataset, path);
    return row == NULL ? ROW_NONE : (uint32_t)(row - m->dataset.rows);
}

bool name_prefix(const struct mount *m, const struct inode *dir, uint8_t *buffer, struct span *out)
{
    CHECK(dir->dir && dir->row != ROW_NONE);
    const struct dataset_row *row = &m->dataset.rows[dir->row];
    uint8_t bytes[PATH_MAX_SIZE];
    struct span path;
    if (!name_path(m, dir, bytes, &path)) {
        return false;
    }
    size_t skip = strlen(row->path);
    CHECK(path.size >= skip);
    skip += skip > 0 && path.size > skip; /* the slash behind the row's path */
    struct span rest = span_of(path.data + skip, path.size - skip);
    size_t prefix = strlen(row->prefix);
    size_t size = prefix + rest.size + (rest.size > 0);
    if (size > KEY_MAX) {
        return false;
    }
    memcpy(buffer, row->prefix, prefix);
    memcpy(buffer + prefix, rest.data, rest.size);
    if (rest.size > 0) {
        buffer[size - 1] = '/';
    }
    *out = span_of(buffer, size);
    return true;
}

/* The component of the row's path that lies directly below `path`; empty: there is none. */
static struct span component(const struct dataset_row *row, struct span path)
{
    struct span of = span_text(row->path);
    size_t skip = path.size + (path.size > 0);
    bool below = of.size > skip && span_starts_with(of, path) &&
                 (path.size == 0 || of.data[path.size] == '/');
    if (!below) {
        return span_of(NULL, 0);
    }
    const uint8_t *at = of.data + skip;
    const uint8_t *slash = memchr(at, '/', of.size - skip);
    return span_of(at, slash == NULL ? of.size - skip : (size_t)(slash - at));
}

bool name_below(const struct mount *m, const struct inode *dir, uint32_t index, struct span *out)
{
    uint8_t bytes[PATH_MAX_SIZE];
    struct span path;
    if (m->plain || !name_path(m, dir, bytes, &path)) {
        return false;
    }
    struct span last = span_of(NULL, 0);
    for (uint32_t i = 0; i <= index; i++) {
        struct span best = span_of(NULL, 0);
        for (uint32_t r = 0; r < m->dataset.row_count; r++) {
            struct span name = component(&m->dataset.rows[r], path);
            bool later = name.size > 0 && (last.size == 0 || span_compare(name, last) > 0);
            bool first = best.size == 0 || span_compare(name, best) < 0;
            best = later && first ? name : best;
        }
        if (best.size == 0) {
            return false;
        }
        last = best;
    }
    *out = last;
    return true;
}

bool name_is_below(const struct mount *m, const struct inode *dir, struct span name)
{
    struct span other;
    for (uint32_t i = 0; name_below(m, dir, i, &other); i++) {
        if (span_equal(other, name)) {
            return true;
        }
    }
    return false;
}
