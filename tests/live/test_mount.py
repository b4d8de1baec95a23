"""Ways to mount: from the background, from mount(8) and fstab, with a descriptor of somebody else."""

import ctypes
import os
import socket
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


def test_systemd_is_told_when_a_mount_is_ready(shared, point, workdir):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(workdir / "notify"))
        manager.settimeout(20)
        mount = subprocess.Popen([live.program("atoll"), "mount", "set", point, "-f", "--seeds",
                                  shared.seeds, "--client-file", shared.dir / "client.key"],
                                 env=dict(os.environ, NOTIFY_SOCKET=str(workdir / "notify")))
        try:
            assert manager.recv(256) == b"READY=1"
            assert live.is_mounted(point)
            mount.terminate()
            assert mount.wait(timeout=20) == 0
            assert manager.recv(256) == b"STOPPING=1"
            assert not live.is_mounted(point)
        finally:
            mount.kill()
            mount.wait()


# ---- mount(8) ------------------------------------------------------------------------------------

MOUNT_USAGE, MOUNT_FAILED = 1, 32


@pytest.fixture
def mount8(workdir):
    """mount8(words, then): `mount WORDS; then`, in a mount namespace in which mount(8) finds
    Atoll's helper."""
    if os.geteuid() != 0:
        pytest.skip("only root has a mount namespace of its own")
    helpers = workdir / "sbin"
    helpers.mkdir()
    (helpers / "mount.fuse.atoll").symlink_to(live.program("atoll"))

    def run(*words, then="true"):
        script = f'mount --bind {helpers} /usr/sbin && mount "$@" && {then}'
        return subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", *map(str, words)],
                              capture_output=True, text=True, timeout=60)
    return run


def in_fstab(shared, *more):
    return ",".join(["seeds=" + shared.seeds.replace(",", "/"),
                     f"client-file={shared.dir}/client.key", *more])


def test_mount8_mounts_with_the_options_of_fstab(shared, point, workdir, mount8):
    table = workdir / "fstab"
    table.write_text(f"set {point} fuse.atoll "
                     f"defaults,_netdev,noexec,uid=77,{in_fstab(shared)} 0 0\n")
    done = mount8("-T", table, point, then=f"""
        echo $(sha256sum {point}/*)
        stat -c %u {point}/00000000
        grep {point} /proc/self/mounts
        mount -a -T {table} || echo mounted twice
        umount {point}""")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert set(lines[0].split()) >= {sha for _, sha in shared.sums.values()}
    assert lines[1] == "77"
    assert lines[2].startswith(f"set {point} fuse.atoll ro,nosuid,nodev,noexec,")
    assert len(lines) == 3, done.stdout


def test_mount8_is_told_of_failures_by_its_own_exit_codes(shared, point, mount8):
    done = mount8("-t", "fuse.atoll", "absent", point, "-o", in_fstab(shared))
    assert done.returncode == MOUNT_FAILED and "absent" in done.stderr
    done = mount8("-t", "fuse.atoll", "set", point, "-o", in_fstab(shared, "bogus"))
    assert done.returncode == MOUNT_USAGE and "bogus" in done.stderr
    done = mount8("-f", "-t", "fuse.atoll", "set", point, "-o", in_fstab(shared),
                  then=f"! grep {point} /proc/self/mounts")
    assert done.returncode == 0, done.stderr


# ---- a descriptor of somebody else ---------------------------------------------------------------


def test_a_mount_serves_a_descriptor_that_it_inherits(shared, point):
    if os.geteuid() != 0:
        pytest.skip("only root may mount by itself")
    libc = ctypes.CDLL(None, use_errno=True)
    fuse = os.open("/dev/fuse", os.O_RDWR)
    data = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,default_permissions"
    read_only = 1
    if libc.mount(b"set", bytes(point), b"fuse.atoll", read_only, data.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    command = [live.program("atoll"), "mount", "set", f"/dev/fd/{fuse}", "-f", "--seeds",
               shared.seeds, "--client-file", shared.dir / "client.key"]
    mount = subprocess.Popen(command, pass_fds=[fuse])
    os.close(fuse)
    try:
        check_files(shared, point)
        subprocess.run(["umount", point], check=True, timeout=20)
        assert mount.wait(timeout=20) == 0
    finally:
        mount.kill()
        mount.wait()


def test_a_descriptor_that_is_no_fuse_is_refused(shared):
    done = shared.cli("mount", "set", "/dev/fd/0", "--seeds", shared.seeds, "--client-file",
                      shared.dir / "client.key", admin=False, check=False)
    assert done.returncode == 2 and "not an open /dev/fuse" in done.stderr


# ---- one command ---------------------------------------------------------------------------------


def test_a_private_mount_is_shown_as_the_uri_that_was_mounted(shared, point):
    uri = "s3://data/set/"
    done = shared.cli("mount", uri, point, admin=False, check=False,
                      env=dict(shared.private_env(), AWS_ENDPOINT_URL=f"http://{shared.store.address}"))
    assert (done.returncode, done.stderr) == (0, "")
    assert mounted_as(point)[:2] == ("fuse.atoll", uri)
    check_files(shared, point)
    unmount(point)


def test_a_private_mount_of_a_prefix_with_nothing_below_it_is_refused(shared, point):
    done = shared.cli("mount", "s3://data/sett/", point, "--endpoint",
                      f"http://{shared.store.address}", admin=False, check=False,
                      env=shared.private_env())
    assert done.returncode == 3
    assert "there is nothing below s3://data/sett/ yet" in done.stderr
    assert not live.is_mounted(point)


def test_a_private_mount_of_an_empty_directory_is_empty_and_says_so(shared, point, workdir):
    (workdir / "empty").mkdir()
    done = shared.cli("mount", f"file://{workdir}/empty", point, admin=False, check=False)
    assert done.returncode == 0 and "there is nothing below" in done.stderr
    assert os.listdir(point) == []
    unmount(point)


# ---- prefixes -----------------------------------------------------------------------------------


def mount_prefix(cluster, what, point):
    return cluster.cli("mount", what, point, "--seeds", cluster.seeds, "--client-file",
                       cluster.dir / "client.key", admin=False, check=False)


def test_a_prefix_that_does_not_exist_is_refused(shared, point):
    for what in ("set/nothing", "set/nothing/below/it", f"set/{sorted(shared.sums)[0]}"):
        done = mount_prefix(shared, what, point)
        assert done.returncode == 3, done.stderr
        assert f"{what}: there is no such directory" in done.stderr
        assert not live.is_mounted(point)


def test_a_prefix_is_mounted_though_its_source_cannot_be_asked_and_says_so(workdir, point):
    with live.Cluster(workdir / "other") as cluster:
        store = cluster.origin("--listen", f"127.0.0.1:{live.free_ports(1)}", "--generate",
                               "data/set/sub/,count=2,size=1KiB,seed=1")
        cluster.nodes(1, tier=None)
        cluster.dataset("set", "s3://data/set/")
        store.kill()
        done = mount_prefix(cluster, "set/sub", point)
        assert done.returncode == 0, done.stderr
        assert "without knowing whether it exists" in done.stderr
        live.Process.__init__(store, "origin", store.args, store.log)
        live.wait_for("files", lambda: len(os.listdir(point)) == 2)
        unmount(point)


@pytest.mark.parametrize("uri,style", [("s3://data/set/", ";virtual-host"), ("oss://data/set/", "")],
                         ids=["s3", "oss"])
def test_buckets_are_also_found_by_their_host_names(workdir, point, uri, style):
    """data.localhost is this machine, as RFC 6761 has it."""
    with live.Cluster(workdir / "other") as cluster:
        store = cluster.origin("--domain", "localhost", "--generate",
                               f"data/set/,count={FILES},size=100KiB,seed=1")
        cluster.sums = reading.truth(store, "set/")
        port = store.address.rpartition(":")[2]
        mount = cluster.mount(uri, "--endpoint", f"http://localhost:{port}{style}", "--region",
                              "cn-test", private=True, env=cluster.private_env())
        check_files(cluster, mount.dir)
