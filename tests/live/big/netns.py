"""Nodes in network namespaces of their own: hosts with a cable each, at one switch. What befalls the
network or the processor of one befalls it alone: its cable is pulled, its packets are lost, it is slow.

Needs root, iproute2 and iptables. The namespaces hang at a bridge in one more namespace, so that
nothing of this machine's own network changes."""

import contextlib
import ctypes
import datetime
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]
import cluster as live  # noqa: E402
import reading  # noqa: E402

PREFIX = f"atoll{os.getpid() % 10000}"
_libc = ctypes.CDLL(None, use_errno=True)


def run(*words):
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def ip(*words):
    run("ip", *words)


def address(number):
    return f"10.77.0.{number + 1}"


def inside(name):
    return ["nsenter", f"--net=/run/netns/{name}"]


class Net:
    """A bridge in namespace `hub` and a namespace with one cable for each host."""

    def __init__(self, hosts):
        self.names = []
        self.hub = self.space("hub")
        ip("-n", self.hub, "link", "add", "br0", "type", "bridge")
        ip("-n", self.hub, "addr", "add", "10.77.255.254/16", "dev", "br0")
        ip("-n", self.hub, "link", "set", "br0", "up")
        self.hosts = [self.host(i) for i in range(hosts)]

    def space(self, name):
        name = f"{PREFIX}-{name}"
        ip("netns", "add", name)
        self.names.append(name)
        ip("-n", name, "link", "set", "lo", "up")
        return name

    def host(self, number):
        name = self.space(str(number))
        ip("-n", self.hub, "link", "add", f"p{number}", "type", "veth", "peer", "name", "eth0",
           "netns", name)
        ip("-n", self.hub, "link", "set", f"p{number}", "master", "br0", "up")
        ip("-n", name, "addr", "add", f"{address(number)}/16", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        return name

    def cable(self, number, state):
        ip("-n", self.hub, "link", "set", f"p{number}", state)

    def drop(self, number, *match, ways=("INPUT", "OUTPUT")):
        """Packets of that host's cable that match are lost."""
        for way in ways:
            cable = ["-i" if way == "INPUT" else "-o", "eth0"]
            run(*inside(self.hosts[number]), "iptables", "-w", "-A", way, *cable, *match, "-j", "DROP")

    def lose(self, number, share, **ways):
        self.drop(number, "-m", "statistic", "--mode", "random", "--probability", share, **ways)

    def part(self, first, last, others):
        """Hosts `first` to `last` hear nothing of the others, nor these of them."""
        far = f"{address(first)}-{address(last)}"
        for number in others:
            self.drop(number, "-m", "iprange", "--src-range", far, ways=("INPUT",))
            self.drop(number, "-m", "iprange", "--dst-range", far, ways=("OUTPUT",))

    def mend(self, number):
        run(*inside(self.hosts[number]), "iptables", "-w", "-F")

    def close(self):
        for name in reversed(self.names):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def connect(space, port):
    """A connection to a port on that namespace's loopback. Only this thread goes there, and back."""
    def enter(path):
        with open(path, "rb") as file:
            if _libc.setns(file.fileno(), 0x40000000) != 0:  # CLONE_NEWNET
                raise OSError(ctypes.get_errno(), path)

    enter(f"/run/netns/{space}")
    try:
        made = socket.socket()
    finally:
        enter(f"/proc/{os.getpid()}/ns/net")
    made.settimeout(2)
    try:
        made.connect(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return made


class Host(live.Process):
    """A node in its namespace; its admin address is on the loopback of that."""

    def __init__(self, number, space, directory, tree):
        self.number, self.space = number, space
        self.dir = directory / f"node{number}"
        self.dir.mkdir()
        self.options = ["--listen", f"{address(number)}:7700", "--data-dir", self.dir, "--memory",
                        "192MiB", "--cluster-file", directory / "cluster.key", "--allow-root", tree,
                        "--seeds", f"{address(0)}:7700,{address(1)}:7700", "--name", f"n{number}"]
        self.start()

    def start(self):
        super().__init__(f"n{self.number}", [*inside(self.space), live.program("atoll"), "node",
                                             *self.options], self.dir / "log")

    def ask(self, *words):
        done = subprocess.run([*inside(self.space), live.program("atoll"), *words, "--json"],
                              capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def metrics(self):
        """Name -> value, or None when it does not answer."""
        try:
            with contextlib.closing(connect(self.space, 7780)) as at:
                at.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                text = b"".join(iter(lambda: at.recv(1 << 16), b"")).decode()
        except OSError:
            return None
        return {name: float(value) for name, value in
                re.findall(r"^(atoll_\S+) (\S+)$", text, re.MULTILINE)}

    def told(self, event):
        """(when, of whom) for each line of the log that tells this."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            fields = dict(re.findall(r'(\w+)="?([^ "]*)', line))
            if fields.get("msg") == event:
                when = datetime.datetime.fromisoformat(fields["ts"].replace("Z", "+00:00"))
                found.append((when.timestamp(), fields.get("name", "")))
        return found


class Watcher(threading.Thread):
    """Looks twice a second which ring each host has."""

    def __init__(self, hosts):
        super().__init__(daemon=True)
        self.hosts, self.stopping = hosts, threading.Event()
        self.seen = []  # (moment, host's name, digest)
        self.last = {host.name: None for host in hosts}

    def run(self):
        while not self.stopping.wait(0.5):
            for host in self.hosts:
                found = host.metrics() if host.alive() else None
                ring = found and found["atoll_ring_digest"]
                if ring and ring != self.last[host.name]:
                    self.last[host.name] = ring
                    self.seen.append((time.time(), host.name, ring))

    def epochs(self, since, hosts):
        """The most changes of the ring that any of these has seen since then."""
        counts = {host.name: 0 for host in hosts}
        for when, name, _ in self.seen:
            if when >= since and name in counts:
                counts[name] += 1
        return max(counts.values())

    def is_quiet(self, seconds):
        """Has no ring changed for that long?"""
        return not self.seen or time.time() - self.seen[-1][0] >= seconds

    def stop(self):
        self.stopping.set()
        self.join(60)


def one_ring(hosts):
    """The digest of the ring that all of them have and that has just them, or None."""
    digests = set()
    for host in hosts:
        answer = host.ask("ring")
        ring = answer["rings"][0] if answer else {"nodes": []}
        if sorted(n["name"] for n in ring.get("nodes", [])) != sorted(h.name for h in hosts):
            return None
        digests.add(ring["digest"])
    return digests.pop() if len(digests) == 1 else None


def holds(check, seconds):
    """Does it stay true that long? Ends with the first time that it does not."""
    try:
        live.wait_for("a breach", lambda: not check(), seconds, 0.2)
    except TimeoutError:
        return True
    return False


def timed(what, check, seconds):
    began = time.monotonic()
    value = live.wait_for(what, check, seconds, 0.2)
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)
    return value


class Cluster:
    """Hosts with one ring, keys, a dataset `set` over a tree of files, and mounts at the switch."""

    def __init__(self, directory, hosts, files=400, file_bytes=300_000):
        self.directory, self.mounts = directory, []
        self.sums = self.write_tree(files, file_bytes)
        self.make_keys()
        self.net = Net(hosts)
        self.hosts = []
        try:
            self.hosts = [Host(i, self.net.hosts[i], directory, directory / "tree")
                          for i in range(hosts)]
            timed(f"one ring of {hosts} nodes", lambda: one_ring(self.hosts), 120)
            run(*inside(self.net.hosts[0]), live.program("atoll"), "dataset", "create", "set",
                f"file://{directory / 'tree'}")
        except BaseException:
            self.close()
            raise

    def write_tree(self, files, file_bytes):
        tree = self.directory / "tree"
        tree.mkdir()
        sums = {}
        for number in range(files):
            path = tree / f"{number:05}"
            path.write_bytes(os.urandom(file_bytes))
            sums[path.name] = (file_bytes, reading.digest(path))
        return sums

    def make_keys(self):
        keygen, key = [live.program("atoll"), "keygen"], self.directory / "cluster.key"
        run(*keygen, "cluster", "--name", "big", "--out", key)
        run(*keygen, "client", "--cluster-file", key, "--dataset", "*", "--out",
            self.directory / "client.key")

    def mount(self):
        point = self.directory / f"mnt{len(self.mounts)}"
        point.mkdir()
        mount = live.Process(f"mount{len(self.mounts)}", [
            *inside(self.net.hub), live.program("atoll"), "mount", "set", point, "-f", "--seeds",
            f"{address(2)}:7700,{address(3)}:7700", "--client-file", self.directory / "client.key"],
            self.directory / f"mount{len(self.mounts)}.log")
        mount.point = point
        self.mounts.append(mount)
        live.wait_for("mount", lambda: live.is_mounted(point) or not mount.alive(), 30)
        return mount

    def reader(self, mount, past=None):
        """One that reads all files again and again; it has read so many (None: all once)."""
        past = len(self.sums) if past is None else past
        reader = reading.Reader(mount.point, sorted(self.sums), self.sums, once=False)
        reader.start()
        live.wait_for("first reads", lambda: reader.done > past, 120)
        return reader

    def runs(self):
        return all(host.alive() for host in self.hosts)

    def removed(self, since, by):
        """Name -> the first moment since then that any of these held it for dead."""
        found = {}
        for host in by:
            for when, name in host.told("member.dead"):
                if when >= since:
                    found[name] = min(when, found.get(name, when))
        return found

    def close(self):
        processes = [*self.mounts, *self.hosts]
        for process in processes:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        for process in processes:
            try:
                process.stop()
            except TimeoutError as error:
                print(error, file=sys.stderr)
        for mount in self.mounts:
            live.take_off(mount.point)
        self.net.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind in (TimeoutError, AssertionError):
            for process in [*self.hosts, *self.mounts]:
                print(process.tail(6), file=sys.stderr)
        self.close()
