#!/usr/bin/python3
"""Pure code calls nothing that could tell time, wait, allocate or speak. This reads the object
files: a pure library may use its own symbols, those of the layers below it, and the ones listed
here; it has no mutable data; and it has no instruction that reads a clock or enters the kernel.

    purity.py BUILD_DIR [ROOT]
"""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import tree
from layers import RULES, PURE

LIBRARY = {folder: "libatoll_%s.a" % folder.replace("/", "_") for folder in PURE}

ALLOWED = re.compile(r"""^(
      mem(cpy|move|set|cmp|chr|rchr|mem|pcpy) | bcmp
    | str(len|nlen|cmp|ncmp|chr|rchr|str|spn|cspn|pbrk)
    | XXH(3|32|64|128)_\w+ | XXH(32|64|128)
    | crc64_\w+                                     # ISA-L
    | crypto_(generichash|aead|auth|verify|kdf|scalarmult)(_\w+)?
    | crypto_sign_(ed25519_)?(verify_)?detached # ed25519 draws nothing
    | sodium_(memcmp|memzero|is_zero)
    | __stack_chk_fail | _GLOBAL_OFFSET_TABLE_
    | __(popcount|clz|ctz|parity|ffs|bswap)[sdt]i2  # the compiler's own arithmetic
    | __(u?div|u?mod|mul|u?divmod)ti[34]
)$""", re.X)
# Of those families, what draws random numbers.
DENIED = re.compile(r"_keygen$|randombytes")
SANITIZER = re.compile(r"^__(asan|ubsan|tsan|sanitizer|lsan)_|^__sanitizer|^_*_start_asan|"
                       r"^__stop_asan|^__start_asan|^__tls_get_addr$|^__sancov")

# check.c tells of a broken invariant and ends the process. It alone may.
CHECK = ("base", "check.c.o")
CHECK_MAY = re.compile(r"^(abort|stderr|fflush|fputs|fputc|putc|fwrite|v?fprintf|backtrace\w*|"
                       r"write|snprintf|vsnprintf|dprintf|vdprintf)$")

# Section types that hold what can change. Read-only tables with pointers are .data.rel.ro.
MUTABLE = re.compile(r"^\.(t?data|t?bss)(\.|$)")
CONSTANT = re.compile(r"^\.data\.rel\.ro")
INSTRUCTION = re.compile(r"\b(rdtscp?|rdrand|rdseed|rdpmc|syscall|sysenter|int\s+\$0x80)\b")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbols(archive):
    """(object -> undefined names, all names the archive defines for others, commons per object)"""
    undefined, defined, common = defaultdict(set), set(), defaultdict(set)
    member = archive.name
    for line in run("nm", archive).splitlines():
        if line.endswith(":"):
            member = line[:-1]
            continue
        found = re.match(r"^[0-9a-f]*\s+([A-Za-z])\s+(\S+)$", line)
        if not found:
            continue
        kind, name = found.groups()
        if kind in "Uwv":
            undefined[member].add(name)
        elif kind == "C":
            common[member].add(name)
        elif kind.isupper():
            defined.add(name)
    return undefined, defined, common


def mutable_sections(archive):
    """(object, section, bytes) of each one that is not empty."""
    member = archive.name
    for line in run("size", "-A", archive).splitlines():
        if "(ex " in line:
            member = line.split()[0]
        part = line.split()
        if (len(part) >= 2 and MUTABLE.match(part[0]) and not CONSTANT.match(part[0])
                and part[1] != "0"):
            yield member, part[0], int(part[1])


def forbidden_instructions(archive):
    member = function = ""
    for line in run("objdump", "-d", "--no-show-raw-insn", archive).splitlines():
        if ": " in line and "file format" in line:
            member = line.split(":")[0]
        elif line.endswith(">:"):
            function = line.split("<")[-1][:-2]
        elif "\t" in line:
            found = INSTRUCTION.search(line.split("\t", 1)[1])
            if found:
                yield member, function, found.group(1)


def check_library(folder, archive, usable):
    """Problems of one archive; usable: the names its own layer and lower ones define."""
    undefined, _, common = symbols(archive)
    sanitized = any(SANITIZER.match(name) for names in undefined.values() for name in names)
    for member, names in sorted(undefined.items()):
        for name in sorted(names - usable):
            listed = ALLOWED.match(name) and not DENIED.search(name)
            told = (folder, member) == CHECK and CHECK_MAY.match(name)
            if not (listed or told or SANITIZER.match(name)):
                yield f"{folder}/{member[:-2]}:1: calls {name}"
    for member, names in sorted(common.items()):
        yield f"{folder}/{member[:-2]}:1: global {', '.join(sorted(names))}"
    for member, function, word in forbidden_instructions(archive):
        yield f"{folder}/{member[:-2]}:1: {function} has the instruction {word}"
    if sanitized:
        return  # a sanitizer keeps its own tables in .data
    for member, section, size in mutable_sections(archive):
        if (folder, member) != CHECK:
            yield f"{folder}/{member[:-2]}:1: {size} bytes in {section}: pure code has no globals"


def check(build, root):
    archives = {folder: build / LIBRARY[folder] for folder in PURE if any((root / folder).glob("*.c"))}
    problems = [f"{folder}/: {archive.name} is not built"
                for folder, archive in archives.items() if not archive.is_file()]
    built = {folder: archive for folder, archive in archives.items() if archive.is_file()}
    defined = {folder: symbols(archive)[1] for folder, archive in built.items()}
    for folder, archive in built.items():
        usable = set().union(*(defined.get(lower, set()) for lower in [folder, *RULES[folder]]))
        problems += check_library(folder, archive, usable)
    return problems


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    root = Path(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).parents[2]).resolve()
    return tree.report(check(Path(sys.argv[1]).resolve(), root))


if __name__ == "__main__":
    sys.exit(main())
