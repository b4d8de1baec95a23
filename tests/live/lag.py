"""How long this machine stood still, so that a test can tell that from a program that did.

A process beside the tests wants one thing of each processor: to be woken every 5 ms. What it is late
by, everybody on that processor was late by too: as long as a hypervisor took it away.

    lag = Lag()
    before = lag.lost()
    ...
    waited = seconds - (lag.lost() - before)"""

import ctypes
import mmap
import os
import subprocess
import sys
import tempfile
import time

EVERY = 0.005
BUSY = 0.05  # a processor that only has much to do is late by less; what is more counts


class Slot(ctypes.Structure):
    """What is known of a processor. Each number is written at once."""
    _fields_ = [("awake", ctypes.c_double), ("late", ctypes.c_double),  # in all
                ("longest", ctypes.c_double), ("mark", ctypes.c_double)]  # since that mark


class Page(ctypes.Structure):
    _fields_ = [("mark", ctypes.c_double), ("slots", Slot * 64)]


class Lag:
    def __init__(self):
        cpus = sorted(os.sched_getaffinity(0))[:64]
        with tempfile.TemporaryFile() as file:
            file.truncate(mmap.PAGESIZE)
            self.page = Page.from_buffer(mmap.mmap(file.fileno(), mmap.PAGESIZE))
            self.slots = self.page.slots[:len(cpus)]
            for slot in self.slots:
                slot.awake = time.monotonic()
            self.watchers = [subprocess.Popen([sys.executable, __file__, str(number), str(cpu),
                                               str(file.fileno())], pass_fds=[file.fileno()])
                             for number, cpu in enumerate(cpus)]

    def lost(self):
        """Seconds that the processors stood still, in all; for differences."""
        return sum(slot.late + lately(slot) for slot in self.slots)

    def mark(self):
        """`longest` begins anew."""
        self.page.mark = time.monotonic()

    def longest(self):
        """The longest time since the mark that a processor stood still."""
        return max(max(slot.longest if slot.mark == self.page.mark else 0.0, lately(slot))
                   for slot in self.slots)

    def close(self):
        for watcher in self.watchers:
            watcher.kill()
            watcher.wait()


def lately(slot):
    """What it is late by at this moment."""
    late = time.monotonic() - slot.awake - EVERY
    return late if late > BUSY else 0.0


def watch(number, cpu, fd):
    """Until whoever started us is gone."""
    parent, page = os.getppid(), Page.from_buffer(mmap.mmap(fd, mmap.PAGESIZE))
    slot, longest, mark = page.slots[number], 0.0, 0.0
    os.sched_setaffinity(0, {cpu})
    while os.getppid() == parent:
        began = time.monotonic()
        time.sleep(EVERY)
        slot.awake = time.monotonic()
        late = slot.awake - began - EVERY
        slot.late += late if late > BUSY else 0.0
        longest = max(longest if mark == page.mark else 0.0, late)
        slot.longest, slot.mark, mark = longest, page.mark, page.mark


if __name__ == "__main__":
    watch(*map(int, sys.argv[1:]))
