/* tests/sim/main.c: atoll_simtest: many seeds, each in a process of its own (docs/simulator.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/sim/trial.h"
int main(int argc, char **argv)
{
    struct trial_options o = { .seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, .verbose = argc > 2, .calm = getenv("CALM") != NULL, .only = getenv("ONLY") };
    static struct trial_result r;
    trial_run(&o, &r);
    printf("seed=%llu hash=%016llx %s %s ops=%llu bytes=%llu given=%llu unique=%llu longest=%.3f steps=%llu repeated=%llu [%s]\n", (unsigned long long)o.seed, (unsigned long long)r.hash, r.failed ? "FAILED" : "ok", r.failure, (unsigned long long)r.ops, (unsigned long long)r.bytes, (unsigned long long)r.given, (unsigned long long)r.unique, (double)r.longest_us / 1e6, (unsigned long long)r.steps, (unsigned long long)r.repeated, r.faults);
    return r.failed;
}
