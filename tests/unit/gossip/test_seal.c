#include "tests/unit/gossip/net.h"

#include "gossip/seal.h"

#define MEMBERS 4u

struct end {
    struct seal seal;
    void *memory;
};

static struct end *make_end(uint8_t who, uint8_t key, const char *cluster, bool insecure)
{
    struct end *end = calloc(1, sizeof *end);
    struct arena mem;
    struct gossip_options options = { .cluster = span_text(cluster),
                                      .insecure = insecure,
                                      .members_max = MEMBERS };
    options.ring = net_ring(key);
    memset(options.self.id.b, who, ID_SIZE);
    memset(options.boot, who + 1, GOSSIP_BOOT_SIZE);
    assert_non_null(end);
    end->memory = malloc(seal_memory(MEMBERS));
    arena_init(&mem, end->memory, seal_memory(MEMBERS));
    assert_int_equal(seal_init(&end->seal, &mem, &options), ERR_OK);
    return end;
}

static void free_end(struct end *end)
{
    free(end->memory);
    free(end);
}

static size_t make_packet(struct end *from, uint8_t packet[GOSSIP_PACKET_MAX], const char *text)
{
    size_t size = strlen(text);
    memcpy(packet + SEAL_HEADER, text, size);
    return seal_close(&from->seal, packet, size);
}

static enum seal_verdict open_copy(struct end *to, const uint8_t *packet, size_t size)
{
    uint8_t copy[GOSSIP_PACKET_MAX + 1];
    struct seal_opened opened;
    memcpy(copy, packet, size);
    return seal_open(&to->seal, copy, size, SEAL_NO_WINDOW, &opened);
}

static void what_is_sealed_opens_once(void **state)
{
    (void)state;
    for (uint32_t insecure = 0; insecure < 2; insecure++) {
        struct end *a = make_end(1, 7, "atoll", insecure != 0);
        struct end *b = make_end(2, 7, "atoll", insecure != 0);
        uint8_t packet[GOSSIP_PACKET_MAX];
        struct seal_opened opened;
        size_t size = make_packet(a, packet, "hello");
        uint8_t copy[GOSSIP_PACKET_MAX];
        memcpy(copy, packet, size);
        assert_int_equal(seal_open(&b->seal, packet, size, SEAL_NO_WINDOW, &opened), SEAL_GOOD);
        assert_true(span_equal(opened.body, span_text("hello")));
        assert_int_equal(opened.sender.b[0], 1);
        assert_int_equal(opened.boot[0], 2);
        assert_int_equal(open_copy(b, copy, size), SEAL_REPLAYED);
        free_end(a);
        free_end(b);
    }
}

static void body_is_not_readable_on_the_wire(void **state)
{
    (void)state;
    struct end *a = make_end(1, 7, "atoll", false);
    uint8_t packet[GOSSIP_PACKET_MAX];
    size_t size = make_packet(a, packet, "a secret that is long enough");
    assert_null(memmem(packet, size, "secret", 6));
    free_end(a);
}

static void every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    for (uint32_t insecure = 0; insecure < 2; insecure++) {
        struct end *a = make_end(1, 7, "atoll", insecure != 0);
        struct end *b = make_end(2, 7, "atoll", insecure != 0);
        uint8_t packet[GOSSIP_PACKET_MAX];
        size_t size = make_packet(a, packet, "hello");
        for (size_t bit = 0; bit < 8 * size; bit++) {
            packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
            enum seal_verdict verdict = open_copy(b, packet, size);
            const bool of_key = insecure == 0 && bit / 8 / 2 == 1; /* it names another key */
            assert_true(verdict == SEAL_UNSEALED || verdict == SEAL_FOREIGN ||
                        (of_key && verdict == SEAL_UNKNOWN));
            packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t short_size = 0; short_size < size; short_size++) {
            assert_int_equal(open_copy(b, packet, short_size), SEAL_UNSEALED);
        }
        assert_int_equal(open_copy(b, packet, size), SEAL_GOOD);
        free_end(a);
        free_end(b);
    }
}

static void another_key_or_name_or_mode_does_not_open(void **state)
{
    (void)state;
    struct end *a = make_end(1, 7, "atoll", false);
    struct end *open = make_end(1, 7, "atoll", true);
    struct end *other_key = make_end(2, 8, "atoll", false);
    struct end *other_name = make_end(2, 7, "reef", false);
    struct end *insecure = make_end(2, 7, "atoll", true);
    uint8_t packet[GOSSIP_PACKET_MAX];
    size_t size = make_packet(a, packet, "hello");
    assert_int_equal(open_copy(other_key, packet, size), SEAL_UNKNOWN);
    assert_int_equal(open_copy(other_name, packet, size), SEAL_FOREIGN);
    assert_int_equal(open_copy(insecure, packet, size), SEAL_UNSEALED);
    size = make_packet(open, packet, "hello");
    assert_int_equal(open_copy(other_key, packet, size), SEAL_UNSEALED);
    assert_int_equal(open_copy(other_name, packet, size), SEAL_FOREIGN);
    free_end(a);
    free_end(open);
    free_end(other_key);
    free_end(other_name);
    free_end(insecure);
}

static void another_version_is_foreign(void **state)
{
    (void)state;
    struct end *a = make_end(1, 7, "atoll", false);
    struct end *b = make_end(2, 7, "atoll", false);
    uint8_t packet[GOSSIP_PACKET_MAX];
    size_t size = make_packet(a, packet, "hello");
    packet[0]++;
    assert_int_equal(open_copy(b, packet, size), SEAL_FOREIGN);
    free_end(a);
    free_end(b);
}

static void own_packets_are_known(void **state)
{
    (void)state;
    struct end *a = make_end(1, 7, "atoll", false);
    uint8_t packet[GOSSIP_PACKET_MAX];
    size_t size = make_packet(a, packet, "hello");
    assert_int_equal(open_copy(a, packet, size), SEAL_OWN);
    free_end(a);
}

static void packets_may_come_in_any_order_within_the_window(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    struct end *a = make_end(1, 7, "atoll", false);
    struct end *b = make_end(2, 7, "atoll", false);
    static uint8_t packets[COUNT][128];
    static bool taken[COUNT];
    size_t size = 0;
    struct rng rng;
    print_message("seed 3\n");
    rng_init(&rng, 3, 0);
    memset(taken, 0, sizeof taken);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint8_t packet[GOSSIP_PACKET_MAX];
        size = make_packet(a, packet, "x");
        memcpy(packets[i], packet, size);
    }
    uint32_t highest = 0;
    for (uint32_t n = 0; n < 20000; n++) {
        int64_t near = (int64_t)n * COUNT / 20000 + rng_between(&rng, -1500, 200);
        uint32_t i = (uint32_t)(near < 0 ? 0 : near >= COUNT ? COUNT - 1 : near);
        bool is_new = !taken[i] && highest < i + SEAL_WINDOW;
        assert_int_equal(open_copy(b, packets[i], size), is_new ? SEAL_GOOD : SEAL_REPLAYED);
        taken[i] = true;
        highest = i > highest ? i : highest;
    }
    free_end(a);
    free_end(b);
}

static void a_jump_of_the_counter_forgets_nothing_it_must_keep(void **state)
{
    (void)state;
    struct end *a = make_end(1, 7, "atoll", false);
    struct end *b = make_end(2, 7, "atoll", false);
    uint8_t early[GOSSIP_PACKET_MAX];
    uint8_t late[GOSSIP_PACKET_MAX];
    size_t size = make_packet(a, early, "x");
    a->seal.counter += 1ull << 40;
    make_packet(a, late, "x");
    assert_int_equal(open_copy(b, late, size), SEAL_GOOD);
    assert_int_equal(open_copy(b, early, size), SEAL_REPLAYED);
    assert_int_equal(open_copy(b, late, size), SEAL_REPLAYED);
    free_end(a);
    free_end(b);
}

/* ---- several keys ---- */

/* The end holds these keys, newest first; the last `retired` of them open nothing. */
static void hold(struct end *end, const uint8_t *bytes, uint32_t count, uint32_t retired)
{
    struct keyring ring = { .count = count - retired, .retired_count = retired };
    for (uint32_t i = 0; i < count; i++) {
        struct cluster_key key = { .number = 10 - i };
        memset(key.gossip, bytes[i], sizeof key.gossip);
        *(i < ring.count ? &ring.keys[i] : &ring.retired[i - ring.count]) = key;
    }
    seal_keys(&end->seal, &ring);
}

static void any_key_that_is_open_opens(void **state)
{
    (void)state;
    static const uint8_t keys[] = { 9, 8, 7 };
    struct end *a = make_end(1, 7, "atoll", false);
    struct end *b = make_end(2, 7, "atoll", false);
    hold(a, keys, 3, 0);
    hold(b, keys, 3, 0);
    for (uint32_t i = 0; i < 6; i++) {
        uint8_t packet[GOSSIP_PACKET_MAX];
        struct seal_opened opened;
        a->seal.present = i % 3;
        const size_t size = make_packet(a, packet, "hello");
        assert_int_equal(seal_open(&b->seal, packet, size, SEAL_NO_WINDOW, &opened), SEAL_GOOD);
        assert_true(span_equal(opened.body, span_text("hello")));
        assert_int_equal(opened.key, i % 3);
    }
    free_end(a);
    free_end(b);
}

static void a_packet_under_a_retired_key_is_told_apart_and_leaves_no_trace(void **state)
{
    (void)state;
    static const uint8_t keys[] = { 9, 8, 7 };
    struct end *a = make_end(1, 7, "atoll", false);
    struct end *b = make_end(2, 7, "atoll", false);
    uint8_t packet[GOSSIP_PACKET_MAX];
    hold(a, keys, 3, 0);
    hold(b, keys, 3, 2);
    a->seal.present = 2;
    const size_t size = make_packet(a, packet, "hello");
    assert_int_equal(open_copy(b, packet, size), SEAL_RETIRED);
    assert_int_equal(open_copy(b, packet, size), SEAL_RETIRED); /* not remembered */
    assert_int_equal(b->seal.by_sender.count, 0);
    packet[SEAL_HEADER] ^= 1;
    assert_int_equal(open_copy(b, packet, size), SEAL_UNSEALED);
    hold(b, keys, 1, 0);
    assert_int_equal(open_copy(b, packet, size), SEAL_UNKNOWN);
    free_end(a);
    free_end(b);
}

static void counters_go_on_over_all_keys(void **state)
{
    (void)state;
    static const uint8_t keys[] = { 9, 7 };
    struct end *a = make_end(1, 7, "atoll", false);
    struct end *b = make_end(2, 7, "atoll", false);
    uint8_t old[GOSSIP_PACKET_MAX];
    uint8_t fresh[GOSSIP_PACKET_MAX];
    hold(a, keys, 2, 0);
    hold(b, keys, 2, 0);
    a->seal.present = 1;
    const size_t size = make_packet(a, old, "hello");
    assert_int_equal(open_copy(b, old, size), SEAL_GOOD);
    a->seal.present = 0;
    make_packet(a, fresh, "hello");
    assert_int_equal(open_copy(b, fresh, size), SEAL_GOOD);
    assert_int_equal(open_copy(b, old, size), SEAL_REPLAYED);
    assert_int_equal(open_copy(b, fresh, size), SEAL_REPLAYED);
    assert_int_equal(b->seal.by_sender.count, 1);
    free_end(a);
    free_end(b);
}

/* One in 65,536 pairs of keys has it: then both are tried. */
static void keys_with_one_hint_open_what_is_theirs(void **state)
{
    (void)state;
    struct end *a = make_end(1, 7, "atoll", false);
    struct end *b = make_end(2, 7, "atoll", false);
    struct cluster_key key = { .number = 2 };
    struct keyring ring = { .keys = { { .number = 3 } }, .count = 2 };
    const uint16_t hint = (uint16_t)cluster_key_id(&ring.keys[0]).v;
    for (uint32_t i = 0; (uint16_t)cluster_key_id(&key).v != hint; i++) {
        put_u32(key.gossip, i);
    }
    ring.keys[1] = key;
    seal_keys(&a->seal, &ring);
    seal_keys(&b->seal, &ring);
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t packet[GOSSIP_PACKET_MAX];
        a->seal.present = i;
        const size_t size = make_packet(a, packet, "hello");
        assert_int_equal(open_copy(b, packet, size), SEAL_GOOD);
    }
    free_end(a);
    free_end(b);
}

/* More senders than are remembered: the least lately heard makes room, and nothing breaks. */
static void many_senders_do_not_overflow(void **state)
{
    (void)state;
    struct end *to = make_end(255, 7, "atoll", false);
    for (uint32_t i = 0; i < 250; i++) {
        struct end *from = make_end((uint8_t)i, 7, "atoll", false);
        uint8_t packet[GOSSIP_PACKET_MAX];
        size_t size = make_packet(from, packet, "hello");
        assert_int_equal(open_copy(to, packet, size), SEAL_GOOD);
        assert_int_equal(open_copy(to, packet, size), SEAL_REPLAYED);
        free_end(from);
    }
    assert_int_equal(to->seal.by_sender.count, to->seal.window_count);
    free_end(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens_once),
        cmocka_unit_test(body_is_not_readable_on_the_wire),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(another_key_or_name_or_mode_does_not_open),
        cmocka_unit_test(another_version_is_foreign),
        cmocka_unit_test(own_packets_are_known),
        cmocka_unit_test(packets_may_come_in_any_order_within_the_window),
        cmocka_unit_test(a_jump_of_the_counter_forgets_nothing_it_must_keep),
        cmocka_unit_test(any_key_that_is_open_opens),
        cmocka_unit_test(a_packet_under_a_retired_key_is_told_apart_and_leaves_no_trace),
        cmocka_unit_test(counters_go_on_over_all_keys),
        cmocka_unit_test(keys_with_one_hint_open_what_is_theirs),
        cmocka_unit_test(many_senders_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
