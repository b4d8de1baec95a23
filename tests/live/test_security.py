"""Who has no key gets nothing and changes nothing; garbage on any port is dropped."""

import json
import os
import random
import socket
import struct
import time
import urllib.error
import urllib.request

import pytest

import cluster as live
import reading


def prepare(cluster):
    cluster.origin("--generate", "data/set/,count=20,size=100KiB,seed=1")
    cluster.nodes(2, tier=None, memory="200MiB")
    cluster.dataset("set", "s3://data/set/")
    cluster.dataset("other", "s3://data/set/")


def state(cluster):
    """What an intruder must not change: rings, members, datasets, on every node."""
    return [(n.json("/api/v1/ring")["rings"][0]["digest"],
             sorted((m["id"], m["incarnation"], m["state"])
                    for m in n.json("/api/v1/nodes")["nodes"]),
             [(d["name"], d["rows"]) for d in n.json("/api/v1/datasets")["datasets"]])
            for n in cluster.members]


def stranger(cluster, workdir, *trust, seeds=None):
    """A node with these keys that tries to join; ended by the caller."""
    port, admin = live.free_ports(2), live.free_ports(1)
    process = live.Process("stranger", [
        live.program("atoll"), "node", "--name", "stranger", "--listen", f"127.0.0.1:{port}",
        "--admin", f"127.0.0.1:{admin}", "--data-dir", workdir / "data", "--memory", "200MiB",
        "--seeds", seeds or cluster.seeds, *trust], workdir / "stranger.log")
    cluster.others.append(process)
    process.admin = f"http://127.0.0.1:{admin}"
    return process


def refuses_to_mix(cluster, workdir, *trust):
    """A stranger knocks for some seconds; nobody learns of anybody."""
    before = state(cluster)
    process = stranger(cluster, workdir, *trust)

    def knocked():
        assert process.alive(), process.tail()
        heard = sum(n.metrics().get("atoll_gossip_dropped_total", 0.0) for n in cluster.members)
        return heard >= base + 5

    base = sum(n.metrics().get("atoll_gossip_dropped_total", 0.0) for n in cluster.members)
    try:
        live.wait_for("packets of the stranger that were refused", knocked)
        with urllib.request.urlopen(process.admin + "/api/v1/nodes") as answer:
            assert answer.read().decode().count('"id"') <= 1
        assert state(cluster) == before
    finally:
        process.kill()
        cluster.others.remove(process)


def test_a_node_with_another_clusters_key_does_not_join_and_changes_nothing(shared, workdir):
    shared.cli("keygen", "cluster", "--name", "test", "--out", workdir / "else.key", admin=False)
    refuses_to_mix(shared, workdir, "--cluster-file", workdir / "else.key")


def test_a_node_without_keys_does_not_join_and_changes_nothing(shared, workdir):
    refuses_to_mix(shared, workdir, "--insecure", "--cluster", "test")


def test_a_client_reads_what_its_grant_names_and_nothing_else(shared, workdir):
    key = shared.client_file("set", "only-set.key")
    mount = live.Mount(shared, len(shared.mounts), "set", ["--seeds", shared.seeds, "--client-file",
                                                           key])
    shared.mounts.append(mount)
    live.wait_for("mount", mount.mounted)
    sums = reading.truth(shared.store, "set/")
    assert {n: reading.digest(mount.dir / n) for n in os.listdir(mount.dir)} == {
        n: sha for n, (_, sha) in sums.items()}
    mount.close()
    done = shared.cli("mount", "other", workdir, "-f", "--seeds", shared.seeds, "--client-file",
                      key, "-o", "nonempty", admin=False, check=False)
    assert done.returncode == 4 and "grant" in done.stderr and not live.is_mounted(workdir)


def test_a_client_file_is_not_taken_for_a_nodes(shared, workdir):
    done = shared.cli("node", "--listen", f"127.0.0.1:{live.free_ports(2)}", "--data-dir",
                      workdir / "data", "--cluster-file", shared.dir / "client.key",
                      admin=False, check=False)
    assert done.returncode in (2, 7) and "client.key" in done.stderr


def test_keys_are_readable_by_their_owner_only(shared):
    for name in ("cluster.key", "client.key"):
        assert (shared.dir / name).stat().st_mode & 0o077 == 0


def test_neither_secrets_nor_keys_are_in_the_logs(shared):
    secrets = [live.SECRET_KEY] + [w for w in (shared.dir / "cluster.key").read_text().split('"')
                                   if len(w) > 30]
    for node in shared.members:
        text = node.log.read_text()
        assert "node.started" in text
        assert not [s for s in secrets if s in text]


def shapes(rng, sample):
    """Packets that no node sends: noise, cut and flipped frames, huge lengths."""
    yield b""
    yield b"\0" * 1200
    yield b"\xff" * 1200
    yield struct.pack(">Q", 1 << 62) + b"x" * 16
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"\xff" + b"\0" * 8 + b"\x7f" + b"\x03\0NULL" + b"\0" * 48  # a ZMTP greeting
    yield b"\xff" + b"\0" * 8 + b"\x7f" + b"\x03\0CURVE" + b"\0" * 47 + b"\x04\x7f" + b"x" * 100
    for _ in range(60):
        yield rng.randbytes(rng.randrange(1, 2000))
        packet = bytearray(sample)
        packet[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)
        yield bytes(packet)
        yield bytes(packet[:rng.randrange(len(packet))])


def sample_packet(cluster, workdir):
    """A packet as a real node sends it: what a joining node says to its seed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trap:
        trap.bind(("127.0.0.1", 0))
        trap.settimeout(live.PATIENCE)
        seed = f"127.0.0.1:{trap.getsockname()[1]}"
        process = stranger(cluster, workdir, *cluster.trust(), seeds=seed)
        try:
            return trap.recv(2000)
        finally:
            process.kill()
            cluster.others.remove(process)


def throw_tcp(port, packet):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(packet)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.05)
            while connection.recv(4096):
                pass
    except OSError:
        pass


def test_truncated_and_garbage_packets_on_every_port_change_nothing(shared, workdir):
    seed = 20260101
    print("seed", seed)
    packets = list(shapes(random.Random(seed), sample_packet(shared, workdir)))
    before = state(shared)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for node in shared.members:
            for packet in packets:
                udp.sendto(packet, ("127.0.0.1", node.port))
                for port in (node.port, node.port + 1, node.admin_port):
                    throw_tcp(port, packet)
    assert all(n.alive() and n.ready() for n in shared.members)
    assert state(shared) == before
    mount = shared.mount("set")
    sums = reading.truth(shared.store, "set/")
    assert all(reading.digest(mount.dir / n) == sha for n, (_, sha) in sums.items())
    mount.close()


GREETING = b"\xff" + b"\0" * 8 + b"\x7f\x03\0NULL" + b"\0" * 48
READY = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"
FRAMES = {  # of a message that goes on: empty ones cost the most memory for a byte, large ones come fastest
    "empty": b"\x01\0",
    "large": b"\x03" + struct.pack(">Q", 8192) + b"x" * 8192,
}


def endless_message(port, frame, seconds):
    """Sends frames of one message until it is cut off; the bytes that went out, None: it was not."""
    heap, sent, end = frame * ((1 << 20) // len(frame)), 0, time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as peer:
        peer.sendall(GREETING)
        answer = b""
        while len(answer) < 64:
            part = peer.recv(64)
            assert part, "the node ends a new connection"
            answer += part
        peer.sendall(b"\x04" + bytes([len(READY)]) + READY)
        try:
            while time.monotonic() < end:
                sent += peer.send(heap)
        except TimeoutError:
            return None
        except OSError:
            return sent
    return None


def resident(node):
    with open(f"/proc/{node.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("frame", FRAMES)
def test_a_message_without_end_is_cut_off_before_it_fills_the_memory(shared, frame):
    node = shared.members[0]
    before = resident(node)
    sent = [endless_message(node.port + 1, FRAMES[frame], 30) for _ in range(5)]
    grown = resident(node) - before
    print(f"cut off after {sent} bytes, {grown >> 20} MiB more resident")
    assert None not in sent, "a connection was not cut off"
    assert grown < 400 << 20
    live.wait_for("five counted", lambda: node.metrics()["atoll_link_cut_total"] >= 5)
    assert "a message without end" in node.log.read_text()
    mount = shared.mount("set")
    sums = reading.truth(shared.store, "set/")
    assert all(reading.digest(mount.dir / n) == sha for n, (_, sha) in sums.items())
    mount.close()


def test_an_admin_address_that_is_not_loopback_wants_a_token(shared, workdir):
    node = ("node", "--listen", f"127.0.0.1:{live.free_ports(2)}", "--data-dir", workdir / "data",
            "--memory", "200MiB", *shared.trust(), "--admin", f"0.0.0.0:{live.free_ports(1)}")
    done = shared.cli(*node, admin=False, check=False)
    assert done.returncode == 2 and "admin-token-file" in done.stderr


def test_an_admin_address_with_a_token_answers_only_those_who_have_it(shared, workdir):
    token = workdir / "token"
    token.touch(mode=0o600)
    token.write_text("a-long-enough-token-of-letters\n")
    admin = f"127.0.0.1:{live.free_ports(1)}"
    process = live.Process("guarded", [
        live.program("atoll"), "node", "--name", "guarded", "--listen",
        f"127.0.0.1:{live.free_ports(2)}", "--admin", admin, "--data-dir", workdir / "data",
        "--memory", "200MiB", "--insecure", "--cluster", "guarded", "--admin-token-file", token],
        workdir / "guarded.log")
    shared.others.append(process)

    def lives():
        assert process.alive(), process.tail()
        try:
            return urllib.request.urlopen(f"http://{admin}/livez").status == 200
        except OSError:
            return False

    live.wait_for("answer of the node", lives)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://{admin}/api/v1/status")
    assert caught.value.code in (401, 403)

    def asked(*command):
        return shared.cli(*command, "--admin", admin, "--admin-token-file", token, admin=False,
                          check=False)

    live.wait_for("node that owns", lambda: json.loads(
        asked("nodes", "--json").stdout)["nodes"][0]["state"] == "owning")
    done = asked("status")
    assert done.returncode == 0 and "guarded" in done.stdout, done.stdout + done.stderr
    process.stop()
    shared.others.remove(process)
