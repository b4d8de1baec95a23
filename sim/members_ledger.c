#include "sim/members_ledger.h"

#include <string.h>

#include "base/check.h"

void ledger_open(struct members_ledger *ledger, usec_t now_us)
{
    memset(ledger, 0, sizeof *ledger);
    ledger->is_open = true;
    ledger->opened_us = now_us;
}

void ledger_flush(struct members_ledger *ledger, struct members_meter *meter)
{
    for (uint32_t way = 0; way < 2; way++) {
        const uint32_t bytes = meter->bytes[way];
        uint32_t column = bytes / LEDGER_STEP;
        meter->bytes[way] = 0;
        if (bytes == 0 || meter->second * SEC(1) < ledger->opened_us) {
            continue;
        }
        column = column < LEDGER_COLUMNS ? column : LEDGER_COLUMNS - 1;
        ledger->columns[way][column]++;
        ledger->most[way] = bytes > ledger->most[way] ? bytes : ledger->most[way];
    }
}

void ledger_count(struct members_ledger *ledger, struct members_meter *meter, usec_t now_us,
                  enum members_way way, uint32_t bytes)
{
    if (!ledger->is_open) {
        return;
    }
    if (now_us / SEC(1) != meter->second) {
        ledger_flush(ledger, meter);
        meter->second = now_us / SEC(1);
    }
    meter->bytes[way] += bytes + LEDGER_HEADERS;
    ledger->bytes[way] += bytes + LEDGER_HEADERS;
    ledger->packets[way]++;
}

void ledger_close(struct members_ledger *ledger, usec_t now_us, uint32_t nodes)
{
    CHECK(ledger->is_open && now_us > ledger->opened_us);
    ledger->is_open = false;
    ledger->seconds = (double)(now_us - ledger->opened_us) / (double)SEC(1) * nodes;
}

/* The size that all but a hundredth of the seconds stay below; seconds without a packet count. */
static double p99_of(const struct members_ledger *ledger, enum members_way way)
{
    uint64_t above = (uint64_t)(ledger->seconds / 100);
    uint32_t column = LEDGER_COLUMNS;
    while (column > 0 && ledger->columns[way][column - 1] <= above) {
        column--;
        above -= ledger->columns[way][column];
    }
    return (double)(column * LEDGER_STEP);
}

struct ledger_figures ledger_figures(const struct members_ledger *ledger, enum members_way way)
{
    return (struct ledger_figures){ .mean = (double)ledger->bytes[way] / ledger->seconds,
                                    .p99 = p99_of(ledger, way),
                                    .most = ledger->most[way],
                                    .packets = (double)ledger->packets[way] / ledger->seconds };
}
