/* tests/unit/node/core/lab_inside.h: what the files of the lab share. */
#pragma once
#include "tests/unit/node/core/lab.h"

/* Something that happens later: an event for a node, or a message for a client. */
struct pending {
    struct pending *next;
    usec_t at_us;
    uint32_t node; /* LAB_NODES and above: a client */
    uint64_t link; /* of a message: it must still be there */
    struct node_event event;
    uint8_t *frame;
    uint8_t *payload;
    /* of a fetch under way */
    uint64_t fetch_done;
    bool ends_link;
};

/* One connection; ends are nodes, or LAB_NODES + client. */
struct wire {
    struct wire *next;
    uint64_t link[2]; /* [0]: of who opened it */
    uint32_t end[2];
    enum link_purpose purpose;
    bool cut;
};

struct received_payload {
    struct received_payload *next;
    uint64_t token;
    uint32_t node; /* whose it is */
    uint8_t *data;
};

void lab_later(struct lab *lab, usec_t delay_us, const struct pending *what);
void lab_deliver(struct lab *lab, struct pending *item);
void lab_pending_free(struct pending *item);
void lab_effect(struct lab *lab, uint32_t index, const struct node_effect *effect);
void lab_disk_scan(struct lab *lab, uint32_t index);
/* All links of a node end; the other ends hear of it. */
void lab_cut_links(struct lab *lab, uint32_t index);
struct wire *lab_wire(const struct lab *lab, uint64_t link, uint32_t *side);
struct wire *lab_connect(struct lab *lab, uint32_t from, uint32_t to, enum link_purpose purpose);
/* A frame for the other end of a link. */
void lab_send(struct lab *lab, uint64_t link, struct span frame, const struct payload *payload);
void lab_close(struct lab *lab, uint64_t link);
void lab_client_take(struct lab *lab, uint32_t client, const struct pending *item);
/* effects of disk and source (lab_store.c) */
void lab_fetch(struct lab *lab, uint32_t index, const struct node_effect *effect);
void lab_ask(struct lab *lab, uint32_t index, const struct node_effect *effect);
void lab_disk(struct lab *lab, uint32_t index, const struct node_effect *effect);
void lab_free_rings(void);
