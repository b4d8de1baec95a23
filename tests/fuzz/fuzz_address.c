/* tests/fuzz/fuzz_address.c: HOST:PORT as people write it. What is split is in bounds, and a numeric
 * address is written so that it is read again as itself. */
#include "node/io/address.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct address *address)
{
    char text[ADDRESS_TEXT_SIZE], host[ADDRESS_HOST_MAX + 1];
    struct address again;
    uint16_t port = 0;
    address_text(address, text);
    CHECK(strlen(text) < sizeof text && address_split(text, 0, host, &port));
    CHECK(address_parse(host, port, &again) && address_equal(address, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = scratch_string(span_of(data, size));
    char *host = malloc(ADDRESS_HOST_MAX + 1);
    struct address address;
    uint16_t port = 0;
    CHECK(host != NULL);
    if (address_split(text, 0, host, &port)) {
        CHECK(host[0] != '\0' && strlen(host) <= ADDRESS_HOST_MAX && port > 0);
        if (address_parse(host, port, &address)) {
            check_again(&address);
        }
    }
    if (address_parse(text, 1, &address)) {
        check_again(&address);
    }
    free(host);
    free(text);
    return 0;
}
