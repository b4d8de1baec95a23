"""docs/posix.md, P50 to P55: what a reader sees when nodes fail. More of it, with several mounts and
the source's side, is in test_failures.py."""

import errno
import os
import random
import signal
import subprocess
import sys

import pytest

import cluster as live
import reading

READER = """import sys
try:
    with open(sys.argv[1], "rb") as file:
        print(len(file.read()))
except OSError as error:
    print("errno", error.errno)
"""


def start(cluster, nodes, *options, count=6, tier="1GiB"):
    cluster.origin("--generate", f"data/set/,count={count},size=300KiB,seed=2",
                   "--generate", "data/set/sub/,count=1,size=300KiB,seed=2")
    cluster.nodes(nodes, tier=tier)
    cluster.dataset("set", "s3://data/set/")
    return cluster.mount("set", *options), reading.truth(cluster.store, "set/")


DIRECT = """
import mmap, os, sys
file = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
os.preadv(file, [mmap.mmap(-1, 1 << 20)], 0)
"""


def direct_reader(path):
    return subprocess.Popen([sys.executable, "-c", DIRECT, path])


def reader(path):
    return subprocess.Popen([sys.executable, "-c", READER, path], stdout=subprocess.PIPE, text=True)


def waits_in_the_kernel(process):
    """It sleeps in a request that the mount has not answered."""
    with open(f"/proc/{process.pid}/wchan") as file:
        where = file.read()
    return any(word in where for word in ("fuse", "request_wait", "folio_wait", "page"))


def test_p50_a_node_that_dies_costs_readers_a_pause_and_no_error(cluster):
    mount, sums = start(cluster, 3, count=60)
    made = reading.Reader(mount.dir, sorted(sums), sums, once=False)
    made.start()
    live.wait_for("some reads", lambda: made.done > 20)
    cluster.busiest().kill()
    done = made.done
    live.wait_for("reads after the death", lambda: made.done > done + 2 * len(sums))
    assert made.stop() == []
    print(f"longest stall {made.longest:.3f} s")
    assert made.longest < 3.0  # without what the machine stood still; 1 s is the promise for p99


@pytest.mark.parametrize("missing", ["00000001", "sub/00000000"], ids=["read", "lookup"])
def test_p51_without_any_node_calls_fail_with_eio_after_timeo(cluster, missing):
    mount, sums = start(cluster, 1, "-o", "timeo=2")
    os.listdir(mount.dir)
    assert reading.digest(mount.dir / "00000000") == sums["00000000"][1]
    with reading.kept(mount.dir / "00000000"):
        cluster.members[0].kill()
        check_eio_and_what_is_kept(mount, sums, missing)


def check_eio_and_what_is_kept(mount, sums, missing):
    clock = reading.Clock()
    with pytest.raises(OSError) as caught:
        clock.wait((mount.dir / missing).read_bytes)
    print(f"failed after {clock.whole:.3f} s")
    assert caught.value.errno == errno.EIO
    # Once timeo, and not once more for the page or the name.
    assert clock.whole > 1.9 and clock.longest < 3.5
    assert reading.digest(mount.dir / "00000000") == sums["00000000"][1]  # what it has is read


def test_p51_a_fault_in_a_mapping_waits_once_for_timeo(cluster):
    mount, sums = start(cluster, 1, "-o", "timeo=2")
    os.listdir(mount.dir)
    cluster.members[0].kill()
    code = "import mmap, sys; f = open(sys.argv[1], 'rb'); " \
           "print(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[0])"
    clock = reading.Clock()
    done = clock.wait(lambda: subprocess.run(
        [sys.executable, "-c", code, mount.dir / sorted(sums)[0]], capture_output=True, timeout=60))
    assert done.returncode == -signal.SIGBUS
    assert clock.whole > 1.9 and clock.longest < 3.9


def test_p51_a_hard_mount_waits_until_a_node_is_back(cluster):
    mount, sums = start(cluster, 1, "-o", "hard")
    names = sorted(sums)
    os.listdir(mount.dir)
    cluster.members[0].kill()
    process = reader(mount.dir / names[0])
    live.wait_for("reader that waits", lambda: waits_in_the_kernel(process))
    cluster.members[0].start()
    out, _ = process.communicate(timeout=live.PATIENCE)
    assert out == f"{300 << 10}\n"


@pytest.mark.parametrize("read", [reader, direct_reader])
def test_p52_a_process_that_waits_can_be_killed(cluster, read):
    mount, sums = start(cluster, 1, "-o", "hard")
    os.listdir(mount.dir)
    cluster.members[0].kill()
    process = read(mount.dir / sorted(sums)[0])
    live.wait_for("reader that waits", lambda: waits_in_the_kernel(process))
    process.kill()
    process.communicate(timeout=live.PATIENCE)
    assert process.returncode == -signal.SIGKILL


def test_p53_root_statfs_and_unmounting_never_wait_while_every_node_is_dead(cluster):
    mount, sums = start(cluster, 2)
    os.listdir(mount.dir)
    for node in cluster.members:
        node.kill()
    process = reader(mount.dir / sorted(sums)[0])
    live.wait_for("reader that waits", lambda: waits_in_the_kernel(process))
    mount.dir.stat()
    os.statvfs(mount.dir)
    assert waits_in_the_kernel(process)  # still: these two did not wait for what it waits for
    mount.signal(signal.SIGTERM)
    assert mount.process.wait(timeout=live.PATIENCE) == 0
    assert not live.is_mounted(mount.dir)
    process.communicate(timeout=live.PATIENCE)


def test_p53_unmounting_by_fusermount_ends_the_process(cluster):
    mount, _ = start(cluster, 1)
    cluster.members[0].kill()
    subprocess.run(["fusermount3", "-u", mount.dir], check=True)
    assert mount.process.wait(timeout=live.PATIENCE) == 0


def segments(cluster):
    return [f for n in range(len(cluster.members))
            for f in (cluster.dir / f"tier{n}").rglob("*") if f.is_file() and
            f.stat().st_size > live.MIB]


def test_p54_bytes_with_a_wrong_checksum_are_never_given_to_a_program(cluster):
    mount, sums = start(cluster, 2, count=40)
    for name, (_, sha) in sums.items():
        assert reading.digest(mount.dir / name) == sha
    total = sum(size for size, _ in sums.values())
    live.wait_for("all blocks on disk", lambda: cluster.metrics()[
        "atoll_disk_written_bytes_total"] >= total)
    mount.close()
    for node in cluster.members:
        node.kill()
    rng, flipped = random.Random(3), 0
    for file in segments(cluster):
        with open(file, "r+b") as segment:
            for _ in range(40):
                at = rng.randrange(file.stat().st_size)
                segment.seek(at)
                byte = segment.read(1)
                if byte:
                    segment.seek(at)
                    segment.write(bytes([byte[0] ^ 0x10]))
                    flipped += 1
    assert flipped > 0, "nothing was flipped: the test shows nothing"
    for node in cluster.members:
        node.start()
    cluster.wait_agreed()
    cluster.store.reset()
    again = cluster.mount("set")
    for name, (_, sha) in sums.items():
        assert reading.digest(again.dir / name) == sha
    gets = reading.data_gets(cluster.store)[0]
    assert gets > 0, "no flipped byte was in a block: the test shows nothing"
    assert gets < len(sums), "blocks that were whole were read from the source again"


@pytest.mark.parametrize("used", [True, False], ids=["listed", "only looked at"])
def test_p55_a_killed_mount_leaves_enotconn_and_mounting_again_repairs_it(cluster, used):
    mount, sums = start(cluster, 1)
    os.listdir(mount.dir) if used else mount.dir.stat()  # the kernel keeps the root's attributes
    mount.kill()
    if used:
        with pytest.raises(OSError) as caught:
            os.listdir(mount.dir)
        assert caught.value.errno == errno.ENOTCONN
    link = cluster.dir / "link"
    link.symlink_to(mount.dir)
    cluster.cli("mount", "set", link, "--seeds", cluster.seeds, "--client-file",
                cluster.dir / "client.key", admin=False)
    try:
        name = sorted(sums)[0]
        assert reading.digest(mount.dir / name) == sums[name][1]
    finally:
        subprocess.run(["fusermount3", "-u", mount.dir], check=True)
    with open("/proc/self/mountinfo") as table:
        assert str(mount.dir) not in table.read()
