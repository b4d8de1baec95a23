/* tests/fuzz/fuzz_member.c: member records from strangers. What decodes must encode again to
 * something that decodes to the same bytes, and must be safe to merge. */
#include <stdlib.h>

#include "ring/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct member *member)
{
    uint8_t first[MEMBER_RECORD_MAX];
    uint8_t second[MEMBER_RECORD_MAX];
    size_t used = 0;
    size_t used_again = 0;
    struct member back;
    CHECK(member_encode(member, first, sizeof first, &used) == ERR_OK);
    struct span rest = span_of(first, used);
    CHECK(member_decode(&rest, &back) == ERR_OK && rest.size == 0);
    CHECK(member_encode(&back, second, sizeof second, &used_again) == ERR_OK);
    CHECK(used == used_again && memcmp(first, second, used) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t memory[64 * 1024];
    struct arena mem;
    struct view *view;
    struct member member;
    struct span rest = span_of(data, size);
    arena_init(&mem, memory, sizeof memory);
    CHECK(view_new(&mem, 16, &view) == ERR_OK);
    while (member_decode(&rest, &member) == ERR_OK) {
        again(&member);
        view_merge(view, &member, NULL);
        CHECK(!view_merge(view, &member, NULL));
        if (selector_is_valid(span_text(member.labels))) {
            CHECK(selector_admits(span_text(member.labels), &member));
        }
    }
    CHECK(view_digest(view) != 0 || !view_has_owner(view));
    return 0;
}
