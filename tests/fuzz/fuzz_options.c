/* tests/fuzz/fuzz_options.c: a file of options and words of a command line, a zero byte between them.
 * What is taken can be read as what it is; what is not is told in a line. */
#include "node/io/config.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS_MAX 8

static void read_all(const struct options *options)
{
    for (uint32_t i = 0; i < config_table.count; i++) {
        const struct option_row *row = &config_table.rows[i];
        switch (row->kind) {
        case OPTION_FLAG:
            (void)options_flag(options, row->name);
            break;
        case OPTION_SIZE:
        case OPTION_NUMBER:
            (void)options_size(options, row->name);
            break;
        case OPTION_DURATION:
            CHECK(options_duration_us(options, row->name) >= 0);
            break;
        case OPTION_LIST:
            for (uint32_t k = 0; k < options_count(options, row->name); k++) {
                CHECK(options_item(options, row->name, k) != NULL);
            }
            break;
        case OPTION_STRING:
            (void)options_string(options, row->name);
            break;
        }
    }
}

static void check_tiers(const struct options *options)
{
    static struct config_tier tier;
    char line[2048];
    struct text why;
    for (uint32_t k = 0; k < options_count(options, "tier"); k++) {
        text_init(&why, line, sizeof line);
        if (config_tier_parse(options_item(options, "tier", k), &tier, &why) == ERR_OK) {
            CHECK(tier.dir[0] != '\0' && tier.quota > 0);
        } else {
            CHECK(why.used > 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char line[2048];
    struct text why;
    struct options *options = NULL;
    struct span rest = span_of(data, size);
    char *words[WORDS_MAX + 4] = { (char *)(uintptr_t) "node", (char *)(uintptr_t) "--config" };
    int count = 3;
    words[2] = (char *)(uintptr_t)scratch_file(0, scratch_take(&rest, 0));
    while (rest.size > 0 && count < WORDS_MAX) {
        words[count++] = scratch_string(scratch_take(&rest, 0));
    }
    text_init(&why, line, sizeof line);
    if (options_parse(&config_table, count, words, &options, &why) == ERR_OK) {
        if (!options_wants_help(options)) {
            read_all(options);
            check_tiers(options);
        }
        options_free(&options);
    } else {
        CHECK(why.used > 0);
    }
    for (int i = 3; i < count; i++) {
        free(words[i]);
    }
    return 0;
}
