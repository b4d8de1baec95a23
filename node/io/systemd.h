/* node/io/systemd.h: what a service tells its manager: READY, STOPPING, WATCHDOG (sd_notify(3)). */
#pragma once
#include "base/time.h"

/* "READY=1", "STOPPING=1", "WATCHDOG=1"; nothing happens when nobody asked for it. */
void systemd_notify(const char *state);
/* How often WATCHDOG=1 is wanted at least; USEC_NEVER: not at all. */
usec_t systemd_watchdog_us(void);
