/* sim/trial/durable.h: what must hold of a listing that a mount is given: two disks have it. */
#pragma once
#include "sim/trial/trial.h"
#include "wire/message.h"

/* A node answers. As long as no fault has come, nothing excuses a single copy. */
void durable_sent(const struct trial *trial, const struct process *from, const struct process *to,
                  const struct message_dir_root *answer);
