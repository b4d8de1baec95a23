#!/usr/bin/python3
"""Plants bugs into copies of the product's sources, one at a time, and lets the simulation find them.

    plants.py [--build DIR] [--seeds N] [--jobs J] [--rare] [NAME...]

Each bug is a few words of one source file put in place of others. The changed file is compiled and
linked before the libraries of DIR (build/release), so that nothing of the product knows of it.
Prints a table: which seed found it, and how. Fails when a bug was not found, or its words are not
in the source any more. With --list only the bugs.
"""

import argparse
import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

class Plant:
    def __init__(self, name, what, path, old, new, rare=False):
        self.name, self.what, self.path, self.old, self.new = name, what, path, old, new
        self.rare = rare  # shows itself in one seed of several hundred


PLANTS = [
    Plant("forward-twice", "a forwarded read may be forwarded again",
          "node/core/reads.c",
          ".get = { .mode = GET_FORWARDED,", ".get = { .mode = GET_PLAIN,"),
    Plant("time-renewed", "a forwarded read gets a minute, however little its reader has left",
          "node/core/reads.c",
          ".remaining_us = (uint64_t)ask_remaining(node, &read->ask),\n"
          "                                        .hops = 1,",
          ".remaining_us = 60000000,\n"
          "                                        .hops = 1,"),
    Plant("not-pending", "an owner that waits for the source does not say so",
          "node/core/asks.c",
          "ask->pending_us = now + ASK_PENDING_FIRST_US;", "ask->pending_us = now + SEC(600);"),
    Plant("never-silent", "a mount waits a minute for a node that says nothing",
          "fs/core/peer.c",
          "(since + SILENCE_US - m->awake_us)", "(since + SEC(60) - m->awake_us)"),
    Plant("lost-send", "a payload that was sent stays counted",
          "node/core/sends.c",
          "    if (buffer != NULL) {\n        buffer_unref(node, buffer);\n    } else {",
          "    if (buffer != NULL) {\n        if (token % 64 != 0) {\n"
          "            buffer_unref(node, buffer);\n        }\n    } else {"),
    Plant("early-unref", "a buffer may be used again before its bytes have left",
          "node/core/sends.c",
          "    buffer_ref(node, what->buffer);\n", ""),
    Plant("torn-is-fine", "what a disk read with a wrong checksum is served",
          "node/core/store.c",
          "    if (err != ERR_OK) {\n        read_failed(node, op->block, err, op->offset);",
          "    err = err == ERR_CORRUPT ? ERR_OK : err;\n"
          "    if (err != ERR_OK) {\n        read_failed(node, op->block, err, op->offset);"),
    Plant("no-refute", "a member that is called dead does not raise its incarnation",
          "gossip/identity.c",
          "    self->known.incarnation = above + 1;\n", ""),
    Plant("no-healing", "two halves of a cluster never look for each other",
          "gossip/heal.c",
          "    if (chosen != NULL) {\n        pings_introduce(g, chosen, dead);\n    }", ""),
    Plant("state-backwards", "of two states of one incarnation the earlier one wins",
          "ring/view.c",
          "left.state = a->state > b->state ? a->state : b->state;",
          "left.state = a->state < b->state ? a->state : b->state;"),
    Plant("old-version", "two versions of an object share their blocks",
          "base/id.c",
          "    hasher_span(&h, pin);\n", ""),
    Plant("first-page-only", "of a long listing only the first page is asked for",
          "node/core/snapshot.c",
          "take_token(snapshot, event->listed.next);",
          "take_token(snapshot, span_of(NULL, 0));"),
    Plant("memory-unbounded", "a mount asks for more than its memory",
          "fs/core/block.c",
          "    while (m->held + m->reserved + bytes > limit) {",
          "    while (m->held > limit) {"),
    Plant("no-flight", "a second read of a block does not wait for the first one's fetch",
          "node/core/reads.c",
          "    if (block != NULL && block->flight != NULL) {\n        join(",
          "    if (block != NULL && block->flight != NULL && read->mode == GET_PEEK) {\n"
          "        join("),
    Plant("resume-wrong", "a GET that was cut goes on from the block's beginning",
          "node/core/fetch.c",
          "object->block_size +\n                                                first->arrived,",
          "object->block_size,"),
    Plant("unknown-is-absent", "a node that does not know a dataset says that its names do not exist",
          "node/core/session.c",
          "        return ERR_NO_DATASET;", "        return ERR_NOT_FOUND;"),
    Plant("dead-for-ever", "a mount believes in a death that all others have forgotten",
          "fs/core/cluster.c",
          "    if (differs && revive_some(m, view)) {", "    if (false && revive_some(m, view)) {",
          rare=True),
    Plant("asked-in-circles", "a question does not remember all nodes that it was put to",
          "fs/core/call.c",
          "    if (call->passed_count == RING_RANKS) {",
          "    if (call->passed_count == RING_RANKS) {\n        return;\n    }\n"
          "    if (call->passed_count == RING_RANKS) {", rare=True),
    Plant("no-second-ask", "a node that cannot reach the owner is believed for good",
          "fs/core/call.c",
          "pass(call, peer->id, !is_passing(err));", "pass(call, peer->id, true);"),
]


def run(command):
    return subprocess.run(command, check=True, capture_output=True, text=True)


def planted(plant):
    """The text of the source with that bug in it. How its words are laid out does not matter."""
    text = (ROOT / plant.path).read_text()
    words = r"\s+".join(re.escape(word) for word in plant.old.split())
    found = list(re.finditer(words, text))
    if len(found) != 1:
        raise ValueError(f"{plant.path} does not have its words exactly once")
    return text[:found[0].start()] + plant.new + text[found[0].end():]


def link_command(build_dir):
    """How the build links atoll, as ninja runs it in that folder."""
    told = run(["ninja", "-C", str(build_dir), "-t", "commands", "atoll"]).stdout
    return told.strip().splitlines()[-1]


def build(plant, build_dir, folder):
    """The path of an atoll with that bug in it."""
    source = folder / (plant.name + ".c")
    source.write_text(planted(plant))
    changed, program = folder / (plant.name + ".o"), folder / plant.name
    run(["cc", "-std=gnu11", "-O2", "-g", "-w", "-D_GNU_SOURCE", "-ffp-contract=off",
         "-I", str(ROOT), "-I", str(build_dir / "generated"), "-c", str(source), "-o", str(changed)])
    link, found = re.subn(r"-o atoll\b", lambda _: f"{shlex.quote(str(changed))} -o {program}",
                          link_command(build_dir))
    if found != 1:
        raise ValueError("the build does not link atoll as expected")
    subprocess.run(link, shell=True, check=True, capture_output=True, text=True, cwd=build_dir)
    return program


def hunt(program, seeds, jobs):
    """(seed, how) of the first failure; None: nothing was found."""
    done = subprocess.run([str(program), "sim", "fuzz", "--seeds", str(seeds), "--jobs", str(jobs),
                           "--stop", "--json"], capture_output=True, text=True)
    failures = json.loads(done.stdout)["failures"]
    return (failures[0]["seed"], failures[0]["failure"]) if failures else None


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=str(ROOT / "build/release"))
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--rare", action="store_true", help="also bugs that want 1,000 seeds")
    parser.add_argument("names", nargs="*")
    return parser.parse_args()


def main():
    chosen = options()
    missed = 0
    plants = [plant for plant in PLANTS
              if plant.name in chosen.names
              or not chosen.names and (chosen.rare or chosen.list or not plant.rare)]
    if chosen.list:
        for plant in plants:
            print(f"{plant.name:18} {plant.what}")
        return 0
    print(f"{'planted bug':18} {'seed':>5}  found by")
    with tempfile.TemporaryDirectory() as folder:
        for plant in plants:
            try:
                program = build(plant, pathlib.Path(chosen.build), pathlib.Path(folder))
                found = hunt(program, chosen.seeds, chosen.jobs)
            except (ValueError, subprocess.CalledProcessError) as error:
                found = None
                print(f"{plant.name}: {error} {getattr(error, 'stderr', '')}", file=sys.stderr)
            seed, how = found if found else ("-", "not found")
            missed += found is None
            print(f"{plant.name:18} {seed:>5}  {how[:150]}", flush=True)
    print(f"{len(plants) - missed} of {len(plants)} planted bugs found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
