"""24 nodes, each in a network namespace of its own, become one ring; one is killed and the cable of
another is pulled while a mount reads; both come back.

    python3 tests/live/big/show9_netns.py [--nodes 24]

Needs root and iproute2. The namespaces hang at a bridge in one more namespace, so that nothing of
this machine's own network changes."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]
import cluster as live  # noqa: E402
import reading  # noqa: E402

PREFIX = f"atoll{os.getpid() % 10000}"
FILES, FILE_BYTES = 400, 300_000


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


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

    def close(self):
        for name in reversed(self.names):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def address(number):
    return f"10.77.0.{number + 1}"


def inside(name):
    return ["nsenter", f"--net=/run/netns/{name}"]


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


def one_ring(hosts):
    """How many slots' owners all of them agree on: the ring's digest, or None."""
    digests = set()
    for host in hosts:
        answer = host.ask("ring")
        ring = answer["rings"][0] if answer else {"nodes": []}
        if sorted(n["name"] for n in ring["nodes"]) != sorted(h.name for h in hosts):
            return None
        digests.add(ring["digest"])
    return digests.pop() if len(digests) == 1 else None


def timed(what, check, seconds):
    began = time.monotonic()
    value = live.wait_for(what, check, seconds, 0.2)
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)
    return value


def write_tree(tree):
    tree.mkdir()
    sums = {}
    for number in range(FILES):
        path = tree / f"{number:05}"
        path.write_bytes(os.urandom(FILE_BYTES))
        sums[path.name] = (FILE_BYTES, reading.digest(path))
    return sums


def lose_two(net, hosts, reader):
    """One is killed, one loses its cable; both come back."""
    dead, cut = hosts[5], hosts[11]
    rest = [h for h in hosts if h not in (dead, cut)]
    before = one_ring(hosts)
    dead.kill()
    net.cable(cut.number, "down")
    timed(f"one ring of the other {len(rest)}", lambda: one_ring(rest), 60)
    done = reader.done
    live.wait_for("reads without the two", lambda: reader.done > done + FILES, 120)
    net.cable(cut.number, "up")
    dead.start()
    after = timed(f"one ring of all {len(hosts)} again", lambda: one_ring(hosts), 90)
    assert after == before, "the same members make the same ring"


def run(directory, count):
    tree, hosts, mount = directory / "tree", [], None
    sums = write_tree(tree)
    binary = live.program("atoll")
    subprocess.run([binary, "keygen", "cluster", "--name", "big", "--out", directory / "cluster.key"],
                   check=True, capture_output=True)
    subprocess.run([binary, "keygen", "client", "--cluster-file", directory / "cluster.key",
                    "--dataset", "*", "--out", directory / "client.key"], check=True,
                   capture_output=True)
    net = Net(count)
    try:
        hosts = [Host(i, net.hosts[i], directory, tree) for i in range(count)]
        timed(f"one ring of {count} nodes", lambda: one_ring(hosts), 120)
        subprocess.run([*inside(net.hosts[0]), binary, "dataset", "create", "set", f"file://{tree}"],
                       check=True)
        point = directory / "mnt"
        point.mkdir()
        mount = live.Process("mount", [
            *inside(net.hub), binary, "mount", "set", point, "-f", "--seeds",
            f"{address(2)}:7700,{address(3)}:7700", "--client-file", directory / "client.key"],
            directory / "mount.log")
        live.wait_for("mount", lambda: live.is_mounted(point) or not mount.alive(), 30)
        reader = reading.Reader(point, sorted(sums), sums, once=False)
        reader.start()
        live.wait_for("a first pass", lambda: reader.done > FILES, 120)
        lose_two(net, hosts, reader)
        faults = reader.stop()
        print(f"{reader.done} reads, longest wait {reader.longest:.2f} s, {len(faults)} faults")
        status = hosts[7].ask("status")
        print(f"status: {status['verdict']}, {status['nodes']['owning']} owning")
        return faults
    except (TimeoutError, AssertionError):
        for process in [*hosts, *([mount] if mount else [])]:
            print(process.tail(6), file=sys.stderr)
        raise
    finally:
        end(hosts, mount, directory / "mnt")
        net.close()


def end(hosts, mount, point):
    for process in [*([mount] if mount else []), *hosts]:
        process.signal(15)
    for process in [*([mount] if mount else []), *hosts]:
        try:
            process.stop()
        except TimeoutError as error:
            print(error, file=sys.stderr)
    live.take_off(point)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=24)
    options = parser.parse_args()
    live.interruptible()
    with tempfile.TemporaryDirectory(prefix="atoll-show9-") as directory:
        faults = run(pathlib.Path(directory), options.nodes)
    print("\n".join(faults[:10]) or "no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
