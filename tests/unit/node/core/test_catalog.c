/* tests/unit/node/core/test_catalog.c: datasets over the nodes of a cluster. */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>
#include <string.h>

#include "node/core/meta.h"

static struct dataset second(const struct shelf *shelf)
{
    struct dataset dataset = shelf->dataset;
    strcpy(dataset.name, "second");
    dataset.version = 0;
    memset(&dataset.writer, 0, sizeof dataset.writer);
    return dataset;
}

static bool knows(const struct shelf *shelf, uint32_t node, const char *name)
{
    return catalog_find_name(shelf->lab->nodes[node].node, span_text(name)) != NULL;
}

static enum err answered(const struct shelf *shelf, uint64_t admin)
{
    const struct shelf_answer *answer = shelf_answer(shelf, admin);
    assert_non_null(answer);
    return answer->err;
}

static bool says(const struct shelf *shelf, uint64_t admin, const char *words)
{
    const struct shelf_answer *answer = shelf_answer(shelf, admin);
    assert_non_null(answer);
    return strstr(answer->text, words) != NULL;
}

/* A record as another node would push it; its ACK or FAIL. */
static enum err push(struct shelf *shelf, uint32_t node, const struct dataset *dataset)
{
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    struct client *client = &shelf->lab->clients[0];
    if (!client->open) {
        client->role = WIRE_NODE;
        memset(client->id.b, 0x77, ID_SIZE);
        lab_client_open(shelf->lab, 0, node);
    }
    assert_int_equal(dataset_encode(dataset, record, sizeof record, &used), ERR_OK);
    struct message message = { .kind = MESSAGE_CATALOG_RECORD,
                               .catalog_record = { .request = ++client->next_request,
                                                   .record = span_of(record, used) } };
    lab_client_send(shelf->lab, client->control, &message);
    lab_run(shelf->lab, MSEC(50));
    const struct received *fail =
        lab_client_find(client, MESSAGE_FAIL, message.catalog_record.request);
    if (fail != NULL) {
        return (enum err)fail->message.fail.err;
    }
    assert_non_null(lab_client_find(client, MESSAGE_ACK, message.catalog_record.request));
    return ERR_OK;
}

static void empty(struct shelf *shelf)
{
    shelf->empty_catalog = true;
}

/* ---- create ------------------------------------------------------------------------------ */

static void created_dataset_is_known_everywhere_and_on_two_disks_first(void **state)
{
    struct shelf *shelf = shelf_new(4);
    struct dataset dataset = second(shelf);
    struct dataset_id id = dataset_id_make(span_text("second"));
    uint32_t durable = 0;
    (void)state;
    shelf_put(shelf, "p/f", "v1", 1);
    uint64_t admin = shelf_create(shelf, 2, &dataset);
    while (shelf_answer(shelf, admin) == NULL) {
        lab_run(shelf->lab, 100);
    }
    for (uint32_t i = 0; i < 4; i++) {
        durable += shelf_has(shelf, i, META_DATASET, span_of(id.b, ID_SIZE)) ? 1 : 0;
    }
    assert_int_equal(answered(shelf, admin), ERR_OK);
    assert_false(says(shelf, admin, "warning"));
    assert_true(durable >= 2);
    lab_run(shelf->lab, MSEC(50));
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(knows(shelf, i, "second"));
        assert_int_equal(shelf->digests[i], shelf->digests[0]);
    }
    shelf_free(shelf);
}

static void node_alone_needs_one_copy(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct dataset dataset = second(shelf);
    (void)state;
    shelf_put(shelf, "p/f", "v1", 1);
    uint64_t admin = shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(answered(shelf, admin), ERR_OK);
    assert_false(says(shelf, admin, "warning"));
    shelf_free(shelf);
}

static void nobody_who_acknowledges_is_said_in_the_answer(void **state)
{
    struct shelf *shelf = shelf_new(2);
    struct dataset dataset = second(shelf);
    (void)state;
    shelf->lab->nodes[1].frozen = true;
    uint64_t admin = shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, SEC(4));
    assert_null(shelf_answer(shelf, admin));
    lab_run(shelf->lab, SEC(2));
    assert_int_equal(answered(shelf, admin), ERR_OK);
    assert_true(says(shelf, admin, "only one copy"));
    shelf_free(shelf);
}

static void prefix_with_nothing_below_it_is_doubted(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct dataset dataset = second(shelf);
    (void)state;
    shelf_put(shelf, "other/f", "v1", 1);
    uint64_t admin = shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(answered(shelf, admin), ERR_OK);
    assert_true(says(shelf, admin, "\"warning\":\"there is nothing below file:///data/p/ yet"));
    assert_true(knows(shelf, 0, "second"));
    shelf_free(shelf);
}

static void selector_that_no_node_has_is_doubted(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct dataset dataset = second(shelf);
    (void)state;
    shelf_put(shelf, "p/f", "v1", 1);
    strcpy(dataset.selector, "disk=none");
    uint64_t admin = shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(answered(shelf, admin), ERR_OK);
    assert_true(says(shelf, admin, "no node has the labels disk=none"));
    assert_true(knows(shelf, 0, "second"));
    shelf_free(shelf);
}

static void name_in_use_is_refused(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct dataset dataset = second(shelf);
    (void)state;
    strcpy(dataset.name, "train");
    uint64_t admin = shelf_create(shelf, 0, &dataset);
    assert_int_equal(answered(shelf, admin), ERR_EXISTS);
    shelf_free(shelf);
}

static void disk_that_is_full_is_not_a_cluster_that_is_full(void **state)
{
    struct shelf *shelf = shelf_new(2);
    struct dataset dataset = second(shelf);
    (void)state;
    shelf->fail_datasets = ERR_FULL;
    uint64_t admin = shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(answered(shelf, admin), ERR_FULL);
    assert_true(says(shelf, admin, "no room left below --data-dir of this node"));
    assert_false(says(shelf, admin, "as many datasets"));
    assert_false(knows(shelf, 0, "second") || knows(shelf, 1, "second"));
    shelf->fail_datasets = ERR_SYSTEM;
    admin = shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, SEC(1));
    assert_true(says(shelf, admin, "nothing can be written to --data-dir"));
    shelf->fail_datasets = ERR_OK;
    admin = shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(answered(shelf, admin), ERR_OK);
    shelf_free(shelf);
}

static void same_name_twice_at_once_is_created_once(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct dataset dataset = second(shelf);
    (void)state;
    uint64_t a = shelf_create(shelf, 0, &dataset);
    uint64_t b = shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(answered(shelf, a), ERR_OK);
    assert_int_equal(answered(shelf, b), ERR_EXISTS);
    shelf_free(shelf);
}

static void source_that_refuses_creates_nothing(void **state)
{
    static const struct {
        enum err err;
        const char *words;
    } cases[] = {
        { ERR_SOURCE_NOT_FOUND, "check the URI" },
        { ERR_SOURCE_DENIED, "check the credential" },
        { ERR_SOURCE_UNREACHABLE, "check the endpoint" },
    };
    struct shelf *shelf = shelf_new(1);
    struct dataset dataset = second(shelf);
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        shelf->fail_lists = cases[i].err;
        uint64_t admin = shelf_create(shelf, 0, &dataset);
        lab_run(shelf->lab, MSEC(50));
        assert_int_equal(answered(shelf, admin), cases[i].err);
        assert_true(says(shelf, admin, cases[i].words));
        assert_true(says(shelf, admin, "what the store said"));
        assert_true(says(shelf, admin, "file:///data/"));
        assert_false(knows(shelf, 0, "second"));
    }
    assert_int_equal(shelf->puts, 0);
    shelf_free(shelf);
}

static void every_row_is_asked_before_creation(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct dataset dataset = second(shelf);
    (void)state;
    dataset.rows[1] = dataset.rows[0];
    strcpy(dataset.rows[1].path, "more");
    dataset.row_count = 2;
    shelf->plans[0] = ERR_OK;
    shelf->plans[1] = ERR_SOURCE_DENIED;
    shelf->plan_count = 2;
    uint64_t admin = shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(shelf->probes, 2);
    assert_int_equal(answered(shelf, admin), ERR_SOURCE_DENIED);
    shelf_free(shelf);
}

static void credential_that_the_node_lacks_is_named(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct dataset dataset = second(shelf);
    (void)state;
    strcpy(dataset.rows[0].credential, "read");
    uint64_t admin = shelf_create(shelf, 0, &dataset);
    assert_int_equal(answered(shelf, admin), ERR_NO_CREDENTIAL);
    strcpy(dataset.rows[0].credential, "reader");
    admin = shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(answered(shelf, admin), ERR_OK);
    shelf_free(shelf);
}

static void invalid_dataset_is_refused_with_its_fault(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct dataset dataset = second(shelf);
    (void)state;
    dataset.block_size = 5;
    uint64_t admin = shelf_create(shelf, 0, &dataset);
    assert_int_equal(answered(shelf, admin), ERR_INVALID);
    assert_true(says(shelf, admin, "block size"));
    dataset = second(shelf);
    strcpy(dataset.selector, "no equals sign");
    admin = shelf_create(shelf, 0, &dataset);
    assert_int_equal(answered(shelf, admin), ERR_INVALID);
    assert_true(says(shelf, admin, "selector"));
    admin = shelf_admin(shelf, 0, ADMIN_DATASET_CREATE, span_text("garbage"));
    assert_int_equal(answered(shelf, admin), ERR_MALFORMED);
    shelf_free(shelf);
}

static void source_is_described_before_its_first_use_and_when_it_changes(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf_put(shelf, "p/x", "v1", 1);
    shelf_put(shelf, "p/sub/x", "v1", 1);
    shelf_mount(shelf, 1, 0);
    shelf_root(shelf, 1, "p/");
    shelf_root(shelf, 1, "p/sub/");
    assert_int_equal(shelf->sources, 1);
    struct dataset changed = shelf->dataset;
    strcpy(changed.rows[0].region, "elsewhere");
    changed.version = 2;
    assert_int_equal(push(shelf, 0, &changed), ERR_OK);
    shelf_root(shelf, 1, "p/");
    shelf_put(shelf, "p/third/x", "v1", 1);
    shelf_root(shelf, 1, "p/third/");
    assert_int_equal(shelf->sources, 2);
    shelf_free(shelf);
}

/* ---- delete ------------------------------------------------------------------------------ */

static void deleted_dataset_is_refused_everywhere_and_stays_deleted(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    shelf_mount(shelf, 0, shelf_owner(shelf, "p/"));
    uint64_t admin = shelf_admin(shelf, 1, ADMIN_DATASET_DELETE, span_text("train"));
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(answered(shelf, admin), ERR_OK);
    uint64_t request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_DATASET_DELETED);
    for (uint32_t i = 0; i < 3; i++) {
        assert_false(knows(shelf, i, "train"));
        lab_kill(shelf->lab, i);
        lab_start(shelf->lab, i);
        assert_false(knows(shelf, i, "train"));
    }
    shelf_free(shelf);
}

static void old_record_does_not_revive_a_deleted_dataset(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf_admin(shelf, 0, ADMIN_DATASET_DELETE, span_text("train"));
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(push(shelf, 0, &shelf->dataset), ERR_OK);
    assert_false(knows(shelf, 0, "train"));
    shelf_free(shelf);
}

static void deleted_name_can_be_used_again(void **state)
{
    struct shelf *shelf = shelf_new(2);
    struct dataset dataset = second(shelf);
    (void)state;
    strcpy(dataset.name, "train");
    shelf_admin(shelf, 0, ADMIN_DATASET_DELETE, span_text("train"));
    lab_run(shelf->lab, MSEC(50));
    uint64_t admin = shelf_create(shelf, 1, &dataset);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(answered(shelf, admin), ERR_OK);
    assert_true(knows(shelf, 0, "train"));
    shelf_free(shelf);
}

static void unknown_name_cannot_be_deleted(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    uint64_t admin = shelf_admin(shelf, 0, ADMIN_DATASET_DELETE, span_text("nothing"));
    assert_int_equal(answered(shelf, admin), ERR_NOT_FOUND);
    shelf_free(shelf);
}

/* ---- last writer wins -------------------------------------------------------------------- */

static void later_record_wins_in_either_order(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct dataset early = second(shelf);
    struct dataset late = second(shelf);
    (void)state;
    early.version = 100;
    late.version = 200;
    late.block_size = 1u << 20;
    assert_int_equal(push(shelf, 0, &late), ERR_OK);
    assert_int_equal(push(shelf, 0, &early), ERR_OK);
    const struct dataset *known = catalog_find_name(shelf->lab->nodes[0].node, span_text("second"));
    assert_int_equal(known->block_size, 1u << 20);
    late.version = 300;
    late.block_size = 2u << 20;
    assert_int_equal(push(shelf, 0, &late), ERR_OK);
    known = catalog_find_name(shelf->lab->nodes[0].node, span_text("second"));
    assert_int_equal(known->block_size, 2u << 20);
    shelf_free(shelf);
}

static void record_from_the_future_is_refused_and_logged(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct dataset dataset = second(shelf);
    uint32_t warnings = shelf->warnings;
    (void)state;
    uint64_t wall = (uint64_t)(shelf->lab->now_us + SEC(1700000000));
    dataset.version = wall + (uint64_t)SEC(90);
    assert_int_equal(push(shelf, 0, &dataset), ERR_INVALID);
    assert_false(knows(shelf, 0, "second"));
    assert_true(shelf->warnings > warnings);
    dataset.version = wall + (uint64_t)SEC(30);
    assert_int_equal(push(shelf, 0, &dataset), ERR_OK);
    shelf_free(shelf);
}

static void change_after_a_record_from_a_fast_clock_still_wins(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct dataset dataset = second(shelf);
    (void)state;
    dataset.version = (uint64_t)(shelf->lab->now_us + SEC(1700000000) + SEC(30));
    assert_int_equal(push(shelf, 0, &dataset), ERR_OK);
    uint64_t admin = shelf_admin(shelf, 0, ADMIN_DATASET_DELETE, span_text("second"));
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(answered(shelf, admin), ERR_OK);
    assert_int_equal(push(shelf, 0, &dataset), ERR_OK);
    assert_false(knows(shelf, 0, "second"));
    shelf_free(shelf);
}

/* ---- catching up ------------------------------------------------------------------------- */

static void node_with_another_digest_pulls_what_it_lacks(void **state)
{
    struct shelf *shelf = shelf_new_with(2, empty);
    (void)state;
    shelf->lab->nodes[1].frozen = true;
    for (uint32_t i = 0; i < 5; i++) {
        struct dataset dataset = second(shelf);
        snprintf(dataset.name, sizeof dataset.name, "set%u", i);
        shelf_create(shelf, 0, &dataset);
        lab_run(shelf->lab, SEC(6));
    }
    lab_kill(shelf->lab, 1); /* what was pushed to it is lost */
    lab_start(shelf->lab, 1);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(1));
    assert_false(knows(shelf, 1, "set4"));
    struct node_event event = { .kind = NODE_PEER_CATALOG };
    event.peer_catalog.node = shelf->lab->nodes[0].id;
    lab_event(shelf->lab, 1, &event);
    lab_run(shelf->lab, MSEC(50));
    assert_true(knows(shelf, 1, "set0"));
    assert_true(knows(shelf, 1, "set4"));
    assert_int_equal(shelf->digests[0], shelf->digests[1]);
    shelf_free(shelf);
}

/* Gossip knows of a difference before the links are up, and would say it again only 2 s later. */
static void a_difference_told_too_early_is_looked_into_when_the_link_opens(void **state)
{
    struct shelf *shelf = shelf_new(2);
    struct dataset dataset = second(shelf);
    (void)state;
    lab_kill(shelf->lab, 1);
    shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, SEC(6));
    lab_start(shelf->lab, 1);
    struct node_event event = { .kind = NODE_PEER_CATALOG };
    event.peer_catalog.node = shelf->lab->nodes[0].id;
    lab_event(shelf->lab, 1, &event);
    assert_false(knows(shelf, 1, "second"));
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(1));
    assert_true(knows(shelf, 1, "second"));
    shelf_free(shelf);
}

static void datasets_survive_a_restart_of_the_whole_cluster(void **state)
{
    struct shelf *shelf = shelf_new(2);
    struct dataset dataset = second(shelf);
    (void)state;
    shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, MSEC(50));
    for (uint32_t i = 0; i < 2; i++) {
        lab_kill(shelf->lab, i);
    }
    for (uint32_t i = 0; i < 2; i++) {
        lab_start(shelf->lab, i);
        assert_true(knows(shelf, i, "second"));
    }
    shelf_free(shelf);
}

static void catalog_that_is_full_refuses_one_more(void **state)
{
    struct shelf *shelf = shelf_new(1); /* 8 datasets, one is there */
    uint64_t admin = 0;
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        struct dataset dataset = second(shelf);
        snprintf(dataset.name, sizeof dataset.name, "set%u", i);
        admin = shelf_create(shelf, 0, &dataset);
        lab_run(shelf->lab, MSEC(50));
        assert_int_equal(answered(shelf, admin), i < 7 ? ERR_OK : ERR_FULL);
    }
    shelf_free(shelf);
}

static void mount_cannot_push_a_record(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct client *client = &shelf->lab->clients[1];
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    struct dataset dataset = second(shelf);
    (void)state;
    dataset.version = 5;
    lab_client_open(shelf->lab, 1, 0);
    assert_int_equal(dataset_encode(&dataset, record, sizeof record, &used), ERR_OK);
    struct message message = { .kind = MESSAGE_CATALOG_RECORD,
                               .catalog_record = { .request = 1,
                                                   .record = span_of(record, used) } };
    lab_client_send(shelf->lab, client->control, &message);
    lab_run(shelf->lab, MSEC(50));
    assert_non_null(lab_client_find(client, MESSAGE_FAIL, 1));
    assert_false(knows(shelf, 0, "second"));
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(created_dataset_is_known_everywhere_and_on_two_disks_first),
        cmocka_unit_test(node_alone_needs_one_copy),
        cmocka_unit_test(nobody_who_acknowledges_is_said_in_the_answer),
        cmocka_unit_test(prefix_with_nothing_below_it_is_doubted),
        cmocka_unit_test(selector_that_no_node_has_is_doubted),
        cmocka_unit_test(name_in_use_is_refused),
        cmocka_unit_test(disk_that_is_full_is_not_a_cluster_that_is_full),
        cmocka_unit_test(same_name_twice_at_once_is_created_once),
        cmocka_unit_test(source_that_refuses_creates_nothing),
        cmocka_unit_test(every_row_is_asked_before_creation),
        cmocka_unit_test(credential_that_the_node_lacks_is_named),
        cmocka_unit_test(invalid_dataset_is_refused_with_its_fault),
        cmocka_unit_test(source_is_described_before_its_first_use_and_when_it_changes),
        cmocka_unit_test(deleted_dataset_is_refused_everywhere_and_stays_deleted),
        cmocka_unit_test(old_record_does_not_revive_a_deleted_dataset),
        cmocka_unit_test(deleted_name_can_be_used_again),
        cmocka_unit_test(unknown_name_cannot_be_deleted),
        cmocka_unit_test(later_record_wins_in_either_order),
        cmocka_unit_test(record_from_the_future_is_refused_and_logged),
        cmocka_unit_test(change_after_a_record_from_a_fast_clock_still_wins),
        cmocka_unit_test(node_with_another_digest_pulls_what_it_lacks),
        cmocka_unit_test(a_difference_told_too_early_is_looked_into_when_the_link_opens),
        cmocka_unit_test(datasets_survive_a_restart_of_the_whole_cluster),
        cmocka_unit_test(catalog_that_is_full_refuses_one_more),
        cmocka_unit_test(mount_cannot_push_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
