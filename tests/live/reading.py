"""Readers for the live tests: every byte is compared with what the origin says it has."""

import hashlib
import os
import threading
import time


def digest(path, block=1 << 20):
    sha = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while data := file.read(block):
            sha.update(data)
    return sha.hexdigest()


def truth(origin, prefix, bucket="data"):
    """Name below the prefix -> (size, SHA-256), as the origin holds them."""
    objects = origin.objects(bucket=bucket, prefix=prefix, sha256=True)["objects"]
    return {o["key"][len(prefix):]: (o["size"], o["sha256"]) for o in objects}


def data_gets(origin):
    kinds = origin.counters()["totals"]["kinds"]
    get = kinds.get("GET", {"requests": 0, "bytes": 0})
    return get["requests"], get["bytes"]


class Reader(threading.Thread):
    """Reads files of a mount again and again, or once, and keeps every fault and the longest
    wait for one read call."""

    def __init__(self, directory, names, sums, once=True):
        super().__init__(daemon=True)
        self.directory, self.names, self.sums, self.once = directory, list(names), sums, once
        self.faults, self.longest, self.done = [], 0.0, 0
        self.bytes = 0
        self.stopping = threading.Event()

    def read_one(self, name):
        sha = hashlib.sha256()
        began = time.monotonic()
        fd = os.open(os.path.join(self.directory, name), os.O_RDONLY)
        try:
            self.longest = max(self.longest, time.monotonic() - began)
            while True:
                began = time.monotonic()
                data = os.read(fd, 1 << 18)
                self.longest = max(self.longest, time.monotonic() - began)
                if not data:
                    break
                sha.update(data)
                self.bytes += len(data)
        finally:
            os.close(fd)
        if sha.hexdigest() != self.sums[name][1]:
            self.faults.append(f"{name}: wrong bytes")

    def run(self):
        while not self.stopping.is_set():
            for name in self.names:
                if self.stopping.is_set():
                    return
                try:
                    self.read_one(name)
                except OSError as error:
                    self.faults.append(f"{name}: {error}")
                self.done += 1
            if self.once:
                return

    def stop(self):
        self.stopping.set()
        self.join(60)
        assert not self.is_alive(), "a read hangs"
        return self.faults
