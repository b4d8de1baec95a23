#include "cli/render.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_MAX 24
#define CELL_SIZE 256

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), want = strlen(end);
    return size >= want && strcmp(text + size - want, end) == 0;
}

static void size_cell(double bytes, char *cell)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    unsigned unit = 0;
    while (bytes >= 1024 && unit < 5) {
        bytes /= 1024;
        unit++;
    }
    snprintf(cell, CELL_SIZE, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

static void time_cell(double us, char *cell)
{
    if (us < 1000) {
        snprintf(cell, CELL_SIZE, "%.0f us", us);
    } else if (us < 1e6) {
        snprintf(cell, CELL_SIZE, "%.1f ms", us / 1e3);
    } else {
        snprintf(cell, CELL_SIZE, "%.1f s", us / 1e6);
    }
}

static void number_cell(const char *key, const json_t *value, char *cell)
{
    double number = json_number_value(value);
    if (ends_with(key, "_bytes") || strcmp(key, "bytes") == 0 || strcmp(key, "size") == 0 ||
        strcmp(key, "quota") == 0) {
        size_cell(number, cell);
    } else if (ends_with(key, "_us")) {
        time_cell(number, cell);
    } else if (json_is_integer(value)) {
        snprintf(cell, CELL_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else {
        snprintf(cell, CELL_SIZE, "%.3f", number);
    }
}

static void cell_of(const char *key, const json_t *value, char *cell);

/* A list of plain values in one cell. */
static void list_cell(const char *key, const json_t *value, char *cell)
{
    size_t used = 0;
    cell[0] = '\0';
    for (size_t i = 0; i < json_array_size(value) && used + 1 < CELL_SIZE; i++) {
        char one[CELL_SIZE];
        cell_of(key, json_array_get(value, i), one);
        used += (size_t)snprintf(cell + used, CELL_SIZE - used, "%s%s", i == 0 ? "" : ",", one);
    }
}

/* An object in one cell: "a=1 b=2". */
static void object_cell(const json_t *value, char *cell)
{
    const char *key;
    json_t *member;
    size_t used = 0;
    cell[0] = '\0';
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        char one[CELL_SIZE];
        cell_of(key, member, one);
        if (used + 1 < CELL_SIZE) {
            used += (size_t)snprintf(cell + used, CELL_SIZE - used, "%s%s=%s", used == 0 ? "" : " ",
                                     key, one);
        }
    }
}

static void cell_of(const char *key, const json_t *value, char *cell)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        snprintf(cell, CELL_SIZE, "%s", json_string_value(value));
        return;
    case JSON_INTEGER:
    case JSON_REAL:
        number_cell(key, value, cell);
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(cell, CELL_SIZE, "%s", json_is_true(value) ? "yes" : "no");
        return;
    case JSON_ARRAY:
        list_cell(key, value, cell);
        return;
    case JSON_OBJECT:
        object_cell(value, cell);
        return;
    case JSON_NULL:
        snprintf(cell, CELL_SIZE, "-");
        return;
    }
}

static bool is_table(const json_t *value)
{
    return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

/* Columns in the order of the first row. */
struct columns {
    const char *key[COLUMNS_MAX];
    int width[COLUMNS_MAX];
    unsigned count;
};

static void measure(const json_t *rows, struct columns *columns)
{
    const char *key;
    json_t *value;
    char cell[CELL_SIZE];
    columns->count = 0;
    json_object_foreach(json_array_get(rows, 0), key, value)
    {
        if (columns->count < COLUMNS_MAX) {
            columns->width[columns->count] = (int)strlen(key);
            columns->key[columns->count++] = key;
        }
    }
    for (size_t row = 0; row < json_array_size(rows); row++) {
        for (unsigned i = 0; i < columns->count; i++) {
            value = json_object_get(json_array_get(rows, row), columns->key[i]);
            cell_of(columns->key[i], value == NULL ? json_null() : value, cell);
            if ((int)strlen(cell) > columns->width[i]) {
                columns->width[i] = (int)strlen(cell);
            }
        }
    }
}

static void heading(const struct columns *columns)
{
    for (unsigned i = 0; i < columns->count; i++) {
        char name[CELL_SIZE];
        snprintf(name, sizeof name, "%s", columns->key[i]);
        for (char *c = name; *c != '\0'; c++) {
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c == '_' ? ' ' : *c);
        }
        printf("%-*s%s", columns->width[i], name, i + 1 < columns->count ? "  " : "\n");
    }
}

static void table(const json_t *rows)
{
    struct columns columns;
    char cell[CELL_SIZE];
    measure(rows, &columns);
    heading(&columns);
    for (size_t row = 0; row < json_array_size(rows); row++) {
        for (unsigned i = 0; i < columns.count; i++) {
            const json_t *value = json_object_get(json_array_get(rows, row), columns.key[i]);
            cell_of(columns.key[i], value == NULL ? json_null() : value, cell);
            printf("%-*s%s", columns.width[i], cell, i + 1 < columns.count ? "  " : "\n");
        }
    }
}

static void lines(const json_t *object)
{
    const char *key;
    json_t *value;
    int width = 0;
    char cell[CELL_SIZE];
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (!is_table(value) && (int)strlen(key) > width) {
            width = (int)strlen(key);
        }
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (!is_table(value)) {
            cell_of(key, value, cell);
            printf("%-*s  %s\n", width, key, cell);
        }
    }
}

static void tables(const json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (is_table(value)) {
            printf("\n%s:\n", key);
            table(value);
        }
    }
}

void render(const json_t *value)
{
    if (is_table(value)) {
        table(value);
    } else if (json_is_object(value)) {
        lines(value);
        tables(value);
    } else if (json_is_array(value)) {
        puts("nothing");
    } else {
        char cell[CELL_SIZE];
        cell_of("", value, cell);
        puts(cell);
    }
}
