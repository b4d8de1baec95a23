"""What every lint needs: the files of the tree, the report at the end, and C cut into tokens."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SKIPPED = 77  # exit status of a lint that had nothing to look at


def project_files(root, *suffixes):
    """Files of the project below root, as sorted Paths: what git tracks or would track. Without a
    git repository of its own, every file outside build/ and hidden folders."""
    root = Path(root).resolve()
    files = []
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "-co", "--exclude-standard"],
            cwd=root, check=True, capture_output=True).stdout
        files = [root / name.decode() for name in listed.split(b"\0") if name]
    else:
        files = [path for path in root.rglob("*")
                 if path.relative_to(root).parts[0] != "build" and "/." not in str(path)]
    return sorted(path for path in set(files)
                  if path.is_file() and (not suffixes or path.suffix in suffixes))


def report(problems):
    """Print the problems, and return the exit status that goes with them."""
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def root_from_args():
    """The tree to look at: the first argument, else the one this file lies in."""
    return Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()


def run_with(program, check):
    """A lint that needs a program and a build: check(root, build), the first and second arguments."""
    if shutil.which(program) is None:
        print(f"{program} is not installed: ./dev setup installs it")
        sys.exit(SKIPPED)
    root = root_from_args()
    build = Path(sys.argv[2] if len(sys.argv) > 2 else root / "build/release").resolve()
    sys.exit(report(check(root, build)))


class Token(NamedTuple):
    kind: str  # "word", "number", "string", "punct", "directive"
    text: str  # a directive's text is its whole line, continuations kept, comments gone
    line: int
    end: int   # last line; differs from line for a directive with continuations


PIECE = re.compile(r"""
      (?P<space>[ \t\r\f\v]+)
    | (?P<newline>\n)
    | (?P<comment>/\*.*?\*/|//[^\n]*)
    | (?P<string>(?:u8|[uUL])?"(?:\\.|[^"\\\n])*"|[uUL]?'(?:\\.|[^'\\\n])*')
    | (?P<word>[A-Za-z_]\w*)
    | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
    | (?P<punct>->|\+\+|--|<<=?|>>=?|[<>=!]=|&&|\|\||\.\.\.|[-+*/%&|^]=|\#\#|.)
""", re.X | re.S)
SPLICE = "\x01"  # stands for a backslash-newline, so that lines can still be counted


def tokens(text, line=1, first=True):
    """Cut C into tokens. Comments are gone; each preprocessor directive is one token. line: that of
    the first character; first: whether that one begins a line (so that # opens a directive)."""
    text = re.sub(r"\\[ \t]*\r?\n", SPLICE, text)
    out = []
    position = 0
    while position < len(text):
        piece = PIECE.match(text, position)
        kind, found = piece.lastgroup, piece.group()
        if found == SPLICE:
            line += 1
            position += 1
            continue
        if found == "#" and first:
            position, end = directive(text, position, line, out)
            line = end
            continue
        position = piece.end()
        if kind == "newline":
            line += 1
            first = True
            continue
        if kind not in ("space", "comment"):
            first = False
            out.append(Token(kind, found.replace(SPLICE, ""), line, line))
        line += found.count("\n") + found.count(SPLICE)
    return out


def directive(text, position, line, out):
    """Append the directive at position; return where it ends and the line that is on."""
    start, parts, end_line = line, [], line
    while position < len(text):
        piece = PIECE.match(text, position)
        if piece.lastgroup == "newline":
            break
        found = piece.group()
        position = piece.end()
        line += found.count("\n") + found.count(SPLICE)
        if piece.lastgroup == "comment":
            parts.append(" ")
            continue
        if piece.lastgroup != "space":
            end_line = line
        parts.append(found.replace(SPLICE, "\\\n"))
    out.append(Token("directive", "".join(parts), start, end_line))
    return position, line
