"""./dev demo: what Atoll does, seen on one machine in under a minute.

Starts an object store with a generated dataset, four cache nodes and two mounts, all on 127.0.0.1.
Both mounts read everything at the same time, twice, and every byte is checked. In the middle of the
first round one node is killed. Ends with a table and leaves nothing behind."""

import argparse
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "live"))
import cluster as live  # noqa: E402

SMALL = "data/set/small/,count=1000,size=4KiB-160KiB,seed=11,suffix=.jpg"
LARGE = "data/set/large/,count=4,size=48MiB-64MiB,seed=12,suffix=.tar"
READERS = 2


def read_all(directory, seed):
    """Every file below the directory, in an order of its own; path -> SHA-256."""
    names = sorted(str(p.relative_to(directory)) for p in pathlib.Path(directory).rglob("*")
                   if p.is_file())
    large = [n for n in names if n.startswith("large/")]
    small = [n for n in names if not n.startswith("large/")]
    random.Random(seed).shuffle(large)
    order = small + large if seed % 2 else large + small
    sums, size, errors, stall = {}, 0, [], 0.0
    start = time.monotonic()
    for name in order:
        began = time.monotonic()
        try:
            sums[name], got = digest(os.path.join(directory, name))
            size += got
        except OSError as error:
            errors.append(f"{name}: {error}")
        stall = max(stall, time.monotonic() - began if name in small else 0.0)
        print(size, flush=True, file=sys.stderr)
    return {"sums": sums, "bytes": size, "errors": errors, "longest_small": stall,
            "seconds": time.monotonic() - start}


def digest(path):
    sha, size = hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while got := file.readinto(buffer):
            sha.update(memoryview(buffer)[:got])
            size += got
    return sha.hexdigest(), size


class Reader:
    """One application, in a process of its own."""

    def __init__(self, mount, seed, directory):
        self.progress = open(directory / f"reader{seed}.progress", "w+")
        self.process = subprocess.Popen([sys.executable, __file__, "--read", str(mount.dir),
                                         "--seed", str(seed)], stdout=subprocess.PIPE,
                                        stderr=self.progress)

    def bytes_read(self):
        with open(self.progress.name) as file:
            lines = file.read().split()
        return int(lines[-1]) if lines and lines[-1].isdigit() else 0

    def result(self):
        text, _ = self.process.communicate(timeout=300)
        self.progress.close()
        if self.process.returncode != 0:
            raise RuntimeError(f"a reader failed; see {self.progress.name}")
        return json.loads(text)


def wait_until_read(readers, total, share):
    """Until all have read that share together, or ended; a line each second of waiting."""
    said = time.monotonic()

    def enough():
        nonlocal said
        got = sum(r.bytes_read() for r in readers) / (total * READERS)
        if time.monotonic() - said > 1:
            said = time.monotonic()
            print(f"   {got:4.0%} read", flush=True)
        return got >= share or all(r.process.poll() is not None for r in readers)

    live.wait_for(f"{share:.0%} of the reads", enough, 240, 0.02)


def round_of_reads(cluster, total, number, in_the_middle=None):
    readers = [Reader(m, number * 10 + i, cluster.dir) for i, m in enumerate(cluster.mounts)]
    try:
        if in_the_middle is not None:
            wait_until_read(readers, total, 0.4)
            in_the_middle()
        wait_until_read(readers, total, 1.0)
        results = [r.result() for r in readers]
    finally:
        for reader in readers:
            if reader.process.poll() is None:
                reader.process.kill()
                reader.process.wait()
    print(f"   done in {max(r['seconds'] for r in results):.1f} s", flush=True)
    return results


class Victim:
    """The node that is killed, and what it alone knew."""

    def __init__(self, node):
        self.node, self.metrics = node, {}

    def kill(self):
        self.metrics = self.node.metrics()
        self.node.kill()
        print(f"   kill -9 {self.node.name}", flush=True)

    def open_requests(self):
        return self.metrics.get("atoll_fetch_open", 0.0)

    def source_bytes(self):
        return self.metrics.get("atoll_source_read_bytes_total", 0.0)


def check(results, truth):
    """Faults found, as lines."""
    faults = []
    for number, result in enumerate(results):
        faults += [f"reader {number}: {e}" for e in result["errors"]]
        for name, sha in truth.items():
            if result["sums"].get(name) not in (None, sha):
                faults.append(f"reader {number}: wrong bytes in {name}")
        lost = set(truth) - set(result["sums"])
        if lost and not result["errors"]:
            faults.append(f"reader {number}: {len(lost)} files not seen, such as {min(lost)}")
    return faults


def speed(results):
    return sum(r["bytes"] for r in results) / max(r["seconds"] for r in results) / 1e6


def size_text(number):
    return f"{number / 1e6:,.1f} MB"


def kinds(counters):
    return {kind: (v["requests"], v["bytes"]) for kind, v in counters["totals"]["kinds"].items()}


def table(rows):
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")


def tier_rows(nodes, wanted):
    """Where the bytes came from: what the nodes sent to mounts, each node as long as it lived, and
    the rest, for which no node was asked."""
    rows, sent = [], 0.0
    for tier, words in (("source", "object store, through its owner"), ("memory", "memory of a node"),
                        ("disk", "disk of a node"), ("peer", "another node")):
        value = sum(m.get(f'atoll_served_bytes_total{{tier="{tier}"}}', 0.0) for m in nodes)
        sent += value
        rows.append((f"  from {words}", size_text(value)))
    rows.append(("  from the mount's memory or the page cache", size_text(max(0, wanted - sent))))
    return rows


def report(cold, warm, faults, numbers):
    gets, got = numbers["kinds"].get("GET", (0, 0))
    lists, _ = numbers["kinds"].get("LIST", (0, 0))
    heads, _ = numbers["kinds"].get("HEAD", (0, 0))
    unique, victim = numbers["unique"], numbers["victim"]
    extra, wanted = got - unique, sum(r["bytes"] for r in cold + warm)
    print("\nWhat happened\n")
    table([
        ("files, each read by both mounts, twice", f"{numbers['files']:,}"),
        ("bytes of the dataset", size_text(unique)),
        ("first round (cold), both readers", f"{speed(cold):,.0f} MB/s"),
        ("second round (warm), both readers", f"{speed(warm):,.0f} MB/s"),
        ("bytes read by applications", size_text(wanted)),
        *tier_rows(numbers["metrics"], wanted),
        ("object store: GET, LIST, HEAD", f"{gets:,}, {lists:,}, {heads:,}"),
        ("object store: bytes of data", size_text(got)),
        ("amplification (1.000 = each byte left it once)", f"{got / unique:.3f}"),
        ("node killed in the middle of round one", victim.node.name),
        ("  bytes that it alone had read from the store", size_text(victim.source_bytes())),
        ("  requests to the store that it had under way", f"{victim.open_requests():.0f}"),
        ("  bytes read from the store a second time", size_text(extra)),
        ("longest wait for one small file", f"{numbers['stall'] * 1000:.0f} ms"),
        ("read errors, wrong bytes", f"{len(faults)}"),
    ])
    print("\nWhat it means\n")
    print("  Two mounts wanted every byte, four nodes shared the work, and the store was asked for")
    print(f"  {got / unique:.3f} times the dataset. Without a failure that is 1.000: one node owns each"
          " block.")
    print(f"  What {victim.node.name} alone had when it was killed, or was just fetching, another node"
          " read")
    print("  again. No reader saw an error: a silent node's reads go to the next in rank.")
    if faults:
        print("\n  FAILED:")
        for line in faults[:20]:
            print(f"  {line}")


def keep(cluster):
    node, mount = cluster.living()[0], cluster.mounts[0]
    print("\nStill running. Try, in another terminal:\n")
    binary = live.program("atoll")
    for line in (f"ls -l {mount.dir}/small | head", f"{binary} status --admin {node.admin}",
                 f"{binary} nodes --admin {node.admin}", f"{binary} ring --admin {node.admin}",
                 f"{binary} where set/large/{'00000000.tar'} --admin {node.admin}",
                 f"curl -s {node.admin}/metrics | grep served",
                 f"curl -s 'http://{cluster.store.admin_address}/counters?keys=0'",
                 f"kill -9 {cluster.living()[-1].pid}    # another node"):
        print(f"  {line}")
    print(f"\nCtrl-C here, or kill {os.getpid()}, stops and removes everything.", flush=True)
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    signal.sigwait(ends)
    print("\n== stopping", flush=True)


def run(directory, keep_running):
    with live.Cluster(directory, name="demo") as cluster:
        print("== an object store with a generated dataset", flush=True)
        origin = cluster.origin("--generate", SMALL, "--generate", LARGE)
        objects = origin.objects(prefix="set/", sha256=True)["objects"]
        truth = {o["key"][len("set/"):]: o["sha256"] for o in objects}
        unique = sum(o["size"] for o in objects)
        origin.reset()
        print("== four cache nodes: keys, gossip, one ring", flush=True)
        cluster.nodes(4)
        cluster.dataset("set", "s3://data/set/")
        print("== two mounts", flush=True)
        for _ in range(READERS):
            cluster.mount("set")
        victim = Victim(cluster.members[3])
        print(f"== round one: both read {len(truth):,} files; {victim.node.name} gets kill -9 in the "
              "middle", flush=True)
        cold = round_of_reads(cluster, unique, 1, victim.kill)
        print("== round two: both read everything again", flush=True)
        warm = round_of_reads(cluster, unique, 2)
        faults = check(cold + warm, truth)
        report(cold, warm, faults,
               {"files": len(truth), "unique": unique, "kinds": kinds(origin.counters()),
                "victim": victim,
                "metrics": [victim.metrics, *(n.metrics() for n in cluster.living())],
                "stall": max(r["longest_small"] for r in cold)})
        if keep_running:
            keep(cluster)
        return 1 if faults else 0


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true",
                        help="leave it running afterwards and say what to try next")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        json.dump(read_all(options.read, options.seed), sys.stdout)
        return 0
    if not os.path.exists("/dev/fuse"):
        print("demo: /dev/fuse is not there: mounts cannot be shown on this machine")
        return 2
    live.interruptible()
    try:
        with tempfile.TemporaryDirectory(prefix="atoll-demo-") as directory:
            code = run(pathlib.Path(directory), options.keep)
    except KeyboardInterrupt:
        print("\nInterrupted. Nothing was left behind.")
        return 130
    print("\nNothing was left behind." if code == 0 else "\nThe demo failed.")
    return code


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    sys.exit(main())
