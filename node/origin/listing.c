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
    bool is_listing;  /* the root element is ListBucketResult */
    bool is_encoded;  /* EncodingType url */
    bool in_contents, in_prefixes;
    bool failed;
    struct listing_entry entry;
    struct span next;
    char value[TEXT_MAX];
    size_t value_size;
};

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
        r->failed = true;
        return span_of(at, 0);
    }
    memcpy(at, text, size);
    r->memory_used += size;
    return span_of(at, size);
}

static struct span keep_name(struct reader *r)
{
    size_t size = r->is_encoded ? url_decode(r->value, r->value_size) : r->value_size;
    return keep(r, r->value, size);
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
    if (r->listing.count == LISTING_ENTRIES_MAX) {
        r->failed = true;
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
        r->failed = true;
    } else if (r->depth == 1) {
        r->is_listing = strcmp(name, "ListBucketResult") == 0;
    } else if (r->depth == 2) {
        r->in_contents = strcmp(name, "Contents") == 0;
        r->in_prefixes = strcmp(name, "CommonPrefixes") == 0;
        memset(&r->entry, 0, sizeof r->entry);
    }
}

static void XMLCALL on_text(void *self, const XML_Char *text, int size)
{
    struct reader *r = self;
    if ((size_t)size > sizeof r->value - r->value_size) {
        r->failed = true;
        return;
    }
    memcpy(r->value + r->value_size, text, (size_t)size);
    r->value_size += (size_t)size;
}

static void end_of_contents_field(struct reader *r, const char *name)
{
    struct span text = span_of(r->value, r->value_size);
    if (strcmp(name, "Key") == 0) {
        r->entry.key = keep_name(r);
    } else if (strcmp(name, "Size") == 0) {
        r->failed = r->failed || !parse_u64(text, &r->entry.size);
    } else if (strcmp(name, "ETag") == 0) {
        r->entry.pin = keep_etag(r);
    } else if (strcmp(name, "LastModified") == 0) {
        r->failed = r->failed || !parse_iso8601(text, &r->entry.mtime_us);
    }
}

static void end_of_top_field(struct reader *r, const char *name)
{
    struct span text = span_of(r->value, r->value_size);
    if (r->in_contents) {
        r->failed = r->failed || r->entry.key.size == 0;
        finish_entry(r);
    } else if (strcmp(name, "EncodingType") == 0) {
        r->is_encoded = span_equal(text, span_text("url"));
    } else if (strcmp(name, "IsTruncated") == 0) {
        r->listing.truncated = span_equal(text, span_text("true"));
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
        r->entry.key = keep_name(r);
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
    r->failed = true;
}

static bool parse(struct reader *r, struct span body)
{
    bool fine;
    XML_Parser parser = XML_ParserCreate(NULL);
    if (parser == NULL) {
        return false;
    }
    XML_SetUserData(parser, r);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    XML_SetStartDoctypeDeclHandler(parser, on_doctype);
    fine = XML_Parse(parser, (const char *)body.data, (int)body.size, 1) == XML_STATUS_OK;
    XML_ParserFree(parser);
    return fine && !r->failed && r->is_listing;
}

/* EncodingType may follow what it is about: it is looked for before anything is kept. */
static bool says_encoded(struct span body)
{
    static const char mark[] = "<EncodingType>url<";
    return memmem(body.data, body.size, mark, sizeof mark - 1) != NULL;
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
    r->listing.memory = malloc(body.size);
    r->listing.entries = calloc(LISTING_ENTRIES_MAX, sizeof *r->listing.entries);
    if (r->listing.memory == NULL || r->listing.entries == NULL) {
        goto out;
    }
    r->is_encoded = says_encoded(body);
    err = ERR_SOURCE_PROTOCOL;
    if (!parse(r, body) || (r->listing.truncated && r->next.size == 0)) {
        goto out;
    }
    if (r->listing.truncated) {
        r->listing.next = r->next;
    }
    *out = r->listing;
    free(r);
    return ERR_OK;
out:
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
        d[16] != ':' || d[text.size - 1] != 'Z') {
        return false;
    }
    if (!two_digits(d, &high) || !two_digits(d + 2, &low) || !two_digits(d + 5, &tm.tm_mon) ||
        !two_digits(d + 8, &tm.tm_mday) || !two_digits(d + 11, &tm.tm_hour) ||
        !two_digits(d + 14, &tm.tm_min) || !two_digits(d + 17, &tm.tm_sec)) {
        return false;
    }
    tm.tm_year = high * 100 + low - 1900;
    tm.tm_mon--;
    for (size_t i = 20; d[19] == '.' && i + 1 < text.size && unit > 0; i++) {
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
