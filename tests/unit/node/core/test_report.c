/* tests/unit/node/core/test_report.c: what operators are told. */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>
#include <string.h>

#include "node/core/meta.h"
#include "node/core/report_json.h"

/* ---- is it JSON? ------------------------------------------------------------------------- */

static const char *skip_value(const char *at);

static const char *skip_string(const char *at)
{
    if (*at != '"') {
        return NULL;
    }
    for (at++; *at != '"'; at++) {
        if (*at == '\0') {
            return NULL;
        }
        at += *at == '\\' ? 1 : 0;
    }
    return at + 1;
}

/* Elements up to the closing bracket; with keys in an object. */
static const char *skip_items(const char *at, char close)
{
    if (*at == close) {
        return at + 1;
    }
    for (;;) {
        if (close == '}') {
            at = skip_string(at);
            if (at == NULL || *at++ != ':') {
                return NULL;
            }
        }
        at = skip_value(at);
        if (at == NULL || (*at != ',' && *at != close)) {
            return NULL;
        }
        if (*at++ == close) {
            return at;
        }
    }
}

static const char *skip_value(const char *at)
{
    if (*at == '"') {
        return skip_string(at);
    }
    if (*at == '{' || *at == '[') {
        return skip_items(at + 1, *at == '{' ? '}' : ']');
    }
    size_t size = strcspn(at, ",]}");
    return size == 0 ? NULL : at + size;
}

static const char *answer_of(struct shelf *shelf, uint64_t admin)
{
    lab_run(shelf->lab, SEC(3));
    const struct shelf_answer *answer = shelf_answer(shelf, admin);
    assert_non_null(answer);
    assert_int_equal(answer->err, ERR_OK);
    return answer->text;
}

static const char *json_of(struct shelf *shelf, enum admin_kind kind, const char *argument)
{
    const char *text = answer_of(shelf, shelf_admin(shelf, 0, kind, span_text(argument)));
    const char *end = skip_value(text);
    assert_non_null(end);
    assert_int_equal(*end, '\0');
    return text;
}

static void assert_says(const char *text, const char *words)
{
    if (strstr(text, words) == NULL) {
        fail_msg("no %s in %s", words, text);
    }
}

/* ---- nodes, ring ------------------------------------------------------------------------- */

static void nodes_shows_every_member_with_its_address_and_share(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    const char *text = json_of(shelf, ADMIN_NODES, "");
    assert_says(text, "\"name\":\"a\"");
    assert_says(text, "\"name\":\"b\"");
    assert_says(text, "\"state\":\"owning\"");
    assert_says(text, "\"purpose\":\"control\",\"address\":\"[0:0:0:0:0:0:0:1]:7700\"");
    assert_says(text, "\"reachable\":true");
    assert_says(text, "\"share\":0.");
    shelf_free(shelf);
}

static void ring_shows_the_shares_of_all_slots(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    const char *text = json_of(shelf, ADMIN_RING, "");
    assert_says(text, "\"slots\":256");
    assert_says(text, "\"selector\":\"\"");
    shelf_free(shelf);
}

static void diff_shows_what_the_last_change_moved(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    lab_kill(shelf->lab, 2);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(2 * 60)); /* long after the hand-over */
    const char *text = json_of(shelf, ADMIN_RING_DIFF, "\n\n\n");
    assert_says(text, "\"change\":\"last\",\"seconds\":1");
    assert_says(text, "\"slots\":256");
    const struct rings_use *use = rings_find(shelf->lab->nodes[0].node, span_text(""));
    char moved[64];
    snprintf(moved, sizeof moved, "\"moved\":%u,\"least\":%u,",
             (unsigned)ring_moved(use->old[0].ring, use->ring),
             256 - ring_slots_owned(use->old[0].ring, 0) - ring_slots_owned(use->old[0].ring, 1));
    assert_says(text, moved); /* nothing moved between the two that stay, and c is the last by id */
    assert_says(text, "\"name\":\"c\",\"before\":");
    assert_says(text, ",\"after\":0,\"lost\":");
    shelf_free(shelf);
}

static void diff_of_a_ring_that_has_not_changed_says_so(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    assert_says(json_of(shelf, ADMIN_RING_DIFF, "\n\n\n"), "\"change\":\"none\"}");
    shelf_free(shelf);
}

static void diff_tries_what_would_be_and_changes_nothing(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    uint64_t digest = ring_digest(rings_current(shelf->lab->nodes[0].node, span_text("")));
    const char *text = json_of(shelf, ADMIN_RING_DIFF, "\nb\n\n");
    assert_says(text, "\"change\":\"tried\"");
    assert_says(text, "\"name\":\"b\",\"before\":");
    assert_says(text, ",\"after\":0,\"lost\":");
    text = json_of(shelf, ADMIN_RING_DIFF, "\n\n100,rack-4\n");
    assert_says(text, "\"name\":\"(new)\",\"before\":0,\"after\":6");
    text = json_of(shelf, ADMIN_RING_DIFF, "\nb\n100\n");
    assert_says(text, "\"name\":\"(new)\",\"before\":0,\"after\":8");
    assert_true(digest == ring_digest(rings_current(shelf->lab->nodes[0].node, span_text(""))));
    shelf_free(shelf);
}

static void diff_refuses_what_is_not_there(void **state)
{
    static const struct {
        const char *argument;
        enum err err;
    } wrong[] = {
        { "\nnobody\n\n", ERR_NOT_FOUND },
        { "disk=tape\n\n\n", ERR_NOT_FOUND },
        { "\n\n0\n", ERR_INVALID },
        { "\n\n65536\n", ERR_INVALID },
        { "\n\n100 GiB\n", ERR_INVALID },
        { "\n\n\n\n", ERR_INVALID },
        { "\n\n1,012345678901234567890123456789012\n", ERR_INVALID },
    };
    struct shelf *shelf = shelf_new(2);
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        uint64_t admin = shelf_admin(shelf, 0, ADMIN_RING_DIFF, span_text(wrong[i].argument));
        lab_run(shelf->lab, SEC(1));
        assert_non_null(shelf_answer(shelf, admin));
        assert_int_equal(shelf_answer(shelf, admin)->err, wrong[i].err);
    }
    shelf_free(shelf);
}

static void diff_does_not_guess_which_of_two_nodes_of_one_name_is_meant(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    struct member members[] = { lab_member(shelf->lab, 0), lab_member(shelf->lab, 1) };
    strcpy(members[0].name, members[1].name);
    lab_event(
        shelf->lab, 0,
        &(struct node_event){ .kind = NODE_VIEW, .view = { .members = members, .count = 2 } });
    const uint64_t admin = shelf_admin(shelf, 0, ADMIN_RING_DIFF, span_text("\nb\n\n"));
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(shelf_answer(shelf, admin)->err, ERR_INVALID);
    assert_says(shelf_answer(shelf, admin)->text, "several living nodes");
    shelf_free(shelf);
}

static void addresses_are_written_as_people_write_them(void **state)
{
    char buffer[128];
    struct text text;
    struct json json;
    struct address v4 = { .port = 7700 };
    struct address v6 = { .port = 1 };
    (void)state;
    memset(v4.ip + 10, 0xff, 2);
    memcpy(v4.ip + 12, "\x0a\x00\x02\xff", 4);
    memcpy(v6.ip, "\xfe\x80", 2);
    v6.ip[15] = 0x1a;
    text_init(&text, buffer, sizeof buffer);
    json_init(&json, &text);
    json_address(&json, NULL, &v4);
    json_address(&json, NULL, &v6);
    assert_string_equal(buffer, "\"10.0.2.255:7700\",\"[fe80:0:0:0:0:0:0:1a]:1\"");
}

/* ---- datasets ---------------------------------------------------------------------------- */

/* Six directories of one file, each listed by its owner. */
static void list_six(struct shelf *shelf)
{
    for (uint32_t i = 0; i < 6; i++) {
        char key[32];
        snprintf(key, sizeof key, "p/d%u/x", i);
        shelf_put(shelf, key, "v1", 100);
        snprintf(key, sizeof key, "p/d%u/", i);
        shelf_mount(shelf, 0, shelf_owner(shelf, key));
        shelf_root(shelf, 0, key);
        lab_client_forget(shelf->lab, 0);
    }
}

static void dataset_is_shown_with_what_was_listed_of_it(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    list_six(shelf);
    const char *text = json_of(shelf, ADMIN_DATASET_SHOW, "train");
    assert_says(text, "\"name\":\"train\"");
    assert_says(text, "\"prefix\":\"p/\"");
    assert_says(text, "\"metadata\":\"once\"");
    assert_says(text, "\"files_listed\":6,\"bytes_listed\":600");
    shelf_free(shelf);
}

static void dataset_is_shown_without_those_who_do_not_tell_their_share(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    shelf->lab->nodes[1].frozen = true;
    shelf->lab->nodes[2].frozen = true;
    uint64_t list = shelf_admin(shelf, 0, ADMIN_DATASET_LIST, span_text(""));
    uint64_t show = shelf_admin(shelf, 0, ADMIN_DATASET_SHOW, span_text("train"));
    lab_run(shelf->lab, MSEC(100));
    assert_null(shelf_answer(shelf, list));
    lab_run(shelf->lab, SEC(3));
    assert_int_equal(shelf_answer(shelf, list)->err, ERR_OK);
    assert_says(shelf_answer(shelf, list)->text, "\"files_listed\":0");
    assert_says(shelf_answer(shelf, list)->text,
                "\"not_counted\":[\"b\",\"c\"],\"not_counted_nodes\":2");
    assert_says(shelf_answer(shelf, show)->text, "\"name\":\"train\"");
    assert_says(shelf_answer(shelf, show)->text, "\"not_counted_nodes\":2");
    shelf->lab->nodes[1].frozen = false;
    lab_kill(shelf->lab, 2); /* a member still: its link is gone */
    lab_run(shelf->lab, SEC(3));
    assert_says(json_of(shelf, ADMIN_DATASET_SHOW, "train"),
                "\"not_counted\":[\"c\"],\"not_counted_nodes\":1");
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(3));
    assert_says(json_of(shelf, ADMIN_DATASET_SHOW, "train"), "\"not_counted_nodes\":0");
    shelf_free(shelf);
}

/* What it counted has come to the one that is left, and is not counted twice. */
static void the_last_node_forgets_what_the_others_counted(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    list_six(shelf);
    assert_says(json_of(shelf, ADMIN_DATASET_SHOW, "train"), "\"files_listed\":6");
    lab_run(shelf->lab, SEC(3));
    lab_kill(shelf->lab, 1);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(3));
    assert_says(json_of(shelf, ADMIN_DATASET_SHOW, "train"), "\"files_listed\":6");
    shelf_free(shelf);
}

static void deleted_dataset_is_not_listed(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    assert_says(json_of(shelf, ADMIN_DATASET_LIST, ""), "train");
    shelf_admin(shelf, 0, ADMIN_DATASET_DELETE, span_text("train"));
    lab_run(shelf->lab, MSEC(50));
    assert_string_equal(json_of(shelf, ADMIN_DATASET_LIST, ""),
                        "{\"datasets\":[],\"not_counted\":[],\"not_counted_nodes\":0}");
    uint64_t admin = shelf_admin(shelf, 0, ADMIN_DATASET_SHOW, span_text("train"));
    assert_int_equal(shelf_answer(shelf, admin)->err, ERR_NOT_FOUND);
    shelf_free(shelf);
}

static void numbers_follow_a_directory_that_shrinks(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf_put(shelf, "p/x", "v1", 100);
    shelf_put(shelf, "p/y", "v1", 50);
    shelf_mount(shelf, 0, 0);
    struct root root = shelf_root(shelf, 0, "p/");
    assert_says(json_of(shelf, ADMIN_DATASET_SHOW, "train"), "\"bytes_listed\":150");
    shelf_remove(shelf, "p/x");
    struct message_dir_get get = { .newer_than = root.head.generation };
    shelf_dir_get(shelf, 0, "p/", &get);
    lab_run(shelf->lab, SEC(2));
    assert_says(json_of(shelf, ADMIN_DATASET_SHOW, "train"),
                "\"files_listed\":1,\"bytes_listed\":50");
    shelf_free(shelf);
}

/* ---- where ------------------------------------------------------------------------------- */

static void where_names_the_ranks_of_each_block_and_what_they_hold(void **state)
{
    struct shelf *shelf = shelf_new(3);
    char key[40];
    (void)state;
    shelf_put(shelf, "p/sub/big", "v1", 3u << 20); /* twelve blocks of 256 KiB */
    shelf_mount(shelf, 0, 1);
    snprintf(key, sizeof key, "p/sub/big");
    struct message get = lab_get(shelf->lab, key, 3u << 20, 5);
    uint64_t request = lab_client_get(shelf->lab, 0, &get);
    lab_run(shelf->lab, SEC(1));
    assert_true(lab_client_bytes(&shelf->lab->clients[0], request, key, 5) > 0);
    const char *text = json_of(shelf, ADMIN_WHERE, "train/sub/big");
    assert_says(text, "\"type\":\"file\",\"size\":3145728");
    assert_says(text, "\"pin\":\"v1\"");
    assert_says(text, "\"blocks\":12,\"blocks_shown\":12");
    assert_says(text, "\"has\":\"memory\"");
    assert_says(text, "\"has\":\"absent\"");
    shelf_free(shelf);
}

static void where_of_a_small_file_and_of_a_directory(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    shelf_put(shelf, "p/sub/small", "v1", 10);
    assert_says(json_of(shelf, ADMIN_WHERE, "train/sub/small"), "\"blocks\":1");
    assert_says(json_of(shelf, ADMIN_WHERE, "train/sub"), "\"type\":\"directory\"");
    shelf_free(shelf);
}

/* What `where` says of the directory that lists, or is, this path. Members are called a, b, c. */
static void check_ranks(struct shelf *shelf, const char *path, const char *prefix)
{
    char id[ID_TEXT_SIZE];
    char line[120];
    struct dir_id dir = shelf_dir(shelf, prefix);
    struct place place = place_of_root(dir);
    id_text(dir.b, id);
    snprintf(line, sizeof line, "\"directory\":\"%s\",\"directory_ranks\":[\"%c\",\"%c\",\"%c\"]",
             id, 'a' + (int)shelf_rank(shelf, place, 0), 'a' + (int)shelf_rank(shelf, place, 1),
             'a' + (int)shelf_rank(shelf, place, 2));
    assert_says(json_of(shelf, ADMIN_WHERE, path), line);
}

static void where_names_the_owner_of_a_directory_first(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    shelf_put(shelf, "p/sub/small", "v1", 10);
    check_ranks(shelf, "train/", "p/");
    check_ranks(shelf, "train/sub", "p/sub/");
    check_ranks(shelf, "train/sub/", "p/sub/");
    check_ranks(shelf, "train/sub/small", "p/sub/");
    shelf_free(shelf);
}

static void where_of_nothing_is_not_found(void **state)
{
    static const char *const paths[] = { "train/none", "train/none/x", "other/x", "train" };
    struct shelf *shelf = shelf_new(2);
    (void)state;
    shelf_put(shelf, "p/sub/small", "v1", 10);
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        uint64_t admin = shelf_admin(shelf, 0, ADMIN_WHERE, span_text(paths[i]));
        lab_run(shelf->lab, SEC(1));
        assert_non_null(shelf_answer(shelf, admin));
        assert_int_equal(shelf_answer(shelf, admin)->err, ERR_NOT_FOUND);
    }
    shelf_free(shelf);
}

static void where_of_a_source_that_fails_says_so(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf->fail_lists = ERR_SOURCE_DENIED;
    uint64_t admin = shelf_admin(shelf, 0, ADMIN_WHERE, span_text("train/x"));
    lab_run(shelf->lab, SEC(1));
    assert_non_null(shelf_answer(shelf, admin));
    assert_int_equal(shelf_answer(shelf, admin)->err, ERR_SOURCE_DENIED);
    assert_says(shelf_answer(shelf, admin)->text, "what the store said");
    shelf_free(shelf);
}

/* ---- health and metrics ------------------------------------------------------------------ */

static void ready_has_a_line_for_each_check(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    const char *text = answer_of(shelf, shelf_admin(shelf, 0, ADMIN_READY, span_text("")));
    assert_string_equal(text, "catalog ok\ndisks ok\nring ok\nowning ok\nstaying ok\n");
    lab_event(shelf->lab, 0, &(struct node_event){ .kind = NODE_LEAVE });
    uint64_t admin = shelf_admin(shelf, 0, ADMIN_READY, span_text(""));
    assert_int_equal(shelf_answer(shelf, admin)->err, ERR_BUSY);
    assert_says(shelf_answer(shelf, admin)->text, "staying not ready\n");
    shelf_free(shelf);
}

/* Every line is a comment or "name{labels} number"; every series has its type before. */
static void metrics_are_prometheus_text(void **state)
{
    struct shelf *shelf = shelf_new(1);
    uint32_t samples = 0;
    (void)state;
    const char *text = answer_of(shelf, shelf_admin(shelf, 0, ADMIN_METRICS, span_text("")));
    assert_says(text, "# TYPE atoll_source_requests_total counter\n");
    assert_says(text, "atoll_source_requests_total{kind=\"list\"} 0\n");
    for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1) {
        char series[128];
        char type[160];
        size_t size = strcspn(at, "{ ");
        if (*at == '#') {
            continue;
        }
        assert_memory_equal(at, "atoll_", 6);
        assert_true(size < sizeof series);
        memcpy(series, at, size);
        series[size] = '\0';
        snprintf(type, sizeof type, "# TYPE %s ", series);
        const char *declared = strstr(text, type);
        assert_non_null(declared);
        assert_true(declared < at);
        assert_null(strstr(declared + 1, type));
        samples++;
    }
    assert_true(samples > 30);
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_shows_every_member_with_its_address_and_share),
        cmocka_unit_test(ring_shows_the_shares_of_all_slots),
        cmocka_unit_test(diff_shows_what_the_last_change_moved),
        cmocka_unit_test(diff_of_a_ring_that_has_not_changed_says_so),
        cmocka_unit_test(diff_tries_what_would_be_and_changes_nothing),
        cmocka_unit_test(diff_refuses_what_is_not_there),
        cmocka_unit_test(diff_does_not_guess_which_of_two_nodes_of_one_name_is_meant),
        cmocka_unit_test(addresses_are_written_as_people_write_them),
        cmocka_unit_test(dataset_is_shown_with_what_was_listed_of_it),
        cmocka_unit_test(dataset_is_shown_without_those_who_do_not_tell_their_share),
        cmocka_unit_test(the_last_node_forgets_what_the_others_counted),
        cmocka_unit_test(deleted_dataset_is_not_listed),
        cmocka_unit_test(numbers_follow_a_directory_that_shrinks),
        cmocka_unit_test(where_names_the_ranks_of_each_block_and_what_they_hold),
        cmocka_unit_test(where_of_a_small_file_and_of_a_directory),
        cmocka_unit_test(where_names_the_owner_of_a_directory_first),
        cmocka_unit_test(where_of_nothing_is_not_found),
        cmocka_unit_test(where_of_a_source_that_fails_says_so),
        cmocka_unit_test(ready_has_a_line_for_each_check),
        cmocka_unit_test(metrics_are_prometheus_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
