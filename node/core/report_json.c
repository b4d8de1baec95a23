/* node/core/report_json.c: keys, values and brackets. */
#include "node/core/report_json.h"

#include "base/check.h"

void json_init(struct json *json, struct text *text)
{
    *json = (struct json){ .text = text };
}

static void put_key(struct json *json, const char *key)
{
    if (json->comma) {
        text_char(json->text, ',');
    }
    json->comma = true;
    if (key != NULL) {
        text_json(json->text, span_text(key));
        text_char(json->text, ':');
    }
}

void json_open(struct json *json, const char *key, char bracket)
{
    CHECK(bracket == '{' || bracket == '[');
    put_key(json, key);
    text_char(json->text, bracket);
    json->comma = false;
}

void json_close(struct json *json, char bracket)
{
    CHECK(bracket == '}' || bracket == ']');
    text_char(json->text, bracket);
    json->comma = true;
}

void json_span(struct json *json, const char *key, struct span value)
{
    put_key(json, key);
    text_json(json->text, value);
}

void json_str(struct json *json, const char *key, const char *value)
{
    json_span(json, key, span_text(value));
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
    put_key(json, key);
    text_u64(json->text, value);
}

void json_i64(struct json *json, const char *key, int64_t value)
{
    put_key(json, key);
    text_i64(json->text, value);
}

void json_fixed(struct json *json, const char *key, int64_t value, uint32_t decimals)
{
    put_key(json, key);
    text_fixed(json->text, value, decimals);
}

void json_bool(struct json *json, const char *key, bool value)
{
    put_key(json, key);
    text_str(json->text, value ? "true" : "false");
}

void json_hex(struct json *json, const char *key, uint64_t value)
{
    uint8_t bytes[8];
    for (uint32_t i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
    }
    put_key(json, key);
    text_char(json->text, '"');
    text_hex(json->text, bytes, sizeof bytes);
    text_char(json->text, '"');
}

void json_id(struct json *json, const char *key, const uint8_t id[ID_SIZE])
{
    char text[ID_TEXT_SIZE];
    id_text(id, text);
    json_str(json, key, text);
}

static void put_group(struct text *text, uint32_t group)
{
    static const char digits[] = "0123456789abcdef";
    bool begun = false;
    for (uint32_t shift = 16; shift > 0; shift -= 4) {
        uint32_t digit = (group >> (shift - 4)) & 15;
        begun = begun || digit != 0 || shift == 4;
        if (begun) {
            text_char(text, digits[digit]);
        }
    }
}

static void put_ipv6(struct text *text, const uint8_t ip[16])
{
    text_char(text, '[');
    for (uint32_t i = 0; i < 16; i += 2) {
        text_str(text, i > 0 ? ":" : "");
        put_group(text, (uint32_t)ip[i] << 8 | ip[i + 1]);
    }
    text_char(text, ']');
}

static void put_ipv4(struct text *text, const uint8_t ip[4])
{
    for (uint32_t i = 0; i < 4; i++) {
        text_str(text, i > 0 ? "." : "");
        text_u64(text, ip[i]);
    }
}

void report_host(struct text *text, const struct address *address)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    if (memcmp(address->ip, mapped, sizeof mapped) == 0) {
        put_ipv4(text, address->ip + sizeof mapped);
    } else {
        put_ipv6(text, address->ip);
    }
}

void json_address(struct json *json, const char *key, const struct address *address)
{
    put_key(json, key);
    text_char(json->text, '"');
    report_host(json->text, address);
    text_char(json->text, ':');
    text_u64(json->text, address->port);
    text_char(json->text, '"');
}

void json_ratio(struct json *json, const char *key, uint64_t numerator, uint64_t denominator)
{
    if (denominator == 0) {
        put_key(json, key);
        text_str(json->text, "null");
        return;
    }
    /* 128 bits: bytes times a million do not fit 64. */
    unsigned __int128 scaled = (unsigned __int128)numerator * 1000000 / denominator;
    CHECK(scaled <= INT64_MAX);
    json_fixed(json, key, (int64_t)scaled, 6);
}
