"""The cluster's key is replaced while mounts read; nodes that were away come back, or may not."""

import json
import os
import shutil
import signal

import pytest

import cluster as live
import reading

FILES = ("--generate", "data/set/,count=200,size=16KiB-400KiB,seed=5")
TTL = "2s"


def start(cluster, nodes=3):
    cluster.origin(*FILES)
    cluster.nodes(nodes)
    cluster.dataset("set", "s3://data/set/")
    return reading.truth(cluster.store, "set/")


def keys(node):
    return node.json("/api/v1/keys")


def in_use(node):
    return next(k["key"] for k in keys(node)["keys"] if k["state"] == "in use")


def rotate(cluster, *options):
    """Another key, and all living nodes have it alone; its name."""
    name = json.loads(cluster.cli("key", "rotate", "--ttl", TTL, "--json", *options))["key"]

    def over():
        shown = [keys(n) for n in cluster.living()]
        return all(s["rotation"] == "none" and s["keys"][0]["key"] == name for s in shown)

    live.wait_for(f"key {name} alone on all nodes", over)
    return name


def secrets(path):
    return [word for word in path.read_text().split('"') if len(word) >= 64]


def test_a_rotation_goes_unnoticed_by_mounts_that_read(cluster):
    sums = start(cluster)
    cluster.mount("set")
    mount = cluster.mount("set")
    made = [reading.Reader(m.dir, sorted(sums), sums, once=False) for m in cluster.mounts]
    for reader in made:
        reader.start()
    live.wait_for("first files", lambda: all(r.done > 20 for r in made))
    names = [rotate(cluster), rotate(cluster)]
    live.drop_page_cache(mount.dir)
    before = [r.done for r in made]
    live.wait_for("further files", lambda: all(r.done > b + 50 for r, b in zip(made, before)))
    assert [fault for reader in made for fault in reader.stop()] == []
    assert [n.split("-")[0] for n in names] == ["2", "3"]
    for node in cluster.members:
        text = node.log.read_text()
        assert "member.suspect" not in text and "peer.refused" not in text
        assert [m["key"] for m in node.json("/api/v1/nodes")["nodes"]] == [names[1]] * 3
        assert node.metrics()['atoll_gossip_dropped_total{reason="key"}'] == 0
        ring = node.dir / "data/keyring.json"
        assert ring.stat().st_mode & 0o777 == 0o600
        assert not [s for s in secrets(ring) + secrets(cluster.dir / "cluster.key") if s in text]
    # What the operator sees.
    shown = cluster.cli("key", "list")
    assert names[1] in shown and "in use" in shown and names[0] in shown and "retired" in shown
    assert names[1] in cluster.cli("nodes")


def test_a_node_that_missed_two_rotations_rejoins_and_so_does_its_cluster_file(cluster):
    start(cluster)
    away = cluster.members[2]
    away.kill()
    live.wait_for("ring without it", cluster.agreed)
    rotate(cluster)
    name = rotate(cluster)
    away.start()
    cluster.wait_agreed()
    assert in_use(away) == name
    away.stop()
    shutil.rmtree(away.dir / "data")  # all that it knew; the cluster file is two keys old
    away.start()
    cluster.wait_agreed()
    assert in_use(away) == name


def test_a_rotation_goes_on_when_the_node_that_was_asked_dies(cluster):
    start(cluster)
    first = cluster.members[0]
    name = json.loads(cluster.cli("key", "rotate", "--ttl", TTL, "--json"))["key"]
    first.kill()
    live.wait_for("key in use", lambda: all(in_use(n) == name for n in cluster.members[1:]))
    first.start()
    cluster.wait_agreed()
    live.wait_for("one key on all nodes", lambda: all(
        s["rotation"] == "none" and s["keys"][0]["key"] == name
        for s in (keys(n) for n in cluster.members)))


def test_who_missed_a_revocation_needs_new_files(cluster):
    sums = start(cluster)
    away = cluster.members[2]
    away.kill()
    live.wait_for("ring without it", cluster.agreed)
    mount = cluster.mount("set")
    name = rotate(cluster, "--revoke")
    # The client file was signed by the key that is gone.
    file = sorted(sums)[0]
    (cluster.dir / "empty").mkdir()
    refused = cluster.cli("mount", "set", cluster.dir / "empty", "-f", "--seeds", cluster.members[0].address,
                          "--client-file", cluster.dir / "client.key", admin=False, check=False)
    assert refused.returncode == 4 and "grant" in refused.stderr
    with pytest.raises(PermissionError):
        (mount.dir / file).read_bytes()
    assert "mount.refused err=DENIED" in mount.log.read_text()
    mount.close()
    cluster.mounts.remove(mount)
    away.start()
    live.wait_for("sign that it is alone", lambda: "gossip.alone" in away.log.read_text(), 30)
    done = cluster.cli("status", "--admin", away.admin, admin=False, check=False)
    assert done.returncode == 1 and done.stdout.startswith("DEGRADED\n  no seed answers"), done.stdout
    assert cluster.seeds in done.stdout and "--cluster-file" in done.stdout
    assert "seeds silent" in away.ask("/readyz?verbose")
    assert len(away.json("/api/v1/nodes")["nodes"]) == 1
    assert {m["id"] for m in cluster.members[0].json("/api/v1/nodes")["nodes"]
            if m["state"] == "owning"}.isdisjoint({away.json("/api/v1/nodes")["nodes"][0]["id"]})
    away.stop()
    cluster.cli("key", "export", "--cluster-file", cluster.dir / "cluster.key", "--data-dir",
                cluster.members[0].dir / "data", "--out", cluster.dir / "new.key", admin=False)
    os.replace(cluster.dir / "new.key", cluster.dir / "cluster.key")
    away.start()
    cluster.wait_agreed()
    assert in_use(away) == name
    assert cluster.cli("status", "--admin", away.admin, admin=False).startswith("OK\n")
    (cluster.dir / "client.key").unlink()
    cluster.client_file("*")
    mount = cluster.mount("set")
    assert reading.digest(mount.dir / file) == sums[file][1]


def test_a_frozen_node_is_named_and_holds_the_new_key_up(cluster):
    start(cluster)
    cluster.cli("keygen", "key", "--out", cluster.dir / "next.json", admin=False)
    frozen = cluster.members[2]
    frozen.signal(signal.SIGSTOP)
    shown = cluster.cli("key", "rotate", "--ttl", TTL, "--key-file", cluster.dir / "next.json")
    assert "key 2-" in shown
    live.wait_for("all others have it", lambda: keys(cluster.members[0])["waits_for"] == ["n2"], every=0.005)
    waits = keys(cluster.members[0])
    again = cluster.cli("key", "rotate", check=False)
    frozen.signal(signal.SIGCONT)
    assert waits["rotation"] == "installing" and "n2" in waits["waits_for"]
    assert again.returncode == 4 and "not over: it waits for n2 to have the new key" in again.stderr
    assert "atoll key list" in again.stderr
    live.wait_for("one key on all nodes", lambda: all(
        s["rotation"] == "none" and s["keys"][0]["number"] == 2
        for s in (keys(n) for n in cluster.members)))
    cluster.wait_agreed()


def test_a_key_keeps_the_time_it_was_promised_unless_an_operator_says_otherwise(cluster):
    sums = start(cluster)
    file = sorted(sums)[0]
    cluster.cli("key", "rotate", "--revoke", "--ttl", "24h")
    live.wait_for("time of the old key", lambda: all(
        86300 < keys(n)["keys"][-1].get("ends_in_seconds", 0) <= 86400 for n in cluster.members))
    assert all("ends_in_seconds" not in keys(n)["keys"][0] for n in cluster.members)
    assert "ENDS IN" in cluster.cli("key", "list") and "24 h" in cluster.cli("key", "list")
    for options in (), ("--revoke",):
        again = cluster.cli("key", "rotate", "--ttl", TTL, *options, check=False)
        assert again.returncode == 4
        assert "accepted for another 24 h 0 min" in again.stderr or "another 23 h 59 min" in again.stderr
        assert "atoll key list" in again.stderr and "--force" in again.stderr
    mount = cluster.mount("set")  # with a client file that the old key signed
    assert reading.digest(mount.dir / file) == sums[file][1]
    assert [len(keys(n)["keys"]) for n in cluster.members] == [2, 2, 2]
    name = rotate(cluster, "--force")
    assert name.startswith("3-")


def test_a_key_that_cannot_be_written_is_no_key(cluster):
    start(cluster)
    asked = cluster.members[0]
    before = in_use(asked)
    blocked = asked.dir / "data/keyring.json.new"  # root too cannot write to that
    blocked.mkdir()
    refused = cluster.cli("key", "rotate", check=False)
    assert refused.returncode == 1 and "nothing was begun" in refused.stderr
    blocked.rmdir()
    live.wait_for("the ring on disk", lambda: (asked.dir / "data/keyring.json").exists(), 20)
    for node in cluster.members:
        shown = keys(node)
        assert shown["rotation"] == "none" and [k["key"] for k in shown["keys"]] == [before]
    assert rotate(cluster).startswith("2-")


def test_a_key_that_one_node_has_is_not_said_to_be_on_its_way(cluster):
    start(cluster)
    first = cluster.members[0]
    blocked = [n.dir / "data/keyring.json.new" for n in cluster.members[1:]]
    for path in blocked:
        path.mkdir()
    asked = cluster.cli("key", "rotate", "--ttl", TTL, check=False)
    assert asked.returncode != 0 and "not seen on two nodes' disks" in asked.stderr
    assert [keys(n)["rotation"] for n in cluster.members] == ["installing"] * 3
    first.kill()
    first.start()
    live.wait_for("word of it", lambda: "key.unfinished" in first.log.read_text())
    for path in blocked:
        path.rmdir()
    live.wait_for("one key on all nodes", lambda: all(
        s["rotation"] == "none" and s["keys"][0]["number"] == 2
        for s in (keys(n) for n in cluster.members)))


def test_a_cluster_without_keys_says_so(workdir):
    with live.Cluster(workdir, insecure=True) as cluster:
        cluster.nodes(1)
        assert "--insecure" in cluster.cli("key", "list")
        done = cluster.cli("key", "rotate", check=False)
        assert done.returncode == 2 and "--insecure" in done.stderr
