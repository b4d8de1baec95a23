/* sim/members_parts.h: what the cases of a membership have in common. */
#pragma once
#include "sim/members_cases.h"

#define MEMBERS_QUIET_US SEC(20) /* after a start all has settled */

double members_seconds(usec_t us); /* USEC_NEVER: far more than any goal */
/* The part of it that this trial runs. */
usec_t members_scaled(const struct members_trial *trial, usec_t us);
/* The first failure of a trial is told, and ends it. */
void members_fail(struct members_trial *trial, const char *what);
bool members_failed(const struct members_trial *trial);
/* All have started, and it is quiet. */
struct members *members_begin_settled(struct members_trial *trial);
/* A random member that is up and not faulty; the seeds are spared. */
uint32_t members_pick(struct members *m);
/* From now on its removal is no mistake, and it is in no ring when all is settled. */
void members_lose(struct members *m, uint32_t node);
/* So many of them, their numbers in `out`. */
void members_pick_faulty(struct members *m, uint32_t count, uint32_t *out);

/* ---- the cases, one function each ---- */

/* members_calm.c */
void members_run_boot(struct members_trial *trial);
void members_run_idle(struct members_trial *trial);
void members_run_crash(struct members_trial *trial);
void members_run_large(struct members_trial *trial);
/* members_rough.c */
void members_run_loss_10(struct members_trial *trial);
void members_run_loss_30(struct members_trial *trial);
void members_run_bad_links(struct members_trial *trial);
void members_run_flip_flop(struct members_trial *trial);
void members_run_starved(struct members_trial *trial);
void members_run_halves(struct members_trial *trial);
/* members_churn.c */
void members_run_churn(struct members_trial *trial);
void members_run_ghosts(struct members_trial *trial);

enum { CRASH_OUT, CRASH_EPOCHS, CRASH_WRONGED };
enum { BOOT_TOOK, BOOT_EPOCHS, BOOT_WRONGED };
enum { IDLE_MEAN, IDLE_P99, IDLE_MOST, IDLE_PACKETS };
enum { LARGE_MEAN, LARGE_P99, LARGE_MEMORY, LARGE_CPU, LARGE_BOOT };
enum { LOSS_WRONGED, LOSS_HOURS, LOSS_EPOCHS, LOSS_TRAFFIC };
enum { FAULTY_OUT, FAULTY_EPOCHS, FAULTY_LATER, FAULTY_WRONGED };
enum { STARVED_WRONGED, STARVED_EPOCHS, STARVED_SETTLED };
enum { HALVES_SETTLED, HALVES_EPOCHS, HALVES_APART };
enum { CHURN_GONE, CHURN_JOINED, CHURN_BACKLOG, CHURN_WRONGED, CHURN_TRAFFIC, CHURN_SETTLED };
enum { GHOSTS_CHANGES, GHOSTS_RISEN, GHOSTS_TABLE, GHOSTS_WRONGED, GHOSTS_SETTLED };
