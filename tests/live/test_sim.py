"""`atoll sim` as a command: what it refuses, and what it leaves behind."""

import os
import pathlib
import signal
import subprocess

import pytest

import cluster as live

LAST_SEED = (1 << 64) - 1
CALM = ["sim", "fuzz", "--calm", "--jobs", "1"]


def sim(*words):
    done = subprocess.run([live.program("atoll"), *map(str, words)], timeout=60, capture_output=True,
                          text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words, says", [
    ("fuzz --only leave --calm", "--calm: "),
    ("replay 7 --only leave --calm", "--calm: "),
    ("shrink 7 --only leave --calm", "--calm: "),
    ("fuzz --only nope", "docs/generated/scenarios.md"),
    ("replay 7 --text --verbose", "--text: "),
    ("replay 7 --text --messages", "--text: "),
    (f"fuzz --seeds 3 --first {LAST_SEED}", "--first: "),
    ("fuzz --seeds 1000 --hashes /nodir/x", "/nodir/x: No such file or directory"),
    ("fuzz --seeds 1000 --hashes /tmp", "/tmp: Is a directory"),
])
def test_what_makes_no_sense_is_refused_before_anything_runs(words, says):
    code, out, err = sim("sim", *words.split())
    assert (code, out) == (2, "") and says in err


def test_the_last_seed_there_is_can_run():
    assert sim(*CALM, "--seeds", 1, "--first", LAST_SEED)[0] == 0


@pytest.mark.parametrize("line", ["expect one ring by -3s", "at 12s crash node0 for -3s",
                                  "at -5s crash node0", "settle -5s", "expect stall < -1s",
                                  "dataset block 1MiB metadata ttl=-10s",
                                  "dataset metadata ttl=0s", "seed 2", "mounts 9"])
def test_a_line_of_a_scenario_that_cannot_be_is_told_with_its_number(line, tmp_path):
    text = tmp_path / "wrong.txt"
    text.write_text(f"seed 1\n{line}\n")
    code, out, err = sim("sim", "scenario", text)
    assert (code, out) == (2, "") and err.startswith(f"atoll sim scenario: {text}: line 2: ")


def test_hashes_take_the_place_of_an_older_file_when_all_seeds_have_run(tmp_path):
    hashes = tmp_path / "hashes"
    hashes.write_text("older\n")
    (tmp_path / "link").symlink_to(hashes)
    assert sim(*CALM, "--seeds", 2, "--first", 5, "--hashes", tmp_path / "link")[0] == 0
    assert [line.split()[0] for line in hashes.read_text().splitlines()] == ["5", "6"]
    assert sorted(os.listdir(tmp_path)) == ["hashes", "link"]


def test_hashes_can_go_to_what_is_no_file():
    code, out, _ = sim(*CALM, "--seeds", 1, "--first", 5, "--hashes", "/dev/stdout")
    assert code == 0 and any(line.startswith("5 ") for line in out.splitlines())


def test_hashes_that_cannot_be_written_are_no_failed_seeds():
    code, out, err = sim(*CALM, "--seeds", 1, "--hashes", "/dev/full")
    assert code == 6 and "1 passed, 0 failed" in out
    assert "/dev/full could not be written: No space left on device" in err


def seconds_of_children(pid):
    """Of processor time, of those that have ended."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[13]) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_broken_off_says_what_came_of_it_and_spares_an_older_file(number, tmp_path):
    hashes = tmp_path / "hashes"
    hashes.write_text("older\n")
    run = subprocess.Popen([live.program("atoll"), "sim", "fuzz", "--seeds", "100000", "--only",
                            "join", "--jobs", "1", "--hashes", hashes], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True, start_new_session=True)
    live.wait_for("the first seeds", lambda: seconds_of_children(run.pid) > 0)
    os.killpg(run.pid, number)
    out, err = run.communicate(timeout=20)
    assert run.returncode == 128 + number
    assert "passed, 0 failed" in out and "to go on: --first " in err
    assert hashes.read_text() == "older\n"
    lines = (tmp_path / "hashes.partial").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    assert f"--first {len(lines) + 1} --seeds {100000 - len(lines)}\n" in err
