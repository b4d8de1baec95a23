/* tests/unit/node/core/test_memory.c: the region in counted buffers. */
#include "tests/unit/node/core/lab.h"

#include "node/core/blocks.h"
#include "node/core/memory.h"

#include <string.h>

#define REGION ((size_t)2 << 20)
#define PIECE 262144u
#define PIECES 8u

static struct node_effects effects;

static struct lab *small(void)
{
    struct lab *lab = lab_new(1, REGION, 0);
    effects_begin(&lab->nodes[0].node->effects, &effects);
    return lab;
}

/* Block `index` of some object, whole, in memory. */
static struct block *cache(struct node *node, uint32_t index)
{
    struct block_id id = { .index = index };
    struct block *block = blocks_take(node, id, PIECE);
    assert_non_null(block);
    assert_true(block_give_buffer(node, block, MEMORY_READ));
    block->arrived = PIECE;
    return block;
}

static bool is_cached(const struct node *node, uint32_t index)
{
    return blocks_find(node, (struct block_id){ .index = index }) != NULL;
}

static void the_oldest_cached_block_goes_first(void **state)
{
    (void)state;
    struct lab *lab = small();
    struct node *node = lab->nodes[0].node;
    for (uint32_t i = 0; i < PIECES + 1; i++) {
        (void)cache(node, i);
    }
    assert_false(is_cached(node, 0));
    assert_true(is_cached(node, 1));
    assert_int_equal(node->metrics.evicted_memory, 1);
    lab_free(lab);
}

static void a_block_that_was_useful_stays_longer(void **state)
{
    (void)state;
    struct lab *lab = small();
    struct node *node = lab->nodes[0].node;
    for (uint32_t i = 0; i < PIECES; i++) {
        (void)cache(node, i);
    }
    buffer_touch(blocks_find(node, (struct block_id){ .index = 0 })->buffer);
    (void)cache(node, PIECES);
    assert_true(is_cached(node, 0));
    assert_false(is_cached(node, 1));
    lab_free(lab);
}

static void what_somebody_holds_is_never_evicted(void **state)
{
    (void)state;
    struct lab *lab = small();
    struct node *node = lab->nodes[0].node;
    struct buffer *held[PIECES];
    for (uint32_t i = 0; i < PIECES; i++) {
        held[i] = cache(node, i)->buffer;
        buffer_ref(node, held[i]);
    }
    assert_null(memory_take(node, PIECE, MEMORY_READ));
    buffer_unref(node, held[5]);
    assert_non_null(memory_take(node, PIECE, MEMORY_READ));
    assert_false(is_cached(node, 5));
    assert_true(is_cached(node, 4));
    lab_free(lab);
}

static void every_byte_comes_back(void **state)
{
    (void)state;
    struct lab *lab = small();
    struct node *node = lab->nodes[0].node;
    struct buffer *buffers[3];
    const size_t sizes[3] = { 1, 5000, 1 << 20 };
    for (uint32_t i = 0; i < 3; i++) {
        buffers[i] = memory_take(node, sizes[i], MEMORY_READ);
        assert_non_null(buffers[i]);
    }
    assert_int_equal(buddy_used(node->memory.buddy), 4096 + 8192 + (1 << 20));
    for (uint32_t i = 0; i < 3; i++) {
        buffer_unref(node, buffers[i]);
    }
    assert_int_equal(buddy_used(node->memory.buddy), 0);
    assert_int_equal(node->memory.used[MEMORY_READ], 0);
    lab_free(lab);
}

static void checksums_of_two_buffers_do_not_touch(void **state)
{
    (void)state;
    struct lab *lab = small();
    struct node *node = lab->nodes[0].node;
    struct buffer *a = memory_take(node, 1 << 20, MEMORY_READ);
    struct buffer *b = memory_take(node, 1 << 19, MEMORY_READ);
    memset(a->checksums, 1, chunk_count(1 << 20) * sizeof(uint64_t));
    memset(b->checksums, 2, chunk_count(1 << 19) * sizeof(uint64_t));
    for (uint32_t i = 0; i < chunk_count(1 << 20); i++) {
        assert_true(a->checksums[i] == UINT64_C(0x0101010101010101));
    }
    lab_free(lab);
}

static void read_ahead_leaves_an_eighth_alone(void **state)
{
    (void)state;
    struct lab *lab = small();
    struct node *node = lab->nodes[0].node;
    for (uint32_t i = 0; i < PIECES - 1; i++) {
        assert_non_null(memory_take(node, PIECE, MEMORY_BACKGROUND));
    }
    assert_null(memory_take(node, 4096, MEMORY_BACKGROUND));
    assert_non_null(memory_take(node, PIECE, MEMORY_READ));
    lab_free(lab);
}

static void metadata_has_at_most_a_quarter(void **state)
{
    (void)state;
    struct lab *lab = small();
    struct node *node = lab->nodes[0].node;
    uint64_t before = node->memory.used[MEMORY_META];
    for (uint64_t used = before; used + PIECE <= REGION / 4; used += PIECE) {
        assert_non_null(memory_take(node, PIECE, MEMORY_META));
    }
    assert_null(memory_take(node, PIECE, MEMORY_META));
    lab_free(lab);
}

static void a_full_table_of_blocks_makes_room_by_evicting(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, (size_t)32 << 20, 0);
    struct node *node = lab->nodes[0].node;
    effects_begin(&node->effects, &effects);
    for (uint32_t i = 0; i < node->options.blocks_max + 10; i++) {
        struct block *block = blocks_take(node, (struct block_id){ .index = i }, 4096);
        assert_non_null(block);
        assert_true(block_give_buffer(node, block, MEMORY_READ));
        block->arrived = 4096;
    }
    assert_int_equal(node->blocks.pool.used, node->options.blocks_max);
    assert_true(is_cached(node, node->options.blocks_max + 9));
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_cached_block_goes_first),
        cmocka_unit_test(a_block_that_was_useful_stays_longer),
        cmocka_unit_test(what_somebody_holds_is_never_evicted),
        cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(checksums_of_two_buffers_do_not_touch),
        cmocka_unit_test(read_ahead_leaves_an_eighth_alone),
        cmocka_unit_test(metadata_has_at_most_a_quarter),
        cmocka_unit_test(a_full_table_of_blocks_makes_room_by_evicting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
