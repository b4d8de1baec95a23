/* node/core/weight.c: the operator's word, the disks' troubles, and what others are told. */
#include "node/core/weight.h"

#include "node/core/internal.h"
#include "node/core/report_gather.h"

void weight_init(struct node *node)
{
    struct weight *weight = &node->weight;
    CHECK(node->options.weight <= UINT16_MAX && node->options.weight_default <= UINT16_MAX);
    weight->wanted = node->options.weight;
    weight->told = node->options.weight;
    weight->timer.kind = TIMER_WEIGHT;
    for (uint32_t i = 0; i < NODE_TIERS_MAX; i++) {
        weight->tier[i].level = WEIGHT_LEVELS;
    }
}

/* ---- telling ----------------------------------------------------------------------------- */

/* Memory counts whole, a tier as much as it is worth; MiB, so that nothing overflows. */
static uint32_t effective(const struct node *node)
{
    const struct weight *weight = &node->weight;
    uint64_t all = (node->options.region_size >> 20) + 1;
    uint64_t well = all;
    for (uint32_t i = 0; i < node->options.tier_count; i++) {
        uint64_t quota = node->options.tier[i].quota >> 20;
        all += quota;
        well += quota * weight->tier[i].level / WEIGHT_LEVELS;
    }
    uint64_t share = (weight->wanted * well + all / 2) / all;
    return share == 0 && weight->wanted > 0 ? 1 : (uint32_t)share;
}

static void tell(struct node *node)
{
    struct weight *weight = &node->weight;
    const uint32_t now = effective(node);
    char line[128];
    struct text text;
    if (now == weight->told) {
        return;
    }
    text_init(&text, line, sizeof line);
    text_str(&text, "weight.changed weight=");
    text_u64(&text, now);
    text_str(&text, " was=");
    text_u64(&text, weight->told);
    text_str(&text, " wanted=");
    text_u64(&text, weight->wanted);
    node_log(node, now < weight->wanted ? LOG_WARN : LOG_INFO, &text);
    weight->told = now;
    effects_push(node, &(struct node_effect){ .kind = NODE_WEIGHT, .weight = { .weight = now } });
}

/* ---- disks ------------------------------------------------------------------------------- */

void weight_on_tier(struct node *node)
{
    for (uint32_t i = 0; i < node->options.tier_count; i++) {
        if (node->store.tier[i].failed) {
            node->weight.tier[i].level = 0;
        }
    }
    tell(node);
}

static void arm(struct node *node)
{
    if (!timer_is_set(&node->weight.timer)) {
        timers_set(&node->timers, &node->weight.timer, node->now.mono_us + WEIGHT_WINDOW_US);
    }
}

void weight_on_begin(struct node *node, uint32_t index)
{
    node->weight.tier[index].under_way++;
    arm(node);
}

void weight_on_disk(struct node *node, uint32_t index, uint32_t size, usec_t took_us)
{
    struct weight_tier *tier = &node->weight.tier[index];
    CHECK(tier->under_way > 0);
    tier->under_way--;
    tier->ops++;
    tier->took_us += took_us;
    tier->fair_us += WEIGHT_FAIR_US + size / WEIGHT_FAIR_RATE;
}

/* Slow is slower than fair, or stuck; well is twice as fast as fair. Between them nothing changes. */
static void judge(struct node *node, struct weight_tier *tier)
{
    const bool stuck = tier->ops == 0 && tier->waited > 0;
    const bool slow = stuck || tier->took_us > tier->fair_us;
    const bool well = !stuck && tier->took_us <= tier->fair_us / 2;
    if ((tier->ops < WEIGHT_WINDOW_OPS && !stuck) || tier->level == 0) {
        return;
    }
    tier->slow = slow ? tier->slow + 1 : 0;
    tier->well = well ? tier->well + 1 : 0;
    if (tier->slow >= WEIGHT_SLOW_WINDOWS && tier->level > 1) {
        MARK(node, "weight.tier.slow");
        tier->level--;
        tier->slow = 0;
    } else if (tier->well >= WEIGHT_WELL_WINDOWS && tier->level < WEIGHT_LEVELS) {
        MARK(node, "weight.tier.well");
        tier->level++;
        tier->well = 0;
    }
}

void weight_on_timer(struct node *node)
{
    for (uint32_t i = 0; i < node->options.tier_count; i++) {
        struct weight_tier *tier = &node->weight.tier[i];
        judge(node, tier);
        if (tier->under_way > 0) {
            arm(node);
        }
        tier->waited = tier->under_way;
        tier->ops = 0;
        tier->took_us = 0;
        tier->fair_us = 0;
    }
    tell(node);
}

uint32_t weight_slow_tiers(const struct node *node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->options.tier_count; i++) {
        const uint32_t level = node->weight.tier[i].level;
        count += level > 0 && level < WEIGHT_LEVELS ? 1 : 0;
    }
    return count;
}

/* ---- the operator ------------------------------------------------------------------------ */

/* "NAME WEIGHT" or "NAME auto": names have no spaces. */
static bool parse(struct span argument, struct span *name, struct span *value)
{
    const uint8_t *space = argument.size > 0 ? memchr(argument.data, ' ', argument.size) : NULL;
    if (space == NULL) {
        return false;
    }
    *name = span_of(argument.data, (size_t)(space - argument.data));
    *value = span_of(space + 1, argument.size - name->size - 1);
    return true;
}

/* The living one of that name, else one that is no more; NULL: there is none. */
static const struct member *find_named(const struct node *node, struct span name)
{
    uint32_t count = 0;
    const struct member *members = view_members(node->rings.view, &count);
    const struct member *found = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (span_equal(span_text(members[i].name), name) &&
            (found == NULL || member_is_living(&members[i]))) {
            found = &members[i];
        }
    }
    return found;
}

/* Others' weights are not ours to write; where its --admin is only a node itself knows. */
static void refuse_other(struct node *node, uint64_t admin, struct span name)
{
    const struct member *member = find_named(node, name);
    char line[512];
    struct text text;
    enum err err = ERR_INVALID;
    name.size = name.size < MEMBER_NAME_MAX ? name.size : MEMBER_NAME_MAX;
    text_init(&text, line, sizeof line);
    if (member == NULL) {
        err = ERR_NOT_FOUND;
        text_str(&text, "no node has the name ");
        text_span(&text, name);
    } else if (!member_is_living(member)) {
        err = ERR_UNREACHABLE;
        text_span(&text, name);
        text_str(&text, member->state == MEMBER_LEFT ? " has left" : " is dead");
        text_str(&text, ": start it again, then set its weight at its own --admin address");
    } else {
        text_str(&text, "the weight of ");
        text_span(&text, name);
        text_str(&text, " (its host is ");
        report_host(&text, &member->endpoints[0].address);
        text_str(&text, ") is set at its own --admin address");
    }
    text_str(&text, "; here answers ");
    text_str(&text, node->options.name);
    CHECK(!text.overflow);
    report_error(node, admin, err, line);
}

void weight_on_admin(struct node *node, uint64_t admin, struct span argument)
{
    struct weight *weight = &node->weight;
    struct span name = { NULL, 0 };
    struct span value = { NULL, 0 };
    uint64_t asked = node->options.weight_default;
    const bool parsed = parse(argument, &name, &value);
    const bool is_auto = parsed && span_equal(value, span_text("auto"));
    if (!parsed || (!is_auto && (!parse_u64(value, &asked) || asked > UINT16_MAX))) {
        report_error(node, admin, ERR_INVALID, "a weight is a number from 0 to 65535, or auto");
        return;
    }
    if (!span_equal(name, span_text(node->options.name))) {
        refuse_other(node, admin, name);
        return;
    }
    if (weight->admin != 0) {
        report_error(node, admin, ERR_BUSY, "the weight is being changed already: try again");
        return;
    }
    weight->admin = admin;
    weight->asked = (uint32_t)asked;
    weight->asked_auto = is_auto;
    effects_push(node,
                 &(struct node_effect){ .kind = NODE_WEIGHT_KEEP,
                                        .weight = { .weight = weight->asked, .forget = is_auto } });
}

void weight_on_kept(struct node *node, enum err err)
{
    struct weight *weight = &node->weight;
    const uint64_t admin = weight->admin;
    const uint32_t was = weight->wanted;
    struct text text;
    struct json json;
    CHECK(admin != 0);
    weight->admin = 0;
    if (err != ERR_OK) {
        report_error(node, admin, err, "the weight could not be written to --data-dir");
        return;
    }
    weight->wanted = weight->asked;
    tell(node);
    report_begin(node, &text);
    json_init(&json, &text);
    json_open(&json, NULL, '{');
    json_str(&json, "name", node->options.name);
    json_u64(&json, "weight", weight->told);
    json_u64(&json, "weight_wanted", weight->wanted);
    json_u64(&json, "was", was);
    json_bool(&json, "auto", weight->asked_auto);
    json_close(&json, '}');
    report_reply(node, admin, ERR_OK, &text);
}
