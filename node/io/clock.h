/* node/io/clock.h: the one place where a process reads its clocks. */
#pragma once
#include "base/time.h"

struct now clock_now(void);
usec_t clock_mono_us(void);
usec_t clock_wall_us(void);
