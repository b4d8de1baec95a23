"""The ring changes and nobody reads: what a node holds is with its new owner afterwards."""

import json
import signal
import time

import cluster as live
import reading

# The small files of a directory lie together: one directory would be with one or two nodes.
FILES = ("--generate", "data/set/big/,count=4,size=24MiB,seed=4",
         *(word for i in range(60)
           for word in ("--generate", f"data/set/d{i}/,count=5,size=16KiB-400KiB,seed={i + 5}")))

LARGE = ("--generate", "data/set/,count=40,size=16MiB,seed=5")


def start(cluster, nodes=4, files=FILES, **options):
    """A cluster that holds all of a dataset; nobody reads any more."""
    origin = cluster.origin(*files)
    cluster.nodes(nodes, **options)
    cluster.dataset("set", "s3://data/set/")
    sums = reading.truth(origin, "set/")
    origin.reset()
    assert read_all(cluster, sums) == []
    assert reading.data_gets(origin)[1] == sum(size for size, _ in sums.values())
    return origin, sums


def read_all(cluster, sums):
    """By a new mount: nothing comes from what an earlier one has kept."""
    reader = reading.Reader(cluster.mount("set").dir, sorted(sums), sums)
    reader.start()
    reader.join(300)
    assert not reader.is_alive(), "a read hangs"
    return reader.faults


def read_again(cluster, origin, sums):
    """Bytes of the source that reading everything once more took."""
    before = reading.data_gets(origin)[1]
    assert read_all(cluster, sums) == []
    return reading.data_gets(origin)[1] - before


def test_what_a_leaving_node_held_is_with_its_new_owners_when_it_is_gone(cluster):
    origin, sums = start(cluster)
    assert cluster.busiest().stop() == 0
    cluster.wait_agreed()
    assert read_again(cluster, origin, sums) == 0


def test_two_that_leave_one_after_the_other_are_not_missed(cluster):
    origin, sums = start(cluster)
    assert cluster.busiest().stop() == 0
    assert cluster.busiest().stop() == 0
    cluster.wait_agreed()
    assert read_again(cluster, origin, sums) == 0


def test_without_a_disk_memory_is_handed_over(cluster):
    origin, sums = start(cluster, tier=None, memory="384MiB")
    assert cluster.busiest().stop() == 0
    cluster.wait_agreed()
    assert read_again(cluster, origin, sums) == 0


def taken(node):
    return node.metrics()['atoll_handover_bytes_total{way="taken"}']


def walked(node):
    """How often it has given away all that belonged to others after a change of the ring."""
    return node.log.read_text().count("handover.walked")


def test_a_node_that_joins_has_its_share_before_anybody_reads(cluster):
    origin, sums = start(cluster, nodes=3)
    before = [(n, walked(n)) for n in cluster.members]
    [joined] = cluster.nodes(1)[-1:]
    live.wait_for("hand-over", lambda: all(walked(n) > count for n, count in before))
    assert read_again(cluster, origin, sums) == 0
    metrics = joined.metrics()
    assert metrics['atoll_served_bytes_total{tier="peer"}'] == 0
    assert metrics["atoll_served_bytes_total"] >= taken(joined) * 0.99


def leave_and_wait_for(cluster, leaver, share):
    """It leaves, and that share of what it holds is with others."""
    held = leaver.source_bytes()
    others = [n for n in cluster.living() if n is not leaver]
    leaver.signal(signal.SIGTERM)
    live.wait_for("hand-over", lambda: sum(map(taken, others)) > held * share, every=0.01)
    return held, others


def test_killed_while_it_leaves_it_takes_with_it_what_was_not_handed_over(cluster):
    origin, sums = start(cluster, files=LARGE)
    leaver = cluster.busiest()
    held, others = leave_and_wait_for(cluster, leaver, 0.2)
    leaver.kill()
    cluster.wait_agreed()
    safe = sum(map(taken, others))
    assert read_again(cluster, origin, sums) <= held - safe


def test_a_taker_that_is_killed_costs_what_only_it_had(cluster):
    origin, sums = start(cluster, files=LARGE)
    leaver = cluster.busiest()
    _, others = leave_and_wait_for(cluster, leaver, 0.1)
    victim = max(others, key=taken)
    lost = victim.source_bytes()
    victim.kill()
    assert leaver.process.wait(live.PATIENCE) == 0
    cluster.wait_agreed()
    assert read_again(cluster, origin, sums) <= lost


def test_a_cluster_that_is_stopped_at_once_does_not_wait_for_itself(cluster):
    start(cluster, files=LARGE)
    began = time.monotonic()
    for node in cluster.members:
        node.signal(signal.SIGTERM)
    codes = [node.process.wait(live.PATIENCE) for node in cluster.members]
    assert codes == [0, 0, 0, 0]
    assert time.monotonic() - began < 20


def test_who_may_not_drain_leaves_at_once(cluster):
    origin, sums = start(cluster)
    hasty = cluster.node("--memory", "256MiB", "--drain", "0")
    cluster.wait_agreed()
    live.wait_for("hand-over", lambda: taken(hasty) > 0)
    began = time.monotonic()
    assert hasty.stop() == 0
    assert time.monotonic() - began < 5
    cluster.wait_agreed()
    assert read_again(cluster, origin, sums) == 0  # those it took from have not forgotten them


def listed(cluster):
    shown = json.loads(cluster.cli("dataset", "show", "set", "--json"))
    return shown["files_listed"], shown["bytes_listed"]


def test_directories_of_nodes_that_left_are_not_listed_again(cluster):
    folders = [f"data/set/d{i}/,count=5,size=16KiB,seed={i + 1}" for i in range(30)]
    files = [word for folder in folders for word in ("--generate", folder)]
    origin, sums = start(cluster, nodes=5, files=files)
    kinds = ("LIST", "HEAD")
    before = [origin.counters()["totals"]["kinds"].get(kind) for kind in kinds]
    total = len(sums), sum(size for size, _ in sums.values())
    live.wait_for("files that were listed", lambda: listed(cluster) == total)
    for _ in range(3):
        assert cluster.living()[-1].stop() == 0
        cluster.wait_agreed()
        live.wait_for("files that were listed", lambda: listed(cluster) == total)
    assert read_again(cluster, origin, sums) == 0
    assert [origin.counters()["totals"]["kinds"].get(kind) for kind in kinds] == before
