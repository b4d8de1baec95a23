/* sim/members_ledger.h: bytes of datagrams by node and second, with IP and UDP headers, in a histogram
 * for each direction. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

#define LEDGER_HEADERS 28u /* IPv4 and UDP */
#define LEDGER_STEP 32u    /* bytes in a column of the histogram */
#define LEDGER_COLUMNS 4096u

enum members_way { MEMBERS_IN, MEMBERS_OUT };

/* Of one node: the second that is being counted. */
struct members_meter {
    int64_t second;
    uint32_t bytes[2];
};

struct members_ledger {
    bool is_open;
    usec_t opened_us;
    double seconds; /* of nodes, when closed */
    uint64_t bytes[2];
    uint64_t packets[2];
    uint32_t most[2];
    uint32_t columns[2][LEDGER_COLUMNS];
};

struct ledger_figures {
    double mean; /* bytes a second and node */
    double p99;
    double most;
    double packets; /* a second and node */
};

void ledger_open(struct members_ledger *ledger, usec_t now_us);
void ledger_count(struct members_ledger *ledger, struct members_meter *meter, usec_t now_us,
                  enum members_way way, uint32_t bytes);
/* The last seconds of a node belong to the ledger, too. */
void ledger_flush(struct members_ledger *ledger, struct members_meter *meter);
/* After each node's flush. `nodes` ran all the time. */
void ledger_close(struct members_ledger *ledger, usec_t now_us, uint32_t nodes);
struct ledger_figures ledger_figures(const struct members_ledger *ledger, enum members_way way);
