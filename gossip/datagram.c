#include "gossip/datagram.h"

#include "base/next.h"

#define HEAD_SIZE (1 + 1 + 4 + 8 + 8 + 8 + 8 + ID_SIZE)
#define SECTION_HEAD 3u
#define VOTE_SIZE (ID_SIZE + 8 + 1)
#define VOTES_HEAD (ID_SIZE + 8 + 1)
#define NEWEST_FIRST (4u + 4u + 8u) /* what every version writes */
#define NEWEST_SIZE (NEWEST_FIRST + 4u)
#define BOX_HEAD (TRUST_KEY_SIZE + 8)
#define CONTACT_SIZE (16u + 2u)
#define HAVE_HEAD (1u + 2u)
#define FLAG_READY 1u
#define FLAG_NEWS 2u
#define WAIT_SHIFT 2u /* the other six bits: how long, in steps of 32 ms */
#define WAIT_STEP_US MSEC(32)
#define STATE_UNFIT 1u
#define STATE_FIRST (ID_SIZE + 8u + 1u + 1u) /* what every version writes */
#define VOTE_DOWN 1u
#define VOTE_LOSSY 2u

#define TAG_NEXT 250u /* of the build that stands in for the next version */

/* What reading one section came to. */
enum outcome { READ, SKIPPED, MALFORMED };

void datagram_begin(struct datagram *d, uint8_t *data, size_t room,
                    const struct datagram_head *head)
{
    CHECK(room >= HEAD_SIZE);
    *d = (struct datagram){ .data = data, .room = room, .used = HEAD_SIZE };
    data[0] = (uint8_t)head->kind;
    data[1] = head->load;
    put_u32(data + 2, head->number);
    put_u64(data + 6, head->incarnation);
    put_u64(data + 14, head->about);
    put_u64(data + 22, head->digest);
    put_u64(data + 30, head->catalog);
    memcpy(data + 38, head->target.b, ID_SIZE);
    if (IS_NEXT && room - HEAD_SIZE >= SECTION_HEAD + NEXT_BYTES) {
        data[HEAD_SIZE] = TAG_NEXT;
        put_u16(data + HEAD_SIZE + 1, NEXT_BYTES);
        d->used += SECTION_HEAD + next_put(data + HEAD_SIZE + SECTION_HEAD);
    }
}

/* Where the `size` bytes of a new section go; NULL when they do not fit. */
static uint8_t *add(struct datagram *d, enum datagram_tag tag, size_t size)
{
    if (d->room - d->used < SECTION_HEAD + size) {
        return NULL;
    }
    uint8_t *at = d->data + d->used;
    at[0] = (uint8_t)tag;
    put_u16(at + 1, (uint16_t)size);
    d->used += SECTION_HEAD + size;
    return at + SECTION_HEAD;
}

static uint8_t flags_of(struct telling how)
{
    const usec_t wait_us = usec_min(how.wait_us, DATAGRAM_WAIT_MAX_US);
    const uint32_t steps = (uint32_t)((wait_us + WAIT_STEP_US - 1) / WAIT_STEP_US);
    return (uint8_t)(steps << WAIT_SHIFT | (how.is_news ? FLAG_NEWS : 0) |
                     (how.ready ? FLAG_READY : 0));
}

static struct telling telling_of(uint8_t flags)
{
    return (struct telling){ .ready = (flags & FLAG_READY) != 0,
                             .is_news = (flags & FLAG_NEWS) != 0,
                             .wait_us = (flags >> WAIT_SHIFT) * WAIT_STEP_US };
}

bool datagram_add_record(struct datagram *d, const struct member *member, struct telling how)
{
    uint8_t record[MEMBER_RECORD_MAX];
    size_t size = 0;
    enum err err = member_encode(member, record, sizeof record, &size);
    CHECK(err == ERR_OK);
    uint8_t *to = add(d, DATAGRAM_RECORD, 1 + size + NEXT_BYTES);
    if (to == NULL) {
        return false;
    }
    to[0] = flags_of(how);
    memcpy(to + 1, record, size);
    next_put(to + 1 + size);
    return true;
}

bool datagram_add_state(struct datagram *d, const struct datagram_state *state)
{
    uint8_t *to = add(d, DATAGRAM_STATE, DATAGRAM_STATE_SIZE + NEXT_BYTES);
    if (to == NULL) {
        return false;
    }
    memcpy(to, state->id.b, ID_SIZE);
    put_u64(to + 16, state->incarnation);
    to[24] = (uint8_t)state->state;
    to[25] = flags_of(state->how);
    to[26] = state->how.is_unfit ? STATE_UNFIT : 0;
    next_put(to + DATAGRAM_STATE_SIZE);
    return true;
}

bool datagram_add_votes(struct datagram *d, const struct datagram_votes *votes)
{
    CHECK(votes->count > 0 && votes->count <= DATAGRAM_VOTES_MAX);
    uint8_t *to = add(d, DATAGRAM_VOTES, VOTES_HEAD + votes->count * (size_t)VOTE_SIZE);
    if (to == NULL) {
        return false;
    }
    memcpy(to, votes->subject.b, ID_SIZE);
    put_u64(to + 16, votes->incarnation);
    to[24] = (uint8_t)votes->count;
    to += VOTES_HEAD;
    for (uint32_t i = 0; i < votes->count; i++, to += VOTE_SIZE) {
        memcpy(to, votes->vote[i].observer.b, ID_SIZE);
        put_u64(to + 16, votes->vote[i].number);
        to[24] = (uint8_t)((votes->vote[i].down ? VOTE_DOWN : 0) |
                           (votes->vote[i].is_lossy ? VOTE_LOSSY : 0));
    }
    return true;
}

bool datagram_add_sums(struct datagram *d, const uint64_t sums[DATAGRAM_BUCKETS])
{
    uint8_t *to = add(d, DATAGRAM_SUMS, DATAGRAM_BUCKETS * sizeof(uint64_t));
    for (uint32_t i = 0; to != NULL && i < DATAGRAM_BUCKETS; i++) {
        put_u64(to + i * sizeof(uint64_t), sums[i]);
    }
    return to != NULL;
}

bool datagram_add_mask(struct datagram *d, uint64_t mask)
{
    uint8_t *to = add(d, DATAGRAM_MASK, sizeof mask);
    if (to != NULL) {
        put_u64(to, mask);
    }
    return to != NULL;
}

bool datagram_add_newest(struct datagram *d, const struct datagram_newest *newest)
{
    uint8_t *to = add(d, DATAGRAM_KEYS_NEWEST, NEWEST_SIZE);
    if (to != NULL) {
        put_u32(to, newest->era);
        put_u32(to + 4, newest->number);
        put_u64(to + 8, newest->id.v);
        put_u32(to + NEWEST_FIRST, newest->ttl_s);
    }
    return to != NULL;
}

bool datagram_add_stages(struct datagram *d, const struct datagram_stages *stages)
{
    uint8_t *to = add(d, DATAGRAM_KEYS_STAGES, 8 + stages->entries.size);
    if (to != NULL) {
        put_u64(to, stages->key.v);
        memcpy(to + 8, stages->entries.data, stages->entries.size);
    }
    return to != NULL;
}

bool datagram_add_public(struct datagram *d, const uint8_t public_key[TRUST_KEY_SIZE])
{
    uint8_t *to = add(d, DATAGRAM_KEYS_PUBLIC, TRUST_KEY_SIZE);
    if (to != NULL) {
        memcpy(to, public_key, TRUST_KEY_SIZE);
    }
    return to != NULL;
}

bool datagram_add_box(struct datagram *d, const struct datagram_box *box)
{
    uint8_t *to = add(d, DATAGRAM_KEYS_BOX, BOX_HEAD + box->sealed.size);
    if (to != NULL) {
        memcpy(to, box->public_key, TRUST_KEY_SIZE);
        put_u64(to + TRUST_KEY_SIZE, box->nonce);
        memcpy(to + BOX_HEAD, box->sealed.data, box->sealed.size);
    }
    return to != NULL;
}

bool datagram_add_young(struct datagram *d, uint64_t digest)
{
    uint8_t *to = add(d, DATAGRAM_YOUNG, sizeof digest);
    if (to != NULL) {
        put_u64(to, digest);
    }
    return to != NULL;
}

bool datagram_add_contacts(struct datagram *d, const struct address *list, uint32_t count)
{
    CHECK(count <= DATAGRAM_CONTACTS_MAX);
    uint8_t *to = add(d, DATAGRAM_CONTACTS, count * (size_t)CONTACT_SIZE);
    for (uint32_t i = 0; to != NULL && i < count; i++, to += CONTACT_SIZE) {
        memcpy(to, list[i].ip, sizeof list[i].ip);
        put_u16(to + sizeof list[i].ip, list[i].port);
    }
    return to != NULL;
}

bool datagram_begin_have(struct datagram *d, uint32_t salt, struct datagram_writer *out)
{
    uint8_t *to = add(d, DATAGRAM_HAVE, sizeof salt);
    if (to == NULL) {
        return false;
    }
    put_u32(to, salt);
    *out = (struct datagram_writer){ .d = d, .size = to - sizeof(uint16_t) };
    return true;
}

bool datagram_add_prints(struct datagram_writer *w, uint8_t bucket, const uint16_t *prints,
                         uint16_t count)
{
    const size_t size = HAVE_HEAD + count * sizeof(uint16_t);
    CHECK(bucket < DATAGRAM_BUCKETS);
    if (w->d->room - w->d->used < size) {
        return false;
    }
    uint8_t *to = w->d->data + w->d->used;
    to[0] = bucket;
    put_u16(to + 1, count);
    for (uint16_t i = 0; i < count; i++) {
        put_u16(to + HAVE_HEAD + i * sizeof(uint16_t), prints[i]);
    }
    w->d->used += size;
    put_u16(w->size, (uint16_t)(get_u16(w->size) + size));
    return true;
}

bool datagram_next_have(struct span *rest, struct datagram_have *out)
{
    if (rest->size < HAVE_HEAD) {
        return false;
    }
    const size_t size = HAVE_HEAD + get_u16(rest->data + 1) * sizeof(uint16_t);
    if (rest->size < size) {
        return false;
    }
    *out = (struct datagram_have){ .bucket = rest->data[0],
                                   .count = get_u16(rest->data + 1),
                                   .prints = rest->data + HAVE_HEAD };
    *rest = span_of(rest->data + size, rest->size - size);
    return true;
}

static bool read_record(struct span from, struct datagram_section *out)
{
    if (from.size < 1) {
        return false;
    }
    struct span rest = span_of(from.data + 1, from.size - 1);
    out->record.how = telling_of(from.data[0]);
    return member_decode(&rest, &out->record.member) == ERR_OK &&
           out->record.member.incarnation <= DATAGRAM_INCARNATION_MAX;
}

static bool read_state(struct span from, struct datagram_section *out)
{
    if (from.size < STATE_FIRST || from.data[24] > MEMBER_LEFT) {
        return false;
    }
    memcpy(out->state.id.b, from.data, ID_SIZE);
    out->state.incarnation = get_u64(from.data + 16);
    out->state.state = (enum member_state)from.data[24];
    out->state.how = telling_of(from.data[25]);
    out->state.how.is_unfit = from.size > STATE_FIRST && (from.data[26] & STATE_UNFIT) != 0;
    return !node_id_is_zero(out->state.id) && out->state.incarnation <= DATAGRAM_INCARNATION_MAX;
}

static bool read_votes(struct span from, struct datagram_section *out)
{
    struct datagram_votes *votes = &out->votes;
    if (from.size < VOTES_HEAD) {
        return false;
    }
    memcpy(votes->subject.b, from.data, ID_SIZE);
    votes->incarnation = get_u64(from.data + 16);
    votes->count = from.data[24];
    if (votes->count > DATAGRAM_VOTES_MAX ||
        from.size != VOTES_HEAD + votes->count * (size_t)VOTE_SIZE) {
        return false;
    }
    const uint8_t *at = from.data + VOTES_HEAD;
    for (uint32_t i = 0; i < votes->count; i++, at += VOTE_SIZE) {
        memcpy(votes->vote[i].observer.b, at, ID_SIZE);
        votes->vote[i].number = get_u64(at + 16);
        votes->vote[i].down = (at[24] & VOTE_DOWN) != 0;
        votes->vote[i].is_lossy = (at[24] & VOTE_LOSSY) != 0;
    }
    return true;
}

static bool read_sums(struct span from, struct datagram_section *out)
{
    if (from.size != sizeof out->sums) {
        return false;
    }
    for (uint32_t i = 0; i < DATAGRAM_BUCKETS; i++) {
        out->sums[i] = get_u64(from.data + i * sizeof(uint64_t));
    }
    return true;
}

static bool read_mask(struct span from, struct datagram_section *out)
{
    if (from.size != sizeof out->mask) {
        return false;
    }
    out->mask = get_u64(from.data);
    return true;
}

static bool read_have(struct span from, struct datagram_section *out)
{
    struct datagram_have have;
    if (from.size < sizeof(uint32_t)) {
        return false;
    }
    out->have.salt = get_u32(from.data);
    out->have.rest = span_of(from.data + sizeof(uint32_t), from.size - sizeof(uint32_t));
    struct span rest = out->have.rest;
    while (datagram_next_have(&rest, &have)) {
        if (have.bucket >= DATAGRAM_BUCKETS) {
            return false;
        }
    }
    return rest.size == 0;
}

static bool read_contacts(struct span from, struct datagram_section *out)
{
    out->contacts.count = (uint32_t)(from.size / CONTACT_SIZE);
    if (from.size % CONTACT_SIZE != 0 || out->contacts.count > DATAGRAM_CONTACTS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < out->contacts.count; i++) {
        const uint8_t *at = from.data + i * CONTACT_SIZE;
        memcpy(out->contacts.list[i].ip, at, sizeof out->contacts.list[i].ip);
        out->contacts.list[i].port = get_u16(at + sizeof out->contacts.list[i].ip);
    }
    return true;
}

static bool read_young(struct span from, struct datagram_section *out)
{
    if (from.size != sizeof out->young) {
        return false;
    }
    out->young = get_u64(from.data);
    return true;
}

static bool read_newest(struct span from, struct datagram_section *out)
{
    if (from.size < NEWEST_FIRST) {
        return false;
    }
    out->newest.era = get_u32(from.data);
    out->newest.number = get_u32(from.data + 4);
    out->newest.id.v = get_u64(from.data + 8);
    out->newest.ttl_s = from.size < NEWEST_SIZE ? 0 : get_u32(from.data + NEWEST_FIRST);
    return true;
}

bool datagram_next_bucket(struct span *entries, struct datagram_bucket *out)
{
    if (entries->size < DATAGRAM_STAGES_HEAD) {
        return false;
    }
    const uint8_t *at = entries->data;
    out->bucket = at[0];
    out->count = get_u16(at + 1);
    out->sum = get_u32(at + 3);
    out->stages = at + DATAGRAM_STAGES_HEAD;
    const size_t size = DATAGRAM_STAGES_HEAD + (out->count + 3u) / 4;
    if (entries->size < size) {
        return false;
    }
    *entries = span_of(at + size, entries->size - size);
    return true;
}

static bool read_stages(struct span from, struct datagram_section *out)
{
    struct datagram_bucket bucket;
    if (from.size < 8) {
        return false;
    }
    out->stages.key.v = get_u64(from.data);
    out->stages.entries = span_of(from.data + 8, from.size - 8);
    struct span rest = out->stages.entries;
    while (datagram_next_bucket(&rest, &bucket)) {
    }
    return rest.size == 0;
}

static bool read_public(struct span from, struct datagram_section *out)
{
    if (from.size != sizeof out->public_key) {
        return false;
    }
    memcpy(out->public_key, from.data, sizeof out->public_key);
    return true;
}

static bool read_box(struct span from, struct datagram_section *out)
{
    if (from.size < BOX_HEAD) {
        return false;
    }
    memcpy(out->box.public_key, from.data, TRUST_KEY_SIZE);
    out->box.nonce = get_u64(from.data + TRUST_KEY_SIZE);
    out->box.sealed = span_of(from.data + BOX_HEAD, from.size - BOX_HEAD);
    return true;
}

static bool is_known_tag(uint8_t tag)
{
    return (tag >= DATAGRAM_RECORD && tag <= DATAGRAM_YOUNG) ||
           (tag >= DATAGRAM_KEYS_NEWEST && tag <= DATAGRAM_KEYS_BOX);
}

static enum outcome read_section(uint8_t tag, struct span from, struct datagram_section *out)
{
    bool good = false;
    if (!is_known_tag(tag)) {
        return SKIPPED;
    }
    out->tag = (enum datagram_tag)tag;
    switch (out->tag) {
    case DATAGRAM_RECORD:
        good = read_record(from, out);
        break;
    case DATAGRAM_STATE:
        good = read_state(from, out);
        break;
    case DATAGRAM_VOTES:
        good = read_votes(from, out);
        break;
    case DATAGRAM_SUMS:
        good = read_sums(from, out);
        break;
    case DATAGRAM_MASK:
        good = read_mask(from, out);
        break;
    case DATAGRAM_KEYS_NEWEST:
        good = read_newest(from, out);
        break;
    case DATAGRAM_KEYS_STAGES:
        good = read_stages(from, out);
        break;
    case DATAGRAM_KEYS_PUBLIC:
        good = read_public(from, out);
        break;
    case DATAGRAM_KEYS_BOX:
        good = read_box(from, out);
        break;
    case DATAGRAM_HAVE:
        good = read_have(from, out);
        break;
    case DATAGRAM_CONTACTS:
        good = read_contacts(from, out);
        break;
    case DATAGRAM_YOUNG:
        good = read_young(from, out);
        break;
    }
    return good ? READ : MALFORMED;
}

static enum outcome take_section(struct span *sections, struct datagram_section *out)
{
    if (sections->size < SECTION_HEAD) {
        return MALFORMED;
    }
    size_t size = get_u16(sections->data + 1);
    uint8_t tag = sections->data[0];
    struct span from = span_of(sections->data + SECTION_HEAD, size);
    if (sections->size - SECTION_HEAD < size) {
        return MALFORMED;
    }
    *sections = span_of(from.data + size, sections->size - SECTION_HEAD - size);
    return read_section(tag, from, out);
}

bool datagram_next(struct span *sections, struct datagram_section *out)
{
    while (sections->size > 0) {
        enum outcome outcome = take_section(sections, out);
        CHECK(outcome != MALFORMED); /* datagram_open has looked */
        if (outcome == READ) {
            return true;
        }
    }
    return false;
}

static bool is_known_kind(uint8_t kind)
{
    return (kind >= DATAGRAM_PING && kind <= DATAGRAM_REFUSED) || kind == DATAGRAM_KEYS_ASK ||
           kind == DATAGRAM_KEYS_GIVE;
}

bool datagram_open(struct span body, struct datagram_head *head, struct span *sections)
{
    if (body.size < HEAD_SIZE || !is_known_kind(body.data[0])) {
        return false;
    }
    head->kind = (enum datagram_kind)body.data[0];
    head->load = body.data[1];
    head->number = get_u32(body.data + 2);
    head->incarnation = get_u64(body.data + 6);
    head->about = get_u64(body.data + 14);
    head->digest = get_u64(body.data + 22);
    head->catalog = get_u64(body.data + 30);
    memcpy(head->target.b, body.data + 38, ID_SIZE);
    *sections = span_of(body.data + HEAD_SIZE, body.size - HEAD_SIZE);
    struct span rest = *sections;
    while (rest.size > 0) {
        struct datagram_section section;
        if (take_section(&rest, &section) == MALFORMED) {
            return false;
        }
    }
    return true;
}
