#!/usr/bin/python3
"""Which folder may include which. Also: a .c file includes its own header first, and a quoted
include is a path from the root of the tree.

    layers.py [ROOT]
"""

import re
import sys

import tree

PURE = ["base", "wire", "ring", "gossip", "node/core", "fs/core"]
ALL = PURE + ["node/origin", "node/io", "fs", "sim", "sim/trial", "cli"]

# Folder -> folders it may include, besides itself. "." is the root: main.c.
RULES = {
    "base": [],
    "wire": ["base"],
    "ring": ["base"],
    "gossip": ["base", "wire", "ring"],
    "node/core": ["base", "wire", "ring", "gossip"],
    "fs/core": ["base", "wire", "ring"],
    "node/origin": ["base"],
    "node/io": PURE + ["node/origin"],
    "fs": PURE + ["node/origin", "node/io"],
    "sim": PURE,
    "sim/trial": PURE + ["sim"],
    "cli": ["base", "wire", "node/io", "sim", "sim/trial"],
    ".": ALL,
    "tests/unit": ALL + ["tests/origin"],
    "tests/fuzz": ALL,
    "tests/origin": [],  # it judges our signers, so it shares nothing with them
    "tests/live": [],
    "bench": ALL,
}

# System headers a pure folder may use: none that can reach a clock, a file, a thread or malloc.
# errno.h is there for its constants; purity.py sees who reads errno.
PURE_HEADERS = {
    "errno.h", "inttypes.h", "limits.h", "stdalign.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h",
    "stdnoreturn.h", "string.h", "endian.h", "sys/types.h",
    "isa-l.h", "isa-l/crc64.h", "sodium.h", "xxhash.h",
}
PURE_HEADERS_PREFIX = ("msgpack.h", "msgpack/", "sodium/")
# check.c is where a broken invariant is told and the process ends.
PURE_HEADERS_OF_FILE = {"base/check.c": {"stdio.h", "stdlib.h", "execinfo.h", "unistd.h"}}

GENERATED = {"atoll_version.h"}
INCLUDE = re.compile(r'#\s*include\s*([<"])([^>"]+)[>"]')


def folder_of(path):
    """The row of RULES a path belongs to (the longest that fits), or None."""
    parent = path.rpartition("/")[0] or "."
    while parent not in RULES and "/" in parent:
        parent = parent.rpartition("/")[0]
    return parent if parent in RULES else None


def includes(path):
    for token in tree.tokens(path.read_text()):
        found = INCLUDE.match(token.text) if token.kind == "directive" else None
        if found:
            yield token.line, found.group(1) == "<", found.group(2)


def wrong_quoted(root, name, folder, target):
    """What is wrong with `#include "target"` in a file of folder, or None."""
    if target in GENERATED:
        return None
    if not (root / target).is_file():
        return f'"{target}" is no path from the root of the tree'
    other = folder_of(target)
    if other != folder and other not in RULES[folder]:
        return f"{folder} may not include {other} ({target})"
    return None


def wrong_system(name, folder, target):
    if folder not in PURE or target in PURE_HEADERS or target.startswith(PURE_HEADERS_PREFIX):
        return None
    if target in PURE_HEADERS_OF_FILE.get(name, ()):
        return None
    return f"pure code may not include <{target}>"


def check_file(root, path):
    name = path.relative_to(root).as_posix()
    folder = folder_of(name)
    if folder is None:
        return [f"{name}:1: its folder has no row in tests/lint/layers.py"]
    problems = []
    found = list(includes(path))
    own = name[:-2] + ".h"
    if name.endswith(".c") and (root / own).is_file() and (not found or found[0][2] != own):
        problems.append(f'{name}:{found[0][0] if found else 1}: include "{own}" first')
    for line, system, target in found:
        wrong = (wrong_system(name, folder, target) if system
                 else wrong_quoted(root, name, folder, target))
        if wrong:
            problems.append(f"{name}:{line}: {wrong}")
    return problems


def check(root):
    problems = []
    for path in tree.project_files(root, ".c", ".h", ".def"):
        problems += check_file(root, path)
    return problems


if __name__ == "__main__":
    sys.exit(tree.report(check(tree.root_from_args())))
