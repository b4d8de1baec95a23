/* tests/unit/wire/test_proof.c: a proof is worth something on its own link alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/proof.h"

#include <string.h>

static const struct cluster_key key = { .number = 3, .gossip = { 1, 2, 3 } };

static struct proof_terms terms(void)
{
    return (struct proof_terms){
        .side = PROOF_OF_CLIENT, .node = { .b = { 4 } }, .session = { 5 }, .client_key = { 6 }
    };
}

static void a_proof_holds_for_its_own_terms(void **state)
{
    (void)state;
    uint8_t proof[PROOF_SIZE];
    struct proof_terms own = terms();
    proof_make(&key, &own, proof);
    assert_true(proof_holds(&key, &own, span_of(proof, sizeof proof)));
}

static void a_proof_does_not_hold_for_any_other_terms(void **state)
{
    (void)state;
    uint8_t proof[PROOF_SIZE];
    struct proof_terms own = terms();
    proof_make(&key, &own, proof);
    struct span made = span_of(proof, sizeof proof);
    struct proof_terms other[4] = { own, own, own, own };
    other[0].side = PROOF_OF_SERVER;
    other[1].node.b[15] = 1;
    other[2].session[15] = 1;
    other[3].client_key[31] = 1;
    for (uint32_t i = 0; i < ARRAY_COUNT(other); i++) {
        assert_false(proof_holds(&key, &other[i], made));
    }
    struct cluster_key other_key = key;
    other_key.gossip[31] = 1;
    assert_false(proof_holds(&other_key, &own, made));
}

static void a_proof_with_any_bit_flipped_or_cut_does_not_hold(void **state)
{
    (void)state;
    uint8_t proof[PROOF_SIZE];
    struct proof_terms own = terms();
    proof_make(&key, &own, proof);
    for (size_t bit = 0; bit < 8 * sizeof proof; bit++) {
        proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(proof_holds(&key, &own, span_of(proof, sizeof proof)));
        proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t size = 0; size < sizeof proof; size++) {
        assert_false(proof_holds(&key, &own, span_of(proof, size)));
    }
}

static void one_of_several_proofs_is_enough(void **state)
{
    (void)state;
    uint8_t proofs[3 * PROOF_SIZE] = { 0 };
    struct proof_terms own = terms();
    struct cluster_key other = { .number = 4, .gossip = { 9 } };
    proof_make(&other, &own, proofs);
    proof_make(&key, &own, proofs + 2 * PROOF_SIZE);
    assert_true(proof_holds(&key, &own, span_of(proofs, sizeof proofs)));
    assert_true(proof_holds(&other, &own, span_of(proofs, sizeof proofs)));
    assert_false(proof_holds(&key, &own, span_of(proofs, 2 * PROOF_SIZE)));
}

static void more_proofs_than_a_node_has_keys_are_not_looked_at(void **state)
{
    (void)state;
    uint8_t proofs[(PROOFS_MAX + 1) * PROOF_SIZE] = { 0 };
    struct proof_terms own = terms();
    proof_make(&key, &own, proofs + (size_t)PROOFS_MAX * PROOF_SIZE);
    assert_false(proof_holds(&key, &own, span_of(proofs, sizeof proofs)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proof_holds_for_its_own_terms),
        cmocka_unit_test(a_proof_does_not_hold_for_any_other_terms),
        cmocka_unit_test(a_proof_with_any_bit_flipped_or_cut_does_not_hold),
        cmocka_unit_test(one_of_several_proofs_is_enough),
        cmocka_unit_test(more_proofs_than_a_node_has_keys_are_not_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
