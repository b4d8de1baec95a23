"""`atoll sim` as a command: what it refuses, and what it leaves behind."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess

import pytest

import cluster as live

LAST_SEED = (1 << 63) - 1  # all that JSON numbers are read as, by everybody
CALM = ["sim", "fuzz", "--calm", "--jobs", "1"]


def heed_sigint():
    """What a shell starts behind it ignores SIGINT, and these tests may be that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def fuzz_of(*words):
    """A run of seeds, one at a time, that is gone when the block is left."""
    with subprocess.Popen([live.program("atoll"), "sim", "fuzz", "--jobs", "1", *map(str, words)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          start_new_session=True, preexec_fn=heed_sigint) as run:
        try:
            yield run
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)


def end_one_seed(pid):
    """Kill the process of a seed: that seed fails."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    seed = live.wait_for("a seed", lambda: children.read_text().split(), every=0.001)
    os.kill(int(seed[0]), signal.SIGKILL)


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
    (f"fuzz --seeds 3 --first {LAST_SEED}", f"--first: the last seed there is, {LAST_SEED}"),
    (f"fuzz --seeds 1 --first {LAST_SEED + 1}", f"{LAST_SEED}"),
    (f"replay {LAST_SEED + 1}", f"{LAST_SEED} at most"),
    (f"shrink {LAST_SEED + 1}", f"{LAST_SEED}"),
    ("fuzz --seeds 1000 --hashes /nodir/x",
     "/nodir/x.partial cannot be made: No such file or directory"),
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


def test_hashes_of_a_run_that_was_ended_are_not_written_over(tmp_path):
    hashes, partial = tmp_path / "hashes", tmp_path / "hashes.partial"
    partial.write_text("1 0\n")
    code, out, err = sim("sim", "fuzz", "--seeds", 1000, "--hashes", hashes)
    assert (code, out) == (2, "") and partial.read_text() == "1 0\n" and not hashes.exists()
    assert f"{partial} is there, of a run that was ended: move it away or remove it\n" in err


def test_where_hashes_cannot_be_gathered_is_named(tmp_path):
    hashes = tmp_path / ("x" * 255)  # of a name that is as long as can be
    hashes.write_text("older\n")
    code, out, err = sim("sim", "fuzz", "--seeds", 1000, "--hashes", hashes)
    assert (code, out) == (2, "") and f"{hashes}.partial cannot be made: File name too long" in err


def test_hashes_do_not_go_where_a_link_leads_to_nothing(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    code, out, err = sim("sim", "fuzz", "--seeds", 1000, "--hashes", tmp_path / "link")
    assert (code, out) == (2, "") and "/link: a link that leads to nothing" in err
    assert os.listdir(tmp_path) == ["link"] and (tmp_path / "link").is_symlink()


def test_hashes_that_cannot_take_their_place_are_kept_beside_it(tmp_path):
    hashes, partial = tmp_path / "hashes", tmp_path / "hashes.partial"
    with fuzz_of("--calm", "--seeds", "8", "--hashes", hashes) as run:
        live.wait_for("its start", partial.exists, every=0.001)
        hashes.mkdir()
        _, err = run.communicate(timeout=60)
    assert run.returncode == 6 and f"all hashes are in {partial}\n" in err
    assert len(partial.read_text().splitlines()) == 8


def test_a_run_that_stops_at_a_failure_spares_an_older_file(tmp_path):
    hashes, partial = tmp_path / "hashes", tmp_path / "hashes.partial"
    hashes.write_text("older\n")
    with fuzz_of("--calm", "--stop", "--json", "--seeds", "9", "--hashes", hashes) as run:
        end_one_seed(run.pid)
        out, err = run.communicate(timeout=60)
    told = json.loads(out)
    assert run.returncode == 1 and told["failed"] == 1
    assert 0 < told["over"] == told["passed"] + told["failed"] < 9
    assert f"the first {told['over']} seeds have run; to go on: --first {told['over'] + 1} " in err
    assert hashes.read_text() == "older\n" and f"hashes are in {partial}" in err
    assert len(partial.read_text().splitlines()) == told["over"]


def test_closed_standard_descriptors_are_not_taken_for_others():
    done = subprocess.run([live.program("atoll"), *CALM, "--seeds", "1"], timeout=60,
                          stdout=subprocess.PIPE, text=True,
                          preexec_fn=lambda: (os.close(0), os.close(2)))
    assert done.returncode == 0 and "1 passed, 0 failed" in done.stdout


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
    with fuzz_of("--seeds", "100000", "--only", "join", "--hashes", hashes) as run:
        live.wait_for("the first seeds", lambda: seconds_of_children(run.pid) > 0)
        os.killpg(run.pid, number)
        out, err = run.communicate(timeout=20)
    assert run.returncode == 128 + number
    assert "passed, 0 failed" in out and "to go on: --first " in err
    assert hashes.read_text() == "older\n"
    lines = (tmp_path / "hashes.partial").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    assert f"--first {len(lines) + 1} --seeds {100000 - len(lines)}\n" in err
