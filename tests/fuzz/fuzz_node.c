/* tests/fuzz/fuzz_node.c: a whole node among strangers, mounts and members that say anything.
 *
 * The input is a list of steps of a few bytes each: links come and go, frames arrive that are noise
 * or well formed with fields of the input's choice, what the node asked of its source, disk and store
 * is answered well or badly, members come and go, operators ask, time passes. The node must never
 * break a CHECK, lose or repeat a payload, or keep anything open when all have gone. */
#include "tests/fuzz/fuzz_node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t memory[16u << 20];
static _Alignas(4096) uint8_t region[REGION];

/* ---- what the node wants ----------------------------------------------------------------- */

/* Rings follow from their members: each is built once in the life of this process. */
static struct known_ring *ring_of(const struct node_effect *effect)
{
    static struct known_ring known[RINGS_MOST];
    struct ring_options options = { .slots_log2 = SLOTS_LOG2,
                                    .selector = effect->ring_build.selector,
                                    .previous = effect->ring_build.previous };
    uint64_t key = hash64(options.selector.data, options.selector.size, 1);
    struct arena arena;
    uint32_t at = 0;
    for (uint32_t i = 0; i < effect->ring_build.count; i++) {
        uint8_t record[MEMBER_RECORD_MAX];
        size_t used = 0;
        CHECK(member_encode(&effect->ring_build.members[i], record, sizeof record, &used) ==
              ERR_OK);
        key = hash64(record, used, key);
    }
    while (at < RINGS_MOST && known[at].key != key && known[at].ring != NULL) {
        at++;
    }
    CHECK(at < RINGS_MOST);
    if (known[at].ring == NULL) {
        size_t size = ring_memory(effect->ring_build.count, SLOTS_LOG2);
        void *room = malloc(size);
        CHECK(room != NULL);
        arena_init(&arena, room, size);
        CHECK(ring_build(&arena, effect->ring_build.members, effect->ring_build.count, &options,
                         &known[at].ring) == ERR_OK);
        known[at].key = key;
    }
    return &known[at];
}

static void build_ring(struct fuzz *f, const struct node_effect *effect, struct node_event *event)
{
    event->ring.id = effect->ring_build.id;
    event->ring.ring = ring_of(effect)->ring;
    f->rings_given++;
}

static void drop_ring(struct fuzz *f)
{
    CHECK(f->rings_dropped < f->rings_given);
    f->rings_dropped++;
    CHECK(f->rings_given - f->rings_dropped < RINGS_KEPT_MOST);
}

static void release(struct fuzz *f, uint64_t token)
{
    CHECK(token > 0 && token <= PAYLOADS_MAX && f->payloads[token - 1] != NULL);
    free(f->payloads[token - 1]);
    f->payloads[token - 1] = NULL;
}

static void wait_for(struct fuzz *f, const struct node_effect *effect)
{
    for (uint32_t i = 0; effect->kind == NODE_CONNECT && i < f->waiting_count; i++) {
        if (f->waiting[i].kind == NODE_CONNECT &&
            node_id_equal(f->waiting[i].effect.connect.node, effect->connect.node)) {
            return; /* said again */
        }
    }
    CHECK(f->waiting_count < WAITING_MAX);
    f->waiting[f->waiting_count++] = (struct waiting){ .kind = effect->kind, .effect = *effect };
}

static void take_send(struct fuzz *f, const struct node_effect *effect)
{
    struct message message;
    bool known = false;
    CHECK(message_decode(effect->send.frame, &message) == ERR_OK);
    for (uint32_t i = 0; i < LINKS; i++) {
        known = known || f->links[i].number == effect->send.link.v;
    }
    CHECK(known);
    uint64_t request = request_in(&message);
    f->last_request = request != 0 ? request : f->last_request;
    if (effect->send.payload.token != 0) {
        wait_for(f, effect);
    }
}

static void close_link(struct fuzz *f, uint64_t number)
{
    for (uint32_t i = 0; i < LINKS; i++) {
        if (f->links[i].number == number) {
            f->links[i].number = 0;
        }
    }
}

static void step(struct fuzz *f, const struct node_event *event);

static void take(struct fuzz *f, const struct node_effect *effect)
{
    switch (effect->kind) {
    case NODE_SEND:
        take_send(f, effect);
        return;
    case NODE_RELEASE:
        release(f, effect->release.token);
        return;
    case NODE_CLOSE:
        close_link(f, effect->close.link.v);
        return;
    case NODE_RING_DROP:
        drop_ring(f);
        return;
    case NODE_DRAINED:
        f->drained = true;
        return;
    case NODE_CONNECT:
    case NODE_RING_BUILD:
    case NODE_FETCH:
    case NODE_LIST:
    case NODE_HEAD:
    case NODE_DISK_WRITE:
    case NODE_DISK_READ:
    case NODE_META_PUT:
    case NODE_META_GET:
    case NODE_META_DELETE:
    case NODE_WEIGHT_KEEP:
        wait_for(f, effect);
        return;
    case NODE_ADMIN_REPLY:
        CHECK(effect->admin_reply.err == ERR_OK || effect->admin_reply.text.size > 0);
        return;
    case NODE_KEY_ROTATE:
    case NODE_SOURCE:
    case NODE_FETCH_CANCEL:
    case NODE_DISK_DROP:
    case NODE_EVIDENCE:
    case NODE_CATALOG:
    case NODE_LOAD:
    case NODE_OWNING:
    case NODE_WEIGHT:
    case NODE_LOG:
        return;
    }
}

/* A ring is built at once: the members hold only until the next step. Two may be: one in use, and one
 * that an operator wants to see. */
static void step(struct fuzz *f, const struct node_event *event)
{
    struct node_event rings[2];
    uint32_t ring_count = 0;
    struct node_totals totals;
    node_step(f->node, f->now, event, &f->effects);
    CHECK(f->effects.count <= NODE_EFFECTS_MAX);
    for (uint32_t i = 0; i < f->effects.count; i++) {
        const struct node_effect *effect = &f->effects.items[i];
        if (effect->kind == NODE_RING_BUILD) {
            CHECK(ring_count < ARRAY_COUNT(rings));
            rings[ring_count] = (struct node_event){ .kind = NODE_RING };
            build_ring(f, effect, &rings[ring_count++]);
        } else {
            take(f, effect);
        }
    }
    node_totals(f->node, &totals);
    CHECK(totals.region_used <= totals.region_size);
    for (uint32_t i = 0; i < ring_count; i++) {
        step(f, &rings[i]);
    }
}

static void advance(struct fuzz *f, usec_t by_us)
{
    usec_t until_us = f->now.mono_us + by_us;
    for (uint32_t ticks = 0; node_deadline(f->node) <= until_us; ticks++) {
        CHECK(ticks < TICKS_MAX);
        usec_t at_us = usec_max(f->now.mono_us, node_deadline(f->node));
        f->now.wall_us += at_us - f->now.mono_us;
        f->now.mono_us = at_us;
        step(f, &(struct node_event){ .kind = NODE_TICK });
    }
    f->now.wall_us += until_us - f->now.mono_us;
    f->now.mono_us = until_us;
}

/* ---- answers ----------------------------------------------------------------------------- */

/* true: there is nothing left to answer. */
static bool answer_fetch(struct fuzz *f, struct waiting *w, uint8_t how)
{
    struct node_event event = { .kind = NODE_FETCHED, .fetched = { .id = w->effect.fetch.id } };
    uint64_t size = w->effect.fetch.size;
    uint64_t more = how % 4 == 0 ? size - w->bytes : (size - w->bytes) * (how % 4) / 4;
    w->bytes += more;
    event.fetched.bytes = w->bytes;
    event.fetched.ended = how % 4 == 0 || how >= 128;
    event.fetched.retry_us = how >= 240 ? SEC(2) : 0;
    if (event.fetched.ended && w->bytes < size) {
        event.fetched.err = how % 8 < 4 ? ERR_SOURCE_UNREACHABLE : ERR_CHANGED;
    }
    bool ended = event.fetched.ended;
    step(f, &event);
    return ended;
}

static void answer_list(struct fuzz *f, const struct waiting *w, uint8_t how)
{
    static const char *const keys[] = { "p/a", "p/b/", "p/c", "p/d" };
    struct listed entries[ARRAY_COUNT(keys)];
    struct node_event event = { .kind = NODE_LISTED, .listed = { .entries = entries } };
    event.listed.id = w->kind == NODE_LIST ? w->effect.list.id : w->effect.head.id;
    event.listed.err = how < 192 ? ERR_OK : ERR_SOURCE_THROTTLED;
    event.listed.text = span_text(event.listed.err == ERR_OK ? "" : "SlowDown");
    event.listed.next = span_text(w->kind == NODE_LIST && how % 16 == 15 ? "token" : "");
    uint32_t most = w->kind == NODE_LIST ? how % 5u : 1;
    for (uint32_t i = 0; event.listed.err == ERR_OK && i < most; i++) {
        entries[i] = (struct listed){ .key = span_text(keys[i]),
                                      .is_prefix = keys[i][3] == '/',
                                      .size = i == 2 ? 3 * BLOCK : 100 };
        entries[i].pin = span_text(entries[i].is_prefix ? "" : "v1");
        event.listed.count++;
    }
    step(f, &event);
}

static void answer_disk(struct fuzz *f, const struct waiting *w, uint8_t how)
{
    struct node_event event = { .kind = NODE_DISK };
    bool reads = w->kind == NODE_DISK_READ;
    event.disk.id = reads ? w->effect.disk_read.id : w->effect.disk_write.id;
    if (how >= 192) {
        event.disk.err = reads ? ERR_CORRUPT : ERR_FULL;
    } else if (reads && w->effect.disk_read.header != NULL) {
        header_of(f, w->effect.disk_read.record.block.index, how, w->effect.disk_read.header);
    }
    step(f, &event);
}

static void answer_meta(struct fuzz *f, const struct waiting *w, uint8_t how)
{
    struct node_event event = { .kind = NODE_META, .meta = { .id = w->effect.meta.id } };
    if (w->kind == NODE_META_GET && how % 2 == 0) {
        event.meta.err = ERR_NOT_FOUND;
    } else if (w->kind == NODE_META_GET) {
        event.meta.value = value_from(f, how / 2);
    } else if (how >= 224) {
        event.meta.err = ERR_SYSTEM;
    }
    step(f, &event);
}

static void answer_keep(struct fuzz *f, uint8_t how)
{
    step(f, &(struct node_event){ .kind = NODE_WEIGHT_KEPT,
                                  .weight_kept = { how < 192 ? ERR_OK : ERR_SYSTEM } });
}

static void open_outbound(struct fuzz *f, const struct waiting *w, uint8_t how)
{
    for (uint32_t i = 0; i < LINKS; i++) {
        enum link_purpose purpose = how % 2 == 0 ? LINK_CONTROL : LINK_DATA;
        if (f->links[i].number == 0) {
            f->links[i] = (struct open_link){ ++f->next_link, purpose, true, 0 };
            step(f, &(struct node_event){ .kind = NODE_LINK_UP,
                                          .link_up = { .link = { f->next_link },
                                                       .purpose = purpose,
                                                       .outbound = true,
                                                       .node = w->effect.connect.node } });
            return;
        }
    }
}

static void answer(struct fuzz *f, uint32_t index, uint8_t how)
{
    struct waiting w = f->waiting[index];
    bool over = true;
    switch (w.kind) {
    case NODE_FETCH:
        over = answer_fetch(f, &f->waiting[index], how);
        break;
    case NODE_LIST:
    case NODE_HEAD:
        answer_list(f, &w, how);
        break;
    case NODE_DISK_READ:
    case NODE_DISK_WRITE:
        answer_disk(f, &w, how);
        break;
    case NODE_META_GET:
    case NODE_META_PUT:
    case NODE_META_DELETE:
        answer_meta(f, &w, how);
        break;
    case NODE_WEIGHT_KEEP:
        answer_keep(f, how);
        break;
    case NODE_CONNECT:
        open_outbound(f, &w, how);
        over = how >= 8;
        break;
    default:
        step(f, &(struct node_event){ .kind = NODE_SENT, .sent = { w.effect.send.payload.token } });
        break;
    }
    if (over) { /* what came meanwhile stands behind it */
        f->waiting_count--;
        memmove(&f->waiting[index], &f->waiting[index + 1],
                (f->waiting_count - index) * sizeof f->waiting[0]);
    }
}

/* Bytes beside the frame, as the transport gives them. */
static struct payload payload_of(struct fuzz *f, struct span bytes)
{
    for (uint32_t i = 0; i < PAYLOADS_MAX; i++) {
        if (f->payloads[i] == NULL) {
            f->payloads[i] = malloc(bytes.size + 1);
            CHECK(f->payloads[i] != NULL);
            memcpy(f->payloads[i], bytes.data, bytes.size);
            return (struct payload){ f->payloads[i], (uint32_t)bytes.size, i + 1 };
        }
    }
    return (struct payload){ NULL, 0, 0 };
}

static void deliver(struct fuzz *f, const struct open_link *link, struct span frame, uint8_t how)
{
    struct node_event event = { .kind = NODE_MESSAGE };
    uint8_t *exact = malloc(frame.size + 1); /* so that reading behind it is seen */
    CHECK(exact != NULL);
    memcpy(exact, frame.data, frame.size);
    event.message.link.v = link->number;
    event.message.frame = span_of(exact, frame.size);
    if (how % 4 == 3) {
        static const uint8_t zeros[BLOCK];
        struct span bytes = how < 128 ? value_from(f, how / 4) : span_of(zeros, BLOCK);
        event.message.payload = payload_of(f, bytes.size > 0 ? bytes : span_of(zeros, 1));
    }
    step(f, &event);
    free(exact);
}

static void deliver_built(struct fuzz *f, const struct open_link *link, uint8_t op)
{
    static uint8_t frame[WIRE_REQUEST_MAX];
    struct message message;
    size_t used = 0;
    uint8_t how = next(f);
    if (op % 4 == 0) {
        build_hello(f, link, how, &message);
    } else if (op % 4 == 1) {
        build_good(f, how, &message);
    } else {
        build(f, &message);
    }
    if (message_encode(&message, frame, sizeof frame, &used) == ERR_OK) {
        deliver(f, link, span_of(frame, used), op % 4 == 3 ? how : 0);
    }
}

static void deliver_noise(struct fuzz *f, const struct open_link *link)
{
    size_t size = next(f);
    size = size < f->input.size ? size : f->input.size;
    struct span frame = span_of(f->input.data, size);
    f->input = span_of(f->input.data + size, f->input.size - size);
    if (size > 0) {
        deliver(f, link, frame, 0);
    }
}

/* ---- links, members, operators ----------------------------------------------------------- */

static void link_up(struct fuzz *f, struct open_link *link, uint8_t how)
{
    if (link->number != 0) {
        return;
    }
    *link = (struct open_link){ ++f->next_link, how % 2 == 0 ? LINK_CONTROL : LINK_DATA, false,
                                how / 4 };
    struct node_event event = { .kind = NODE_LINK_UP,
                                .link_up = { .link = { link->number },
                                             .purpose = link->purpose,
                                             .peer = { .trust = LINK_TRUST_NONE } } };
    if (link->purpose == LINK_CONTROL) {
        event.link_up.peer.trust = f->insecure ? LINK_TRUST_ANYBODY : LINK_TRUST_CLIENT;
        event.link_up.peer.client_key[0] = link->client;
    }
    step(f, &event);
}

static void link_down(struct fuzz *f, struct open_link *link)
{
    if (link->number != 0) {
        uint64_t number = link->number;
        link->number = 0;
        step(f, &(struct node_event){ .kind = NODE_LINK_DOWN, .link_down = { { number } } });
    }
}

static void tell_view(struct fuzz *f, uint8_t how)
{
    struct member members[3];
    for (uint8_t i = 0; i < 3; i++) {
        bool lives = i == 0 || (how >> i) % 2 == 0;
        make_member(i, lives ? MEMBER_OWNING : MEMBER_DEAD, &members[i]);
        members[i].incarnation = 1 + (i == 0 ? 0 : how / 16);
    }
    step(f, &(struct node_event){ .kind = NODE_VIEW, .view = { .members = members, .count = 3 } });
}

static void operate(struct fuzz *f, uint8_t how)
{
    static const char *const arguments[] = { "train",  "train/",    "train/a",   "train/c",
                                             "none",   "train/b/x", "",          "train/b",
                                             "n0 50",  "n0 auto",   "n0 70000",  "n1 5",
                                             "\n\n\n", "\nn1\n\n",  "\n\n9,z\n", "\nn2\n70\n" };
    struct node_event event = { .kind = NODE_ADMIN,
                                .admin = { .id = 1 + how, .kind = how % (ADMIN_METRICS + 1u) } };
    event.admin.argument = span_text(arguments[next(f) % ARRAY_COUNT(arguments)]);
    if (event.admin.kind == ADMIN_DATASET_CREATE) {
        event.admin.argument = span_of(f->record, f->record_size);
    }
    step(f, &event);
}

/* A rotation goes one step on. */
static void change_keys(struct fuzz *f, uint8_t how)
{
    const struct key_rotation rotation = { .key = { .gossip = { how } }, .revokes = how >= 220 };
    const struct key_holder holder = { .node = id_of(1), .stage = KEY_STAGE_HAS };
    if (f->insecure) {
        return;
    }
    if (f->ring.present != 0) {
        keyring_use(&f->ring);
    } else if (f->ring.count > 1) {
        keyring_retire(&f->ring);
    } else {
        CHECK(keyring_install(&f->ring, &rotation) == ERR_OK);
    }
    step(f,
         &(struct node_event){ .kind = NODE_KEYS, .keys = { &f->ring, &holder, 1, USEC_NEVER } });
}

/* Gossip tells what others serve. */
static void tell_loads(struct fuzz *f, uint8_t how)
{
    const uint64_t rates[] = { (uint64_t)how << (how % 40), 0 };
    step(f, &(struct node_event){ .kind = NODE_LOADS, .loads = { rates, how % 3 } });
}

static void act(struct fuzz *f)
{
    uint8_t op = next(f);
    struct open_link *link = &f->links[op / 32];
    switch (op % 16) {
    case 0:
        link_up(f, link, next(f));
        return;
    case 1:
        link_down(f, link);
        return;
    case 2:
        tell_view(f, next(f));
        return;
    case 3:
        operate(f, next(f));
        return;
    case 4:
        tell_loads(f, op);
        advance(f, MSEC(1) << (op / 16));
        return;
    case 5:
        change_keys(f, op);
        step(f, &(struct node_event){ .kind = op >= 240 ? NODE_LEAVE : NODE_PEER_CATALOG,
                                      .peer_catalog = { id_of(1) } });
        return;
    case 6:
    case 7:
    case 8:
        if (f->waiting_count > 0) {
            uint32_t index = op / 16 % f->waiting_count;
            answer(f, index, next(f));
        }
        return;
    case 9:
        if (link->number != 0) {
            deliver_noise(f, link);
        }
        return;
    default:
        if (link->number != 0) {
            deliver_built(f, link, op % 16 - 10 + 2);
        }
        return;
    }
}

/* ---- beginning and end ------------------------------------------------------------------- */

static void start(struct fuzz *f)
{
    struct arena arena;
    struct node_options options = { .id = id_of(0),
                                    .incarnation = 1,
                                    .name = "n0",
                                    .weight = 100,
                                    .weight_default = 100,
                                    .cluster = "unit",
                                    .slots_log2 = SLOTS_LOG2,
                                    .insecure = next(f) % 4 != 0,
                                    .ring = { .keys = { { .number = 1 } }, .count = 1 },
                                    .seed = 1,
                                    .hot_floor = 1,
                                    .region = region,
                                    .region_size = sizeof region,
                                    .links_max = 6,
                                    .requests_max = 16,
                                    .blocks_max = 32,
                                    .directories_max = 4,
                                    .datasets_max = 3,
                                    .members_max = 8,
                                    .drain_us = SEC(5),
                                    .tier = { { .quota = 2u << 20, .segment_size = 1u << 20 } },
                                    .tier_count = 1 };
    f->insecure = options.insecure;
    f->ring = options.ring;
    CHECK(node_memory(&options) <= sizeof memory);
    arena_init(&arena, memory, node_memory(&options));
    CHECK(node_new(&arena, &options, &f->node) == ERR_OK);
    f->now = (struct now){ .mono_us = SEC(10), .wall_us = SEC(1700000000) };
    step(f, &(struct node_event){ .kind = NODE_META_RECORD,
                                  .meta_record = { span_of(f->record, f->record_size) } });
    step(f, &(struct node_event){ .kind = NODE_META_READY });
    step(f, &(struct node_event){ .kind = NODE_DISK_READY });
    tell_view(f, 0);
}

/* All go, everything is answered, and minutes pass: then nothing is open and nothing is kept. What
 * a node does that is left alone is looked at after one input of eight: these minutes cost more
 * than the rest. */
static void end(struct fuzz *f, bool is_long)
{
    struct node_totals totals = { .requests_open = 1 };
    for (uint32_t i = 0; i < LINKS; i++) {
        link_down(f, &f->links[i]);
    }
    tell_view(f, 6);
    for (uint32_t round = 0; round < 12; round++) {
        if (!is_long && totals.requests_open == 0 && totals.fetches_open == 0) {
            break;
        }
        for (uint32_t left = 2 * WAITING_MAX; f->waiting_count > 0; left--) {
            CHECK(left > 0);
            if (f->waiting[0].kind == NODE_CONNECT) { /* nobody comes any more */
                f->waiting_count--;
                memmove(&f->waiting[0], &f->waiting[1], f->waiting_count * sizeof f->waiting[0]);
            } else {
                answer(f, 0, 0);
            }
        }
        advance(f, SEC(20));
        node_totals(f->node, &totals);
    }
    CHECK(totals.requests_open == 0 && totals.fetches_open == 0);
    for (uint32_t i = 0; i < PAYLOADS_MAX; i++) {
        free(f->payloads[i]); /* it may keep some as blocks */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz fuzz;
    memset(&fuzz, 0, sizeof fuzz);
    fuzz.input = span_of(data, size);
    make_world(&fuzz);
    start(&fuzz);
    while (fuzz.input.size > 0) {
        act(&fuzz);
    }
    end(&fuzz, size % 8 == 0);
    return 0;
}
