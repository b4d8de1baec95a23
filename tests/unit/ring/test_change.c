/* A ring made from the one before is the ring made from nothing, bit for bit.
 *
 *     test_ring_change --histories 1000000 --seed 1    as many lives of clusters, each with its seed
 */
#include "tests/unit/ring/history.h"
#include "tests/unit/ring/naive.h"

static struct made_ring make_from(const struct ring *previous, const struct history *history,
                                  uint32_t slots_log2)
{
    struct made_ring made;
    struct arena mem;
    const size_t size = ring_memory(history->count, slots_log2);
    const struct ring_options options = { .slots_log2 = slots_log2,
                                          .selector = span_text(""),
                                          .previous = previous };
    made.memory = malloc(size);
    assert_non_null(made.memory);
    arena_init(&mem, made.memory, size);
    assert_int_equal(ring_build(&mem, history->members, history->count, &options, &made.ring),
                     ERR_OK);
    assert_true(mem.used <= ring_size(history->count, slots_log2));
    return made;
}

/* A cluster with members that come and go at random; each ring is made from the one before, and from
 * nothing. Returns how many were updated. */
static uint32_t live(uint64_t seed, uint32_t most, uint32_t steps, uint32_t slots_log2)
{
    struct history history;
    uint32_t updated = 0;
    history_begin(&history, seed, most);
    struct made_ring ring = make_from(NULL, &history, slots_log2);
    for (uint32_t step = 0; step < steps; step++) {
        history_change(&history);
        struct made_ring next = make_from(ring.ring, &history, slots_log2);
        struct made_ring anew = make_from(NULL, &history, slots_log2);
        if (!ring_equal(next.ring, anew.ring)) {
            fail_msg("seed %llu, at most %u members, step %u, 2^%u slots", (unsigned long long)seed,
                     most, step, slots_log2);
        }
        updated += ring_is_updated(next.ring) ? 1 : 0;
        free(ring.memory);
        free(anew.memory);
        ring = next;
    }
    free(ring.memory);
    return updated;
}

static void rings_are_what_they_are_defined_to_be(void **state)
{
    (void)state;
    print_message("seeds 1 to 120\n");
    for (uint32_t seed = 1; seed <= 120; seed++) {
        struct history history;
        history_begin(&history, seed, NAIVE_NODES_MAX);
        struct made_ring made = make_from(NULL, &history, 1 + seed % NAIVE_SLOTS_LOG2_MAX);
        assert_false(ring_is_updated(made.ring));
        assert_naive(made.ring);
        free(made.memory);
    }
}

static void updated_rings_are_those_made_from_nothing(void **state)
{
    uint32_t updated = 0;
    (void)state;
    print_message("seeds 1 to 300\n");
    for (uint32_t seed = 1; seed <= 300; seed++) {
        updated += live(seed, seed % 4 == 0 ? HISTORY_MEMBERS_MAX : 40, 20, 1 + seed % 11);
    }
    print_message("%u of 6000 updated\n", updated);
    assert_true(updated > 4000);
}

/* Histories of one to eight steps, most of them of small clusters. */
static int live_long(uint64_t histories, uint64_t seed)
{
    uint64_t steps = 0;
    uint64_t updated = 0;
    for (uint64_t i = 0; i < histories; i++) {
        uint32_t count = 1 + (uint32_t)(i % 8);
        steps += count;
        updated +=
            live(seed + i, i % 16 == 0 ? HISTORY_MEMBERS_MAX : 24, count, 1 + (uint32_t)(i % 9));
    }
    printf("%llu histories from seed %llu: %llu rings made from the one before and from nothing, "
           "%llu of them updated: all equal\n",
           (unsigned long long)histories, (unsigned long long)seed, (unsigned long long)steps,
           (unsigned long long)updated);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_are_what_they_are_defined_to_be),
        cmocka_unit_test(updated_rings_are_those_made_from_nothing),
    };
    if (argc == 5 && strcmp(argv[1], "--histories") == 0 && strcmp(argv[3], "--seed") == 0) {
        return live_long(strtoull(argv[2], NULL, 10), strtoull(argv[4], NULL, 10));
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
