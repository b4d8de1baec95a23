/* fs/core/cluster.c: what the mount copies from the cluster: the view, the ring made of it, the
 * dataset's record, and the capability that proves our right to read it.
 *
 * A mount is no member. Two nodes are asked to tell every change of the view; each further one is
 * compared by its digest from time to time. Nobody's ring is adopted: records are merged. */
#include "fs/core/internal.h"

#define START_US SEC(10)
#define SUBSCRIPTIONS 2u
#define VIEW_EVERY_US SEC(10)
#define RENEW_EVERY_US SEC(60) /* also how late a refresh of the dataset is noticed */
#define ASK_AGAIN_US MSEC(500)
#define UNKNOWN_AGAIN_US MSEC(300)
#define UNKNOWN_MAX 6u /* a dataset made just now may not be everywhere yet */
#define FORGET_US SEC(10)
#define REVIVE_US SEC(5) /* a member that others still call dead has said by then that it lives */
#define RING_AGAIN_US SEC(1)
#define TOTALS_US SEC(2)

size_t cluster_memory(const struct mount_options *options)
{
    return view_memory(options->nodes_max) + 64;
}

enum err cluster_init(struct mount *m, struct arena *mem)
{
    m->start_timer.kind = TIMER_START;
    m->renew_timer.kind = TIMER_RENEW;
    m->view_timer.kind = TIMER_VIEW;
    m->slots_log2 = m->options.slots_log2;
    m->dataset_id = dataset_id_make(span_text(m->options.dataset));
    return view_new(mem, m->options.nodes_max, &m->view);
}

/* ---- readiness ---------------------------------------------------------------------------- */

static void start_end(struct mount *m, enum err err, struct span text)
{
    if (m->start != START_WAITING) {
        return;
    }
    m->start = err == ERR_OK ? START_DONE : START_FAILED;
    timers_cancel(&m->timers, &m->start_timer);
    uint8_t *copy = effect_scratch(m, text.size);
    memcpy(copy, text.data, text.size);
    struct mount_effect *effect = effect_push(m, MOUNT_READY);
    effect->ready.err = err;
    effect->ready.text = span_of(copy, text.size);
    op_start_done(m);
}

static void start_fail(struct mount *m, enum err err, struct span text)
{
    struct span said = text.size > 0 ? text : span_text(err_text(err));
    MARK(m, "mount.start.failed");
    start_end(m, err, said);
}

static void check_ready(struct mount *m)
{
    if (m->dataset_known && m->ring != NULL && ring_count(m->ring) > 0) {
        start_end(m, ERR_OK, span_text("ready"));
    }
}

/* A reason that may explain later why we did not start. */
static void start_note(struct mount *m, enum err err, struct span said)
{
    struct text text;
    text_init(&text, m->start_text, sizeof m->start_text);
    text_span(&text, said);
    m->start_err = err;
}

void cluster_start_timer(struct mount *m)
{
    if (m->start_err != ERR_OK) {
        start_fail(m, m->start_err, span_text(m->start_text));
        return;
    }
    char line[256];
    struct text text;
    text_init(&text, line, sizeof line);
    if (peer_ready_count(m) == 0) {
        text_str(&text, "no node of the cluster answered at the seeds: check that they are nodes' "
                        "control addresses, that a node runs there, and that the keys are its "
                        "cluster's");
    } else if (!m->dataset_known) {
        text_str(&text, "the nodes do not answer when asked for the dataset");
    } else {
        text_str(&text, "no node owns anything in the pool of the dataset (selector \"");
        text_str(&text, m->dataset.selector);
        text_str(&text, "\")");
    }
    start_fail(m, ERR_UNREACHABLE, span_of(line, text.used));
}

bool cluster_on_refused(struct mount *m, enum err err, struct span text)
{
    struct span said = text.size > 0 ? text : span_text(err_text(err));
    start_note(m, err, said);
    bool final = err == ERR_UNAUTHENTICATED || err == ERR_DENIED || err == ERR_VERSION;
    if (final && m->start == START_WAITING) {
        start_fail(m, err, said);
    }
    return final;
}

/* ---- view and ring ------------------------------------------------------------------------- */

static void view_get(struct mount *m, struct peer *peer, bool subscribe)
{
    struct message message = { .kind = MESSAGE_VIEW_GET };
    message.view_get.digest = view_digest(m->view);
    message.view_get.subscribe = subscribe;
    peer->subscribed = peer->subscribed || subscribe;
    peer_post(m, peer, LINK_CONTROL, &message);
}

static void subscribe(struct mount *m)
{
    uint32_t count = 0;
    for (struct list *at = m->peer_list.next; at != &m->peer_list; at = at->next) {
        count += CONTAINER_OF(at, struct peer, all)->subscribed;
    }
    for (struct list *at = m->peer_list.next; at != &m->peer_list; at = at->next) {
        struct peer *peer = CONTAINER_OF(at, struct peer, all);
        if (count < SUBSCRIPTIONS && !peer->subscribed && peer_is_ready(peer, LINK_CONTROL)) {
            view_get(m, peer, true);
            count++;
        }
    }
}

static void build(struct mount *m)
{
    uint32_t count = 0;
    const struct member *members = view_members(m->view, &count);
    if (!m->ring_dirty || m->ring_id != 0 || !m->dataset_known || count == 0) {
        return;
    }
    m->ring_dirty = false;
    m->ring_id = ++m->ring_next;
    struct mount_effect *effect = effect_push(m, MOUNT_RING_BUILD);
    effect->ring_build.id = m->ring_id;
    effect->ring_build.selector = span_text(m->dataset.selector);
    effect->ring_build.members = members;
    effect->ring_build.count = count;
    effect->ring_build.slots_log2 = m->slots_log2;
    effect->ring_build.previous = m->ring;
}

static bool is_living(const struct member *member)
{
    return member->state == MEMBER_WARMING || member->state == MEMBER_OWNING ||
           member->state == MEMBER_LEAVING;
}

/* A member that the cluster has forgotten altogether, while we missed its death. */
static bool is_forgotten(const struct mount *m, const struct member *member)
{
    const struct peer *peer = peer_known(m, member->id);
    if (!is_living(member) || peer == NULL || peer->seen == m->views) {
        return false;
    }
    const struct peer_link *link = &peer->links[LINK_CONTROL];
    return link->state != LINK_READY && m->now.mono_us - peer->ready_us >= FORGET_US;
}

static bool forget_some(struct mount *m)
{
    uint32_t count = 0;
    const struct member *members = view_members(m->view, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (is_forgotten(m, &members[i])) {
            MARK(m, "mount.view.forgotten");
            struct member gone = members[i];
            gone.state = MEMBER_DEAD; /* it must have been, before its tombstone went */
            view_merge(m->view, &gone, NULL);
            view_forget(m->view, gone.id);
            return true;
        }
    }
    return false;
}

/* One record into our view; true: it changed. */
static bool merge(struct mount *m, const struct member *member)
{
    const struct member *before = view_find(m->view, member->id);
    bool lived = before != NULL && is_living(before);
    bool changed = view_merge(m->view, member, NULL);
    if (changed && lived && !is_living(member)) {
        m->died_us = m->now.mono_us;
    }
    return changed;
}

/* A node that was cut off calls others dead, and may be gone before they hear of it and refute:
 * then only we believe it. What a node says of the living holds when no death is news any more. */
static bool revive_some(struct mount *m, const struct message_view *view)
{
    bool changed = false;
    struct span from = view->members;
    struct member member;
    if (m->now.mono_us - m->died_us < REVIVE_US) {
        return false;
    }
    while (from.size > 0 && member_decode(&from, &member) == ERR_OK) {
        const struct member *ours = view_find(m->view, member.id);
        if (is_living(&member) && ours != NULL && !is_living(ours) &&
            ours->incarnation == member.incarnation) {
            MARK(m, "mount.view.revived");
            view_forget(m->view, member.id);
            view_merge(m->view, &member, NULL);
            changed = true;
        }
    }
    return changed;
}

void cluster_on_view(struct mount *m, const struct message_view *view)
{
    bool changed = false;
    struct span from = view->members;
    if (view->slots_log2 != 0) {
        m->slots_log2 = (uint32_t)view->slots_log2;
    }
    m->views++;
    while (from.size > 0) {
        struct member member;
        enum err err = member_decode(&from, &member);
        if (err != ERR_OK) {
            MARK(m, "mount.view.malformed");
            break;
        }
        changed = merge(m, &member) || changed;
        struct peer *peer = peer_known(m, member.id);
        if (peer != NULL) {
            peer->seen = m->views;
        }
    }
    bool differs = view->members.size > 0 && view_digest(m->view) != view->digest;
    if (differs && revive_some(m, view)) {
        changed = true;
    }
    while (differs && forget_some(m)) {
        changed = true;
    }
    if (changed) {
        m->ring_dirty = true;
        peer_on_view(m);
        build(m);
    }
}

void cluster_on_ring(struct mount *m, uint64_t id, const struct ring *ring)
{
    if (id != m->ring_id || ring == NULL) {
        MARK(m, "mount.ring.failed");
        if (ring != NULL) {
            effect_push(m, MOUNT_RING_DROP)->ring_drop.ring = ring;
        }
        if (id == m->ring_id) {
            m->ring_id = 0;
            m->ring_dirty = true;
            timers_set(&m->timers, &m->view_timer, m->now.mono_us + RING_AGAIN_US);
        }
        return;
    }
    if (m->ring != NULL) {
        effect_push(m, MOUNT_RING_DROP)->ring_drop.ring = m->ring;
    }
    m->ring = ring;
    m->ring_id = 0;
    m->totals.ring_digest = ring_digest(ring);
    build(m);
    check_ready(m);
    call_wake_stalled(m);
}

void cluster_compare(struct mount *m, struct peer *peer, uint64_t digest)
{
    if (digest != 0 && digest != view_digest(m->view) && peer_is_ready(peer, LINK_CONTROL)) {
        MARK(m, "mount.view.differs");
        view_get(m, peer, false);
    }
}

void cluster_on_peer_gone(struct mount *m, struct peer *peer)
{
    if (peer->subscribed) {
        peer->subscribed = false;
        timers_set(&m->timers, &m->view_timer, m->now.mono_us);
    }
}

void cluster_view_timer(struct mount *m)
{
    subscribe(m);
    struct peer *peer = peer_any(m);
    if (peer != NULL) {
        view_get(m, peer, false);
    }
    build(m);
    timers_set(&m->timers, &m->view_timer, m->now.mono_us + VIEW_EVERY_US);
}

/* ---- the dataset ------------------------------------------------------------------------------ */

static void ask(struct mount *m)
{
    struct peer *peer = peer_any(m);
    timers_set(&m->timers, &m->renew_timer, m->now.mono_us + ASK_AGAIN_US);
    if (peer == NULL) {
        return;
    }
    struct message message = { .kind = MESSAGE_DATASET_GET };
    m->dataset_number = ++m->next_number;
    message.dataset_get.request = m->dataset_number;
    message.dataset_get.name = span_text(m->options.dataset);
    peer_post(m, peer, LINK_CONTROL, &message);
}

void cluster_renew_timer(struct mount *m)
{
    ask(m);
}

void cluster_renew(struct mount *m)
{
    if (m->dataset_number == 0) {
        timers_set(&m->timers, &m->renew_timer, m->now.mono_us);
    }
}

void cluster_wants_totals(struct mount *m)
{
    if (m->now.mono_us - m->totals_us >= TOTALS_US && m->dataset_known) {
        m->totals_us = m->now.mono_us;
        cluster_renew(m);
    }
}

void cluster_on_welcome(struct mount *m, struct peer *peer, const struct message_welcome *welcome)
{
    if (welcome->slots_log2 != 0) {
        m->slots_log2 = (uint32_t)welcome->slots_log2;
    }
    peer->subscribed = false; /* whatever it knew of us went with the old link */
    subscribe(m);
    if (!m->dataset_known && m->dataset_number == 0) {
        ask(m);
    }
}

/* Why there is no dataset: in the node's words, but that one does not name what is not found. */
static void say_refused(const struct mount *m, enum err err, struct span said, struct text *out)
{
    if (err == ERR_NOT_FOUND) {
        text_str(out, "there is no dataset \"");
        text_str(out, m->options.dataset);
        text_str(out, "\" in this cluster; `atoll dataset list` on a node shows what there is");
        return;
    }
    text_span(out, said.size > 0 ? said : span_text(err_text(err)));
}

static void refused_dataset(struct mount *m, enum err err, struct span text)
{
    char line[384];
    struct text words;
    text_init(&words, line, sizeof line);
    say_refused(m, err, text, &words);
    struct span said = span_of(line, words.used);
    bool unknown = err == ERR_NOT_FOUND || err == ERR_BUSY;
    if (m->start == START_WAITING) {
        start_note(m, err, said);
        if (!unknown || ++m->dataset_misses >= UNKNOWN_MAX) {
            start_fail(m, err, said);
            return;
        }
        timers_set(&m->timers, &m->renew_timer, m->now.mono_us + UNKNOWN_AGAIN_US);
        return;
    }
    MARK(m, "mount.dataset.refused");
    text_init(&words, line, sizeof line);
    text_str(&words, "mount.dataset_refused err=");
    text_str(&words, err_name(err));
    effect_log(m, 1, &words);
    timers_set(&m->timers, &m->renew_timer, m->now.mono_us + RENEW_EVERY_US / 6);
}

static bool is_same_shape(const struct dataset *a, const struct dataset *b)
{
    bool same = a->row_count == b->row_count && a->block_size == b->block_size &&
                strcmp(a->selector, b->selector) == 0;
    for (uint32_t i = 0; same && i < a->row_count; i++) {
        const struct dataset_row *x = &a->rows[i];
        const struct dataset_row *y = &b->rows[i];
        same = strcmp(x->path, y->path) == 0 && strcmp(x->prefix, y->prefix) == 0 &&
               source_id_equal(x->source, y->source);
    }
    return same;
}

static bool shows_something(struct mount *m)
{
    struct span prefix = span_text(m->options.prefix);
    prefix.size -= prefix.size > 0;
    struct span below;
    return name_row(m, prefix) != ROW_NONE || name_below(m, inode_at(m, MOUNT_ROOT_INO), 0, &below);
}

static void adopt(struct mount *m, const struct dataset *dataset)
{
    if (m->dataset_known && !is_same_shape(&m->dataset, dataset)) {
        MARK(m, "mount.dataset.reshaped");
        char line[96];
        struct text log;
        text_init(&log, line, sizeof line);
        text_str(&log, "mount.dataset_changed what_to_do=\"mount it again\"");
        effect_log(m, 1, &log);
        return; /* what is open goes on as it was */
    }
    bool refreshed = m->dataset_known && m->dataset.refreshed != dataset->refreshed;
    m->dataset = *dataset;
    m->plain = dataset->row_count == 1 && dataset->rows[0].path[0] == '\0';
    if (refreshed) {
        MARK(m, "mount.dataset.refreshed");
        folder_expire_all(m);
        inode_expire_all(m);
    }
    if (m->dataset_known) {
        return;
    }
    m->dataset_known = true;
    m->ring_dirty = true;
    inode_root(m);
    if (!shows_something(m)) {
        start_fail(m, ERR_NOT_FOUND, span_text("the dataset shows nothing under that prefix"));
    }
}

void cluster_on_dataset(struct mount *m, const struct message_dataset *answer)
{
    if (m->dataset_number == 0) {
        return; /* another node was faster */
    }
    m->dataset_number = 0;
    m->renewals++;
    struct dataset dataset;
    enum err err = err_from_wire(answer->err);
    if (err == ERR_OK) {
        err = dataset_decode(answer->record, &dataset);
    }
    if (err == ERR_OK && (dataset.deleted || strcmp(dataset.name, m->options.dataset) != 0)) {
        err = ERR_NOT_FOUND;
    }
    if (err != ERR_OK) {
        refused_dataset(m, err, answer->text);
        return;
    }
    m->files = answer->files;
    m->bytes = answer->bytes;
    m->capability_size = (uint32_t)answer->capability.size;
    if (answer->capability.size > 0) {
        memcpy(m->capability, answer->capability.data, answer->capability.size);
    }
    usec_t due = RENEW_EVERY_US;
    if (m->capability_size > 0 && answer->capability_us < 2 * (uint64_t)RENEW_EVERY_US) {
        due = (usec_t)answer->capability_us / 2;
    }
    timers_set(&m->timers, &m->renew_timer, m->now.mono_us + usec_max(due, ASK_AGAIN_US));
    adopt(m, &dataset);
    build(m);
    check_ready(m);
    call_wake_stalled(m);
}
