#!/usr/bin/python3
"""Plants bugs into copies of the product's sources, one at a time, and lets the simulation find them.

    plants.py [--build DIR] [--seeds N] [--jobs J] [NAME...]
    plants.py --list | --words | --check

Each bug is a few words of one source file put in place of others (planted.py). The changed file is
compiled and linked before the libraries of DIR (build/release), so that nothing of the product knows
of it. Prints a table: which seed found it, and how; then how many were found, and how many of them
within 200 seeds. Exit code 1: fewer than 95 of 100 were found; 2: words are not in the source any
more. --words only looks for that, and --check compiles besides.
"""

import argparse
import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

from planted import PLANTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOON = 200  # seeds: what ./dev test runs
ENOUGH = 0.95


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
    # Not optimized across files: that takes longer than most bugs take to be found.
    link, found = re.subn(r"-o atoll\b", lambda _: f"-fno-lto {shlex.quote(str(changed))} -o {program}",
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
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="say what each bug is")
    parser.add_argument("--check", action="store_true", help="only compile")
    parser.add_argument("--words", action="store_true", help="only look for the words")
    parser.add_argument("names", nargs="*")
    return parser.parse_args()


def look_for_words(plants):
    """The exit code: 2 when one of them is not where it was."""
    code = 0
    for plant in plants:
        try:
            planted(plant)
        except ValueError as error:
            print(f"plants.py: {plant.name}: {error}")
            code = 2
    return code


def hunt_all(plants, chosen):
    """The seeds that found them; None for one that was not found."""
    seeds = []
    print(f"{'planted bug':18} {'seed':>5}  found by")
    with tempfile.TemporaryDirectory() as folder:
        for plant in plants:
            program = build(plant, pathlib.Path(chosen.build), pathlib.Path(folder))
            found = None if chosen.check else hunt(program, chosen.seeds, chosen.jobs)
            program.unlink()
            seed, how = found if found else (None, "compiles" if chosen.check else "not found")
            seeds.append(seed)
            print(f"{plant.name:18} {seed or '-':>5}  {how[:150]}", flush=True)
    return seeds


def main():
    chosen = options()
    plants = [plant for plant in PLANTS if plant.name in chosen.names or not chosen.names]
    if chosen.list:
        for plant in plants:
            print(f"{plant.name:18} {plant.what}")
        return 0
    if chosen.words:
        return look_for_words(plants)
    try:
        seeds = hunt_all(plants, chosen)
    except (ValueError, subprocess.CalledProcessError) as error:
        print(f"plants.py: {error} {getattr(error, 'stderr', '') or ''}", file=sys.stderr)
        return 2
    if chosen.check:
        return 0
    found = [seed for seed in seeds if seed is not None]
    soon = [seed for seed in found if seed <= SOON]
    print(f"{len(found)} of {len(plants)} planted bugs found, {len(soon)} within {SOON} seeds")
    return 0 if len(found) >= ENOUGH * len(plants) else 1


if __name__ == "__main__":
    sys.exit(main())
