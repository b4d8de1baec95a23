"""A relay in front of an S3 server that counts what passes: requests and body bytes by kind.

It speaks enough HTTP/1.1 to tell GET of an object, LIST and HEAD apart and to see where an answer
ends. The Host header passes unchanged, so signatures hold only when the client signs the host it
connects to; give the upstream server no opinion about its name (radosgw has none)."""

import collections
import socket
import threading


class Relay:
    """Counts by kind: counts["GET"], bytes["GET"]; per key: keys[path] -> [requests, bytes]."""

    def __init__(self, upstream_port):
        self.upstream = ("127.0.0.1", upstream_port)
        self.lock = threading.Lock()
        self.reset()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def reset(self):
        with self.lock:
            self.counts = collections.Counter()
            self.bytes = collections.Counter()
            self.keys = collections.defaultdict(lambda: [0, 0])

    def close(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            with client, socket.create_connection(self.upstream) as server:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while self.one(client, server):
                    pass
        except OSError:
            pass

    def one(self, client, server):
        head, rest = read_head(client)
        if not head:
            return False
        method, target = head.split(b" ", 2)[:2]
        kind = kind_of(method, target)
        server.sendall(head)
        pass_body(client, server, rest, length_of(head, 0))
        status, rest = read_head(server)
        while status.split(b" ")[1:2] == [b"100"]:
            client.sendall(status)
            status, more = read_head(server, rest)
            rest = more
        if not status:
            return False
        client.sendall(status)
        size = 0 if method == b"HEAD" else length_of(status, None)
        passed = pass_body(server, client, rest, size)
        with self.lock:
            self.counts[kind] += 1
            self.bytes[kind] += passed
            entry = self.keys[target.split(b"?")[0].decode()]
            entry[0] += 1
            entry[1] += passed if kind == "GET" else 0
        return size is not None and b"connection: close" not in status.lower()


def kind_of(method, target):
    if method == b"GET" and b"list-type=2" in target:
        return "LIST"
    return method.decode()


def read_head(sock, data=b""):
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return b"", b""
        data += more
    end = data.index(b"\r\n\r\n") + 4
    return data[:end], data[end:]


def length_of(head, default):
    for line in head.lower().split(b"\r\n")[1:]:
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    if b"transfer-encoding: chunked" in head.lower():
        return -1
    return default


def pass_body(source, target, rest, size):
    """Pass `size` bytes (None: until the end; -1: chunked); how many there were."""
    if size == -1:
        return pass_chunked(source, target, rest)
    passed = 0
    if rest:
        target.sendall(rest)
        passed = len(rest)
    buffer = bytearray(1 << 18)
    while size is None or passed < size:
        got = source.recv_into(buffer, len(buffer) if size is None
                               else min(len(buffer), size - passed))
        if got == 0:
            break
        target.sendall(memoryview(buffer)[:got])
        passed += got
    return passed


def pass_chunked(source, target, rest):
    data, passed = rest, len(rest)
    target.sendall(rest)
    while not data.endswith(b"0\r\n\r\n"):
        more = source.recv(65536)
        if not more:
            break
        target.sendall(more)
        passed += len(more)
        data = (data + more)[-16:]
    return passed
