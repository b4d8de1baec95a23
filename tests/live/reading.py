"""Readers for the live tests: every byte is compared with what the origin says it has."""

import contextlib
import functools
import hashlib
import math
import mmap
import os
import threading
import time

import lag


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


@contextlib.contextmanager
def kept(path):
    """The kernel keeps what it has of this file while the block lasts, also when it drops caches:
    what is mapped is not dropped."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        for at in range(0, len(mapping), mmap.PAGESIZE):
            mapping[at]
        yield


@functools.cache
def machine():
    """How long this machine stands still, from the first call on."""
    return lag.Lag()


class Clock:
    """The longest of some waits: `longest` without what the machine stood still in it, `whole` with
    that."""

    def __init__(self):
        self.longest = self.whole = 0.0

    def wait(self, call, *args):
        began, before = time.monotonic(), machine().lost()
        try:
            return call(*args)
        finally:
            took = time.monotonic() - began
            self.whole = max(self.whole, took)
            self.longest = max(self.longest, took - (machine().lost() - before))


class Reader(threading.Thread):
    """Reads files of a mount again and again, or once, and keeps every fault and the longest
    wait for one open or read. `hold_at`: after that many files it waits for `go`."""

    def __init__(self, directory, names, sums, once=True, hold_at=math.inf):
        super().__init__(daemon=True)
        machine()
        self.hold_at, self.go = hold_at, threading.Event()
        self.directory, self.names, self.sums, self.once = directory, list(names), sums, once
        self.faults, self.clock, self.done = [], Clock(), 0
        self.bytes = 0
        self.stopping = threading.Event()

    @property
    def longest(self):
        return self.clock.longest

    def read_one(self, name):
        sha = hashlib.sha256()
        fd = self.clock.wait(os.open, os.path.join(self.directory, name), os.O_RDONLY)
        try:
            while data := self.clock.wait(os.read, fd, 1 << 18):
                sha.update(data)
                self.bytes += len(data)
        finally:
            os.close(fd)
        if sha.hexdigest() != self.sums[name][1]:
            self.faults.append(f"{name}: wrong bytes")

    def run(self):
        while not self.stopping.is_set():
            for name in self.names:
                if self.done >= self.hold_at:
                    self.go.wait()
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
        self.go.set()
        self.join(300)
        assert not self.is_alive(), "a read hangs"
        return self.faults
