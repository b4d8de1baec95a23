"""Nodes die, freeze and return while mounts read (DESIGN 14)."""

import signal
import time

import pytest

import cluster as live
import reading

FILES = ("--generate", "data/set/,count=300,size=16KiB-400KiB,seed=3",
         "--generate", "data/set/big/,count=4,size=24MiB,seed=4")


def start(cluster, nodes=4, mounts=3, options=()):
    origin = cluster.origin(*FILES)
    cluster.nodes(nodes)
    cluster.dataset("set", "s3://data/set/", options=options)
    for _ in range(mounts):
        cluster.mount("set")
    sums = reading.truth(origin, "set/")
    origin.reset()
    return origin, sums


def readers(cluster, sums, once=True):
    made = []
    for number, mount in enumerate(cluster.mounts):
        names = sorted(sums, reverse=number == 1)
        made.append(reading.Reader(mount.dir, names[number * 50:] + names[:number * 50], sums,
                                   once))
    for reader in made:
        reader.start()
    return made


def finish(made):
    for reader in made:
        reader.join(120)
        assert not reader.is_alive(), "a read hangs"
    return [fault for reader in made for fault in reader.faults]


def half_way(made, sums):
    live.wait_for("half of the reads", lambda: sum(r.done for r in made) > len(sums) * 0.8, 60,
                  0.01)


def source_bytes(node):
    return node.metrics()["atoll_source_read_bytes_total"]


def lists(origin, *prefixes):
    """How often each of these directories was listed."""
    keys = origin.counters(keys=True)["keys"]
    return [keys.get(f"data/{p}", {}).get("LIST", {"requests": 0})["requests"] for p in prefixes]


def test_a_killed_node_costs_no_error_and_no_more_than_what_it_held(cluster):
    origin, sums = start(cluster)
    unique = sum(size for size, _ in sums.values())
    made = readers(cluster, sums)
    half_way(made, sums)
    victim = cluster.members[3]
    held = source_bytes(victim)
    victim.kill()
    faults = finish(made)
    extra = reading.data_gets(origin)[1] - unique
    longest = max(r.longest for r in made)
    print(f"longest stall {longest:.3f} s, extra source bytes {extra}, held {held}")
    assert faults == []
    in_flight = 64 * live.MIB
    assert extra <= held + in_flight
    assert lists(origin, "set/", "set/big/") == [1, 1], "a directory was listed again"
    assert longest < 5.0
    cluster.wait_agreed()
    victim.start()
    cluster.wait_agreed()


def test_a_returned_node_serves_the_blocks_it_kept(cluster):
    origin, sums = start(cluster, mounts=1)
    assert finish(readers(cluster, sums)) == []
    victim = cluster.members[2]
    live.wait_for("blocks on disk", lambda: victim.metrics()["atoll_disk_written_bytes_total"] >=
                  source_bytes(victim))
    victim.kill()
    victim.start()
    cluster.wait_agreed()
    before = reading.data_gets(origin)
    cluster.mount("set")
    fresh = reading.Reader(cluster.mounts[-1].dir, sorted(sums), sums)
    fresh.start()
    assert finish([fresh]) == []
    assert reading.data_gets(origin) == before
    assert victim.metrics()['atoll_served_bytes_total{tier="disk"}'] > 0


def test_a_frozen_node_is_passed_over_and_comes_back(cluster):
    origin, sums = start(cluster)
    made = readers(cluster, sums, once=False)
    half_way(made, sums)
    victim = cluster.members[1]
    victim.signal(signal.SIGSTOP)
    done = sum(r.done for r in made)
    live.wait_for("reads while a node is frozen",
                  lambda: sum(r.done for r in made) > done + len(sums), 60)
    victim.signal(signal.SIGCONT)
    live.wait_for("one ring", cluster.agreed, 40)
    faults = [fault for r in made for fault in r.stop()]
    print(f"longest stall {max(r.longest for r in made):.3f} s")
    assert faults == []
    assert max(r.longest for r in made) < 5.0


def test_a_slow_source_is_no_reason_to_fail_over_or_to_ask_twice(cluster):
    origin = cluster.origin("--generate", "data/set/,count=40,size=200KiB,seed=3")
    cluster.nodes(3)
    cluster.dataset("set", "s3://data/set/")
    mount = cluster.mount("set")
    sums = reading.truth(origin, "set/")
    origin.reset()
    origin.faults({"action": "latency", "ms": 5000, "probability": 0.1, "kind": "GET"})
    reader = reading.Reader(mount.dir, sorted(sums), sums)
    reader.start()
    reader.join(200)
    assert not reader.is_alive() and reader.faults == []
    counters = origin.counters(keys=True)["keys"]
    gets = {k: v["GET"]["requests"] for k, v in counters.items() if "GET" in v}
    assert len(gets) == len(sums) and set(gets.values()) == {1}
    assert cluster.metrics()["atoll_fetches_acting_total"] == 0


def test_a_restart_of_the_whole_cluster_loses_nothing(cluster):
    origin, sums = start(cluster, mounts=1)
    unique = sum(size for size, _ in sums.values())
    assert finish(readers(cluster, sums)) == []
    live.wait_for("all blocks on disk", lambda: cluster.metrics()[
        "atoll_disk_written_bytes_total"] >= unique)
    for node in cluster.members:
        node.kill()
    cluster.mounts[0].close()  # every node is dead: the mount still goes
    assert not live.is_mounted(cluster.mounts[0].dir)
    for node in cluster.members:
        node.start()
    cluster.wait_agreed()
    origin.reset()
    cluster.mount("set")
    fresh = reading.Reader(cluster.mounts[-1].dir, sorted(sums), sums)
    fresh.start()
    assert finish([fresh]) == []
    kinds = origin.counters()["totals"]["kinds"]
    assert kinds.get("GET", {"requests": 0})["requests"] == 0
    assert kinds.get("LIST", {"requests": 0})["requests"] == 0


def test_reads_wait_no_longer_than_timeo_when_all_nodes_are_gone(cluster):
    origin = cluster.origin("--generate", "data/set/,count=4,size=64KiB,seed=3")
    cluster.nodes(1)
    cluster.dataset("set", "s3://data/set/")
    mount = cluster.mount("set", "-o", "timeo=3")
    names = sorted(reading.truth(origin, "set/"))
    reading.digest(mount.dir / names[0])
    cluster.members[0].kill()
    began = time.monotonic()
    with pytest.raises(OSError):
        reading.digest(mount.dir / "no-such-directory" / "file")
    assert time.monotonic() - began < 10
    mount.dir.stat()


def test_planned_leave_reads_nothing_from_the_source_again(cluster):
    origin, sums = start(cluster, mounts=1)
    unique = sum(size for size, _ in sums.values())
    assert finish(readers(cluster, sums)) == []
    made = readers(cluster, sums, once=False)
    code = cluster.members[3].stop()
    cluster.wait_agreed()
    faults = [fault for r in made for fault in r.stop()]
    assert code == 0 and faults == []
    assert reading.data_gets(origin)[1] <= unique * 1.01
