"""The weight of a node: set while it runs, kept over restarts, and what it moves."""

import json

import pytest

import cluster as live
import reading


def weights(cluster):
    nodes = json.loads(cluster.cli("nodes", "--json"))["nodes"]
    return {n["name"]: n["weight"] for n in nodes}


def shares(cluster, node):
    rings = json.loads(cluster.cli("ring", "--json", "--admin", node.admin, admin=False))["rings"]
    return {n["name"]: n["slots"] / (1 << 18) for n in rings[0]["nodes"]}


def set_weight(cluster, node, weight):
    name = node.name.removeprefix("node ")
    return cluster.cli("node", "weight", name, weight, "--admin", node.admin, admin=False)


def read_all(mount, sums):
    assert all(reading.digest(mount.dir / name) == sha for name, (_, sha) in sums.items())


def test_a_weight_moves_blocks_without_the_source_and_outlives_a_restart(cluster):
    origin = cluster.origin("--generate", "data/set/,count=64,size=256KiB,seed=5")
    cluster.nodes(3, "--weight", "100")
    cluster.dataset("set", "s3://data/set/")
    sums = reading.truth(origin, "set/")
    mount = cluster.mount("set")
    read_all(mount, sums)
    n1 = cluster.members[1]
    assert set_weight(cluster, n1, "025") == "weight of n1: 25, was 100\n"
    for node in cluster.members:
        live.wait_for("the new share everywhere", lambda n=node: shares(cluster, n)["n1"] ==
                      pytest.approx(25 / 225, rel=0.05))
    assert weights(cluster) == {"n0": 100, "n1": 25, "n2": 100}
    diff = json.loads(cluster.cli("ring", "diff", "--json"))
    moved = {n["name"]: n["lost"] for n in diff["nodes"]}
    assert diff["change"] == "last" and moved["n1"] == diff["moved"] == diff["least"]

    origin.reset()
    fresh = cluster.mount("set")
    read_all(fresh, sums)
    assert "GET" not in origin.counters()["totals"]["kinds"]

    n1.kill()
    n1.start()
    cluster.wait_agreed()
    live.wait_for("the kept weight", lambda: weights(cluster)["n1"] == 25)
    assert set_weight(cluster, n1, "auto") == "weight of n1: 100, was 25\n"
    live.wait_for("the weight of the options", lambda: weights(cluster)["n1"] == 100)


def test_a_weight_is_set_at_the_nodes_own_address_only(cluster):
    cluster.nodes(2, "--weight", "100")
    done = cluster.cli("node", "weight", "n1", "5", "--admin", cluster.members[0].admin, admin=False,
                       check=False)
    assert done.returncode == 2 and "its own --admin address; here answers n0" in done.stderr
    assert "ask the node itself, with --admin at its own address" in done.stderr
    assert weights(cluster) == {"n0": 100, "n1": 100}
