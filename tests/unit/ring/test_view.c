#include "tests/unit/ring/make.h"

#define LIMIT 8u

struct made_view {
    struct view *view;
    void *memory;
};

static struct made_view make_view(uint32_t limit)
{
    struct made_view made;
    struct arena mem;
    made.memory = malloc(view_memory(limit));
    arena_init(&mem, made.memory, view_memory(limit));
    assert_int_equal(view_new(&mem, limit, &made.view), ERR_OK);
    return made;
}

/* Few ids, incarnations, versions and states, so that most pairs of records meet. */
static struct member random_member(struct rng *rng)
{
    static const char *const zones[] = { "a", "b" };
    struct member member =
        make_member(rng_below(rng, 4), 1 + (uint32_t)rng_below(rng, 2), zones[rng_below(rng, 2)]);
    member.incarnation = 1 + rng_below(rng, 3);
    member.version = (uint32_t)rng_below(rng, 3);
    member.state = (enum member_state)rng_below(rng, 5);
    return member;
}

static void assert_views_equal(const struct view *a, const struct view *b)
{
    uint32_t count_a;
    uint32_t count_b;
    const struct member *left = view_members(a, &count_a);
    const struct member *right = view_members(b, &count_b);
    assert_int_equal(count_a, count_b);
    assert_true(view_digest(a) == view_digest(b));
    for (uint32_t i = 0; i < count_a; i++) {
        uint8_t bytes_a[MEMBER_RECORD_MAX];
        uint8_t bytes_b[MEMBER_RECORD_MAX];
        size_t used_a;
        size_t used_b;
        assert_int_equal(member_encode(&left[i], bytes_a, sizeof bytes_a, &used_a), ERR_OK);
        assert_int_equal(member_encode(&right[i], bytes_b, sizeof bytes_b, &used_b), ERR_OK);
        assert_int_equal(used_a, used_b);
        assert_memory_equal(bytes_a, bytes_b, used_a);
    }
}

static void merge_all(struct view *to, const struct view *from)
{
    uint32_t count;
    const struct member *members = view_members(from, &count);
    for (uint32_t i = 0; i < count; i++) {
        view_merge(to, &members[i], NULL);
    }
}

static void merging_does_not_depend_on_order_grouping_or_repetition(void **state)
{
    (void)state;
    enum { RECORDS = 12 };
    struct rng rng;
    print_message("seed 5\n");
    rng_init(&rng, 5, 0);
    for (uint32_t round = 0; round < 300; round++) {
        struct member members[RECORDS];
        struct made_view one = make_view(LIMIT);
        struct made_view two = make_view(LIMIT);
        struct made_view half = make_view(LIMIT);
        for (uint32_t i = 0; i < RECORDS; i++) {
            members[i] = random_member(&rng);
            view_merge(one.view, &members[i], NULL);
        }
        shuffle_members(members, RECORDS, &rng);
        for (uint32_t i = 0; i < RECORDS; i++) {
            view_merge(i < RECORDS / 2 ? two.view : half.view, &members[i], NULL);
        }
        merge_all(two.view, half.view);
        merge_all(two.view, two.view);
        assert_views_equal(one.view, two.view);
        free(one.memory);
        free(two.memory);
        free(half.memory);
    }
}

static void change_is_told_exactly_when_there_was_one(void **state)
{
    (void)state;
    struct made_view made = make_view(LIMIT);
    struct member member = make_member(1, 5, "a");
    assert_true(view_merge(made.view, &member, NULL));
    assert_false(view_merge(made.view, &member, NULL));
    member.version++;
    assert_true(view_merge(made.view, &member, NULL));
    member.version--;
    assert_false(view_merge(made.view, &member, NULL));
    free(made.memory);
}

static void higher_incarnation_brings_the_dead_back(void **state)
{
    (void)state;
    struct made_view made = make_view(LIMIT);
    struct member member = make_member(1, 5, "a");
    member.state = MEMBER_DEAD;
    view_merge(made.view, &member, NULL);
    member.state = MEMBER_OWNING;
    assert_false(view_merge(made.view, &member, NULL));
    member.incarnation++;
    member.state = MEMBER_WARMING;
    assert_true(view_merge(made.view, &member, NULL));
    assert_int_equal(view_find(made.view, member.id)->state, MEMBER_WARMING);
    free(made.memory);
}

static void later_state_and_newer_facts_both_win(void **state)
{
    (void)state;
    struct made_view made = make_view(LIMIT);
    struct member facts = make_member(1, 5, "a");
    struct member cut = make_member(1, 9, "a");
    facts.state = MEMBER_WARMING;
    facts.version = 3;
    cut.state = MEMBER_OWNING;
    cut.version = 2;
    view_merge(made.view, &facts, NULL);
    view_merge(made.view, &cut, NULL);
    const struct member *found = view_find(made.view, facts.id);
    assert_int_equal(found->state, MEMBER_OWNING);
    assert_int_equal(found->weight, 5);
    assert_int_equal(found->version, 3);
    free(made.memory);
}

static void members_are_sorted_by_id(void **state)
{
    (void)state;
    struct made_view made = make_view(20);
    for (uint32_t i = 0; i < 20; i++) {
        struct member member = make_member(i, 1, "");
        assert_true(view_merge(made.view, &member, NULL));
    }
    uint32_t count;
    const struct member *members = view_members(made.view, &count);
    assert_int_equal(count, 20);
    for (uint32_t i = 1; i < count; i++) {
        assert_true(node_id_compare(members[i - 1].id, members[i].id) < 0);
    }
    free(made.memory);
}

static void full_view_takes_no_new_member_but_still_merges(void **state)
{
    (void)state;
    struct made_view made = make_view(2);
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < 2; i++) {
        struct member member = make_member(i, 1, "");
        assert_true(view_merge(made.view, &member, &err));
        assert_int_equal(err, ERR_OK);
    }
    struct member third = make_member(2, 1, "");
    uint64_t before = view_digest(made.view);
    assert_false(view_merge(made.view, &third, &err));
    assert_int_equal(err, ERR_FULL);
    assert_true(view_digest(made.view) == before);
    struct member first = make_member(0, 7, "");
    first.version = 2;
    assert_true(view_merge(made.view, &first, &err));
    assert_int_equal(err, ERR_OK);
    free(made.memory);
}

static void digest_is_of_the_living_only(void **state)
{
    (void)state;
    struct made_view made = make_view(LIMIT);
    struct member alive = make_member(1, 5, "a");
    struct member dead = make_member(2, 5, "a");
    dead.state = MEMBER_DEAD;
    assert_true(view_digest(made.view) == 0);
    view_merge(made.view, &alive, NULL);
    uint64_t one = view_digest(made.view);
    assert_true(one != 0);
    view_merge(made.view, &dead, NULL);
    assert_true(view_digest(made.view) == one);
    view_forget(made.view, dead.id);
    assert_null(view_find(made.view, dead.id));
    assert_true(view_digest(made.view) == one);
    alive.state = MEMBER_LEFT;
    view_merge(made.view, &alive, NULL);
    assert_true(view_digest(made.view) == 0);
    free(made.memory);
}

static void digest_tells_every_difference_apart(void **state)
{
    (void)state;
    struct member members[6];
    uint64_t digests[6];
    for (uint32_t i = 0; i < 6; i++) {
        members[i] = make_member(1, 5, "a");
    }
    members[1].incarnation++;
    members[2].version++;
    members[3].state = MEMBER_WARMING;
    members[4].weight++;
    members[5].endpoints[0].address.port++;
    for (uint32_t i = 0; i < 6; i++) {
        struct made_view made = make_view(LIMIT);
        view_merge(made.view, &members[i], NULL);
        digests[i] = view_digest(made.view);
        for (uint32_t j = 0; j < i; j++) {
            assert_true(digests[j] != digests[i]);
        }
        free(made.memory);
    }
}

static void owners_are_counted(void **state)
{
    (void)state;
    struct made_view made = make_view(LIMIT);
    struct member member = make_member(1, 5, "a");
    member.state = MEMBER_WARMING;
    view_merge(made.view, &member, NULL);
    assert_false(view_has_owner(made.view));
    member.state = MEMBER_OWNING;
    view_merge(made.view, &member, NULL);
    assert_true(view_has_owner(made.view));
    member.state = MEMBER_LEAVING;
    view_merge(made.view, &member, NULL);
    assert_false(view_has_owner(made.view));
    free(made.memory);
}

static void address_is_found_by_purpose(void **state)
{
    (void)state;
    struct member member = make_member(1, 5, "a");
    member.endpoint_count = 2;
    member.endpoints[1].purpose = ENDPOINT_DATA;
    member.endpoints[1].address.port = 9;
    assert_int_equal(member_address(&member, ENDPOINT_DATA)->port, 9);
    assert_int_equal(member_address(&member, ENDPOINT_CONTROL)->port, 7001);
    assert_null(member_address(&member, ENDPOINT_GOSSIP));
}

static void too_small_an_arena_is_an_error_and_takes_nothing(void **state)
{
    (void)state;
    struct arena mem;
    struct view *view = NULL;
    uint8_t memory[256];
    arena_init(&mem, memory, sizeof memory);
    assert_int_equal(view_new(&mem, LIMIT, &view), ERR_NOMEM);
    assert_null(view);
    assert_int_equal(mem.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merging_does_not_depend_on_order_grouping_or_repetition),
        cmocka_unit_test(change_is_told_exactly_when_there_was_one),
        cmocka_unit_test(higher_incarnation_brings_the_dead_back),
        cmocka_unit_test(later_state_and_newer_facts_both_win),
        cmocka_unit_test(members_are_sorted_by_id),
        cmocka_unit_test(full_view_takes_no_new_member_but_still_merges),
        cmocka_unit_test(digest_is_of_the_living_only),
        cmocka_unit_test(digest_tells_every_difference_apart),
        cmocka_unit_test(owners_are_counted),
        cmocka_unit_test(address_is_found_by_purpose),
        cmocka_unit_test(too_small_an_arena_is_an_error_and_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
