"""Hosts that are not what they were: a wrong clock, a lost disk, a copy of another host."""

import contextlib
import json
import shutil
import struct
import subprocess

import pytest

import cluster as live
import reading
from test_bad_input import REFUSED, USAGE
from test_failures import finish, half_way, readers, start

HOUR = 3600
NO_COPIES = ("--hand-on-above", "1TiB")  # a block is with its owner and nowhere else
AHEAD = "atoll_catalog_ahead_total"


class Clock:
    """The real-time clock of nodes that are started with its prefix, while they run."""

    def __init__(self, cluster):
        self.file = cluster.dir / "clock"
        self.prefix = ["env", f"LD_PRELOAD={live.program('atoll-test-clock.so')}",
                       f"ATOLL_TEST_CLOCK={self.file}", "ASAN_OPTIONS=verify_asan_link_order=0"]
        self.move(0)

    def move(self, seconds):
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("q", seconds))


def id_of(cluster, node):
    return next(n["id"] for n in node.json("/api/v1/nodes")["nodes"]
                if n["name"] == f"n{node.index}" and n["state"] == "owning")


def read_all(cluster, origin, prefix, mount):
    sums = reading.truth(origin, prefix)
    reader = reading.Reader(mount.dir, sorted(sums), sums)
    reader.start()
    return finish([reader])


def test_a_clock_that_is_set_back_an_hour(cluster):
    clock = Clock(cluster)
    origin = cluster.origin("--generate", "data/set/,count=300,size=16KiB-400KiB,seed=3",
                            "--generate", "data/there/,count=60,size=16KiB-400KiB,seed=4",
                            "--generate", "data/here/,count=60,size=16KiB-400KiB,seed=5")
    cluster.nodes(3)
    cluster.node_prefix = clock.prefix
    wrong = cluster.nodes(1)[-1]
    cluster.dataset("set", "s3://data/set/")
    sums = reading.truth(origin, "set/")
    for _ in range(3):
        cluster.mount("set")
    origin.reset()
    made = readers(cluster, sums)
    half_way(made, sums)
    clock.move(-HOUR)
    assert finish(made) == []
    once = sum(size for size, _ in sums.values())
    # The source first refuses signatures of an hour ago: a few hundred bytes each.
    assert once <= reading.data_gets(origin)[1] < once * 1.001
    assert wrong.stop() == 0
    wrong.start()
    cluster.wait_agreed()
    before = wrong.metrics()[AHEAD]
    cluster.dataset("there", "s3://data/there/")
    live.wait_for("refused record", lambda: wrong.metrics()[AHEAD] > before)
    assert "catalog.record.ahead_of_our_clock dataset=\"there\"" in wrong.log.read_text()
    assert sum(n.metrics()[AHEAD] for n in cluster.members if n is not wrong) == 0
    assert read_all(cluster, origin, "there/", cluster.mount("there")) == []
    cluster.cli("dataset", "create", "here", "s3://data/here/", "--endpoint",
                f"http://{origin.address}", "--credential", "test", "--admin", wrong.admin, admin=False)
    assert read_all(cluster, origin, "here/", cluster.mount("here")) == []
    clock.move(0)
    live.wait_for("dataset everywhere", lambda: all(
        len(n.json("/api/v1/datasets")["datasets"]) == 3 for n in cluster.members))


def killed(cluster):
    """A node that has read much is no more; what only it had, and who it was."""
    origin, sums = start(cluster, mounts=1, node_options=NO_COPIES)
    assert finish(readers(cluster, sums)) == []
    victim = cluster.busiest()
    lost, identity = victim.source_bytes(), id_of(cluster, victim)
    victim.kill()
    return origin, victim, lost, identity


def read_anew(cluster, origin):
    """By a new mount; bytes of the source that it took."""
    before = reading.data_gets(origin)[1]
    assert read_all(cluster, origin, "set/", cluster.mount("set")) == []
    return reading.data_gets(origin)[1] - before


def test_a_node_whose_disk_was_replaced_has_lost_just_that(cluster):
    origin, victim, lost, identity = killed(cluster)
    tier = cluster.dir / f"tier{victim.index}"
    shutil.rmtree(tier)
    tier.mkdir()
    victim.start()
    assert victim.process.wait(live.PATIENCE) == USAGE
    assert "its marker is gone: is the disk mounted?" in victim.log.read_text()
    (victim.dir / "data" / "tiers.json").unlink()
    victim.start()
    live.wait_for("node with a new disk", victim.ready)
    cluster.wait_agreed()
    assert id_of(cluster, victim) == identity
    assert read_anew(cluster, origin) == lost


def test_a_node_that_lost_all_it_had_is_another_node(cluster):
    origin, victim, lost, identity = killed(cluster)
    for lost_directory in (cluster.dir / f"tier{victim.index}", victim.dir / "data"):
        shutil.rmtree(lost_directory)
        lost_directory.mkdir()
    victim.start()
    other = next(n for n in cluster.members if n is not victim)
    live.wait_for("its death", lambda: {
        n["id"]: n["state"] for n in other.json("/api/v1/nodes")["nodes"]
    }[identity] == "dead")
    cluster.wait_agreed()
    assert read_anew(cluster, origin) == lost
    status = json.loads(cluster.cli("status", "--json", "--admin", other.admin, admin=False))
    assert (status["verdict"], status["reasons"]) == ("OK", [])
    assert (status["nodes"]["dead"], status["nodes"]["replaced"]) == (0, 1)
    assert "dead, replaced" in cluster.cli("nodes", "--admin", other.admin, admin=False)


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path],
                          capture_output=True)
    if done.returncode != 0:
        pytest.skip("no tmpfs could be mounted: run the live tests as root, where mount(8) is allowed")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(file):
    with open(file, "wb", buffering=0) as out, contextlib.suppress(OSError):
        while out.write(bytes(1 << 16)):
            pass


def create(cluster, node, name, check=True):
    return cluster.cli("dataset", "create", name, "s3://data/", "--endpoint",
                       f"http://{cluster.store.address}", "--credential", "test", "--admin",
                       node.admin, admin=False, check=check)


def create_until_refused(cluster, node):
    """Records of datasets, until one wants a page that the file does not have yet."""
    for number in range(200):
        done = create(cluster, node, f"d{number}", check=False)
        if done.returncode != 0:
            return done
    raise AssertionError("a full disk took 200 datasets")


def test_a_full_disk_of_a_data_directory_is_told_until_it_has_room(cluster):
    with small_disk(cluster.dir / "node0" / "data", "64m") as data:
        cluster.origin("--generate", "data/set/,count=1,size=1KiB,seed=3")
        full, other = cluster.nodes(2, tier=None)
        fill(data / "filler")
        refused = create_until_refused(cluster, full)
        assert f"there is no room left below {data}" in refused.stderr, refused.stderr
        said = cluster.cli("status", "--admin", full.admin, admin=False, check=False)
        assert said.returncode == 1 and "the disk of --data-dir is full: n0" in said.stdout
        assert f"make room below {data}" in said.stdout
        said = cluster.cli("status", "--admin", other.admin, admin=False, check=False)
        assert said.returncode == 1 and "the disk of --data-dir is full: n0" in said.stdout
        create(cluster, other, "elsewhere")
        (data / "filler").unlink()
        live.wait_for("status that is well", lambda: cluster.cli(
            "status", "--admin", other.admin, admin=False, check=False).returncode == 0)
        create(cluster, full, "again")
        assert full.stop() == 0


def test_a_node_whose_seeds_are_silent_is_never_said_to_be_well(cluster):
    cluster.seeds = f"127.0.0.1:{live.free_ports(2)}"
    node = cluster.node("--memory", "256MiB")
    said = []

    def is_alone():
        done = cluster.cli("status", "--admin", node.admin, admin=False, check=False)
        assert done.returncode != 0, done.stdout
        said.append(done.stdout)
        return "no seed answers" in done.stdout

    live.wait_for("word that no seed answers", is_alone)
    assert any("this one waits for its seeds to answer" in text for text in said), said
    live.wait_for("readiness all the same", node.ready)
    assert is_alone()


def is_well(cluster, node):
    return cluster.cli("status", "--admin", node.admin, admin=False, check=False).returncode == 0


def says_it_is_full(cluster, node):
    said = cluster.cli("status", "--admin", node.admin, admin=False, check=False)
    return said.returncode == 1 and "the disk of --data-dir is full: n0" in said.stdout


def test_keys_and_a_weight_that_find_no_room_are_told_as_records_are(cluster):
    with small_disk(cluster.dir / "node0" / "data", "64m") as data:
        full, other = cluster.nodes(2, tier=None)
        fill(data / "filler")
        asked = cluster.cli("key", "rotate", "--ttl", "1m", "--admin", other.admin, admin=False,
                            check=False)
        assert "not seen on two nodes' disks" in asked.stderr, asked.stderr
        live.wait_for("keys without room", lambda: says_it_is_full(cluster, other))
        assert "keyring.failed" in full.log.read_text()
        (data / "filler").unlink()
        live.wait_for("status that is well", lambda: is_well(cluster, other))
        fill(data / "filler")
        weight = ("node", "weight", "n0", "7", "--admin", full.admin)
        refused = cluster.cli(*weight, admin=False, check=False)
        assert "the weight could not be written to --data-dir" in refused.stderr, refused.stderr
        assert says_it_is_full(cluster, full)
        (data / "filler").unlink()
        cluster.cli(*weight, admin=False)
        live.wait_for("status that is well again", lambda: is_well(cluster, full))


def test_a_copy_of_another_host_is_refused(cluster):
    origin, sums = start(cluster, mounts=1)
    original = cluster.members[1]
    assert original.stop() == 0
    shutil.copytree(original.dir / "data", cluster.dir / "node4" / "data")
    original.start()
    cluster.wait_agreed()
    ring = original.json("/api/v1/ring")["rings"][0]["digest"]
    copy = cluster.node("--memory", "256MiB")
    assert copy.process.wait(live.PATIENCE) == REFUSED
    assert "another process runs with this node's identity" in copy.log.read_text()
    assert finish(readers(cluster, sums)) == []
    cluster.wait_agreed()
    assert original.json("/api/v1/ring")["rings"][0]["digest"] == ring
