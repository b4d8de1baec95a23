#!/usr/bin/python3
"""Words and paths that must not stay in the tree: marks of unfinished work, and absolute paths
of one machine.

    prose.py [ROOT]
"""

import re
import sys

import tree

# Written in two halves so that this file does not find itself.
WORDS = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]
FOLDERS = ["wo" + "rk", "fa" + "rm", "ro" + "ot"]

UNFINISHED = re.compile(r"\b(%s)\b" % "|".join(WORDS))
MACHINE = re.compile(r"(?<![\w.~*)}/$-])/(%s)(?=/|$|[\s\"'`,;:)])" % "|".join(FOLDERS))


def check(root):
    problems = []
    for path in tree.project_files(root):
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue  # binary
        name = path.relative_to(root)
        for number, line in enumerate(lines, 1):
            for found in UNFINISHED.finditer(line):
                problems.append(f"{name}:{number}: {found.group()}: finish it or write an issue")
            for found in MACHINE.finditer(line):
                problems.append(f"{name}:{number}: {found.group()} is a path of one machine")
    return problems


if __name__ == "__main__":
    sys.exit(tree.report(check(tree.root_from_args())))
