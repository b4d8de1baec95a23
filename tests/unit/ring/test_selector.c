#include "tests/unit/ring/make.h"

static bool admits(const char *selector, const char *labels)
{
    struct member member = make_member(1, 1, "");
    strcpy(member.labels, labels);
    return selector_admits(span_text(selector), &member);
}

static void empty_selector_admits_everybody(void **state)
{
    (void)state;
    assert_true(admits("", ""));
    assert_true(admits("", "disk=nvme"));
}

static void all_pairs_must_hold(void **state)
{
    (void)state;
    assert_true(admits("disk=nvme", "disk=nvme,rack=7"));
    assert_true(admits("rack=7,disk=nvme", "disk=nvme,rack=7"));
    assert_false(admits("disk=nvme,rack=8", "disk=nvme,rack=7"));
    assert_false(admits("disk=nvme", ""));
}

static void a_pair_is_not_found_inside_another(void **state)
{
    (void)state;
    assert_false(admits("disk=nv", "disk=nvme"));
    assert_false(admits("k=7", "rack=7"));
    assert_false(admits("rack=7", "rack=77"));
}

static void well_formed_selectors_are_valid(void **state)
{
    (void)state;
    static const char *const valid[] = { "", "a=b", "disk=nvme,rack=7", "k8s.io/zone=eu-1_a" };
    for (size_t i = 0; i < ARRAY_COUNT(valid); i++) {
        assert_true(selector_is_valid(span_text(valid[i])));
    }
}

static void ill_formed_selectors_are_not_valid(void **state)
{
    (void)state;
    static const char *const invalid[] = { "a",       "a=",       "=b",    "a=b,",
                                           ",a=b",    "a=b,,c=d", "a b=c", "a=b=c",
                                           "a=1,a=2", "a=\x01",   ",",     "=" };
    for (size_t i = 0; i < ARRAY_COUNT(invalid); i++) {
        assert_false(selector_is_valid(span_text(invalid[i])));
    }
}

static void selector_longer_than_the_labels_can_be_is_not_valid(void **state)
{
    (void)state;
    char text[MEMBER_LABELS_MAX + 2];
    memset(text, 'a', sizeof text);
    text[1] = '=';
    assert_true(selector_is_valid(span_of(text, MEMBER_LABELS_MAX)));
    assert_false(selector_is_valid(span_of(text, MEMBER_LABELS_MAX + 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_selector_admits_everybody),
        cmocka_unit_test(all_pairs_must_hold),
        cmocka_unit_test(a_pair_is_not_found_inside_another),
        cmocka_unit_test(well_formed_selectors_are_valid),
        cmocka_unit_test(ill_formed_selectors_are_not_valid),
        cmocka_unit_test(selector_longer_than_the_labels_can_be_is_not_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
