/* One member record as bytes: a u16 with the size of what follows, then the fields below, little
 * endian, texts with their size before them. Later versions append; what follows the fields known
 * here is kept and written again, up to MEMBER_LATER_MAX bytes of it. */
#include "ring/view.h"

#define FIXED_SIZE (ID_SIZE + 8 + 4 + 1 + 4 + 4)
#define ENDPOINT_SIZE (1 + 16 + 2)

/* The front of what is left to write or read. `ok` falls once and stays down. */
struct writer {
    uint8_t *at;
    size_t room;
    bool ok;
};

struct reader {
    struct span rest;
    bool ok;
};

static uint8_t *claim(struct writer *w, size_t size)
{
    if (!w->ok || w->room < size) {
        w->ok = false;
        return NULL;
    }
    uint8_t *at = w->at;
    w->at += size;
    w->room -= size;
    return at;
}

static void write_text(struct writer *w, const char *text, size_t most)
{
    size_t size = strlen(text);
    CHECK(size <= most);
    uint8_t *to = claim(w, 2 + size);
    if (to != NULL) {
        put_u16(to, (uint16_t)size);
        memcpy(to + 2, text, size);
    }
}

static void write_fixed(struct writer *w, const struct member *member)
{
    CHECK(member->weight <= UINT16_MAX && member->serve_weight <= UINT16_MAX);
    CHECK(member->state <= MEMBER_LEFT);
    uint8_t *to = claim(w, FIXED_SIZE);
    if (to == NULL) {
        return;
    }
    memcpy(to, member->id.b, ID_SIZE);
    put_u64(to + 16, member->incarnation);
    put_u32(to + 24, member->version);
    to[28] = (uint8_t)member->state;
    put_u32(to + 29, member->weight);
    put_u32(to + 33, member->serve_weight);
}

static void write_endpoints(struct writer *w, const struct member *member)
{
    CHECK(member->endpoint_count <= MEMBER_ENDPOINTS_MAX);
    uint8_t *to = claim(w, 1 + member->endpoint_count * (size_t)ENDPOINT_SIZE);
    if (to == NULL) {
        return;
    }
    *to++ = (uint8_t)member->endpoint_count;
    for (uint32_t i = 0; i < member->endpoint_count; i++) {
        const struct endpoint *endpoint = &member->endpoints[i];
        to[0] = (uint8_t)endpoint->purpose;
        memcpy(to + 1, endpoint->address.ip, 16);
        put_u16(to + 17, endpoint->address.port);
        to += ENDPOINT_SIZE;
    }
}

static void write_later(struct writer *w, const struct member *member)
{
    CHECK(member->later_size <= MEMBER_LATER_MAX);
    uint8_t *to = claim(w, member->later_size);
    if (to != NULL && member->later_size > 0) {
        memcpy(to, member->later, member->later_size);
    }
}

enum err member_encode(const struct member *member, uint8_t *buffer, size_t room, size_t *used)
{
    struct writer w = { .at = buffer, .room = room, .ok = true };
    uint8_t *size = claim(&w, 2);
    write_fixed(&w, member);
    write_text(&w, member->name, MEMBER_NAME_MAX);
    write_text(&w, member->zone, MEMBER_ZONE_MAX);
    write_text(&w, member->labels, MEMBER_LABELS_MAX);
    write_text(&w, member->credentials, MEMBER_CREDENTIALS_MAX);
    write_endpoints(&w, member);
    write_later(&w, member);
    if (!w.ok) {
        return ERR_FULL;
    }
    size_t written = (size_t)(w.at - buffer);
    CHECK(written <= MEMBER_RECORD_MAX);
    put_u16(size, (uint16_t)(written - 2));
    *used = written;
    return ERR_OK;
}

static const uint8_t *take(struct reader *r, size_t size)
{
    if (!r->ok || r->rest.size < size) {
        r->ok = false;
        return NULL;
    }
    const uint8_t *at = r->rest.data;
    r->rest = span_of(at + size, r->rest.size - size);
    return at;
}

/* Texts end up in logs and on terminals: no control characters. */
static bool is_printable(const uint8_t *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static void read_text(struct reader *r, char *to, size_t most)
{
    const uint8_t *prefix = take(r, 2);
    size_t size = prefix == NULL ? 0 : get_u16(prefix);
    const uint8_t *text = take(r, size);
    if (text == NULL || size > most || !is_printable(text, size)) {
        r->ok = false;
        return;
    }
    memcpy(to, text, size); /* the rest is zero already */
}

static void read_fixed(struct reader *r, struct member *member)
{
    const uint8_t *from = take(r, FIXED_SIZE);
    if (from == NULL) {
        return;
    }
    memcpy(member->id.b, from, ID_SIZE);
    member->incarnation = get_u64(from + 16);
    member->version = get_u32(from + 24);
    member->state = (enum member_state)from[28];
    member->weight = get_u32(from + 29);
    member->serve_weight = get_u32(from + 33);
    r->ok = from[28] <= MEMBER_LEFT && member->weight <= UINT16_MAX &&
            member->serve_weight <= UINT16_MAX && !node_id_is_zero(member->id);
}

static void read_endpoints(struct reader *r, struct member *member)
{
    const uint8_t *count = take(r, 1);
    if (count == NULL || *count > MEMBER_ENDPOINTS_MAX) {
        r->ok = false;
        return;
    }
    for (uint32_t i = 0; i < *count; i++) {
        const uint8_t *from = take(r, ENDPOINT_SIZE);
        if (from == NULL || from[0] > ENDPOINT_DATA) {
            r->ok = false;
            return;
        }
        struct endpoint *endpoint = &member->endpoints[i];
        endpoint->purpose = (enum endpoint_purpose)from[0];
        memcpy(endpoint->address.ip, from + 1, 16);
        endpoint->address.port = get_u16(from + 17);
    }
    member->endpoint_count = *count;
}

static void read_later(struct reader *r, struct member *member)
{
    const size_t size = r->rest.size < MEMBER_LATER_MAX ? r->rest.size : MEMBER_LATER_MAX;
    const uint8_t *from = take(r, size);
    if (from != NULL && size > 0) {
        memcpy(member->later, from, size);
        member->later_size = (uint32_t)size;
    }
}

enum err member_decode(struct span *from, struct member *out)
{
    struct reader all = { .rest = *from, .ok = true };
    struct member member;
    memset(&member, 0, sizeof member);
    const uint8_t *prefix = take(&all, 2);
    size_t size = prefix == NULL ? 0 : get_u16(prefix);
    const uint8_t *record = take(&all, size);
    if (record == NULL || size + 2 > MEMBER_RECORD_MAX) {
        return ERR_MALFORMED;
    }
    struct reader r = { .rest = span_of(record, size), .ok = true };
    read_fixed(&r, &member);
    read_text(&r, member.name, MEMBER_NAME_MAX);
    read_text(&r, member.zone, MEMBER_ZONE_MAX);
    read_text(&r, member.labels, MEMBER_LABELS_MAX);
    read_text(&r, member.credentials, MEMBER_CREDENTIALS_MAX);
    read_endpoints(&r, &member);
    read_later(&r, &member);
    if (!r.ok) {
        return ERR_MALFORMED;
    }
    *from = all.rest;
    *out = member;
    return ERR_OK;
}
