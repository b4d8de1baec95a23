/* node/core/rings_pools.c: which selectors have a ring here, and who may own by one. */
#include "node/core/rings.h"

#include <string.h>

#include "node/core/internal.h"
#include "node/core/meta.h"

#define UNUSED_US SEC(600) /* asked for longer ago: makes room for one that is asked for now */

/* ---- places ------------------------------------------------------------------------------ */

static void use_end(struct node *node, struct rings_use *use)
{
    CHECK(use->in_use && use != &node->rings.use[0]); /* the pool of everybody stays */
    while (use->old_count > 0) {
        rings_drop_oldest(node, use);
    }
    if (use->ring != NULL) {
        rings_drop(node, use->ring);
    }
    if (node->rings.building_for == use) {
        node->rings.building_for = NULL;
    }
    *use = (struct rings_use){ .in_use = false };
}

static bool was_asked_lately(const struct node *node, const struct rings_use *use)
{
    return use->asked && node->now.mono_us - use->asked_us < UNUSED_US;
}

/* Are there as many rings as memory was put aside for that nobody has asked for? */
static bool enough_ahead(const struct node *node)
{
    const uint32_t most = node->options.rings_ahead;
    uint32_t count = 0;
    for (uint32_t i = 1; i < RINGS_MAX; i++) {
        count += node->rings.use[i].in_use && !node->rings.use[i].asked ? 1 : 0;
    }
    return most != 0 && count >= most;
}

/* A free place, or that of the one that has not been asked for the longest. Who is only named takes no
 * other's that is named. NULL: all are needed more. */
static struct rings_use *place_for(struct node *node, bool asked)
{
    struct rings_use *found = NULL;
    for (uint32_t i = 1; i < RINGS_MAX; i++) {
        struct rings_use *use = &node->rings.use[i];
        if (!use->in_use) {
            return use;
        }
        const bool stays = was_asked_lately(node, use) || (use->named && !asked);
        if (!stays && (found == NULL || use->asked_us < found->asked_us)) {
            found = use;
        }
    }
    if (found != NULL) {
        MARK(node, "rings.use.replaced");
        use_end(node, found);
    }
    return found;
}

/* NULL: no place. */
static struct rings_use *use_begin(struct node *node, struct span selector, bool asked)
{
    if (selector.size > SELECTOR_MAX || (!asked && enough_ahead(node))) {
        return NULL;
    }
    struct rings_use *use = place_for(node, asked);
    if (use == NULL) {
        return NULL;
    }
    *use = (struct rings_use){ .in_use = true,
                               .selector_size = (uint32_t)selector.size,
                               .named = !asked,
                               .needed_us = node->now.mono_us };
    memcpy(use->selector, selector.data, selector.size);
    return use;
}

struct rings_use *rings_find(struct node *node, struct span selector)
{
    for (uint32_t i = 0; i < RINGS_MAX; i++) {
        struct rings_use *use = &node->rings.use[i];
        if (use->in_use && span_equal(selector, span_of(use->selector, use->selector_size))) {
            return use;
        }
    }
    return NULL;
}

struct rings_use *rings_use(struct node *node, struct span selector)
{
    struct rings_use *use = rings_find(node, selector);
    const bool is_new = use == NULL;
    if (is_new) {
        use = use_begin(node, selector, true);
    }
    if (use == NULL) {
        MARK(node, "rings.use.full");
        return NULL;
    }
    if (!use->asked) {
        rings_arm(node, node->now.mono_us); /* is it a dataset's? And there may be room for more */
    }
    use->asked = true;
    use->asked_us = node->now.mono_us;
    use->needed_us = node->now.mono_us;
    if (is_new) {
        rings_build(node, use);
    }
    return use;
}

/* ---- selectors of datasets --------------------------------------------------------------- */

/* The next living dataset that has a selector; NULL: none. */
static const struct catalog_item *next_with_selector(const struct node *node,
                                                     const struct catalog_item *item)
{
    do {
        item = catalog_next(node, item);
    } while (item != NULL && (item->dataset.deleted || item->dataset.selector[0] == '\0'));
    return item;
}

bool rings_is_named(const struct node *node, struct span selector)
{
    const struct catalog_item *item = next_with_selector(node, NULL);
    while (item != NULL && !span_equal(span_text(item->dataset.selector), selector)) {
        item = next_with_selector(node, item);
    }
    return item != NULL;
}

void rings_on_catalog(struct node *node)
{
    rings_arm(node, node->now.mono_us);
}

static void see_who_is_named(struct node *node)
{
    const struct catalog_item *item = NULL;
    for (uint32_t i = 1; i < RINGS_MAX; i++) {
        struct rings_use *use = &node->rings.use[i];
        use->needed_us = use->named ? node->now.mono_us : use->needed_us;
        use->named = false;
    }
    while ((item = next_with_selector(node, item)) != NULL) {
        struct rings_use *use = rings_find(node, span_text(item->dataset.selector));
        if (use != NULL) {
            use->named = true;
        }
    }
}

/* What nobody needs any more. The time of the next one. */
static usec_t end_unneeded(struct node *node)
{
    usec_t next = USEC_NEVER;
    for (uint32_t i = 1; i < RINGS_MAX; i++) {
        struct rings_use *use = &node->rings.use[i];
        if (!use->in_use || use->named) {
            continue;
        }
        if (node->now.mono_us - use->needed_us >= RING_HANDOVER_US) {
            MARK(node, "rings.use.unneeded");
            use_end(node, use);
        } else {
            next = usec_min(next, use->needed_us + RING_HANDOVER_US);
        }
    }
    return next;
}

usec_t rings_tend(struct node *node)
{
    const struct catalog_item *item = NULL;
    see_who_is_named(node);
    const usec_t next = end_unneeded(node);
    while ((item = next_with_selector(node, item)) != NULL) {
        struct span selector = span_text(item->dataset.selector);
        if (rings_find(node, selector) == NULL && use_begin(node, selector, false) == NULL) {
            MARK(node, "rings.use.left_out"); /* until it is asked for, or a place is free */
            break;
        }
    }
    return next;
}

/* ---- who may own ------------------------------------------------------------------------- */

enum rings_lack rings_lack(const struct node *node, struct span selector)
{
    uint32_t count = 0;
    enum rings_lack lack = RINGS_LACK_LABELS;
    const struct member *members = view_members(node->rings.view, &count);
    for (uint32_t i = 0; i < count; i++) {
        const enum member_state state = members[i].state;
        if ((state != MEMBER_OWNING && state != MEMBER_WARMING) ||
            !selector_admits(selector, &members[i])) {
            continue;
        }
        if (members[i].weight > 0) {
            return RINGS_LACK_NOTHING;
        }
        lack = RINGS_LACK_WEIGHT;
    }
    return lack;
}
