#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/text.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

void *text_alloc(size_t size)
{
    void *memory = calloc(1, size > 0 ? size : 1);
    if (memory == NULL) {
        fputs("atoll-test-origin: out of memory\n", stderr);
        abort();
    }
    return memory;
}

char *text_dup(const char *bytes, size_t size)
{
    char *copy = text_alloc(size + 1);
    memcpy(copy, bytes, size);
    return copy;
}

static void make_room(struct text *text, size_t more)
{
    size_t needed = text->size + more + 1;
    if (needed <= text->room) {
        return;
    }
    size_t room = text->room < 256 ? 256 : text->room;
    while (room < needed) {
        room *= 2;
    }
    char *bytes = text_alloc(room);
    if (text->size > 0) {
        memcpy(bytes, text->bytes, text->size);
    }
    free(text->bytes);
    text->bytes = bytes;
    text->room = room;
}

void text_add(struct text *text, const void *bytes, size_t size)
{
    make_room(text, size);
    if (size > 0) {
        memcpy(text->bytes + text->size, bytes, size);
    }
    text->size += size;
    text->bytes[text->size] = '\0';
}

void text_puts(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *line = NULL;
    int size = vasprintf(&line, format, arguments);
    va_end(arguments);
    if (size < 0) {
        abort();
    }
    text_add(text, line, (size_t)size);
    free(line);
}

void text_clear(struct text *text)
{
    text->size = 0;
    make_room(text, 0);
    text->bytes[0] = '\0';
}

void text_fini(struct text *text)
{
    free(text->bytes);
    *text = (struct text){ 0 };
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void text_uri(struct text *text, const char *bytes, size_t size, enum uri_style style)
{
    static const char digits[] = "0123456789ABCDEF";
    make_room(text, size * 3);
    char *out = text->bytes + text->size;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (is_unreserved(c) || (c == '/' && style != URI_QUERY)) {
            *out++ = (char)c;
        } else if (c == ' ' && style == URI_FORM) {
            *out++ = '+';
        } else {
            *out++ = '%';
            *out++ = digits[c >> 4];
            *out++ = digits[c & 15];
        }
    }
    *out = '\0';
    text->size = (size_t)(out - text->bytes);
}

void text_xml(struct text *text, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '&') {
            text_add(text, "&amp;", 5);
        } else if (c == '<') {
            text_add(text, "&lt;", 4);
        } else if (c == '>') {
            text_add(text, "&gt;", 4);
        } else if (c == '"') {
            text_add(text, "&quot;", 6);
        } else if (c < 0x20) {
            /* Not a legal XML 1.0 character; S3 writes it so all the same. */
            text_printf(text, "&#x%x;", (unsigned)c);
        } else {
            text_add(text, &bytes[i], 1);
        }
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool text_uri_decode(const char *bytes, size_t size, bool plus, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char c = bytes[i];
        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < size ? hex_value(bytes[i + 1]) : -1;
            int low = i + 2 < size ? hex_value(bytes[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0') {
            return false;
        }
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

void text_hex(const uint8_t *bytes, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * size] = '\0';
}

bool text_unhex(const char *hex, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(hex[2 * i]);
        int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);
        if (low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

char *text_base64(const void *bytes, size_t size)
{
    char *out = text_alloc(4 * ((size + 2) / 3) + 1);
    EVP_EncodeBlock((unsigned char *)out, bytes, (int)size);
    return out;
}

long text_unbase64(const char *string, uint8_t *out, size_t room)
{
    size_t size = strlen(string);
    if (size % 4 != 0 || size / 4 * 3 > room + 2) {
        return -1;
    }
    uint8_t *whole = text_alloc(size / 4 * 3 + 4);
    long result = EVP_DecodeBlock(whole, (const unsigned char *)string, (int)size);
    for (size_t i = size; result > 0 && i > 0 && string[i - 1] == '=' && i + 2 > size; i--) {
        result--;
    }
    if (result > (long)room) {
        result = -1;
    }
    if (result > 0) {
        memcpy(out, whole, (size_t)result);
    }
    free(whole);
    return result;
}

bool text_starts(const char *string, const char *start)
{
    return strncmp(string, start, strlen(start)) == 0;
}

bool text_same_nocase(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

bool text_u64(const char *string, uint64_t *out)
{
    if (!isdigit((unsigned char)string[0])) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(string, &end, 10);
    if (errno != 0 || *end != '\0') {
        return false;
    }
    *out = value;
    return true;
}

bool text_size(const char *string, uint64_t *out)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {
        { "", 1 },
        { "B", 1 },
        { "KiB", 1u << 10 },
        { "MiB", 1u << 20 },
        { "GiB", 1u << 30 },
        { "TiB", 1ull << 40 },
        { "K", 1u << 10 },
        { "M", 1u << 20 },
        { "G", 1u << 30 },
        { "KB", 1000 },
        { "MB", 1000 * 1000 },
        { "GB", 1000 * 1000 * 1000 },
    };
    if (!isdigit((unsigned char)string[0])) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(string, &end, 10);
    for (size_t i = 0; errno == 0 && i < sizeof units / sizeof units[0]; i++) {
        uint64_t bytes = 0;
        if (strcmp(end, units[i].name) == 0 &&
            !__builtin_mul_overflow((uint64_t)value, units[i].bytes, &bytes)) {
            *out = bytes;
            return true;
        }
    }
    return false;
}

static int64_t parse_time(const char *string, const char *format)
{
    struct tm parts = { 0 };
    const char *end = strptime(string, format, &parts);
    return end != NULL && *end == '\0' ? (int64_t)timegm(&parts) : -1;
}

int64_t text_time_basic(const char *string)
{
    return parse_time(string, "%Y%m%dT%H%M%SZ");
}

int64_t text_time_http(const char *string)
{
    return parse_time(string, "%a, %d %b %Y %H:%M:%S GMT");
}

static void format_time(int64_t time_s, const char *format, char out[40])
{
    time_t when = (time_t)time_s;
    struct tm parts;
    gmtime_r(&when, &parts);
    strftime(out, 40, format, &parts);
}

void text_format_http(int64_t time_s, char out[40])
{
    format_time(time_s, "%a, %d %b %Y %H:%M:%S GMT", out);
}

void text_format_iso(int64_t time_s, char out[40])
{
    format_time(time_s, "%Y-%m-%dT%H:%M:%S.000Z", out);
}
