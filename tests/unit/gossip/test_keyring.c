/* tests/unit/gossip/test_keyring.c: rings that merge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/rng.h"
#include "gossip/keyring.h"

static struct cluster_key key_of(uint32_t era, uint32_t number, uint8_t byte)
{
    struct cluster_key key = { .era = era, .number = number, .ttl_s = 10 };
    memset(key.gossip, byte, sizeof key.gossip);
    memset(key.capability, byte + 1, sizeof key.capability);
    memset(key.sign_secret, (int)era + 1, sizeof key.sign_secret);
    return key;
}

static struct keyring ring_of(uint8_t byte)
{
    struct cluster_key key = key_of(0, 1, byte);
    struct keyring ring;
    keyring_init(&ring, &key);
    return ring;
}

static enum err rotate(struct keyring *ring, uint8_t byte, bool revokes)
{
    struct key_rotation rotation = { .key = key_of(0, 0, byte), .revokes = revokes };
    memset(rotation.key.sign_secret, 0xaa, sizeof rotation.key.sign_secret);
    return keyring_install(ring, &rotation);
}

static void force(struct keyring *ring, uint8_t byte, uint32_t ttl_s)
{
    struct key_rotation rotation = { .key = key_of(0, 0, byte), .is_forced = true };
    rotation.key.ttl_s = ttl_s;
    assert_int_equal(keyring_install(ring, &rotation), ERR_OK);
}

/* All three steps. */
static void rotate_whole(struct keyring *ring, uint8_t byte, bool revokes)
{
    assert_int_equal(rotate(ring, byte, revokes), ERR_OK);
    keyring_use(ring);
    keyring_retire(ring);
}

static uint8_t newest(const struct keyring *ring)
{
    return keyring_newest(ring)->gossip[0];
}

static uint8_t present(const struct keyring *ring)
{
    return keyring_present(ring)->gossip[0];
}

static bool opens(const struct keyring *ring, uint8_t byte)
{
    for (uint32_t i = 0; i < ring->count; i++) {
        if (ring->keys[i].gossip[0] == byte) {
            return true;
        }
    }
    return false;
}

static bool is_retired(const struct keyring *ring, uint8_t byte)
{
    for (uint32_t i = 0; i < ring->retired_count; i++) {
        if (ring->retired[i].gossip[0] == byte) {
            return true;
        }
    }
    return false;
}

static void a_new_key_opens_before_it_seals(void **state)
{
    (void)state;
    struct keyring ring = ring_of(1);
    assert_int_equal(rotate(&ring, 2, false), ERR_OK);
    assert_int_equal(ring.count, 2);
    assert_int_equal(newest(&ring), 2);
    assert_int_equal(present(&ring), 1);
    assert_int_equal(keyring_newest(&ring)->number, 2);
    keyring_use(&ring);
    assert_int_equal(present(&ring), 2);
    assert_true(opens(&ring, 1));
    keyring_retire(&ring);
    assert_int_equal(ring.count, 1);
    assert_false(opens(&ring, 1));
    assert_true(is_retired(&ring, 1));
}

static void only_the_last_two_retired_keys_are_kept(void **state)
{
    (void)state;
    struct keyring ring = ring_of(1);
    for (uint8_t byte = 2; byte <= 5; byte++) {
        rotate_whole(&ring, byte, false);
    }
    assert_int_equal(ring.retired_count, 2);
    assert_true(is_retired(&ring, 4) && is_retired(&ring, 3));
}

static void a_rotation_keeps_the_signing_key_unless_it_revokes(void **state)
{
    (void)state;
    struct keyring ring = ring_of(1);
    rotate_whole(&ring, 2, false);
    assert_int_equal(keyring_newest(&ring)->sign_secret[0], 1);
    rotate_whole(&ring, 3, true);
    assert_int_equal(keyring_newest(&ring)->sign_secret[0], 0xaa);
    assert_int_equal(keyring_newest(&ring)->era, 1);
}

static void a_revoking_rotation_leaves_no_retired_key_behind(void **state)
{
    (void)state;
    struct keyring ring = ring_of(1);
    rotate_whole(&ring, 2, false);
    assert_int_equal(rotate(&ring, 3, true), ERR_OK);
    assert_int_equal(ring.retired_count, 0);
    assert_true(opens(&ring, 2)); /* until all use the new one */
    keyring_use(&ring);
    keyring_retire(&ring);
    assert_int_equal(ring.retired_count, 0);
}

static void a_second_rotation_waits_until_the_first_is_over(void **state)
{
    (void)state;
    for (uint32_t revokes = 0; revokes <= 1; revokes++) {
        struct keyring ring = ring_of(1);
        assert_int_equal(rotate(&ring, 2, false), ERR_OK);
        assert_int_equal(rotate(&ring, 3, revokes), ERR_ROTATING);
        keyring_use(&ring);
        const struct keyring before = ring;
        assert_int_equal(rotate(&ring, 3, revokes), ERR_ROTATING);
        assert_memory_equal(&ring, &before, sizeof ring);
        keyring_retire(&ring);
        assert_int_equal(rotate(&ring, 3, revokes), ERR_OK);
    }
}

static void a_secret_that_was_used_is_no_new_key(void **state)
{
    (void)state;
    struct keyring ring = ring_of(1);
    assert_int_equal(rotate(&ring, 1, false), ERR_INVALID);
    rotate_whole(&ring, 2, false);
    assert_int_equal(rotate(&ring, 1, true), ERR_INVALID); /* retired */
    assert_int_equal(rotate(&ring, 2, true), ERR_INVALID);
    assert_int_equal(rotate(&ring, 3, false), ERR_OK);
}

static void a_forced_rotation_waits_for_none(void **state)
{
    (void)state;
    struct keyring ring = ring_of(1);
    assert_int_equal(rotate(&ring, 2, false), ERR_OK);
    force(&ring, 3, 7);
    assert_int_equal(newest(&ring), 3);
    assert_int_equal(ring.ttl_s, 7);
    assert_int_equal(present(&ring), 1); /* all open by that, and maybe by no other */
    assert_true(opens(&ring, 2));
    keyring_use(&ring);
    assert_true(opens(&ring, 1) && opens(&ring, 2));
    keyring_retire(&ring);
    assert_int_equal(ring.count, 1);
}

static void when_three_are_open_a_forced_rotation_ends_one_that_does_not_seal(void **state)
{
    (void)state;
    struct keyring waits = ring_of(1);
    force(&waits, 2, 7);
    force(&waits, 3, 7);
    force(&waits, 4, 7);
    assert_true(opens(&waits, 4) && opens(&waits, 3) && opens(&waits, 1));
    assert_int_equal(present(&waits), 1);
    assert_true(keyring_is_valid(&waits));
    struct keyring ends = ring_of(1);
    force(&ends, 2, 7);
    keyring_use(&ends);
    force(&ends, 3, 7);
    keyring_use(&ends);
    force(&ends, 4, 7);
    assert_true(opens(&ends, 4) && opens(&ends, 3) && opens(&ends, 2));
    assert_int_equal(present(&ends), 3);
    assert_true(is_retired(&ends, 1));
}

static void of_two_rotations_at_once_the_longer_time_counts(void **state)
{
    (void)state;
    for (uint8_t byte = 10; byte < 40; byte++) { /* of either order */
        struct keyring a = ring_of(1);
        struct keyring b = ring_of(1);
        force(&a, byte, 86400);
        force(&b, 2, 3);
        struct keyring first = a;
        (void)keyring_merge(&a, &b);
        (void)keyring_merge(&b, &first);
        assert_int_equal(newest(&a), newest(&b));
        assert_int_equal(a.ttl_s, 86400);
        assert_int_equal(b.ttl_s, 86400);
        assert_false(keyring_promise(&a, 86400));
    }
}

static void a_revocation_cuts_what_a_rotation_elsewhere_has_promised(void **state)
{
    (void)state;
    struct key_rotation revocation = { .key = key_of(0, 0, 2), .revokes = true, .is_forced = true };
    revocation.key.ttl_s = 60;
    for (uint8_t byte = 10; byte < 40; byte++) {
        struct keyring a = ring_of(1);
        struct keyring b = ring_of(1);
        force(&a, byte, 86400);
        assert_int_equal(keyring_install(&b, &revocation), ERR_OK);
        struct keyring first = a;
        (void)keyring_merge(&a, &b);
        (void)keyring_merge(&b, &first);
        assert_true(newest(&a) == 2 && newest(&b) == 2);
        assert_true(a.ttl_s == 60 && b.ttl_s == 60);
    }
}

static void a_longer_time_is_taken_in_only_while_an_older_key_opens(void **state)
{
    (void)state;
    struct keyring ring = ring_of(1);
    assert_false(keyring_promise(&ring, 50));
    assert_int_equal(rotate(&ring, 2, false), ERR_OK);
    assert_false(keyring_promise(&ring, 9));
    assert_true(keyring_promise(&ring, 50));
    assert_int_equal(ring.ttl_s, 50);
    keyring_use(&ring);
    assert_int_equal(ring.ttl_s, 50);
    keyring_retire(&ring);
    assert_false(keyring_promise(&ring, 90));
    assert_int_equal(rotate(&ring, 3, false), ERR_OK);
    assert_int_equal(ring.ttl_s, 10);
}

static void of_two_rotations_at_once_all_take_the_same_one(void **state)
{
    (void)state;
    struct keyring a = ring_of(1);
    struct keyring b = ring_of(1);
    assert_int_equal(rotate(&a, 2, false), ERR_OK);
    assert_int_equal(rotate(&b, 3, false), ERR_OK);
    struct keyring first = a;
    assert_true(keyring_merge(&a, &b));
    assert_true(keyring_merge(&b, &first));
    assert_int_equal(newest(&a), newest(&b));
    assert_true(opens(&a, 2) && opens(&a, 3) && opens(&a, 1));
    assert_int_equal(present(&a), 1);
    assert_int_equal(present(&b), 1);
}

static void whoever_meets_the_newest_in_use_uses_it(void **state)
{
    (void)state;
    struct keyring ring = ring_of(1);
    struct keyring other = ring_of(1);
    assert_int_equal(rotate(&other, 2, false), ERR_OK);
    assert_true(keyring_merge(&ring, &other));
    assert_int_equal(present(&ring), 1);
    keyring_use(&other);
    assert_true(keyring_merge(&ring, &other));
    assert_int_equal(present(&ring), 2);
}

static void who_missed_two_rotations_gets_the_newest_and_seals_with_it(void **state)
{
    (void)state;
    struct keyring away = ring_of(1);
    struct keyring ring = ring_of(1);
    rotate_whole(&ring, 2, false);
    rotate_whole(&ring, 3, false);
    assert_true(keyring_merge(&away, &ring));
    assert_int_equal(present(&away), 3);
    assert_true(opens(&away, 1)); /* others that were away with it may still use it */
}

static void who_was_away_brings_no_old_key_back(void **state)
{
    (void)state;
    struct keyring away = ring_of(1);
    struct keyring ring = ring_of(1);
    rotate_whole(&ring, 2, false);
    struct keyring missed_one = ring;
    rotate_whole(&ring, 3, false);
    rotate_whole(&ring, 4, false);
    struct keyring before = ring;
    assert_false(keyring_merge(&ring, &away));
    assert_false(keyring_merge(&ring, &missed_one));
    assert_memory_equal(&ring, &before, sizeof ring);
}

static void a_revocation_wins_over_any_number_of_rotations(void **state)
{
    (void)state;
    struct keyring revoked = ring_of(1);
    struct keyring other = ring_of(1);
    rotate_whole(&other, 2, false);
    rotate_whole(&other, 3, false);
    assert_int_equal(rotate(&revoked, 9, true), ERR_OK);
    keyring_use(&revoked);
    assert_false(keyring_merge(&revoked, &other));
    assert_true(keyring_merge(&other, &revoked));
    assert_int_equal(present(&other), 9);
    assert_int_equal(other.retired_count, 0);
}

static void two_halves_that_rotated_alone_come_together(void **state)
{
    (void)state;
    struct keyring a = ring_of(1);
    struct keyring b = ring_of(1);
    rotate_whole(&a, 2, false);
    rotate_whole(&b, 3, false);
    struct keyring first = a;
    (void)keyring_merge(&a, &b);
    (void)keyring_merge(&b, &first);
    assert_int_equal(newest(&a), newest(&b));
    assert_int_equal(present(&a), newest(&a));
    assert_int_equal(present(&b), newest(&a));
    assert_true(opens(&a, 2) && opens(&a, 3)); /* the other half still seals with its own */
    assert_true(opens(&b, 2) && opens(&b, 3));
}

/* A rotation that its node told nobody of before it crashed, while the others went on. */
static void an_interrupted_rotation_does_not_lock_its_node_out(void **state)
{
    (void)state;
    for (uint8_t byte = 10; byte < 40; byte++) { /* of either order */
        struct keyring crashed = ring_of(1);
        struct keyring ring = ring_of(1);
        assert_int_equal(rotate(&crashed, byte, false), ERR_OK);
        rotate_whole(&ring, 2, false);
        assert_true(keyring_merge(&crashed, &ring));
        assert_int_equal(present(&crashed), 2); /* what the others can read */
        (void)keyring_merge(&ring, &crashed);
        assert_int_equal(newest(&ring), newest(&crashed));
        assert_int_equal(present(&ring), 2);
    }
}

static struct keyring random_ring(struct rng *rng)
{
    struct keyring ring = ring_of(1);
    const uint64_t steps = rng_below(rng, 5);
    for (uint64_t i = 0; i < steps; i++) {
        const uint8_t byte = (uint8_t)(2 + 50 * i + rng_below(rng, 50)); /* no secret twice */
        if (rng_below(rng, 4) == 0) {
            force(&ring, byte, 10);
        } else {
            (void)rotate(&ring, byte, rng_below(rng, 8) == 0);
        }
        if (rng_below(rng, 3) > 0) {
            keyring_use(&ring);
            if (rng_below(rng, 2) == 0) {
                keyring_retire(&ring);
            }
        }
    }
    return ring;
}

static void rings_that_gossip_end_with_one_newest_key(void **state)
{
    (void)state;
    struct rng rng;
    print_message("seed 5\n");
    rng_init(&rng, 5, 0);
    for (uint32_t round = 0; round < 300; round++) {
        struct keyring rings[6];
        for (uint32_t i = 0; i < 6; i++) {
            rings[i] = random_ring(&rng);
        }
        for (uint32_t i = 0; i < 200; i++) {
            struct keyring *into = &rings[rng_below(&rng, 6)];
            const struct keyring from = rings[rng_below(&rng, 6)];
            (void)keyring_merge(into, &from);
            assert_true(keyring_is_valid(into));
        }
        for (uint32_t i = 1; i < 6; i++) {
            assert_int_equal(newest(&rings[i]), newest(&rings[0]));
        }
    }
}

static void merging_a_ring_with_itself_changes_nothing(void **state)
{
    (void)state;
    struct rng rng;
    print_message("seed 6\n");
    rng_init(&rng, 6, 0);
    for (uint32_t round = 0; round < 300; round++) {
        struct keyring ring = random_ring(&rng);
        const struct keyring same = ring;
        assert_false(keyring_merge(&ring, &same));
    }
}

static void a_ring_comes_back_from_its_bytes(void **state)
{
    (void)state;
    struct rng rng;
    print_message("seed 7\n");
    rng_init(&rng, 7, 0);
    for (uint32_t round = 0; round < 100; round++) {
        uint8_t bytes[KEYRING_SIZE_MAX];
        struct keyring ring = random_ring(&rng);
        struct keyring back;
        const size_t size = keyring_encode(&ring, bytes);
        assert_int_equal(keyring_decode(span_of(bytes, size), &back), ERR_OK);
        assert_memory_equal(&back, &ring, sizeof ring);
        for (size_t shorter = 0; shorter < size; shorter++) {
            assert_int_equal(keyring_decode(span_of(bytes, shorter), &back), ERR_MALFORMED);
        }
    }
}

static void a_ring_of_a_newer_format_is_told_apart(void **state)
{
    (void)state;
    uint8_t bytes[KEYRING_SIZE_MAX];
    struct keyring ring = ring_of(1);
    const size_t size = keyring_encode(&ring, bytes);
    bytes[0]++;
    assert_int_equal(keyring_decode(span_of(bytes, size), &ring), ERR_VERSION);
}

static void a_ring_that_no_node_holds_is_malformed(void **state)
{
    (void)state;
    uint8_t bytes[KEYRING_SIZE_MAX];
    struct keyring out;
    struct keyring ring = ring_of(1);
    rotate_whole(&ring, 2, false);
    assert_int_equal(rotate(&ring, 3, false), ERR_OK);
    struct keyring wrong[5] = { ring, ring, ring, ring, ring };
    wrong[0].keys[1] = ring.keys[0]; /* twice */
    wrong[1].keys[0] = ring.keys[1]; /* not in order */
    wrong[1].keys[1] = ring.keys[0];
    wrong[2].retired[0] = ring.keys[1]; /* retired, and open */
    wrong[3].present = 2;               /* is not there */
    wrong[4].retired[0].era = 7;        /* of another time */
    for (uint32_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        const size_t size = keyring_encode(&wrong[i], bytes);
        assert_int_equal(keyring_decode(span_of(bytes, size), &out), ERR_MALFORMED);
    }
}

static void a_rotation_comes_back_from_its_bytes(void **state)
{
    (void)state;
    uint8_t bytes[KEY_ROTATION_SIZE];
    struct key_rotation rotation = { .key = key_of(1, 2, 3) };
    struct key_rotation back;
    for (uint32_t i = 0; i < 4; i++) {
        rotation.revokes = (i & 1) != 0;
        rotation.is_forced = (i & 2) != 0;
        key_rotation_encode(&rotation, bytes);
        assert_true(key_rotation_decode(span_of(bytes, sizeof bytes), &back));
        assert_memory_equal(&back.key, &rotation.key, sizeof back.key);
        assert_true(back.revokes == rotation.revokes && back.is_forced == rotation.is_forced);
    }
    assert_false(key_rotation_decode(span_of(bytes, sizeof bytes - 1), &back));
    bytes[0] = 4;
    assert_false(key_rotation_decode(span_of(bytes, sizeof bytes), &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_key_opens_before_it_seals),
        cmocka_unit_test(only_the_last_two_retired_keys_are_kept),
        cmocka_unit_test(a_rotation_keeps_the_signing_key_unless_it_revokes),
        cmocka_unit_test(a_revoking_rotation_leaves_no_retired_key_behind),
        cmocka_unit_test(a_second_rotation_waits_until_the_first_is_over),
        cmocka_unit_test(a_secret_that_was_used_is_no_new_key),
        cmocka_unit_test(a_forced_rotation_waits_for_none),
        cmocka_unit_test(when_three_are_open_a_forced_rotation_ends_one_that_does_not_seal),
        cmocka_unit_test(of_two_rotations_at_once_the_longer_time_counts),
        cmocka_unit_test(a_revocation_cuts_what_a_rotation_elsewhere_has_promised),
        cmocka_unit_test(a_longer_time_is_taken_in_only_while_an_older_key_opens),
        cmocka_unit_test(of_two_rotations_at_once_all_take_the_same_one),
        cmocka_unit_test(whoever_meets_the_newest_in_use_uses_it),
        cmocka_unit_test(who_missed_two_rotations_gets_the_newest_and_seals_with_it),
        cmocka_unit_test(who_was_away_brings_no_old_key_back),
        cmocka_unit_test(a_revocation_wins_over_any_number_of_rotations),
        cmocka_unit_test(two_halves_that_rotated_alone_come_together),
        cmocka_unit_test(an_interrupted_rotation_does_not_lock_its_node_out),
        cmocka_unit_test(rings_that_gossip_end_with_one_newest_key),
        cmocka_unit_test(merging_a_ring_with_itself_changes_nothing),
        cmocka_unit_test(a_ring_comes_back_from_its_bytes),
        cmocka_unit_test(a_ring_of_a_newer_format_is_told_apart),
        cmocka_unit_test(a_ring_that_no_node_holds_is_malformed),
        cmocka_unit_test(a_rotation_comes_back_from_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
