/* wire/dataset.c: a dataset's record: what makes one valid, and its stored form.
 *
 * Stored form: u16 format version, then fields: u16 tag, u16 size, bytes. A row is a field that
 * holds fields. Tags are for ever; an unknown one is skipped. Zero and empty are left out. */
#include "wire/dataset.h"

#include "base/crc.h"
#include "base/next.h"

#define FORMAT_VERSION 1u
#define FIELD_HEAD 4u
#define BLOCK_SIZE_LEAST CHUNK_SIZE
#define BLOCK_SIZE_MOST (16u << 20)
#define TTL_MOST SEC(10L * 365 * 24 * 3600) /* ten years: `once` says it better */

enum field {
    FIELD_NAME = 1,
    FIELD_ROW = 2,
    FIELD_BLOCK_SIZE = 3,
    FIELD_SELECTOR = 4,
    FIELD_POLICY = 5,
    FIELD_TTL = 6,
    FIELD_REFRESHED = 7,
    FIELD_VERSION = 8,
    FIELD_WRITER = 9,
    FIELD_DELETED = 10,
    FIELD_NEXT = 250, /* of the build that stands in for the next version */
};

enum row_field {
    ROW_PATH = 1,
    ROW_URI = 2,
    ROW_PREFIX = 3,
    ROW_ENDPOINT = 4,
    ROW_REGION = 5,
    ROW_CREDENTIAL = 6,
    ROW_SOURCE = 7,
};

/* ---- what makes one valid ---------------------------------------------------------------- */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool dataset_is_name(const char *name)
{
    if (!is_name_char(name[0]) || strlen(name) > DATASET_NAME_MAX) {
        return false;
    }
    for (const char *at = name; *at != '\0'; at++) {
        if (!is_name_char(*at) && strchr("._-", *at) == NULL) {
            return false;
        }
    }
    return true;
}

/* "a/b": no empty part, no "." or "..", no slash at either end. "" is the root. */
static bool is_path(const char *path)
{
    while (*path != '\0') {
        size_t size = strcspn(path, "/");
        bool is_dots = path[0] == '.' && (size == 1 || (size == 2 && path[1] == '.'));
        if (size == 0 || size > 255 || is_dots) {
            return false;
        }
        path += size;
        if (path[0] == '/' && path[1] == '\0') {
            return false;
        }
        path += *path == '/' ? 1 : 0;
    }
    return true;
}

/* No control characters: these end up in logs, requests and tables. */
static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((uint8_t)*text < 0x20 || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

static const char *row_fault(const struct dataset_row *row)
{
    size_t prefix = strlen(row->prefix);
    if (!is_path(row->path) || !is_printable(row->path)) {
        return "a row's path must look like a/b, without . and .. and without a slash at its ends";
    }
    if (row->uri[0] == '\0' || strstr(row->uri, "://") == NULL || !is_printable(row->uri)) {
        return "a row needs a URI such as s3://bucket/prefix, oss://bucket/prefix or file:///dir";
    }
    if (prefix > 0 && row->prefix[prefix - 1] != '/') {
        return "the prefix of a row must be empty or end in a slash";
    }
    if (!is_printable(row->endpoint) || !is_printable(row->region) ||
        !is_printable(row->credential)) {
        return "endpoint, region and credential must not hold control characters";
    }
    if (source_id_is_zero(row->source)) {
        return "a row has no source id: the URI was not parsed";
    }
    return NULL;
}

static bool paths_are_distinct(const struct dataset *dataset)
{
    for (uint32_t i = 0; i < dataset->row_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(dataset->rows[i].path, dataset->rows[j].path) == 0) {
                return false;
            }
        }
    }
    return true;
}

static const char *rows_fault(const struct dataset *dataset)
{
    if (dataset->row_count == 0) {
        return "a dataset needs at least one URI";
    }
    if (dataset->row_count > DATASET_ROWS_MAX) {
        return "a dataset has at most 8 rows of PATH=URI: make several datasets";
    }
    for (uint32_t i = 0; i < dataset->row_count; i++) {
        const char *fault = row_fault(&dataset->rows[i]);
        if (fault != NULL) {
            return fault;
        }
    }
    if (!paths_are_distinct(dataset)) {
        return "two rows have the same path: give each URI a path of its own";
    }
    return NULL;
}

static bool is_block_size(uint32_t size)
{
    return size >= BLOCK_SIZE_LEAST && size <= BLOCK_SIZE_MOST && (size & (size - 1)) == 0;
}

static bool is_policy(enum metadata_policy policy)
{
    switch (policy) {
    case METADATA_ONCE:
    case METADATA_TTL:
    case METADATA_ALWAYS:
        return true;
    }
    return false; /* a number from outside */
}

const char *dataset_fault(const struct dataset *dataset)
{
    if (!dataset_is_name(dataset->name)) {
        return DATASET_NAME_RULE;
    }
    if (dataset->deleted) {
        return NULL; /* a tombstone needs no more than its name */
    }
    if (!is_block_size(dataset->block_size)) {
        return "the block size must be a power of two from 64KiB to 16MiB";
    }
    if (!is_printable(dataset->selector)) {
        return "the node selector must look like key=value,key2=value2";
    }
    if (!is_policy(dataset->policy)) {
        return "the metadata policy is one of once, ttl=SECS, always";
    }
    bool has_ttl = dataset->policy == METADATA_TTL;
    if (has_ttl && (dataset->ttl_us <= 0 || dataset->ttl_us > TTL_MOST)) {
        return "a ttl must be more than zero and at most ten years";
    }
    return rows_fault(dataset);
}

/* ---- stored form ------------------------------------------------------------------------- */

struct writer {
    uint8_t *data;
    size_t room;
    size_t used;
    bool overflow;
};

/* Room for a field of `size` bytes; NULL: it does not fit. */
static uint8_t *field_take(struct writer *w, uint32_t tag, size_t size)
{
    if (w->overflow || size > UINT16_MAX || w->room - w->used < FIELD_HEAD + size) {
        w->overflow = true;
        return NULL;
    }
    uint8_t *at = w->data + w->used;
    put_u16(at, (uint16_t)tag);
    put_u16(at + 2, (uint16_t)size);
    w->used += FIELD_HEAD + size;
    return at + FIELD_HEAD;
}

static void put_bytes(struct writer *w, uint32_t tag, const void *data, size_t size)
{
    if (size == 0) {
        return;
    }
    uint8_t *to = field_take(w, tag, size);
    if (to != NULL) {
        memcpy(to, data, size);
    }
}

static void put_text(struct writer *w, uint32_t tag, const char *text)
{
    put_bytes(w, tag, text, strlen(text));
}

static void put_number(struct writer *w, uint32_t tag, uint64_t value)
{
    if (value == 0) {
        return;
    }
    uint8_t *to = field_take(w, tag, sizeof value);
    if (to != NULL) {
        put_u64(to, value);
    }
}

static void put_row(struct writer *w, const struct dataset_row *row)
{
    size_t start = w->used;
    if (field_take(w, FIELD_ROW, 0) == NULL) {
        return;
    }
    put_text(w, ROW_PATH, row->path);
    put_text(w, ROW_URI, row->uri);
    put_text(w, ROW_PREFIX, row->prefix);
    put_text(w, ROW_ENDPOINT, row->endpoint);
    put_text(w, ROW_REGION, row->region);
    put_text(w, ROW_CREDENTIAL, row->credential);
    put_bytes(w, ROW_SOURCE, row->source.b, ID_SIZE);
    if (!w->overflow) {
        size_t size = w->used - start - FIELD_HEAD;
        CHECK(size <= UINT16_MAX); /* the texts of a row are bounded */
        put_u16(w->data + start + 2, (uint16_t)size);
    }
}

static void put_next(struct writer *w)
{
    uint8_t bytes[16];
    if (IS_NEXT) {
        put_bytes(w, FIELD_NEXT, bytes, next_put(bytes));
    }
}

enum err dataset_encode(const struct dataset *dataset, uint8_t *buffer, size_t room, size_t *used)
{
    struct writer w = { .data = buffer,
                        .room = room < DATASET_RECORD_MAX ? room : DATASET_RECORD_MAX };
    CHECK(dataset->row_count <= DATASET_ROWS_MAX);
    if (w.room < 2) {
        return ERR_FULL;
    }
    put_u16(buffer, FORMAT_VERSION);
    w.used = 2;
    put_text(&w, FIELD_NAME, dataset->name);
    for (uint32_t i = 0; i < dataset->row_count; i++) {
        put_row(&w, &dataset->rows[i]);
    }
    put_number(&w, FIELD_BLOCK_SIZE, dataset->block_size);
    put_text(&w, FIELD_SELECTOR, dataset->selector);
    put_number(&w, FIELD_POLICY, (uint64_t)dataset->policy);
    put_number(&w, FIELD_TTL, (uint64_t)dataset->ttl_us);
    put_number(&w, FIELD_REFRESHED, dataset->refreshed);
    put_number(&w, FIELD_VERSION, dataset->version);
    put_bytes(&w, FIELD_WRITER, dataset->writer.b, ID_SIZE);
    put_number(&w, FIELD_DELETED, dataset->deleted ? 1 : 0);
    put_next(&w);
    if (w.overflow) {
        return ERR_FULL;
    }
    *used = w.used;
    return ERR_OK;
}

/* ---- reading ----------------------------------------------------------------------------- */

struct field_read {
    uint32_t tag;
    struct span value;
};

/* Takes one field off the front; false: what is left holds none. */
static bool field_next(struct span *rest, struct field_read *out)
{
    if (rest->size < FIELD_HEAD) {
        return false;
    }
    size_t size = get_u16(rest->data + 2);
    if (rest->size - FIELD_HEAD < size) {
        return false;
    }
    *out = (struct field_read){ .tag = get_u16(rest->data),
                                .value = span_of(rest->data + FIELD_HEAD, size) };
    *rest = span_of(rest->data + FIELD_HEAD + size, rest->size - FIELD_HEAD - size);
    return true;
}

/* `size` is the array's; a text that does not fit or holds a zero byte is malformed. */
static bool get_text(struct span value, char *out, size_t size)
{
    if (value.size >= size || memchr(value.data, 0, value.size) != NULL) {
        return false;
    }
    memcpy(out, value.data, value.size);
    out[value.size] = '\0';
    return true;
}

static bool get_number(struct span value, uint64_t most, uint64_t *out)
{
    if (value.size != sizeof *out || get_u64(value.data) > most) {
        return false;
    }
    *out = get_u64(value.data);
    return true;
}

static bool get_id(struct span value, uint8_t out[ID_SIZE])
{
    if (value.size != ID_SIZE) {
        return false;
    }
    memcpy(out, value.data, ID_SIZE);
    return true;
}

static bool row_take(struct dataset_row *row, const struct field_read *field)
{
    switch (field->tag) {
    case ROW_PATH:
        return get_text(field->value, row->path, sizeof row->path);
    case ROW_URI:
        return get_text(field->value, row->uri, sizeof row->uri);
    case ROW_PREFIX:
        return get_text(field->value, row->prefix, sizeof row->prefix);
    case ROW_ENDPOINT:
        return get_text(field->value, row->endpoint, sizeof row->endpoint);
    case ROW_REGION:
        return get_text(field->value, row->region, sizeof row->region);
    case ROW_CREDENTIAL:
        return get_text(field->value, row->credential, sizeof row->credential);
    case ROW_SOURCE:
        return get_id(field->value, row->source.b);
    }
    return true; /* a field of a later version */
}

static bool row_read(struct span value, struct dataset *dataset)
{
    struct field_read field;
    if (dataset->row_count == DATASET_ROWS_MAX) {
        return false;
    }
    struct dataset_row *row = &dataset->rows[dataset->row_count];
    while (field_next(&value, &field)) {
        if (!row_take(row, &field)) {
            return false;
        }
    }
    dataset->row_count++;
    return value.size == 0;
}

static bool take_number(struct dataset *dataset, const struct field_read *field)
{
    uint64_t value = 0;
    switch (field->tag) {
    case FIELD_BLOCK_SIZE:
        if (!get_number(field->value, UINT32_MAX, &value)) {
            return false;
        }
        dataset->block_size = (uint32_t)value;
        return true;
    case FIELD_POLICY:
        if (!get_number(field->value, METADATA_ALWAYS, &value)) {
            return false;
        }
        dataset->policy = (enum metadata_policy)value;
        return true;
    case FIELD_TTL:
        if (!get_number(field->value, INT64_MAX, &value)) {
            return false;
        }
        dataset->ttl_us = (usec_t)value;
        return true;
    case FIELD_DELETED:
        if (!get_number(field->value, 1, &value)) {
            return false;
        }
        dataset->deleted = value == 1;
        return true;
    }
    return true; /* a field of a later version */
}

static bool dataset_take(struct dataset *dataset, const struct field_read *field)
{
    switch (field->tag) {
    case FIELD_NAME:
        return get_text(field->value, dataset->name, sizeof dataset->name);
    case FIELD_ROW:
        return row_read(field->value, dataset);
    case FIELD_SELECTOR:
        return get_text(field->value, dataset->selector, sizeof dataset->selector);
    case FIELD_REFRESHED:
        return get_number(field->value, UINT64_MAX, &dataset->refreshed);
    case FIELD_VERSION:
        return get_number(field->value, INT64_MAX, &dataset->version);
    case FIELD_WRITER:
        return get_id(field->value, dataset->writer.b);
    }
    return take_number(dataset, field);
}

enum err dataset_decode(struct span record, struct dataset *out)
{
    struct dataset dataset;
    enum err err = dataset_decode_draft(record, &dataset);
    if (err != ERR_OK) {
        return err;
    }
    if (dataset_fault(&dataset) != NULL) {
        return ERR_MALFORMED;
    }
    *out = dataset;
    return ERR_OK;
}

enum err dataset_decode_draft(struct span record, struct dataset *out)
{
    struct dataset dataset = { .row_count = 0 };
    struct field_read field;
    if (record.size < 2 || record.size > DATASET_RECORD_MAX) {
        return ERR_MALFORMED;
    }
    uint32_t version = get_u16(record.data);
    if (version != FORMAT_VERSION) {
        return version > FORMAT_VERSION ? ERR_VERSION : ERR_MALFORMED;
    }
    struct span rest = span_of(record.data + 2, record.size - 2);
    while (field_next(&rest, &field)) {
        if (!dataset_take(&dataset, &field)) {
            return ERR_MALFORMED;
        }
    }
    if (rest.size > 0) {
        return ERR_MALFORMED;
    }
    *out = dataset;
    return ERR_OK;
}

/* ---- use --------------------------------------------------------------------------------- */

bool dataset_supersedes(const struct dataset *b, const struct dataset *a)
{
    if (b->version != a->version) {
        return b->version > a->version;
    }
    return node_id_compare(b->writer, a->writer) > 0;
}

/* Is `path` what `above` names, or below it? */
static bool is_at_or_below(struct span path, struct span above)
{
    if (above.size == 0) {
        return true;
    }
    return span_starts_with(path, above) &&
           (path.size == above.size || path.data[above.size] == '/');
}

const struct dataset_row *dataset_row_of(const struct dataset *dataset, struct span path)
{
    const struct dataset_row *best = NULL;
    size_t best_size = 0;
    for (uint32_t i = 0; i < dataset->row_count; i++) {
        const struct dataset_row *row = &dataset->rows[i];
        struct span above = span_text(row->path);
        if (is_at_or_below(path, above) && (best == NULL || above.size > best_size)) {
            best = row;
            best_size = above.size;
        }
    }
    return best;
}

bool dataset_key_of(const struct dataset_row *row, struct span path, struct text *out)
{
    size_t skip = strlen(row->path);
    CHECK(path.size >= skip);
    if (skip > 0 && path.size > skip) {
        skip++; /* the slash between the row's path and the rest */
    }
    text_str(out, row->prefix);
    text_span(out, span_of(path.data + skip, path.size - skip));
    return !out->overflow;
}

bool dataset_shows(const struct dataset *dataset, struct source_id source, struct span key)
{
    for (uint32_t i = 0; i < dataset->row_count; i++) {
        const struct dataset_row *row = &dataset->rows[i];
        if (source_id_equal(row->source, source) && span_starts_with(key, span_text(row->prefix))) {
            return true;
        }
    }
    return false;
}
