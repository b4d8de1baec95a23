"""docs/posix.md line by line: reading, names, attributes, changing. Versions are in
test_versions.py, failures in test_posix_failures.py; each test's name begins with the line's id."""

import concurrent.futures
import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import pathlib
import random
import re
import signal
import stat
import struct
import subprocess
import sys
import threading

import pytest

import cluster as live
import generated
import reading

BIG = 9 * live.MIB + 12345  # three blocks, the last one odd
SCRIPT = b"#!/bin/sh\necho run from a mount\n"
LONG_NAME = "n" * 255
DEEP = "/".join(["d" * 200] * 5 + ["e" * 10, "leaf"])
libc = ctypes.CDLL(None, use_errno=True)
libc.fdopendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long


def prepare(cluster):
    origin = cluster.origin("--generate", f"data/set/,count=40,size={BIG},seed=5",
                            "--generate", "data/wide/,count=2500,size=100,seed=6")
    client = origin.client()
    for key, body in {"set/empty": b"", "set/run.sh": SCRIPT, "set/tree/a/b/c.txt": b"deep",
                      f"set/{LONG_NAME}": b"long", f"set/{DEEP}": b"path", "set/marker/": b"",
                      "set/both": b"an object", "set/both/below": b"below",
                      "odd/plain": b"plain", "odd/x//y": b"1", "odd/./z": b"2", "odd/../w": b"3",
                      "odd/" + "m" * 256: b"4", "odd/żółć 日本": b"utf8"}.items():
        client.put_object(Bucket="data", Key=key, Body=body)
    cluster.source = cluster.dir / "source"
    cluster.source.mkdir()
    (cluster.source / os.fsdecode(b"latin-\xe9\xff.txt")).write_bytes(b"not utf-8")
    cluster.nodes(2, "--allow-root", cluster.source)
    cluster.dataset("set", "s3://data/set/")
    cluster.dataset("wide", "s3://data/wide/")
    cluster.dataset("odd", "s3://data/odd/")
    cluster.cli("dataset", "create", "local", f"file://{cluster.source}")
    cluster.first = cluster.mount("set", "-o", "file-mode=0555,dir-mode=0711,uid=4321,gid=1234")
    cluster.second = cluster.mount("set")
    cluster.big = generated.data(5, "set/" + generated.key("", 0), 0, BIG)
    assert len(os.listdir(cluster.first.dir)) == 47


@pytest.fixture
def root(shared):
    return shared.first.dir


@pytest.fixture
def big(root):
    return root / "00000000"


@contextlib.contextmanager
def nobody_asked(cluster):
    """In this block nothing may wait for a node: all are frozen, and too long a wait is seen."""
    for node in cluster.members:
        node.signal(signal.SIGSTOP)
    late = []

    def thaw():
        late.append(True)
        wake()

    def wake():
        for node in cluster.members:
            node.signal(signal.SIGCONT)

    timer = threading.Timer(30, thaw)
    timer.start()
    try:
        yield
        assert not late, "a node was waited for"
    finally:
        timer.cancel()
        wake()
        cluster.wait_agreed()


def served(cluster):
    return cluster.metrics()["atoll_served_bytes_total"]


# ---- reading -------------------------------------------------------------------------------------


def test_p01_read_pread_and_lseek_give_the_bytes_at_any_offset_and_size(shared, big):
    rng = random.Random(1)
    with open(big, "rb", buffering=0) as file:
        for _ in range(60):
            at, size = rng.randrange(BIG), rng.choice([1, 511, 4097, 65536, 3 << 20])
            assert os.pread(file.fileno(), size, at) == shared.big[at:at + size]
            assert file.seek(at) == at and file.read(10) == shared.big[at:at + 10]
        assert os.lseek(file.fileno(), -5, os.SEEK_END) == BIG - 5
        assert file.read(100) == shared.big[-5:]


@pytest.mark.parametrize("flags", [mmap.MAP_PRIVATE, mmap.MAP_SHARED], ids=["private", "shared"])
def test_p01_mmap_gives_the_bytes(shared, root, flags):
    with open(root / "00000001", "rb") as file, mmap.mmap(file.fileno(), 0, flags=flags,
                                                          prot=mmap.PROT_READ) as mapping:
        want = generated.data(5, "set/00000001", 0, BIG)
        assert len(mapping) == BIG and mapping[:] == want


def test_p01_sendfile_gives_the_bytes(shared, big, workdir):
    with open(big, "rb") as file, open(workdir / "copy", "wb") as copy:
        at = 0
        while sent := os.sendfile(copy.fileno(), file.fileno(), at, BIG):
            at += sent
    assert (workdir / "copy").read_bytes() == shared.big


def test_p01_o_direct_gives_the_bytes(shared, big):
    buffer = mmap.mmap(-1, 2 << 20)
    fd = os.open(big, os.O_RDONLY | os.O_DIRECT)
    try:
        for at in (0, 4096, 8 << 20):
            got = os.preadv(fd, [buffer], at)
            assert buffer[:got] == shared.big[at:at + (2 << 20)]
    finally:
        os.close(fd)


def test_p02_reads_at_the_end_give_what_there_is_and_ask_nobody(shared, big):
    with open(big, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 100, BIG - 10) == shared.big[-10:]
        with nobody_asked(shared):
            assert os.pread(file.fileno(), 100, BIG) == b""
            assert os.pread(file.fileno(), 100, BIG + (1 << 40)) == b""


def test_p03_an_empty_object_is_an_empty_file_and_reading_it_asks_nobody(shared, root):
    assert (root / "empty").stat().st_size == 0
    with nobody_asked(shared):
        assert (root / "empty").read_bytes() == b""


def test_p04_programs_run_from_a_mount_whose_files_have_an_execute_bit(shared, root):
    done = subprocess.run([root / "run.sh"], capture_output=True)
    assert done.stdout == b"run from a mount\n"
    with pytest.raises(PermissionError):
        subprocess.run([shared.second.dir / "run.sh"], capture_output=True)


LOCKER = """import fcntl, sys
file = open(sys.argv[1], "rb")
try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("got it")
except BlockingIOError:
    print("taken")
try:
    fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 10, 0)
    print("shared")
except BlockingIOError:
    print("taken")
"""


def test_p05_locks_work_between_processes_of_one_machine(root):
    def other():
        return subprocess.run([sys.executable, "-c", LOCKER, root / "run.sh"], capture_output=True,
                              text=True, check=True).stdout.split("\n")[:2]

    with open(root / "run.sh", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_SH, 10, 0)
        assert other() == ["taken", "shared"]
        fcntl.flock(file, fcntl.LOCK_UN)
        assert other() == ["got it", "shared"]


def test_p06_many_readers_of_one_file_share_what_is_fetched(shared, root):
    before, path = served(shared), root / "00000007"
    want = generated.data(5, "set/00000007", 0, BIG)

    def read(seed):
        rng = random.Random(seed)
        with open(path, "rb", buffering=0) as file:
            for at in [rng.randrange(BIG) for _ in range(30)] + list(range(0, BIG, 1 << 20)):
                if os.pread(file.fileno(), 1 << 20, at) != want[at:at + (1 << 20)]:
                    return False
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))
    assert served(shared) - before <= BIG


# ---- names and directories -----------------------------------------------------------------------


def test_p10_names_of_255_bytes_and_paths_of_a_whole_key_are_shown(root):
    assert (root / LONG_NAME).read_bytes() == b"long"
    assert len(f"set/{DEEP}") == 1024 and (root / DEEP).read_bytes() == b"path"
    with pytest.raises(OSError) as caught:
        (root / (LONG_NAME + "n")).stat()
    assert caught.value.errno == errno.ENAMETOOLONG


def test_p10_names_need_not_be_utf8(shared):
    mount = shared.mount("local")
    names = os.listdir(os.fsencode(mount.dir))
    assert names == [b"latin-\xe9\xff.txt"]
    assert pathlib.Path(os.fsdecode(os.path.join(os.fsencode(mount.dir), names[0]))
                        ).read_bytes() == b"not utf-8"
    mount.close()


def test_p11_keys_that_no_name_can_show_are_hidden_and_counted(shared):
    mount = shared.mount("odd")
    assert sorted(os.listdir(mount.dir)) == ["plain", "x", "żółć 日本"]
    assert os.listdir(mount.dir / "x") == []
    assert (mount.dir / "plain").read_bytes() == b"plain"
    mount.close()
    assert shared.members[0].json("/api/v1/status")["hidden_keys"] == 4
    assert "4 keys of the source that no file name can show" in shared.cli("status")


def test_p12_an_object_and_objects_below_it_are_the_directory(root):
    assert (root / "both").is_dir() and os.listdir(root / "both") == ["below"]


def test_p13_markers_make_empty_directories_and_others_need_none(root):
    assert os.listdir(root / "marker") == []
    assert os.listdir(root / "tree") == ["a"] and os.listdir(root / "tree" / "a" / "b") == ["c.txt"]


def raw_entries(path, size=32768):
    """(inode, type, name) as getdents64 gives them."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    buffer, found = ctypes.create_string_buffer(size), []
    try:
        while (got := libc.syscall(217, fd, buffer, size)) > 0:
            at = 0
            while at < got:
                inode, _, length, kind = struct.unpack_from("<QqHB", buffer, at)
                name = buffer.raw[at + 19:at + length].split(b"\0")[0]
                found.append((inode, kind, name))
                at += length
        assert got == 0
    finally:
        os.close(fd)
    return found


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of getdents64 is x86-64's")
def test_p14_a_listing_has_dots_first_and_then_every_name_once_in_byte_order(root):
    entries = raw_entries(root)
    names = [name for _, _, name in entries]
    assert names[:2] == [b".", b".."] and names[2:] == sorted(set(names[2:])) and len(names) == 49
    for inode, kind, name in entries[2:]:
        found = os.lstat(os.path.join(os.fsencode(root), name))
        assert inode == found.st_ino and kind == (4 if stat.S_ISDIR(found.st_mode) else 8), name


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("length", ctypes.c_ushort),
                ("kind", ctypes.c_ubyte), ("name", ctypes.c_char * 256)]


class Stream:
    """opendir of libc, with telldir and seekdir."""

    def __init__(self, path):
        self.at = ctypes.c_void_p(libc.fdopendir(os.open(path, os.O_RDONLY | os.O_DIRECTORY)))

    def read(self, count=1 << 30):
        names = []
        while len(names) < count:
            entry = libc.readdir(self.at)
            if not entry:
                break
            names.append(ctypes.cast(entry, ctypes.POINTER(Dirent)).contents.name)
        return names

    def tell(self):
        return libc.telldir(self.at)

    def seek(self, where):
        libc.seekdir(self.at, ctypes.c_long(where))

    def close(self):
        libc.closedir(self.at)


def test_p15_an_open_directory_keeps_the_listing_it_began_with(shared):
    mount = shared.mount("wide")
    stream = Stream(mount.dir)
    names = stream.read(1200)
    place = stream.tell()
    shared.store.client().put_object(Bucket="data", Key="wide/00000000-new", Body=b"new")
    shared.store.client().delete_object(Bucket="data", Key="wide/00000000-new")
    shared.store.client().put_object(Bucket="data", Key="wide/zzz", Body=b"new")
    shared.cli("dataset", "refresh", "wide")
    newer = shared.mount("wide")
    assert "zzz" in os.listdir(newer.dir)
    rest = stream.read()
    assert names[:2] == [b".", b".."] and len(names) + len(rest) == 2502
    stream.seek(place)
    assert stream.read(300) == rest[:300]
    stream.close()
    newer.close()
    mount.close()


def test_p16_a_name_that_does_not_exist_is_answered_without_asking(shared, root):
    os.listdir(root)
    with nobody_asked(shared), pytest.raises(FileNotFoundError):
        (root / "absent").stat()


def test_p17_rows_appear_at_their_paths_and_the_longest_wins(shared):
    shared.dataset("rows", "x=s3://data/set/tree/", "x/a/b=s3://data/odd/", "y/z=s3://data/set/both/")
    mount = shared.mount("rows")
    assert sorted(os.listdir(mount.dir)) == ["x", "y"] and os.listdir(mount.dir / "y") == ["z"]
    assert (mount.dir / "y/z/below").read_bytes() == b"below"
    assert os.listdir(mount.dir / "x/a") == ["b"]
    assert (mount.dir / "x/a/b/plain").read_bytes() == b"plain"
    assert not (mount.dir / "x/a/b/c.txt").exists()
    mount.close()


# ---- attributes ----------------------------------------------------------------------------------


def test_p20_inode_numbers_are_those_of_paths_on_every_mount_and_after_a_remount(shared, root):
    paths = ["", "00000000", "tree", "tree/a/b/c.txt", "both/below"]
    inodes = [(root / p).stat().st_ino for p in paths]
    assert len(set(inodes)) == len(paths)
    assert [(shared.second.dir / p).stat().st_ino for p in paths] == inodes
    again = shared.mount("set")
    assert [(again.dir / p).stat().st_ino for p in paths] == inodes
    again.close()


def test_p21_owner_group_and_modes_are_those_of_the_options(shared, root):
    for path, mode in ((root / "run.sh", 0o100555), (root / "tree", 0o40711), (root, 0o40711)):
        found = path.stat()
        assert (found.st_uid, found.st_gid, found.st_mode) == (4321, 1234, mode)
    found = (shared.second.dir / "run.sh").stat()
    assert (found.st_uid, found.st_gid, found.st_mode) == (os.getuid(), os.getgid(), 0o100444)
    assert (shared.second.dir / "tree").stat().st_mode == 0o40555


def test_p22_the_modification_time_is_the_sources(shared, root):
    head = shared.store.client().head_object(Bucket="data", Key="set/run.sh")
    found = (root / "run.sh").stat()
    assert found.st_mtime == head["LastModified"].timestamp()
    assert found.st_atime_ns == found.st_ctime_ns == found.st_mtime_ns
    assert (root / "tree").stat().st_mtime_ns == (shared.second.dir / "tree").stat().st_mtime_ns


def test_p23_link_counts_are_one_and_find_copes(root):
    assert {p.stat().st_nlink for p in (root, root / "tree", root / "run.sh")} == {1}
    found = subprocess.run(["find", root / "tree", "-type", "f"], capture_output=True, text=True)
    assert found.stdout.split() == [str(root / "tree/a/b/c.txt")]


def test_p24_blocks_follow_from_the_size(root, big):
    assert big.stat().st_blocks == (BIG + 511) // 512
    assert (root / "empty").stat().st_blocks == 0


def test_p25_statfs_shows_what_was_listed_read_only_and_asks_nobody(shared, root):
    def shown():
        found = os.statvfs(root)
        return found if found.f_files >= 44 else None

    for folder, _, _ in os.walk(root):
        os.listdir(folder)
    found = live.wait_for("statfs of what was listed", shown)
    assert found.f_bfree == found.f_bavail == found.f_ffree == 0
    assert found.f_flag & os.ST_RDONLY
    assert 40 * BIG <= found.f_blocks * found.f_frsize <= 40 * BIG + (1 << 20)
    with nobody_asked(shared):
        os.statvfs(root)


def test_p26_there_are_no_extended_attributes(root):
    for call in (lambda: os.getxattr(root / "run.sh", "user.any"), lambda: os.listxattr(root / "both")):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.ENOTSUP


def test_p27_stat_of_the_root_and_of_fresh_names_asks_nobody(shared, root):
    os.listdir(root)
    with nobody_asked(shared):
        root.stat()
        assert (root / "00000003").stat().st_size == BIG


# ---- changing ------------------------------------------------------------------------------------

CHANGES = {
    "open for writing": lambda d: os.open(d / "run.sh", os.O_WRONLY),
    "open for reading and writing": lambda d: os.open(d / "run.sh", os.O_RDWR),
    "create": lambda d: os.open(d / "new", os.O_CREAT | os.O_WRONLY),
    "truncate at open": lambda d: os.open(d / "run.sh", os.O_RDONLY | os.O_TRUNC),
    "mkdir": lambda d: os.mkdir(d / "new"),
    "mknod": lambda d: os.mknod(d / "new", 0o600 | stat.S_IFIFO),
    "unlink": lambda d: os.unlink(d / "run.sh"),
    "rmdir": lambda d: os.rmdir(d / "marker"),
    "rename": lambda d: os.rename(d / "run.sh", d / "new"),
    "link": lambda d: os.link(d / "run.sh", d / "new"),
    "symlink": lambda d: os.symlink("run.sh", d / "new"),
    "chmod": lambda d: os.chmod(d / "run.sh", 0o777),
    "chown": lambda d: os.chown(d / "run.sh", 1, 1),
    "truncate": lambda d: os.truncate(d / "run.sh", 0),
    "utimes": lambda d: os.utime(d / "run.sh"),
    "setxattr": lambda d: os.setxattr(d / "run.sh", "user.any", b"x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_p30_everything_that_would_change_something_fails_with_erofs(root, change):
    with pytest.raises(OSError) as caught:
        CHANGES[change](root)
    assert caught.value.errno == errno.EROFS
    assert (root / "run.sh").read_bytes() == SCRIPT


# ---- the page itself -----------------------------------------------------------------------------


def test_every_line_of_the_page_has_a_test():
    page = (live.ROOT / "docs" / "posix.md").read_text()
    promised = {i.lower() for i in re.findall(r"^- \*\*(P\d\d)\*\*", page, re.M)}
    tests = "".join(p.read_text() for p in pathlib.Path(__file__).parent.glob("test_*.py"))
    assert promised == set(re.findall(r"^def test_(p\d\d)_", tests, re.M))
