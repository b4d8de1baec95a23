/* tests/fuzz/fuzz_dataset.c: dataset records from strangers. What decodes is valid, and encodes to
 * something that decodes to the same bytes. */
#include "wire/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dataset dataset;
    static struct dataset back;
    static uint8_t first[DATASET_RECORD_MAX];
    static uint8_t second[DATASET_RECORD_MAX];
    size_t used = 0;
    size_t used_again = 0;
    if (dataset_decode(span_of(data, size), &dataset) != ERR_OK) {
        return 0;
    }
    CHECK(dataset_fault(&dataset) == NULL);
    if (dataset_encode(&dataset, first, sizeof first, &used) != ERR_OK) {
        CHECK(dataset.row_count > 1); /* only many long rows do not fit */
        return 0;
    }
    CHECK(dataset_decode(span_of(first, used), &back) == ERR_OK);
    CHECK(dataset_encode(&back, second, sizeof second, &used_again) == ERR_OK);
    CHECK(span_equal(span_of(first, used), span_of(second, used_again)));
    CHECK(!dataset_supersedes(&dataset, &back) && !dataset_supersedes(&back, &dataset));
    return 0;
}
