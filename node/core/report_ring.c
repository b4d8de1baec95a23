/* node/core/report_ring.c: how the slots are shared, what the last change moved, and what another
 * would. */
#include "node/core/report_gather.h"

/* A node that there is not. Any id will do: shares hardly depend on it. */
static const struct node_id newcomer = { "atoll: newcomer" };

/* ---- the ring ---------------------------------------------------------------------------- */

static void put_ring(struct node *node, struct json *json, const struct rings_use *use)
{
    const struct ring *ring = use->ring;
    json_open(json, NULL, '{');
    json_span(json, "selector", span_of(use->selector, use->selector_size));
    json_bool(json, "built", ring != NULL);
    json_u64(json, "earlier", rings_earlier(node, use));
    if (ring != NULL) {
        json_hex(json, "digest", ring_digest(ring));
        json_u64(json, "slots", UINT64_C(1) << ring_slots_log2(ring));
        json_open(json, "nodes", '[');
        for (uint32_t i = 0; i < ring_count(ring); i++) {
            struct node_id id = ring_node(ring, i);
            uint32_t slots = ring_slots_owned(ring, i);
            json_open(json, NULL, '{');
            report_node_name(node, json, "name", id);
            json_id(json, "id", id.b);
            json_u64(json, "slots", slots);
            json_ratio(json, "share", slots, UINT64_C(1) << ring_slots_log2(ring));
            json_close(json, '}');
        }
        json_close(json, ']');
    }
    json_close(json, '}');
}

void report_ring(struct node *node, uint64_t admin)
{
    struct text text;
    struct json json;
    report_begin(node, &text);
    json_init(&json, &text);
    json_open(&json, NULL, '{');
    json_str(&json, "asked_node", node->options.name);
    json_hex(&json, "view", node->rings.digest);
    json_open(&json, "rings", '[');
    for (uint32_t i = 0; i < RINGS_MAX; i++) {
        if (node->rings.use[i].in_use) {
            put_ring(node, &json, &node->rings.use[i]);
        }
    }
    json_close(&json, ']');
    json_close(&json, '}');
    report_reply(node, admin, ERR_OK, &text);
}

/* ---- what moves from one to another ------------------------------------------------------ */

/* Nodes of both, in order of id; at least one of the indices is that of the next. */
struct walk {
    const struct ring *from;
    const struct ring *to;
    uint32_t i;
    uint32_t j;
};

struct walk_node {
    struct node_id id;
    uint32_t before;
    uint32_t after;
    uint32_t lost;
    uint32_t gained;
};

static bool walk_next(struct walk *walk, const struct rings *rings, struct walk_node *out)
{
    const bool has_i = walk->i < ring_count(walk->from);
    const bool has_j = walk->j < ring_count(walk->to);
    int order = 0;
    if (!has_i && !has_j) {
        return false;
    }
    if (has_i && has_j) {
        order = node_id_compare(ring_node(walk->from, walk->i), ring_node(walk->to, walk->j));
    } else {
        order = has_i ? -1 : 1;
    }
    *out = (struct walk_node){ .lost = 0 };
    if (order <= 0) {
        out->id = ring_node(walk->from, walk->i);
        out->before = ring_slots_owned(walk->from, walk->i);
        out->lost = rings->lost[walk->i];
        walk->i++;
    }
    if (order >= 0) {
        out->id = ring_node(walk->to, walk->j);
        out->after = ring_slots_owned(walk->to, walk->j);
        out->gained = rings->gained[walk->j];
        walk->j++;
    }
    return true;
}

/* The fewest slots that have to move for these shares. */
static uint64_t least_moves(const struct rings *rings, const struct ring *from,
                            const struct ring *to)
{
    struct walk walk = { .from = from, .to = to };
    struct walk_node one;
    uint64_t least = 0;
    while (walk_next(&walk, rings, &one)) {
        least += one.after > one.before ? one.after - one.before : 0;
    }
    return least;
}

static void put_moves(struct node *node, struct json *json, const struct ring *from,
                      const struct ring *to)
{
    struct rings *rings = &node->rings;
    const uint64_t slots = UINT64_C(1) << ring_slots_log2(to);
    const uint64_t moved = ring_compare(from, to, rings->lost, rings->gained);
    struct walk walk = { .from = from, .to = to };
    struct walk_node one;
    json_hex(json, "from", ring_digest(from));
    json_hex(json, "to", ring_digest(to));
    json_u64(json, "slots", slots);
    json_u64(json, "moved", moved);
    json_u64(json, "least", least_moves(rings, from, to));
    json_ratio(json, "moved_share", moved, slots);
    json_open(json, "nodes", '[');
    while (walk_next(&walk, rings, &one)) {
        json_open(json, NULL, '{');
        if (node_id_equal(one.id, newcomer)) {
            json_str(json, "name", "(new)");
        } else {
            report_node_name(node, json, "name", one.id);
        }
        json_u64(json, "before", one.before);
        json_u64(json, "after", one.after);
        json_u64(json, "lost", one.lost);
        json_u64(json, "gained", one.gained);
        json_ratio(json, "share", one.after, slots);
        json_id(json, "id", one.id.b);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void begin(struct node *node, struct text *text, struct json *json, struct span selector)
{
    report_begin(node, text);
    json_init(json, text);
    json_open(json, NULL, '{');
    json_str(json, "asked_node", node->options.name);
    json_span(json, "selector", selector);
}

static void report_last_change(struct node *node, uint64_t admin, const struct rings_use *use)
{
    struct text text;
    struct json json;
    begin(node, &text, &json, span_of(use->selector, use->selector_size));
    json_str(&json, "change", use->old_count > 0 ? "last" : "none");
    if (use->old_count > 0) {
        json_fixed(&json, "seconds", (node->now.mono_us - use->changed_us) / 1000, 3);
        put_moves(node, &json, use->old[0].ring, use->ring);
    }
    json_close(&json, '}');
    report_reply(node, admin, ERR_OK, &text);
}

/* ---- what would move --------------------------------------------------------------------- */

/* "WEIGHT" or "WEIGHT,ZONE" of a node that there is not. */
static bool parse_added(struct span said, struct member *out)
{
    const uint8_t *comma = said.size > 0 ? memchr(said.data, ',', said.size) : NULL;
    const size_t size = comma == NULL ? said.size : (size_t)(comma - said.data);
    const size_t rest = said.size - size;
    uint64_t weight = 0;
    if (!parse_u64(span_of(said.data, size), &weight) || weight == 0 || weight > UINT16_MAX ||
        rest > MEMBER_ZONE_MAX + 1) {
        return false;
    }
    *out = (struct member){ .id = newcomer, .weight = (uint32_t)weight };
    if (rest > 0) {
        memcpy(out->zone, comma + 1, rest - 1);
    }
    return true;
}

/* Its labels are those that the selector wants, and it owns if any does. */
static bool add(struct node *node, struct member *added, struct span said, struct span selector)
{
    if (!parse_added(said, added)) {
        return false;
    }
    if (selector.size > 0) {
        memcpy(added->labels, selector.data, selector.size);
    }
    added->state = view_has_owner(node->rings.view) ? MEMBER_OWNING : MEMBER_WARMING;
    return true;
}

/* How many living ones have that name: all of them are gone now. */
static uint32_t take_away(struct member *members, uint32_t count, struct span name)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (span_equal(span_text(members[i].name), name) && member_lives(&members[i])) {
            members[i].state = MEMBER_LEAVING;
            taken++;
        }
    }
    return taken;
}

static void refuse_name(struct node *node, uint64_t admin, struct span name, uint32_t count)
{
    char line[128 + MEMBER_NAME_MAX];
    struct text text;
    text_init(&text, line, sizeof line);
    text_str(&text,
             count == 0 ? "no living node has the name " : "several living nodes are named ");
    text_span(&text, span_of(name.data, name.size < MEMBER_NAME_MAX ? name.size : MEMBER_NAME_MAX));
    text_str(&text, count == 0 ? "" : ": give each its own --name");
    report_error(node, admin, count == 0 ? ERR_NOT_FOUND : ERR_INVALID, line);
}

struct asked {
    struct span selector;
    struct span without;
    struct span added;
};

static void report_trial(struct node *node, uint64_t admin, const struct rings_use *use,
                         const struct asked *asked)
{
    uint32_t count = 0;
    const struct member *known = view_members(node->rings.view, &count);
    const size_t size = (size_t)count * sizeof *known;
    if (!effects_roomy(node, size + sizeof *known)) {
        report_error(node, admin, ERR_BUSY, "this node has much to do: try again");
        return;
    }
    struct member *members = (struct member *)(void *)scratch_take(node, size + sizeof *known);
    memcpy(members, known, size);
    const uint32_t taken = asked->without.size > 0 ? take_away(members, count, asked->without) : 1;
    if (taken != 1) {
        refuse_name(node, admin, asked->without, taken);
        return;
    }
    if (asked->added.size > 0 && !add(node, &members[count++], asked->added, asked->selector)) {
        report_error(node, admin, ERR_INVALID,
                     "what is added must be WEIGHT or WEIGHT,ZONE with a weight of 1 to 65535");
        return;
    }
    if (!rings_try(node, use, members, count, admin)) {
        report_error(node, admin, ERR_BUSY, "another ring is being tried: try again");
    }
}

void report_ring_trial(struct node *node, const struct ring *ring)
{
    const struct rings_trial *trial = &node->rings.trial;
    const struct span selector = span_of(trial->selector, trial->selector_size);
    const struct rings_use *use = rings_find(node, selector);
    struct text text;
    struct json json;
    if (ring == NULL || use == NULL || use->ring == NULL) {
        report_error(node, trial->admin, ERR_NOMEM, "the ring could not be built");
    } else {
        begin(node, &text, &json, selector);
        json_str(&json, "change", "tried");
        put_moves(node, &json, use->ring, ring);
        json_close(&json, '}');
        report_reply(node, trial->admin, ERR_OK, &text);
    }
    if (ring != NULL) {
        rings_drop(node, ring);
    }
}

/* Three lines: selector, who goes, what comes. */
static bool parse(struct span argument, struct asked *out)
{
    struct span *const parts[] = { &out->selector, &out->without, &out->added };
    for (uint32_t i = 0; i < ARRAY_COUNT(parts); i++) {
        const uint8_t *end = argument.size > 0 ? memchr(argument.data, '\n', argument.size) : NULL;
        if (end == NULL) {
            return false;
        }
        *parts[i] = span_of(argument.data, (size_t)(end - argument.data));
        argument = span_of(end + 1, argument.size - parts[i]->size - 1);
    }
    return argument.size == 0;
}

void report_ring_diff(struct node *node, uint64_t admin, struct span argument)
{
    struct asked asked;
    if (!parse(argument, &asked)) {
        report_error(node, admin, ERR_INVALID, "a diff wants a selector, a name and a weight");
        return;
    }
    const bool is_known = asked.selector.size == 0 || rings_is_named(node, asked.selector);
    const struct rings_use *use = is_known ? rings_use(node, asked.selector) : NULL;
    if (!is_known) {
        report_error(node, admin, ERR_NOT_FOUND, "no dataset here has that node selector");
    } else if (use == NULL || use->ring == NULL) {
        report_error(node, admin, ERR_BUSY,
                     "the ring of that selector is not built yet: try again");
    } else if (asked.without.size == 0 && asked.added.size == 0) {
        report_last_change(node, admin, use);
    } else {
        report_trial(node, admin, use, &asked);
    }
}
