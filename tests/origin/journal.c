#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/journal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/origin/text.h"

/* P kind id size mtime digest parts part-sizes crc key meta; "-" for what is not there. */
enum { PUT_FIELDS = 11 };

void journal_put(FILE *journal, const struct object *object)
{
    struct text line = { 0 };
    char digest[33];
    text_hex(object->digest, sizeof object->digest, digest);
    text_printf(&line, "P %d %" PRIu64 " %" PRIu64 " %" PRId64 " %s %u ", (int)object->kind,
                object->id, object->size, object->mtime_ns, digest, object->part_count);
    text_puts(&line, object->part_sizes == NULL ? "-" : "");
    for (uint32_t i = 0; object->part_sizes != NULL && i < object->part_count; i++) {
        text_printf(&line, "%s%" PRIu64, i > 0 ? "," : "", object->part_sizes[i]);
    }
    if (atomic_load(&object->crc_known)) {
        text_printf(&line, " %" PRIu64 " ", (uint64_t)atomic_load(&object->crc));
    } else {
        text_puts(&line, " - ");
    }
    text_uri(&line, object->key, object->key_size, URI_PATH);
    text_puts(&line, object->meta == NULL ? " -" : " ");
    if (object->meta != NULL) {
        text_uri(&line, object->meta, strlen(object->meta), URI_PATH);
    }
    fprintf(journal, "%s\n", line.bytes);
    fflush(journal);
    text_fini(&line);
}

void journal_delete(FILE *journal, const char *key, size_t key_size)
{
    struct text line = { 0 };
    text_uri(&line, key, key_size, URI_PATH);
    fprintf(journal, "D %s\n", line.bytes);
    fflush(journal);
    text_fini(&line);
}

static bool parse_parts(char *field, struct object *object)
{
    if (strcmp(field, "-") == 0) {
        return true;
    }
    object->part_sizes = text_alloc(object->part_count * sizeof *object->part_sizes);
    bool good = true;
    for (uint32_t i = 0; good && i < object->part_count; i++) {
        char *part = strsep(&field, ",");
        good = part != NULL && text_u64(part, &object->part_sizes[i]);
    }
    return good;
}

static bool parse_object(char *fields[PUT_FIELDS], struct object *object)
{
    uint64_t mtime = 0;
    uint64_t parts = 0;
    uint64_t crc = 0;
    bool good = text_u64(fields[2], &object->id) && text_u64(fields[3], &object->size) &&
                text_u64(fields[4], &mtime) && strlen(fields[5]) == 32 &&
                text_unhex(fields[5], object->digest, sizeof object->digest) &&
                text_u64(fields[6], &parts) && parts <= 10000;
    object->mtime_ns = (int64_t)mtime;
    object->part_count = (uint32_t)parts;
    if (good && text_u64(fields[8], &crc)) {
        atomic_store(&object->crc, crc);
        atomic_store(&object->crc_known, true);
    }
    if (good && strcmp(fields[10], "-") != 0) {
        object->meta = text_alloc(strlen(fields[10]) + 1);
        good = text_uri_decode(fields[10], strlen(fields[10]), false, object->meta);
    }
    return good && parse_parts(fields[7], object);
}

/* The id of the object that was put, 0 for another or a malformed line. */
static uint64_t replay_line(char *line, struct index *index)
{
    char *fields[PUT_FIELDS] = { NULL };
    size_t count = 0;
    while (count < PUT_FIELDS && line != NULL) {
        fields[count++] = strsep(&line, " \n");
    }
    bool put = count == PUT_FIELDS && strcmp(fields[0], "P") == 0;
    bool removed = count >= 2 && strcmp(fields[0], "D") == 0;
    if (!put && !removed) {
        return 0;
    }
    char *encoded = put ? fields[9] : fields[1];
    char *key = text_alloc(strlen(encoded) + 1);
    uint64_t id = 0;
    if (!text_uri_decode(encoded, strlen(encoded), false, key)) {
        put = removed = false;
    }
    if (put) {
        enum object_kind kind = strcmp(fields[1], "2") == 0 ? OBJECT_GENERATED : OBJECT_STORED;
        struct object *object = object_new(key, strlen(key), kind);
        bool good = parse_object(fields, object);
        id = good && kind == OBJECT_STORED ? object->id : 0;
        object_unref(good ? index_put(index, object) : object);
    } else if (removed) {
        object_unref(index_take(index, key, strlen(key)));
    }
    free(key);
    return id;
}

uint64_t journal_load(const char *path, struct index *index)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    char *line = NULL;
    size_t room = 0;
    uint64_t highest = 0;
    while (getline(&line, &room, file) > 0) {
        uint64_t id = replay_line(line, index);
        highest = id > highest ? id : highest;
    }
    free(line);
    fclose(file);
    return highest;
}
