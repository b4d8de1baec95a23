#!/usr/bin/python3
"""cppcheck finds no error and no warning in what is shipped.

    cppcheck.py [ROOT [BUILD_DIR]]      default: build/release, for the headers made there
"""

import os
import subprocess

import tree

# What version 2.10 of Debian 12 gets wrong.
MISREAD = [
    "uninitvar", "legacyUninitvar",  # a function fills it; gcc's -Wuninitialized follows that
    "unknownEvaluationOrder",        # a designated initializer within another one
    "internalAstError",              # a compound literal between ? and :
    "returnDanglingLifetime",        # where a pointer in a struct points stays when the struct goes
]
# CHECK ends the program.
KNOWN = """<?xml version="1.0"?>
<def format="2">
  <function name="check_failed"><noreturn>true</noreturn><arg nr="1"/><arg nr="2"/><arg nr="3"/></function>
</def>
"""


def check(root, build):
    files = [str(path.relative_to(root)) for path in tree.project_files(root, ".c")
             if path.relative_to(root).parts[0] != "tests"]
    if not files:
        return []
    library = build / "cppcheck.cfg"
    library.write_text(KNOWN)
    done = subprocess.run(
        ["cppcheck", f"-j{os.cpu_count()}", "--std=c11", "--enable=warning,performance,portability",
         "--quiet", f"--library={library}", *(f"--suppress={word}" for word in MISREAD),
         "--template={file}:{line}: {message} [{id}]", "--template-location=", "-D_GNU_SOURCE",
         f"-I{root}", f"-I{build / 'generated'}", *files], cwd=root, capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()


if __name__ == "__main__":
    tree.run_with("cppcheck", check)
