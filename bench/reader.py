"""The one program that reads, for every file system of the benchmark alike. A new process for each
case; it prints what it took as one line of JSON.

    reader.py sequential FILE     the whole file in reads of 1 MiB
    reader.py files DIR           each file of DIR in directory order: open, read to its end, close
    reader.py list DIR            `ls -l`: each name of DIR and its attributes
"""

import json
import os
import sys
import time

BUFFER = bytearray(1 << 20)


def read_whole(path):
    fd, size = os.open(path, os.O_RDONLY), 0
    try:
        while got := os.readv(fd, [BUFFER]):
            size += got
    finally:
        os.close(fd)
    return size


def sequential(path):
    return 1, read_whole(path)


def files(directory):
    with os.scandir(directory) as entries:
        paths = [entry.path for entry in entries]
    return len(paths), sum(map(read_whole, paths))


def listing(directory):
    count = size = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            size += entry.stat(follow_symlinks=False).st_size
            count += 1
    return count, size


def main():
    what, path = sys.argv[1:]
    case = {"sequential": sequential, "files": files, "list": listing}[what]
    BUFFER[::4096] = b"x" * len(BUFFER[::4096])  # the first touch of memory is nobody's cost
    began = time.monotonic()
    items, size = case(path)
    print(json.dumps({"seconds": time.monotonic() - began, "items": items, "bytes": size}))


if __name__ == "__main__":
    main()
