/* tests/fuzz/fuzz_listing.c: pages of ListObjectsV2 from a store that may be anything. A page that
 * is accepted is whole: keys in order, pins that can be sent, a token exactly when it goes on. */
#include "node/origin/listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct listing listing = { 0 };
    if (listing_parse(span_of(data, size), &listing) != ERR_OK) {
        CHECK(listing.entries == NULL && listing.memory == NULL);
        return 0;
    }
    CHECK(listing.truncated == (listing.next.size > 0));
    for (uint32_t i = 0; i < listing.count; i++) {
        const struct listing_entry *entry = &listing.entries[i];
        CHECK(entry->key.size > 0 && entry->key.size <= size);
        CHECK(entry->is_prefix ? entry->pin.size == 0 : pin_is_valid(entry->pin));
        CHECK(i == 0 || span_compare(listing.entries[i - 1].key, entry->key) <= 0);
    }
    listing_fini(&listing);
    return 0;
}
