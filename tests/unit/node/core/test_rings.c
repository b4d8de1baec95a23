/* tests/unit/node/core/test_rings.c: the node's view, who is told of it, and earlier tables. */
#include "tests/unit/node/core/lab_inside.h"

#include "node/core/rings.h"

#include <string.h>

#define REGION ((size_t)8 << 20)

static void tell(struct lab *lab, uint32_t node, const struct member *members, uint32_t count)
{
    lab_event(
        lab, node,
        &(struct node_event){ .kind = NODE_VIEW, .view = { .members = members, .count = count } });
}

static void view_get(struct lab *lab, uint64_t digest, bool subscribe)
{
    struct message message = { .kind = MESSAGE_VIEW_GET,
                               .view_get = { .digest = digest, .subscribe = subscribe } };
    lab_client_send(lab, lab->clients[0].control, &message);
    lab_run(lab, MSEC(2));
}

static void a_view_is_answered_and_an_equal_one_is_empty(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    lab_client_open(lab, 0, 0);
    view_get(lab, 0, false);
    const struct message_view *view =
        &lab_client_find(&lab->clients[0], MESSAGE_VIEW, 0)->message.view;
    struct span left = view->members;
    struct member member;
    assert_int_equal(member_decode(&left, &member), ERR_OK);
    assert_int_equal(member_decode(&left, &member), ERR_OK);
    assert_int_equal(left.size, 0);
    uint64_t digest = view->digest;
    view_get(lab, digest, false);
    view = &lab_client_find(&lab->clients[0], MESSAGE_VIEW, 0)->message.view;
    assert_int_equal(view->members.size, 0);
    assert_true(view->digest == digest);
    lab_free(lab);
}

static void subscribers_are_told_once_for_changes_that_come_together(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    lab_client_open(lab, 0, 0);
    view_get(lab, 0, true);
    struct member members[2];
    members[0] = *view_find(lab->nodes[0].node->rings.view, lab->nodes[0].id);
    members[1] = *view_find(lab->nodes[0].node->rings.view, lab->nodes[1].id);
    for (uint32_t i = 0; i < 5; i++) {
        members[1].version++;
        members[1].weight++;
        tell(lab, 0, members, 2);
    }
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_count(&lab->clients[0], MESSAGE_VIEW, 0), 2);
    const struct message_view *view =
        &lab_client_find(&lab->clients[0], MESSAGE_VIEW, 0)->message.view;
    assert_true(view->digest == lab->nodes[0].node->rings.digest);
    lab_free(lab);
}

static void a_tombstone_that_gossip_forgot_is_forgotten(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    struct node *node = lab->nodes[0].node;
    struct member members[2];
    members[0] = *view_find(node->rings.view, lab->nodes[0].id);
    members[1] = *view_find(node->rings.view, lab->nodes[1].id);
    members[1].state = MEMBER_DEAD;
    tell(lab, 0, members, 2);
    assert_non_null(view_find(node->rings.view, lab->nodes[1].id));
    tell(lab, 0, members, 1);
    assert_null(view_find(node->rings.view, lab->nodes[1].id));
    lab_free(lab);
}

static void a_tombstone_is_kept_wherever_it_stands_in_the_view(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    struct node *node = lab->nodes[0].node;
    struct member members[2];
    members[0] = *view_find(node->rings.view, lab->nodes[0].id);
    members[1] = *view_find(node->rings.view, lab->nodes[1].id);
    members[1].state = MEMBER_DEAD;
    const struct member turned[2] = { members[1], members[0] };
    tell(lab, 0, members, 2);
    tell(lab, 0, turned, 2);
    assert_int_equal(view_find(node->rings.view, lab->nodes[1].id)->state, MEMBER_DEAD);
    assert_int_equal(marks_count(&lab->marks, "rings.view.forgotten"), 0);
    lab_free(lab);
}

/* A node that has just started, and knows itself only, would own everything. */
static void no_ring_is_built_while_the_cluster_gathers(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    lab_kill(lab, 0);
    lab_start(lab, 0);
    struct node *node = lab->nodes[0].node;
    struct member member = *view_find(lab->nodes[1].node->rings.view, lab->nodes[0].id);
    struct node_event event = { .kind = NODE_VIEW,
                                .view = { .members = &member, .count = 1, .gathering = true } };
    lab_event(lab, 0, &event);
    lab_run(lab, MSEC(100));
    assert_null(rings_current(node, span_of(NULL, 0)));
    assert_non_null(view_find(node->rings.view, lab->nodes[0].id));
    event.view.gathering = false;
    lab_event(lab, 0, &event);
    lab_run(lab, MSEC(100));
    assert_non_null(rings_current(node, span_of(NULL, 0)));
    lab_free(lab);
}

/* What a peer tells of a member that gossip has not told yet. */
static void peer_tells(struct lab *lab, const struct member *member)
{
    static uint8_t record[MEMBER_RECORD_MAX];
    size_t used = 0;
    assert_int_equal(member_encode(member, record, sizeof record, &used), ERR_OK);
    struct node *node = lab->nodes[0].node;
    struct node_effects effects;
    effects_begin(&node->effects, &effects);
    rings_on_peer_view(node, &(struct message_view){ .digest = 1,
                                                     .members = span_of(record, used),
                                                     .slots_log2 = lab->slots_log2 });
}

static void a_peers_newer_record_is_believed_until_gossip_should_have_told(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    struct node *node = lab->nodes[0].node;
    struct member stranger = *view_find(node->rings.view, lab->nodes[1].id);
    stranger.id.b[0] = 99;
    peer_tells(lab, &stranger);
    assert_non_null(view_find(node->rings.view, stranger.id));
    lab_run(lab, RING_BORROW_US + SEC(1));
    assert_null(view_find(node->rings.view, stranger.id));
    peer_tells(lab, &stranger);
    struct member members[3];
    members[0] = *view_find(node->rings.view, lab->nodes[0].id);
    members[1] = *view_find(node->rings.view, lab->nodes[1].id);
    members[2] = stranger;
    tell(lab, 0, members, 3);
    lab_run(lab, RING_BORROW_US + SEC(1));
    assert_non_null(view_find(node->rings.view, stranger.id));
    lab_free(lab);
}

static void a_peer_cannot_bury_anybody(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    struct node *node = lab->nodes[0].node;
    struct member dead = *view_find(node->rings.view, lab->nodes[1].id);
    dead.state = MEMBER_DEAD;
    dead.incarnation++;
    peer_tells(lab, &dead);
    assert_int_equal(view_find(node->rings.view, dead.id)->state, MEMBER_OWNING);
    lab_free(lab);
}

static void earlier_owners_are_known_for_a_minute(void **state)
{
    (void)state;
    struct lab *lab = lab_new(3, REGION, 0);
    struct node *node = lab->nodes[0].node;
    struct node_id ids[RINGS_KEPT];
    struct place place = { 0 };
    struct node_id owner;
    do { /* one that node c owns */
        place.v += UINT64_C(0x0123456789abcdef);
        (void)rings_owners(node, span_text(""), place, 1, &owner);
    } while (!node_id_equal(owner, lab->nodes[2].id));
    lab_kill(lab, 2);
    lab_tell_members(lab);
    lab_run(lab, SEC(1));
    assert_int_equal(rings_previous(node, span_text(""), place, ids), 1);
    assert_true(node_id_equal(ids[0], lab->nodes[2].id));
    lab_run(lab, RING_HANDOVER_US);
    assert_int_equal(rings_previous(node, span_text(""), place, ids), 0);
    assert_int_equal(node->rings.use[0].old_count, 1); /* it stays for `atoll ring diff` */
    lab_free(lab);
}

static void no_more_than_eight_earlier_tables_are_kept(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    struct node *node = lab->nodes[0].node;
    struct member members[2];
    members[0] = *view_find(node->rings.view, lab->nodes[0].id);
    members[1] = *view_find(node->rings.view, lab->nodes[1].id);
    for (uint32_t i = 0; i < 12; i++) {
        members[1].version++;
        members[1].weight += 50;
        tell(lab, 0, members, 2);
        lab_run(lab, MSEC(50));
    }
    assert_int_equal(node->rings.use[0].old_count, RINGS_KEPT);
    assert_true(marks_count(&lab->marks, "rings.old.many") > 0);
    lab_free(lab);
}

static void a_change_that_moves_no_block_keeps_the_ring(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    struct node *node = lab->nodes[0].node;
    const struct ring *before = rings_current(node, span_text(""));
    struct member members[2];
    members[0] = *view_find(node->rings.view, lab->nodes[0].id);
    members[1] = *view_find(node->rings.view, lab->nodes[1].id);
    members[1].version++;
    members[1].serve_weight++;
    uint64_t builds = node->metrics.ring_builds;
    tell(lab, 0, members, 2);
    lab_run(lab, MSEC(50));
    assert_int_equal(node->metrics.ring_builds, builds + 1);
    assert_ptr_equal(rings_current(node, span_text("")), before);
    assert_int_equal(node->rings.use[0].old_count, 0);
    lab_free(lab);
}

static void a_selector_has_a_ring_of_its_own(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    struct node *node = lab->nodes[0].node;
    struct node_effects effects;
    effects_begin(&node->effects, &effects);
    assert_null(rings_current(node, span_text("disk=nvme")));
    assert_int_equal(effects.count, 1);
    assert_int_equal(effects.items[0].kind, NODE_RING_BUILD);
    assert_true(span_equal(effects.items[0].ring_build.selector, span_text("disk=nvme")));
    lab_effect(lab, 0, &effects.items[0]);
    lab_run(lab, MSEC(10));
    const struct ring *ring = rings_current(node, span_text("disk=nvme"));
    assert_non_null(ring);
    assert_int_equal(ring_count(ring), 0); /* nobody has that label */
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_is_answered_and_an_equal_one_is_empty),
        cmocka_unit_test(subscribers_are_told_once_for_changes_that_come_together),
        cmocka_unit_test(a_tombstone_that_gossip_forgot_is_forgotten),
        cmocka_unit_test(a_tombstone_is_kept_wherever_it_stands_in_the_view),
        cmocka_unit_test(no_ring_is_built_while_the_cluster_gathers),
        cmocka_unit_test(a_peers_newer_record_is_believed_until_gossip_should_have_told),
        cmocka_unit_test(a_peer_cannot_bury_anybody),
        cmocka_unit_test(earlier_owners_are_known_for_a_minute),
        cmocka_unit_test(no_more_than_eight_earlier_tables_are_kept),
        cmocka_unit_test(a_change_that_moves_no_block_keeps_the_ring),
        cmocka_unit_test(a_selector_has_a_ring_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
