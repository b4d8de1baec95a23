/* node/core/report_json.h: JSON into bounded text, with the commas in the right places. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/text.h"
#include "ring/view.h"

struct json {
    struct text *text;
    bool comma; /* something stands before, on this level */
};

void json_init(struct json *json, struct text *text);
/* `key` NULL: an element of an array, or the whole. */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);
void json_span(struct json *json, const char *key, struct span value);
void json_str(struct json *json, const char *key, const char *value);
void json_u64(struct json *json, const char *key, uint64_t value);
void json_i64(struct json *json, const char *key, int64_t value);
/* value / 10^decimals */
void json_fixed(struct json *json, const char *key, int64_t value, uint32_t decimals);
void json_bool(struct json *json, const char *key, bool value);
/* Sixteen hex digits: JSON's numbers do not hold 64 bits. */
void json_hex(struct json *json, const char *key, uint64_t value);
void json_id(struct json *json, const char *key, const uint8_t id[ID_SIZE]);
/* "10.0.0.1" or "[fd00::1]", for words to people. */
void report_host(struct text *text, const struct address *address);
void json_address(struct json *json, const char *key, const struct address *address);
/* numerator / denominator with six digits; null when there is nothing to divide by. */
void json_ratio(struct json *json, const char *key, uint64_t numerator, uint64_t denominator);
