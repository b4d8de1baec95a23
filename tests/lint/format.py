#!/usr/bin/python3
"""Every .c and .h file is laid out as clang-format lays it out. Put it right with
`clang-format -i FILE`.

    format.py [ROOT]
"""

import re
import subprocess
import sys

import tree


def check(root):
    files = [str(path.relative_to(root)) for path in tree.project_files(root, ".c", ".h")]
    if not files:
        return []
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", "--style=file", *files],
                          cwd=root, capture_output=True, text=True)
    first = {}  # file -> its first wrong line
    for path, line in re.findall(r"^(.*?):(\d+):\d+: error: ", done.stderr, re.M):
        first.setdefault(path, line)
    if done.returncode and not first:
        return [done.stderr.strip()]
    return [f"{path}:{line}: layout: clang-format -i {path}" for path, line in first.items()]


if __name__ == "__main__":
    sys.exit(tree.report(check(tree.root_from_args())))
