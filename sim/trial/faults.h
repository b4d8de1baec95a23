/* sim/trial/faults.h: what goes wrong in a trial, as its scenario plans it, and what that excuses. */
#pragma once
#include "sim/trial/trial.h"

#define FAULTS_BACKOFF_US SEC(22) /* a node tries a source again after at most 20 s */
#define FAULTS_SETTLE_US SEC(10)  /* one view and one ring by then (DESIGN 14) */

struct faults *faults_new(struct trial *trial);
void faults_free(struct faults **faults);
/* Time begins to count: each comes when it is planned, and ends by itself. */
void faults_begin(struct faults *faults);
/* All of them are over now, but for those that are for ever. */
void faults_end(struct faults *faults);
/* Nodes that start only with a fault. */
bool faults_holds_back(const struct faults *faults, uint32_t node);
/* "crash freeze ..." */
void faults_names(const struct faults *faults, char *out, size_t room);
bool faults_has_begun(const struct faults *faults, const char *kind);
/* How many have begun so far. */
uint32_t faults_began(const struct faults *faults);
/* World time at which the network between nodes was troubled last; long ago: never. */
usec_t faults_network_us(const struct faults *faults);
/* The same for one node: where a few nodes and all others do not hear each other, and nothing else is
 * cut, the others are not troubled. */
usec_t faults_touched_us(const struct faults *faults, uint32_t node);
/* Has the network only ever been troubled for all alike, and half of all datagrams got through? */
bool faults_spread_evenly(const struct faults *faults);
/* World time at which the source was troubled last; long ago: never. */
usec_t faults_source_us(const struct faults *faults);
/* Has anything happened that may make a node silent, or hard to reach? */
bool faults_may_silence(const struct faults *faults);
/* ... or that may change the weight of one, as trouble with its disk does? */
bool faults_may_move(const struct faults *faults);
/* Have nodes found each other again since the last fault that took some away or cut them off? */
bool faults_settled(const struct faults *faults);
/* A fault that readers must wait out excuses their waiting until this world time. */
usec_t faults_excused_us(const struct faults *faults);
/* Views differ or have differed, nodes act or have acted for others: chunks of that key may come from
 * the source twice. */
bool faults_may_repeat(const struct faults *faults, struct span key);
/* Was that node's disk ever made slow, or failing? */
bool faults_troubled_disk(const struct faults *faults, uint32_t node);
