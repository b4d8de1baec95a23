"""Ways to mount: from the background, from mount(8) and fstab, with a descriptor of somebody else."""

import os
import subprocess

import pytest

import cluster as live
import reading

FILES = 5


def prepare(cluster):
    cluster.origin("--generate", f"data/set/,count={FILES},size=100KiB,seed=1")
    cluster.nodes(2, tier=None)
    cluster.dataset("set", "s3://data/set/")
    cluster.sums = reading.truth(cluster.store, "set/")


@pytest.fixture
def point(workdir):
    """A directory to mount at; whatever is mounted there is taken off."""
    (workdir / "mnt").mkdir()
    yield workdir / "mnt"
    live.take_off(workdir / "mnt")


def mounted_as(directory):
    """(type, name, options of the file system) in the kernel's table."""
    with open("/proc/self/mountinfo") as table:
        rows = [line.split() for line in table]
    found = [row for row in rows if row[4] == str(directory)]
    assert len(found) == 1, found
    return found[0][-3], found[0][-2], found[0][5].split(",") + found[0][-1].split(",")


def check_files(shared, directory):
    for name, (_, sha) in shared.sums.items():
        assert reading.digest(directory / name) == sha


def unmount(directory):
    subprocess.run(["fusermount3", "-u", directory], check=True, timeout=20)


def test_a_mount_in_the_background_reads_its_file_of_seeds_from_where_it_was_named(
        shared, point, workdir):
    (workdir / "seeds").write_text("127.0.0.1:1\n" + shared.seeds + "\n")
    done = subprocess.run([live.program("atoll"), "mount", "set", "mnt", "--seeds", "@seeds",
                           "--client-file", shared.dir / "client.key"], cwd=workdir,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    check_files(shared, point)
    assert mounted_as(point)[0] == "fuse.atoll"
    unmount(point)
    assert not live.is_mounted(point)
