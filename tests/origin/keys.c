#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/origin/text.h"

struct keys {
    struct key *items;
    size_t count;
    char *storage;
};

static bool add_entry(struct keys *keys, char *entry)
{
    entry += strspn(entry, " \t\r");
    entry[strcspn(entry, " \t\r")] = '\0';
    if (entry[0] == '\0' || entry[0] == '#') {
        return true;
    }
    struct key key = { .id = strsep(&entry, ":") };
    key.secret = strsep(&entry, ":");
    key.token = entry;
    if (key.id[0] == '\0' || key.secret == NULL || key.secret[0] == '\0') {
        return false;
    }
    keys->items[keys->count++] = key;
    return true;
}

struct keys *keys_new(const char *entries)
{
    struct keys *keys = text_alloc(sizeof *keys);
    keys->storage = text_dup(entries, strlen(entries));
    keys->items = text_alloc((strlen(entries) + 1) * sizeof *keys->items);
    bool good = true;
    char *rest = keys->storage;
    for (char *entry = strsep(&rest, ",\n"); good && entry != NULL; entry = strsep(&rest, ",\n")) {
        good = add_entry(keys, entry);
    }
    if (!good || keys->count == 0) {
        keys_free(&keys);
    }
    return keys;
}

struct keys *keys_new_from_file(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return NULL;
    }
    struct text text = { 0 };
    char chunk[4096];
    size_t size = 0;
    while ((size = fread(chunk, 1, sizeof chunk, file)) > 0) {
        text_add(&text, chunk, size);
    }
    fclose(file);
    struct keys *keys = text.size > 0 ? keys_new(text.bytes) : NULL;
    text_fini(&text);
    return keys;
}

void keys_free(struct keys **keys)
{
    if (*keys != NULL) {
        free((*keys)->items);
        free((*keys)->storage);
        free(*keys);
        *keys = NULL;
    }
}

const struct key *keys_find(const struct keys *keys, const char *id)
{
    for (size_t i = 0; keys != NULL && i < keys->count; i++) {
        if (strcmp(keys->items[i].id, id) == 0) {
            return &keys->items[i];
        }
    }
    return NULL;
}
