"""Datasets that only nodes with certain labels keep: every node knows their rings before it is asked."""

import json

import cluster as live


def knows(node, *datasets):
    known = [d["name"] for d in node.json("/api/v1/datasets")["datasets"]]
    return all(name in known for name in datasets)


def cli(cluster, node, *words):
    return cluster.cli(*words, "--admin", node.admin, admin=False, check=False)


def missed(cluster, node):
    """What the node's status says of datasets: its name, and why."""
    status = json.loads(cli(cluster, node, "status", "--json").stdout)
    return {(r["node"], r["text"]) for r in status["reasons"]}


NO_LABELS = ("nowhere", "no node has the labels that a dataset wants")
NO_WEIGHT = ("nv", "the nodes with the labels that a dataset wants have weight 0")


def test_every_node_knows_the_rings_of_all_datasets_before_it_is_asked(cluster):
    cluster.origin("--generate", "data/set/,count=3,size=16KiB,seed=1")
    cluster.nodes(2)
    first, _, labelled = cluster.nodes(1, "--label", "disk=nvme")
    cluster.dataset("nv", "s3://data/set/", options=["--nodes", "disk=nvme"])
    cluster.dataset("nowhere", "s3://data/set/", options=["--nodes", "disk=none"])
    for node in cluster.members:
        live.wait_for("datasets", lambda: knows(node, "nv", "nowhere"))
        done = cli(cluster, node, "where", "nv/00000000")
        assert done.returncode == 0, done.stderr
        done = cli(cluster, node, "ring", "diff", "--nodes", "disk=nvme")
        assert done.returncode == 0, done.stderr
        done = cli(cluster, node, "where", "nowhere/00000000")
        assert done.returncode == 5 and "no node has the labels" in done.stderr
        assert missed(cluster, node) == {NO_LABELS}
    done = cli(cluster, first, "ring", "diff", "--nodes", "disk=tape")
    assert done.returncode == 3 and "no dataset here has that node selector" in done.stderr

    first.stop()
    first.start()
    cluster.wait_agreed()
    assert NO_LABELS in missed(cluster, first)

    cluster.cli("node", "weight", "n2", "0", "--admin", labelled.admin, admin=False)
    for node in cluster.members:
        live.wait_for("the weight", lambda: NO_WEIGHT in missed(cluster, node))
    done = cli(cluster, first, "where", "nv/00000000")
    assert done.returncode == 5 and "have weight 0" in done.stderr
    cluster.cli("node", "weight", "n2", "auto", "--admin", labelled.admin, admin=False)
    for node in cluster.members:
        live.wait_for("the weight", lambda: missed(cluster, node) == {NO_LABELS})
