/* sim/links.c: connections: opened, in order, with back-pressure, broken. */
#include "sim/links.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "node/core/node.h"
#include "wire/message.h"

#define WINDOW (1u << 20)      /* bytes on the way before a sender has to wait */
#define LOST_US MSEC(200)      /* what a lost segment costs */
#define AGAIN_MIN_US MSEC(100) /* between two attempts to connect */
#define AGAIN_MAX_US SEC(2)
#define HEART_US SEC(1)
#define BROKEN_US SEC(25) /* ZMQ_HEARTBEAT_IVL + ZMQ_HEARTBEAT_TIMEOUT */

enum end_state { END_NONE, END_OPEN, END_CLOSED };

struct end {
    struct process *process;
    uint64_t life;
    enum end_state state;
    bool told; /* of UP */
};

struct parcel {
    struct happening at;
    struct list link;
    struct lane *lane;
    struct payload lent; /* the sender's, until it leaves */
    uint8_t *payload;    /* our copy */
    uint8_t *frame;
    uint32_t frame_size;
    bool goodbye; /* the last one: the other side is closed */
    bool on_way;
};

struct lane { /* one direction of a connection */
    struct conn *conn;
    uint32_t side;       /* that sends */
    struct list queue;   /* not left yet; the first may be leaving */
    struct list on_way;  /* in order */
    struct list stalled; /* would have arrived, but the way is blocked */
    bool leaving;
    uint64_t bytes_out; /* on the way, or held by a frozen process */
    usec_t last_us;     /* the last one on the way arrives then */
};

struct conn {
    struct net *net;
    uint32_t number;
    enum link_purpose purpose;
    struct address to;
    struct node_id node;
    struct end ends[2]; /* [0] opened it */
    struct lane lanes[2];
    bool trying;
    uint32_t attempts;
    struct happening attempt;
    usec_t cut_us; /* since when no way leads through; USEC_NEVER: it is well */
};

/* A net_event for a process. */
struct told {
    struct work work;
    struct net_event event;
    struct lane *lane; /* of a message: its room is free when it is taken */
    struct parcel *parcel;
};

static void lane_pump(struct lane *lane);

static uint64_t link_of(const struct conn *conn, uint32_t side)
{
    return 2 * (uint64_t)conn->number + side + 1;
}

static bool end_lives(const struct end *end)
{
    return end->state == END_OPEN && end->process->up && end->process->life == end->life;
}

static uint64_t parcel_size(const struct parcel *parcel)
{
    return parcel->frame_size + (parcel->payload != NULL ? parcel->lent.size : 0) + 64u;
}

static void parcel_free(struct parcel *parcel)
{
    list_remove(&parcel->link);
    timers_cancel(&parcel->lane->conn->net->world->heap, &parcel->at.timer);
    free(parcel->payload);
    free(parcel->frame);
    free(parcel);
}

/* ---- telling processes ------------------------------------------------------------------------- */

static void told_drop(struct work *work)
{
    struct told *told = CONTAINER_OF(work, struct told, work);
    if (told->parcel != NULL) {
        told->lane->bytes_out -= parcel_size(told->parcel);
        parcel_free(told->parcel);
        lane_pump(told->lane);
    }
}

static void told_run(struct work *work)
{
    struct told *told = CONTAINER_OF(work, struct told, work);
    work->process->ops->on_link(work->process, &told->event);
}

static struct told *told_new(struct end *end, enum net_event_kind kind)
{
    struct told *told = work_new(end->process, sizeof *told);
    told->work.life = end->life;
    told->work.run = told_run;
    told->work.drop = told_drop;
    told->event.kind = kind;
    return told;
}

static void tell_up(struct conn *conn, uint32_t side)
{
    struct told *told = told_new(&conn->ends[side], NET_UP);
    told->event.link.v = link_of(conn, side);
    told->event.purpose = conn->purpose;
    told->event.outbound = side == 0;
    told->event.address = conn->to;
    told->event.node = conn->node;
    if (side == 1 && conn->purpose == LINK_CONTROL) {
        told->event.peer.trust = LINK_TRUST_CLIENT;
        process_link_key(conn->ends[0].process, told->event.peer.client_key);
    }
    conn->ends[side].told = true;
    work_post(&told->work, 0);
}

static void tell_down(struct conn *conn, uint32_t side, usec_t delay_us)
{
    struct end *end = &conn->ends[side];
    if (end_lives(end) && end->told) {
        struct told *told = told_new(end, NET_DOWN);
        told->event.link.v = link_of(conn, side);
        work_post(&told->work, delay_us);
    }
    end->state = END_CLOSED;
}

static void tell_sent(struct parcel *parcel)
{
    struct end *end = &parcel->lane->conn->ends[parcel->lane->side];
    if (parcel->lent.token != 0) {
        struct told *told = told_new(end, NET_SENT);
        told->event.token = parcel->lent.token;
        work_post(&told->work, 10);
        parcel->lent.token = 0;
    }
}

/* ---- arriving ------------------------------------------------------------------------------------ */

static void message_run(struct work *work)
{
    struct told *told = CONTAINER_OF(work, struct told, work);
    struct parcel *parcel = told->parcel;
    struct conn *conn = told->lane->conn;
    const uint32_t side = 1 - told->lane->side;
    struct net *net = conn->net;
    struct watch *watch = &net->world->watch;
    if (conn->ends[side].state == END_OPEN) {
        told->event.link.v = link_of(conn, side);
        told->event.frame = span_of(parcel->frame, parcel->frame_size);
        if (parcel->payload != NULL) {
            const uint32_t size = parcel->lent.size;
            told->event.payload = (struct payload){
                .data = parcel->payload,
                .size = size,
                .token = net_hold(net, work->process, parcel->payload, size),
            };
        }
        world_log(net->world, 2, work->process->index, parcel->frame_size,
                  hash64(parcel->frame, parcel->frame_size, told->event.link.v));
        if (watch->taken != NULL) {
            watch->taken(watch->self, conn->ends[told->lane->side].process, work->process,
                         told->event.frame);
        }
        told->lane->bytes_out -= parcel_size(parcel);
        parcel->payload = NULL;
        work->process->ops->on_link(work->process, &told->event);
    } else {
        told->lane->bytes_out -= parcel_size(parcel);
    }
    parcel_free(parcel);
    told->parcel = NULL;
    lane_pump(told->lane);
}

static void lane_take(struct lane *lane, struct parcel *parcel)
{
    struct conn *conn = lane->conn;
    const uint32_t side = 1 - lane->side;
    struct end *end = &conn->ends[side];
    list_remove(&parcel->link);
    if (parcel->goodbye || !end_lives(end)) {
        if (parcel->goodbye) {
            tell_down(conn, side, 0);
        }
        lane->bytes_out -= parcel_size(parcel);
        parcel_free(parcel);
        lane_pump(lane);
        return;
    }
    if (!end->told) { /* links to us appear with their first message */
        tell_up(conn, side);
    }
    struct told *told = told_new(end, NET_MESSAGE);
    told->work.run = message_run;
    told->lane = lane;
    told->parcel = parcel;
    work_post(&told->work, 0);
}

static bool lane_is_blocked(const struct lane *lane)
{
    const struct conn *conn = lane->conn;
    return net_is_blocked(conn->net, conn->ends[lane->side].process->index,
                          conn->ends[1 - lane->side].process->index);
}

static void parcel_fire(struct world *world, struct happening *what);

static void lane_leave(struct lane *lane, struct parcel *parcel)
{
    struct net *net = lane->conn->net;
    usec_t delay_us = net_delay(net);
    list_remove(&parcel->link);
    if (parcel->lent.size > 0) {
        parcel->payload = malloc(parcel->lent.size);
        CHECK(parcel->payload != NULL);
        memcpy(parcel->payload, parcel->lent.data, parcel->lent.size);
        net_flip(net, parcel->payload, parcel->lent.size);
    }
    tell_sent(parcel);
    lane->leaving = false;
    lane->bytes_out += parcel_size(parcel);
    parcel->on_way = true;
    list_push_back(&lane->on_way, &parcel->link);
    while (net_loses(net)) {
        delay_us += LOST_US;
    }
    lane->last_us = usec_max(lane->last_us, net->world->now_us + delay_us);
    world_set(net->world, &parcel->at, lane->last_us - net->world->now_us);
    lane_pump(lane);
}

static void parcel_fire(struct world *world, struct happening *what)
{
    struct parcel *parcel = CONTAINER_OF(what, struct parcel, at);
    struct lane *lane = parcel->lane;
    (void)world;
    if (!parcel->on_way) {
        lane_leave(lane, parcel);
    } else if (lane_is_blocked(lane) || !list_is_empty(&lane->stalled)) {
        list_remove(&parcel->link);
        list_push_back(&lane->stalled, &parcel->link);
    } else {
        lane_take(lane, parcel);
    }
}

/* The next one leaves, if there is room. */
static void lane_pump(struct lane *lane)
{
    struct net *net = lane->conn->net;
    if (lane->leaving || list_is_empty(&lane->queue) || lane->bytes_out >= WINDOW) {
        return;
    }
    struct parcel *parcel = CONTAINER_OF(list_first(&lane->queue), struct parcel, link);
    const uint64_t bytes = parcel->frame_size + parcel->lent.size + 64u;
    lane->leaving = true;
    world_set(net->world, &parcel->at, (usec_t)(bytes * 1000000 / net->weather.rate) + 1);
}

/* What has not left yet never will. */
static void lane_drop_queue(struct lane *lane)
{
    while (!list_is_empty(&lane->queue)) {
        struct parcel *parcel = CONTAINER_OF(list_first(&lane->queue), struct parcel, link);
        tell_sent(parcel);
        parcel_free(parcel);
    }
    lane->leaving = false;
}

static void lane_drop_all(struct lane *lane)
{
    struct list *lists[2] = { &lane->on_way, &lane->stalled };
    lane_drop_queue(lane);
    for (uint32_t i = 0; i < 2; i++) {
        while (!list_is_empty(lists[i])) {
            struct parcel *parcel = CONTAINER_OF(list_first(lists[i]), struct parcel, link);
            lane->bytes_out -= parcel_size(parcel);
            parcel_free(parcel);
        }
    }
}

static void lane_push(struct lane *lane, struct parcel *parcel)
{
    parcel->lane = lane;
    parcel->at.fire = parcel_fire;
    list_push_back(&lane->queue, &parcel->link);
    lane_pump(lane);
}

static struct parcel *parcel_new(void)
{
    struct parcel *parcel = calloc(1, sizeof *parcel);
    CHECK(parcel != NULL);
    return parcel;
}

void links_opened(struct net *net, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < net->conn_count; i++) {
        for (uint32_t side = 0; side < 2; side++) {
            struct lane *lane = &net->conns[i]->lanes[side];
            const struct process *sender = net->conns[i]->ends[side].process;
            const struct process *other = net->conns[i]->ends[1 - side].process;
            if (sender == NULL || other == NULL || sender->index != from || other->index != to) {
                continue;
            }
            while (!list_is_empty(&lane->stalled)) {
                lane_take(lane, CONTAINER_OF(list_first(&lane->stalled), struct parcel, link));
            }
        }
    }
}

/* ---- connecting ------------------------------------------------------------------------------- */

static bool can_connect(struct conn *conn, struct process *to)
{
    const struct process *from = conn->ends[0].process;
    return to != NULL && to->up && !to->frozen && to->takes_links && !from->frozen &&
           !net_is_blocked(conn->net, from->index, to->index) &&
           !net_is_blocked(conn->net, to->index, from->index);
}

static void attempt_fire(struct world *world, struct happening *what)
{
    struct conn *conn = CONTAINER_OF(what, struct conn, attempt);
    enum endpoint_purpose purpose = ENDPOINT_GOSSIP;
    struct process *to = process_at(world, &conn->to, &purpose);
    const enum endpoint_purpose wanted =
        conn->purpose == LINK_CONTROL ? ENDPOINT_CONTROL : ENDPOINT_DATA;
    if (!end_lives(&conn->ends[0])) {
        conn->trying = false;
        return;
    }
    if (!can_connect(conn, to) || purpose != wanted) {
        usec_t limit = AGAIN_MIN_US << (conn->attempts < 5 ? conn->attempts : 5);
        conn->attempts++;
        world_set(world, what,
                  rng_between(&conn->net->rng, AGAIN_MIN_US, usec_min(limit, AGAIN_MAX_US)));
        return;
    }
    conn->trying = false;
    conn->ends[1] = (struct end){ .process = to, .life = to->life, .state = END_OPEN };
    tell_up(conn, 0);
}

static struct conn *conn_new(struct net *net, struct process *from)
{
    struct conn *conn = calloc(1, sizeof *conn);
    CHECK(conn != NULL);
    if (net->conn_count == net->conn_room) {
        net->conn_room = net->conn_room * 2 + 64;
        net->conns = realloc(net->conns, net->conn_room * sizeof(struct conn *));
        CHECK(net->conns != NULL);
    }
    conn->net = net;
    conn->number = net->conn_count;
    net->conns[net->conn_count++] = conn;
    conn->attempt.fire = attempt_fire;
    conn->trying = true;
    conn->cut_us = USEC_NEVER;
    conn->ends[0] = (struct end){ .process = from, .life = from->life, .state = END_OPEN };
    for (uint32_t side = 0; side < 2; side++) {
        conn->lanes[side].conn = conn;
        conn->lanes[side].side = side;
        list_init(&conn->lanes[side].queue);
        list_init(&conn->lanes[side].on_way);
        list_init(&conn->lanes[side].stalled);
    }
    return conn;
}

struct link_id net_connect(struct net *net, struct process *from, const struct address *to,
                           enum link_purpose purpose, struct node_id node)
{
    for (uint32_t i = 0; i < net->conn_count; i++) {
        const struct conn *conn = net->conns[i];
        if (conn->trying && conn->ends[0].process == from && conn->ends[0].life == from->life &&
            conn->purpose == purpose && memcmp(conn->to.ip, to->ip, sizeof to->ip) == 0 &&
            conn->to.port == to->port && conn->ends[0].state == END_OPEN) {
            return (struct link_id){ link_of(conn, 0) };
        }
    }
    struct conn *conn = conn_new(net, from);
    conn->purpose = purpose;
    conn->to = *to;
    conn->node = node;
    world_set(net->world, &conn->attempt, 3 * net_delay(net)); /* TCP's and ZMTP's greetings */
    return (struct link_id){ link_of(conn, 0) };
}

/* The connection and the side of `process`; NULL: that link is not there (any more). */
static struct conn *conn_find(struct net *net, const struct process *process, struct link_id link,
                              uint32_t *side)
{
    const uint64_t number = (link.v - 1) / 2;
    *side = (uint32_t)((link.v - 1) % 2);
    if (link.v == 0 || number >= net->conn_count) {
        return NULL;
    }
    struct conn *conn = net->conns[number];
    const struct end *end = &conn->ends[*side];
    return end->process == process && end_lives(end) ? conn : NULL;
}

void net_send(struct net *net, struct process *from, struct link_id link, struct span frame,
              struct payload payload)
{
    uint32_t side;
    struct conn *conn = conn_find(net, from, link, &side);
    struct watch *watch = &net->world->watch;
    if (conn == NULL || conn->trying || conn->ends[1 - side].process == NULL) {
        if (payload.token != 0) {
            struct end end = { .process = from, .life = from->life };
            struct told *told = told_new(&end, NET_SENT);
            told->event.token = payload.token;
            work_post(&told->work, 10);
        }
        return;
    }
    if (frame.size == 0 || frame.size > WIRE_HEADER_MAX ||
        (side == 0 && frame.size > WIRE_REQUEST_MAX)) {
        world_fail(net->world, "%s sent a frame of %zu bytes", from->name, frame.size);
        return;
    }
    world_log(net->world, 3, from->index, payload.size, hash64(frame.data, frame.size, link.v));
    if (watch->sent != NULL) {
        watch->sent(watch->self, from, conn->ends[1 - side].process, frame);
    }
    struct parcel *parcel = parcel_new();
    parcel->frame = malloc(frame.size);
    CHECK(parcel->frame != NULL);
    memcpy(parcel->frame, frame.data, frame.size);
    parcel->frame_size = (uint32_t)frame.size;
    parcel->lent = payload;
    lane_push(&conn->lanes[side], parcel);
}

/* ---- ending ------------------------------------------------------------------------------------- */

static void say_goodbye(struct conn *conn, uint32_t side)
{
    struct parcel *parcel = parcel_new();
    parcel->goodbye = true;
    lane_push(&conn->lanes[side], parcel);
}

void net_close(struct net *net, struct process *from, struct link_id link)
{
    uint32_t side;
    struct conn *conn = conn_find(net, from, link, &side);
    if (conn == NULL) {
        return;
    }
    conn->ends[side].state = END_CLOSED;
    if (conn->trying) {
        conn->trying = false;
        world_cancel(net->world, &conn->attempt);
        return;
    }
    if (rng_chance(&net->rng, 500000)) {
        lane_drop_queue(&conn->lanes[side]);
    }
    if (conn->ends[1 - side].process != NULL) {
        say_goodbye(conn, side);
    }
}

static void conn_lose_end(struct net *net, struct conn *conn, uint32_t side, bool silently)
{
    conn->ends[side].state = END_CLOSED;
    if (conn->trying) {
        conn->trying = false;
        world_cancel(net->world, &conn->attempt);
        return;
    }
    if (conn->ends[1 - side].process == NULL) {
        return;
    }
    if (!silently) {
        say_goodbye(conn, side);
    } else {
        conn->cut_us = usec_min(conn->cut_us, net->world->now_us);
    }
}

void net_process_gone(struct net *net, struct process *process, bool silently)
{
    for (uint32_t i = 0; i < net->conn_count; i++) {
        for (uint32_t side = 0; side < 2; side++) {
            struct conn *conn = net->conns[i];
            const struct end *end = &conn->ends[side];
            if (end->process != process || end->life != process->life) {
                continue;
            }
            lane_drop_queue(&conn->lanes[side]); /* its payloads are gone with it */
            if (end->state == END_OPEN) {
                conn_lose_end(net, conn, side, silently);
            }
        }
    }
    net_forget_payloads(net, process);
    process->held_payloads = 0;
}

static bool conn_is_cut(const struct conn *conn)
{
    const struct end *a = &conn->ends[0];
    const struct end *b = &conn->ends[1];
    const uint32_t from = a->process->index;
    const uint32_t to = b->process->index;
    return !end_lives(a) || !end_lives(b) || a->process->frozen || b->process->frozen ||
           net_is_blocked(conn->net, from, to) || net_is_blocked(conn->net, to, from);
}

/* A process that came back knows nothing of the links of the one before. */
static bool is_refused(const struct conn *conn)
{
    for (uint32_t side = 0; side < 2; side++) {
        const struct end *end = &conn->ends[side];
        if (end->process->up && end->process->life != end->life) {
            return true;
        }
    }
    return false;
}

static void conn_break(struct conn *conn)
{
    lane_drop_all(&conn->lanes[0]);
    lane_drop_all(&conn->lanes[1]);
    tell_down(conn, 0, 0);
    tell_down(conn, 1, 0);
}

static void heart_fire(struct world *world, struct happening *what)
{
    struct net *net = CONTAINER_OF(what, struct net, heart);
    for (uint32_t i = 0; i < net->conn_count; i++) {
        struct conn *conn = net->conns[i];
        bool open = conn->ends[0].state == END_OPEN || conn->ends[1].state == END_OPEN;
        if (!open || conn->trying || conn->ends[1].process == NULL) {
            continue;
        }
        if (!conn_is_cut(conn)) {
            conn->cut_us = USEC_NEVER;
        } else if (conn->cut_us == USEC_NEVER) {
            conn->cut_us = world->now_us;
        } else if (world->now_us - conn->cut_us >= BROKEN_US || is_refused(conn)) {
            conn_break(conn);
        }
    }
    world_set(world, what, HEART_US);
}

void links_start(struct net *net)
{
    net->heart.fire = heart_fire;
    world_set(net->world, &net->heart, HEART_US);
}

void links_end(struct net *net)
{
    for (uint32_t i = 0; i < net->conn_count; i++) {
        lane_drop_all(&net->conns[i]->lanes[0]); /* goodbyes of those that ended just now */
        lane_drop_all(&net->conns[i]->lanes[1]);
        free(net->conns[i]);
    }
    free(net->conns);
}
