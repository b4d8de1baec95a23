/* tests/unit/wire/test_trust.c: grants and capabilities, with every field tampered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/trust.h"

#include <string.h>

#include <sodium.h>

#include "tests/unit/base/dies.h"

#define NOW_S UINT64_C(1700000000)
#define NOW_US ((usec_t)NOW_S * 1000000)

static struct cluster_keys keys;
static struct cluster_keys other_keys;
static const uint8_t client[TRUST_KEY_SIZE] = { 0x33, 1, 2, 3 };
static uint8_t public_key[TRUST_KEY_SIZE];
static uint8_t other_public_key[TRUST_KEY_SIZE];
static uint8_t buffer[4096];

static int make_keys(void **state)
{
    (void)state;
    uint8_t seed[crypto_sign_SEEDBYTES] = { 1 };
    keys.key.number = 5;
    for (uint8_t i = 0; i < TRUST_KEY_SIZE; i++) {
        keys.key.capability[i] = i;
    }
    (void)crypto_sign_seed_keypair(public_key, keys.key.sign_secret, seed);
    seed[0] = 2;
    (void)crypto_sign_seed_keypair(other_public_key, other_keys.key.sign_secret, seed);
    return 0;
}

/* ---- grants ------------------------------------------------------------------------------ */

static struct grant two_datasets(void)
{
    struct grant grant = {
        .expires_wall_s = NOW_S + 100,
        .datasets = { span_text("imagenet"), span_text("c4-en.v2") },
        .dataset_count = 2,
    };
    memcpy(grant.client_key, client, sizeof client);
    return grant;
}

static struct span encode(const struct grant *grant)
{
    size_t used = 0;
    assert_int_equal(grant_encode_sign(grant, keys.key.sign_secret, buffer, sizeof buffer, &used),
                     ERR_OK);
    return span_of(buffer, used);
}

static enum err verify(struct span bytes)
{
    struct grant out;
    return grant_verify(bytes, public_key, client, NOW_US, &out);
}

static void a_grant_holds_for_its_client_and_says_what_was_signed(void **state)
{
    (void)state;
    struct grant grant = two_datasets();
    struct grant out;
    assert_int_equal(grant_verify(encode(&grant), public_key, client, NOW_US, &out), ERR_OK);
    assert_memory_equal(out.client_key, client, sizeof client);
    assert_true(out.expires_wall_s == NOW_S + 100);
    assert_int_equal(out.key_id, trust_key_id(public_key));
    assert_int_equal(out.dataset_count, 2);
    assert_true(span_equal(out.datasets[0], span_text("imagenet")));
    assert_true(span_equal(out.datasets[1], span_text("c4-en.v2")));
}

static void a_grant_with_any_bit_flipped_does_not_hold(void **state)
{
    (void)state;
    struct grant grant = two_datasets();
    struct span bytes = encode(&grant);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(verify(bytes), ERR_OK);
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(verify(bytes), ERR_OK);
}

static void a_grant_cut_at_any_byte_is_malformed(void **state)
{
    (void)state;
    struct grant grant = two_datasets();
    struct span bytes = encode(&grant);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(verify(span_of(bytes.data, size)), ERR_MALFORMED);
    }
    assert_int_equal(verify(span_of(bytes.data, bytes.size + 1)), ERR_MALFORMED);
}

static void a_grant_of_another_client_is_denied(void **state)
{
    (void)state;
    struct grant grant = two_datasets();
    grant.client_key[31] = 1;
    assert_int_equal(verify(encode(&grant)), ERR_DENIED);
}

static void a_grant_ends_at_its_second(void **state)
{
    (void)state;
    struct grant grant = two_datasets();
    struct grant out;
    struct span bytes = encode(&grant);
    usec_t end_us = NOW_US + SEC(100);
    assert_int_equal(grant_verify(bytes, public_key, client, end_us - 1, &out), ERR_OK);
    assert_int_equal(grant_verify(bytes, public_key, client, end_us, &out), ERR_DENIED);
    assert_int_equal(grant_verify(bytes, public_key, client, INT64_MAX, &out), ERR_DENIED);
}

static void a_grant_of_another_cluster_is_not_authentic(void **state)
{
    (void)state;
    struct grant grant = two_datasets();
    size_t used = 0;
    assert_int_equal(
        grant_encode_sign(&grant, other_keys.key.sign_secret, buffer, sizeof buffer, &used),
        ERR_OK);
    assert_int_equal(verify(span_of(buffer, used)), ERR_UNAUTHENTICATED);
    put_u32(buffer + 6, trust_key_id(public_key)); /* and it lies about its key */
    assert_int_equal(verify(span_of(buffer, used)), ERR_UNAUTHENTICATED);
}

static void a_grant_of_a_newer_version_is_told_apart(void **state)
{
    (void)state;
    struct grant grant = two_datasets();
    struct span bytes = encode(&grant);
    put_u16(buffer + 4, 2);
    assert_int_equal(verify(bytes), ERR_VERSION);
}

/* Signed by us and still not as it should be: the decoder does not trust the signer. */
static void names_that_do_not_fill_a_signed_grant_are_malformed(void **state)
{
    (void)state;
    static const uint8_t sizes[] = { 0, 7, 9, 65, 255 };
    struct grant grant = two_datasets();
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct span bytes = encode(&grant);
        size_t body = bytes.size - crypto_sign_BYTES;
        buffer[51] = sizes[i]; /* of the first name */
        (void)crypto_sign_detached(buffer + body, NULL, buffer, body, keys.key.sign_secret);
        assert_int_equal(verify(bytes), ERR_MALFORMED);
    }
    static const uint8_t counts[] = { 0, 1, 3, GRANT_DATASETS_MAX + 1, 255 };
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct span bytes = encode(&grant);
        buffer[50] = counts[i];
        assert_int_equal(verify(bytes), ERR_MALFORMED);
    }
}

static void a_grant_admits_its_names_only(void **state)
{
    (void)state;
    struct grant grant = two_datasets();
    assert_true(grant_admits(&grant, span_text("imagenet")));
    assert_true(grant_admits(&grant, span_text("c4-en.v2")));
    assert_false(grant_admits(&grant, span_text("imagenet2")));
    assert_false(grant_admits(&grant, span_text("image")));
    assert_false(grant_admits(&grant, span_text("")));
    assert_false(grant_admits(&grant, span_text("*")));
    grant.datasets[1] = span_text("*");
    assert_true(grant_admits(&grant, span_text("anything")));
    grant.dataset_count = 0;
    assert_false(grant_admits(&grant, span_text("imagenet")));
}

static void the_largest_grant_has_the_largest_size(void **state)
{
    (void)state;
    static char names[GRANT_DATASETS_MAX][64];
    struct grant grant = two_datasets();
    grant.dataset_count = GRANT_DATASETS_MAX;
    for (uint32_t i = 0; i < GRANT_DATASETS_MAX; i++) {
        memset(names[i], 'a' + (int)i % 26, 64);
        grant.datasets[i] = span_of(names[i], 64);
    }
    struct span bytes = encode(&grant);
    size_t used = 0;
    assert_int_equal(bytes.size, GRANT_SIZE_MAX);
    assert_int_equal(verify(bytes), ERR_OK);
    assert_int_equal(grant_encode_sign(&grant, keys.key.sign_secret, buffer, bytes.size - 1, &used),
                     ERR_FULL);
    assert_int_equal(used, 0);
}

static void grants_back_to_back_come_apart(void **state)
{
    (void)state;
    static uint8_t both[2048];
    struct grant grant = two_datasets();
    struct span first = encode(&grant);
    memcpy(both, first.data, first.size);
    size_t first_size = first.size;
    grant.dataset_count = 1;
    struct span second = encode(&grant);
    memcpy(both + first_size, second.data, second.size);
    struct span rest = span_of(both, first_size + second.size + 3);
    struct span one;
    assert_true(grant_next(&rest, &one));
    assert_int_equal(one.size, first_size);
    assert_int_equal(verify(one), ERR_OK);
    assert_true(grant_next(&rest, &one));
    assert_int_equal(verify(one), ERR_OK);
    assert_false(grant_next(&rest, &one));
    assert_int_equal(rest.size, 3);
    put_u16(both, 10); /* shorter than any grant */
    rest = span_of(both, first_size);
    assert_false(grant_next(&rest, &one));
}

/* ---- capabilities ------------------------------------------------------------------------ */

static struct capability_terms one_source(void)
{
    struct capability_terms terms = {
        .wall_us = 1000000,
        .life_us = CAPABILITY_LIFE_US_MAX,
        .sources = { { .prefix = span_text("train/") } },
        .source_count = 1,
    };
    memset(terms.client_key, 0x33, sizeof terms.client_key);
    memset(terms.dataset.b, 0x22, ID_SIZE);
    memset(terms.sources[0].source.b, 0x11, ID_SIZE);
    return terms;
}

static struct capability_use use_of(const char *key)
{
    struct capability_use use = { .key = span_text(key), .wall_us = 2000000 };
    memset(use.dataset.b, 0x22, ID_SIZE);
    memset(use.source.b, 0x11, ID_SIZE);
    return use;
}

static struct span make(const struct capability_terms *terms)
{
    return span_of(buffer, capability_make(&keys.key, terms, buffer));
}

static enum err check_key(struct span capability, const char *key)
{
    struct capability_use use = use_of(key);
    return capability_check(&keys.key, capability, &use);
}

/* Made with Python's hashlib.blake2b from the layout in trust.c. */
static void a_capability_is_bytes_that_never_change(void **state)
{
    (void)state;
    struct capability_terms terms = one_source();
    struct span bytes = make(&terms);
    static const uint8_t mac[16] = { 0x8a, 0x47, 0x22, 0x95, 0xd0, 0x8a, 0x59, 0x04,
                                     0xb6, 0x4d, 0x84, 0x08, 0x8c, 0x54, 0x30, 0xba };
    assert_int_equal(bytes.size, 112);
    assert_memory_equal(bytes.data + 96, mac, 16);
}

static void a_capability_admits_keys_below_its_prefix(void **state)
{
    (void)state;
    struct capability_terms terms = one_source();
    struct span bytes = make(&terms);
    assert_int_equal(check_key(bytes, "train/0001.tar"), ERR_OK);
    assert_int_equal(check_key(bytes, "train/"), ERR_OK);
    assert_int_equal(check_key(bytes, "train"), ERR_DENIED);
    assert_int_equal(check_key(bytes, "trainX0001.tar"), ERR_DENIED);
    assert_int_equal(check_key(bytes, "test/0001.tar"), ERR_DENIED);
    assert_int_equal(check_key(bytes, ""), ERR_DENIED);
}

static void an_empty_prefix_admits_every_key_of_the_source(void **state)
{
    (void)state;
    struct capability_terms terms = one_source();
    terms.sources[0].prefix = span_of(NULL, 0);
    struct span bytes = make(&terms);
    assert_int_equal(check_key(bytes, "anything"), ERR_OK);
    assert_int_equal(check_key(bytes, ""), ERR_OK);
}

static void without_sources_nothing_is_admitted(void **state)
{
    (void)state;
    struct capability_terms terms = one_source();
    terms.source_count = 0;
    assert_int_equal(check_key(make(&terms), "train/x"), ERR_DENIED);
}

static void any_of_the_most_sources_may_admit(void **state)
{
    (void)state;
    static char prefixes[CAPABILITY_SOURCES_MAX][1024];
    struct capability_terms terms = one_source();
    struct capability_use use = use_of("");
    terms.source_count = CAPABILITY_SOURCES_MAX;
    for (uint32_t i = 0; i < CAPABILITY_SOURCES_MAX; i++) {
        memset(prefixes[i], 'a' + (int)i, 1024);
        terms.sources[i].source = terms.sources[0].source;
        terms.sources[i].source.b[0] = (uint8_t)(i / 2); /* two prefixes for each source */
        terms.sources[i].prefix = span_of(prefixes[i], 1024);
    }
    struct span bytes = make(&terms);
    assert_int_equal(bytes.size, CAPABILITY_SIZE_MAX);
    for (uint32_t i = 0; i < CAPABILITY_SOURCES_MAX; i++) {
        use.source.b[0] = (uint8_t)(i / 2);
        use.key = span_of(prefixes[i], 1024);
        assert_int_equal(capability_check(&keys.key, bytes, &use), ERR_OK);
        use.source.b[0] = (uint8_t)(i / 2 + 1); /* the prefix of another source */
        assert_int_equal(capability_check(&keys.key, bytes, &use), ERR_DENIED);
    }
}

static void a_capability_with_any_bit_flipped_does_not_hold(void **state)
{
    (void)state;
    struct capability_terms terms = one_source();
    struct span bytes = make(&terms);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(check_key(bytes, "train/x"), ERR_OK);
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(check_key(bytes, "train/x"), ERR_OK);
}

static void a_capability_cut_or_stretched_is_malformed(void **state)
{
    (void)state;
    struct capability_terms terms = one_source();
    struct span bytes = make(&terms);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(check_key(span_of(bytes.data, size), "train/x"), ERR_MALFORMED);
    }
    assert_int_equal(check_key(span_of(buffer, bytes.size + 1), "train/x"), ERR_MALFORMED);
    assert_int_equal(check_key(span_of(NULL, 0), "train/x"), ERR_MALFORMED);
}

static void a_capability_of_another_version_is_told_apart(void **state)
{
    (void)state;
    struct capability_terms terms = one_source();
    struct span bytes = make(&terms);
    buffer[0] = 3;
    assert_int_equal(check_key(bytes, "train/x"), ERR_VERSION);
    buffer[0] = 1; /* of nodes that named keys by their number alone */
    assert_int_equal(check_key(bytes, "train/x"), ERR_OTHER_KEY);
    buffer[0] = 0;
    assert_int_equal(check_key(bytes, "train/x"), ERR_MALFORMED);
}

static void a_capability_ends_at_its_microsecond(void **state)
{
    (void)state;
    struct capability_terms terms = one_source();
    struct span bytes = make(&terms);
    struct capability_use use = use_of("train/x");
    use.wall_us = terms.wall_us + CAPABILITY_LIFE_US_MAX - 1;
    assert_int_equal(capability_check(&keys.key, bytes, &use), ERR_OK);
    use.wall_us++;
    assert_int_equal(capability_check(&keys.key, bytes, &use), ERR_EXPIRED);
}

static void a_capability_holds_for_its_dataset_and_source_only(void **state)
{
    (void)state;
    struct capability_terms terms = one_source();
    struct span bytes = make(&terms);
    struct capability_use use = use_of("train/x");
    use.dataset.b[15] ^= 1;
    assert_int_equal(capability_check(&keys.key, bytes, &use), ERR_DENIED);
    use = use_of("train/x");
    use.source.b[15] ^= 1;
    assert_int_equal(capability_check(&keys.key, bytes, &use), ERR_DENIED);
}

static void a_capability_of_another_key_does_not_hold(void **state)
{
    (void)state;
    struct capability_terms terms = one_source();
    struct capability_use use = use_of("train/x");
    struct span bytes = make(&terms);
    struct cluster_keys changed = keys;
    changed.key.capability[31] ^= 1;
    assert_int_equal(capability_check(&changed.key, bytes, &use), ERR_OTHER_KEY);
    put_u32(buffer + 2, (uint32_t)cluster_key_id(&changed.key).v); /* it lies about its key */
    assert_int_equal(capability_check(&changed.key, bytes, &use), ERR_DENIED);
}

static void live_too_long(void)
{
    struct capability_terms terms = one_source();
    terms.life_us++;
    (void)make(&terms);
}

static void a_life_over_ten_minutes_is_a_bug(void **state)
{
    (void)state;
    assert_true(dies(live_too_long));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_holds_for_its_client_and_says_what_was_signed),
        cmocka_unit_test(a_grant_with_any_bit_flipped_does_not_hold),
        cmocka_unit_test(a_grant_cut_at_any_byte_is_malformed),
        cmocka_unit_test(a_grant_of_another_client_is_denied),
        cmocka_unit_test(a_grant_ends_at_its_second),
        cmocka_unit_test(a_grant_of_another_cluster_is_not_authentic),
        cmocka_unit_test(a_grant_of_a_newer_version_is_told_apart),
        cmocka_unit_test(names_that_do_not_fill_a_signed_grant_are_malformed),
        cmocka_unit_test(a_grant_admits_its_names_only),
        cmocka_unit_test(the_largest_grant_has_the_largest_size),
        cmocka_unit_test(grants_back_to_back_come_apart),
        cmocka_unit_test(a_capability_is_bytes_that_never_change),
        cmocka_unit_test(a_capability_admits_keys_below_its_prefix),
        cmocka_unit_test(an_empty_prefix_admits_every_key_of_the_source),
        cmocka_unit_test(without_sources_nothing_is_admitted),
        cmocka_unit_test(any_of_the_most_sources_may_admit),
        cmocka_unit_test(a_capability_with_any_bit_flipped_does_not_hold),
        cmocka_unit_test(a_capability_cut_or_stretched_is_malformed),
        cmocka_unit_test(a_capability_of_another_version_is_told_apart),
        cmocka_unit_test(a_capability_ends_at_its_microsecond),
        cmocka_unit_test(a_capability_holds_for_its_dataset_and_source_only),
        cmocka_unit_test(a_capability_of_another_key_does_not_hold),
        cmocka_unit_test(a_life_over_ten_minutes_is_a_bug),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
