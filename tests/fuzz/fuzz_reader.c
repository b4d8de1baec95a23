/* tests/fuzz/fuzz_reader.c: our msgpack reader and msgpack-c's unpacker agree whether there is a whole
 * value, and where it ends. */
#include <stdlib.h>

#include <msgpack.h>

#include "base/check.h"
#include "wire/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* msgpack-c allocates what the head of a container announces before it has seen it: heads of 32 bits
 * are left out, and of 16 bits those of more than about a thousand. */
static bool announces_much(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool wide = data[i] == 0xdd || data[i] == 0xdf;
        bool narrow = data[i] == 0xdc || data[i] == 0xde;
        if (wide || (narrow && i + 1 < size && data[i + 1] > 3)) {
            return true;
        }
    }
    return false;
}

/* How deep the containers are nested, at most; msgpack-c's limit is another than ours. */
static uint32_t depth_of(const msgpack_object *object)
{
    uint32_t deepest = 0;
    uint32_t count = 0;
    if (object->type == MSGPACK_OBJECT_ARRAY) {
        count = object->via.array.size;
    } else if (object->type == MSGPACK_OBJECT_MAP) {
        count = 2 * object->via.map.size;
    }
    for (uint32_t i = 0; i < count; i++) {
        /* A map is an array of pairs in memory: both are walked as objects in a row. */
        const msgpack_object *inner = object->type == MSGPACK_OBJECT_ARRAY
                                          ? &object->via.array.ptr[i]
                                          : &object->via.map.ptr[0].key + i;
        uint32_t depth = depth_of(inner);
        deepest = depth > deepest ? depth : deepest;
    }
    return count > 0 ? deepest + 1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    msgpack_unpacked unpacked;
    struct reader reader;
    size_t end = 0;
    reader_init(&reader, span_of(data, size));
    bool ours = size > 0 && reader_skip(&reader);
    if (size == 0 || announces_much(data, size)) {
        return 0;
    }
    msgpack_unpacked_init(&unpacked);
    msgpack_unpack_return result = msgpack_unpack_next(&unpacked, (const char *)data, size, &end);
    bool theirs = result == MSGPACK_UNPACK_SUCCESS || result == MSGPACK_UNPACK_EXTRA_BYTES;
    if (theirs && depth_of(&unpacked.data) <= READER_DEPTH_MAX) {
        CHECK(ours && size - reader.left == end);
    } else {
        CHECK(!ours);
    }
    msgpack_unpacked_destroy(&unpacked);
    return 0;
}
