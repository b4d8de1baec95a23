/* tests/unit/node/core/test_rings_pools.c: rings of selectors: when they are made, for whom there is a
 * place, and what operators are told of them. */
#include "tests/unit/node/core/shelf.h"

#include "tests/unit/node/core/lab_inside.h"

#include <stdio.h>
#include <string.h>

#include "node/core/meta.h"

#define SOON MSEC(50)
#define MANY 20u /* more than there are places */

static struct dataset named(const struct shelf *shelf, const char *name, const char *selector)
{
    struct dataset dataset = shelf->dataset;
    snprintf(dataset.name, sizeof dataset.name, "%s", name);
    snprintf(dataset.selector, sizeof dataset.selector, "%s", selector);
    dataset.version = 0;
    memset(&dataset.writer, 0, sizeof dataset.writer);
    return dataset;
}

static void create(struct shelf *shelf, const char *name, const char *selector)
{
    struct dataset dataset = named(shelf, name, selector);
    uint64_t admin = shelf_create(shelf, 0, &dataset);
    lab_run(shelf->lab, SEC(6)); /* so long a second copy is waited for */
    assert_non_null(shelf_answer(shelf, admin));
    assert_int_equal(shelf_answer(shelf, admin)->err, ERR_OK);
}

/* Without asking for it; NULL: there is none. */
static const struct ring *ring_of(const struct shelf *shelf, uint32_t node, const char *selector)
{
    const struct rings_use *use = rings_find(shelf->lab->nodes[node].node, span_text(selector));
    return use == NULL ? NULL : use->ring;
}

static const struct shelf_answer *ask(struct shelf *shelf, uint32_t node, enum admin_kind kind,
                                      const char *argument)
{
    uint64_t admin = shelf_admin(shelf, node, kind, span_text(argument));
    lab_run(shelf->lab, SEC(3));
    assert_non_null(shelf_answer(shelf, admin));
    return shelf_answer(shelf, admin);
}

static void assert_says(const struct shelf_answer *answer, const char *words)
{
    if (strstr(answer->text, words) == NULL) {
        fail_msg("no %s in %s", words, answer->text);
    }
}

static bool marked(const struct shelf *shelf, const char *name)
{
    return marks_count(&shelf->lab->marks, name) > 0;
}

static void of_lab(struct shelf *shelf)
{
    strcpy(shelf->dataset.selector, "of=lab");
}

/* ---- learning of a dataset --------------------------------------------------------------- */

static void every_node_makes_the_ring_of_a_dataset_that_was_created(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    create(shelf, "nv", "of=lab");
    for (uint32_t i = 0; i < 3; i++) {
        assert_non_null(ring_of(shelf, i, "of=lab"));
        assert_int_equal(ring_count(ring_of(shelf, i, "of=lab")), 3);
    }
    shelf_free(shelf);
}

static void a_node_that_starts_makes_the_rings_of_its_own_store(void **state)
{
    struct shelf *shelf = shelf_new_with(2, of_lab);
    (void)state;
    lab_run(shelf->lab, SOON);
    assert_non_null(ring_of(shelf, 1, "of=lab"));
    lab_kill(shelf->lab, 1);
    lab_start(shelf->lab, 1);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SOON);
    assert_non_null(ring_of(shelf, 1, "of=lab"));
    shelf_free(shelf);
}

static void a_node_makes_the_rings_of_what_it_pulls(void **state)
{
    struct shelf *shelf = shelf_new(2);
    struct node_event event = { .kind = NODE_PEER_CATALOG };
    (void)state;
    lab_kill(shelf->lab, 1);
    create(shelf, "nv", "of=lab");
    lab_start(shelf->lab, 1);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(1));
    assert_null(ring_of(shelf, 1, "of=lab"));
    event.peer_catalog.node = shelf->lab->nodes[0].id;
    lab_event(shelf->lab, 1, &event);
    lab_run(shelf->lab, SOON);
    assert_non_null(ring_of(shelf, 1, "of=lab"));
    shelf_free(shelf);
}

static void a_dataset_made_again_with_other_labels_has_their_ring(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    create(shelf, "nv", "of=lab");
    assert_int_equal(ask(shelf, 0, ADMIN_DATASET_DELETE, "nv")->err, ERR_OK);
    create(shelf, "nv", "disk=none");
    for (uint32_t i = 0; i < 2; i++) {
        assert_non_null(ring_of(shelf, i, "disk=none"));
        assert_int_equal(ring_count(ring_of(shelf, i, "disk=none")), 0);
    }
    shelf_free(shelf);
}

/* ---- forgetting it ----------------------------------------------------------------------- */

static void a_ring_that_no_dataset_names_goes_after_the_hand_over(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    create(shelf, "nv", "of=lab");
    assert_int_equal(ask(shelf, 0, ADMIN_DATASET_DELETE, "nv")->err, ERR_OK);
    lab_run(shelf->lab, RING_HANDOVER_US - SEC(4));
    assert_non_null(ring_of(shelf, 0, "of=lab"));
    lab_run(shelf->lab, SEC(5));
    for (uint32_t i = 0; i < 2; i++) {
        assert_null(rings_find(shelf->lab->nodes[i].node, span_text("of=lab")));
    }
    assert_true(marked(shelf, "rings.use.unneeded"));
    shelf_free(shelf);
}

static void a_ring_stays_as_long_as_one_of_its_datasets_lives(void **state)
{
    struct shelf *shelf = shelf_new_with(1, of_lab);
    (void)state;
    create(shelf, "nv", "of=lab");
    assert_int_equal(ask(shelf, 0, ADMIN_DATASET_DELETE, "nv")->err, ERR_OK);
    lab_run(shelf->lab, 2 * RING_HANDOVER_US);
    assert_non_null(ring_of(shelf, 0, "of=lab"));
    shelf_free(shelf);
}

static void a_ring_that_was_asked_for_and_is_no_datasets_goes_too(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    struct node *node = shelf->lab->nodes[0].node;
    static struct node_effects effects;
    effects_begin(&node->effects, &effects);
    (void)rings_use(node, span_text("of=lab"));
    for (uint32_t i = 0; i < effects.count; i++) {
        lab_effect(shelf->lab, 0, &effects.items[i]);
    }
    lab_event(shelf->lab, 0, &(struct node_event){ .kind = NODE_TICK });
    lab_run(shelf->lab, SEC(1));
    assert_non_null(ring_of(shelf, 0, "of=lab"));
    lab_run(shelf->lab, RING_HANDOVER_US);
    assert_null(rings_find(node, span_text("of=lab")));
    shelf_free(shelf);
}

/* ---- more selectors than places ---------------------------------------------------------- */

/* One node with MANY datasets, none of which has the labels of any other. */
static struct shelf *shelf_of_many(uint32_t rings_ahead)
{
    struct shelf *shelf = shelf_new(1);
    lab_kill(shelf->lab, 0);
    shelf->lab->nodes[0].options.datasets_max = MANY + 1;
    shelf->lab->nodes[0].options.rings_ahead = rings_ahead;
    lab_start(shelf->lab, 0);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SOON);
    for (uint32_t i = 0; i < MANY; i++) {
        char name[16];
        char selector[16];
        snprintf(name, sizeof name, "set%u", (unsigned)i);
        snprintf(selector, sizeof selector, "pool=%u", (unsigned)i);
        create(shelf, name, selector);
    }
    return shelf;
}

static const struct ring *ring_of_number(const struct shelf *shelf, uint32_t index)
{
    char selector[16];
    snprintf(selector, sizeof selector, "pool=%u", (unsigned)index);
    return ring_of(shelf, 0, selector);
}

static uint32_t rings_of_many(const struct shelf *shelf)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        count += ring_of_number(shelf, i) != NULL ? 1 : 0;
    }
    return count;
}

/* A step of the node in which somebody asks for that ring. */
static void ask_for(struct shelf *shelf, uint32_t index)
{
    char path[16];
    snprintf(path, sizeof path, "set%u/", (unsigned)index);
    (void)ask(shelf, 0, ADMIN_WHERE, path);
}

static void the_first_selectors_have_the_places_until_others_are_asked_for(void **state)
{
    struct shelf *shelf = shelf_of_many(0);
    (void)state;
    assert_int_equal(rings_of_many(shelf), RINGS_MAX - 1);
    assert_null(ring_of_number(shelf, MANY - 1));
    assert_true(marked(shelf, "rings.use.left_out"));
    ask_for(shelf, MANY - 1);
    assert_non_null(ring_of_number(shelf, MANY - 1));
    assert_int_equal(rings_of_many(shelf), RINGS_MAX - 1);
    shelf_free(shelf);
}

static void who_is_asked_for_keeps_its_place(void **state)
{
    struct shelf *shelf = shelf_of_many(0);
    (void)state;
    ask_for(shelf, 0);
    for (uint32_t i = MANY - 1; i > MANY - RINGS_MAX + 1; i--) {
        ask_for(shelf, i);
        assert_non_null(ring_of_number(shelf, i));
    }
    assert_non_null(ring_of_number(shelf, 0));
    assert_int_equal(rings_of_many(shelf), RINGS_MAX - 1);
    const struct shelf_answer *answer = ask(shelf, 0, ADMIN_WHERE, "set1/");
    assert_int_equal(answer->err, ERR_BUSY); /* all have been asked for lately */
    assert_null(ring_of_number(shelf, 1));
    lab_run(shelf->lab, SEC(600));
    ask_for(shelf, 1);
    assert_non_null(ring_of_number(shelf, 1));
    assert_true(marked(shelf, "rings.use.replaced"));
    shelf_free(shelf);
}

static void no_more_rings_are_made_ahead_than_there_is_memory_for(void **state)
{
    struct shelf *shelf = shelf_of_many(2);
    (void)state;
    assert_int_equal(rings_of_many(shelf), 2);
    ask_for(shelf, 7);
    assert_int_equal(rings_of_many(shelf), 3);
    ask_for(shelf, 0); /* which makes room for another that is not asked for */
    assert_int_equal(ask(shelf, 0, ADMIN_DATASET_DELETE, "set19")->err, ERR_OK);
    assert_int_equal(rings_of_many(shelf), 4);
    shelf_free(shelf);
}

static void a_place_that_becomes_free_is_taken_by_who_was_left_out(void **state)
{
    struct shelf *shelf = shelf_of_many(0);
    (void)state;
    assert_null(ring_of_number(shelf, RINGS_MAX - 1));
    assert_int_equal(ask(shelf, 0, ADMIN_DATASET_DELETE, "set3")->err, ERR_OK);
    lab_run(shelf->lab, SOON);
    assert_non_null(ring_of_number(shelf, RINGS_MAX - 1));
    assert_null(ring_of_number(shelf, 3));
    shelf_free(shelf);
}

static void a_ring_that_nobody_asks_for_keeps_one_earlier_table(void **state)
{
    struct shelf *shelf = shelf_new_with(1, of_lab);
    struct lab *lab = shelf->lab;
    struct member member = lab_member(lab, 0);
    struct node_event event = { .kind = NODE_VIEW, .view = { .members = &member, .count = 1 } };
    (void)state;
    lab_run(lab, SOON);
    for (uint32_t i = 0; i < 3; i++) {
        member.version++;
        member.weight += 50;
        lab_event(lab, 0, &event);
        lab_run(lab, SOON);
    }
    assert_int_equal(rings_find(lab->nodes[0].node, span_text("of=lab"))->old_count, 1);
    assert_int_equal(rings_find(lab->nodes[0].node, span_text(""))->old_count, 3);
    shelf_free(shelf);
}

/* ---- what operators are told ------------------------------------------------------------- */

static void status_misses_labels_at_once_and_at_every_node(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    create(shelf, "nv", "disk=nvme");
    for (uint32_t i = 0; i < 3; i++) {
        const struct shelf_answer *answer = ask(shelf, i, ADMIN_STATUS, "");
        assert_says(answer, "\"verdict\":\"CRITICAL\"");
        assert_says(answer, "\"text\":\"no node has the labels that a dataset wants\"");
    }
    lab_kill(shelf->lab, 2);
    lab_start(shelf->lab, 2);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(1));
    assert_says(ask(shelf, 2, ADMIN_STATUS, ""), "\"verdict\":\"CRITICAL\"");
    shelf_free(shelf);
}

static void status_misses_labels_without_a_place_for_their_ring(void **state)
{
    struct shelf *shelf = shelf_of_many(1);
    (void)state;
    const struct shelf_answer *answer = ask(shelf, 0, ADMIN_STATUS, "");
    assert_says(answer, "\"node\":\"set0\"");
    assert_says(answer, "\"node\":\"set9\"");
    assert_int_equal(rings_of_many(shelf), 1); /* who looks does not ask */
    shelf_free(shelf);
}

/* All members have the label. */
static void tell_weight(struct shelf *shelf, uint32_t weight)
{
    struct member member = lab_member(shelf->lab, 0);
    struct node_event event = { .kind = NODE_VIEW, .view = { .members = &member, .count = 1 } };
    member.version = weight + 1;
    member.weight = (uint16_t)weight;
    lab_event(shelf->lab, 0, &event);
    lab_run(shelf->lab, SOON);
}

static void labels_that_only_nodes_of_weight_0_have_are_not_said_to_be_missing(void **state)
{
    struct shelf *shelf = shelf_new_with(1, of_lab);
    (void)state;
    shelf_put(shelf, "p/f", "v1", 1);
    assert_says(ask(shelf, 0, ADMIN_STATUS, ""), "\"verdict\":\"OK\"");
    tell_weight(shelf, 0);
    assert_says(ask(shelf, 0, ADMIN_STATUS, ""),
                "\"text\":\"the nodes with the labels that a dataset wants have weight 0\"");
    const struct shelf_answer *answer = ask(shelf, 0, ADMIN_WHERE, "train/f");
    assert_int_equal(answer->err, ERR_UNREACHABLE);
    assert_says(answer, "the nodes with the labels that the dataset wants have weight 0");
    shelf_free(shelf);
}

static void a_dataset_without_labels_does_not_miss_any(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf_put(shelf, "p/f", "v1", 1);
    tell_weight(shelf, 0);
    const struct shelf_answer *answer = ask(shelf, 0, ADMIN_STATUS, "");
    assert_says(answer, "every node has weight 0: nobody owns");
    assert_null(strstr(answer->text, "labels"));
    assert_says(ask(shelf, 0, ADMIN_WHERE, "train/f"), "every node has weight 0: nobody owns");
    shelf_free(shelf);
}

static void diff_knows_the_ring_of_every_dataset(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    assert_int_equal(ask(shelf, 1, ADMIN_RING_DIFF, "of=lab\n\n\n")->err, ERR_NOT_FOUND);
    create(shelf, "nv", "of=lab");
    for (uint32_t i = 0; i < 2; i++) {
        const struct shelf_answer *answer = ask(shelf, i, ADMIN_RING_DIFF, "of=lab\n\n\n");
        assert_int_equal(answer->err, ERR_OK);
        assert_says(answer, "\"selector\":\"of=lab\",\"change\":\"none\"");
        assert_says(ask(shelf, i, ADMIN_RING_DIFF, "of=lab\nb\n\n"), "\"change\":\"tried\"");
    }
    shelf_free(shelf);
}

static void diff_says_busy_while_the_ring_is_not_built(void **state)
{
    struct shelf *shelf = shelf_new_with(1, of_lab);
    (void)state;
    lab_run(shelf->lab, SOON);
    struct node *node = shelf->lab->nodes[0].node;
    node->rings.gathering = true; /* nothing is built meanwhile */
    create(shelf, "nv", "disk=none");
    assert_int_equal(ask(shelf, 0, ADMIN_RING_DIFF, "disk=none\n\n\n")->err, ERR_BUSY);
    tell_weight(shelf, 100);
    assert_int_equal(ask(shelf, 0, ADMIN_RING_DIFF, "disk=none\n\n\n")->err, ERR_OK);
    shelf_free(shelf);
}

static void where_waits_for_a_ring_that_is_not_built_yet(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf_put(shelf, "p/f", "v1", 10);
    struct node *node = shelf->lab->nodes[0].node;
    node->rings.gathering = true; /* nothing is built meanwhile */
    create(shelf, "nv", "of=lab");
    uint64_t file = shelf_admin(shelf, 0, ADMIN_WHERE, span_text("nv/f"));
    uint64_t root = shelf_admin(shelf, 0, ADMIN_WHERE, span_text("nv/"));
    lab_run(shelf->lab, SEC(1));
    assert_null(shelf_answer(shelf, file));
    assert_null(shelf_answer(shelf, root));
    assert_true(marked(shelf, "report.where.ringless"));
    tell_weight(shelf, 100); /* the cluster has gathered */
    lab_run(shelf->lab, SOON);
    assert_non_null(shelf_answer(shelf, file));
    assert_int_equal(shelf_answer(shelf, file)->err, ERR_OK);
    assert_says(shelf_answer(shelf, file), "\"blocks\":1");
    assert_says(shelf_answer(shelf, root), "\"directory_ranks\":[\"a\"]");
    shelf_free(shelf);
}

static void where_does_not_wait_for_ever(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    struct node *node = shelf->lab->nodes[0].node;
    node->rings.gathering = true;
    create(shelf, "nv", "of=lab");
    const struct shelf_answer *answer = ask(shelf, 0, ADMIN_WHERE, "nv/f");
    assert_int_equal(answer->err, ERR_BUSY);
    assert_says(answer, "could not be built in time");
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_makes_the_ring_of_a_dataset_that_was_created),
        cmocka_unit_test(a_node_that_starts_makes_the_rings_of_its_own_store),
        cmocka_unit_test(a_node_makes_the_rings_of_what_it_pulls),
        cmocka_unit_test(a_dataset_made_again_with_other_labels_has_their_ring),
        cmocka_unit_test(a_ring_that_no_dataset_names_goes_after_the_hand_over),
        cmocka_unit_test(a_ring_stays_as_long_as_one_of_its_datasets_lives),
        cmocka_unit_test(a_ring_that_was_asked_for_and_is_no_datasets_goes_too),
        cmocka_unit_test(the_first_selectors_have_the_places_until_others_are_asked_for),
        cmocka_unit_test(who_is_asked_for_keeps_its_place),
        cmocka_unit_test(no_more_rings_are_made_ahead_than_there_is_memory_for),
        cmocka_unit_test(a_place_that_becomes_free_is_taken_by_who_was_left_out),
        cmocka_unit_test(a_ring_that_nobody_asks_for_keeps_one_earlier_table),
        cmocka_unit_test(status_misses_labels_at_once_and_at_every_node),
        cmocka_unit_test(status_misses_labels_without_a_place_for_their_ring),
        cmocka_unit_test(labels_that_only_nodes_of_weight_0_have_are_not_said_to_be_missing),
        cmocka_unit_test(a_dataset_without_labels_does_not_miss_any),
        cmocka_unit_test(diff_knows_the_ring_of_every_dataset),
        cmocka_unit_test(diff_says_busy_while_the_ring_is_not_built),
        cmocka_unit_test(where_waits_for_a_ring_that_is_not_built_yet),
        cmocka_unit_test(where_does_not_wait_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
