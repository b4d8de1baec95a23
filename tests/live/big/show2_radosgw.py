"""Three mounts read 300 objects of every shape through four nodes, at once and in different orders:
every byte leaves the store once. The store is radosgw behind a relay that counts; then the same
with oss:// on the test origin, with file://, and with a private mount.

    python3 tests/live/big/show2_radosgw.py [radosgw] [oss] [file] [private]
"""

import hashlib
import os
import pathlib
import random
import sys
import tempfile
import time

import boto3
from botocore.config import Config

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1])]
import cluster as live  # noqa: E402
import radosgw  # noqa: E402
import reading  # noqa: E402
import relay  # noqa: E402

MIB = 1 << 20


def shapes(seed=7):
    """Key -> size: 300 objects, 0 bytes to 200 MiB, with every kind of name."""
    rng = random.Random(seed)
    keys = {"empty": 0, "one byte": 1, "large/200MiB.bin": 200 * MIB, "large/64MiB+1": 64 * MIB + 1,
            "large/16MiB-1": 16 * MIB - 1, "plus+plus/a+b": 5000, "per%20cent/100%": 70000,
            "blank s/ lead and trail ": 3, "utf8/żółć/日本語.txt": 12345, "utf8/emoji 🐚": 65537,
            "quote\"s/it's & <xml>": 99, "a": 10, "ab/c": 11, "ab-/c": 12, "ab.x": 13,
            "deep/" + "/".join(f"d{i}" for i in range(60)) + "/leaf": 4096}
    long = "long/" + "/".join(["n" * 240] * 4)
    keys[long + "/" + "x" * (1000 - len(long) - 1)] = 777
    while len(keys) < 300:
        number = len(keys)
        size = rng.choice([rng.randrange(1, 1000), rng.randrange(1, 200000),
                           rng.randrange(1, 3 * MIB)])
        keys[f"many/dir {number % 7}/file-{number:04}.dat"] = size
    return keys


def body(key, size):
    return random.Random(hashlib.sha256(key.encode()).digest()).randbytes(size)


def sums_of(keys):
    return {key: (size, hashlib.sha256(body(key, size)).hexdigest())
            for key, size in keys.items()}


def read_everything(cluster, sums, mounts):
    readers = []
    for number, mount in enumerate(mounts):
        names = list(sums)
        random.Random(number).shuffle(names)
        seen = sorted(str(p.relative_to(mount.dir)) for p in mount.dir.rglob("*") if p.is_file())
        assert seen == sorted(sums), f"listing differs: {set(seen) ^ set(sums)}"
        readers.append(reading.Reader(mount.dir, names, sums))
    began = time.monotonic()
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(900)
    faults = [f for r in readers for f in r.faults]
    assert not faults, faults[:5]
    return time.monotonic() - began


def verdict(name, counts, sizes, unique, seconds):
    ratio = sizes.get("GET", 0) / unique
    print(f"{name}: {seconds:.1f} s; GET {counts.get('GET', 0)} with {sizes.get('GET', 0):,} bytes of"
          f" {unique:,} unique: {ratio:.4f}; LIST {counts.get('LIST', 0)}; HEAD"
          f" {counts.get('HEAD', 0)}", flush=True)
    assert 0.9999 < ratio < 1.0005, ratio


def in_cluster(name, cluster, sums, count, reset):
    """`count()` gives (requests by kind, bytes by kind) since `reset()`."""
    unique = sum(size for size, _ in sums.values())
    mounts = [cluster.mount("set") for _ in range(3)]
    seconds = read_everything(cluster, sums, mounts)
    doubtful = {k: v for k, v in cluster.metrics().items() if v and any(
        word in k for word in ("acting", "differing", "skipped", "silent", "retries", "busy"))}
    print(f"{name}: causes of doubled reads: {doubtful or 'none'}", flush=True)
    verdict(name, *count(), unique, seconds)
    reset()
    seconds = read_everything(cluster, sums, [cluster.mount("set")])
    counts, _ = count()
    print(f"{name}: a second pass by a fourth mount, {seconds:.1f} s: GET {counts.get('GET', 0)},"
          f" LIST {counts.get('LIST', 0)}, HEAD {counts.get('HEAD', 0)}", flush=True)
    assert counts.get("GET", 0) == 0


def run_radosgw(directory, keys, sums):
    absent = radosgw.missing()
    if absent:
        print(f"radosgw: skipped, {', '.join(absent)} not installed (./dev setup --peers)")
        return
    (directory / "rgw").mkdir()
    with radosgw.Radosgw(directory / "rgw") as gateway, live.Cluster(directory / "c") as cluster:
        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{gateway.port}",
                              aws_access_key_id=gateway.access_key,
                              aws_secret_access_key=gateway.secret_key, region_name="us-east-1",
                              config=Config(s3={"addressing_style": "path"}))
        client.create_bucket(Bucket="train")
        for key, size in keys.items():
            client.put_object(Bucket="train", Key=key, Body=body(key, size))
        counter = relay.Relay(gateway.port)
        cluster.add_credential("rgw", gateway.access_key, gateway.secret_key)
        cluster.nodes(4)
        cluster.cli("dataset", "create", "set", "s3://train/", "--endpoint",
                    f"http://127.0.0.1:{counter.port}", "--credential", "rgw")
        in_cluster("radosgw", cluster, sums, lambda: (counter.counts, counter.bytes),
                   counter.reset)
        counter.close()


def origin_count(origin):
    kinds = origin.counters()["totals"]["kinds"]
    return ({k: v["requests"] for k, v in kinds.items()}, {k: v["bytes"] for k, v in kinds.items()})


def fill(origin, keys):
    client = origin.client()
    for key, size in keys.items():
        client.put_object(Bucket="data", Key=key, Body=body(key, size))
    origin.reset()


def run_oss(directory, keys, sums):
    with live.Cluster(directory / "oss") as cluster:
        origin = cluster.origin()
        fill(origin, keys)
        cluster.nodes(4)
        cluster.dataset("set", "oss://data/", options=["--region", "cn-test"])
        origin.reset()
        in_cluster("oss", cluster, sums, lambda: origin_count(origin), origin.reset)


def write_tree(root, keys):
    for key, size in keys.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body(key, size))


def run_file(directory, keys, sums):
    root = directory / "tree"
    write_tree(root, keys)
    unique = sum(keys.values())
    with live.Cluster(directory / "file") as cluster:
        cluster.nodes(4, "--allow-root", root)
        cluster.dataset("set", f"file://{root}", endpoint=False)

        def count():
            m = cluster.metrics()
            return ({"GET": int(m['atoll_source_requests_total{kind="get"}'] - base[0])},
                    {"GET": int(m["atoll_source_read_bytes_total"] - base[1])})

        base = [0, 0]

        def reset():
            counts, sizes = count()
            base[0] += counts["GET"]
            base[1] += sizes["GET"]

        in_cluster("file", cluster, sums, count, reset)
    print(f"file: {unique:,} bytes counted by the nodes themselves", flush=True)


def run_private(directory, keys, sums):
    with live.Cluster(directory / "private") as cluster:
        origin = cluster.origin()
        fill(origin, keys)
        mount = cluster.mount("s3://data/", "--endpoint", f"http://{origin.address}", "--memory",
                              "1GiB", private=True, env=cluster.private_env())
        seconds = read_everything(cluster, sums, [mount])
        verdict("private", *origin_count(origin), sum(keys.values()), seconds)


def main():
    keys = shapes()
    sums = sums_of(keys)
    wanted = sys.argv[1:] or ["radosgw", "oss", "file", "private"]
    with tempfile.TemporaryDirectory(prefix="atoll-show2-") as directory:
        for name in wanted:
            globals()[f"run_{name}"](pathlib.Path(directory), keys, sums)
    print("all equal")


if __name__ == "__main__":
    os.umask(0o022)
    main()
