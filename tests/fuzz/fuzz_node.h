/* tests/fuzz/fuzz_node.h: the world around the node of fuzz_node.c: what is in it, and messages made
 * from the input. For that file alone. */
#pragma once
#include <stdlib.h>

#include "base/hash.h"
#include "node/core/handover.h"
#include "node/core/node.h"
#include "tests/fuzz/scratch.h"
#include "wire/dataset.h"
#include "wire/dir.h"
#include "wire/message.h"
#include "wire/proof.h"

#define LINKS 8u
#define WAITING_MAX 512u
#define PAYLOADS_MAX 64u
#define RINGS_MOST 4096u /* sets of members with their starts, and selectors */
#define RINGS_KEPT_MOST 160u
#define TICKS_MAX 20000u
#define REGION (4u << 20)
#define BLOCK 65536u
#define SLOTS_LOG2 8u

struct open_link {
    uint64_t number; /* 0: not open */
    enum link_purpose purpose;
    bool outbound;
    uint8_t client; /* the first byte of its client's key */
};

/* Something the node waits for. */
struct waiting {
    enum node_effect_kind kind;
    struct node_effect effect;
    uint64_t bytes; /* FETCH: told so far */
};

struct known_ring {
    uint64_t key;
    const struct ring *ring;
};

struct fuzz {
    bool insecure;
    struct keyring ring;
    struct span input;
    struct node *node;
    struct node_effects effects;
    struct now now;
    struct open_link links[LINKS];
    uint64_t next_link;
    struct waiting waiting[WAITING_MAX];
    uint32_t waiting_count;
    uint8_t *payloads[PAYLOADS_MAX]; /* by token - 1 */
    uint32_t rings_given;
    uint32_t rings_dropped;
    uint64_t last_request; /* of a frame that the node sent */
    struct dataset dataset;
    uint8_t record[DATASET_RECORD_MAX];
    size_t record_size;
    uint8_t page[1024];
    size_t page_size;
    uint8_t root[1024];
    size_t root_size;
    uint8_t members[1024];
    size_t members_size;
    struct dir_id dir;
    struct object_id object; /* p/c */
    uint8_t entries[4 * HANDOVER_ENTRY_SIZE];
    bool drained;
};

static uint8_t next(struct fuzz *f)
{
    if (f->input.size == 0) {
        return 0;
    }
    uint8_t byte = f->input.data[0];
    f->input = span_of(f->input.data + 1, f->input.size - 1);
    return byte;
}

static struct node_id id_of(uint8_t number)
{
    struct node_id id = { .b = { (uint8_t)(1 + number % 3) } };
    return id;
}

/* ---- what is in the world ---------------------------------------------------------------- */

static void make_member(uint8_t number, enum member_state state, struct member *member)
{
    memset(member, 0, sizeof *member);
    member->id = id_of(number);
    member->incarnation = 1;
    member->state = state;
    member->weight = member->serve_weight = 100;
    member->name[0] = 'n';
    member->name[1] = (char)('0' + number % 3);
    member->endpoint_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        member->endpoints[i].purpose = i == 0 ? ENDPOINT_CONTROL : ENDPOINT_DATA;
        member->endpoints[i].address.ip[15] = 1;
        member->endpoints[i].address.port = (uint16_t)(7700u + 2u * number + i);
    }
}

static void make_directory(struct fuzz *f)
{
    struct entry entry = { .name = span_text("a"), .type = ENTRY_FILE, .size = 100 };
    struct page_writer page;
    struct root_writer root;
    struct page opened;
    struct root_head head = { .generation = 4, .files = 1, .bytes = 100 };
    f->dir = dir_id_make(f->dataset.rows[0].source, span_text("p/"));
    head.dir = f->dir;
    entry.pin = span_text("v1");
    entry.place = place_of_shard(f->dir, span_text(""));
    struct page_start start = { .dir = f->dir, .generation = 4, .lower = span_text("") };
    CHECK(page_writer_init(&page, f->page, sizeof f->page, &start) == ERR_OK);
    CHECK(page_writer_add(&page, &entry) == ERR_OK);
    f->page_size = page_writer_end(&page, span_text(""));
    CHECK(page_open(span_of(f->page, f->page_size), &opened) == ERR_OK);
    struct root_shard shard = { .lower = span_text(""),
                                .place = entry.place,
                                .entries = 1,
                                .page_bytes = (uint32_t)f->page_size,
                                .page_crc = opened.crc };
    CHECK(root_writer_init(&root, f->root, sizeof f->root, span_text("p/")) == ERR_OK);
    CHECK(root_writer_add(&root, &shard) == ERR_OK);
    f->root_size = root_writer_end(&root, &head);
}

/* An offer of the three blocks of p/c, and of one that p/c has not. */
static void make_entries(struct fuzz *f)
{
    struct dataset_id dataset = dataset_id_make(span_text("train"));
    f->object = object_id_make(f->dataset.rows[0].source, span_text("p/c"), span_text("v1"), BLOCK);
    for (uint32_t i = 0; i < 4; i++) {
        uint8_t *at = f->entries + (size_t)i * HANDOVER_ENTRY_SIZE;
        memcpy(at, f->object.b, ID_SIZE);
        put_u32(at + 16, i);
        put_u32(at + 20, BLOCK);
        put_u64(at + 24, 0);
        memcpy(at + 32, dataset.b, ID_SIZE);
    }
}

/* Of a block of p/c; or of another one than was asked for, or of none. */
static void header_of(const struct fuzz *f, uint32_t index, uint8_t how, uint8_t *out)
{
    static const uint8_t checksums[8 * 256];
    struct record record = { .block = { .object = f->object, .index = how % 8 == 0 ? 0 : index },
                             .source = f->dataset.rows[0].source,
                             .dataset = dataset_id_make(span_text("train")),
                             .object_size = 3 * BLOCK,
                             .block_size = BLOCK,
                             .payload_size = BLOCK,
                             .key = span_text("p/c"),
                             .pin = span_text("v1"),
                             .checksums = checksums };
    memset(out, 0, RECORD_HEADER_SIZE);
    if (how % 8 != 1 && record.block.index < 3) {
        record_encode(&record, out);
    }
}

static void make_world(struct fuzz *f)
{
    struct member member;
    struct dataset *dataset = &f->dataset;
    memcpy(dataset->name, "train", 6);
    memcpy(dataset->rows[0].uri, "file:///data/", 14);
    memcpy(dataset->rows[0].prefix, "p/", 3);
    dataset->rows[0].source = source_id_make(span_text("file"), span_text(""), span_text("/data/"));
    dataset->row_count = 1;
    dataset->block_size = BLOCK;
    dataset->version = 1;
    dataset->writer.b[0] = 1;
    CHECK(dataset_encode(dataset, f->record, sizeof f->record, &f->record_size) == ERR_OK);
    make_directory(f);
    make_entries(f);
    make_member(1, MEMBER_OWNING, &member);
    CHECK(member_encode(&member, f->members, sizeof f->members, &f->members_size) == ERR_OK);
}

static struct span value_from(struct fuzz *f, uint8_t which)
{
    size_t rest = f->input.size < 32 ? f->input.size : 32;
    switch (which % 6) {
    case 0:
        return span_of(f->record, f->record_size);
    case 1:
        return span_of(f->page, f->page_size);
    case 2:
        return span_of(f->root, f->root_size);
    case 3:
        return span_of(f->members, f->members_size);
    case 4:
        return span_of(f->entries, sizeof f->entries);
    default:
        return span_of(f->input.data, rest);
    }
}

/* ---- messages ---------------------------------------------------------------------------- */

static uint64_t pick_u64(struct fuzz *f, uint64_t max)
{
    static const uint64_t values[] = { 0,     1,          2,          3,         7,
                                       65535, BLOCK,      3 * BLOCK,  100,       1u << 20,
                                       4096,  SEC(30),    UINT64_MAX, INT64_MAX, 1u << 24,
                                       8,     (2u << 20), 16384 };
    uint8_t byte = next(f);
    uint64_t value = byte < 64 ? f->last_request : values[byte % ARRAY_COUNT(values)];
    return value <= max ? value : max == 0 ? 0 : value % max;
}

static void pick_id(struct fuzz *f, uint8_t out[ID_SIZE])
{
    struct dataset_id dataset = dataset_id_make(span_text("train"));
    uint8_t byte = next(f);
    memset(out, 0, ID_SIZE);
    switch (byte % 7) {
    case 0:
        out[0] = (uint8_t)(1 + byte / 6 % 4);
        return;
    case 1:
        memcpy(out, f->dataset.rows[0].source.b, ID_SIZE);
        return;
    case 2:
        memcpy(out, dataset.b, ID_SIZE);
        return;
    case 3:
        memcpy(out, f->dir.b, ID_SIZE);
        return;
    case 5:
        memcpy(out, f->object.b, ID_SIZE);
        return;
    case 4:
        out[15] = byte;
        return;
    default:
        return;
    }
}

static struct span pick_bytes(struct fuzz *f, size_t max)
{
    static const char *const texts[] = { "",    "unit", "train", "p/", "p/a", "p/b/",
                                         "p/c", "v1",   "a",     "c",  "b",   "host" };
    static uint8_t numbers[16];
    uint8_t byte = next(f);
    struct span picked;
    if (byte < 160) {
        picked = span_text(texts[byte % ARRAY_COUNT(texts)]);
    } else if (byte < 180) {
        put_u64(numbers, f->last_request);
        put_u64(numbers + 8, byte);
        picked = span_of(numbers, byte % 2 == 0 ? 8 : 16);
    } else {
        picked = value_from(f, byte);
    }
    picked.size = picked.size < max ? picked.size : max;
    return picked;
}

#define U64(number, field, max) m->field = pick_u64(f, max);
#define ID(number, field) pick_id(f, m->field);
#define BYTES(number, field, max) m->field = pick_bytes(f, max);
#define MESSAGE(NAME, name, number, fields)                           \
    static void fill_##name(struct fuzz *f, struct message_##name *m) \
    {                                                                 \
        fields                                                        \
    }
#include "wire/messages.def"
#undef MESSAGE
#undef BYTES
#undef ID
#undef U64

static void build(struct fuzz *f, struct message *message)
{
    static const enum message_kind kinds[] = {
#define MESSAGE(NAME, name, number, fields) MESSAGE_##NAME,
#include "wire/messages.def"
#undef MESSAGE
    };
    memset(message, 0, sizeof *message);
    message->kind = kinds[next(f) % ARRAY_COUNT(kinds)];
    switch (message->kind) {
#define MESSAGE(NAME, name, number, fields) \
    case MESSAGE_##NAME:                    \
        fill_##name(f, &message->name);     \
        return;
#include "wire/messages.def"
#undef MESSAGE
    }
}

/* The number of what this node asks of others, so that answers may name it. */
static uint64_t request_in(const struct message *message)
{
    switch (message->kind) {
    case MESSAGE_GET:
        return message->get.request;
    case MESSAGE_DIR_GET:
        return message->dir_get.request;
    case MESSAGE_SHARD_GET:
        return message->shard_get.request;
    case MESSAGE_ROOT_GET:
        return message->root_get.request;
    case MESSAGE_REPORT_GET:
        return message->report_get.request;
    case MESSAGE_CATALOG_RECORD:
        return message->catalog_record.request;
    case MESSAGE_SHARD_OFFER:
        return message->shard_offer.request;
    case MESSAGE_BLOCK_OFFER:
        return message->block_offer.request;
    case MESSAGE_BLOCK_ASK:
        return message->block_ask.request;
    case MESSAGE_SHARE_ASK:
        return message->share_ask.request;
    default:
        return 0;
    }
}

/* A good HELLO, so that more than the first message is reached. */
static void build_hello(struct fuzz *f, const struct open_link *link, uint8_t how,
                        struct message *message)
{
    static uint8_t proof[PROOF_SIZE];
    struct proof_terms terms = { .side = PROOF_OF_CLIENT };
    *message = (struct message){ .kind = MESSAGE_HELLO,
                                 .hello = { .lowest_version = WIRE_VERSION_LOWEST,
                                            .highest_version = WIRE_VERSION_HIGHEST,
                                            .cluster = span_text("unit"),
                                            .role = 1 + how % 3,
                                            .purpose = (uint64_t)link->purpose,
                                            .incarnation = 1,
                                            .name = span_text("host") } };
    message->hello.session[0] = (uint8_t)(how / 3 % 2 + 1);
    message->hello.node[0] = (uint8_t)(how % 3 == 0 ? 2 + how / 6 % 2 : 0);
    terms.session[0] = message->hello.session[0];
    terms.node.b[0] = message->hello.node[0];
    terms.client_key[0] = link->client;
    if (how < 200) {
        proof_make(keyring_present(&f->ring), &terms, proof);
        message->hello.proofs = span_of(proof, sizeof proof);
    }
}

/* An offer as nodes make it, or the answer to what this node asked of one. */
static void build_handover(struct fuzz *f, uint8_t how, struct message *message)
{
    struct dataset_id dataset = dataset_id_make(span_text("train"));
    if (how % 2 == 0) {
        message->kind = MESSAGE_BLOCK_OFFER;
        message->block_offer.request = next(f);
        message->block_offer.entries = span_of(f->entries, sizeof f->entries);
        return;
    }
    message->kind = MESSAGE_BLOCK_IS;
    message->block_is.request = f->last_request;
    message->block_is.key = span_text(how % 8 == 1 ? "p/a" : "p/c");
    message->block_is.pin = span_text("v1");
    message->block_is.size = 3 * BLOCK;
    message->block_is.block_size = BLOCK;
    memcpy(message->block_is.source, f->dataset.rows[0].source.b, ID_SIZE);
    memcpy(message->block_is.dataset, dataset.b, ID_SIZE);
}

/* A question for a share, or the answer to what this node asked. */
static void build_share(struct fuzz *f, uint8_t how, struct message *message)
{
    struct dataset_id dataset = dataset_id_make(span_text("train"));
    if (how % 2 == 0) {
        message->kind = MESSAGE_SHARE_ASK;
        message->share_ask.request = next(f);
        message->share_ask.rate = (uint64_t)next(f) << (how % 32);
        message->share_ask.had = (uint64_t)next(f) << (how % 16);
        message->share_ask.mean = (uint64_t)next(f) << 20;
        memcpy(message->share_ask.dataset, dataset.b, ID_SIZE);
        return;
    }
    message->kind = MESSAGE_SHARE;
    message->share.request = f->last_request;
    message->share.rate = (uint64_t)next(f) << (how % 32);
    message->share.load = (uint64_t)next(f) << 20;
}

/* A GET or DIR_GET as mounts make them; some field of it may then be anything. */
static void build_good(struct fuzz *f, uint8_t how, struct message *message)
{
    struct dataset_id dataset = dataset_id_make(span_text("train"));
    memset(message, 0, sizeof *message);
    if (how >= 224) {
        build_handover(f, how, message);
        return;
    }
    if (how >= 208) {
        build_share(f, how, message);
        return;
    }
    if (how % 2 == 0) {
        message->kind = MESSAGE_GET;
        message->get.request = next(f);
        message->get.key = span_text(how % 4 == 0 ? "p/a" : "p/c");
        message->get.pin = span_text("v1");
        message->get.size = how % 4 == 0 ? 100 : 3 * BLOCK;
        message->get.block_size = BLOCK;
        message->get.index = how % 4 == 0 ? 0 : how / 4 % 3;
        message->get.length = how % 4 == 0 ? 100 : BLOCK;
        message->get.mode = how / 16 % 5;
        message->get.elsewhere = how / 8 % 2;
        message->get.extent = how / 64 % 2;
        message->get.place = next(f);
        message->get.remaining_us = (uint64_t)SEC(how % 3 == 0 ? 0 : 30);
        memcpy(message->get.source, f->dataset.rows[0].source.b, ID_SIZE);
        memcpy(message->get.dataset, dataset.b, ID_SIZE);
        return;
    }
    message->kind = MESSAGE_DIR_GET;
    message->dir_get.request = next(f);
    message->dir_get.prefix = span_text(how % 4 == 1 ? "p/" : "p/b/");
    message->dir_get.name = span_text(how / 4 % 4 == 0 ? "a" : "");
    message->dir_get.mode = how / 16 % 4;
    message->dir_get.remaining_us = (uint64_t)SEC(30);
    memcpy(message->dir_get.source, f->dataset.rows[0].source.b, ID_SIZE);
    memcpy(message->dir_get.dataset, dataset.b, ID_SIZE);
}
