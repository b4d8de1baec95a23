"""Twenty-four real nodes, each in a network namespace of its own on one bridge: they start at once,
converge on one ring, lose two to kill -9, and converge again. Needs root.

    python3 tests/live/big/show9_netns.py [--nodes 24] [--lose 2]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import cluster as live  # noqa: E402

BRIDGE = "atollbr0"


def run(*args):
    subprocess.run([str(a) for a in args], check=True, capture_output=True)


class Net:
    """A bridge and one namespace for each host, 10.77.0.N; gone when closed."""

    def __init__(self, count):
        self.names = [f"atoll{i}" for i in range(count)]
        self.made = []

    def __enter__(self):
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "link", "set", BRIDGE, "up")
        for index, name in enumerate(self.names):
            run("ip", "netns", "add", name)
            self.made.append(name)
            run("ip", "link", "add", f"av{index}", "type", "veth", "peer", "name", "eth0", "netns",
                name)
            run("ip", "link", "set", f"av{index}", "master", BRIDGE, "up")
            run("ip", "-n", name, "addr", "add", f"10.77.0.{index + 1}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)


class Host(live.Process):
    def __init__(self, net, index, directory, seeds):
        self.space = net.names[index]
        home = directory / f"node{index}"
        home.mkdir()
        super().__init__(f"n{index}", [
            "ip", "netns", "exec", self.space, live.program("atoll"), "node", "--name", f"n{index}",
            "--listen", f"10.77.0.{index + 1}:7700", "--admin", "127.0.0.1:7780", "--data-dir",
            home / "data", "--memory", "160MiB", "--cluster-file", directory / "cluster.key",
            "--seeds", seeds, "--log-level", "warn"], directory / f"node{index}.log")

    def ask(self, what):
        done = subprocess.run(["ip", "netns", "exec", self.space, live.program("atoll"), what,
                               "--json"], capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else None


def agreed(hosts):
    """All hosts own their share in one and the same ring of just them."""
    digests = set()
    for host in hosts:
        if not host.alive():
            raise RuntimeError(host.tail())
        ring = host.ask("ring")
        ring = ring["rings"][0] if ring and ring["rings"] else {"built": False}
        if not ring["built"] or len(ring["nodes"]) != len(hosts):
            return False
        digests.add(ring["digest"])
    return len(digests) == 1


def shares(hosts):
    ring = hosts[0].ask("ring")["rings"][0]
    owned = [node["slots"] for node in ring["nodes"]]
    return max(owned) * len(owned) / sum(owned)


def measure(what, hosts, seconds):
    began = time.monotonic()
    live.wait_for(what, lambda: agreed(hosts), seconds, 0.2)
    print(f"{what}: {time.monotonic() - began:.1f} s until all {len(hosts)} agreed, largest share"
          f" {shares(hosts):.3f} of the mean", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=24)
    parser.add_argument("--lose", type=int, default=2)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("skipped: network namespaces need root")
        return
    with tempfile.TemporaryDirectory(prefix="atoll-netns-") as path, Net(options.nodes) as net:
        directory = pathlib.Path(path)
        run(live.program("atoll"), "keygen", "cluster", "--name", "netns", "--out",
            directory / "cluster.key")
        seeds = ",".join(f"10.77.0.{i}:7700" for i in (1, 2, 3))
        hosts = []
        try:
            hosts += [Host(net, i, directory, seeds) for i in range(options.nodes)]
            measure("start", hosts, 120)
            for host in hosts[-options.lose:]:
                host.kill()
            measure(f"loss of {options.lose}", hosts[:-options.lose], 60)
        finally:
            for host in hosts:
                if host.alive():
                    host.kill()
    print("done")


if __name__ == "__main__":
    main()
