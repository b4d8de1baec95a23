"""24 nodes, each in a network namespace of its own, become one ring; one is killed and the cable of
another is pulled while a mount reads; both come back.

    python3 tests/live/big/show9_netns.py [--nodes 24]

Needs root, iproute2 and iptables."""

import argparse
import pathlib
import sys
import tempfile

import netns
from netns import live


def lose_two(cluster, reader):
    """One is killed, one loses its cable; both come back."""
    hosts = cluster.hosts
    dead, cut = hosts[5], hosts[11]
    rest = [h for h in hosts if h not in (dead, cut)]
    before = netns.one_ring(hosts)
    dead.kill()
    cluster.net.cable(cut.number, "down")
    netns.timed(f"one ring of the other {len(rest)}", lambda: netns.one_ring(rest), 60)
    done = reader.done
    live.wait_for("reads without the two", lambda: reader.done > done + len(cluster.sums), 120)
    cluster.net.cable(cut.number, "up")
    dead.start()
    after = netns.timed(f"one ring of all {len(hosts)} again", lambda: netns.one_ring(hosts), 90)
    assert after == before, "the same members make the same ring"


def run(directory, count):
    with netns.Cluster(directory, count) as cluster:
        reader = cluster.reader(cluster.mount())
        lose_two(cluster, reader)
        faults = reader.stop()
        print(f"{reader.done} reads, longest wait {reader.longest:.2f} s, {len(faults)} faults")
        status = cluster.hosts[7].ask("status")
        print(f"status: {status['verdict']}, {status['nodes']['owning']} owning")
    return faults


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
