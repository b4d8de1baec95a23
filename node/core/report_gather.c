/* node/core/report_gather.c: questions to several nodes, and what this one says when asked. */
#include "node/core/report_gather.h"

#define TOTALS_AGAIN_US SEC(2)
#define TOTALS_ARGUMENT "totals"
#define BLOCKS_ARGUMENT_SIZE (ID_SIZE + 4u) /* object, how many from the first */

/* ---- life -------------------------------------------------------------------------------- */

struct gather *gather_new(struct node *node, enum gather_kind kind, uint64_t admin)
{
    struct gather *gather = pool_take(&node->meta->reports.gathers);
    if (gather == NULL) {
        MARK(node, "report.gathers.full");
        if (admin != 0) {
            report_error(node, admin, ERR_BUSY, "too many questions at the same moment: try again");
        }
        return NULL;
    }
    gather->kind = kind;
    gather->admin = admin;
    gather->timer.kind = TIMER_REPORT;
    list_init(&gather->waiter.waiting);
    return gather;
}

void gather_free(struct node *node, struct gather *gather)
{
    for (uint32_t i = 0; i < gather->node_count; i++) {
        call_cancel(node, gather->nodes[i].call, true);
    }
    CHECK(gather->ask == NULL);
    pages_unwait(&gather->waiter);
    timers_cancel(&node->timers, &gather->timer);
    pool_give(&node->meta->reports.gathers, gather);
}

const struct gather_node *gather_find(const struct gather *gather, struct node_id id)
{
    for (uint32_t i = 0; i < gather->node_count; i++) {
        if (node_id_equal(gather->nodes[i].id, id)) {
            return &gather->nodes[i];
        }
    }
    return NULL;
}

static void answer_here(struct node *node, struct gather *gather, struct gather_node *to)
{
    to->state = GATHER_ANSWERED;
    report_numbers_here(node, &to->numbers);
    if (gather->kind == GATHER_STATUS) {
        report_outages_here(node, gather);
    }
    if (gather->kind == GATHER_WHERE) {
        report_blocks_here(node, gather->file.object, gather->file.shown, to->blocks);
    }
}

void gather_add(struct node *node, struct gather *gather, struct node_id id)
{
    if (gather_find(gather, id) != NULL) {
        return;
    }
    if (gather->node_count == GATHER_NODES_MAX) {
        MARK(node, "report.gather.cut");
        gather->cut = true;
        return;
    }
    struct gather_node *to = &gather->nodes[gather->node_count++];
    to->id = id;
    if (node_id_equal(id, node->options.id)) {
        answer_here(node, gather, to);
    }
}

void gather_add_living(struct node *node, struct gather *gather)
{
    uint32_t count = 0;
    const struct member *members = view_members(node->rings.view, &count);
    gather_add(node, gather, node->options.id);
    for (uint32_t i = 0; i < count; i++) {
        if (member_lives(&members[i])) {
            gather_add(node, gather, members[i].id);
        }
    }
}

/* ---- asking ------------------------------------------------------------------------------ */

static void note_silent(struct node *node, const struct gather *gather)
{
    struct reports *reports = &node->meta->reports;
    uint32_t count = 0;
    const struct member *members = view_members(node->rings.view, &count);
    reports->silent_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct gather_node *asked = gather_find(gather, members[i].id);
        if (!member_lives(&members[i]) || node_id_equal(members[i].id, node->options.id) ||
            (asked != NULL && asked->state == GATHER_ANSWERED)) {
            continue;
        }
        if (reports->silent_count < REPORT_SILENT_MAX) {
            reports->silent[reports->silent_count] = members[i].id;
        }
        reports->silent_count++;
    }
}

/* What the other members said becomes what is known of them, for every dataset. */
static void take_totals(struct node *node, const struct gather *gather)
{
    note_silent(node, gather);
    struct catalog_item *item = catalog_next(node, NULL);
    for (; item != NULL; item = catalog_next(node, item)) {
        item->peer_files = item->sum_files;
        item->peer_bytes = item->sum_bytes;
    }
    node->meta->reports.counting = false;
    report_datasets_go_on(node);
}

static void end(struct node *node, struct gather *gather)
{
    switch (gather->kind) {
    case GATHER_STATUS:
        report_status(node, gather);
        break;
    case GATHER_NODES:
        report_nodes(node, gather);
        break;
    case GATHER_WHERE:
        report_where(node, gather);
        break;
    case GATHER_TOTALS:
        take_totals(node, gather);
        break;
    }
    gather_free(node, gather);
}

static void ask(struct node *node, struct gather *gather, struct gather_node *to)
{
    uint8_t argument[BLOCKS_ARGUMENT_SIZE];
    bool blocks = gather->kind == GATHER_WHERE;
    struct message message = {
        .kind = MESSAGE_REPORT_GET,
        .report_get = { .kind = blocks ? REPORT_BLOCKS : REPORT_NODE },
    };
    struct call_options options = { .kind = CALL_REPORT,
                                    .purpose = LINK_CONTROL,
                                    .deadline_us = gather->give_up_us,
                                    .owner = gather };
    if (blocks) {
        memcpy(argument, gather->file.object.b, ID_SIZE);
        put_u32(argument + ID_SIZE, gather->file.shown);
        message.report_get.argument = span_of(argument, sizeof argument);
    } else if (gather->kind == GATHER_TOTALS) {
        message.report_get.argument = span_text(TOTALS_ARGUMENT);
    }
    to->call = call_start(node, to->id, &message, &options);
    to->state = to->call != 0 ? GATHER_OPEN : GATHER_FAILED;
    gather->open += to->call != 0 ? 1 : 0;
}

static void go_on(struct node *node, struct gather *gather)
{
    while (gather->next < gather->node_count) {
        struct gather_node *to = &gather->nodes[gather->next];
        if (!effects_roomy(node, 0)) {
            timers_set(&node->timers, &gather->timer, node->now.mono_us);
            return;
        }
        gather->next++;
        if (to->state == GATHER_WAITS) {
            ask(node, gather, to);
        }
    }
    if (gather->open == 0) {
        end(node, gather);
    }
}

void gather_start(struct node *node, struct gather *gather)
{
    gather->give_up_us = node->now.mono_us + REPORT_GATHER_US;
    go_on(node, gather);
}

static struct gather_node *node_of_call(struct gather *gather, uint64_t request)
{
    for (uint32_t i = 0; i < gather->node_count; i++) {
        if (gather->nodes[i].call == request) {
            gather->nodes[i].call = 0;
            return &gather->nodes[i];
        }
    }
    BUG("an answer that no gather asked for");
}

/* ---- numbers ----------------------------------------------------------------------------- */

struct number_row {
    const char *name;
    size_t offset;
};

static const struct number_row number_rows[] = {
#define NUMBER(field) { #field, offsetof(struct report_numbers, field) },
    REPORT_NUMBERS
#undef NUMBER
};

static uint64_t *number_at(struct report_numbers *numbers, const struct number_row *row)
{
    return (uint64_t *)(void *)((uint8_t *)numbers + row->offset);
}

static void put_numbers(struct text *text, struct report_numbers *numbers)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(number_rows); i++) {
        text_str(text, number_rows[i].name);
        text_char(text, ' ');
        text_u64(text, *number_at(numbers, &number_rows[i]));
        text_char(text, '\n');
    }
}

static void take_number(struct span line, struct report_numbers *out)
{
    const uint8_t *space = line.size == 0 ? NULL : memchr(line.data, ' ', line.size);
    if (space == NULL) {
        return;
    }
    size_t size = (size_t)(space - line.data);
    struct span value = span_of(space + 1, line.size - size - 1);
    for (uint32_t i = 0; i < ARRAY_COUNT(number_rows); i++) {
        if (span_equal(span_of(line.data, size), span_text(number_rows[i].name))) {
            (void)parse_u64(value, number_at(out, &number_rows[i]));
        }
    }
}

/* Takes one line off the front; false: there is none. */
static bool line_next(struct span *lines, struct span *line)
{
    if (lines->size == 0) {
        return false;
    }
    const uint8_t *newline = memchr(lines->data, '\n', lines->size);
    size_t size = newline == NULL ? lines->size : (size_t)(newline - lines->data);
    size_t step = size + (newline == NULL ? 0 : 1);
    *line = span_of(lines->data, size);
    *lines = span_of(lines->data + step, lines->size - step);
    return true;
}

/* Names we do not know are of a later version. */
static void take_numbers(struct gather *gather, struct gather_node *from, struct span lines)
{
    struct span line;
    while (line_next(&lines, &line)) {
        if (!report_outages_take(gather, from->id, line)) {
            take_number(line, &from->numbers);
        }
    }
}

void report_numbers_here(struct node *node, struct report_numbers *out)
{
    const struct metrics *metrics = &node->metrics;
    const struct ring *ring = rings_current(node, span_of(NULL, 0));
    metrics_gauges(node);
    *out = (struct report_numbers){
        .ring_digest = ring == NULL ? 0 : ring_digest(ring),
        .view_digest = node->rings.digest,
        .catalog_digest = node->meta->catalog.digest,
        .memory_used = metrics->memory_used,
        .memory_size = metrics->memory_size,
        .disk_used = metrics->disk_used,
        .disk_quota = metrics->disk_size,
        .disks_slow = weight_slow_tiers(node),
        .weight_wanted = node->weight.wanted,
        .blocks = metrics->blocks_known,
        .requests_open = metrics->requests_open,
        .fetches_open = metrics->fetches_open,
        .served_memory = metrics->served_memory_bytes,
        .served_disk = metrics->served_disk_bytes,
        .served_peer = metrics->served_peer_bytes,
        .served_source = metrics->served_source_bytes,
        .source_gets = metrics->source_gets,
        .source_lists = metrics->source_lists,
        .source_heads = metrics->source_heads,
        .source_bytes = metrics->source_bytes,
        .source_wanted = metrics->source_bytes - metrics->source_again_bytes,
        .keys_hidden = metrics->keys_hidden,
        .handover_left = metrics->handover_left,
        .handover_left_bytes = metrics->handover_left_bytes,
        .handover_taking = metrics->handover_taking,
        .handover_given = metrics->handover_given,
        .handover_given_bytes = metrics->handover_given_bytes,
        .handover_taken = metrics->handover_taken,
        .handover_taken_bytes = metrics->handover_taken_bytes,
        .source_errors = metrics->source_throttled + metrics->source_unreachable +
                         metrics->source_denied + metrics->source_missing +
                         metrics->source_changed + metrics->source_other,
        .acting = metrics->fetch_acting,
        .differing = metrics->fetch_differing,
        .owning = node->owning ? 1 : 0,
        .credentials_broken = node->options.credentials_broken,
        .data_dir_err = (uint64_t)node->meta->disk_err,
        .load = metrics->load,
        .hot_blocks = metrics->shared_blocks,
        .hot_copies = metrics->shares_held,
        .handed_on = metrics->handed_on,
    };
    if (!node->options.insecure) {
        const struct keyring *keys = &node->keychain.ring;
        out->key_number = keyring_present(keys)->number;
        out->key_id = cluster_key_id(keyring_present(keys)).v;
        out->newest_number = keyring_newest(keys)->number;
        out->newest_id = cluster_key_id(keyring_newest(keys)).v;
    }
    for (uint32_t i = 0; i < node->options.tier_count; i++) {
        struct store_report tier;
        store_tier_report(node, i, &tier);
        out->disks_failed += tier.failed ? 1 : 0;
    }
}

void report_blocks_here(struct node *node, struct object_id object, uint32_t count, char *out)
{
    for (uint32_t i = 0; i < count; i++) {
        struct block_id id = { .object = object, .index = i };
        switch (blocks_state(node, id)) {
        case BLOCK_ABSENT:
            out[i] = '-';
            break;
        case BLOCK_MEMORY:
            out[i] = 'm';
            break;
        case BLOCK_DISK:
            out[i] = 'd';
            break;
        case BLOCK_FETCHING:
            out[i] = 'f';
            break;
        }
    }
}

/* ---- totals of datasets ------------------------------------------------------------------ */

/* "<id> <files> <bytes>" for each dataset: of the directories this node owns. */
static enum err say_totals(struct node *node, struct text *text)
{
    const struct catalog_item *item = catalog_next(node, NULL);
    for (; item != NULL; item = catalog_next(node, item)) {
        text_hex(text, item->id.b, ID_SIZE);
        text_char(text, ' ');
        text_u64(text, item->files);
        text_char(text, ' ');
        text_u64(text, item->bytes);
        text_char(text, '\n');
    }
    return text->overflow ? ERR_FULL : ERR_OK;
}

static void take_total(struct node *node, struct span line)
{
    struct dataset_id id;
    uint64_t files = 0;
    uint64_t bytes = 0;
    const size_t id_size = 2 * (size_t)ID_SIZE;
    if (line.size <= id_size + 1 || !id_parse(span_of(line.data, id_size), id.b)) {
        return;
    }
    struct span rest = span_of(line.data + id_size + 1, line.size - id_size - 1);
    const uint8_t *space = memchr(rest.data, ' ', rest.size);
    struct catalog_item *item = catalog_item(node, id);
    if (space == NULL || item == NULL) {
        return;
    }
    size_t size = (size_t)(space - rest.data);
    if (parse_u64(span_of(rest.data, size), &files) &&
        parse_u64(span_of(space + 1, rest.size - size - 1), &bytes)) {
        item->sum_files += files;
        item->sum_bytes += bytes;
    }
}

static void take_total_lines(struct node *node, struct span lines)
{
    struct span line;
    while (line_next(&lines, &line)) {
        take_total(node, line);
    }
}

void report_totals_wanted(struct node *node)
{
    struct reports *reports = &node->meta->reports;
    bool recent =
        reports->totals_us != 0 && node->now.mono_us < reports->totals_us + TOTALS_AGAIN_US;
    if (reports->counting || recent) {
        return;
    }
    struct gather *gather = gather_new(node, GATHER_TOTALS, 0);
    if (gather == NULL) {
        return;
    }
    reports->counting = true;
    reports->totals_us = node->now.mono_us;
    struct catalog_item *item = catalog_next(node, NULL);
    for (; item != NULL; item = catalog_next(node, item)) {
        item->sum_files = 0;
        item->sum_bytes = 0;
    }
    struct peer *peer = NULL;
    while ((peer = peers_next_open(node, peer)) != NULL) {
        gather_add(node, gather, peer->id);
    }
    gather_start(node, gather);
}

/* ---- answers ----------------------------------------------------------------------------- */

enum call_more report_on_answer(struct node *node, const struct call *call,
                                const struct message *message)
{
    struct gather *gather = call->options.owner;
    struct gather_node *from = node_of_call(gather, call->request);
    bool is_report = message->kind == MESSAGE_REPORT && message->report.err == ERR_OK;
    from->state = is_report ? GATHER_ANSWERED : GATHER_FAILED;
    if (is_report && gather->kind == GATHER_WHERE) {
        struct span said = message->report.json;
        size_t size = said.size < sizeof from->blocks ? said.size : sizeof from->blocks;
        memcpy(from->blocks, size > 0 ? said.data : (const uint8_t *)from->blocks, size);
    } else if (is_report && gather->kind == GATHER_TOTALS) {
        take_total_lines(node, message->report.json);
    } else if (is_report) {
        take_numbers(gather, from, message->report.json);
    }
    gather->open--;
    go_on(node, gather);
    return CALL_DONE;
}

void report_on_failure(struct node *node, const struct call *call, enum err err)
{
    struct gather *gather = call->options.owner;
    CHECK(err != ERR_OK);
    node_of_call(gather, call->request)->state = GATHER_FAILED;
    gather->open--;
    go_on(node, gather);
}

void report_on_timer(struct node *node, struct timer *timer)
{
    struct gather *gather = CONTAINER_OF(timer, struct gather, timer);
    if (gather->ringless) {
        report_where_look(node, gather);
    } else {
        go_on(node, gather);
    }
}

/* ---- questions of other nodes ------------------------------------------------------------ */

static enum err say_blocks(struct node *node, struct span argument, struct text *text)
{
    char letters[REPORT_BLOCKS_MAX];
    struct object_id object;
    if (argument.size != BLOCKS_ARGUMENT_SIZE) {
        return ERR_INVALID;
    }
    uint32_t count = get_u32(argument.data + ID_SIZE);
    if (count > REPORT_BLOCKS_MAX) {
        return ERR_INVALID;
    }
    memcpy(object.b, argument.data, ID_SIZE);
    report_blocks_here(node, object, count, letters);
    text_span(text, span_of(letters, count));
    return ERR_OK;
}

static enum err say_numbers(struct node *node, struct span argument, struct text *text)
{
    struct report_numbers numbers;
    if (span_equal(argument, span_text(TOTALS_ARGUMENT))) {
        return say_totals(node, text);
    }
    if (argument.size != 0) {
        return ERR_UNSUPPORTED;
    }
    report_numbers_here(node, &numbers);
    put_numbers(text, &numbers);
    report_outages_put(node, text);
    return ERR_OK;
}

void report_on_get(struct node *node, struct link *link, const struct message_report_get *get)
{
    struct text text;
    enum err err = ERR_UNSUPPORTED;
    report_begin(node, &text);
    if (link->session->role == WIRE_MOUNT) {
        MARK(node, "report.refused");
        err = ERR_DENIED;
    } else if (get->kind == REPORT_NODE) {
        err = say_numbers(node, get->argument, &text);
    } else if (get->kind == REPORT_BLOCKS) {
        err = say_blocks(node, get->argument, &text);
    }
    if (err == ERR_OK && !effects_roomy(node, text.used)) {
        MARK(node, "report.get.busy");
        err = ERR_BUSY;
    }
    if (err != ERR_OK) {
        text.used = 0;
    }
    struct message message = { .kind = MESSAGE_REPORT,
                               .report = { .request = get->request,
                                           .err = (uint64_t)err,
                                           .json = span_of(text.data, text.used) } };
    node_send(node, link->id, &message, (struct payload){ 0 });
}
