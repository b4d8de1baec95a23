#include "gossip/records.h"

#include "base/hash.h"

#define FACTS_SEED 0x61746f6c6c2d6632u

/* What is asked for with each packet and each member that is counted: two of them in a cache line,
 * where facts take ten lines each. */
struct brief {
    struct node_id id;
    uint64_t id_hash;
    uint64_t hash; /* of the facts */
};

struct records {
    struct member *facts;
    struct brief *briefs;
    uint32_t *refs;
    uint32_t *next;    /* of the bucket, or of the free ones; a number plus one */
    uint32_t *buckets; /* first of each: a number plus one */
    uint32_t mask;
    uint32_t limit;
    uint32_t high; /* ever used */
    uint32_t free; /* a number plus one */
    uint32_t count;
};

static uint32_t buckets_for(uint32_t limit)
{
    uint32_t buckets = 16;
    while (buckets < limit) {
        buckets *= 2;
    }
    return buckets;
}

size_t records_memory(uint32_t limit)
{
    const size_t each = sizeof(struct member) + sizeof(struct brief) + 2 * sizeof(uint32_t);
    return sizeof(struct records) + limit * each + buckets_for(limit) * sizeof(uint32_t) + 6 * 16;
}

enum err records_new(struct arena *mem, uint32_t limit, struct records **out)
{
    struct records *r = arena_take(mem, sizeof *r);
    if (r == NULL) {
        return ERR_NOMEM;
    }
    r->limit = limit;
    r->mask = buckets_for(limit) - 1;
    r->facts = arena_array(mem, limit, sizeof *r->facts);
    r->briefs = arena_array(mem, limit, sizeof *r->briefs);
    r->refs = arena_array(mem, limit, sizeof *r->refs);
    r->next = arena_array(mem, limit, sizeof *r->next);
    r->buckets = arena_array(mem, r->mask + 1, sizeof *r->buckets);
    if (r->facts == NULL || r->briefs == NULL || r->refs == NULL || r->next == NULL ||
        r->buckets == NULL) {
        return ERR_NOMEM;
    }
    *out = r;
    return ERR_OK;
}

static struct member facts_of(const struct member *member)
{
    struct member facts = *member;
    facts.incarnation = 0;
    facts.version = 0;
    facts.state = MEMBER_WARMING;
    return facts;
}

static struct span encode(const struct member *facts, uint8_t bytes[MEMBER_RECORD_MAX])
{
    size_t size = 0;
    enum err err = member_encode(facts, bytes, MEMBER_RECORD_MAX, &size);
    CHECK(err == ERR_OK); /* every record fits */
    return span_of(bytes, size);
}

static bool is_same(const struct records *r, uint32_t record, const struct member *facts,
                    struct span bytes)
{
    uint8_t own[MEMBER_RECORD_MAX];
    return records_are(r, record, facts) || span_equal(encode(&r->facts[record], own), bytes);
}

static uint32_t take_place(struct records *r)
{
    if (r->free != 0) {
        const uint32_t record = r->free - 1;
        r->free = r->next[record];
        return record;
    }
    return r->high < r->limit ? r->high++ : RECORD_NONE;
}

uint32_t records_ref(struct records *r, const struct member *member)
{
    uint8_t bytes[MEMBER_RECORD_MAX];
    const struct member facts = facts_of(member);
    const struct span encoded = encode(&facts, bytes);
    const uint64_t hash = hash64(encoded.data, encoded.size, FACTS_SEED);
    uint32_t *bucket = &r->buckets[hash & r->mask];
    for (uint32_t at = *bucket; at != 0; at = r->next[at - 1]) {
        if (r->briefs[at - 1].hash == hash && is_same(r, at - 1, &facts, encoded)) {
            r->refs[at - 1]++;
            return at - 1;
        }
    }
    const uint32_t record = take_place(r);
    if (record == RECORD_NONE) {
        return RECORD_NONE;
    }
    r->facts[record] = facts;
    r->briefs[record] = (struct brief){ .id = facts.id,
                                        .id_hash = hash64(facts.id.b, sizeof facts.id.b, 0),
                                        .hash = hash };
    r->refs[record] = 1;
    r->next[record] = *bucket;
    *bucket = record + 1;
    r->count++;
    return record;
}

void records_unref(struct records *r, uint32_t record)
{
    CHECK(record < r->high && r->refs[record] > 0);
    if (--r->refs[record] > 0) {
        return;
    }
    uint32_t *link = &r->buckets[r->briefs[record].hash & r->mask];
    while (*link != record + 1) {
        CHECK(*link != 0);
        link = &r->next[*link - 1];
    }
    *link = r->next[record];
    r->next[record] = r->free;
    r->free = record + 1;
    r->count--;
}

const struct member *records_facts(const struct records *r, uint32_t record)
{
    CHECK(record < r->high && r->refs[record] > 0);
    return &r->facts[record];
}

struct node_id records_id(const struct records *r, uint32_t record)
{
    CHECK(record < r->high);
    return r->briefs[record].id;
}

bool records_are(const struct records *r, uint32_t record, const struct member *member)
{
    const size_t from = offsetof(struct member, weight); /* behind what is no fact */
    const struct member *facts = records_facts(r, record);
    return node_id_equal(facts->id, member->id) &&
           memcmp((const uint8_t *)facts + from, (const uint8_t *)member + from,
                  sizeof *facts - from) == 0;
}

uint64_t records_hash(const struct records *r, uint32_t record)
{
    CHECK(record < r->high);
    return r->briefs[record].hash;
}

uint64_t records_id_hash(const struct records *r, uint32_t record)
{
    CHECK(record < r->high);
    return r->briefs[record].id_hash;
}

uint32_t records_count(const struct records *r)
{
    return r->count;
}
