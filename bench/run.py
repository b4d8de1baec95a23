#!/usr/bin/python3
"""./dev bench: Atoll beside a plain directory, s3fs and rclone over one origin.

Four cases: 1 GiB sequential, the same from the caches next to the mount (Atoll: its nodes; peers:
their own disk cache), 3,000 files of 100 KiB in directory order (both ways), `ls -l` of 50,000. Each
round measures every file system in every case, in an order that turns, on objects that nobody has
seen before; the table holds medians over the rounds. The kernel's caches are emptied before each
measurement, so this wants root.

In brackets: CPU seconds of the whole machine, reader and origin included."""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import systems  # noqa: E402
from systems import live  # noqa: E402

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SEED = 41
READER = pathlib.Path(__file__).resolve().with_name("reader.py")
PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- table: ./dev bench -->", "<!-- end of table -->"

# set -> (objects, bytes of each)
SETS = {"big": (1, GIB), "small": (3000, 100 * KIB), "many": (50000, KIB)}
QUICK = {"big": (1, 256 * MIB), "small": (500, 100 * KIB), "many": (5000, KIB)}

# case -> (set, what the reader does, unit, text); a name with "again" follows the one before it
CASES = {
    "sequential": ("big", "sequential", "GiB/s", "{size} sequential, from the origin"),
    "sequential again": ("big", "sequential", "GiB/s", "{size} sequential, from nodes / disk cache"),
    "files": ("small", "files", "files/s", "{count} files of {size}, from the origin"),
    "files again": ("small", "files", "files/s", "{count} files of {size}, from nodes / disk cache"),
    "list": ("many", "list", "entries/s", "`ls -l` of {count}, cold"),
}


def size_text(size):
    return next(f"{size // unit} {name}" for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))
                if size >= unit)


def busy_seconds():
    """CPU seconds of the whole machine since it started."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq = map(int, file.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def empty_kernel_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3\n")


class Bench:
    def __init__(self, dir, options):
        self.sets = QUICK if options.quick else SETS
        self.options = options
        self.results = {}  # (case, system) -> one measurement for each round
        warm = 2 * options.nodes  # the ring's shares are not equal: more than all have room for
        generate = ["--generate", f"{systems.BUCKET}/warm/,count={warm},"
                                  f"size={options.node_memory},seed={SEED}"]
        for number in range(options.rounds):
            for name, (count, size) in self.sets.items():
                generate += ["--generate", f"{systems.BUCKET}/r{number}/{name}/,count={count},"
                                           f"size={size},seed={SEED}"]
        self.cluster = live.Cluster(dir / "atoll")
        self.origin = self.cluster.origin(*generate)
        self.cluster.nodes(options.nodes, memory=options.node_memory, tier="8GiB")
        self.systems = [systems.Directory(dir, {name: (*what, SEED)
                                                for name, what in self.sets.items()}),
                        systems.Atoll(self.cluster, options.mount_memory)]
        for peer in systems.PEERS:
            why = peer.missing()
            if why:
                print(why, flush=True)
            else:
                self.systems.append(peer(dir, self.origin))
        self.systems = [s for s in self.systems if options.only in s.name.split(" ")[0]]

    def warm_up(self):
        """Nodes run for weeks: theirs is memory that was in use before, as much as there is."""
        for system in self.systems:
            if system.name == "atoll":
                system.fresh("warm")
                subprocess.run([sys.executable, READER, "files", system.path], check=True,
                               stdout=subprocess.DEVNULL, timeout=600)
                system.close()

    def measure(self, case, system, number):
        """One case on one file system that is mounted."""
        name, what, unit, _ = CASES[case]
        path = system.path if what != "sequential" else system.path / "00000000"
        watched = [self.origin.pid, *system.processes]
        empty_kernel_caches()
        before = self.origin.counters()
        own, machine = sum(map(systems.cpu_seconds, watched)), busy_seconds()
        done = subprocess.run([sys.executable, READER, what, path], stdout=subprocess.PIPE, check=True, timeout=600)
        machine, own = busy_seconds() - machine, sum(map(systems.cpu_seconds, watched)) - own
        result = json.loads(done.stdout)
        count, size = self.sets[name]
        if (result["items"], result["bytes"]) != (count, count * size):
            raise RuntimeError(f"{system.name}, {case}: {result} instead of {count} of {size} bytes")
        amount = result["bytes"] / GIB if unit == "GiB/s" else result["items"]
        result.update(rate=amount / result["seconds"], machine=machine, own=own,
                      origin=requests(before, self.origin.counters()))
        self.results.setdefault((case, system.name), []).append(result)
        print(f"round {number + 1} {case:17} {system.name:12} {rate_text(result['rate'], unit):>9} "
              f"{unit:9} CPU {machine:5.1f} s, of it {own:5.1f} file system and origin; "
              f"origin: {result['origin']}", flush=True)

    def round(self, number):
        for name in self.sets:
            cases = [case for case, what in CASES.items()
                     if what[0] == name and self.options.case in case]
            for at in range(len(self.systems)):
                self.visit(self.systems[(at + number) % len(self.systems)], name, cases, number)

    def visit(self, system, name, cases, number):
        if not cases:
            return
        system.fresh(f"r{number}/{name}")
        try:
            for case in cases:
                if "again" in case:
                    system.again()
                self.measure(case, system, number)
        finally:
            system.close()

    def run(self):
        self.warm_up()
        for number in range(self.options.rounds):
            self.round(number)

    def close(self):
        for system in self.systems:
            system.close()
        self.cluster.close()


def requests(before, after):
    """What the origin was asked for in between, as text."""
    first, last = before["totals"]["kinds"], after["totals"]["kinds"]
    counts = {kind: now["requests"] - first.get(kind, {}).get("requests", 0)
              for kind, now in last.items()}
    return " ".join(f"{kind} {count}" for kind, count in counts.items() if count) or "nothing"


def rate_text(rate, unit):
    return f"{rate:.2f}" if unit == "GiB/s" else f"{rate:,.0f}"


def median(results, what):
    return statistics.median(result[what] for result in results)


def table(bench):
    names = [system.name for system in bench.systems]
    peers = [name for name in names if name not in ("directory", "atoll")]
    lines = ["| case | " + " | ".join(names) + " | Atoll / best peer | worst round |",
             "|---|" + "---|" * (len(names) + 2)]
    for case, (name, _, unit, text) in CASES.items():
        if (case, names[0]) not in bench.results:
            continue
        count, size = bench.sets[name]
        cells = [text.format(count=f"{count:,}", size=size_text(size)) + f", {unit}"]
        for system in names:
            results = bench.results[case, system]
            cells.append(f"{rate_text(median(results, 'rate'), unit)} "
                         f"({median(results, 'machine'):.1f})")
        lines.append("| " + " | ".join([*cells, *ratios(bench.results, case, peers)]) + " |")
    return "\n".join(lines)


def ratios(results, case, peers):
    """Of the medians, and the smallest of one round."""
    ours = results.get((case, "atoll"))
    if not ours or not peers:
        return ["-", "-"]
    best = max(median(results[case, peer], "rate") for peer in peers)
    rounds = (mine["rate"] / max(results[case, peer][at]["rate"] for peer in peers)
              for at, mine in enumerate(ours))
    return [f"**{median(ours, 'rate') / best:.2f}**", f"{min(rounds):.2f}"]


def machine_text(options):
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if "model name" in line), "?")
    return (f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs ({model}), "
            f"Linux {os.uname().release}; {options.rounds} rounds, {options.nodes} nodes with "
            f"{options.node_memory} of memory, the mount with {options.mount_memory}")


def write_page(text):
    page = PAGE.read_text()
    head, rest = page.split(BEGIN, 1)
    PAGE.write_text(head + BEGIN + "\n" + text + "\n" + END + rest.split(END, 1)[1])
    print(f"written into {PAGE}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true",
                        help="small amounts, one round unless --rounds says more; no page written")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--node-memory", default="1GiB")
    parser.add_argument("--mount-memory", default="512MiB")
    parser.add_argument("--only", default="", help="file systems whose name contains this")
    parser.add_argument("--case", default="", help="cases whose name contains this")
    parser.add_argument("--dir", default="/var/tmp", help="where files and caches go, on a disk")
    parser.add_argument("--json", help="also write every measurement to this file")
    parser.add_argument("--no-page", action="store_true", help="leave docs/performance.md alone")
    options = parser.parse_args()
    if options.quick and "--rounds" not in sys.argv:
        options.rounds = 1
    return options


def main():
    options = parse()
    if not os.access("/proc/sys/vm/drop_caches", os.W_OK):
        sys.exit("bench: emptying the kernel's caches wants root")
    live.interruptible()
    dir = pathlib.Path(tempfile.mkdtemp(prefix="atoll-bench-", dir=options.dir))
    bench = None
    try:
        bench = Bench(dir, options)
        try:
            bench.run()
        finally:
            bench.close()
        text = f"{table(bench)}\n\n{machine_text(options)}"
        print("\n" + text)
        if options.json:
            records = [dict(result, case=case, system=system)
                       for (case, system), results in bench.results.items() for result in results]
            pathlib.Path(options.json).write_text(json.dumps(records))
        if not (options.quick or options.no_page or options.only or options.case):
            write_page(text)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(dir, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
