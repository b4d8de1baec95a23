"""Each lint catches what it is there for, and lets good code pass."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import cppcheck  # noqa: E402
import docs  # noqa: E402
import format as layout  # noqa: E402
import layers  # noqa: E402
import prose  # noqa: E402
import purity  # noqa: E402
import shape  # noqa: E402
import tidy  # noqa: E402
import tree  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    """A function that writes files into an empty tree and returns its root."""
    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path
    return write


def wrong(text):
    return [message for _, message in shape.check_text(text)]


# ---- tokens ------------------------------------------------------------------------------------

def test_comments_strings_and_splices_do_not_confuse_the_tokens():
    text = 'a = "/* { \\" */"; // } \\\n still a comment {\nb = \'{\'; /* " */ c\\\n = 0x1.8p+3;\n'
    found = [(token.text, token.line) for token in tree.tokens(text)]
    assert found == [("a", 1), ("=", 1), ('"/* { \\" */"', 1), (";", 1), ("b", 3), ("=", 3),
                     ("'{'", 3), (";", 3), ("c", 3), ("=", 4), ("0x1.8p+3", 4), (";", 4)]


def test_a_directive_is_one_token_with_its_continuations():
    found = tree.tokens("#define X(a) \\\n    do_it(#a) /* two\nlines */ more\nint x;\n")
    assert [token.kind for token in found] == ["directive", "word", "word", "punct"]
    assert (found[0].line, found[0].end, found[1].line) == (1, 3, 4)
    assert found[0].text.endswith("more")


# ---- layers ------------------------------------------------------------------------------------

def test_an_include_from_a_higher_layer_is_caught(project):
    root = project({"ring/ring.h": "", "base/x.c": '#include "ring/ring.h"\n'})
    assert layers.check(root) == ["base/x.c:1: base may not include ring (ring/ring.h)"]


def test_an_include_from_a_lower_layer_is_fine(project):
    root = project({"base/x.h": "", "ring/ring.h": '#include "base/x.h"\n',
                    "ring/ring.c": '/* ring */\n#include "ring/ring.h"\n#include "base/x.h"\n'})
    assert layers.check(root) == []


def test_the_simulator_may_not_include_threads_and_sockets(project):
    root = project({"node/io/peer.h": "", "sim/x.c": '#include "node/io/peer.h"\n'})
    assert layers.check(root) == ["sim/x.c:1: sim may not include node/io (node/io/peer.h)"]


def test_the_own_header_comes_first(project):
    root = project({"base/y.h": "", "base/x.h": "",
                    "base/x.c": '#include "base/y.h"\n#include "base/x.h"\n'})
    assert layers.check(root) == ['base/x.c:1: include "base/x.h" first']


def test_a_path_that_is_not_from_the_root_is_caught(project):
    root = project({"base/y.h": "", "base/x.c": '#include "y.h"\n'})
    assert layers.check(root) == ['base/x.c:1: "y.h" is no path from the root of the tree']


def test_a_system_header_with_a_clock_is_caught_in_pure_code_only(project):
    root = project({"gossip/x.c": "#include <stdint.h>\n#include <time.h>\n",
                    "node/io/x.c": "#include <time.h>\n"})
    assert layers.check(root) == ["gossip/x.c:2: pure code may not include <time.h>"]


def test_an_include_in_a_comment_or_table_is_read_rightly(project):
    root = project({"fs/fuse.h": "", "base/x.c": '/*\n#include "fs/fuse.h"\n*/\n',
                    "base/errors.def": '#include "fs/fuse.h"\n'})
    assert layers.check(root) == ["base/errors.def:1: base may not include fs (fs/fuse.h)"]


def test_a_folder_without_a_row_is_caught(project):
    root = project({"misc/x.c": ""})
    assert layers.check(root) == ["misc/x.c:1: its folder has no row in tests/lint/layers.py"]


# ---- shape -------------------------------------------------------------------------------------

def test_a_function_of_70_lines_passes_and_one_of_71_does_not():
    def function(lines):
        return "static int\nf(int a)\n{\n" + "    a++;\n" * (lines - 4) + "}\n"
    assert wrong(function(70)) == []
    assert wrong(function(71)) == ["f has 71 lines, at most 70"]


def test_a_table_is_not_a_function_however_long():
    assert wrong("static const struct x table[] = {\n" + "    { F(1) },\n" * 100 + "};\n") == []


def test_a_function_after_a_table_a_struct_and_a_macro_is_still_seen():
    text = ("ID_DEFINE(node_id)\nstruct x {\n    int (*call)(int);\n};\n"
            "static struct x y = { .call = f };\n"
            "__attribute__((noinline)) struct x *long_one(void) MUST_USE\n{\n" + ";\n" * 70 + "}\n")
    assert wrong(text) == ["long_one has 73 lines, at most 70"]


def test_a_fourth_level_is_caught_and_else_if_adds_none():
    inner = "if (a) { } else if (b) { while (c) { do { %s } while (d); } }"
    assert wrong("void f(void)\n{\n%s\n}\n" % (inner % "x();")) == []
    assert wrong("void f(void)\n{\n%s\n}\n" % (inner % "if (e) { x(); }")) == [
        "f nests 4 levels, at most 3"]


def test_initialisers_are_no_levels():
    text = ("void f(void)\n{\n    if (a) {\n        push((struct x){ .y = { { 1 }, { 2 } } });\n"
            "        struct { int a; } z = { .a = 1 };\n        return &(struct x){ { { 3 } } };\n"
            "    }\n}\n")
    assert wrong(text) == []


def test_switch_and_loops_made_by_macros_are_levels():
    text = "void f(void)\n{\nswitch (a) {\ncase 1: {\nEACH(x) {\nif (a) {\n}\n}\n}\n}\n}\n"
    assert wrong(text) == ["f nests 4 levels, at most 3"]


def test_a_sixth_parameter_is_caught():
    five = "void f(int a, int (*b)(int, int), int c[2], struct d d, int e, ...)\n{\n    g();\n}\n"
    assert wrong(five) == []
    assert wrong(five.replace(", ...", ", int g")) == ["f has 6 parameters, at most 5"]


def test_a_callback_may_have_the_parameters_its_library_wants():
    callback = "static void f(int a, int b, int c, int d, int e, int g)\n{\n    h();\n}\n"
    assert wrong(callback + "void set(void)\n{\n    give(f);\n}\n") == []
    assert wrong(callback + "void set(void)\n{\n    f(1, 2, 3, 4, 5, 6);\n}\n") == [
        "f has 6 parameters, at most 5"]


@pytest.mark.parametrize("statement, word", [
    ("if (a) b();", "if"), ("if (a) { } else b();", "else"), ("for (;;) b();", "for"),
    ("while (a) b();", "while"), ("while (a);", "while"), ("do b(); while (a);", "do"),
])
def test_a_statement_without_braces_is_caught(statement, word):
    assert f"`{word}` without braces" in wrong("void f(void)\n{\n    %s\n}\n" % statement)


def test_braces_are_wanted_in_macros_too():
    assert wrong("#define F(a) \\\n    do { \\\n        if (a) return; \\\n    } while (0)\n") == [
        "`if` without braces"]
    assert wrong("#define EACH(a) for (int i = 0; i < (a); i++)\n") == []
    assert wrong("#define F(a) do { if (a) { g(#a); } else if (b) { h(); } } while (0)\n") == []


def test_both_branches_of_an_if_of_the_preprocessor_are_read():
    text = ("void f(void)\n{\n#ifdef A\n    if (a) {\n#else\n    if (b) {\n#endif\n        c();\n"
            "    }\n}\n#if 0\nvoid g(void)\n{\n    if (a) b();\n}\n#else\nvoid h(void)\n{\n"
            "    while (a) b();\n}\n#endif\n")
    assert wrong(text) == ["`if` without braces", "`while` without braces"]


def test_a_file_of_601_lines_is_caught():
    assert wrong("\n" * 600) == []
    assert wrong("\n" * 601) == ["601 lines, at most 600"]


# ---- prose -------------------------------------------------------------------------------------

def test_marks_of_unfinished_work_and_machine_paths_are_caught(project):
    words = prose.WORDS + ["/" + name + "/x" for name in prose.FOLDERS]
    root = project({"a.md": "\n".join(words) + "\n",
                    "b.md": "mktemp x.XXXXXX host/work/y s3://b/root ../farm/x TODOs\n"})
    assert len(prose.check(root)) == len(words)


def test_a_binary_file_is_not_prose(project):
    root = project({})
    (root / "x.bin").write_bytes(b"\xff\xfe" + prose.WORDS[0].encode())
    assert prose.check(root) == []


# ---- format ------------------------------------------------------------------------------------

def test_a_wrong_layout_is_caught(project):
    root = project({".clang-format": (ROOT / ".clang-format").read_text(),
                    "good.c": "int f(char *a)\n{\n    return *a;\n}\n",
                    "bad.c": "int f(char* a) {\n  return *a;\n}\n"})
    assert layout.check(root) == ["bad.c:1: layout: clang-format -i bad.c"]


# ---- docs --------------------------------------------------------------------------------------

def test_a_generated_page_that_differs_is_missing_or_left_over_is_told(project):
    root = project({"fresh/same.md": "1", "kept/same.md": "1", "fresh/new.md": "1",
                    "fresh/changed.md": "1", "kept/changed.md": "2", "kept/old.md": "1"})
    problems = docs.compare(root / "fresh", root / "kept")
    assert [line.split(": ", 1) for line in problems[:-1]] == [
        ["docs/generated/changed.md:1", "is not what the tables say"],
        ["docs/generated/new.md:1", "is missing"],
        ["docs/generated/old.md:1", "nothing makes it any more"]]
    assert docs.compare(root / "kept", root / "kept") == []


# ---- purity ------------------------------------------------------------------------------------

@pytest.fixture
def built(project):
    """A function that compiles each file and archives it as its folder's library."""
    def build(files):
        root = project(files)
        for name in files:
            folder, _, file = name.rpartition("/")
            out = root / "build" / f"{file}.o"
            out.parent.mkdir(exist_ok=True)
            subprocess.run(["gcc", "-O1", "-w", "-fno-stack-protector", "-c", root / name,
                            "-o", out], check=True)
            subprocess.run(["ar", "qc", root / "build" / purity.LIBRARY[folder], out], check=True)
        return purity.check(root / "build", root)
    return build


def test_pure_code_passes(built):
    assert built({
        "base/check.c": "void abort(void); void puts(const char *); int fprintf(void *, ...);"
                        "void check_failed(void) { fprintf(0, \"x\"); abort(); }\n",
        "ring/x.c": "void check_failed(void); extern int memcmp(const void *, const void *, long);"
                    "static const char *const names[] = { \"a\", \"b\" };"
                    "const char *f(int i, void *a, void *b, long n) {"
                    " if (memcmp(a, b, n)) check_failed(); return names[i]; }\n"}) == []


@pytest.mark.parametrize("call", ["malloc", "snprintf", "time", "qsort", "printf", "strtol",
                                  "randombytes_buf", "crypto_auth_keygen", "pthread_mutex_lock"])
def test_an_impure_call_is_caught(built, call):
    assert built({"gossip/x.c": f"int {call}(); int f(void) {{ return {call}(); }}\n"}) == [
        f"gossip/x.c:1: calls {call}"]


def test_only_the_file_that_ends_the_process_may_abort(built):
    assert built({"base/x.c": "void abort(void); void f(void) { abort(); }\n"}) == [
        "base/x.c:1: calls abort"]


def test_a_symbol_of_a_higher_layer_is_caught(built):
    assert built({"gossip/g.c": "void gossip_tick(void) {}\n",
                  "ring/r.c": "void gossip_tick(void); void f(void) { gossip_tick(); }\n"}) == [
        "ring/r.c:1: calls gossip_tick"]


def test_a_variable_is_caught_wherever_it_hides(built):
    problems = built({"base/a.c": "int f(void) { static int n = 1; return n++; }\n",
                      "base/b.c": "static int n; int g(void) { return n++; }\n",
                      "base/c.c": "_Thread_local int n; int h(void) { return n++; }\n"})
    assert [line.split(":")[0] for line in problems] == ["base/a.c", "base/b.c", "base/c.c"]


def test_a_clock_read_by_an_instruction_is_caught(built):
    if os.uname().machine != "x86_64":
        pytest.skip("the instruction is one of x86-64")
    assert built({"base/a.c": "long long f(void) { return __builtin_ia32_rdtsc(); }\n"}) == [
        "base/a.c:1: f has the instruction rdtsc"]


def test_a_library_that_was_not_built_is_told(project):
    root = project({"base/x.c": "", "build/y": ""})
    assert purity.check(root / "build", root) == ["base/: libatoll_base.a is not built"]


# ---- the tree ----------------------------------------------------------------------------------

def test_ignored_files_are_not_looked_at(project):
    root = project({"a.c": "", "b.c": "", ".gitignore": "b.c\n"})
    assert shutil.which("git")
    subprocess.run(["git", "init", "-q", root], check=True)
    assert tree.project_files(root, ".c") == [root / "a.c"]


# ---- cppcheck and clang-tidy -------------------------------------------------------------------

def installed(name):
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed: ./dev setup installs it")


def compiled(root, text):
    """The file base/x.c with that text, as if it had been compiled."""
    (root / "build").mkdir()
    (root / "build/compile_commands.json").write_text(json.dumps(
        [{"directory": str(root), "file": str(root / "base/x.c"), "command": "cc -c base/x.c"}]))
    shutil.copy(ROOT / ".clang-tidy", root)
    (root / "base").mkdir()
    (root / "base/x.c").write_text(text)
    return root, root / "build"


@installed("cppcheck")
def test_an_access_beyond_an_array_is_caught_by_cppcheck(tmp_path):
    text = "int f(void)\n{\n    int a[2] = { 0, 0 };\n    return a[2];\n}\n"
    found = cppcheck.check(*compiled(tmp_path, text))
    assert len(found) == 1 and found[0].startswith("base/x.c:4: ")


@installed("cppcheck")
def test_code_behind_a_check_is_believed_by_cppcheck(tmp_path):
    text = ("void check_failed(const char *, const char *, int);\nint f(int *p)\n{\n"
            "    if (!p) {\n        check_failed(\"p\", \"x\", 1);\n    }\n    return *p;\n}\n")
    assert cppcheck.check(*compiled(tmp_path, text)) == []


@installed("clang-tidy")
def test_two_branches_that_do_the_same_are_caught_by_clang_tidy(tmp_path):
    text = ("int f(int a)\n{\n    if (a == 1) {\n        return 2;\n    } else {\n"
            "        return 2;\n    }\n}\n")
    assert [line.split(":")[:2] for line in tidy.check(*compiled(tmp_path, text))] == \
        [["base/x.c", "3"]]


@installed("clang-tidy")
def test_code_that_clang_tidy_cannot_read_is_no_pass(tmp_path):
    assert tidy.check(*compiled(tmp_path, "int f(void)\n"))


@pytest.mark.parametrize("lint", ["cppcheck.py", "tidy.py"])
def test_a_lint_whose_program_is_missing_says_so(lint, tmp_path):
    done = subprocess.run([sys.executable, Path(__file__).parent / lint], capture_output=True,
                          text=True, env={"PATH": str(tmp_path)})
    assert done.returncode == tree.SKIPPED and "is not installed" in done.stdout
