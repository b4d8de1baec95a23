"""A cluster on this machine for tests, the demo and the benchmark: the test origin, nodes, mounts.

    with Cluster(directory) as cluster:
        origin = cluster.origin("--generate", "data/set/,count=10,size=1MiB,seed=1")
        cluster.nodes(4)
        cluster.dataset("set", "s3://data/set/")
        mount = cluster.mount("set")
        ... files under mount.dir ...

Everything listens on 127.0.0.1 and is ended by its own process id; mounts are taken off, also when
a test fails. Waiting is always for a condition, with a deadline."""

import ctypes
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "origin"))

ACCESS_KEY, SECRET_KEY = "atoll-test", "atoll-test-secret"
PATIENCE = 90.0  # s: long enough for any machine; what waits for a condition ends when it is met
MIB = 1 << 20
GIB = 1 << 30


def build_dir():
    return pathlib.Path(os.environ.get("ATOLL_BUILD_DIR", ROOT / "build" / "release"))


def program(name):
    path = build_dir() / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is not built; run ./dev build")
    return str(path)


def next_version():
    """`atoll` of the build that stands in for the next version (docs/versions.md), made if it has to be."""
    done = subprocess.run([ROOT / "dev", "build", "next", "--target", "atoll"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the preset next cannot be built:\n{done.stdout}{done.stderr}")
    return str(ROOT / "build" / "next" / "atoll")


def wait_for(what, check, seconds=PATIENCE, every=0.05):
    """The first true value of check(); raises when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} within {seconds} s")
        time.sleep(every)


_ports_given = set()


def ports_of_servers():
    """Ports that the kernel gives to no connection: one that is free stays free, also while the
    node that has it is dead."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        lowest, highest = map(int, file.read().split())
    return range(10000, lowest) if lowest > 12000 else range(highest + 1, 65000)


def free_ports(count):
    """A port so that it and the next count - 1 are free for TCP and UDP."""
    while True:
        first = random.choice(ports_of_servers()[:-count])
        ports = range(first, first + count)
        if _ports_given.intersection(ports):
            continue
        try:
            for port in ports:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(type=kind) as s:
                        s.bind(("127.0.0.1", port))
        except OSError:
            continue
        _ports_given.update(ports)
        return first


_libc = ctypes.CDLL(None)


def end_with_parent():
    """In a child: SIGTERM when the process that started it is gone, however it went. A mount
    takes itself off then."""
    _libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def interruptible():
    """SIGTERM ends this program like Ctrl-C: by way of every `with`, so that nothing is left."""
    def interrupt(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)


class Process:
    """A child with its log; ended for good by stop or kill. It has a session of its own: Ctrl-C is
    for us, and we end our children in order."""

    def __init__(self, name, args, log, env=None, preexec=None):
        self.name, self.args, self.log = name, [str(a) for a in args], pathlib.Path(log)

        def prepare():
            end_with_parent()
            if preexec:
                preexec()

        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, env=env, preexec_fn=prepare,
                                            start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.alive():
            self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.process.wait()

    def stop(self, seconds=PATIENCE):
        """Its exit code; it ends in order or the test fails."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"{self.name} did not end within {seconds} s of SIGTERM")

    def findings(self):
        """Broken invariants and what a sanitizer said, as lines of the log."""
        words = ("Sanitizer", "runtime error:", "atoll: bug at")
        return [f"{self.name}: {line}" for line in self.log.read_text(errors="replace").splitlines()
                if any(word in line for word in words)]

    def tail(self, lines=30):
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return f"--- {self.name} ({self.log})\n" + "\n".join(text)


class Origin(Process):
    """The verifying test origin (tests/origin)."""

    def __init__(self, directory, *options):
        directory.mkdir(parents=True, exist_ok=True)
        keys = directory / "keys"
        keys.write_text(f"{ACCESS_KEY}:{SECRET_KEY}\n")
        self.root = directory / "root"
        super().__init__("origin", [program("atoll-test-origin"), "--keys-file", keys, "--root",
                                    self.root, "--bucket", "data", *options],
                         directory / "origin.log")
        line = wait_for("ready origin", self.ready_line)
        self.address, self.admin_address = (part.split("=")[1] for part in line.split()[1:])

    def ready_line(self):
        if not self.alive():
            raise RuntimeError(self.tail())
        lines = [l for l in self.log.read_text().splitlines() if l.startswith("ready ")]
        return lines[0] if lines else None

    def stop(self, seconds=PATIENCE):
        """At once: in order it would wait for clients that keep their connections."""
        return self.kill()

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.admin_address}{path}", data=data,
                                         method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def counters(self, keys=False):
        return self.ask("GET", "/counters" if keys else "/counters?keys=0")

    def reset(self):
        self.ask("POST", "/reset")

    def faults(self, *faults, **limits):
        self.ask("POST", "/faults", dict(limits, faults=list(faults)))

    def objects(self, bucket="data", prefix="", sha256=False):
        return self.ask("GET", f"/objects?bucket={bucket}&prefix={prefix}"
                               + ("&sha256=1" if sha256 else ""))

    def client(self):
        """boto3, path style."""
        import boto3
        from botocore.config import Config
        return boto3.client("s3", endpoint_url=f"http://{self.address}",
                            aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
                            region_name="us-east-1",
                            config=Config(s3={"addressing_style": "path"},
                                          retries={"max_attempts": 1}))


class Node(Process):
    def __init__(self, cluster, index, options):
        self.cluster, self.index = cluster, index
        self.dir = cluster.dir / f"node{index}"
        self.dir.mkdir(exist_ok=True)
        self.port, self.admin_port = free_ports(2), free_ports(1)
        self.options = [str(o) for o in options]
        self.start()

    def start(self):
        """Also again, after it ended: same identity, same ports, same disk."""
        args = [*self.cluster.node_prefix, self.cluster.atoll, "node", "--name", f"n{self.index}", "--listen",
                f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin_port}", "--data-dir",
                self.dir / "data", "--credentials-dir", self.cluster.credentials,
                *self.cluster.trust(), *self.options]
        if self.cluster.seeds:
            args += ["--seeds", self.cluster.seeds]
        super().__init__(f"node n{self.index}", args, self.dir / "node.log")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def admin(self):
        return f"http://127.0.0.1:{self.admin_port}"

    def ask(self, path, timeout=PATIENCE):
        with urllib.request.urlopen(self.admin + path, timeout=timeout) as answer:
            return answer.read().decode()

    def json(self, path):
        return json.loads(self.ask(path))

    def ready(self):
        if not self.alive():
            raise RuntimeError(f"{self.name} ended\n{self.tail()}")
        try:
            return self.ask("/readyz") is not None
        except (urllib.error.URLError, OSError):
            return False

    def metrics(self):
        """Sum of each metric over its labels, and each with its labels."""
        values = {}
        for line in self.ask("/metrics").splitlines():
            if not line or line.startswith("#"):
                continue
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
            plain = name.split("{")[0]
            if plain != name:
                values[plain] = values.get(plain, 0.0) + float(value)
        return values

    def source_bytes(self):
        return self.metrics()["atoll_source_read_bytes_total"]


class Mount(Process):
    def __init__(self, cluster, number, what, options, env=None):
        self.dir = cluster.dir / f"mount{number}"
        self.dir.mkdir(exist_ok=True)
        super().__init__(f"mount {number}", [*cluster.mount_prefix, cluster.atoll, "mount", what,
                                             self.dir, "-f", *options],
                         cluster.dir / f"mount{number}.log", env=env)

    def mounted(self):
        if not self.alive():
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}\n{self.tail()}")
        return is_mounted(self.dir)

    def close(self):
        try:
            self.stop()
        finally:
            take_off(self.dir)


def is_mounted(directory):
    with open("/proc/self/mountinfo") as table:
        return any(line.split()[4] == str(directory) for line in table)


def take_off(directory):
    if is_mounted(directory):
        subprocess.run(["fusermount3", "-u", "-z", str(directory)], check=False,
                       capture_output=True)


class Cluster:
    def __init__(self, directory, insecure=False, name="test"):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.name, self.insecure = name, insecure
        self.members, self.mounts, self.others = [], [], []
        self.store = None
        self.seeds = ""
        self.atoll = program("atoll")  # what nodes, mounts and commands are started with from now on
        self.node_prefix, self.mount_prefix = [], []  # a command that runs what follows it
        self.credentials = self.dir / "credentials"
        self.credentials.mkdir(exist_ok=True)
        self.add_credential("test", ACCESS_KEY, SECRET_KEY)
        if not insecure:
            self.cli("keygen", "cluster", "--name", name, "--out", self.dir / "cluster.key",
                     admin=False)
            self.client_file("*")

    def add_credential(self, name, access_key, secret_key):
        path = self.credentials / f"{name}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"access_key_id": access_key,
                                    "access_key_secret": secret_key}))

    def client_file(self, grants, name="client.key"):
        self.cli("keygen", "client", "--cluster-file", self.dir / "cluster.key", "--dataset",
                 grants, "--out", self.dir / name, admin=False)
        return self.dir / name

    def trust(self):
        if self.insecure:
            return ["--insecure", "--cluster", self.name]
        return ["--cluster-file", str(self.dir / "cluster.key")]

    def origin(self, *options):
        self.store = Origin(self.dir / "origin", *options)
        return self.store

    def node(self, *options):
        node = Node(self, len(self.members), options)
        self.members.append(node)
        if not self.seeds:
            self.seeds = node.address
        return node

    def nodes(self, count, *options, memory="256MiB", tier="1GiB"):
        """Start them and wait until all are ready and agree on the ring."""
        for _ in range(count):
            extra = []
            if tier:
                tier_dir = self.dir / f"tier{len(self.members)}"
                tier_dir.mkdir(exist_ok=True)
                extra = ["--tier", f"{tier_dir}:{tier}"]
            self.node("--memory", memory, *extra, *options)
        self.wait_agreed()
        return self.members

    def living(self):
        return [n for n in self.members if n.alive()]

    def busiest(self):
        """The node that read most from the source so far: whose end is felt."""
        node = max(self.living(), key=Node.source_bytes)
        assert node.source_bytes() > 0, "nobody read anything yet"
        return node

    def agreed(self):
        """All living nodes are ready, own their share in one ring of just them, and know each
        other's present start (a node that was restarted is not taken for what it was before)."""
        rings, starts = set(), set()
        for node in self.living():
            if not node.ready():
                return False
            ring = node.json("/api/v1/ring")["rings"][0]
            members = node.json("/api/v1/nodes")["nodes"]
            states = [n["state"] for n in members]
            starts.add(tuple(sorted((n["id"], n["incarnation"]) for n in members
                                    if n["state"] == "owning")))
            if not ring["built"] or len(ring["nodes"]) != len(self.living()) or \
                    states.count("owning") != len(self.living()):
                return False
            rings.add(ring["digest"])
        return len(rings) == 1 and len(starts) == 1

    def wait_agreed(self, seconds=PATIENCE):
        try:
            wait_for("ring that all nodes agree on", self.agreed, seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.tails()}") from None

    def cli(self, *args, admin=True, check=True, env=None):
        """Run `atoll ARGS`; its standard output."""
        command = [self.atoll, *map(str, args)]
        if admin:
            command += ["--admin", self.living()[0].admin]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}:\n"
                               f"{done.stdout}{done.stderr}")
        return done.stdout if check else done

    def dataset(self, name, *uris, options=(), endpoint=True):
        extra = ["--endpoint", f"http://{self.store.address}", "--credential", "test"] \
            if endpoint and self.store else []
        return self.cli("dataset", "create", name, *uris, *extra, *options)

    def mount(self, what, *options, env=None, wait=True, private=False):
        reach = []
        if not private:
            reach = ["--seeds", ",".join(n.address for n in self.members)]
            reach += ["--insecure", "--cluster", self.name] if self.insecure else \
                ["--client-file", str(self.dir / "client.key")]
        mount = Mount(self, len(self.mounts), what, [*reach, *map(str, options)], env)
        self.mounts.append(mount)
        if wait:
            wait_for("mount", mount.mounted)
        return mount

    def private_env(self):
        return dict(os.environ, AWS_ACCESS_KEY_ID=ACCESS_KEY, AWS_SECRET_ACCESS_KEY=SECRET_KEY,
                    OSS_ACCESS_KEY_ID=ACCESS_KEY, OSS_ACCESS_KEY_SECRET=SECRET_KEY)

    def metrics(self):
        """Sum over the living nodes."""
        total = {}
        for node in self.living():
            for name, value in node.metrics().items():
                total[name] = total.get(name, 0.0) + value
        return total

    def tails(self):
        return "\n".join(p.tail() for p in [*self.members, *self.mounts])

    def close(self):
        faults = []
        for process in [*reversed(self.mounts), *reversed(self.members), *self.others,
                        *([self.store] if self.store else [])]:
            try:
                process.close() if isinstance(process, Mount) else process.stop()
            except (TimeoutError, OSError) as error:
                faults.append(str(error))
            faults += process.findings()
        if faults:
            raise RuntimeError("; ".join(faults) + "\n" + self.tails())

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None and kind is not KeyboardInterrupt:
            print(self.tails(), file=sys.stderr)
        try:
            self.close()
        except RuntimeError:
            if kind is None:
                raise


def drop_page_cache(directory):
    """The kernel forgets the file data of this mount (needs root); False when it may not."""
    try:
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3\n")
        return True
    except OSError:
        return False


def remove(directory):
    shutil.rmtree(directory, ignore_errors=True)
