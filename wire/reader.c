/* wire/reader.c: msgpack's first bytes, and what follows each (the msgpack specification, "Formats"). */
#include "wire/reader.h"

#include "base/check.h"

void reader_init(struct reader *reader, struct span bytes)
{
    CHECK(bytes.data != NULL || bytes.size == 0);
    *reader = (struct reader){ .at = bytes.data, .left = bytes.size };
}

bool reader_at_end(const struct reader *reader)
{
    return reader->left == 0;
}

/* What a first byte announces. */
struct form {
    uint8_t kind;       /* enum token_kind */
    uint8_t number;     /* bytes of a big-endian number that follows */
    uint8_t is_signed;  /* that number is */
    uint8_t is_defined; /* 0xc1 is not */
    uint8_t body;       /* bytes of a body of fixed size, behind the number */
};

/* First bytes 0xc0 to 0xdf; the others hold their number in themselves. */
static const struct form forms[32] = {
    [0x00] = { TOKEN_NIL, 0, 0, 1, 0 },   [0x02] = { TOKEN_BOOL, 0, 0, 1, 0 },
    [0x03] = { TOKEN_BOOL, 0, 0, 1, 0 },  [0x04] = { TOKEN_BIN, 1, 0, 1, 0 },
    [0x05] = { TOKEN_BIN, 2, 0, 1, 0 },   [0x06] = { TOKEN_BIN, 4, 0, 1, 0 },
    [0x07] = { TOKEN_EXT, 1, 0, 1, 0 },   [0x08] = { TOKEN_EXT, 2, 0, 1, 0 },
    [0x09] = { TOKEN_EXT, 4, 0, 1, 0 },   [0x0a] = { TOKEN_FLOAT, 0, 0, 1, 4 },
    [0x0b] = { TOKEN_FLOAT, 0, 0, 1, 8 }, [0x0c] = { TOKEN_UINT, 1, 0, 1, 0 },
    [0x0d] = { TOKEN_UINT, 2, 0, 1, 0 },  [0x0e] = { TOKEN_UINT, 4, 0, 1, 0 },
    [0x0f] = { TOKEN_UINT, 8, 0, 1, 0 },  [0x10] = { TOKEN_INT, 1, 1, 1, 0 },
    [0x11] = { TOKEN_INT, 2, 1, 1, 0 },   [0x12] = { TOKEN_INT, 4, 1, 1, 0 },
    [0x13] = { TOKEN_INT, 8, 1, 1, 0 },   [0x14] = { TOKEN_EXT, 0, 0, 1, 1 },
    [0x15] = { TOKEN_EXT, 0, 0, 1, 2 },   [0x16] = { TOKEN_EXT, 0, 0, 1, 4 },
    [0x17] = { TOKEN_EXT, 0, 0, 1, 8 },   [0x18] = { TOKEN_EXT, 0, 0, 1, 16 },
    [0x19] = { TOKEN_STR, 1, 0, 1, 0 },   [0x1a] = { TOKEN_STR, 2, 0, 1, 0 },
    [0x1b] = { TOKEN_STR, 4, 0, 1, 0 },   [0x1c] = { TOKEN_ARRAY, 2, 0, 1, 0 },
    [0x1d] = { TOKEN_ARRAY, 4, 0, 1, 0 }, [0x1e] = { TOKEN_MAP, 2, 0, 1, 0 },
    [0x1f] = { TOKEN_MAP, 4, 0, 1, 0 },
};

static bool take(struct reader *reader, uint64_t size, struct span *out)
{
    if (reader->left < size) {
        return false;
    }
    *out = span_of(reader->at, (size_t)size);
    reader->at += size;
    reader->left -= (size_t)size;
    return true;
}

static bool take_number(struct reader *reader, struct form form, uint64_t *out)
{
    struct span bytes;
    if (!take(reader, form.number, &bytes)) {
        return false;
    }
    bool negative = form.is_signed != 0 && (bytes.data[0] & 0x80) != 0;
    uint64_t value = negative ? UINT64_MAX : 0;
    for (size_t i = 0; i < bytes.size; i++) {
        value = value << 8 | bytes.data[i];
    }
    *out = value;
    return true;
}

/* The body of a byte string, text, extension or float; `number` is its size where it has no fixed
 * one. */
static bool take_body(struct reader *reader, struct form form, struct token *token)
{
    uint64_t size = form.body != 0 ? form.body : token->number;
    token->number = 0;
    if (form.kind == TOKEN_EXT) {
        struct span type;
        if (!take(reader, 1, &type)) {
            return false;
        }
        token->number = type.data[0];
    }
    return take(reader, size, &token->bytes);
}

/* First bytes 0x00 to 0xbf and 0xe0 to 0xff. */
static bool take_fixed(struct reader *reader, uint8_t first, struct token *token)
{
    if (first < 0x80) {
        *token = (struct token){ .kind = TOKEN_UINT, .number = first };
        return true;
    }
    if (first < 0x90) {
        *token = (struct token){ .kind = TOKEN_MAP, .number = first & 0x0f };
        return true;
    }
    if (first < 0xa0) {
        *token = (struct token){ .kind = TOKEN_ARRAY, .number = first & 0x0f };
        return true;
    }
    if (first >= 0xe0) {
        *token = (struct token){ .kind = TOKEN_INT, .number = UINT64_MAX << 8 | first };
        return true;
    }
    *token = (struct token){ .kind = TOKEN_STR };
    return take(reader, first & 0x1f, &token->bytes);
}

static bool take_formed(struct reader *reader, uint8_t first, struct token *token)
{
    struct form form = forms[first & 0x1f];
    *token = (struct token){ .kind = (enum token_kind)form.kind };
    if (form.is_defined == 0 || !take_number(reader, form, &token->number)) {
        return false;
    }
    switch (token->kind) {
    case TOKEN_NIL:
    case TOKEN_UINT:
    case TOKEN_ARRAY:
    case TOKEN_MAP:
        return true;
    case TOKEN_BOOL:
        token->number = first & 1;
        return true;
    case TOKEN_INT:
        if (token->number <= INT64_MAX) {
            token->kind = TOKEN_UINT;
        }
        return true;
    case TOKEN_FLOAT:
    case TOKEN_STR:
    case TOKEN_BIN:
    case TOKEN_EXT:
        return take_body(reader, form, token);
    }
    BUG("a token that has no kind");
}

bool reader_token(struct reader *reader, struct token *out)
{
    struct reader rest = *reader;
    struct token token;
    struct span first;
    if (!take(&rest, 1, &first)) {
        return false;
    }
    bool is_formed = first.data[0] >= 0xc0 && first.data[0] < 0xe0;
    bool whole = is_formed ? take_formed(&rest, first.data[0], &token)
                           : take_fixed(&rest, first.data[0], &token);
    if (!whole) {
        return false;
    }
    CHECK(rest.left < reader->left);
    *reader = rest;
    *out = token;
    return true;
}

bool reader_map(struct reader *reader, uint32_t *pairs)
{
    struct reader rest = *reader;
    struct token token;
    if (!reader_token(&rest, &token) || token.kind != TOKEN_MAP) {
        return false;
    }
    *reader = rest;
    *pairs = (uint32_t)token.number;
    return true;
}

bool reader_uint(struct reader *reader, uint64_t *out)
{
    struct reader rest = *reader;
    struct token token;
    if (!reader_token(&rest, &token) || token.kind != TOKEN_UINT) {
        return false;
    }
    *reader = rest;
    *out = token.number;
    return true;
}

bool reader_bytes(struct reader *reader, struct span *out)
{
    struct reader rest = *reader;
    struct token token;
    if (!reader_token(&rest, &token) || (token.kind != TOKEN_BIN && token.kind != TOKEN_STR)) {
        return false;
    }
    *reader = rest;
    *out = token.bytes;
    return true;
}

/* Values that follow a token inside its container. */
static uint64_t values_inside(const struct token *token)
{
    if (token->kind == TOKEN_MAP) {
        return 2 * token->number;
    }
    return token->kind == TOKEN_ARRAY ? token->number : 0;
}

bool reader_skip(struct reader *reader)
{
    struct reader rest = *reader;
    uint64_t open[READER_DEPTH_MAX + 1] = { 1 }; /* values to come, by depth */
    uint32_t depth = 0;
    for (;;) {
        while (depth > 0 && open[depth] == 0) {
            depth--;
        }
        if (open[depth] == 0) {
            break;
        }
        struct token token;
        if (!reader_token(&rest, &token)) {
            return false;
        }
        open[depth]--;
        if (values_inside(&token) > 0) {
            if (depth == READER_DEPTH_MAX) {
                return false;
            }
            depth++;
            open[depth] = values_inside(&token);
        }
    }
    *reader = rest;
    return true;
}
