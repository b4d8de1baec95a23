"""A node and a mount with --memory 256MiB, each in a cgroup of its own that allows 400 MiB, while 64
readers, a third of them slow, stream 20 GiB: half of it cold from the source, half cold from disk.

    python3 tests/live/big/show8_memory.py [--gib 20] [--limit 400] [--readers 64]

Needs root, cgroup v1 or v2, and as much free disk as half of the bytes."""

import argparse
import os
import pathlib
import random
import sys
import tempfile
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]
import cluster as live  # noqa: E402
import generated  # noqa: E402

SEED, PIECE, CHECK = 9, 1 << 20, 65536
V1 = pathlib.Path("/sys/fs/cgroup/memory")


class Group:
    """A cgroup with a memory limit (and no swap beyond it, where that can be said)."""

    def __init__(self, name, limit):
        self.is_v1 = V1.exists()
        self.dir = (V1 if self.is_v1 else pathlib.Path("/sys/fs/cgroup")) / f"atoll-{name}"
        self.dir.mkdir()
        self.write("memory.limit_in_bytes" if self.is_v1 else "memory.max", limit)

    def write(self, name, value):
        (self.dir / name).write_text(str(value))

    def read(self, name):
        return (self.dir / name).read_text()

    def peak(self):
        return int(self.read("memory.max_usage_in_bytes" if self.is_v1 else "memory.peak"))

    def kills(self):
        text = self.read("memory.oom_control" if self.is_v1 else "memory.events")
        return sum(int(line.split()[1]) for line in text.splitlines()
                   if line.split()[0] == "oom_kill")

    def prefix(self):
        return ["sh", "-c", f'echo $$ >{self.dir}/cgroup.procs && exec "$@"', "sh"]

    def close(self):
        live.wait_for("end of the cgroup's processes", lambda: not self.read("cgroup.procs"))
        self.dir.rmdir()


class Reader(threading.Thread):
    """Streams [start, end) of a file; each 4 MiB one piece is compared, and a slow one dawdles."""

    def __init__(self, path, key, span, slow):
        super().__init__(daemon=True)
        self.path, self.key, self.span, self.slow = path, key, span, slow
        self.faults, self.bytes, self.longest = [], 0, 0.0
        self.pace = threading.Event()
        self.rng = random.Random(f"{key} {span}")

    def run(self):
        buffer = memoryview(bytearray(PIECE))
        try:
            fd = os.open(self.path, os.O_RDONLY)
            try:
                for at in range(*self.span, PIECE):
                    self.step(fd, buffer, at)
            finally:
                os.close(fd)
        except OSError as error:
            self.faults.append(f"{self.key}: {error}")

    def step(self, fd, buffer, at):
        began = time.monotonic()
        got = os.preadv(fd, [buffer], at)
        self.longest = max(self.longest, time.monotonic() - began)
        self.bytes += got
        if got != PIECE:
            self.faults.append(f"{self.key}: {got} bytes at {at}")
        elif self.rng.random() < 0.25:
            inside = self.rng.randrange(PIECE - CHECK)
            if buffer[inside:inside + CHECK] != generated.data(SEED, self.key, at + inside, CHECK):
                self.faults.append(f"{self.key}: wrong bytes at {at + inside}")
        if self.slow:
            self.pace.wait(0.1)


def stream(mount, options, name):
    """All readers once over all bytes of the dataset."""
    half = options.size // 2
    readers = [Reader(mount.dir / generated.key("", i // 2), f"set/{generated.key('', i // 2)}",
                      (i % 2 * half, (i % 2 + 1) * half), i % 3 == 0)
               for i in range(options.readers)]
    began = time.monotonic()
    for reader in readers:
        reader.start()
    said = began
    while any(r.is_alive() for r in readers):
        next(r for r in readers if r.is_alive()).join(1)
        if time.monotonic() - said > 10:
            said = time.monotonic()
            print(f"   {name}: {sum(r.bytes for r in readers) / live.GIB:5.1f} GiB", flush=True)
    took = time.monotonic() - began
    total = sum(r.bytes for r in readers)
    faults = [f for r in readers for f in r.faults]
    print(f"{name}: {total / live.GIB:.1f} GiB in {took:.0f} s, {total / took / 1e6:.0f} MB/s, longest"
          f" read {max(r.longest for r in readers):.2f} s, {len(faults)} faults", flush=True)
    return faults


def tell(name, group, process, limit):
    with open(f"/proc/{process.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    print(f"{name}: peak of its own memory {peak / live.MIB:.0f} MiB; of the cgroup, page cache of its"
          f" disk included, {group.peak() / live.MIB:.0f} of {limit} MiB; {group.kills()} kills",
          flush=True)
    assert process.alive() and group.kills() == 0
    assert peak < limit * live.MIB


def tell_served(cluster, unique):
    """What the node has sent until now, beside what was read."""
    metrics = cluster.metrics()
    series = "atoll_served_bytes_total"
    sent = {tier: metrics[f'{series}{{tier="{tier}"}}'] for tier in ("source", "memory", "disk")}
    print(f"node: sent {sum(sent.values()) / unique:.3f} times the bytes, "
          + ", ".join(f"{value / live.GIB:.2f} GiB from the {tier}" for tier, value in sent.items())
          + f"; {metrics['atoll_disk_skipped_total']:.0f} blocks not written", flush=True)


def run(directory, options, groups):
    with live.Cluster(directory) as cluster:
        cluster.node_prefix, cluster.mount_prefix = (g.prefix() for g in groups)
        files = options.readers // 2
        options.size = options.gib * live.GIB // 2 // files // (2 * PIECE) * 2 * PIECE
        origin = cluster.origin("--generate", f"data/set/,count={files},size={options.size},"
                                f"seed={SEED}")
        cluster.nodes(1, memory=options.memory, tier=f"{options.gib // 2 + 2}GiB")
        cluster.dataset("set", "s3://data/set/")
        mount = cluster.mount("set", "--memory", options.memory)
        faults = stream(mount, options, "from the source")
        kinds = origin.counters()["totals"]["kinds"]
        print(f"source: {kinds['GET']['bytes'] / (files * options.size):.3f} times the bytes",
              flush=True)
        tell_served(cluster, files * options.size)
        live.drop_page_cache(mount.dir)
        faults += stream(mount, options, "from the disk")
        tell_served(cluster, 2 * files * options.size)
        tell("node", groups[0], cluster.members[0], options.limit)
        tell("mount", groups[1], mount, options.limit)
        return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=int, default=20, help="to stream in all")
    parser.add_argument("--limit", type=int, default=400, help="MiB of each cgroup")
    parser.add_argument("--memory", default="256MiB")
    parser.add_argument("--readers", type=int, default=64)
    options = parser.parse_args()
    live.interruptible()
    groups = []
    try:
        for name in ("show8-node", "show8-mount"):
            groups.append(Group(name, options.limit * live.MIB))
        with tempfile.TemporaryDirectory(prefix="atoll-show8-") as directory:
            faults = run(pathlib.Path(directory), options, groups)
    finally:
        for group in groups:
            group.close()
    print("\n".join(faults[:10]) or "no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
