"""Objects that change at the source: each open sees one version, whole, or fails (docs/posix.md,
P40 to P45)."""

import errno
import mmap
import os
import random
import subprocess
import sys

import pytest

import cluster as live
import reading

SIZE = 12 * live.MIB + 777  # four blocks, more than one read-ahead


def version(key, number):
    return random.Random(f"{key} {number}").randbytes(SIZE)


def put(cluster, key, number):
    cluster.store.client().put_object(Bucket="data", Key=f"v/{key}", Body=version(key, number))


def start(cluster, keys, *policy):
    cluster.origin()
    for key in keys:
        put(cluster, key, 1)
    cluster.nodes(2, tier=None)
    cluster.dataset("v", "s3://data/v/", options=policy)
    return cluster.mount("v")


def prepare(cluster):
    """A dataset that is believed until a refresh (`v`), and one that is believed for a second."""
    cluster.lasting = start(cluster, ["kept", "lost", "mapped", "cached", "two"])
    cluster.dataset("quick", "s3://data/v/", options=["--metadata", "ttl=1"])
    cluster.quick = cluster.mount("quick")


def see_new(path, body):
    """Until an open of the path shows this version, and never anything but a whole one."""
    def look():
        try:
            return path.read_bytes() == body
        except OSError as error:
            assert error.errno == errno.ESTALE, error
            return False
    live.wait_for("new version", look, every=0.2)


def test_p40_an_open_file_shows_one_version_through_descriptors_and_mappings(shared):
    path, old = shared.quick.dir / "kept", version("kept", 1)
    with open(path, "rb", buffering=0) as one, open(path, "rb", buffering=0) as two, \
            mmap.mmap(one.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        assert path.read_bytes() == old  # every block is in the cluster now
        put(shared, "kept", 2)
        live.drop_page_cache(path)
        assert one.read(5 << 20) == old[:5 << 20]
        see_new(path, version("kept", 2))
        live.drop_page_cache(path)
        assert os.pread(two.fileno(), SIZE, 0) == old
        assert mapping[:] == old
        assert one.read(SIZE) == old[5 << 20:]


def test_p41_what_is_nowhere_any_more_is_estale_and_never_a_mix(shared):
    path, old = shared.lasting.dir / "lost", version("lost", 1)
    with open(path, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 100, 0) == old[:100]
        put(shared, "lost", 2)
        got, failed = bytearray(SIZE), 0
        for at in range(0, SIZE, 1 << 18):
            try:
                piece = os.pread(file.fileno(), 1 << 18, at)
                assert piece == old[at:at + (1 << 18)], f"wrong bytes at {at}"
                got[at:at + len(piece)] = piece
            except OSError as error:
                assert error.errno == errno.ESTALE
                failed += 1
        assert failed > 0, "nothing was lost: the test shows nothing"
    see_new(path, version("lost", 2))  # without a refresh: the failed read told


MAPPER = """import mmap, sys
with open(sys.argv[1], "rb") as file:
    mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    mapping[0]
    print("mapped", flush=True)
    sys.stdin.readline()
    for at in range(0, len(mapping), 4096):
        mapping[at]
    print("read it all", flush=True)
"""


def test_p41_a_mapping_of_what_is_nowhere_any_more_gets_sigbus(shared):
    path = shared.lasting.dir / "mapped"
    with subprocess.Popen([sys.executable, "-c", MAPPER, path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout.readline() == "mapped\n"
        put(shared, "mapped", 2)
        out, _ = reader.communicate("go\n", timeout=live.PATIENCE)
        assert out == "" and reader.returncode == -7  # SIGBUS


def test_p42_an_open_after_the_change_was_noticed_sees_the_new_version(shared):
    path = shared.quick.dir / "two"
    assert path.read_bytes() == version("two", 1)
    put(shared, "two", 2)
    see_new(path, version("two", 2))


def test_p43_two_opens_of_one_path_may_show_two_versions_with_one_inode_number(shared):
    path = shared.quick.dir / "two"
    before = path.stat()
    with open(path, "rb", buffering=0) as old:
        first = os.pread(old.fileno(), SIZE, 0)
        put(shared, "two", 3)
        see_new(path, version("two", 3))
        assert path.stat().st_ino == before.st_ino
        assert first == version("two", 2) == os.pread(old.fileno(), SIZE, 0)


def test_p44_a_refresh_is_noticed_by_every_mount_without_a_remount(shared):
    others = [shared.mount("v"), shared.mount("v")]
    paths = [m.dir / "cached" for m in (shared.lasting, *others)]
    assert all(p.read_bytes() == version("cached", 1) for p in paths)
    put(shared, "cached", 2)
    assert all(p.read_bytes() == version("cached", 1) for p in paths)  # believed until a refresh
    shared.cli("dataset", "refresh", "v")
    for path in paths:
        see_new(path, version("cached", 2))
    for mount in others:
        mount.close()


def test_p45_the_page_cache_is_kept_from_one_open_to_the_next(shared):
    path = shared.quick.dir / "kept"
    want = reading.digest(path)
    with reading.kept(path):
        served = shared.metrics()["atoll_served_bytes_total"]
        for _ in range(3):
            assert reading.digest(path) == want
        assert shared.metrics()["atoll_served_bytes_total"] == served


def test_a_listing_with_a_time_to_live_is_renewed_by_itself(cluster):
    mount = start(cluster, ["file"], "--metadata", "ttl=1")
    assert (mount.dir / "file").read_bytes() == version("file", 1)
    put(cluster, "file", 2)
    put(cluster, "other", 1)
    see_new(mount.dir / "file", version("file", 2))
    live.wait_for("new name", lambda: sorted(os.listdir(mount.dir)) == ["file", "other"])
    cluster.store.client().delete_object(Bucket="data", Key="v/other")
    live.wait_for("name that is gone", lambda: os.listdir(mount.dir) == ["file"])


def test_a_listing_that_is_never_believed_shows_every_change_at_once(cluster):
    mount = start(cluster, ["file"], "--metadata", "always")
    for number in range(2, 6):
        put(cluster, "file", number)
        assert (mount.dir / "file").read_bytes() == version("file", number)


def test_readers_of_a_file_that_is_overwritten_all_the_time_never_see_a_mix(cluster):
    mount = start(cluster, ["file"], "--metadata", "ttl=1")
    whole, seen = {version("file", 1)}, set()

    def overwrite_and_read():
        number = len(whole) + 1
        whole.add(version("file", number))
        put(cluster, "file", number)
        for _ in range(6):
            try:
                body = (mount.dir / "file").read_bytes()
            except OSError as error:
                assert error.errno == errno.ESTALE
                continue
            assert body in whole, "bytes of two versions"
            seen.add(body)
        return len(whole) > 7 and len(seen) > 2
    live.wait_for("third version", overwrite_and_read, every=0)


def test_a_refresh_keeps_what_did_not_change(shared):
    put(shared, "mapped", 3)
    shared.cli("dataset", "refresh", "v")
    mount = shared.mount("v")
    path = mount.dir / "mapped"
    see_new(path, version("mapped", 3))
    gets = reading.data_gets(shared.store)
    shared.cli("dataset", "refresh", "v")
    again = shared.mount("v")
    assert (again.dir / "mapped").read_bytes() == version("mapped", 3)
    assert reading.data_gets(shared.store) == gets
    with pytest.raises(FileNotFoundError):
        (again.dir / "absent").stat()
    mount.close()
    again.close()
