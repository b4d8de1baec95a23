/* gossip/datagram.h: the inside of a gossip packet: a head of fixed size, then sections.
 *
 * Little endian. A section is u8 tag, u16 size, and that many bytes; unknown tags are skipped, and
 * bytes behind the known ones of a RECORD too. A reader checks the whole packet before it uses any
 * of it. */
#pragma once
#include "gossip/gossip.h"

#define DATAGRAM_BUCKETS 64u
#define DATAGRAM_STATE_SIZE (ID_SIZE + 8u + 1u + 1u + 1u)
#define DATAGRAM_VOTES_MAX 16u /* in one section */
#define DATAGRAM_CONTACTS_MAX 8u
/* Nobody's clock comes near (ms << 16: the year 2,200,000); above it a refutation could overflow. */
#define DATAGRAM_INCARNATION_MAX (1ull << 62)
#define DATAGRAM_WAIT_MAX_US MSEC(2016)

enum datagram_kind {
    DATAGRAM_PING = 1,    /* answer me, if you are `target` (zero: whoever you are) */
    DATAGRAM_ACK = 2,     /* the answer, with the ping's number */
    DATAGRAM_RELAY = 3,   /* ping `target` for me */
    DATAGRAM_RELAYED = 4, /* `target` answered; with the asker's number */
    DATAGRAM_NACK = 5,    /* it did not, but I live; with the asker's number */
    DATAGRAM_SPREAD = 6,  /* only sections */
    DATAGRAM_REFUSED = 7, /* to a ping: an older process lives with your id */
    /* numbers for ever; 8 to 15 are free */
    DATAGRAM_KEYS_ASK = 16,  /* your keys, please: with a KEYS_PUBLIC */
    DATAGRAM_KEYS_GIVE = 17, /* to it, with its number: a KEYS_BOX */
};

struct datagram_head {
    enum datagram_kind kind;
    uint8_t load;         /* what the sender serves (loads.c) */
    uint32_t number;      /* of the ping this belongs to */
    uint64_t incarnation; /* of the sender, now */
    uint64_t about;       /* RELAYED: incarnation of `target`; else the sender's first one */
    uint64_t digest;      /* of the living members that the sender knows */
    uint64_t catalog;     /* digest of the sender's dataset catalog */
    struct node_id target;
};

enum datagram_tag {
    DATAGRAM_RECORD = 1, /* a member's whole record */
    DATAGRAM_STATE = 2,  /* the state of a member whose record is known */
    DATAGRAM_VOTES = 3,  /* who finds a member unreachable */
    DATAGRAM_SUMS = 4, /* digest of each bucket of the sender's members: which differ from yours? */
    DATAGRAM_MASK = 5, /* those; none: you have got all that I have */
    DATAGRAM_HAVE = 6, /* a fingerprint of each member in some buckets: what else do you know? */
    DATAGRAM_CONTACTS = 7, /* addresses of some members, for a newcomer */
    DATAGRAM_YOUNG = 8, /* where nobody owns, and this is the digest: all who are ready own now */
    /* numbers for ever; 9 to 15 are free */
    DATAGRAM_KEYS_NEWEST = 16, /* the newest key that the sender holds durably */
    DATAGRAM_KEYS_STAGES = 17, /* how far each member is with that key */
    DATAGRAM_KEYS_PUBLIC = 18, /* the asker's half of a key that nobody else will know */
    DATAGRAM_KEYS_BOX = 19,    /* the giver's half, and a keyring under that key */
};

struct datagram_vote {
    struct node_id observer;
    uint64_t number; /* a later number of the same observer replaces an earlier one */
    bool down;       /* it misses the member now */
    bool is_lossy;   /* most of its questions were lost, whatever answers in between */
};

struct datagram_votes {
    struct node_id subject;
    uint64_t incarnation; /* of the subject: votes on another one are void */
    uint32_t count;
    struct datagram_vote vote[DATAGRAM_VOTES_MAX];
};

/* What goes along with a record or a state. */
struct telling {
    bool ready;     /* the member said that its warming is over */
    bool is_news;   /* to be passed on by those to whom it is new */
    usec_t wait_us; /* until it comes into force; at most DATAGRAM_WAIT_MAX_US are told */
    bool is_unfit;  /* of a death: it lives, but its links are bad; of a state only */
};

struct datagram_state {
    struct node_id id;
    uint64_t incarnation;
    enum member_state state;
    struct telling how;
};

/* Members of one bucket, each as 16 bits: enough within a bucket, with another salt each time. */
struct datagram_have {
    uint8_t bucket;
    uint16_t count;
    const uint8_t *prints; /* u16 each */
};

struct datagram_newest {
    uint32_t era;
    uint32_t number;
    struct key_id id;
    uint32_t ttl_s; /* the others open for that long; 0: not told */
};

/* Entries of u8 bucket, u16 members in it, u32 hash of who they are, and two bits for each of them
 * (enum key_stage) in the order of their ids, the first in the low bits of the first byte. */
struct datagram_stages {
    struct key_id key;
    struct span entries;
};

struct datagram_box {
    uint8_t public_key[TRUST_KEY_SIZE];
    uint64_t nonce;
    struct span sealed; /* with 16 bytes of tag at its end */
};

struct datagram_section {
    enum datagram_tag tag;
    union {
        struct {
            struct member member;
            struct telling how;
        } record;
        struct datagram_state state;
        struct datagram_votes votes;
        uint64_t sums[DATAGRAM_BUCKETS];
        uint64_t mask;
        struct {
            uint32_t salt;
            struct span rest; /* for datagram_next_have */
        } have;
        struct {
            uint32_t count;
            struct address list[DATAGRAM_CONTACTS_MAX];
        } contacts;
        uint64_t young;
        struct datagram_newest newest;
        struct datagram_stages stages;
        uint8_t public_key[TRUST_KEY_SIZE];
        struct datagram_box box;
    };
};

/* A body being written. What does not fit is not written: false, and the body as before. */
struct datagram {
    uint8_t *data;
    size_t room;
    size_t used;
};

void datagram_begin(struct datagram *d, uint8_t *data, size_t room,
                    const struct datagram_head *head);
bool datagram_add_record(struct datagram *d, const struct member *member, struct telling how);
bool datagram_add_state(struct datagram *d, const struct datagram_state *state);
bool datagram_add_votes(struct datagram *d, const struct datagram_votes *votes);
bool datagram_add_sums(struct datagram *d, const uint64_t sums[DATAGRAM_BUCKETS]);
bool datagram_add_mask(struct datagram *d, uint64_t mask);
bool datagram_add_young(struct datagram *d, uint64_t digest);
bool datagram_add_contacts(struct datagram *d, const struct address *list, uint32_t count);
/* One HAVE of several buckets: begin, then each bucket with its prints. false: no room for it. */
struct datagram_writer {
    struct datagram *d;
    uint8_t *size; /* of the section, to be written again */
};
bool datagram_begin_have(struct datagram *d, uint32_t salt, struct datagram_writer *out);
bool datagram_add_prints(struct datagram_writer *w, uint8_t bucket, const uint16_t *prints,
                         uint16_t count);
/* false: no more of them. */
bool datagram_next_have(struct span *rest, struct datagram_have *out);
bool datagram_add_newest(struct datagram *d, const struct datagram_newest *newest);
bool datagram_add_stages(struct datagram *d, const struct datagram_stages *stages);
bool datagram_add_public(struct datagram *d, const uint8_t public_key[TRUST_KEY_SIZE]);
bool datagram_add_box(struct datagram *d, const struct datagram_box *box);

/* One entry of STAGES, and the front of it for whoever writes one; false: there is no whole one. */
#define DATAGRAM_STAGES_HEAD 7u
struct datagram_bucket {
    uint8_t bucket;
    uint16_t count;
    uint32_t sum;
    const uint8_t *stages; /* (count + 3) / 4 bytes */
};
bool datagram_next_bucket(struct span *entries, struct datagram_bucket *out);

/* false: malformed, in the head or in any section. */
bool datagram_open(struct span body, struct datagram_head *head, struct span *sections);
/* The next known section of a packet that datagram_open has accepted; false at its end. */
bool datagram_next(struct span *sections, struct datagram_section *out);
