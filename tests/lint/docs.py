#!/usr/bin/python3
"""The pages in docs/generated are what `atoll docgen DIR` makes of today's tables.

    docs.py [--write] ATOLL [ROOT]      --write: make them again
"""

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

import tree


def pages(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def compare(fresh, kept):
    """One line for each page that differs, is missing or is left over."""
    problems = []
    for page in sorted(pages(fresh) | pages(kept)):
        if not (kept / page).is_file():
            problems.append(f"docs/generated/{page}:1: is missing")
        elif not (fresh / page).is_file():
            problems.append(f"docs/generated/{page}:1: nothing makes it any more")
        elif not filecmp.cmp(fresh / page, kept / page, shallow=False):
            problems.append(f"docs/generated/{page}:1: is not what the tables say")
    if problems:
        problems.append("make them again: tests/lint/docs.py --write build/release/atoll")
    return problems


def generate(atoll, folder):
    """Run docgen; None when it went well, else what it said."""
    done = subprocess.run([atoll, "docgen", folder], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60)
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip()


def main():
    args = [arg for arg in sys.argv[1:] if arg != "--write"]
    if not args:
        sys.exit(__doc__)
    atoll = Path(args[0]).resolve()
    root = Path(args[1] if len(args) > 1 else Path(__file__).parents[2]).resolve()
    kept = root / "docs/generated"
    if not atoll.is_file():
        print(f"skipped: there is no {atoll.name} in {atoll.parent.name}/")
        return tree.SKIPPED
    if "--write" in sys.argv:
        kept.mkdir(parents=True, exist_ok=True)
        said = generate(atoll, kept)
        return tree.report([said] if said else [])
    with tempfile.TemporaryDirectory() as fresh:
        said = generate(atoll, fresh)
        if not kept.is_dir() and not pages(Path(fresh)):
            print("skipped: atoll has no docgen, and there is no docs/generated")
            return tree.SKIPPED
        if said:
            return tree.report([f"atoll docgen failed: {said}"])
        return tree.report(compare(Path(fresh), kept))


if __name__ == "__main__":
    sys.exit(main())
