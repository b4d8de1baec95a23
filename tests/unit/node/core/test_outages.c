/* tests/unit/node/core/test_outages.c: sources that fail are told, and not for longer than that. */
#include "tests/unit/node/core/shelf.h"

#include <string.h>

#include "node/core/meta.h"

#define FILE_SIZE 1000u

static const char *text_of(struct shelf *shelf, uint32_t node, enum admin_kind kind)
{
    uint64_t admin = shelf_admin(shelf, node, kind, span_of(NULL, 0));
    lab_run(shelf->lab, MSEC(100));
    const struct shelf_answer *answer = shelf_answer(shelf, admin);
    assert_non_null(answer);
    assert_int_equal(answer->err, ERR_OK);
    return answer->text;
}

static void assert_status(struct shelf *shelf, const char *words)
{
    const char *text = text_of(shelf, 0, ADMIN_STATUS);
    if (strstr(text, words) == NULL) {
        fail_msg("no %s in %s", words, text);
    }
}

static void assert_well(struct shelf *shelf)
{
    assert_status(shelf, "{\"verdict\":\"OK\",\"reasons\":[]");
}

static void assert_metric(struct shelf *shelf, const char *line)
{
    const char *text = text_of(shelf, 0, ADMIN_METRICS);
    if (strstr(text, line) == NULL) {
        fail_msg("no %s in the metrics", line);
    }
}

static uint32_t logged(const struct shelf *shelf, const char *msg)
{
    uint32_t count = 0;
    for (const char *at = strstr(shelf->log, msg); at != NULL; at = strstr(at + 1, msg)) {
        count++;
    }
    return count;
}

/* One node, and a mount that asks it. */
static struct shelf *make(void)
{
    struct shelf *shelf = shelf_new(1);
    shelf_put(shelf, "p/x", "v1", FILE_SIZE);
    shelf_mount(shelf, 0, 0);
    return shelf;
}

static void list_once(struct shelf *shelf, usec_t wait_us)
{
    (void)shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, wait_us);
}

static void read_once(struct shelf *shelf, enum err err)
{
    struct message get = lab_get(shelf->lab, "p/x", FILE_SIZE, 0);
    if (err != ERR_OK) {
        struct source *source = &shelf->lab->source;
        source->plans[source->plan_count++] = (struct plan){ .err = err };
    }
    (void)lab_client_get(shelf->lab, 0, &get);
    lab_run(shelf->lab, MSEC(100));
}

/* ---- beginning --------------------------------------------------------------------------- */

static void refused_listing_is_told_at_once_with_all_that_helps(void **state)
{
    struct shelf *shelf = make();
    (void)state;
    shelf->fail_lists = ERR_SOURCE_DENIED;
    list_once(shelf, MSEC(50));
    assert_status(shelf, "{\"verdict\":\"DEGRADED\",\"reasons\":[{\"verdict\":\"DEGRADED\","
                         "\"text\":\"the source refused the credential (403)\",\"node\":\"a\","
                         "\"next\":\"correct the credential's file");
    assert_status(shelf, "\"dataset\":\"train\",\"source\":\"file:///data/\",\"endpoint\":\"\","
                         "\"credential\":\"\",\"requests\":\"list\",\"error\":\"SOURCE_DENIED\"");
    assert_status(shelf, "\"failures\":1,\"nodes\":1,\"said\":\"what the store said\"");
    assert_metric(shelf, "\natoll_sources_failing 1\n");
    assert_metric(shelf, "\natoll_source_failing_seconds{dataset=\"train\",source=\"file:///data/"
                         "\",credential=\"\",requests=\"list\",error=\"SOURCE_DENIED\"} 0.");
    assert_int_equal(logged(shelf, "source.failing"), 1);
    shelf_free(shelf);
}

static void failure_that_may_pass_is_told_when_it_has_lasted(void **state)
{
    struct shelf *shelf = make();
    (void)state;
    shelf->fail_lists = ERR_SOURCE_UNREACHABLE;
    list_once(shelf, SEC(6));
    assert_well(shelf);
    assert_metric(shelf, "\natoll_sources_failing 0\n");
    assert_int_equal(logged(shelf, "source.failing"), 0);
    lab_run(shelf->lab, OUTAGE_SHOW_US);
    assert_status(shelf, "\"error\":\"SOURCE_UNREACHABLE\"");
    assert_int_equal(logged(shelf, "source.failing"), 1);
    lab_run(shelf->lab, SEC(300));
    assert_int_equal(logged(shelf, "source.failing"), 1);
    shelf_free(shelf);
}

static void answers_that_say_nothing_of_the_source_are_no_outage(void **state)
{
    static const enum err ordinary[] = { ERR_CHANGED, ERR_NOMEM, ERR_BUSY };
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(ordinary); i++) {
        struct shelf *shelf = make();
        struct message_dir_get get = { .name = span_text("absent") };
        (void)shelf_dir_get(shelf, 0, "p/", &get); /* a HEAD that finds nothing */
        lab_run(shelf->lab, MSEC(50));
        read_once(shelf, ordinary[i]);
        assert_well(shelf);
        shelf_free(shelf);
    }
}

static void with_credential(struct shelf *shelf)
{
    strcpy(shelf->dataset.rows[0].credential, "reader");
}

static void credential_that_is_missing_is_told_until_it_comes(void **state)
{
    struct shelf *shelf = shelf_new_with(1, with_credential);
    struct node_event event = { .kind = NODE_CREDENTIALS };
    (void)state;
    shelf_mount(shelf, 0, 0);
    lab_event(shelf->lab, 0, &event); /* none is left */
    list_once(shelf, MSEC(50));
    assert_status(shelf, "\"credential\":\"reader\",\"requests\":\"list\","
                         "\"error\":\"NO_CREDENTIAL\"");
    event.credentials.names = span_text("reader");
    lab_event(shelf->lab, 0, &event);
    lab_run(shelf->lab, MSEC(50));
    assert_well(shelf);
    assert_int_equal(logged(shelf, "source.well"), 1);
    shelf_free(shelf);
}

static void nodes_that_say_the_same_are_one_reason(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    shelf->fail_lists = ERR_SOURCE_NOT_FOUND;
    for (uint32_t i = 0; i < 3; i++) {
        struct message_dir_get get = { .mode = GET_FORWARDED };
        shelf_mount(shelf, i, i);
        (void)shelf_dir_get(shelf, i, "p/", &get);
    }
    lab_run(shelf->lab, SEC(1));
    assert_status(shelf, "\"failures\":3,\"nodes\":3");
    const char *first = strstr(text_of(shelf, 1, ADMIN_STATUS), "\"requests\":");
    assert_non_null(first);
    assert_null(strstr(first + 1, "\"requests\":\"list\""));
    shelf_free(shelf);
}

/* ---- end --------------------------------------------------------------------------------- */

static void next_request_that_goes_well_ends_it(void **state)
{
    struct shelf *shelf = make();
    (void)state;
    shelf->fail_lists = ERR_SOURCE_DENIED;
    list_once(shelf, MSEC(50));
    shelf->fail_lists = ERR_OK;
    list_once(shelf, MSEC(50));
    assert_well(shelf);
    assert_int_equal(logged(shelf, "source.well"), 1);
    assert_null(strstr(text_of(shelf, 0, ADMIN_METRICS), "atoll_source_failing_seconds"));
    shelf_free(shelf);
}

static void nodes_own_question_ends_it_when_nobody_reads(void **state)
{
    struct shelf *shelf = make();
    (void)state;
    shelf->fail_lists = ERR_SOURCE_DENIED;
    list_once(shelf, SEC(100));
    assert_in_range(shelf->probes, 3, 5);
    assert_status(shelf, "\"error\":\"SOURCE_DENIED\"");
    shelf->fail_lists = ERR_OK;
    lab_run(shelf->lab, OUTAGE_AGAIN_US);
    assert_well(shelf);
    const uint32_t probes = shelf->probes;
    lab_run(shelf->lab, SEC(300));
    assert_int_equal(shelf->probes, probes);
    assert_int_equal(shelf->lists, 1);
    shelf_free(shelf);
}

static void listing_that_works_does_not_hide_reads_that_are_refused(void **state)
{
    struct shelf *shelf = make();
    (void)state;
    read_once(shelf, ERR_SOURCE_DENIED);
    list_once(shelf, MSEC(50));
    assert_status(shelf, "\"requests\":\"read\",\"error\":\"SOURCE_DENIED\"");
    assert_status(shelf, "\"said\":\"what the store said of a GET\"");
    read_once(shelf, ERR_OK);
    assert_well(shelf);
    shelf_free(shelf);
}

static void refused_read_is_tried_by_its_own_key(void **state)
{
    struct shelf *shelf = make();
    (void)state;
    shelf->fail_heads = ERR_SOURCE_DENIED;
    read_once(shelf, ERR_SOURCE_DENIED);
    lab_run(shelf->lab, SEC(40));
    assert_status(shelf, "\"said\":\"what the store said of a HEAD\"");
    assert_in_range(shelf->heads, 1, 3);
    shelf->fail_heads = ERR_OK;
    shelf_remove(shelf, "p/x"); /* that it is gone is an answer */
    lab_run(shelf->lab, OUTAGE_AGAIN_US);
    assert_well(shelf);
    shelf_free(shelf);
}

static void words_of_the_store_stay_when_it_refuses_again_without_any(void **state)
{
    struct shelf *shelf = make();
    (void)state;
    shelf->fail_heads = ERR_SOURCE_DENIED;
    shelf->mute_heads = true;
    read_once(shelf, ERR_SOURCE_DENIED);
    lab_run(shelf->lab, SEC(40));
    assert_in_range(shelf->heads, 1, 3);
    assert_status(shelf, "\"said\":\"what the store said of a GET\"");
    shelf->fail_heads = ERR_SOURCE_UNREACHABLE; /* another failure, of which it said nothing yet */
    lab_run(shelf->lab, OUTAGE_AGAIN_US + OUTAGE_SHOW_US);
    assert_status(shelf, "\"error\":\"SOURCE_UNREACHABLE\"");
    assert_status(shelf, "\"said\":\"what the store said of a HEAD\"");
    shelf_free(shelf);
}

/* What a status means is shown only where no node heard more, however new it is. */
static void words_that_another_node_heard_are_shown_before_none(void **state)
{
    const struct outage_end ends[2] = {
        { .err = ERR_SOURCE_DENIED, .said = span_text("words") },
        { .err = ERR_SOURCE_DENIED, .said = span_text("403"), .mute = true },
    };
    (void)state;
    for (uint32_t first = 0; first < 2; first++) {
        struct shelf *shelf = shelf_new(2);
        const struct outage_about about = { .kind = OUTAGE_READ,
                                            .dataset = dataset_id_make(span_text("train")),
                                            .source = shelf->dataset.rows[0].source };
        outages_note(shelf->lab->nodes[first].node, &about, &ends[0]);
        lab_run(shelf->lab, MSEC(10));
        outages_note(shelf->lab->nodes[1 - first].node, &about, &ends[1]);
        assert_status(shelf, "\"failures\":2,\"nodes\":2,\"said\":\"words\"");
        shelf_free(shelf);
    }
}

static void source_that_is_reached_again_by_any_request_is_well(void **state)
{
    struct shelf *shelf = make();
    (void)state;
    shelf->fail_lists = ERR_SOURCE_UNREACHABLE;
    list_once(shelf, SEC(30));
    assert_status(shelf, "\"error\":\"SOURCE_UNREACHABLE\"");
    read_once(shelf, ERR_OK);
    assert_well(shelf);
    shelf_free(shelf);
}

static void deleted_dataset_has_no_outage(void **state)
{
    struct shelf *shelf = make();
    (void)state;
    shelf->fail_lists = ERR_SOURCE_DENIED;
    list_once(shelf, MSEC(50));
    (void)shelf_admin(shelf, 0, ADMIN_DATASET_DELETE, span_text("train"));
    lab_run(shelf->lab, MSEC(50));
    assert_well(shelf);
    const uint32_t probes = shelf->probes;
    lab_run(shelf->lab, SEC(100));
    assert_int_equal(shelf->probes, probes);
    shelf_free(shelf);
}

/* ---- bounds ------------------------------------------------------------------------------ */

static void table_holds_so_many_and_lets_go_of_what_nobody_knows(void **state)
{
    struct shelf *shelf = make();
    struct node *node = shelf->lab->nodes[0].node;
    struct outage_about about = { .kind = OUTAGE_READ };
    const struct outage_end end = { .err = ERR_SOURCE_DENIED, .said = span_text("no") };
    (void)state;
    for (uint32_t i = 0; i < 2 * OUTAGES_MAX; i++) {
        put_u32(about.dataset.b, i + 1);
        outages_note(node, &about, &end);
        assert_true(node->meta->outages.count <= OUTAGES_MAX);
    }
    assert_int_equal(node->meta->outages.count, OUTAGES_MAX);
    lab_run(shelf->lab, SEC(60));
    assert_int_equal(node->meta->outages.count, 0);
    shelf_free(shelf);
}

static void long_words_of_a_store_are_cut_and_stay_on_one_line(void **state)
{
    struct shelf *shelf = make();
    struct node *node = shelf->lab->nodes[0].node;
    struct outage_about about = { .kind = OUTAGE_READ,
                                  .dataset = dataset_id_make(span_text("train")),
                                  .source = shelf->dataset.rows[0].source };
    char said[1000];
    (void)state;
    memset(said, 'x', sizeof said);
    said[3] = '\n';
    outages_note(
        node, &about,
        &(struct outage_end){ .err = ERR_NO_CREDENTIAL, .said = span_of(said, sizeof said) });
    const struct outage *outage = outages_next(node, NULL);
    assert_non_null(outage);
    assert_int_equal(outage->said_size, OUTAGE_SAID_MAX);
    assert_int_equal(outage->said[3], ' ');
    assert_null(outages_next(node, outage));
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_listing_is_told_at_once_with_all_that_helps),
        cmocka_unit_test(failure_that_may_pass_is_told_when_it_has_lasted),
        cmocka_unit_test(answers_that_say_nothing_of_the_source_are_no_outage),
        cmocka_unit_test(credential_that_is_missing_is_told_until_it_comes),
        cmocka_unit_test(nodes_that_say_the_same_are_one_reason),
        cmocka_unit_test(next_request_that_goes_well_ends_it),
        cmocka_unit_test(nodes_own_question_ends_it_when_nobody_reads),
        cmocka_unit_test(listing_that_works_does_not_hide_reads_that_are_refused),
        cmocka_unit_test(refused_read_is_tried_by_its_own_key),
        cmocka_unit_test(words_of_the_store_stay_when_it_refuses_again_without_any),
        cmocka_unit_test(words_that_another_node_heard_are_shown_before_none),
        cmocka_unit_test(source_that_is_reached_again_by_any_request_is_well),
        cmocka_unit_test(deleted_dataset_has_no_outage),
        cmocka_unit_test(table_holds_so_many_and_lets_go_of_what_nobody_knows),
        cmocka_unit_test(long_words_of_a_store_are_cut_and_stay_on_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
