/* node/core/meter.c: a moving mean, and the mean of some dozens of nodes. */
#include "node/core/meter.h"

#include <string.h>

#include "base/check.h"

/* METER_KEEP is e^-1/2: of a step of 250 ms, so half a second is remembered. Of 1,000 reads a second that
 * is known to 3 %; less would be noise, more would be late.
 *
 * Half as much again as before is no noise: it is believed at once. */
#define SUDDEN(rate) ((rate)*3 / 2)
#define SAMPLE_US SEC(2) /* how long what somebody said counts */
/* What is far above the others counts as twice what is usual: of some dozens one may be a node that is
 * asked for the hottest block of a thousand. Of few each counts as it is. */
#define CLIP 2u
#define CLIP_FROM 8u
#define STEP_MIN_US MSEC(50)

void meter_init(struct meter *meter, uint64_t floor)
{
    *meter = (struct meter){ .floor = floor };
}

uint64_t meter_part(uint64_t value, uint32_t of_65536)
{
    CHECK(of_65536 <= 65536);
    return (value >> 16) * of_65536 + (((value & 0xffff) * of_65536) >> 16);
}

void meter_served(struct meter *meter, uint64_t bytes)
{
    meter->bytes += bytes + METER_REQUEST_BYTES;
}

void meter_told(struct meter *meter, const uint64_t *rates, uint32_t count)
{
    meter->told_count = count < METER_TOLD ? count : METER_TOLD;
    memcpy(meter->told, rates, meter->told_count * sizeof *rates);
}

void meter_sample(struct meter *meter, usec_t now_us, uint64_t rate)
{
    meter->samples[meter->next_sample] = (struct meter_sample){ .rate = rate, .at_us = now_us };
    meter->next_sample = (meter->next_sample + 1) % METER_SAMPLES;
}

void meter_expect(struct meter *meter, int64_t rate)
{
    const int64_t most = (int64_t)METER_RATE_MOST;
    CHECK(rate >= -most && rate <= most);
    meter->due += rate;
    meter->due = meter->due > most ? most : meter->due;
    meter->due = meter->due < -most ? -most : meter->due;
}

uint64_t meter_now(const struct meter *meter)
{
    int64_t rate = (int64_t)meter->rate + meter->due;
    return rate < 0 ? 0 : (uint64_t)rate;
}

bool meter_is_busy(const struct meter *meter, usec_t now_us)
{
    usec_t passed_us = usec_min(now_us - meter->step_us, SEC(1));
    return meter->bytes > meter_level(meter->mean) * (uint64_t)passed_us / 1000000;
}

/* ---- the mean of all ----------------------------------------------------------------------- */

struct sorted {
    uint64_t rates[1 + METER_TOLD + METER_SAMPLES];
    uint32_t count;
};

static void insert(struct sorted *sorted, uint64_t rate)
{
    uint32_t at = sorted->count++;
    for (; at > 0 && sorted->rates[at - 1] > rate; at--) {
        sorted->rates[at] = sorted->rates[at - 1];
    }
    sorted->rates[at] = rate < METER_RATE_MOST ? rate : METER_RATE_MOST;
}

static uint64_t mean_of(const struct sorted *sorted)
{
    uint64_t most =
        sorted->count >= CLIP_FROM ? sorted->rates[sorted->count / 2] * CLIP : METER_RATE_MOST;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < sorted->count; i++) {
        sum += sorted->rates[i] < most ? sorted->rates[i] : most;
    }
    return sum / sorted->count;
}

static uint64_t mean_now(const struct meter *meter, usec_t now_us)
{
    struct sorted sorted = { .count = 0 };
    insert(&sorted, meter_now(meter));
    for (uint32_t i = 0; i < meter->told_count; i++) {
        insert(&sorted, meter->told[i]);
    }
    for (uint32_t i = 0; i < METER_SAMPLES; i++) {
        const struct meter_sample *sample = &meter->samples[i];
        if (sample->at_us != 0 && now_us - sample->at_us < SAMPLE_US) {
            insert(&sorted, sample->rate);
        }
    }
    return mean_of(&sorted);
}

/* ---- each step ------------------------------------------------------------------------------- */

bool meter_step(struct meter *meter, usec_t now_us)
{
    usec_t passed_us = usec_max(now_us - meter->step_us, STEP_MIN_US);
    meter->passed = (uint64_t)passed_us;
    uint64_t rate = meter->bytes * 1000000 / meter->passed;
    bool is_sudden = rate > meter->floor && rate > SUDDEN(meter->rate);
    meter->step_us = now_us;
    meter->bytes = 0;
    if (is_sudden) {
        meter->rate = rate;
        meter->due = 0; /* it is in there */
    } else {
        int64_t due =
            (int64_t)meter_part((uint64_t)(meter->due < 0 ? -meter->due : meter->due), METER_KEEP);
        meter->rate = meter_part(meter->rate, METER_KEEP) + meter_gain(rate);
        meter->due = meter->due < 0 ? -due : due;
    }
    meter->mean = mean_now(meter, now_us);
    return is_sudden;
}
