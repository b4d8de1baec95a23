/* tests/unit/node/core/test_report_status.c: is the cluster well? */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>
#include <string.h>

#include "node/core/meta.h"

static const char *told(struct shelf *shelf, uint32_t asked, enum admin_kind kind)
{
    const uint64_t admin = shelf_admin(shelf, asked, kind, span_text(""));
    lab_run(shelf->lab, SEC(3));
    const struct shelf_answer *answer = shelf_answer(shelf, admin);
    assert_non_null(answer);
    assert_int_equal(answer->err, ERR_OK);
    return answer->text;
}

static const char *status_of(struct shelf *shelf)
{
    return told(shelf, 0, ADMIN_STATUS);
}

static void assert_says(const char *text, const char *words)
{
    if (strstr(text, words) == NULL) {
        fail_msg("no %s in %s", words, text);
    }
}

static void cluster_that_is_well_is_ok(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    const char *text = status_of(shelf);
    assert_says(text, "\"verdict\":\"OK\"");
    assert_says(text, "\"owning\":3");
    assert_says(text, "\"answered\":3");
    assert_says(text, "\"agree\":3,\"differ\":0");
    assert_says(text, "\"datasets\":1");
    assert_says(text, "\"amplification\":null");
    shelf_free(shelf);
}

static void dead_node_is_a_reason_with_what_to_do(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    lab_kill(shelf->lab, 2);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(1));
    const char *text = status_of(shelf);
    assert_says(text, "\"verdict\":\"DEGRADED\"");
    assert_says(text, "\"text\":\"node is dead\",\"node\":\"c\",\"next\":\"start it again");
    shelf_free(shelf);
}

/* Member 2 is dead; member 3, of which no process runs, has its name or another one, at its gossip
 * address or another one. */
static void tell_successor(struct shelf *shelf, const char *name, uint16_t port)
{
    struct member members[4];
    for (uint32_t i = 0; i < 4; i++) {
        members[i] = lab_member(shelf->lab, i < 3 ? i : 2);
        members[i].endpoints[2].purpose = ENDPOINT_GOSSIP;
        members[i].endpoints[2].address = members[i].endpoints[0].address;
        members[i].endpoint_count = 3;
    }
    members[2].state = MEMBER_DEAD;
    members[3].id.b[0] ^= 0xff;
    members[3].state = MEMBER_LEAVING; /* it owns nothing, and nobody needs its answer */
    snprintf(members[3].name, sizeof members[3].name, "%s", name);
    members[3].endpoints[2].address.port = port;
    for (uint32_t i = 0; i < 2; i++) {
        lab_event(
            shelf->lab, i,
            &(struct node_event){ .kind = NODE_VIEW, .view = { .members = members, .count = 4 } });
    }
    lab_run(shelf->lab, SEC(1));
}

static void dead_node_that_runs_again_as_another_one_is_no_reason(void **state)
{
    struct shelf *shelf = shelf_new(3);
    const uint16_t port = lab_member(shelf->lab, 2).endpoints[0].address.port;
    (void)state;
    lab_kill(shelf->lab, 2);
    tell_successor(shelf, "c", port);
    const char *text = status_of(shelf);
    assert_says(text, "\"verdict\":\"OK\"");
    assert_says(text, "\"dead\":0,");
    assert_says(text, "\"replaced\":1,");
    assert_says(told(shelf, 0, ADMIN_NODES), "\"state\":\"dead\",\"replaced_by\":\"");
    shelf_free(shelf);
}

static void dead_node_is_replaced_by_no_other_name_or_address(void **state)
{
    struct shelf *shelf = shelf_new(3);
    const uint16_t port = lab_member(shelf->lab, 2).endpoints[0].address.port;
    (void)state;
    lab_kill(shelf->lab, 2);
    tell_successor(shelf, "d", port);
    assert_says(status_of(shelf), "\"text\":\"node is dead\",\"node\":\"c\"");
    tell_successor(shelf, "c", (uint16_t)(port + 100));
    assert_says(status_of(shelf), "\"text\":\"node is dead\",\"node\":\"c\"");
    shelf_free(shelf);
}

static void node_that_does_not_answer_is_told_within_the_time(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    shelf->lab->nodes[1].frozen = true;
    const char *text = status_of(shelf);
    assert_says(text, "\"verdict\":\"DEGRADED\"");
    assert_says(text, "node does not answer");
    assert_says(text, "\"unreachable\":1");
    shelf_free(shelf);
}

static void node_that_leaves_in_order_need_not_answer(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    lab_leave(shelf->lab, 1);
    shelf->lab->nodes[1].frozen = true; /* its process has ended, and the others do not know yet */
    lab_run(shelf->lab, SEC(1));
    const char *text = status_of(shelf);
    assert_says(text, "\"verdict\":\"OK\"");
    assert_says(text, "\"leaving\":1,");
    assert_says(text, "\"unreachable\":0,");
    shelf_free(shelf);
}

/* Asked while it lived; dead when the time for its answer is over. */
static void node_that_died_meanwhile_is_one_reason_not_two(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    shelf->lab->nodes[1].frozen = true;
    const uint64_t admin = shelf_admin(shelf, 0, ADMIN_STATUS, span_text(""));
    lab_run(shelf->lab, MSEC(100));
    lab_kill(shelf->lab, 1);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(3));
    const struct shelf_answer *answer = shelf_answer(shelf, admin);
    assert_non_null(answer);
    assert_says(answer->text, "\"text\":\"node is dead\",\"node\":\"b\"");
    assert_null(strstr(answer->text, "node does not answer"));
    shelf_free(shelf);
}

static void broken_credential_file_is_a_reason_until_it_is_mended(void **state)
{
    struct shelf *shelf = shelf_new(2);
    struct node_event event = { .kind = NODE_CREDENTIALS };
    (void)state;
    event.credentials.names = span_text("other,reader");
    event.credentials.broken = 1;
    lab_event(shelf->lab, 1, &event);
    const char *text = status_of(shelf);
    assert_says(text, "\"verdict\":\"DEGRADED\"");
    assert_says(text, "\"text\":\"a credential's file cannot be used\",\"node\":\"b\"");
    event.credentials.broken = 0;
    lab_event(shelf->lab, 1, &event);
    assert_says(status_of(shelf), "\"verdict\":\"OK\"");
    shelf_free(shelf);
}

static void dead_node_was_heard_before_it_died(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    (void)status_of(shelf);
    lab_kill(shelf->lab, 1);
    lab_tell_members(shelf->lab);
    const char *text = strstr(told(shelf, 0, ADMIN_NODES), "\"name\":\"b\"");
    assert_non_null(text);
    assert_says(text, "\"state\":\"dead\"");
    assert_says(text, "\"heard_seconds\":2.9");
    shelf_free(shelf);
}

static void tell_seeds(struct shelf *shelf, bool silent)
{
    lab_event(shelf->lab, 0,
              &(struct node_event){ .kind = NODE_SEEDS, .seeds = { .silent = silent } });
}

static void node_that_no_seed_answers_is_degraded_and_ready(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    assert_says(status_of(shelf), "\"verdict\":\"OK\"");
    shelf->lab->nodes[0].node->options.seeds = "x:1,y:2";
    tell_seeds(shelf, true);
    const char *text = status_of(shelf);
    assert_says(text, "\"verdict\":\"DEGRADED\"");
    assert_says(text, "no seed answers: the node is a cluster of its own\",\"node\":\"a\"");
    assert_says(text, "\"next\":\"nobody has answered at --seeds x:1,y:2: check ");
    assert_says(text, "--insecure and this --cluster");
    assert_says(told(shelf, 0, ADMIN_READY), "seeds silent");
    assert_says(told(shelf, 0, ADMIN_METRICS), "atoll_seeds_silent 1\n");
    tell_seeds(shelf, false);
    assert_says(status_of(shelf), "\"verdict\":\"OK\"");
    assert_null(strstr(told(shelf, 0, ADMIN_READY), "seeds"));
    shelf_free(shelf);
}

static void node_that_waits_for_its_seeds_says_so(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct member member = lab_member(shelf->lab, 0);
    (void)state;
    member.incarnation++;
    member.state = MEMBER_WARMING;
    lab_event(
        shelf->lab, 0,
        &(struct node_event){ .kind = NODE_VIEW,
                              .view = { .members = &member, .count = 1, .gathering = true } });
    const char *text = status_of(shelf);
    assert_says(text, "\"verdict\":\"DEGRADED\"");
    assert_says(text, "no node owns the ring yet: this one waits for its seeds to answer");
    shelf_free(shelf);
}

static void tell_disk(struct shelf *shelf, uint32_t node, enum err err)
{
    lab_event(shelf->lab, node,
              &(struct node_event){ .kind = NODE_META_DISK, .meta_disk = { .err = err } });
}

static void disk_of_the_data_directory_is_a_reason_while_it_is_full(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        tell_disk(shelf, i, ERR_FULL);
        const char *text = status_of(shelf);
        assert_says(text, "\"verdict\":\"DEGRADED\"");
        assert_says(text, i == 0 ? "\"text\":\"the disk of --data-dir is full\",\"node\":\"a\""
                                 : "\"text\":\"the disk of --data-dir is full\",\"node\":\"b\"");
        assert_says(text, "\"next\":\"make room ");
        assert_says(told(shelf, i, ADMIN_METRICS), "atoll_data_dir_failing 1\n");
        tell_disk(shelf, i, ERR_OK);
        assert_says(status_of(shelf), "\"verdict\":\"OK\"");
        assert_says(told(shelf, i, ADMIN_METRICS), "atoll_data_dir_failing 0\n");
    }
    tell_disk(shelf, 1, ERR_SYSTEM);
    assert_says(status_of(shelf),
                "\"text\":\"nothing can be written to --data-dir\",\"node\":\"b\"");
    shelf_free(shelf);
}

static void numbers_of_the_nodes_are_added_up(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    shelf_put(shelf, "p/x", "v1", 1);
    shelf_mount(shelf, 0, shelf_owner(shelf, "p/"));
    shelf_root(shelf, 0, "p/");
    const char *text = status_of(shelf);
    assert_says(text, "\"lists\":1");
    assert_says(text, "\"size\":33554432"); /* two regions of 16 MiB */
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cluster_that_is_well_is_ok),
        cmocka_unit_test(dead_node_is_a_reason_with_what_to_do),
        cmocka_unit_test(dead_node_that_runs_again_as_another_one_is_no_reason),
        cmocka_unit_test(dead_node_is_replaced_by_no_other_name_or_address),
        cmocka_unit_test(node_that_does_not_answer_is_told_within_the_time),
        cmocka_unit_test(node_that_leaves_in_order_need_not_answer),
        cmocka_unit_test(node_that_died_meanwhile_is_one_reason_not_two),
        cmocka_unit_test(broken_credential_file_is_a_reason_until_it_is_mended),
        cmocka_unit_test(dead_node_was_heard_before_it_died),
        cmocka_unit_test(node_that_no_seed_answers_is_degraded_and_ready),
        cmocka_unit_test(node_that_waits_for_its_seeds_says_so),
        cmocka_unit_test(disk_of_the_data_directory_is_a_reason_while_it_is_full),
        cmocka_unit_test(numbers_of_the_nodes_are_added_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
