/* tests/unit/gossip/bench.h: one machine, and packets made by hand: by strangers, and by a member
 * that lies or errs. */
#pragma once
#include "tests/unit/gossip/net.h"

#include "gossip/datagram.h"
#include "gossip/seal.h"

#define BENCH_MEMBERS 16u

struct bench {
    struct gossip *gossip;
    void *memory;
    struct seal seal; /* of the other side */
    struct keyring ring;
    void *seal_memory;
    struct gossip_effects effects;
    usec_t now_us;
    struct marks marks;
    uint8_t listener; /* bench_find_sent opens with the key of that byte; 0: the other side's */
    uint8_t opened[GOSSIP_PACKET_MAX]; /* the last packet that bench_find_sent opened */
    struct span body;
};

struct node_id bench_id(uint8_t byte);
/* Incarnation 10, version 1, at port `who`. */
struct member bench_member(uint8_t who, enum member_state state);
/* We are 1; the other side is 2, of our cluster. */
struct bench *bench_new(void);
/* The same, and `count` owning members from 2 on. */
struct bench *bench_with_members(uint32_t count);
void bench_free(struct bench **b);
/* Who makes the packets from now on. */
void bench_other_side(struct bench *b, uint8_t who, uint8_t key, const char *cluster);
void bench_step(struct bench *b, const struct gossip_event *event);
void bench_deliver(struct bench *b, uint8_t *packet, size_t size);
/* A packet of the other side without sections, from that port. */
void bench_tell_from(struct bench *b, uint16_t port, struct datagram_head head);
/* A packet of the other side; record and state may be NULL. Returns its size. */
size_t bench_write(struct bench *b, uint8_t *packet, struct datagram_head head,
                   const struct member *record, const struct datagram_state *state);
/* Write and deliver. */
void bench_tell(struct bench *b, struct datagram_head head, const struct member *record,
                const struct datagram_state *state);
void bench_vote_down(struct bench *b, uint8_t observer, uint8_t subject);
/* The first packet of this kind to that port in the last effects, and its first section. */
bool bench_find_sent(struct bench *b, uint16_t port, enum datagram_kind kind,
                     struct datagram_head *head, struct datagram_section *section);
/* Of the packet that was found last. */
struct span bench_last_body(const struct bench *b);
bool bench_has_effect(const struct bench *b, enum gossip_effect_kind kind);
/* Tick as the machine asks to, without answering anything. */
void bench_pass(struct bench *b, usec_t time_us);
/* Everybody up to `highest` answers us on the data path all the while. */
void bench_pass_in_good_health(struct bench *b, uint8_t highest, usec_t time_us);
/* NULL when it is not in the view; valid until the next call. */
const struct member *bench_sees(const struct bench *b, uint8_t who);
