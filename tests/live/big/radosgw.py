"""A real, independent S3 server for tests: one-node radosgw with everything in memory.

    with Radosgw(directory) as gateway:
        gateway.port, gateway.access_key, gateway.secret_key

Needs the packages radosgw, ceph-mon, ceph-osd and ceph-common (./dev setup --peers). Everything
listens on 127.0.0.1 and is ended by its own process id."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import uuid

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool")

CONFIG = """[global]
fsid = {fsid}
mon initial members = a
mon host = [v1:127.0.0.1:{mon_port}/0]
ms bind msgr2 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
run dir = {dir}
admin socket = {dir}/$cluster-$name.asok
log file = {dir}/$name.log
mon data = {dir}/mon
osd data = {dir}/osd
[osd.0]
osd objectstore = memstore
memstore device bytes = {bytes}
osd crush update on start = false
osd class update on start = false
osd class load list = *
osd class default list = *
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw data = {dir}/rgw
"""


def missing():
    """Names of the programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Radosgw:
    """One monitor, one memory store, one gateway; gone with everything when closed."""

    access_key = "ATOLLTESTKEY"
    secret_key = "atoll-test-secret"

    def __init__(self, directory, store_bytes=4 << 30):
        self.dir = pathlib.Path(directory)
        self.port = free_port()
        self.mon_port = free_port()
        self.store_bytes = store_bytes
        self.processes = []
        self.env = dict(os.environ, CEPH_CONF=str(self.dir / "ceph.conf"))

    def run(self, *args):
        done = subprocess.run(args, env=self.env, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(args)}: {done.stderr[-2000:]}")
        return done.stdout

    def spawn(self, *args):
        log = open(self.dir / f"{args[0]}.out", "wb")
        process = subprocess.Popen(args, env=self.env, stdout=log, stderr=log)
        log.close()
        self.processes.append(process)
        return process

    def wait_for(self, what, check, seconds=90):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if check():
                    return
            except (OSError, RuntimeError):
                pass
            try:
                self.processes[-1].wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"{self.processes[-1].args[0]} ended before {what}")
        raise RuntimeError(f"no {what} within {seconds} s")

    def connects(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def start(self):
        for name in ("mon", "osd", "rgw"):
            (self.dir / name).mkdir(parents=True)
        fsid = str(uuid.uuid4())
        (self.dir / "ceph.conf").write_text(
            CONFIG.format(fsid=fsid, dir=self.dir, port=self.port, mon_port=self.mon_port,
                          bytes=self.store_bytes))
        monmap = str(self.dir / "monmap")
        self.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a",
                 f"[v1:127.0.0.1:{self.mon_port}/0]", monmap)
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self.spawn("ceph-mon", "-i", "a", "--public-addr", "127.0.0.1", "-f")
        osd = str(uuid.uuid4())
        self.wait_for("monitor", lambda: self.run("ceph", "osd", "new", osd) is not None)
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.run("ceph", "osd", "crush", "add", "osd.0", "1.0", "host=h", "root=default")
        self.spawn("ceph-osd", "-i", "0", "-f")
        self.wait_for("store", lambda: "1 up" in self.run("ceph", "osd", "stat"))
        self.run("radosgw-admin", "-n", "client.rgw.a", "user", "create", "--uid=u1",
                 "--display-name=u1", f"--access-key={self.access_key}",
                 f"--secret={self.secret_key}")
        self.spawn("radosgw", "-n", "client.rgw.a", "-f")
        self.wait_for("gateway", self.connects)
        return self

    def stop(self):
        for process in reversed(self.processes):  # nothing is worth an orderly end: all is memory
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.processes.clear()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()
