"""The file systems that are measured: Atoll and its peers over one origin, and a plain directory.

Each has `fresh(folder)`: a mount of `folder` of the bucket with every cache empty; `again()`: what
makes the next read come from the caches next to the mount (`kernel` is emptied by the caller);
`close()`: no mount, no process, no cache left. `path` is where the folder then is."""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "live"), str(ROOT / "tests" / "origin")]
import cluster as live  # noqa: E402
import generated  # noqa: E402

BUCKET = "data"


def cpu_seconds(pid):
    """User and system time of a process with all its threads."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Directory:
    """A plain directory with the same files. It has no origin: both of its numbers are reads from
    the disk with the kernel's cache empty."""
    name = "directory"
    processes = ()

    def __init__(self, dir, sets):
        self.root = dir / "plain"
        for folder, (count, size, seed) in sets.items():
            (self.root / folder).mkdir(parents=True)
            for index in range(count):
                key = generated.key("", index)
                with open(self.root / folder / key, "wb") as file:
                    for at in range(0, size, 64 << 20):
                        file.write(generated.data(seed, f"{folder}/{key}", at,
                                                  min(64 << 20, size - at)))
        os.sync()

    def fresh(self, folder):
        self.path = self.root / folder.split("/", 1)[1]

    def again(self):
        pass

    def close(self):
        pass


class Atoll:
    """Nodes that have never seen the folder, and a new mount; `again` makes another new mount, so
    that everything comes from the nodes."""
    name = "atoll"

    def __init__(self, cluster, mount_memory):
        self.cluster, self.options = cluster, ["--memory", mount_memory]
        self.mount = None
        cluster.dataset("bench", f"s3://{BUCKET}/")

    @property
    def processes(self):
        return [self.mount.pid, *(node.pid for node in self.cluster.members)]

    def fresh(self, folder):
        self.folder = folder
        self.mount = self.cluster.mount(f"bench/{folder}", *self.options)
        self.path = self.mount.dir

    def again(self):
        self.close()
        self.fresh(self.folder)

    def close(self):
        if self.mount:
            self.mount.close()
            self.cluster.mounts.remove(self.mount)
            self.mount = None


class Peer:
    """A mount of somebody else's with its disk cache in a directory of its own. `again` keeps the
    mount and its caches."""

    def __init__(self, dir, origin):
        self.dir, self.origin = dir / self.name.replace(" ", "-"), origin
        self.dir.mkdir()
        self.path, self.cache = self.dir / "mount", self.dir / "cache"
        self.process = None

    @classmethod
    def missing(cls):
        """Why it cannot run here; "" when it can."""
        return "" if shutil.which(cls.program) else \
            f"{cls.name}: skipped, {cls.program} is not installed (./dev setup --peers)"

    @property
    def processes(self):
        return [self.process.pid]

    def fresh(self, folder):
        shutil.rmtree(self.cache, ignore_errors=True)
        self.path.mkdir(exist_ok=True)
        self.cache.mkdir()
        self.process = live.Process(self.name, self.command(folder), self.dir / "log",
                                    env=self.environment())
        try:
            live.wait_for(f"mount of {self.name}", self.mounted, 30)
        except (TimeoutError, RuntimeError):
            self.close()
            raise

    def mounted(self):
        if not self.process.alive():
            raise RuntimeError(f"{self.name} ended\n{self.process.tail()}")
        return live.is_mounted(self.path)

    def again(self):
        pass

    def environment(self):
        """Without settings meant for other S3 clients of whoever runs this."""
        return {name: value for name, value in os.environ.items()
                if not name.startswith(("AWS_", "RCLONE_"))}

    def close(self):
        if self.process is None:
            return
        live.take_off(self.path)
        try:
            self.process.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process = None
        shutil.rmtree(self.cache, ignore_errors=True)


class S3fs(Peer):
    name = program = "s3fs"

    def command(self, folder):
        keys = self.dir / "keys"
        keys.touch(mode=0o600)
        keys.write_text(f"{live.ACCESS_KEY}:{live.SECRET_KEY}\n")
        options = ["use_path_request_style", f"url=http://{self.origin.address}", "ro",
                   f"passwd_file={keys}", f"use_cache={self.cache}", "endpoint=us-east-1",
                   "parallel_count=8", "multipart_size=16", "multireq_max=32",
                   "max_stat_cache_size=200000", "stat_cache_expire=3600"]
        return ["s3fs", f"{BUCKET}:/{folder}", self.path, "-f",
                *(word for option in options for word in ("-o", option))]


class Rclone(Peer):
    program = "rclone"
    mode = "full"
    name = "rclone full"

    def environment(self):
        return super().environment() | {
                "RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_BENCH_TYPE": "s3",
                "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
                "RCLONE_CONFIG_BENCH_ENDPOINT": f"http://{self.origin.address}",
                "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": live.ACCESS_KEY,
                "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": live.SECRET_KEY,
                "RCLONE_CONFIG_BENCH_REGION": "us-east-1"}

    def command(self, folder):
        return ["rclone", "mount", f"bench:{BUCKET}/{folder}", self.path, "--read-only",
                "--cache-dir", self.cache, "--vfs-cache-mode", self.mode, "--dir-cache-time", "1h",
                "--attr-timeout", "1h", "--use-server-modtime", "--buffer-size", "64M",
                "--vfs-read-chunk-size", "64M", "--max-read-ahead", "1M"]


class RcloneOff(Rclone):
    """No disk cache: its second read comes from the origin again."""
    mode = "off"
    name = "rclone off"


PEERS = [S3fs, Rclone, RcloneOff]
