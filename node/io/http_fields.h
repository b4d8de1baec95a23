/* node/io/http_fields.h: what may stand in a request to the admin address; also for the commands
 * that make one, so that both refuse the same. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/text.h"

#define HTTP_FIELDS_NAME "1 to 32 " SPAN_NAME_RULE
#define HTTP_FIELDS_WEIGHT "must be 0 to 65535, or auto"

/* Is each '%' of that URL followed by two hexadecimal digits, and none of them a NUL? */
bool http_fields_is_escaped(const char *url);
/* Append 5 or auto of {"weight": 5} or {"weight": "auto"} to *out. ERR_INVALID, with a line in
 * `why`: it is anything else, or a field more. */
enum err http_fields_weight(const char *body, size_t size, struct text *out, struct text *why)
    MUST_USE;
/* What is wrong with the WEIGHT[,ZONE] of a node to be tried; NULL: nothing that shows here. */
const char *http_fields_added_fault(struct span added);
