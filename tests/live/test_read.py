"""Every byte leaves the source once: through s3://, oss://, file://, and a private mount, with names
of every kind. The same at full size, and with radosgw, is in big/show2_radosgw.py."""

import hashlib
import os
import random

import pytest

import cluster as live
import reading


def shapes():
    """Key -> size: every kind of name, and sizes around those of chunks, extents and blocks."""
    keys = {"empty": 0, "one byte": 1, "plus+plus/a+b": 5000, "per%20cent/100%": 70000,
            "blank s/ lead and trail ": 3, "utf8/żółć/日本語.txt": 12345, "utf8/emoji 🐚": 65537,
            "quote\"s/it's & <xml>": 99, "a": 10, "ab/c": 11, "ab-/c": 12, "ab.x": 13,
            "deep/" + "/".join(f"d{i}" for i in range(40)) + "/leaf": 4096}
    for size in (65535, 65536, 65537, live.MIB, live.MIB + 1, 4 * live.MIB - 1, 4 * live.MIB,
                 4 * live.MIB + 1, 17 * live.MIB):
        keys[f"sizes/{size}"] = size
    for number in range(50):
        keys[f"many/dir {number % 3}/file-{number:03}"] = 100 + number * 997
    long = "long/" + "/".join(["n" * 240] * 4)
    keys[long + "/" + "x" * (1000 - len(long) - 1)] = 777
    return keys


def body(key, size):
    return random.Random(hashlib.sha256(key.encode()).digest()).randbytes(size)


KEYS = shapes()
SUMS = {key: (size, hashlib.sha256(body(key, size)).hexdigest()) for key, size in KEYS.items()}
UNIQUE = sum(KEYS.values())
DIRECTORIES = {""} | {key[:at] for key in KEYS for at in range(len(key)) if key[at] == "/"}


def fill(cluster):
    origin = cluster.origin()
    client = origin.client()
    for key, size in KEYS.items():
        client.put_object(Bucket="data", Key=f"set/{key}", Body=body(key, size))
    origin.reset()
    return origin


def read_everything(mounts):
    """All at once, each in an order of its own; nothing may be missing, more or wrong."""
    readers = []
    for number, mount in enumerate(mounts):
        seen = {str(p.relative_to(mount.dir)) for p in mount.dir.rglob("*") if p.is_file()}
        assert seen == set(KEYS)
        names = sorted(KEYS)
        random.Random(number).shuffle(names)
        readers.append(reading.Reader(mount.dir, names, SUMS))
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(300)
        assert not reader.is_alive() and reader.faults == [] and reader.done == len(KEYS)


def kinds(origin):
    return origin.counters()["totals"]["kinds"]


@pytest.mark.parametrize("uri,options", [("s3://data/set/", ()),
                                         ("oss://data/set/", ("--region", "cn-test"))],
                         ids=["s3", "oss"])
def test_three_mounts_at_once_read_every_byte_from_the_store_once(cluster, uri, options):
    origin = fill(cluster)
    cluster.nodes(4)
    cluster.dataset("set", uri, options=options)
    origin.reset()
    read_everything([cluster.mount("set") for _ in range(3)])
    counted = kinds(origin)
    assert counted["GET"]["bytes"] == UNIQUE
    heads = counted.get("HEAD", {"requests": 0})["requests"]
    print(f"GET {counted['GET']['requests']}, LIST {counted['LIST']['requests']}, HEAD {heads},"
          f" {len(DIRECTORIES)} directories")
    assert counted["LIST"]["requests"] <= 2 * len(DIRECTORIES)
    origin.reset()
    read_everything([cluster.mount("set")])
    assert "GET" not in kinds(origin), "a second pass read the store again"
    assert "LIST" not in kinds(origin) and "HEAD" not in kinds(origin)


def write_tree(root):
    for key, size in KEYS.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body(key, size))


def test_three_mounts_at_once_read_every_byte_of_a_directory_once(cluster):
    write_tree(cluster.dir / "tree")
    cluster.nodes(4, "--allow-root", cluster.dir / "tree")
    cluster.dataset("set", f"file://{cluster.dir}/tree", endpoint=False)
    read_everything([cluster.mount("set") for _ in range(3)])
    assert cluster.metrics()["atoll_source_read_bytes_total"] == UNIQUE
    read_everything([cluster.mount("set")])
    assert cluster.metrics()["atoll_source_read_bytes_total"] == UNIQUE


@pytest.mark.parametrize("uri", ["s3://data/set/", "oss://data/set/"])
def test_a_private_mount_reads_every_byte_once_without_any_cluster(cluster, uri):
    origin = fill(cluster)
    mount = cluster.mount(uri, "--endpoint", f"http://{origin.address}", "--region", "cn-test",
                          private=True, env=cluster.private_env())
    read_everything([mount])
    assert kinds(origin)["GET"]["bytes"] == UNIQUE


def test_a_private_mount_of_a_directory_needs_no_option_at_all(cluster):
    write_tree(cluster.dir / "tree")
    read_everything([cluster.mount(f"file://{cluster.dir}/tree", private=True)])


def test_a_cluster_without_keys_reads_as_well(workdir):
    with live.Cluster(workdir, insecure=True) as cluster:
        origin = fill(cluster)
        cluster.nodes(2)
        cluster.dataset("set", "s3://data/set/")
        origin.reset()
        read_everything([cluster.mount("set"), cluster.mount("set")])
        assert kinds(origin)["GET"]["bytes"] == UNIQUE


@pytest.mark.parametrize("fault", [
    {"action": "status", "probability": 0.2, "seed": 1},
    {"action": "cut", "bytes": 30000, "probability": 0.2, "seed": 2, "kind": "GET"},
    {"action": "drop", "probability": 0.1, "seed": 3},
    {"action": "wrong-range", "probability": 0.1, "seed": 4, "kind": "GET"},
    {"action": "etag", "count": 3, "kind": "GET"}],
    ids=lambda fault: fault["action"])
def test_a_store_that_misbehaves_costs_time_and_never_a_wrong_byte(cluster, fault):
    origin = cluster.origin("--generate", "data/set/,count=60,size=1KiB-300KiB,seed=3")
    cluster.nodes(2, tier=None)
    cluster.dataset("set", "s3://data/set/")
    mount = cluster.mount("set")
    sums = reading.truth(origin, "set/")
    os.listdir(mount.dir)
    origin.faults(fault)
    reader = reading.Reader(mount.dir, sorted(sums), sums)
    reader.start()
    reader.join(300)
    assert not reader.is_alive()
    assert sum(f["fired"] for f in origin.ask("GET", "/faults")["faults"]) > 0
    wrong = [f for f in reader.faults if "wrong bytes" in f]
    assert wrong == []
    if fault["action"] in ("status", "cut", "drop"):
        assert reader.faults == []
