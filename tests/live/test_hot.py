"""Everybody reads what one node owns: it hands readers on, and nobody sees anything else than the right
bytes, each of which leaves the source once."""

import collections
import hashlib
import json
import os
import threading

import cluster as live
import reading

FILES = ("--generate", "data/set/,count=40,size=16MiB,seed=11")  # of one extent each
HOT = 8  # more than a mount keeps in 96 MiB


class Reader(threading.Thread):
    """Reads files again and again, never from the kernel's memory, until it is told to stop."""

    def __init__(self, directory, names, sums):
        super().__init__(daemon=True)
        self.directory, self.names, self.sums = directory, names, sums
        self.faults, self.rounds, self.stopping = [], 0, False

    def run(self):
        try:
            while not self.stopping and not self.faults:
                self.read(self.names[self.rounds % len(self.names)])
                self.rounds += 1
        except OSError as fault:
            self.faults.append(str(fault))

    def read(self, name):
        sha = hashlib.sha256()
        with open(self.directory / name, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while data := file.read(live.MIB):
                sha.update(data)
        if sha.hexdigest() != self.sums[name][1]:
            self.faults.append(f"{name}: wrong bytes")


def owned_by_one(cluster, names):
    """The node that owns most of these files, and some of them."""
    owned = collections.defaultdict(list)
    for name in names:
        where = json.loads(cluster.cli("where", f"set/{name}", "--json"))
        owned[where["map"][0]["ranks"][0]["node"]].append(name)
    return sorted(max(owned.values(), key=len)[:HOT])


def start(cluster, nodes=4, mounts=4):
    origin = cluster.origin(*FILES)
    cluster.nodes(nodes, "--hand-on-above", "256KiB")  # also where all is slow
    cluster.dataset("set", "s3://data/set/")
    sums = reading.truth(origin, "set/")
    where = [cluster.mount("set", "--memory", "96MiB") for _ in range(mounts)]
    assert sorted(path.name for path in where[0].dir.iterdir()) == sorted(sums)
    names = owned_by_one(cluster, sums)
    assert len(names) == HOT
    origin.reset()
    readers = [Reader(mount.dir, names, sums) for mount in where]
    for reader in readers:
        reader.start()
    return origin, readers


def stop(readers):
    for reader in readers:
        reader.stopping = True
    for reader in readers:
        reader.join(60)
        assert not reader.is_alive(), "a read hangs"
        assert reader.faults == [] and reader.rounds > 0


def total(node, name):
    return sum(value for key, value in node.metrics().items() if key.split("{")[0] == name)


def served(nodes):
    return [total(node, "atoll_served_bytes_total") for node in nodes]


def handed_on(cluster):
    return sum(total(node, "atoll_handed_on_total") for node in cluster.members if node.alive())


def source_bytes(origin):
    return origin.counters()["totals"]["kinds"]["GET"]["bytes"]


def wait_reads(readers, rounds):
    """Each has read so many files more."""
    goals = [reader.rounds + rounds for reader in readers]
    live.wait_for("reads", lambda: all(reader.rounds >= goal or reader.faults
                                       for reader, goal in zip(readers, goals)))


def shares_of(cluster, readers, rounds):
    """What each node serves meanwhile."""
    before = served(cluster.members)
    wait_reads(readers, rounds)
    return [after - was for after, was in zip(served(cluster.members), before)]


def is_even(shares):
    return max(shares) < 2 * sum(shares) / len(shares)  # of 4, had the owner served all


def test_readers_of_one_file_are_spread_over_all_nodes(cluster):
    origin, readers = start(cluster)
    live.wait_for("hand-on", lambda: handed_on(cluster) > 100)
    live.wait_for("balance", lambda: is_even(shares_of(cluster, readers, HOT)))
    shares = shares_of(cluster, readers, 2 * HOT)
    status = cluster.cli("status")
    where = json.loads(cluster.cli("where", f"set/{readers[0].names[0]}", "--json"))
    stop(readers)
    assert is_even(shares), shares
    assert source_bytes(origin) == HOT * 16 * live.MIB
    assert "hot blocks have" in status
    assert sum(node["memory"] > 0 for node in where["nodes"]) > 1


def test_a_holder_that_is_killed_is_missed_by_nobody(cluster):
    origin, readers = start(cluster)
    live.wait_for("hand-on", lambda: handed_on(cluster) > 100)
    owner = max(cluster.members, key=lambda node: total(node, "atoll_handed_on_total"))
    holder = max((node for node in cluster.members if node is not owner),
                 key=lambda node: total(node, "atoll_copy_gets_total"))
    holder.kill()
    cluster.wait_agreed()
    wait_reads(readers, HOT)
    stop(readers)
    assert source_bytes(origin) == HOT * 16 * live.MIB


def test_an_owner_that_is_killed_is_replaced_and_its_copies_serve_on(cluster):
    origin, readers = start(cluster)
    live.wait_for("hand-on", lambda: handed_on(cluster) > 100)
    owner = max(cluster.members, key=lambda node: total(node, "atoll_handed_on_total"))
    owner.kill()
    cluster.wait_agreed()
    wait_reads(readers, HOT)
    stop(readers)
    assert source_bytes(origin) <= 2 * HOT * 16 * live.MIB
