/* tests/fuzz/replay.c: the main of a fuzz target where there is no libFuzzer: tries nothing, the empty
 * input, and the files of the directories it is given. So every build compiles each target and knows
 * its examples. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 1048576u

static void try_file(const char *directory, const char *name)
{
    char path[1024];
    CHECK(snprintf(path, sizeof path, "%s/%s", directory, name) < (int)sizeof path);
    uint8_t *data = malloc(INPUT_MAX);
    FILE *file = fopen(path, "re");
    CHECK(file != NULL && data != NULL);
    const size_t size = fread(data, 1, INPUT_MAX, file);
    CHECK(size < INPUT_MAX && ferror(file) == 0);
    fclose(file);
    uint8_t *exact = realloc(data, size + 1); /* so that a sanitizer sees what is read behind it */
    CHECK(exact != NULL);
    printf("%s\n", path);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

int main(int argc, char **argv)
{
    (void)LLVMFuzzerTestOneInput(NULL, 0);
    (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        const struct dirent *entry;
        CHECK(directory != NULL);
        while ((entry = readdir(directory)) != NULL) {
            if (entry->d_name[0] != '.') {
                try_file(argv[i], entry->d_name);
            }
        }
        closedir(directory);
    }
    return 0;
}
