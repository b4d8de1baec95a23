"""Credential files come, change and go while nodes run and mounts read (docs/sources.md)."""

import json
import os
import signal

import cluster as live
import reading

COUNT = 240


def keys_of(cluster, *pairs):
    """From now on the store accepts these keys and no others."""
    (cluster.dir / "origin" / "keys").write_text("".join(f"{a}:{s}\n" for a, s in pairs))
    cluster.store.signal(signal.SIGHUP)


def write_in_place(cluster, name, access_key, secret_key):
    """As an editor or a script does it: emptied, then written in two pieces."""
    text = json.dumps({"access_key_id": access_key, "access_key_secret": secret_key})
    with open(cluster.credentials / f"{name}.json", "w") as file:
        file.write(text[:20])
        file.flush()
        file.write(text[20:])


def move_into_place(cluster, name, access_key, secret_key):
    cluster.add_credential(".next", access_key, secret_key)
    os.rename(cluster.credentials / ".next.json", cluster.credentials / f"{name}.json")


def told(node):
    """The names of credentials that each member is known to have, as this node knows it."""
    return {m["name"]: m["credentials"] for m in node.json("/api/v1/nodes")["nodes"]}


def start(cluster, count=COUNT):
    origin = cluster.origin("--generate", f"data/set/,count={count},size=100KiB,seed=1")
    cluster.nodes(2, tier=None)
    return origin, reading.truth(origin, "set/")


def logged(cluster, msg):
    return sum(line.count(f"msg={msg} ") for n in cluster.members
               for line in n.log.read_text().splitlines())


def test_a_credential_that_is_added_counts_without_a_restart_and_is_told(cluster):
    _, sums = start(cluster, 4)
    cluster.add_credential("late", live.ACCESS_KEY, live.SECRET_KEY)
    live.wait_for("name at every node", lambda: all(
        told(n) == {"n0": "late,test", "n1": "late,test"} for n in cluster.members))
    cluster.cli("dataset", "create", "set", "s3://data/set/", "--endpoint",
                f"http://{cluster.store.address}", "--credential", "late")
    mount = cluster.mount("set")
    assert all(reading.digest(mount.dir / n) == sha for n, (_, sha) in sums.items())


def test_secrets_are_replaced_in_place_while_mounts_read_and_nobody_sees_it(cluster):
    origin, sums = start(cluster)
    cluster.dataset("set", "s3://data/set/")
    mount = cluster.mount("set")
    origin.faults({"action": "latency", "ms": 40, "probability": 1.0, "kind": "GET"})
    reader = reading.Reader(mount.dir, sorted(sums), sums)
    reader.start()
    for number in range(6):
        live.wait_for("reads", lambda: reader.done > COUNT * (number + 1) // 8, 60, 0.01)
        write = write_in_place if number % 2 == 0 else move_into_place
        write(cluster, "test", f"key{number}", f"secret{number}")
        keys_of(cluster, (f"key{number}", f"secret{number}"))  # the old one is void at once
    reader.join(120)
    assert not reader.is_alive() and reader.faults == []
    assert origin.counters()["totals"]["kinds"]["GET"]["requests"] >= COUNT
    assert logged(cluster, "credential.broken") == 0


def test_a_broken_credential_file_is_told_once_and_the_old_content_goes_on(cluster):
    _, sums = start(cluster)
    cluster.dataset("set", "s3://data/set/")
    mount = cluster.mount("set")
    path = cluster.credentials / "test.json"
    good = path.read_text()
    path.write_text(good[:-2])
    live.wait_for("line in the log", lambda: logged(cluster, "credential.broken") == 2)
    names = sorted(sums)
    assert all(reading.digest(mount.dir / n) == sums[n][1] for n in names[:COUNT // 2])
    done = cluster.cli("status", "--json", check=False)
    status = json.loads(done.stdout)
    assert done.returncode == 1 and status["verdict"] == "DEGRADED"
    assert {r["node"] for r in status["reasons"]} == {"n0", "n1"}
    assert all("credential" in r["text"] for r in status["reasons"])
    assert cluster.metrics()["atoll_credential_files_broken"] == 2
    path.write_text(good)
    live.wait_for("end of the trouble", lambda: cluster.cli(
        "status", check=False).returncode == 0)
    assert all(reading.digest(mount.dir / n) == sums[n][1] for n in names[COUNT // 2:])
    assert logged(cluster, "credential.broken") == 2


def test_a_removed_credential_is_not_used_and_counts_again_when_it_is_back(cluster):
    _, sums = start(cluster)
    cluster.dataset("set", "s3://data/set/")
    mount = cluster.mount("set")
    names = sorted(sums)
    assert reading.digest(mount.dir / names[0]) == sums[names[0]][1]
    os.rename(cluster.credentials / "test.json", cluster.credentials / "away")
    live.wait_for("loss at every node", lambda: all(
        told(n) == {"n0": "", "n1": ""} for n in cluster.members))
    try:
        reading.digest(mount.dir / names[COUNT // 2])
        assert False, "read without a credential"
    except PermissionError:
        pass
    os.rename(cluster.credentials / "away", cluster.credentials / "test.json")
    live.wait_for("return at every node", lambda: all(
        told(n) == {"n0": "test", "n1": "test"} for n in cluster.members))
    assert all(reading.digest(mount.dir / n) == sums[n][1] for n in names)
