"""Nodes are replaced one by one by those of the next version, and back, while mounts of both versions
read (docs/versions.md). The next version is the preset `next`: protocols 1 and 2, and more than this
one knows in every message, packet, record and file."""

import json
import os
import threading

import cluster as live
import reading

FILES = ("--generate", "data/set/,count=300,size=16KiB-400KiB,seed=6",
         "--generate", "data/set/big/,count=2,size=24MiB,seed=7",
         "--generate", "data/late/,count=20,size=16KiB-400KiB,seed=8")


class Forgetful(threading.Thread):
    """The kernel forgets what mounts have shown it, again and again: so nodes are asked."""

    def __init__(self, directory):
        super().__init__(daemon=True)
        self.directory, self.stopping = directory, threading.Event()
        self.start()

    def run(self):
        while not self.stopping.wait(1.0):
            live.drop_page_cache(self.directory)

    def stop(self):
        self.stopping.set()
        self.join()


def speak(cluster, new):
    """All are connected, in protocol 2 where both are of the next version, and know the same members
    by the same digest, also where one knows more fields of their records than the other."""
    def agreed():
        views = set()
        for node in cluster.members:
            shown = node.json("/api/v1/nodes")["nodes"]
            want = {f"n{i}": 2 if {i, node.index} <= new else 1 for i in range(len(cluster.members))}
            if {m["name"]: m["protocol"] for m in shown} != want:
                return False
            views.update(m.get("view") for m in shown)
        return len(views) == 1 and None not in views
    live.wait_for(f"protocols, with {sorted(new)} of the next version", agreed)


def check(node):
    """Nothing came that it took for damaged, or that it should not have been sent."""
    values = node.metrics()
    assert values["atoll_malformed_total"] == 0
    assert values["atoll_messages_unknown_total"] == 0
    assert values['atoll_gossip_dropped_total{reason="malformed"}'] == 0
    assert values["atoll_disk_errors_total"] == 0
    assert "malformed" not in node.log.read_text()


def replace(cluster, index, program, new):
    """A planned leave, and a start by the other version with the same identity and disk."""
    node = cluster.members[index]
    check(node)
    assert node.stop() == 0
    cluster.wait_agreed()
    cluster.atoll = program
    node.start()
    cluster.wait_agreed()
    speak(cluster, new)


def use(cluster, number):
    """What operators do in between: another key, another dataset, read through both mounts' versions."""
    name = json.loads(cluster.cli("key", "rotate", "--ttl", "2s", "--json"))["key"]
    live.wait_for("one key", lambda: all(
        s["rotation"] == "none" and s["keys"][0]["key"] == name
        for s in (n.json("/api/v1/keys") for n in cluster.members)))
    cluster.dataset(f"late{number}", "s3://data/late/")
    sums = reading.truth(cluster.store, "late/")
    for _ in range(2):
        mount = cluster.mount(f"late{number}")
        assert sorted(os.listdir(mount.dir)) == sorted(sums)
        assert all(reading.digest(mount.dir / n) == digest for n, (_, digest) in sums.items())
        mount.close()
        cluster.mounts.remove(mount)
        cluster.atoll = cluster.this if cluster.atoll == cluster.next else cluster.next


def test_five_nodes_become_the_next_version_and_this_one_again_while_mounts_read(cluster):
    cluster.this, cluster.next = cluster.atoll, live.next_version()
    origin = cluster.origin(*FILES)
    cluster.nodes(5)
    cluster.dataset("set", "s3://data/set/")
    sums = reading.truth(origin, "set/")
    made = []
    for cluster.atoll in (cluster.this, cluster.next):
        mount = cluster.mount("set")
        made.append(reading.Reader(mount.dir, sorted(sums, reverse=len(made) == 1), sums, once=False))
    origin.reset()
    for reader in made:
        reader.start()
    live.wait_for("all files, once", lambda: all(r.done > len(sums) for r in made))
    forgetful = Forgetful(cluster.mounts[0].dir)
    new = set()
    for index in range(5):
        new.add(index)
        replace(cluster, index, cluster.next, new)
        if index == 1:
            use(cluster, 1)
    assert all(n.metrics()["atoll_next_messages_total"] > 0 for n in cluster.members)
    for index in range(5):
        new.discard(index)
        replace(cluster, index, cluster.this, new)
        if index == 2:
            use(cluster, 2)
    done = [r.done for r in made]
    live.wait_for("all files, once more", lambda: all(r.done > d + len(sums) for r, d in zip(made, done)))
    forgetful.stop()
    faults = [fault for reader in made for fault in reader.stop()]
    assert faults == []
    for node in cluster.members:
        check(node)
    late = reading.truth(origin, "late/")
    unique = sum(size for size, _ in [*sums.values(), *late.values()])
    read = reading.data_gets(origin)[1] / unique
    print(f"read {sum(r.bytes for r in made) / unique:.0f} times, from the source {read:.3f} times; "
          f"longest wait {max(r.longest for r in made):.2f} s")
    assert read <= 1.01  # who leaves has handed its blocks over, and who is back is asked for what it kept


def test_what_a_newer_version_has_left_is_refused_and_stays_as_it_is(cluster):
    node = cluster.nodes(1)[0]
    cluster.cli("key", "rotate", "--ttl", "1s")
    live.wait_for("ring of keys on disk", (node.dir / "data/keyring.json").exists)
    assert node.stop() == 0
    files = [node.dir / "data" / name for name in ("node.json", "tiers.json", "keyring.json")]
    files += [cluster.dir / "tier0/atoll-tier.json", cluster.dir / "cluster.key"]
    for file in files:
        before = file.read_text()
        newer = json.dumps({**json.loads(before), "version": 99})
        file.write_text(newer)
        node.log.write_text("")
        node.start()
        live.wait_for("end of the node", lambda: not node.alive())
        assert node.process.returncode == 7, node.tail()  # data
        assert "newer version" in node.log.read_text()
        assert file.read_text() == newer
        file.write_text(before)
    node.start()
    cluster.wait_agreed()
