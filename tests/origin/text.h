/* tests/origin/text.h: growing text, and the encodings that HTTP object stores use.
 *
 * The test origin is a tool, not a product: where memory runs out it stops (text_alloc aborts), so
 * none of these can fail for want of memory. */
#ifndef ATOLL_TESTS_ORIGIN_TEXT_H
#define ATOLL_TESTS_ORIGIN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text under construction; all zero is the empty one. `bytes` is NUL-terminated once not NULL. */
struct text {
    char *bytes;
    size_t size;
    size_t room;
};

/* How text_uri encodes a space and a slash. */
enum uri_style {
    URI_PATH,  /* "/" stays, space is %20: signatures, OSS and S3 paths */
    URI_QUERY, /* "/" is %2F, space is %20: signatures, OSS listings */
    URI_FORM,  /* "/" stays, space is "+": listings of S3 with encoding-type=url */
};

void *text_alloc(size_t size);
char *text_dup(const char *bytes, size_t size);

void text_add(struct text *text, const void *bytes, size_t size);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_uri(struct text *text, const char *bytes, size_t size, enum uri_style style);
void text_xml(struct text *text, const char *bytes, size_t size);
void text_clear(struct text *text);
void text_fini(struct text *text);

/* Undo percent-encoding ("+" is a space where `plus`) into `out`, which has room for `size` + 1.
 * False when it is malformed or holds a NUL. */
bool text_uri_decode(const char *bytes, size_t size, bool plus, char *out);

void text_hex(const uint8_t *bytes, size_t size, char *out);
bool text_unhex(const char *hex, uint8_t *out, size_t size);
/* The result belongs to the caller. */
char *text_base64(const void *bytes, size_t size);
/* Decode into `out`, which has room for `room`; -1 when malformed or too long. */
long text_unbase64(const char *string, uint8_t *out, size_t room);

bool text_starts(const char *string, const char *start);
bool text_same_nocase(const char *a, const char *b);
/* "64", "100KiB", "5MB", "20GiB". False when it is none. */
bool text_size(const char *string, uint64_t *out);
bool text_u64(const char *string, uint64_t *out);

/* Times: seconds since 1970, -1 when the string is none. */
int64_t text_time_basic(const char *string); /* 20130524T000000Z */
int64_t text_time_http(const char *string);  /* Fri, 24 May 2013 00:00:00 GMT */
void text_format_http(int64_t time_s, char out[40]);
void text_format_iso(int64_t time_s, char out[40]); /* 2013-05-24T00:00:00.000Z */

#endif
