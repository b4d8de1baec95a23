/* sim/members_report.c: from samples to figures. */
#include "sim/members_cases.h"

#include <stdlib.h>

void members_note(struct members_trial *trial, uint32_t series, double value)
{
    CHECK(series < MEMBERS_SERIES_MAX);
    struct members_series *s = &trial->series[series];
    if (s->count == s->room) {
        s->room = s->room * 2 + 64;
        s->values = realloc(s->values, s->room * sizeof s->values[0]);
        CHECK(s->values != NULL);
    }
    s->values[s->count++] = value;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y ? 1 : 0;
}

/* The smallest sample that at least `percent` of them do not exceed. */
static double quantile(const struct members_series *s, uint32_t percent)
{
    const uint64_t rank = ((uint64_t)s->count * percent + 99) / 100;
    qsort(s->values, s->count, sizeof s->values[0], compare);
    return s->values[rank > 0 ? rank - 1 : 0];
}

double members_figure(const struct members_trial *trial, const struct members_column *column)
{
    const struct members_series *s = &trial->series[column->series];
    double sum = 0;
    if (s->count == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        sum += s->values[i];
    }
    switch (column->how) {
    case HOW_P50:
        return quantile(s, 50);
    case HOW_P99:
        return quantile(s, 99);
    case HOW_MOST:
        return quantile(s, 100);
    case HOW_MEAN:
        return sum / s->count;
    case HOW_SUM:
        return sum;
    }
    BUG("no such figure");
}

void members_trial_fini(struct members_trial *trial)
{
    for (uint32_t i = 0; i < MEMBERS_SERIES_MAX; i++) {
        free(trial->series[i].values);
    }
}
