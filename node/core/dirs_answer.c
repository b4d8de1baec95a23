/* node/core/dirs_answer.c: requests for directories: taken, judged, answered, passed on. */
#include "node/core/dirs.h"

#include "node/core/lookup.h"
#include "node/core/meta.h"
#include "node/core/report_gather.h"
#include "node/core/snapshot.h"

#define NEWER_MOST_US (24 * (uint64_t)SEC(3600)) /* a generation is a time: not of next week */

/* ---- fresh enough ------------------------------------------------------------------------ */

/* Time that the policy leaves what was checked then. */
static usec_t time_left(const struct node *node, const struct dir *dir,
                        const struct dataset *dataset)
{
    usec_t age = node->now.mono_us - dir->aged_from_us;
    switch (dataset->policy) {
    case METADATA_ONCE:
        return DIR_ONCE_US;
    case METADATA_TTL:
        return usec_max(0, dataset->ttl_us - age);
    case METADATA_ALWAYS:
        return 0;
    }
    BUG("a policy that is none");
}

bool dirs_is_fresh(const struct node *node, const struct dir *dir, const struct meta_ask *ask)
{
    const struct dataset *dataset = catalog_find(node, ask->dataset);
    if (!dir->known || dataset == NULL || dir->checked_us < dataset->refreshed ||
        dir->generation <= ask->generation) {
        return false;
    }
    bool listed_for_it = dir->listed_us != 0 && dir->listed_us >= ask->asked_us;
    return listed_for_it || time_left(node, dir, dataset) > 0;
}

/* ---- answers ----------------------------------------------------------------------------- */

static void send_root(struct node *node, struct meta_ask *ask, struct span root, usec_t fresh_us)
{
    struct message message = {
        .kind = MESSAGE_DIR_ROOT,
        .dir_root = { .request = ask->ask.request, .root = root, .fresh_us = (uint64_t)fresh_us }
    };
    node_send(node, ask->ask.link, &message, (struct payload){ 0 });
    meta_ask_end(node, ask);
}

/* The root of a dataset is a directory also when there is no key below it. */
static bool is_dataset_root(const struct dataset *dataset, const struct work *work)
{
    struct span prefix = span_of(work->prefix, work->prefix_size);
    for (uint32_t i = 0; i < dataset->row_count; i++) {
        if (source_id_equal(dataset->rows[i].source, work->source) &&
            span_equal(span_text(dataset->rows[i].prefix), prefix)) {
            return true;
        }
    }
    return false;
}

static void answer_empty(struct node *node, struct dir *dir, struct meta_ask *ask, usec_t fresh_us)
{
    struct root_writer writer;
    uint8_t *buffer = scratch_take(node, DIR_EMPTY_ROOT_SIZE);
    struct root_head head = { .dir = dir->work->id,
                              .generation = dir->generation,
                              .listed_wall_us = (int64_t)dir->checked_us,
                              .digest = SNAPSHOT_EXISTS };
    struct span prefix = span_of(dir->work->prefix, dir->work->prefix_size);
    enum err err = root_writer_init(&writer, buffer, DIR_EMPTY_ROOT_SIZE, prefix);
    CHECK(err == ERR_OK);
    send_root(node, ask, span_of(buffer, root_writer_end(&writer, &head)), fresh_us);
}

/* For this node itself: an operator's refresh, or a question that needs the root. */
static void answer_admin(struct node *node, struct meta_ask *ask, struct span root)
{
    struct gather *gather = ask->owner;
    uint64_t admin = ask->admin;
    ask->owner = NULL;
    meta_ask_end(node, ask);
    if (gather != NULL) {
        report_on_root(node, gather, root);
    } else {
        report_line(node, admin, "relisted", "true");
    }
}

bool dirs_answer(struct node *node, struct dir *dir, struct meta_ask *ask, bool *later)
{
    const struct dataset *dataset = catalog_find(node, ask->dataset);
    CHECK(dataset != NULL && dir->known);
    usec_t fresh_us = time_left(node, dir, dataset);
    size_t size = dir->exists ? dir->root_size : DIR_EMPTY_ROOT_SIZE;
    *later = false;
    if (dir->exists && dir->root == NULL) {
        return false;
    }
    if (!effects_roomy(node, size + DIR_EMPTY_ROOT_SIZE)) {
        *later = true;
        return false;
    }
    dirs_count_for(node, dir, ask->dataset);
    if (ask->admin != 0) {
        answer_admin(node, ask,
                     dir->exists ? span_of(dir->root->data, dir->root_size) : span_of(NULL, 0));
    } else if (dir->exists) {
        buffer_touch(dir->root);
        send_root(node, ask, span_of(dir->root->data, dir->root_size), fresh_us);
    } else if (dir->work != NULL && is_dataset_root(dataset, dir->work)) {
        answer_empty(node, dir, ask, fresh_us);
    } else if (dir->work != NULL) {
        meta_ask_fail(node, ask, ERR_NOT_FOUND, span_of(NULL, 0));
    } else {
        return false; /* which directory it is must be known first */
    }
    return true;
}

void dirs_answer_entry(struct node *node, struct work *work, struct meta_ask *ask,
                       const struct entry *entry)
{
    const struct dataset *dataset = catalog_find(node, ask->dataset);
    size_t used = 0;
    struct message message = { .kind = MESSAGE_DIR_ROOT,
                               .dir_root = { .request = ask->ask.request, .absent = 1 } };
    CHECK(ask->admin == 0 && work->is_set);
    if (dataset != NULL) { /* what was looked up just now is as fresh as it gets */
        struct dir just = { .aged_from_us = node->now.mono_us };
        message.dir_root.fresh_us = (uint64_t)time_left(node, &just, dataset);
    }
    if (entry != NULL) {
        uint8_t *buffer = scratch_take(node, ENTRY_SIZE_MAX);
        enum err err = entry_encode(entry, buffer, ENTRY_SIZE_MAX, &used);
        CHECK(err == ERR_OK);
        message.dir_root.entry = span_of(buffer, used);
        message.dir_root.absent = 0;
    }
    node_send(node, ask->ask.link, &message, (struct payload){ 0 });
    meta_ask_end(node, ask);
}

/* ---- DIR_GET ----------------------------------------------------------------------------- */

static bool is_valid(const struct node *node, const struct message_dir_get *get)
{
    uint64_t newest = (uint64_t)node->now.wall_us + NEWER_MOST_US;
    bool prefix = get->prefix.size == 0 || (get->prefix.size <= DIR_PREFIX_MAX &&
                                            get->prefix.data[get->prefix.size - 1] == '/');
    return prefix && get->mode <= GET_ACTING && get->hops <= 1 && get->newer_than <= newest &&
           get->silent.size % ID_SIZE == 0;
}

static void fill_ask(struct meta_ask *ask, const struct message_dir_get *get)
{
    memcpy(ask->dataset.b, get->dataset, ID_SIZE);
    ask->generation = get->newer_than;
    ask->mode = (enum get_mode)get->mode;
    ask->hops = (uint32_t)get->hops;
    ask->trace = get->trace;
    ask->name_size = (uint32_t)get->name.size;
    if (get->name.size > 0) {
        memcpy(ask->name, get->name.data, get->name.size);
    }
    for (size_t at = 0; at < get->silent.size && ask->silent_count < META_SILENT_MAX;
         at += ID_SIZE) {
        memcpy(ask->silent[ask->silent_count++].b, get->silent.data + at, ID_SIZE);
    }
}

static void set_work(struct work *work, struct dir_id id, struct source_id source,
                     struct span prefix)
{
    if (work->is_set) {
        return;
    }
    CHECK(prefix.size <= DIR_PREFIX_MAX);
    work->is_set = true;
    work->id = id;
    work->source = source;
    work->prefix_size = (uint32_t)prefix.size;
    if (prefix.size > 0) {
        memcpy(work->prefix, prefix.data, prefix.size);
    }
}

/* Into the work of its directory; the ask is answered or waits there. */
static void put_to_work(struct node *node, struct meta_ask *ask, const struct dir_about *about)
{
    struct dir_id id = dir_id_make(about->source, about->prefix);
    struct dir *dir = dirs_take(node, dirs_key(id, about->selector));
    bool later;
    if (dir != NULL && dir->work == NULL && dirs_is_fresh(node, dir, ask) &&
        dirs_answer(node, dir, ask, &later)) {
        return;
    }
    struct work *work = dir == NULL ? NULL : work_take(node, dir);
    if (work == NULL) {
        meta_ask_fail(node, ask, ERR_BUSY, span_of(NULL, 0));
        return;
    }
    set_work(work, id, about->source, about->prefix);
    work_set_selector(work, about->selector);
    work_add(node, work, ask);
}

void dirs_on_get(struct node *node, struct link *link, const struct message_dir_get *get)
{
    struct access access = { .key = get->prefix, .capability = get->capability };
    node->metrics.directory_gets++;
    memcpy(access.dataset.b, get->dataset, ID_SIZE);
    memcpy(access.source.b, get->source, ID_SIZE);
    if (!is_valid(node, get)) {
        MARK(node, "dirs.get.invalid");
        ask_refuse(node, link, get->request, ERR_INVALID, 0);
        return;
    }
    enum err err = session_admits(node, link->session, &access);
    if (err != ERR_OK) {
        MARK(node, "dirs.get.refused");
        ask_refuse(node, link, get->request, err, 0);
        return;
    }
    const struct dataset *dataset = catalog_find(node, access.dataset);
    CHECK(dataset != NULL); /* it admitted */
    if (get->name.size > 0 && !entry_name_is_valid(get->name)) {
        MARK(node, "dirs.get.name");
        struct message message = {
            .kind = MESSAGE_DIR_ROOT,
            .dir_root = { .request = get->request, .fresh_us = (uint64_t)DIR_ONCE_US, .absent = 1 }
        };
        node_send(node, link->id, &message, (struct payload){ 0 });
        return;
    }
    struct meta_ask *ask = meta_ask_open(node, link, META_ASK_DIR, get->request, get->remaining_us);
    if (ask == NULL) {
        return; /* told already */
    }
    fill_ask(ask, get);
    struct dir_about about = { .source = access.source,
                               .prefix = get->prefix,
                               .selector = span_text(dataset->selector) };
    put_to_work(node, ask, &about);
}

void dirs_refresh(struct node *node, const struct dataset *dataset, struct span path,
                  uint64_t admin)
{
    char key[DIR_PREFIX_MAX + 1];
    struct text text;
    const struct dataset_row *row = dataset_row_of(dataset, path);
    text_init(&text, key, sizeof key);
    if (row == NULL || !dataset_key_of(row, path, &text)) {
        report_error(node, admin, ERR_NOT_FOUND, "the dataset shows no such path");
        return;
    }
    if (path.size > strlen(row->path)) {
        text_char(&text, '/');
    }
    struct meta_ask *ask = text.overflow ? NULL : meta_ask_admin(node, META_ASK_DIR, admin);
    if (ask == NULL) {
        report_error(node, admin, ERR_BUSY, "too many requests at the moment: try again");
        return;
    }
    ask->dataset = dataset_id_make(span_text(dataset->name));
    ask->generation = (uint64_t)node->now.wall_us;
    struct dir_about about = { .source = row->source,
                               .prefix = span_of(key, text.used),
                               .selector = span_text(dataset->selector) };
    put_to_work(node, ask, &about);
}

struct meta_ask *dirs_root_ask(struct node *node, struct dataset_id dataset, struct gather *gather)
{
    struct meta_ask *ask = meta_ask_admin(node, META_ASK_DIR, gather->admin);
    if (ask != NULL) {
        ask->dataset = dataset;
        ask->owner = gather;
    }
    return ask;
}

void dirs_root_find(struct node *node, struct meta_ask *ask, const struct dir_about *about)
{
    put_to_work(node, ask, about);
}

void dirs_on_root_get(struct node *node, struct link *link, const struct message_root_get *get)
{
    struct dir_id key;
    memcpy(key.b, get->dir, ID_SIZE);
    if (link->session->role != WIRE_NODE) {
        MARK(node, "dirs.root.refused");
        ask_refuse(node, link, get->request, ERR_DENIED, 0);
        return;
    }
    struct meta_ask *ask =
        meta_ask_open(node, link, META_ASK_ROOT, get->request, (uint64_t)SEC(10));
    if (ask == NULL) {
        return;
    }
    ask->generation = get->generation;
    struct dir *dir = dirs_take(node, key);
    struct work *work = dir == NULL ? NULL : work_take(node, dir);
    if (work == NULL) {
        meta_ask_fail(node, ask, ERR_BUSY, span_of(NULL, 0));
        return;
    }
    work_add(node, work, ask);
}

void dirs_on_gone(struct node *node, struct meta_ask *ask)
{
    MARK(node, "dirs.ask.gone");
    list_remove(&ask->waiting);
    call_cancel(node, ask->call, true);
    meta_ask_end(node, ask);
}

/* ---- passing on -------------------------------------------------------------------------- */

void dirs_forward(struct node *node, struct work *work, struct meta_ask *ask, struct node_id owner)
{
    usec_t remaining = ask->admin != 0 ? DIR_ADMIN_US : ask_remaining(node, &ask->ask);
    struct message message = {
        .kind = MESSAGE_DIR_GET,
        .dir_get = { .mode = GET_FORWARDED,
                     .prefix = span_of(work->prefix, work->prefix_size),
                     .name = span_of(ask->name, ask->name_size),
                     .newer_than = ask->generation,
                     .remaining_us = (uint64_t)remaining,
                     .hops = ask->hops + 1,
                     .trace = ask->trace },
    };
    struct call_options options = { .kind = CALL_DIR_FORWARD,
                                    .own_signs = true,
                                    .purpose = LINK_CONTROL,
                                    .deadline_us = node->now.mono_us + remaining,
                                    .owner = ask };
    memcpy(message.dir_get.source, work->source.b, ID_SIZE);
    memcpy(message.dir_get.dataset, ask->dataset.b, ID_SIZE);
    MARK(node, "dirs.forward");
    list_remove(&ask->waiting);
    ask->call = call_start(node, owner, &message, &options);
    if (ask->call == 0) {
        MARK(node, "dirs.forward.no_link");
        meta_ask_fail(node, ask, ERR_UNREACHABLE, span_of(NULL, 0));
    }
}

enum call_more dirs_on_forwarded(struct node *node, struct meta_ask *ask,
                                 const struct message *message)
{
    ask->call = 0;
    if (message->kind == MESSAGE_FAIL) {
        enum err err = err_from_wire(message->fail.err);
        err = err == ERR_OK ? ERR_MALFORMED : err;
        meta_ask_fail(node, ask, err, message->fail.text);
        return CALL_DONE;
    }
    if (message->kind != MESSAGE_DIR_ROOT) {
        MARK(node, "dirs.forward.wrong");
        meta_ask_fail(node, ask, ERR_MALFORMED, span_of(NULL, 0));
        return CALL_DONE;
    }
    if (ask->admin != 0) {
        answer_admin(node, ask, message->dir_root.root);
        return CALL_DONE;
    }
    if (!effects_roomy(node, message->dir_root.root.size + DIR_EMPTY_ROOT_SIZE)) {
        MARK(node, "dirs.forward.busy");
        meta_ask_fail(node, ask, ERR_BUSY, span_of(NULL, 0));
        return CALL_DONE;
    }
    struct message answer = *message;
    answer.dir_root.request = ask->ask.request;
    node_send(node, ask->ask.link, &answer, (struct payload){ 0 });
    meta_ask_end(node, ask);
    return CALL_DONE;
}
