/* fs/core/lookup.c: LOOKUP: a name in a directory, from its page when it is listed, else by asking
 * for that one name while the node lists. */
#include "fs/core/internal.h"

static void reply_absent(struct mount *m, struct op *op, usec_t fresh_us)
{
    struct mount_effect *effect = op_reply(m, op, MOUNT_REPLY_ENTRY);
    usec_t left = fresh_us - m->now.mono_us;
    effect->reply_entry.entry = (struct mount_entry){ 0 };
    effect->reply_entry.entry.entry_us = left < 0 ? 0 : usec_min(left, ENTRY_MAX_US);
    op_end(m, op);
}

static void reply_found(struct mount *m, struct op *op, const struct inode_facts *facts)
{
    struct inode *parent = inode_at(m, op->in.ino);
    CHECK(parent != NULL);
    struct inode *inode = inode_make(m, parent, facts);
    if (inode == NULL) {
        inode_shrink(m);
        op_wait(op, &m->inode_waiters);
        return;
    }
    if (inode_is_crowded(m)) {
        inode_shrink(m);
    }
    inode_entry(m, inode, &op_reply(m, op, MOUNT_REPLY_ENTRY)->reply_entry.entry);
    op_end(m, op);
}

static void reply_below(struct mount *m, struct op *op)
{
    struct inode_facts facts = { .entry = { .name = op->in.name, .type = ENTRY_DIR },
                                 .fresh_us = m->now.mono_us + FRESH_MAX_US };
    reply_found(m, op, &facts);
}

static void look_in(struct mount *m, struct op *op, struct listing *listing)
{
    uint32_t index = 0;
    if (!root_shard_for(&listing->root, op->in.name, &index)) {
        reply_absent(m, op, listing->fresh_us);
        return;
    }
    struct sheet *sheet = sheet_get(m, listing, index);
    if (sheet == NULL) {
        op_wait_room(m, op);
        return;
    }
    if (!sheet_is_here(sheet)) {
        op_wait(op, &sheet->waiters);
        return;
    }
    struct inode_facts facts = { .fresh_us = listing->fresh_us,
                                 .listed = listing->root.head.generation };
    if (page_find(&sheet->page, op->in.name, &facts.entry)) {
        reply_found(m, op, &facts);
    } else {
        reply_absent(m, op, listing->fresh_us);
    }
}

static void ask(struct mount *m, struct op *op)
{
    if (op->call != NULL) {
        return; /* its answer wakes us */
    }
    struct call *call = call_new(m, CALL_NAME, place_of_root(op->folder->id));
    if (call == NULL) {
        op_wait_room(m, op);
        return;
    }
    call->op = op;
    op->call = call;
    call_start_later(m, call, folder_pause(op->folder));
}

void lookup_run(struct mount *m, struct op *op)
{
    struct inode *parent = inode_at(m, op->in.ino);
    if (parent == NULL || !parent->dir) {
        op_reply_err(m, op, parent == NULL ? ERR_CHANGED : ERR_NOT_DIRECTORY);
        return;
    }
    inode_touch(m, parent);
    if (!m->plain && name_is_below(m, parent, op->in.name)) {
        reply_below(m, op);
        return;
    }
    if (parent->row == ROW_NONE || !entry_name_is_valid(op->in.name)) {
        reply_absent(m, op, m->now.mono_us + ENTRY_MAX_US);
        return;
    }
    struct folder *folder = op->folder != NULL ? op->folder : folder_get(m, parent);
    if (folder == NULL || folder->prefix.size + op->in.name.size > KEY_MAX) {
        op_reply_err(m, op, folder == NULL ? ERR_NOMEM : ERR_NOT_FOUND);
        return;
    }
    if (op->folder == NULL) {
        op->folder = folder;
        folder->users++;
    }
    struct listing *listing = folder_listing(m, folder, op->started_us);
    if (listing != NULL) {
        look_in(m, op, listing);
    } else {
        ask(m, op);
    }
}

void lookup_encode(struct mount *m, struct call *call, struct message_dir_get *out)
{
    folder_encode(m, call, out);
    out->name = call->op->in.name;
}

static bool is_about(const struct op *op, struct span bytes, struct entry *out)
{
    return entry_decode(bytes, out) == ERR_OK && span_equal(out->name, op->in.name);
}

void lookup_on_answer(struct mount *m, struct call *call, const struct message_dir_root *answer)
{
    struct op *op = call->op;
    usec_t fresh = folder_fresh(call->sent_us, answer->fresh_us);
    struct inode_facts facts = { .fresh_us = fresh };
    if (answer->root.size > 0) {
        struct root_answer root = { .root = answer->root,
                                    .sent_us = call->sent_us,
                                    .fresh_us = answer->fresh_us };
        enum err err = folder_install(m, op->folder, &root);
        if (err != ERR_OK && err != ERR_NOMEM) {
            call_reject(m, call, err);
            return;
        }
        op->call = NULL;
        call_done(m, call);
        if (err == ERR_OK) {
            op_wake(m, op);
        } else {
            op_fail(m, op, err);
        }
    } else if (answer->absent == 1) {
        op->call = NULL;
        call_done(m, call);
        reply_absent(m, op, fresh);
    } else if (is_about(op, answer->entry, &facts.entry)) {
        op->call = NULL;
        call_done(m, call);
        reply_found(m, op, &facts);
    } else {
        MARK(m, "mount.lookup.wrong");
        call_reject(m, call, ERR_MALFORMED);
    }
}

void lookup_failed(struct mount *m, struct call *call, enum err err)
{
    struct op *op = call->op;
    struct inode *parent = inode_at(m, op->in.ino);
    op->call = NULL;
    call_done(m, call);
    if (err == ERR_NOT_FOUND && parent != NULL) {
        MARK(m, "mount.lookup.orphan"); /* the directory itself is gone */
        inode_drop(m, parent, false);
    }
    op_fail(m, op, err);
}
