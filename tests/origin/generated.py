"""The bytes of the test origin's generated objects: the twin of tests/origin/generate.c, whose
header holds the formula.

    generated.data(seed, key, offset, size) -> bytes
    generated.key(prefix, index, suffix="", fanout=0) -> str
    generated.size(seed, index, smallest, largest) -> int
"""

import functools

GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
PAGE = 4096
PAD = 1 << 20


def mix(z):
    z &= MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@functools.lru_cache(maxsize=1)
def _pad():
    words = (mix((i + 1) * GOLDEN) for i in range((PAD + PAGE) // 8))
    return b"".join(word.to_bytes(8, "little") for word in words)


def base(seed, key):
    key = key.encode() if isinstance(key, str) else key
    hashed = 0xCBF29CE484222325
    for byte in key:
        hashed = ((hashed ^ byte) * 0x100000001B3) & MASK
    return mix(seed ^ hashed)


def data(seed, key, offset, size):
    """Bytes [offset, offset + size) of the generated object of that key."""
    start, pad = base(seed, key), _pad()
    first, last = offset // PAGE, (offset + size + PAGE - 1) // PAGE
    pages = []
    for page in range(first, last):
        stamp = mix(start + (page + 1) * GOLDEN)
        at = stamp % PAD
        pages.append(stamp.to_bytes(8, "little") + pad[at : at + PAGE - 8])
    return b"".join(pages)[offset - first * PAGE :][:size]


def key(prefix, index, suffix="", fanout=0):
    folder = "d%05d/" % (index // fanout) if fanout else ""
    return "%s%s%08d%s" % (prefix, folder, index, suffix)


def size(seed, index, smallest, largest):
    return smallest + mix(seed + (index + 1) * GOLDEN) % (largest - smallest + 1)
