/* node/origin/listing.c: one page of ListObjectsV2. */
#include "node/origin/listing.h"

#include <expat.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"

#define TEXT_MAX 4096u /* one value: a 1,024 byte key, percent encoded, is 3,072 */
#define DEPTH_MAX 8

/* Where in the document the parser is: the elements that matter. */
struct reader {
    struct listing listing;
    size_t memory_used, memory_room;
    uint32_t depth;
    bool is_listing; /* the root element is ListBucketResult */
    bool is_encoded; /* EncodingType url: known only at the end, so names are decoded then */
    bool in_contents, in_prefixes;
    bool has_size, has_truncated;
    bool failed;
    XML_Parser parser;
    struct listing_entry entry;
    struct span next;
    char value[TEXT_MAX];
    size_t value_size;
};

/* Nothing after a fault is looked at, so nothing after it can cost anything either. */
static void fail(struct reader *r)
{
    r->failed = true;
    (void)XML_StopParser(r->parser, XML_FALSE);
}

/* Element names may carry a namespace prefix; S3's default namespace has none. */
static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon == NULL ? name : colon + 1;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undo encoding-type=url in place; "+" is a space there. */
static size_t url_decode(char *text, size_t size)
{
    size_t to = 0;
    for (size_t i = 0; i < size; i++) {
        int high = text[i] == '%' && i + 2 < size ? hex_digit((uint8_t)text[i + 1]) : -1;
        int low = high >= 0 ? hex_digit((uint8_t)text[i + 2]) : -1;
        if (low >= 0) {
            text[to++] = (char)(high * 16 + low);
            i += 2;
            continue;
        }
        text[to++] = text[i] == '+' ? ' ' : text[i];
    }
    return to;
}

static struct span keep(struct reader *r, const char *text, size_t size)
{
    char *at = r->listing.memory + r->memory_used;
    if (size > r->memory_room - r->memory_used) {
        fail(r);
        return span_of(at, 0);
    }
    memcpy(at, text, size);
    r->memory_used += size;
    return span_of(at, size);
}

static struct span keep_etag(struct reader *r)
{
    struct span text = span_of(r->value, r->value_size);
    if (text.size >= 2 && text.data[0] == '"' && text.data[text.size - 1] == '"') {
        text = span_of(text.data + 1, text.size - 2);
    }
    return keep(r, (const char *)text.data, text.size);
}

static void finish_entry(struct reader *r)
{
    bool whole = r->entry.key.size > 0 &&
                 (r->entry.is_prefix || (r->has_size && pin_is_valid(r->entry.pin)));
    if (!whole || r->listing.count == LISTING_ENTRIES_MAX) {
        fail(r);
        return;
    }
    r->listing.entries[r->listing.count++] = r->entry;
    memset(&r->entry, 0, sizeof r->entry);
}

static void XMLCALL on_start(void *self, const XML_Char *raw, const XML_Char **attributes)
{
    struct reader *r = self;
    const char *name = local_name(raw);
    (void)attributes;
    r->value_size = 0;
    r->depth++;
    if (r->depth > DEPTH_MAX) {
        fail(r);
    } else if (r->depth == 1) {
        r->is_listing = strcmp(name, "ListBucketResult") == 0;
    } else if (r->depth == 2) {
        r->in_contents = strcmp(name, "Contents") == 0;
        r->in_prefixes = strcmp(name, "CommonPrefixes") == 0;
        r->has_size = false;
        memset(&r->entry, 0, sizeof r->entry);
    }
}

static void XMLCALL on_text(void *self, const XML_Char *text, int size)
{
    struct reader *r = self;
    if ((size_t)size > sizeof r->value - r->value_size) {
        fail(r);
        return;
    }
    memcpy(r->value + r->value_size, text, (size_t)size);
    r->value_size += (size_t)size;
}

static void end_of_contents_field(struct reader *r, const char *name)
{
    struct span text = span_of(r->value, r->value_size);
    if (strcmp(name, "Key") == 0) {
        r->entry.key = keep(r, r->value, r->value_size);
    } else if (strcmp(name, "Size") == 0) {
        r->has_size = parse_u64(text, &r->entry.size);
    } else if (strcmp(name, "ETag") == 0) {
        r->entry.pin = keep_etag(r);
    } else if (strcmp(name, "LastModified") == 0) {
        if (!parse_iso8601(text, &r->entry.mtime_us)) {
            fail(r);
        }
        /* The Last-Modified of a HEAD has whole seconds: both must tell one time. */
        r->entry.mtime_us -= r->entry.mtime_us % SEC(1);
    }
}

static void end_of_top_field(struct reader *r, const char *name)
{
    struct span text = span_of(r->value, r->value_size);
    if (r->in_contents) {
        finish_entry(r);
    } else if (strcmp(name, "EncodingType") == 0) {
        r->is_encoded = span_equal(text, span_text("url"));
    } else if (strcmp(name, "IsTruncated") == 0) {
        r->listing.truncated = span_equal(text, span_text("true"));
        r->has_truncated = r->listing.truncated || span_equal(text, span_text("false"));
    } else if (strcmp(name, "NextContinuationToken") == 0) {
        r->next = keep(r, r->value, r->value_size);
    }
    r->in_contents = false;
    r->in_prefixes = false;
}

static void XMLCALL on_end(void *self, const XML_Char *raw)
{
    struct reader *r = self;
    const char *name = local_name(raw);
    if (r->depth == 3 && r->in_contents) {
        end_of_contents_field(r, name);
    } else if (r->depth == 3 && r->in_prefixes && strcmp(name, "Prefix") == 0) {
        r->entry.key = keep(r, r->value, r->value_size);
        r->entry.is_prefix = true;
        finish_entry(r);
    } else if (r->depth == 2) {
        end_of_top_field(r, name);
    }
    r->depth--;
    r->value_size = 0;
}

/* A document type is never part of an answer; refusing it also refuses entity bombs. */
static void XMLCALL on_doctype(void *self, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public_id, int has_subset)
{
    struct reader *r = self;
    (void)name;
    (void)system;
    (void)public_id;
    (void)has_subset;
    fail(r);
}

static bool parse(struct reader *r, struct span body)
{
    bool fine;
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    fine = XML_Parse(r->parser, (const char *)body.data, (int)body.size, 1) == XML_STATUS_OK;
    return fine && !r->failed && r->is_listing && r->has_truncated &&
           (!r->listing.truncated || r->next.size > 0);
}

static int compare_entries(const void *a, const void *b)
{
    const struct listing_entry *left = a;
    const struct listing_entry *right = b;
    return span_compare(left->key, right->key);
}

/* Names as they are, in one order: in the document all objects come before all prefixes. */
static void settle(struct reader *r)
{
    char *memory = r->listing.memory;
    for (uint32_t i = 0; i < r->listing.count && r->is_encoded; i++) {
        struct span *key = &r->listing.entries[i].key;
        key->size = url_decode(memory + ((const char *)key->data - memory), key->size);
    }
    qsort(r->listing.entries, r->listing.count, sizeof *r->listing.entries, compare_entries);
    r->listing.next = r->listing.truncated ? r->next : span_of(memory, 0);
}

enum err listing_parse(struct span body, struct listing *out)
{
    struct reader *r;
    enum err err = ERR_NOMEM;
    if (body.size == 0 || body.size > LISTING_BODY_MAX) {
        return ERR_SOURCE_PROTOCOL;
    }
    r = calloc(1, sizeof *r);
    if (r == NULL) {
        return ERR_NOMEM;
    }
    r->memory_room = body.size;
    r->parser = XML_ParserCreate(NULL);
    r->listing.memory = malloc(body.size);
    r->listing.entries = calloc(LISTING_ENTRIES_MAX, sizeof *r->listing.entries);
    if (r->parser == NULL || r->listing.memory == NULL || r->listing.entries == NULL) {
        goto out;
    }
    if (!parse(r, body)) {
        err = XML_GetErrorCode(r->parser) == XML_ERROR_NO_MEMORY ? ERR_NOMEM : ERR_SOURCE_PROTOCOL;
        goto out;
    }
    settle(r);
    XML_ParserFree(r->parser);
    *out = r->listing;
    free(r);
    return ERR_OK;
out:
    XML_ParserFree(r->parser); /* NULL is fine */
    listing_fini(&r->listing);
    free(r);
    return err;
}

void listing_fini(struct listing *listing)
{
    free(listing->entries);
    free(listing->memory);
    memset(listing, 0, sizeof *listing);
}

bool pin_is_valid(struct span pin)
{
    for (size_t i = 0; i < pin.size; i++) {
        if (pin.data[i] <= 0x20 || pin.data[i] >= 0x7f || pin.data[i] == '"') {
            return false;
        }
    }
    return pin.size > 0 && pin.size <= PIN_MAX;
}

static bool two_digits(const uint8_t *at, int *out)
{
    if (at[0] < '0' || at[0] > '9' || at[1] < '0' || at[1] > '9') {
        return false;
    }
    *out = (at[0] - '0') * 10 + (at[1] - '0');
    return true;
}

static bool to_wall(struct tm *tm, usec_t *out)
{
    time_t seconds;
    if (tm->tm_mon < 0 || tm->tm_mon > 11 || tm->tm_mday < 1 || tm->tm_mday > 31 ||
        tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60) {
        return false;
    }
    seconds = timegm(tm);
    *out = SEC(seconds);
    return true;
}

bool parse_iso8601(struct span text, usec_t *out)
{
    struct tm tm = { 0 };
    int high, low;
    usec_t wall, fraction = 0, unit = 100000;
    const uint8_t *d = text.data;
    if (text.size < 20 || d[4] != '-' || d[7] != '-' || d[10] != 'T' || d[13] != ':' ||
        d[16] != ':' || d[text.size - 1] != 'Z' || (text.size > 20 && d[19] != '.')) {
        return false;
    }
    if (!two_digits(d, &high) || !two_digits(d + 2, &low) || !two_digits(d + 5, &tm.tm_mon) ||
        !two_digits(d + 8, &tm.tm_mday) || !two_digits(d + 11, &tm.tm_hour) ||
        !two_digits(d + 14, &tm.tm_min) || !two_digits(d + 17, &tm.tm_sec)) {
        return false;
    }
    tm.tm_year = high * 100 + low - 1900;
    tm.tm_mon--;
    for (size_t i = 20; i + 1 < text.size; i++) {
        if (d[i] < '0' || d[i] > '9') {
            return false;
        }
        fraction += (d[i] - '0') * unit;
        unit /= 10;
    }
    if (!to_wall(&tm, &wall)) {
        return false;
    }
    *out = wall + fraction;
    return true;
}

bool parse_http_date(struct span text, usec_t *out)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm = { .tm_mon = -1 };
    int high, low;
    const uint8_t *d = text.data;
    if (text.size != 29 || d[3] != ',' || memcmp(d + 25, " GMT", 4) != 0) {
        return false;
    }
    if (!two_digits(d + 5, &tm.tm_mday) || !two_digits(d + 12, &high) ||
        !two_digits(d + 14, &low) || !two_digits(d + 17, &tm.tm_hour) ||
        !two_digits(d + 20, &tm.tm_min) || !two_digits(d + 23, &tm.tm_sec)) {
        return false;
    }
    for (int i = 0; i < 12; i++) {
        if (memcmp(months + (size_t)i * 3, d + 8, 3) == 0) {
            tm.tm_mon = i;
        }
    }
    tm.tm_year = high * 100 + low - 1900;
    return to_wall(&tm, out);
}
