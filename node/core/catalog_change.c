/* node/core/catalog_change.c: an operator creates, deletes or refreshes a dataset on this node. */
#include "node/core/catalog.h"

#include "node/core/meta.h"

#define PUSH_AGAIN_US MSEC(500)
#define ANSWER_MAX 1024u
#define DOUBTS_MAX 2304u /* a URI, a prefix, a selector and three sentences */

static void op_end(struct node *node, struct catalog_op *op)
{
    timers_cancel(&node->timers, &op->timer);
    io_forget(node, op->io);
    call_cancel(node, op->call, false);
    list_remove(&op->all);
    pool_give(&node->meta->catalog.ops, op);
}

static void op_fail(struct node *node, struct catalog_op *op, enum err err, const char *text)
{
    report_error(node, op->admin, err, text);
    op_end(node, op);
}

static struct catalog_op *op_new(struct node *node, enum catalog_change change, uint64_t admin)
{
    struct catalog *catalog = &node->meta->catalog;
    struct catalog_op *op = catalog->loaded ? pool_take(&catalog->ops) : NULL;
    if (op == NULL) {
        MARK(node, "catalog.ops.full");
        report_error(node, admin, ERR_BUSY,
                     catalog->loaded ? "too many changes at the same moment: try again"
                                     : "this node is still starting: try again");
        return NULL;
    }
    op->change = change;
    op->admin = admin;
    op->timer.kind = TIMER_CATALOG_OP;
    list_init(&op->all);
    list_push_back(&catalog->open, &op->all);
    return op;
}

/* ---- the reply --------------------------------------------------------------------------- */

static const char *change_word(enum catalog_change change)
{
    switch (change) {
    case CATALOG_CREATE:
        return "created";
    case CATALOG_DELETE:
        return "deleted";
    case CATALOG_REFRESH:
        return "refreshed";
    }
    BUG("a change that is none");
}

static bool has_pool(const struct node *node, const char *selector)
{
    uint32_t count;
    const struct member *members = view_members(node->rings.view, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (member_is_living(&members[i]) && selector_admits(span_text(selector), &members[i])) {
            return true;
        }
    }
    return false;
}

/* What a person may not have meant, of a dataset that is made all the same. */
static void put_doubts(struct node *node, const struct catalog_op *op, bool one_copy,
                       struct text *out)
{
    if (op->change == CATALOG_CREATE && op->empty_row > 0) {
        const struct dataset_row *row = &op->draft.rows[op->empty_row - 1];
        MARK(node, "catalog.empty");
        text_str(out, "there is nothing below ");
        text_str(out, row->uri);
        if (row->prefix[0] != 0 && out->data[out->used - 1] != '/') {
            text_char(out, '/');
        }
        text_str(out, row->prefix);
        text_str(out, " yet; is that the right prefix?");
    }
    if (op->change == CATALOG_CREATE && !has_pool(node, op->draft.selector)) {
        MARK(node, "catalog.no_pool");
        text_str(out, out->used > 0 ? "; " : "");
        text_str(out, "no node has the labels ");
        text_str(out, op->draft.selector);
        text_str(out, ", so that it cannot be mounted yet; see atoll nodes");
    }
    if (one_copy) {
        MARK(node, "catalog.one_copy");
        text_str(out, out->used > 0 ? "; " : "");
        text_str(out, "only one copy of this change is durable: no other node has acknowledged it "
                      "within 5 s; see atoll nodes");
    }
}

static void succeed(struct node *node, struct catalog_op *op, bool one_copy)
{
    char buffer[ANSWER_MAX + 6 * DOUBTS_MAX]; /* JSON may say a byte as \u0001 */
    char doubts[DOUBTS_MAX];
    struct text doubt;
    struct text text;
    text_init(&doubt, doubts, sizeof doubts);
    put_doubts(node, op, one_copy, &doubt);
    text_init(&text, buffer, sizeof buffer);
    text_str(&text, "{\"dataset\":");
    text_json(&text, span_text(op->draft.name));
    text_str(&text, ",\"change\":");
    text_json(&text, span_text(change_word(op->change)));
    text_str(&text, ",\"version\":");
    text_u64(&text, op->draft.version);
    if (op->empty_row > 0) {
        text_str(&text, ",\"empty\":true");
    }
    if (doubt.used > 0) {
        text_str(&text, ",\"warning\":");
        text_json(&text, span_of(doubts, doubt.used));
    }
    text_str(&text, "}");
    CHECK(!text.overflow);
    report_reply(node, op->admin, ERR_OK, &text);
    op_end(node, op);
}

/* ---- a second copy ----------------------------------------------------------------------- */

static bool was_tried(const struct catalog_op *op, struct node_id id)
{
    for (uint32_t i = 0; i < op->tried_count; i++) {
        if (node_id_equal(op->tried[i], id)) {
            return true;
        }
    }
    return false;
}

static bool push_to(struct node *node, struct catalog_op *op, struct node_id peer)
{
    struct message message = { .kind = MESSAGE_CATALOG_RECORD,
                               .catalog_record = { .record =
                                                       span_of(op->record, op->record_size) } };
    struct call_options options = { .kind = CALL_CATALOG_PUSH,
                                    .purpose = LINK_CONTROL,
                                    .deadline_us = op->give_up_us,
                                    .owner = op };
    op->call = call_start(node, peer, &message, &options);
    return op->call != 0;
}

/* Ask the next member that has not refused; when there is none now, try again a little later. */
static void push_next(struct node *node, struct catalog_op *op)
{
    struct peer *peer = NULL;
    if (rings_living(node) <= 1) {
        succeed(node, op, false); /* alone: one copy is all there can be */
        return;
    }
    while ((peer = peers_next_open(node, peer)) != NULL) {
        if (!was_tried(op, peer->id) && push_to(node, op, peer->id)) {
            return;
        }
    }
    op->tried_count = 0;
    usec_t again_us = node->now.mono_us + PUSH_AGAIN_US;
    timers_set(&node->timers, &op->timer, usec_min(again_us, op->give_up_us));
}

void catalog_on_op_timer(struct node *node, struct catalog_op *op)
{
    if (node->now.mono_us >= op->give_up_us) {
        succeed(node, op, true);
        return;
    }
    push_next(node, op);
}

static void push_failed(struct node *node, struct catalog_op *op, struct node_id peer)
{
    MARK(node, "catalog.push.failed");
    op->call = 0;
    if (op->tried_count < ARRAY_COUNT(op->tried)) {
        op->tried[op->tried_count++] = peer;
    }
    if (node->now.mono_us >= op->give_up_us) {
        succeed(node, op, true);
        return;
    }
    push_next(node, op);
}

enum call_more catalog_on_pushed(struct node *node, const struct call *call,
                                 const struct message *message)
{
    struct catalog_op *op = call->options.owner;
    op->call = 0;
    if (message->kind == MESSAGE_ACK && message->ack.err == ERR_OK) {
        succeed(node, op, false);
    } else {
        push_failed(node, op, call->peer);
    }
    return CALL_DONE;
}

void catalog_on_push_failed(struct node *node, const struct call *call, enum err err)
{
    CHECK(err != ERR_OK);
    push_failed(node, call->options.owner, call->peer);
}

/* ---- this node's copy -------------------------------------------------------------------- */

static void store(struct node *node, struct catalog_op *op)
{
    size_t used = 0;
    struct dataset_id id = dataset_id_make(span_text(op->draft.name));
    struct io_for of = { .kind = IO_CATALOG_PUT, .owner = op };
    op->draft.version = meta_clock(node);
    op->draft.writer = node->options.id;
    if (op->change == CATALOG_REFRESH) {
        op->draft.refreshed = op->draft.version;
    }
    if (dataset_encode(&op->draft, op->record, sizeof op->record, &used) != ERR_OK) {
        MARK(node, "catalog.too_large");
        op_fail(node, op, ERR_TOO_LARGE,
                "the dataset's rows are too long for one record of 8 KiB: make several datasets");
        return;
    }
    op->record_size = (uint32_t)used;
    op->io = io_put(node, &of, META_DATASET, span_of(id.b, ID_SIZE), span_of(op->record, used));
    if (op->io == 0) {
        op_fail(node, op, ERR_BUSY, "too many requests at the moment: try again");
    }
}

/* The disk is not the cluster: another node may take the change. */
static void put_failed(struct node *node, struct catalog_op *op, enum err err)
{
    char buffer[ANSWER_MAX];
    struct text text;
    const char *dir = node->options.data_dir;
    text_init(&text, buffer, sizeof buffer);
    text_str(&text,
             err == ERR_FULL ? "there is no room left below " : "nothing can be written to ");
    text_str(&text, dir != NULL && strlen(dir) <= ANSWER_MAX / 2 ? dir : "--data-dir");
    text_str(&text, " of this node, so that nothing was changed: ");
    text_str(&text, err == ERR_FULL ? "make room there" : "see its log (meta.disk.failing)");
    text_str(&text, ", or ask another node");
    CHECK(!text.overflow);
    MARK(node, "catalog.put.failed");
    op_fail(node, op, err, buffer);
}

void catalog_on_op_put(struct node *node, struct catalog_op *op, enum err err)
{
    op->io = 0;
    if (err != ERR_OK) {
        put_failed(node, op, err);
        return;
    }
    (void)catalog_install(node, &op->draft, &err); /* a newer one of a peer may have come */
    if (err != ERR_OK) {
        MARK(node, "catalog.full");
        op_fail(node, op, err,
                "this cluster has as many datasets as it can hold, deleted names included: reuse a "
                "deleted name");
        return;
    }
    op->give_up_us = node->now.mono_us + CATALOG_ACK_US;
    catalog_push(node, &op->draft);
    push_next(node, op);
}

/* ---- create ------------------------------------------------------------------------------ */

static bool is_in_hand(const struct node *node, const char *name)
{
    const struct list *open = &node->meta->catalog.open;
    for (const struct list *item = open->next; item != open; item = item->next) {
        const struct catalog_op *op = CONTAINER_OF(item, struct catalog_op, all);
        if (op->change == CATALOG_CREATE && strcmp(op->draft.name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Ask the source of one row for a single key: bad buckets, secrets and addresses show up now. */
static void probe(struct node *node, struct catalog_op *op)
{
    const struct dataset_row *row = &op->draft.rows[op->row];
    struct io_for of = { .kind = IO_CATALOG_PROBE, .owner = op };
    struct io_list list = { .source = row->source, .prefix = span_text(row->prefix), .limit = 1 };
    if (!catalog_has_credential(node, row)) {
        op_fail(node, op, ERR_NO_CREDENTIAL,
                "this node has no credential of that name: put a file of that name into its "
                "credentials directory, or ask a node that has it");
        return;
    }
    catalog_tell_source(node, row);
    op->io = io_list(node, &of, &list);
    if (op->io == 0) {
        op_fail(node, op, ERR_BUSY, "too many requests at the moment: try again");
    }
}

static const char *advice(enum err err)
{
    if (err == ERR_SOURCE_NOT_FOUND) {
        return "there is no such bucket or directory: check the URI";
    }
    if (err == ERR_SOURCE_DENIED) {
        return "check the credential, and what it may read";
    }
    if (err == ERR_SOURCE_UNREACHABLE) {
        return "check the endpoint and the network of this node";
    }
    if (err == ERR_NO_CREDENTIAL) {
        return "put the credential's file into the node's credentials directory";
    }
    if (err == ERR_SOURCE_NOT_ALLOWED) {
        return "start the node with --allow-root for that directory, or use another endpoint";
    }
    return "check the URI, the endpoint and the credential";
}

static void probe_failed(struct node *node, struct catalog_op *op, const struct node_event *event)
{
    char buffer[ANSWER_MAX];
    struct text text;
    struct span said = event->listed.text;
    meta_count_error(node, event->listed.err);
    text_init(&text, buffer, sizeof buffer);
    text_str(&text, op->draft.rows[op->row].uri);
    text_str(&text, ": ");
    text_str(&text, err_text(event->listed.err));
    if (said.size > 0) {
        text_str(&text, " (");
        text_span(&text, span_of(said.data, said.size < 256 ? said.size : 256));
        text_str(&text, ")");
    }
    text_str(&text, "; ");
    text_str(&text, advice(event->listed.err));
    MARK(node, "catalog.probe.failed");
    op_fail(node, op, event->listed.err, buffer);
}

void catalog_on_probe(struct node *node, struct catalog_op *op, const struct node_event *event)
{
    op->io = 0;
    if (event->listed.err != ERR_OK) {
        probe_failed(node, op, event);
        return;
    }
    if (event->listed.count == 0 && op->empty_row == 0) {
        op->empty_row = op->row + 1;
    }
    op->row++;
    if (op->row < op->draft.row_count) {
        probe(node, op);
        return;
    }
    if (catalog_find_name(node, span_text(op->draft.name)) != NULL) {
        MARK(node, "catalog.create.overtaken");
        op_fail(node, op, ERR_EXISTS, "a dataset of that name was created at the same moment");
        return;
    }
    store(node, op);
}

static const char *draft_fault(const struct dataset *draft)
{
    const char *fault = dataset_fault(draft);
    if (fault == NULL && !selector_is_valid(span_text(draft->selector))) {
        fault = "the node selector must look like key=value,key2=value2";
    }
    if (fault == NULL && draft->deleted) {
        fault = "a dataset cannot be created as deleted";
    }
    return fault;
}

void catalog_create(struct node *node, uint64_t admin, struct span record)
{
    struct dataset draft;
    if (dataset_decode_draft(record, &draft) != ERR_OK) {
        report_error(node, admin, ERR_MALFORMED, "the dataset's record cannot be read");
        return;
    }
    const char *fault = draft_fault(&draft);
    if (fault != NULL) {
        report_error(node, admin, ERR_INVALID, fault);
        return;
    }
    if (catalog_find_name(node, span_text(draft.name)) != NULL || is_in_hand(node, draft.name)) {
        report_error(node, admin, ERR_EXISTS,
                     "a dataset of that name exists: delete it first or choose another name");
        return;
    }
    struct catalog_op *op = op_new(node, CATALOG_CREATE, admin);
    if (op == NULL) {
        return;
    }
    op->draft = draft;
    op->draft.refreshed = 0;
    probe(node, op);
}

/* ---- delete, refresh --------------------------------------------------------------------- */

void catalog_delete(struct node *node, uint64_t admin, struct span name)
{
    const struct dataset *known = catalog_find_name(node, name);
    if (known == NULL) {
        report_error(node, admin, ERR_NOT_FOUND, "there is no dataset of that name");
        return;
    }
    struct catalog_op *op = op_new(node, CATALOG_DELETE, admin);
    if (op == NULL) {
        return;
    }
    memcpy(op->draft.name, known->name, sizeof op->draft.name);
    op->draft.deleted = true;
    store(node, op);
}

void catalog_refresh(struct node *node, uint64_t admin, struct span argument)
{
    const uint8_t *slash = argument.size == 0 ? NULL : memchr(argument.data, '/', argument.size);
    size_t name_size = slash == NULL ? argument.size : (size_t)(slash - argument.data);
    const struct dataset *known = catalog_find_name(node, span_of(argument.data, name_size));
    if (known == NULL) {
        report_error(node, admin, ERR_NOT_FOUND, "there is no dataset of that name");
        return;
    }
    struct span path = span_of(argument.data + name_size, argument.size - name_size);
    while (path.size > 0 && path.data[0] == '/') {
        path = span_of(path.data + 1, path.size - 1);
    }
    while (path.size > 0 && path.data[path.size - 1] == '/') {
        path.size--;
    }
    if (path.size > 0) {
        dirs_refresh(node, known, path, admin);
        return;
    }
    struct catalog_op *op = op_new(node, CATALOG_REFRESH, admin);
    if (op != NULL) {
        op->draft = *known;
        store(node, op);
    }
}
