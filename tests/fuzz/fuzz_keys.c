/* tests/fuzz/fuzz_keys.c: files of `atoll keygen` that may be anything. What loads is in bounds, and
 * saved again it loads to the same. */
#include "node/io/keys.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *fresh_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "%s/again", scratch_dir());
    (void)unlink(path);
    return path;
}

static void try_cluster(const char *path, struct text *why)
{
    struct cluster_keys keys = { .name = "untouched" };
    struct cluster_keys again = { .name = "" };
    if (keys_load_cluster(path, &keys, why) != ERR_OK) {
        CHECK(why->used > 0 && strcmp(keys.name, "untouched") == 0);
        return;
    }
    const char *copy = fresh_path();
    CHECK(keys.slots_log2 >= 8 && keys.slots_log2 <= 24 && keys.name[0] != '\0');
    CHECK(keys_save_cluster(copy, &keys, why) == ERR_OK);
    CHECK(keys_load_cluster(copy, &again, why) == ERR_OK);
    CHECK(memcmp(&keys, &again, sizeof keys) == 0);
}

static void try_client(const char *path, struct text *why)
{
    static struct client_keys keys;
    static struct client_keys again;
    memset(&keys, 0, sizeof keys);
    if (keys_load_client(path, &keys, why) != ERR_OK) {
        CHECK(why->used > 0 && keys.cluster[0] == '\0');
        return;
    }
    const char *copy = fresh_path();
    CHECK(keys.grants_size <= sizeof keys.grants && keys.cluster[0] != '\0');
    CHECK(keys_save_client(copy, &keys, why) == ERR_OK);
    CHECK(keys_load_client(copy, &again, why) == ERR_OK);
    CHECK(memcmp(&keys, &again, sizeof keys) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char line[512];
    struct text why;
    const char *path = scratch_file(0, span_of(data, size));
    text_init(&why, line, sizeof line);
    try_cluster(path, &why);
    text_init(&why, line, sizeof line);
    try_client(path, &why);
    return 0;
}
