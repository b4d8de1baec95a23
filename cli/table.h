/* cli/table.h: an answer of a node for people, in the order in which the node tells it.
 *
 * How a value is shown follows from its key's last word: "…_bytes" as 12.3 GiB, "…_us" as 3 s or
 * 5 min, "…_ratio" and "…_share" (0 to 1) as per cent. A list of objects is a table, anything else
 * a line "name  value". */
#pragma once
#include <jansson.h>

/* A whole answer: facts first, then each list and object in it under its name. */
void table_show(const json_t *answer);
/* A list of objects, with a line of titles. */
void table_rows(const json_t *rows);
