#!/usr/bin/python3
"""clang-tidy finds nothing. Which of its checks, and why those: .clang-tidy at the root.

    tidy.py [ROOT [BUILD_DIR]]      default: build/release, for its compile_commands.json
"""

import concurrent.futures
import json
import os
import re
import subprocess

import tree

GCC = "--extra-arg=-Wno-ignored-optimization-argument"  # options of the build that clang does not have
AT_A_TIME = 8  # files for one clang-tidy, which takes a while to start


def check_some(root, build, files):
    done = subprocess.run(["clang-tidy", "-p", str(build), "--quiet", GCC, *map(str, files)], cwd=root,
                          capture_output=True, text=True)
    found = re.findall(r"^(\S+?:\d+):\d+: (?:warning|error): (.*)$", done.stdout, re.M)
    if done.returncode and not found:
        return [done.stdout + done.stderr]
    return [f"{os.path.relpath(root / place, root)}: {text}" for place, text in found]


def check(root, build):
    with open(build / "compile_commands.json") as commands:
        known = {entry["file"] for entry in json.load(commands)}
    files = [path for path in tree.project_files(root, ".c") if str(path) in known]
    parts = [files[i:i + AT_A_TIME] for i in range(0, len(files), AT_A_TIME)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda part: check_some(root, build, part), parts)
        return sorted({problem for part in found for problem in part})


if __name__ == "__main__":
    tree.run_with("clang-tidy", check)
