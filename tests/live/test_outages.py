"""`atoll status` says which source fails, since when, in the store's words, until it works again."""

import json
import os
import time

import botocore.exceptions
import pytest

import cluster as live
import reading


def start(cluster, *options):
    origin = cluster.origin("--generate", "data/set/,count=40,size=64KiB,seed=1", *options)
    cluster.nodes(2, tier=None)
    cluster.dataset("set", "s3://data/set/")
    mount = cluster.mount("set")
    return origin, mount, reading.truth(origin, "set/")


def status(cluster):
    """The JSON, and the exit code; both must say the same."""
    done = cluster.cli("status", "--json", check=False)
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["verdict"] == "OK" else 1)
    return found


def reason(cluster, error, nodes=1, requests=None, after_us=0):
    """The first reason (about these requests, after that time), when all that is told is this error."""
    found = status(cluster)["reasons"]
    if any(r.get("error") != error for r in found):
        return None
    return next((r for r in found if r["nodes"] >= nodes and r["last_us"] > after_us
                 and requests in (None, r["requests"])), None)


def refuses(cluster):
    """Does the origin refuse the key that the nodes have?"""
    try:
        cluster.store.client().list_buckets()
    except botocore.exceptions.ClientError:
        return True
    return False


def failing(cluster):
    return cluster.metrics().get("atoll_sources_failing", 0)


def fails_to_read(mount, name):
    with pytest.raises(OSError):
        reading.digest(mount.dir / name)


def test_a_refused_credential_is_told_until_the_file_is_corrected(cluster):
    origin, mount, sums = start(cluster)
    names = sorted(sums)
    assert reading.digest(mount.dir / names[0]) == sums[names[0]][1]
    assert status(cluster)["verdict"] == "OK" and failing(cluster) == 0
    (cluster.dir / "origin" / "keys").write_text("other:other-secret\n")
    origin.signal(1)
    live.wait_for("origin with other keys", lambda: refuses(cluster))
    began = time.time()
    for name in names[24::2]:  # some of them at each node, none read ahead
        fails_to_read(mount, name)
    found = live.wait_for("reason", lambda: reason(cluster, "SOURCE_DENIED", 2, "read"))
    assert (found["dataset"], found["source"], found["credential"], found["requests"]) == \
        ("set", "s3://data", "test", "read")
    assert found["nodes"] == 2 and found["failures"] >= 8
    assert began - 1 <= found["since_us"] / 1e6 <= found["last_us"] / 1e6 <= time.time() + 1
    assert "InvalidAccessKeyId" in found["said"] and "credential" in found["next"]
    # When nobody has asked for 5 s the nodes ask by themselves, by HEAD, and are told no reason.
    late_us = found["last_us"] + 4_000_000
    late = live.wait_for("refusal of a node's own question", lambda: reason(
        cluster, "SOURCE_DENIED", 2, "read", late_us))
    assert "InvalidAccessKeyId" in late["said"]
    done = cluster.cli("status", check=False)
    assert done.returncode == 1
    for words in ("DEGRADED", "dataset set cannot be read", "s3://data", "credential test", "InvalidAccessKeyId",
                  "since 20"):
        assert words in done.stdout, done.stdout
    assert failing(cluster) >= 2  # listing fails as well, where one was due
    assert all('requests="read",error="SOURCE_DENIED"' in n.ask("/metrics")
               for n in cluster.members)
    cluster.add_credential("test", "other", "other-secret")
    live.wait_for("end of the trouble before the nodes would ask again by themselves",
                  lambda: status(cluster)["verdict"] == "OK", 20)
    assert failing(cluster) == 0
    assert all(reading.digest(mount.dir / n) == sums[n][1] for n in names)


def test_a_bucket_that_is_gone_is_told_until_it_is_back(cluster):
    origin, mount, sums = start(cluster)
    names = sorted(sums)
    origin.faults({"action": "status", "status": 404, "code": "NoSuchBucket"})
    fails_to_read(mount, names[0])
    found = live.wait_for("reason", lambda: reason(cluster, "SOURCE_NOT_FOUND"))
    assert "NoSuchBucket" in found["said"] and "bucket" in found["next"]
    origin.faults()
    assert reading.digest(mount.dir / names[0]) == sums[names[0]][1]
    live.wait_for("end of the trouble", lambda: status(cluster)["verdict"] == "OK")


def test_a_source_that_cannot_be_reached_is_told_until_it_can_and_nobody_has_to_read(cluster):
    origin, mount, sums = start(cluster, "--listen", f"127.0.0.1:{live.free_ports(1)}")
    name = sorted(sums)[0]
    os.listdir(mount.dir)
    origin.kill()
    reader = reading.Reader(mount.dir, [name], sums)
    reader.start()
    found = live.wait_for("reason", lambda: reason(cluster, "SOURCE_UNREACHABLE"), 40)
    assert origin.address in found["endpoint"] and origin.address.split(":")[0] in found["said"]
    live.Process.__init__(origin, "origin", origin.args, origin.log)
    live.wait_for("end of the trouble", lambda: status(cluster)["verdict"] == "OK", 60)
    reader.join(60)
    assert not reader.is_alive() and reader.faults == []
