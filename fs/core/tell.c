/* fs/core/tell.c: lines of the log, for whoever wonders why a mount hangs or a file cannot be read. */
#include "fs/core/internal.h"

#define LINE_ROOM 2048
#define WAITING_AGAIN_US SEC(30) /* one line for all that waits */

enum level { LEVEL_WARN = 1 };

static void put_node(const struct mount *m, const struct peer *peer, struct text *line)
{
    const struct member *member = view_find(m->view, peer->id);
    char id[ID_TEXT_SIZE];
    text_str(line, " node=");
    if (member != NULL) {
        text_json(line, span_text(member->name));
    } else {
        id_text(peer->id.b, id);
        text_str(line, id);
    }
}

void tell_silent(struct mount *m, const struct peer *peer)
{
    char room[LINE_ROOM];
    struct text line;
    text_init(&line, room, sizeof room);
    text_str(&line, "mount.node_silent");
    put_node(m, peer, &line);
    effect_log(m, LEVEL_WARN, &line);
}

void tell_back(struct mount *m, const struct peer *peer)
{
    char room[LINE_ROOM];
    struct text line;
    text_init(&line, room, sizeof room);
    text_str(&line, "mount.node_back");
    put_node(m, peer, &line);
    text_str(&line, " silent_ms=");
    text_u64(&line, (uint64_t)((m->awake_us - peer->silent_us) / 1000));
    effect_log(m, LEVEL_WARN, &line);
}

static uint32_t answering(const struct mount *m)
{
    uint32_t count = 0;
    for (struct list *at = m->peer_list.next; at != &m->peer_list; at = at->next) {
        count += peer_is_ready(CONTAINER_OF(at, struct peer, all), LINK_CONTROL);
    }
    return count;
}

void tell_waiting(struct mount *m)
{
    char room[LINE_ROOM];
    struct text line;
    if (m->waiting_told_us != 0 && m->now.mono_us - m->waiting_told_us < WAITING_AGAIN_US) {
        return;
    }
    m->waiting_told_us = m->now.mono_us;
    text_init(&line, room, sizeof room);
    text_str(&line, "mount.waiting text=\"no node answers that could help\" nodes_answering=");
    text_u64(&line, answering(m));
    text_str(&line, " requests=");
    text_u64(&line, m->ops.used);
    effect_log(m, LEVEL_WARN, &line);
}

void tell_refused(struct mount *m, enum err err, struct span text)
{
    char room[LINE_ROOM];
    struct text line;
    if (m->refusal_told) {
        return;
    }
    m->refusal_told = true;
    text_init(&line, room, sizeof room);
    text_str(&line, "mount.refused err=");
    text_str(&line, err_name(err));
    text_str(&line, " text=");
    text_json(&line, text.size > 0 ? text : span_text(err_text(err)));
    text_str(&line, err == ERR_VERSION
                        ? " what_to_do=\"mount again with an atoll of the nodes' version\""
                        : " what_to_do=\"see that --seeds are nodes of the cluster it was mounted "
                          "from; if so, mount again with a newer client file\"");
    effect_log(m, LEVEL_WARN, &line);
}

/* What a program asks for and cannot have for a reason that is in the data, not in the cluster. */
static bool is_usual(enum err err)
{
    return err == ERR_NOT_FOUND || err == ERR_CANCELLED || err == ERR_NOT_DIRECTORY;
}

static const char *word_of(const struct op *op)
{
    switch (op->in.kind) {
    case OP_LOOKUP:
        return "lookup";
    case OP_READ:
        return "read";
    case OP_OPENDIR:
    case OP_READDIR:
    case OP_READDIRPLUS:
        return "list";
    case OP_FORGET:
    case OP_GETATTR:
    case OP_OPEN:
    case OP_RELEASE:
    case OP_RELEASEDIR:
    case OP_STATFS:
        break;
    }
    BUG("a request that ends at once waits");
}

void tell_failed(struct mount *m, const struct op *op, enum err err)
{
    char room[LINE_ROOM];
    uint8_t bytes[PATH_MAX_SIZE];
    uint8_t full[PATH_MAX_SIZE + NAME_ROOM + 1];
    struct text line;
    struct text path;
    struct span above;
    const struct inode *inode = inode_at(m, op->in.ino);
    if (is_usual(err)) {
        return;
    }
    text_init(&line, room, sizeof room);
    text_str(&line, "mount.failed op=");
    text_str(&line, word_of(op));
    if (inode != NULL && name_path(m, inode, bytes, &above)) {
        text_init(&path, (char *)full, sizeof full);
        text_span(&path, above);
        text_str(&path, above.size > 0 && op->in.name.size > 0 ? "/" : "");
        text_span(&path, op->in.name);
        text_str(&line, " path=");
        text_json(&line, span_of(full, path.used));
    }
    text_str(&line, " err=");
    text_str(&line, err_name(err));
    text_str(&line, " after_ms=");
    text_u64(&line, (uint64_t)((m->now.mono_us - op->started_us) / 1000));
    effect_log(m, LEVEL_WARN, &line);
}
