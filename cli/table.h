/* cli/table.h: an answer of a node for people.
 *
 * How a value is shown follows from its key's last word: "bytes", "used", "size" and "quota" as
 * 12.3 GiB, "us" and "seconds" as 3 s or 5 min, "ratio" and "share" (0 to 1) as per cent. */
#pragma once
#include <jansson.h>
#include <stdint.h>

#define TABLE_CELL_MAX 512

/* A list of objects with a line of titles: the columns named, or all when `keys` is NULL. */
void table_rows(const json_t *rows, const char *const *keys, uint32_t count);
/* Microseconds since 1970 as a date; `out` holds TABLE_CELL_MAX. */
void table_date(const json_t *us, char *out);
/* One value as it stands in a table; `out` holds TABLE_CELL_MAX. */
void table_cell(const char *key, const json_t *value, char *out);
