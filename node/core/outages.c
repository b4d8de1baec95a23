/* node/core/outages.c: the table of outages, and this node's own questions about them. */
#include "node/core/outages.h"

#include "node/core/lookup.h"
#include "node/core/meta.h"
#include "node/core/snapshot.h"

void outages_init(struct outages *outages)
{
    outages->timer.kind = TIMER_OUTAGES;
}

static struct outages *table(const struct node *node)
{
    return &node->meta->outages;
}

/* ---- what a failure says ----------------------------------------------------------------- */

/* Of the source, and not of one object or of this node. */
static bool is_telling(enum err err)
{
    return err == ERR_SOURCE_DENIED || err == ERR_SOURCE_NOT_FOUND ||
           err == ERR_SOURCE_UNREACHABLE || err == ERR_SOURCE_THROTTLED ||
           err == ERR_SOURCE_PROTOCOL || err == ERR_SOURCE_NOT_ALLOWED ||
           err == ERR_NO_CREDENTIAL || err == ERR_INVALID || err == ERR_TIMEOUT ||
           err == ERR_SYSTEM;
}

/* May the next attempt end differently, though nobody does anything? */
static bool may_pass(enum err err)
{
    return err == ERR_SOURCE_UNREACHABLE || err == ERR_SOURCE_THROTTLED ||
           err == ERR_SOURCE_PROTOCOL || err == ERR_TIMEOUT || err == ERR_SYSTEM;
}

/* A request of either kind that went well disproves it. */
static bool is_of_both(enum err err)
{
    return err != ERR_SOURCE_DENIED && err != ERR_SOURCE_PROTOCOL && err != ERR_SYSTEM;
}

const char *outage_advice(enum err err)
{
    if (err == ERR_SOURCE_DENIED) {
        return "correct the credential's file on the nodes (it counts at once), or what its key "
               "may list and read";
    }
    if (err == ERR_NO_CREDENTIAL) {
        return "put a file of that name into --credentials-dir of the node (it counts at once)";
    }
    if (err == ERR_SOURCE_NOT_FOUND) {
        return "check that the bucket or directory is still there; else delete the dataset";
    }
    if (err == ERR_SOURCE_UNREACHABLE || err == ERR_TIMEOUT) {
        return "check the endpoint, and the network of the node to it; Atoll goes on trying";
    }
    if (err == ERR_SOURCE_THROTTLED) {
        return "Atoll goes on, slower; ask the store's owner for a higher limit";
    }
    if (err == ERR_SOURCE_NOT_ALLOWED) {
        return "start the node with --allow-root for that directory, or use another endpoint";
    }
    if (err == ERR_SYSTEM) {
        return "check the disk or file system below that directory, and the node's limits";
    }
    return "check the URI, the endpoint and the region; create the dataset again";
}

const char *outage_word(enum outage_kind kind)
{
    switch (kind) {
    case OUTAGE_LIST:
        return "list";
    case OUTAGE_READ:
        return "read";
    }
    BUG("an outage of no kind");
}

/* ---- the table --------------------------------------------------------------------------- */

static struct outage *find(const struct node *node, const struct outage_about *about)
{
    for (uint32_t i = 0; i < OUTAGES_MAX; i++) {
        struct outage *outage = &table(node)->of[i];
        if (outage->in_use && outage->kind == about->kind &&
            dataset_id_equal(outage->dataset, about->dataset) &&
            source_id_equal(outage->source, about->source)) {
            return outage;
        }
    }
    return NULL;
}

static struct outage *take(struct node *node, const struct outage_about *about)
{
    for (uint32_t i = 0; i < OUTAGES_MAX; i++) {
        struct outage *outage = &table(node)->of[i];
        if (!outage->in_use) {
            *outage = (struct outage){ .in_use = true,
                                       .kind = about->kind,
                                       .dataset = about->dataset,
                                       .source = about->source,
                                       .since_us = node->now.wall_us,
                                       .began_us = node->now.mono_us };
            table(node)->count++;
            return outage;
        }
    }
    MARK(node, "outages.full");
    return NULL;
}

static void drop(struct node *node, struct outage *outage)
{
    io_forget(node, outage->io);
    outage->in_use = false;
    CHECK(table(node)->count > 0);
    table(node)->count--;
}

static const struct dataset_row *row_of(const struct node *node, const struct outage *outage)
{
    const struct dataset *dataset = catalog_find(node, outage->dataset);
    return dataset == NULL ? NULL : catalog_row(dataset, outage->source);
}

static bool is_shown(const struct node *node, const struct outage *outage)
{
    return outage->in_use && row_of(node, outage) != NULL &&
           (!may_pass(outage->err) || outage_age_us(node, outage) >= OUTAGE_SHOW_US);
}

usec_t outage_age_us(const struct node *node, const struct outage *outage)
{
    return node->now.mono_us - outage->began_us;
}

const struct outage *outages_next(const struct node *node, const struct outage *after)
{
    const struct outages *outages = table(node);
    const struct outage *at = after == NULL ? outages->of : after + 1;
    for (; at < outages->of + OUTAGES_MAX; at++) {
        if (is_shown(node, at)) {
            return at;
        }
    }
    return NULL;
}

uint32_t outages_shown(const struct node *node)
{
    uint32_t count = 0;
    const struct outage *outage = outages_next(node, NULL);
    for (; outage != NULL; outage = outages_next(node, outage)) {
        count++;
    }
    return count;
}

/* ---- the log ----------------------------------------------------------------------------- */

static void log_outage(struct node *node, const struct outage *outage, bool over)
{
    char line[1024];
    struct text text;
    const struct dataset_row *row = row_of(node, outage);
    if (row == NULL) {
        return;
    }
    text_init(&text, line, sizeof line);
    text_str(&text, over ? "source.well dataset=" : "source.failing dataset=");
    text_str(&text, catalog_find(node, outage->dataset)->name);
    text_str(&text, " requests=");
    text_str(&text, outage_word(outage->kind));
    text_str(&text, " source=");
    text_json(&text, span_text(row->uri));
    text_str(&text, " credential=");
    text_json(&text, span_text(row->credential));
    text_str(&text, " err=");
    text_str(&text, err_name(outage->err));
    text_str(&text, " failures=");
    text_u64(&text, outage->failures);
    if (!over && outage->said_size > 0) {
        text_str(&text, " said=");
        text_json(&text, span_of(outage->said, outage->said_size));
    }
    node_log(node, over ? LOG_INFO : LOG_WARN, &text);
}

static void log_once(struct node *node, struct outage *outage)
{
    if (!outage->logged && is_shown(node, outage)) {
        outage->logged = true;
        log_outage(node, outage, false);
    }
}

/* ---- beginning and end ------------------------------------------------------------------- */

static usec_t due_us(const struct outage *outage)
{
    bool early = outage->asked_us - outage->began_us < OUTAGE_FIRST_US;
    return outage->asked_us + (early ? OUTAGE_FIRST_US : OUTAGE_AGAIN_US);
}

static void set_timer(struct node *node)
{
    struct outages *outages = table(node);
    usec_t next_us = USEC_NEVER;
    for (uint32_t i = 0; i < OUTAGES_MAX; i++) {
        const struct outage *outage = &outages->of[i];
        if (outage->in_use && outage->io == 0) {
            next_us = usec_min(next_us, due_us(outage));
        }
        if (outage->in_use && !outage->logged && may_pass(outage->err)) {
            next_us = usec_min(next_us, outage->began_us + OUTAGE_SHOW_US);
        }
    }
    timers_cancel(&node->timers, &outages->timer);
    if (next_us != USEC_NEVER) {
        timers_set(&node->timers, &outages->timer, next_us);
    }
}

static void end_outage(struct node *node, struct outage *outage)
{
    MARK(node, "outage.over");
    if (outage->logged) {
        log_outage(node, outage, true);
    }
    drop(node, outage);
}

static void note_well(struct node *node, const struct outage_about *about)
{
    for (uint32_t i = 0; i < OUTAGES_MAX; i++) {
        struct outage *outage = &table(node)->of[i];
        if (outage->in_use && dataset_id_equal(outage->dataset, about->dataset) &&
            source_id_equal(outage->source, about->source) &&
            (outage->kind == about->kind || is_of_both(outage->err))) {
            end_outage(node, outage);
        }
    }
}

/* On one line. */
static void keep_said(struct outage *outage, const struct outage_end *end)
{
    const struct span said = end->said;
    size_t size = said.size < OUTAGE_SAID_MAX ? said.size : OUTAGE_SAID_MAX;
    for (size_t i = 0; i < size; i++) {
        outage->said[i] = said.data[i] < ' ' ? ' ' : (char)said.data[i];
    }
    outage->said_size = (uint32_t)size;
    outage->mute = end->mute;
}

/* The words stay with the failure they belong to. */
static bool has_better_words(const struct outage *outage, const struct outage_end *end)
{
    return outage->err == end->err && outage->said_size > 0 && !outage->mute &&
           (end->mute || end->said.size == 0);
}

static void note_failure(struct node *node, const struct outage_about *about,
                         const struct outage_end *end)
{
    struct outage *outage = find(node, about);
    if (outage == NULL) {
        outage = take(node, about);
    }
    if (outage == NULL) {
        return;
    }
    if (!has_better_words(outage, end)) {
        keep_said(outage, end);
    }
    outage->err = end->err;
    outage->last_us = node->now.wall_us;
    outage->asked_us = node->now.mono_us;
    outage->failures++;
    if (about->key.size <= sizeof outage->key) {
        /* The key may be the outage's own. */
        memmove(outage->key, about->key.size > 0 ? about->key.data : outage->key, about->key.size);
        outage->key_size = (uint32_t)about->key.size;
    }
    log_once(node, outage);
}

void outages_note(struct node *node, const struct outage_about *about, const struct outage_end *end)
{
    if (end->err == ERR_OK && table(node)->count > 0) {
        note_well(node, about);
        set_timer(node);
    } else if (is_telling(end->err)) {
        note_failure(node, about, end);
        set_timer(node);
    }
}

void outages_on_fetched(struct node *node, const struct object *object,
                        const struct node_event *event)
{
    const struct outage_about about = { .kind = OUTAGE_READ,
                                        .dataset = object->dataset,
                                        .source = object->source,
                                        .key = object_key(object) };
    const struct outage_end end = { .err = event->fetched.err, .said = event->fetched.text };
    outages_note(node, &about, &end);
}

static struct outage_end end_of(const struct node_event *event)
{
    return (struct outage_end){ .err = event->listed.err,
                                .said = event->listed.text,
                                .mute = event->listed.mute };
}

void outages_on_listed(struct node *node, const struct io_for *of, const struct node_event *event)
{
    uint8_t key[OUTAGE_KEY_MAX + ENTRY_NAME_MAX];
    struct outage_end end = end_of(event);
    if (of->kind != IO_BUILD_LIST && of->kind != IO_PROBE_LIST && of->kind != IO_PROBE_HEAD) {
        return;
    }
    const struct snapshot *snapshot = of->owner;
    const struct work *work = snapshot->work;
    struct outage_about about = { .kind = OUTAGE_LIST,
                                  .dataset = work->dataset,
                                  .source = work->source,
                                  .key = span_of(work->prefix, work->prefix_size) };
    if (of->kind == IO_PROBE_HEAD) {
        const struct lookup *lookup = &snapshot->lookups.of[of->tag];
        memcpy(key, work->prefix, work->prefix_size);
        memcpy(key + work->prefix_size, lookup->name, lookup->name_size);
        about.kind = OUTAGE_READ;
        about.key = span_of(key, work->prefix_size + lookup->name_size);
        end.err =
            end.err == ERR_SOURCE_NOT_FOUND ? ERR_NOT_FOUND : end.err; /* an ordinary outcome */
    }
    outages_note(node, &about, &end);
}

/* ---- this node's own questions ----------------------------------------------------------- */

/* Whether a bucket is there only a listing tells. */
static bool asks_by_head(const struct outage *outage)
{
    return outage->kind == OUTAGE_READ && outage->err != ERR_SOURCE_NOT_FOUND &&
           outage->key_size > 0;
}

static void ask(struct node *node, struct outage *outage)
{
    const struct dataset *dataset = catalog_find(node, outage->dataset);
    const struct io_for of = { .kind = IO_OUTAGE, .owner = outage };
    struct span key = span_of(outage->key, outage->key_size);
    const struct io_list list = { .source = outage->source, .prefix = key, .limit = 1 };
    outage->asked_us = node->now.mono_us;
    if (!catalog_has_credential(node, row_of(node, outage))) {
        return; /* as before */
    }
    enum err err = catalog_source_use(node, dataset, outage->source);
    CHECK(err == ERR_OK);
    MARK(node, "outage.asked");
    outage->io =
        asks_by_head(outage) ? io_head(node, &of, outage->source, key) : io_list(node, &of, &list);
}

void outages_on_answer(struct node *node, struct outage *outage, const struct node_event *event)
{
    const struct outage_about about = { .kind = outage->kind,
                                        .dataset = outage->dataset,
                                        .source = outage->source,
                                        .key = span_of(outage->key, outage->key_size) };
    struct outage_end end = end_of(event);
    if (asks_by_head(outage) && end.err == ERR_SOURCE_NOT_FOUND) {
        end.err = ERR_OK; /* one object is gone */
    }
    outage->io = 0;
    outages_note(node, &about, &end);
    set_timer(node); /* also where the answer said nothing */
}

static void look(struct node *node, struct outage *outage)
{
    if (row_of(node, outage) == NULL) {
        MARK(node, "outage.dataset.gone");
        drop(node, outage);
        return;
    }
    log_once(node, outage);
    if (outage->io == 0 && due_us(outage) <= node->now.mono_us && effects_roomy(node, 0)) {
        ask(node, outage);
    }
}

void outages_on_timer(struct node *node)
{
    for (uint32_t i = 0; i < OUTAGES_MAX; i++) {
        if (table(node)->of[i].in_use) {
            look(node, &table(node)->of[i]);
        }
    }
    set_timer(node);
}

void outages_try_again(struct node *node)
{
    for (uint32_t i = 0; i < OUTAGES_MAX; i++) {
        struct outage *outage = &table(node)->of[i];
        if (outage->in_use &&
            (outage->err == ERR_SOURCE_DENIED || outage->err == ERR_NO_CREDENTIAL)) {
            outage->asked_us = node->now.mono_us - OUTAGE_AGAIN_US;
        }
    }
    set_timer(node);
}
