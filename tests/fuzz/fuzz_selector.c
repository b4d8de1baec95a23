/* tests/fuzz/fuzz_selector.c: a selector and a node's labels, a line each. A selector that is valid
 * admits exactly the nodes that have each of its labels. */
#include "ring/view.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One "k=v" among others, compared part by part. */
static bool has_label(struct span labels, struct span label)
{
    while (labels.size > 0) {
        if (span_equal(scratch_take(&labels, ','), label)) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct member member = { .state = MEMBER_OWNING, .weight = 1 };
    struct span rest = span_of(data, size);
    struct span selector = scratch_take(&rest, '\n');
    bool admits = true;
    if (!selector_is_valid(selector) || !selector_is_valid(rest) || rest.size > MEMBER_LABELS_MAX) {
        return 0;
    }
    if (rest.size > 0) {
        memcpy(member.labels, rest.data, rest.size);
    }
    for (struct span left = selector; left.size > 0;) {
        admits = has_label(rest, scratch_take(&left, ',')) && admits;
    }
    CHECK(selector_admits(selector, &member) == admits);
    CHECK(selector_admits(span_text(""), &member) && selector_admits(rest, &member));
    return 0;
}
