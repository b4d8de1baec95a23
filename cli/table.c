/* cli/table.c: cells, then widths, then lines. */
#include "cli/table.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLUMNS_MAX 24

/* ---- cells ----------------------------------------------------------------------------------- */

static void put_bytes(double bytes, char *out)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    uint32_t unit = 0;
    while (bytes >= 1024 && unit < 5) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, TABLE_CELL_MAX, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes,
             units[unit]);
}

static void put_time(double us, char *out)
{
    const double s = us / 1e6;
    if (s < 0) {
        snprintf(out, TABLE_CELL_MAX, "never");
    } else if (s < 1) {
        snprintf(out, TABLE_CELL_MAX, "%.0f ms", us / 1e3);
    } else if (s < 120) {
        snprintf(out, TABLE_CELL_MAX, "%.0f s", s);
    } else if (s < 7200) {
        snprintf(out, TABLE_CELL_MAX, "%.0f min", s / 60);
    } else if (s < 172800) {
        snprintf(out, TABLE_CELL_MAX, "%.0f h", s / 3600);
    } else {
        snprintf(out, TABLE_CELL_MAX, "%.0f d", s / 86400);
    }
}

static void put_list(const json_t *list, char *out)
{
    size_t i;
    json_t *item;
    size_t used = 0;
    out[0] = 0;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        const char *text = json_string_value(item);
        const int put = snprintf(out + used, TABLE_CELL_MAX - used, "%s%s", i > 0 ? "," : "",
                                 text != NULL ? text : "?");
        used += put > 0 && used + (size_t)put < TABLE_CELL_MAX ? (size_t)put : 0;
    }
}

/* What a terminal could take for a command is not shown. */
static void make_harmless(char *text)
{
    for (char *c = text; *c != 0; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?';
        }
    }
}

/* Text as it is; what has no better form is JSON. */
static void put_plain(const json_t *value, char *out)
{
    const char *text = json_string_value(value);
    char *dumped = text == NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    snprintf(out, TABLE_CELL_MAX, "%s", text != NULL ? text : dumped != NULL ? dumped : "?");
    free(dumped);
}

static bool ends_in(const char *key, const char *word)
{
    const size_t size = strlen(key);
    const size_t word_size = strlen(word);
    return size >= word_size && strcmp(key + size - word_size, word) == 0 &&
           (size == word_size || key[size - word_size - 1] == '_');
}

static bool is_among(const char *key, const char *const *words, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ends_in(key, words[i])) {
            return true;
        }
    }
    return false;
}

static bool is_bytes(const char *key)
{
    static const char *const words[] = { "bytes", "used", "size", "quota" };
    return is_among(key, words, 4);
}

static bool is_ratio(const char *key)
{
    static const char *const words[] = { "ratio", "share" };
    return is_among(key, words, 2);
}

static bool is_table(const json_t *value)
{
    return json_is_array(value) && json_array_size(value) > 0 &&
           json_is_object(json_array_get(value, 0));
}

void table_date(const json_t *us, char *out)
{
    struct tm tm;
    const time_t at = (time_t)(json_integer_value(us) / 1000000);
    gmtime_r(&at, &tm);
    strftime(out, TABLE_CELL_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void table_cell(const char *key, const json_t *value, char *out)
{
    const double number = json_number_value(value);
    if (value == NULL || json_is_null(value)) {
        out[0] = 0;
    } else if (json_is_boolean(value)) {
        snprintf(out, TABLE_CELL_MAX, "%s", json_is_true(value) ? "yes" : "no");
    } else if (json_is_number(value) && is_bytes(key)) {
        put_bytes(number, out);
    } else if (json_is_number(value) && ends_in(key, "us")) {
        put_time(number, out);
    } else if (json_is_number(value) && ends_in(key, "seconds")) {
        put_time(number * 1e6, out);
    } else if (json_is_number(value) && is_ratio(key)) {
        snprintf(out, TABLE_CELL_MAX, "%.1f %%", 100 * number);
    } else if (json_is_real(value)) {
        snprintf(out, TABLE_CELL_MAX, "%.3f", number);
    } else if (json_is_array(value) && !is_table(value)) {
        put_list(value, out);
    } else {
        put_plain(value, out);
    }
    make_harmless(out);
    if (out[0] == 0) {
        memcpy(out, "-", 2);
    }
}

/* "memory_used_bytes" is shown as "memory used": the unit stands at the value. */
static void put_name(const char *key, char *out)
{
    size_t size = strlen(key);
    if (ends_in(key, "bytes") && size > 6) {
        size -= 6;
    } else if (ends_in(key, "us") && size > 3) {
        size -= 3;
    } else if (ends_in(key, "seconds") && size > 8) {
        size -= 8;
    }
    snprintf(out, TABLE_CELL_MAX, "%.*s", (int)size, key);
    for (char *c = out; *c != 0; c++) {
        *c = *c == '_' ? ' ' : *c;
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    }
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Columns of letters, not of bytes: what continues a UTF-8 letter takes none. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != 0; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

struct columns {
    const char *keys[COLUMNS_MAX];
    int widths[COLUMNS_MAX];
    bool right[COLUMNS_MAX];
    uint32_t count;
};

static void widen(struct columns *columns, uint32_t i, const char *cell)
{
    const int width = width_of(cell);
    columns->widths[i] = width > columns->widths[i] ? width : columns->widths[i];
}

static void add_column(struct columns *columns, const char *key)
{
    char cell[TABLE_CELL_MAX];
    for (uint32_t i = 0; i < columns->count; i++) {
        if (strcmp(columns->keys[i], key) == 0) {
            return;
        }
    }
    if (columns->count < COLUMNS_MAX) {
        columns->keys[columns->count++] = key;
        put_name(key, cell);
        widen(columns, columns->count - 1, cell);
    }
}

/* Every key of any row, in the order of their first appearance. */
static void find_columns(const json_t *rows, struct columns *columns)
{
    size_t r;
    json_t *row;
    const char *key;
    json_t *value;
    json_array_foreach((json_t *)(uintptr_t)rows, r, row)
    {
        json_object_foreach(row, key, value)
        {
            (void)value;
            add_column(columns, key);
        }
    }
}

static void find_widths(const json_t *rows, struct columns *columns)
{
    char cell[TABLE_CELL_MAX];
    size_t r;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)rows, r, row)
    {
        for (uint32_t i = 0; i < columns->count; i++) {
            const json_t *value = json_object_get(row, columns->keys[i]);
            columns->right[i] = columns->right[i] || json_is_number(value);
            table_cell(columns->keys[i], value, cell);
            widen(columns, i, cell);
        }
    }
}

static void put_padded(const struct columns *columns, uint32_t i, const char *text)
{
    const bool last = i + 1 == columns->count;
    const int pad = columns->widths[i] - width_of(text);
    if (columns->right[i]) {
        printf("%*s%s%s", pad, "", text, last ? "\n" : "  ");
    } else if (last) {
        printf("%s\n", text);
    } else {
        printf("%s%*s  ", text, pad, "");
    }
}

void table_rows(const json_t *rows, const char *const *keys, uint32_t count)
{
    struct columns columns = { .count = 0 };
    char cell[TABLE_CELL_MAX];
    size_t r;
    json_t *row;
    for (uint32_t i = 0; i < count; i++) {
        add_column(&columns, keys[i]);
    }
    if (keys == NULL) {
        find_columns(rows, &columns);
    }
    find_widths(rows, &columns);
    for (uint32_t i = 0; i < columns.count; i++) {
        put_name(columns.keys[i], cell);
        put_padded(&columns, i, cell);
    }
    json_array_foreach((json_t *)(uintptr_t)rows, r, row)
    {
        for (uint32_t i = 0; i < columns.count; i++) {
            table_cell(columns.keys[i], json_object_get(row, columns.keys[i]), cell);
            put_padded(&columns, i, cell);
        }
    }
}
