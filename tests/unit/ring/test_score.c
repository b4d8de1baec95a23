#include "tests/unit/ring/make.h"

/* log2 for x >= 1 by squaring, to 40 bits: what score.c does, but in floats and further. */
static double log2_slowly(double x)
{
    double result = 0;
    double bit = 1;
    for (; x >= 2; x /= 2) {
        result += 1;
    }
    for (uint32_t i = 0; i < 40; i++) {
        x *= x;
        bit /= 2;
        result += x >= 2 ? bit : 0;
        x = x >= 2 ? x / 2 : x;
    }
    return result;
}

static double distance(double a, double b)
{
    return a < b ? b - a : a - b;
}

static void level_is_the_logarithm_to_six_digits(void **state)
{
    (void)state;
    static struct score_table table;
    struct rng rng;
    print_message("seed 7\n");
    rng_init(&rng, 7, 0);
    score_table_init(&table, 18);
    for (uint32_t i = 0; i < 200000; i++) {
        uint32_t hash = (uint32_t)rng_next(&rng) >> (i % 32);
        double exact = 32.0 - log2_slowly((double)hash + 1.0);
        double level = (double)score_level_of(&table, hash) / (1 << SCORE_FRACTION);
        assert_true(distance(exact, level) < 3e-7);
    }
}

static void level_never_rises_with_the_hash(void **state)
{
    (void)state;
    static struct score_table table;
    score_table_init(&table, 18);
    assert_int_equal(score_level_of(&table, 0), 32u << SCORE_FRACTION);
    assert_int_equal(score_level_of(&table, UINT32_MAX), 0);
    uint32_t last = UINT32_MAX;
    for (uint64_t hash = 0; hash <= UINT32_MAX; hash += 1 + hash / 4096) {
        uint32_t level = score_level_of(&table, (uint32_t)hash);
        assert_true(level <= last);
        last = level;
    }
    for (uint32_t below = 0; below < 100000; below++) { /* where the winners are */
        assert_true(score_level_of(&table, UINT32_MAX - below) <=
                    score_level_of(&table, UINT32_MAX - below - 1));
    }
}

static void nodes_win_slots_by_weight(void **state)
{
    (void)state;
    enum { SLOTS = 1 << 17 };
    static struct score_table table;
    static const uint32_t weights[] = { 1, 2, 3, 65535, 65535, 40000 };
    uint32_t wins[6] = { 0 };
    score_table_init(&table, 17);
    for (uint32_t group = 0; group < 2; group++) {
        struct score_node nodes[3];
        double total = 0;
        for (uint32_t i = 0; i < 3; i++) {
            nodes[i] = score_node_make(make_id(i + 10 * group), weights[3 * group + i]);
            total += weights[3 * group + i];
        }
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
            uint64_t keys[3];
            score_fill(&table, nodes, 3, slot, keys);
            wins[3 * group + score_index(score_least(keys, 3))]++;
        }
        for (uint32_t i = 0; i < 3; i++) {
            double share = weights[3 * group + i] / total;
            double error = distance(wins[3 * group + i], SLOTS * share);
            assert_true(error * error < 16 * SLOTS * share * (1 - share)); /* 4 sigma */
        }
    }
}

static void every_slot_stands_in_one_place_of_a_nodes_order(void **state)
{
    static struct score_table table;
    static uint8_t seen[1 << 16];
    (void)state;
    for (uint32_t slots_log2 = 1; slots_log2 <= 16; slots_log2++) {
        const struct score_node node = score_node_make(make_id(slots_log2), 3);
        const struct score_back back = score_back_make(&node);
        memset(seen, 0, sizeof seen);
        score_table_init(&table, slots_log2);
        for (uint32_t slot = 0; slot < 1u << slots_log2; slot++) {
            uint32_t standing = score_standing(&table, &node, slot);
            assert_true(standing < 1u << slots_log2);
            assert_int_equal(seen[standing]++, 0);
            assert_int_equal(score_slot_at(&table, &back, standing), slot);
        }
    }
}

static void higher_standing_is_a_lower_level(void **state)
{
    static struct score_table table;
    const struct score_node node = score_node_make(make_id(9), 3);
    (void)state;
    score_table_init(&table, 12);
    uint32_t last = UINT32_MAX;
    for (uint32_t standing = 0; standing < 1u << 12; standing++) {
        uint32_t level = score_level_at(&table, &node, standing);
        assert_true(level < last);
        last = level;
    }
}

/* Shares of independent hashes vary by a root of slots a node; these by 0.71 of it (docs/ring.md),
 * half the variance. */
static void shares_vary_less_than_those_of_independent_hashes(void **state)
{
    enum { NODES = 30, ROUNDS = 40, SLOTS_LOG2 = 14 };
    static struct score_table table;
    const double mean = (double)(1 << SLOTS_LOG2) / NODES;
    double squares = 0;
    (void)state;
    score_table_init(&table, SLOTS_LOG2);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct score_node nodes[NODES];
        uint32_t wins[NODES] = { 0 };
        uint64_t keys[NODES];
        for (uint32_t i = 0; i < NODES; i++) {
            nodes[i] = score_node_make(make_id(1000 * round + i), 7);
        }
        for (uint32_t slot = 0; slot < 1u << SLOTS_LOG2; slot++) {
            score_fill(&table, nodes, NODES, slot, keys);
            wins[score_index(score_least(keys, NODES))]++;
        }
        for (uint32_t i = 0; i < NODES; i++) {
            squares += (wins[i] - mean) * (wins[i] - mean);
        }
    }
    double variance = squares / (NODES * ROUNDS);
    double independent = mean * (1 - 1.0 / NODES);
    assert_true(variance < 0.56 * independent);
    assert_true(variance > 0.44 * independent);
}

static void key_carries_score_and_index(void **state)
{
    (void)state;
    static struct score_table table;
    struct score_node nodes[2] = { score_node_make(make_id(1), 5), score_node_make(make_id(2), 9) };
    uint64_t keys[2];
    score_table_init(&table, 18);
    for (uint32_t slot = 0; slot < 1000; slot++) {
        score_fill(&table, nodes, 2, slot, keys);
        for (uint32_t i = 0; i < 2; i++) {
            uint64_t score = (uint64_t)score_level(&table, &nodes[i], slot) * nodes[i].inverse;
            assert_true(keys[i] >> 16 == score >> 16);
            assert_int_equal(score_index(keys[i]), i);
            assert_true(keys[i] < 1ull << 63);
        }
    }
}

static void least_is_found_in_any_place(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= 9; count++) {
        for (uint32_t place = 0; place < count; place++) {
            uint64_t keys[9];
            for (uint32_t i = 0; i < count; i++) {
                keys[i] = 100 + i;
            }
            keys[place] = 5;
            assert_int_equal(score_least(keys, count), 5);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(level_is_the_logarithm_to_six_digits),
        cmocka_unit_test(level_never_rises_with_the_hash),
        cmocka_unit_test(nodes_win_slots_by_weight),
        cmocka_unit_test(every_slot_stands_in_one_place_of_a_nodes_order),
        cmocka_unit_test(higher_standing_is_a_lower_level),
        cmocka_unit_test(shares_vary_less_than_those_of_independent_hashes),
        cmocka_unit_test(key_carries_score_and_index),
        cmocka_unit_test(least_is_found_in_any_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
