"""What a real network, real processors and real deaths do to the membership, in small: each node in a
network namespace of its own.

    python3 tests/live/big/membership_netns.py [CASE...]

    loss    one of 24 nodes loses 80 % of its packets, then hears nothing for 20 of each 40 s: exactly
            it is out within 20 s, in at most 2 changes of the ring; it comes back
    pauses  8 of 24 nodes stand still at random, up to 32 s at a time: nobody else is removed
    slow    4 of 24 nodes have 5 % of a processor: nobody else is removed
    halves  12 and 12 nodes do not hear each other for a minute: one ring within 10 s, in one change
    deaths  2 of 8 nodes are killed at once while three mounts read: no error, no wrong byte

Without a name: all, one after the other. Needs root, iproute2 and iptables; `slow` a cgroup."""

import argparse
import contextlib
import os
import pathlib
import random
import sched
import signal
import sys
import tempfile
import time

import netns
from netns import live

WRONG = []


def expect(holds, what):
    print(f"  {'yes' if holds else 'NO '}  {what}", flush=True)
    if not holds:
        WRONG.append(what)


@contextlib.contextmanager
def watched(hosts):
    watcher = netns.Watcher(hosts)
    watcher.start()
    live.wait_for("a first look", lambda: all(watcher.last.values()), 30)
    try:
        yield watcher
    finally:
        watcher.stop()


def gone_only(cluster, watcher, since, host):
    """Only that one is out, soon, and the ring moved for nothing else."""
    rest = [h for h in cluster.hosts if h is not host]
    live.wait_for("its removal", lambda: host.name in cluster.removed(since, rest), 40, 0.5)
    live.wait_for("one ring without it", lambda: netns.one_ring(rest), 30, 0.5)
    removed = cluster.removed(since, rest)
    expect(list(removed) == [host.name], f"removed: {', '.join(removed)}")
    took = removed[host.name] - since
    expect(took <= 20, f"out after {took:.1f} s, 20 at most")
    changes = watcher.epochs(since, rest)
    expect(changes <= 2, f"{changes} changes of the ring, 2 at most")


def back(cluster, host):
    cluster.net.mend(host.number)
    netns.timed("one ring of all again", lambda: netns.one_ring(cluster.hosts), 120)


def case_loss(directory):
    with netns.Cluster(directory, 24) as cluster, watched(cluster.hosts) as watcher:
        host = cluster.hosts[9]
        since = time.time()
        cluster.net.lose(host.number, 0.8)
        gone_only(cluster, watcher, since, host)
        rest = [h for h in cluster.hosts if h is not host]
        few = netns.holds(lambda: watcher.epochs(since, rest) <= 2, 20)
        expect(few, f"{watcher.epochs(since, rest)} changes of the ring in 20 s more, 2 at most")
        back(cluster, host)
        live.wait_for("rings that rest", lambda: watcher.is_quiet(10), 60)
        since = time.time()
        for _ in range(3):
            cluster.net.drop(host.number, ways=("INPUT",))
            expect(netns.holds(cluster.runs, 20), "all run while one hears nothing")
            cluster.net.mend(host.number)
            expect(netns.holds(cluster.runs, 20), "and while it hears again")
        removed = cluster.removed(since, rest)
        expect(set(removed) <= {host.name}, f"two minutes of 20/20 s: removed {', '.join(removed)}")
        changes = watcher.epochs(since, rest)
        expect(changes <= 2, f"{changes} changes of the ring, 2 at most")
        back(cluster, host)


def case_pauses(directory):
    rng = random.Random(1)
    with netns.Cluster(directory, 24) as cluster, watched(cluster.hosts) as watcher:
        since = time.time()
        some, plan = cluster.hosts[3:24:3] + [cluster.hosts[1]], sched.scheduler(time.time)

        def toggle(host, number):
            host.signal(number)
            then = time.time() + rng.uniform(0, 32)
            if then < since + 180:
                other = signal.SIGCONT if number == signal.SIGSTOP else signal.SIGSTOP
                plan.enterabs(then, 0, toggle, (host, other))

        for host in some:
            toggle(host, signal.SIGSTOP)
        plan.run()
        for host in some:
            host.signal(signal.SIGCONT)
        well = [h for h in cluster.hosts if h not in some]
        removed = cluster.removed(since, well)
        expect(not {h.name for h in well} & set(removed),
               f"removed: {', '.join(removed) or 'nobody'}")
        print(f"  {watcher.epochs(since, well)} changes of the ring in 3 minutes")
        netns.timed("one ring of all again", lambda: netns.one_ring(cluster.hosts), 180)


class Slow:
    """Processes that get a share of one processor, by a control group of their own."""

    def __init__(self, share, pids):
        root = pathlib.Path("/sys/fs/cgroup")
        first = (root / "cgroup.controllers").exists()
        self.group = (root if first else root / "cpu") / f"{netns.PREFIX}-slow"
        self.group.mkdir()
        if first:
            (self.group / "cpu.max").write_text(f"{int(share * 100000)} 100000")
        else:
            (self.group / "cpu.cfs_period_us").write_text("100000")
            (self.group / "cpu.cfs_quota_us").write_text(str(int(share * 100000)))
        for pid in pids:
            (self.group / "cgroup.procs").write_text(str(pid))

    def close(self):
        for pid in (self.group / "cgroup.procs").read_text().split():
            (self.group.parent / "cgroup.procs").write_text(pid)
        self.group.rmdir()


def case_slow(directory):
    with netns.Cluster(directory, 24) as cluster, watched(cluster.hosts) as watcher:
        since = time.time()
        few = cluster.hosts[4:24:5]
        with contextlib.closing(Slow(0.05, [h.pid for h in few])):
            reader = cluster.reader(cluster.mount())
            expect(netns.holds(lambda: cluster.runs() and not reader.faults, 60), "all run for a minute")
            faults = reader.stop()
        well = [h for h in cluster.hosts if h not in few]
        removed = cluster.removed(since, well)
        expect(set(removed) <= {h.name for h in few}, f"removed: {', '.join(removed) or 'nobody'}")
        expect(not faults, f"{reader.done} reads, {len(faults)} faults, longest {reader.longest:.2f} s")
        print(f"  {watcher.epochs(since, well)} changes of the ring")
        netns.timed("one ring of all", lambda: netns.one_ring(cluster.hosts), 120)


def case_halves(directory):
    with netns.Cluster(directory, 24) as cluster, watched(cluster.hosts) as watcher:
        one, other = cluster.hosts[:12], cluster.hosts[12:]
        cluster.net.part(12, 23, [h.number for h in one])
        netns.timed("a ring of each half",
                    lambda: netns.one_ring(one) and netns.one_ring(other), 90)
        apart = time.time()
        expect(netns.holds(lambda: watcher.epochs(apart, cluster.hosts) == 0, 60),
               "no ring changes while they are apart")
        since = time.time()
        for host in one:
            cluster.net.mend(host.number)
        netns.timed("one ring of both", lambda: netns.one_ring(cluster.hosts), 60)
        took = time.time() - since
        expect(took <= 10, f"one ring {took:.1f} s after the repair, 10 at most")
        netns.holds(lambda: watcher.epochs(since, cluster.hosts) <= 1, 10)
        changes = watcher.epochs(since, cluster.hosts)
        expect(changes <= 1, f"{changes} changes of the ring, 1 at most")


def case_deaths(directory):
    with netns.Cluster(directory, 8, files=900, file_bytes=1_000_000) as cluster:
        mounts = [cluster.mount() for _ in range(3)]
        readers = [cluster.reader(mount, past=20) for mount in mounts]
        dead = cluster.hosts[4:6]
        for host in dead:
            host.kill()
        done = max(r.done for r in readers)
        expect(done < len(cluster.sums) / 2, f"killed when {done} of {len(cluster.sums)} were read")
        rest = [h for h in cluster.hosts if h not in dead]
        netns.timed("one ring of the other 6", lambda: netns.one_ring(rest), 60)
        live.wait_for("everything read without the two",
                      lambda: all(r.done > len(cluster.sums) for r in readers), 120)
        faults = [fault for r in readers for fault in r.stop()]
        longest = max(r.longest for r in readers)
        expect(not faults, f"{sum(r.done for r in readers)} reads, {len(faults)} faults")
        expect(longest < 1, f"longest wait {longest:.2f} s, less than 1")


CASES = {name[5:]: case for name, case in list(globals().items()) if name.startswith("case_")}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all of them without a name")
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    live.interruptible()
    for name in options.cases or CASES:
        print(f"{name}:", flush=True)
        with tempfile.TemporaryDirectory(prefix="atoll-netns-") as directory:
            CASES[name](pathlib.Path(directory))
    print(f"{len(WRONG)} expectations not met" if WRONG else "all met")
    return 1 if WRONG else 0


if __name__ == "__main__":
    sys.exit(main())
