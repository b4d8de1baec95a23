/* gossip/records.h: what members say of themselves (name, zone, weights, addresses), each kept once.
 *
 * A record knows no incarnation, version or state: in its facts they are 0. Those change often and
 * stand beside the number of the record at whoever remembers the member. A machine has records of
 * its own; machines that run in one thread may share them, so that a thousand of them know a
 * thousand members without a million copies. */
#pragma once
#include "ring/view.h"

#define RECORD_NONE UINT32_MAX

struct records;

size_t records_memory(uint32_t limit);
/* ERR_NOMEM: the arena is too small. */
enum err records_new(struct arena *mem, uint32_t limit, struct records **out) MUST_USE;
/* The record with these facts, with one reference more; RECORD_NONE when there is no room. */
uint32_t records_ref(struct records *records, const struct member *member);
void records_unref(struct records *records, uint32_t record);
/* Valid while there is a reference. */
const struct member *records_facts(const struct records *records, uint32_t record);
/* The same that its facts have. */
struct node_id records_id(const struct records *records, uint32_t record);
/* Are these certainly the facts of `member`? Quick; false also when it cannot tell. */
bool records_are(const struct records *records, uint32_t record, const struct member *member);
/* Of the facts: equal facts, equal hash. */
uint64_t records_hash(const struct records *records, uint32_t record);
/* Of the id alone. */
uint64_t records_id_hash(const struct records *records, uint32_t record);
uint32_t records_count(const struct records *records);
