"""What operators ask: status, nodes, ring, where, datasets, metrics, life and readiness."""

import configparser
import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

import cluster as live
import reading

FILE_BYTES = 5 << 20  # two blocks


def prepare(cluster):
    cluster.origin("--generate", "data/set/,count=12,size=5MiB,seed=1", "--generate",
                   "data/tree/sub/,count=3,size=1KiB,seed=2")
    cluster.nodes(3, "--zone", "z1", "--label", "disk=fast")
    cluster.dataset("set", "s3://data/set/")
    mount = cluster.mount("set")
    cluster.sums = reading.truth(cluster.store, "set/")
    for name, (_, sha) in cluster.sums.items():
        assert reading.digest(mount.dir / name) == sha


def ask(cluster, *words):
    return json.loads(cluster.cli(*words, "--json"))


def test_status_says_that_all_is_well_and_what_the_cluster_holds(shared):
    assert shared.cli("status").splitlines()[0] == "OK"
    status = ask(shared, "status")
    assert status["verdict"] == "OK" and status["reasons"] == []
    assert status["nodes"]["owning"] == 3 and status["ring"]["agree"] == 3
    assert status["datasets"] == 1
    assert status["source"]["bytes"] == 12 * FILE_BYTES
    assert status["source"]["amplification"] == pytest.approx(1.0)


def test_every_command_explains_itself_with_examples_and_exit_codes():
    page = (live.ROOT / "docs/generated/options.md").read_text()
    commands = re.findall(r"^## `atoll ([a-z ]+)`$", page, re.MULTILINE)
    assert len(commands) >= 14
    for command in commands:
        done = subprocess.run([live.program("atoll"), *command.split(), "--help"], timeout=20,
                              capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), command
        for part in ("usage: atoll " + command, "\nexamples:\n", "\nexit codes: 0 done"):
            assert part in done.stdout, command


@pytest.mark.parametrize("words", ["help", "sim --help", "sim replay 7 --text",
                                   "sim membership --json"])
def test_what_cannot_be_printed_is_a_failure(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run([live.program("atoll"), *words.split()], timeout=20, stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "atoll: standard output: No space left on device\n"


def test_a_small_scenario_that_cannot_be_written_to_its_file_is_shown(tmp_path):
    text = tmp_path / "hungry.txt"
    text.write_text("nodes 1\nmounts 1\nreaders 1 listing\nrun 10s\nexpect read >= 900GB\n")
    done = subprocess.run([live.program("atoll"), "sim", "shrink", text, "--runs", "1", "--out",
                           "/dev/full"], timeout=60, capture_output=True, text=True)
    assert done.returncode == 1
    assert "/dev/full: No space left on device" in done.stderr
    assert "expect read >= 900000MB" in done.stdout


def test_cases_of_membership_are_listed_as_json():
    done = subprocess.run([live.program("atoll"), "sim", "membership", "--json"], timeout=20,
                          capture_output=True, text=True, check=True)
    cases = {case["case"]: case for case in json.loads(done.stdout)["cases"]}
    assert cases["crash"]["goal"] == "G1" and cases["crash"]["nodes"] == 1000


def test_a_proxy_of_the_environment_is_not_for_nodes(shared):
    env = dict(os.environ, http_proxy="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1",
               all_proxy="http://127.0.0.1:1")
    assert shared.cli("status", env=env).splitlines()[0] == "OK"


def test_nodes_lists_every_member_with_its_zone_labels_and_share(shared):
    table = shared.cli("nodes")
    assert all(re.search(rf"^n{i} +{shared.members[i].address} +owning +z1 +disk=fast ", table, re.M)
               for i in range(3)), table
    nodes = ask(shared, "nodes")["nodes"]
    assert sorted(n["name"] for n in nodes) == ["n0", "n1", "n2"]
    assert len({n["id"] for n in nodes}) == 3
    assert sum(n["share"] for n in nodes) == pytest.approx(1.0, abs=0.001)


def test_ring_is_the_same_at_every_node_and_shares_out_every_slot(shared):
    digests = set()
    for node in shared.members:
        ring = json.loads(shared.cli("ring", "--json", "--admin", node.admin, admin=False))
        digests.add(ring["rings"][0]["digest"])
        assert sum(n["slots"] for n in ring["rings"][0]["nodes"]) == 1 << 18
        assert max(n["share"] for n in ring["rings"][0]["nodes"]) <= 1.10 / 3
    assert len(digests) == 1
    assert digests.pop() in shared.cli("ring")


def test_ring_diff_tells_what_a_node_that_leaves_or_joins_would_move(shared):
    without = ask(shared, "ring", "diff", "--without", "n1")
    ring = {n["name"]: n["slots"] for n in ask(shared, "ring")["rings"][0]["nodes"]}
    nodes = {n["name"]: n for n in without["nodes"]}
    assert without["change"] == "tried" and without["slots"] == 1 << 18
    assert without["moved"] == without["least"] == nodes["n1"]["lost"] == ring["n1"]
    assert nodes["n1"]["after"] == 0
    assert nodes["n0"]["gained"] + nodes["n2"]["gained"] == ring["n1"]
    added = ask(shared, "ring", "diff", "--add", "300,z9")
    new = {n["name"]: n for n in added["nodes"]}["(new)"]
    assert new["before"] == 0 and new["after"] == new["gained"] == added["moved"]
    assert re.search(r"^\(new\) ", shared.cli("ring", "diff", "--add", "300"), re.M)
    assert {n["name"]: n["slots"] for n in ask(shared, "ring")["rings"][0]["nodes"]} == ring


def test_where_names_the_owner_of_every_block_and_who_has_it(shared):
    name = sorted(shared.sums)[0]
    where = ask(shared, "where", f"set/{name}")
    assert where["size"] == FILE_BYTES and where["key"] == f"set/{name}" and where["blocks"] == 2
    assert len(where["map"]) == 2
    for block in where["map"]:
        assert block["ranks"][0]["has"] in ("memory", "disk")
        assert [r["has"] for r in block["ranks"][1:]] == ["absent"] * 2
    text = shared.cli("where", f"set/{name}")
    assert where["pin"] in text and where["map"][1]["ranks"][0]["node"] in text


def test_where_takes_the_path_of_a_file_below_a_mount(shared, tmp_path):
    name = sorted(shared.sums)[0]
    mount = shared.mounts[0].dir
    (tmp_path / "link").symlink_to(mount)
    asked = ask(shared, "where", f"set/{name}")
    assert ask(shared, "where", mount / name) == asked
    assert ask(shared, "where", tmp_path / "link" / name) == asked
    for path, code, words in ((mount / "absent", 3, "No such file"),
                              (tmp_path / "link" / "..", 3, "in no mount of Atoll")):
        done = shared.cli("where", path, check=False)
        assert done.returncode == code and words in done.stderr


def test_where_of_a_directory_and_of_what_is_not_there(shared):
    shared.dataset("tree", "s3://data/tree/")
    try:
        root, where = ask(shared, "where", "tree/"), ask(shared, "where", "tree/sub")
        file = ask(shared, "where", "tree/sub/00000000")
        assert root["type"] == where["type"] == "directory" and where["path"] == "sub"
        assert root["key"] == "tree/" and where["key"] == "tree/sub/"
        assert sorted(root["directory_ranks"]) == ["n0", "n1", "n2"]
        assert where["directory_ranks"] == file["directory_ranks"]
        text = shared.cli("where", "tree/sub/00000000")
        assert "listed by " + ", ".join(where["directory_ranks"]) + "\n" in text
        done = shared.cli("where", "tree/absent", check=False)
        assert done.returncode == 3 and "no entry of that name" in done.stderr
    finally:
        shared.cli("dataset", "delete", "tree")


def knows(node, dataset):
    return dataset in [d["name"] for d in node.json("/api/v1/datasets")["datasets"]]


def delete_everywhere(shared, dataset):
    shared.cli("dataset", "delete", dataset)
    live.wait_for("deletion at all nodes",
                  lambda: not any(knows(n, dataset) for n in shared.members))


def test_a_dataset_is_learnt_by_every_node_and_gone_after_its_deletion(shared):
    shared.dataset("brief", "a=s3://data/set/", "b=s3://data/set/",
                   options=["--block-size", "1MiB", "--metadata", "ttl=5m", "--nodes", "disk=fast"])
    live.wait_for("dataset at all nodes", lambda: all(knows(n, "brief") for n in shared.members))
    shown = json.loads(shared.cli("dataset", "show", "brief", "--json", "--admin",
                                  shared.members[2].admin, admin=False))
    assert shown["block_size"] == 1 << 20 and shown["selector"] == "disk=fast"
    assert [r["path"] for r in shown["rows"]] == ["a", "b"]
    assert "brief" in shared.cli("dataset", "list")
    delete_everywhere(shared, "brief")


def test_where_says_that_no_node_has_the_labels_of_the_dataset(shared):
    shared.dataset("nowhere", "s3://data/set/", options=["--nodes", "disk=none"])
    try:
        done = shared.cli("where", "nowhere/00000000", check=False)
        assert done.returncode == 5 and "no node has the labels" in done.stderr
    finally:
        shared.cli("dataset", "delete", "nowhere")


def test_what_is_read_from_a_mount_of_a_deleted_dataset_is_an_io_error(shared):
    shared.dataset("doomed", "s3://data/set/")
    mount = shared.mount("doomed")
    names = sorted(p.name for p in mount.dir.iterdir())
    held = (mount.dir / names[0]).open("rb")
    delete_everywhere(shared, "doomed")
    for read in (lambda: held.read(), lambda: (mount.dir / names[1]).read_bytes()):
        with pytest.raises(OSError) as failed:
            read()
        assert failed.value.errno == errno.EIO
    held.close()
    mount.stop()


def test_numbers_that_lack_the_part_of_a_frozen_node_say_so(cluster):
    cluster.origin("--generate", "data/set/,count=5,size=16KiB,seed=1")
    cluster.nodes(3)
    cluster.dataset("set", "s3://data/set/")
    frozen = cluster.members[2]
    frozen.signal(signal.SIGSTOP)
    for asked in (["list"], ["show", "set"]):
        done = cluster.cli("dataset", *asked, check=False)
        assert done.returncode == 0 and "set" in done.stdout
        assert re.search("^atoll: these numbers lack .*: n2; ", done.stderr)
    frozen.signal(signal.SIGCONT)
    live.wait_for("numbers of all nodes",
                  lambda: cluster.cli("dataset", "list", check=False).stderr == "")


def test_a_dataset_is_shown_with_its_rows_its_policy_and_what_was_listed(shared):
    where = ["--endpoint", f"http://{shared.store.address}", "--credential", "test"]
    shared.cli("dataset", "create", "rows", "a=s3://data/set/", "b/c=s3://data/tree/", "--metadata",
               "ttl=90m", *where)
    # A node that a busy machine kept from answering is named, and asked again two seconds later.
    live.wait_for("numbers of all nodes",
                  lambda: ask(shared, "dataset", "list")["not_counted_nodes"] == 0)
    listed = shared.cli("dataset", "list")
    assert re.search(r"^rows +a=s3://data/set/,b/c=s3://data/tree/ +ttl 90 min ", listed, re.M)
    assert re.search(rf"^set +s3://data/set/ +once +- +4.0 MiB +{len(shared.sums)} +60.0 MiB$",
                     listed, re.M), listed
    shown = shared.cli("dataset", "show", "rows")
    for line in (r"listings +ttl 90 min", r"kept by +all nodes", r"refreshed +never",
                 r"changed +20\d\d-.*Z", r"a +s3://data/set/ .*", r"b/c +s3://data/tree/ .*"):
        assert re.search(rf"^{line}$", shown, re.M), shown
    shared.cli("dataset", "refresh", "rows")
    assert re.search(r"^refreshed +20\d\d-.*Z$", shared.cli("dataset", "show", "rows"), re.M)
    shared.cli("dataset", "delete", "rows")


def test_a_dataset_of_a_selector_is_kept_by_the_nodes_with_that_label_only(shared):
    shared.dataset("nobody", "s3://data/set/", options=["--nodes", "disk=slow"])
    done = shared.cli("mount", "nobody", shared.dir, "-o", "nonempty", "--seeds", shared.seeds,
                      "--client-file", shared.dir / "client.key", admin=False, check=False)
    shared.cli("dataset", "delete", "nobody")
    assert done.returncode == 5 and "disk=slow" in done.stderr


LINE = re.compile(r'^([a-z_:][a-z0-9_:]*)(\{([a-z_]+="[^"\\]*",?)+\})? -?[0-9.e+]+$')


def test_a_dataset_that_may_be_a_mistake_is_made_and_doubted(shared):
    where = ["--endpoint", f"http://{shared.store.address}", "--credential", "test"]
    done = shared.cli("dataset", "create", "typo", "s3://data/sett/", "--nodes", "disk=slow", *where,
                      check=False)
    assert done.returncode == 0 and done.stdout == "created typo\n"
    assert "nothing below s3://data/sett/ yet" in done.stderr
    assert "no node has the labels disk=slow" in done.stderr
    shared.cli("dataset", "delete", "typo")


def test_metrics_are_what_prometheus_reads(shared):
    text = shared.members[0].ask("/metrics")
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
    kinds, helped, seen = {}, set(), []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds, f"{name} has two types"
            kinds[name] = kind
        elif line.startswith("# HELP "):
            helped.add(line.split()[2])
        else:
            assert LINE.match(line), line
            seen.append(line.rsplit(" ", 1)[0])
    assert len(seen) == len(set(seen)), "a series appears twice"
    bases = {re.sub(r"_(bucket|sum|count)$", "", n.split("{")[0])
             if re.sub(r"_(bucket|sum|count)$", "", n.split("{")[0]) in kinds
             else n.split("{")[0] for n in seen}
    assert bases == set(kinds) == helped
    assert all(n.startswith(("atoll_", "process_")) for n in kinds)


def test_metrics_of_the_source_are_what_the_source_counted(shared):
    kinds = shared.store.counters()["totals"]["kinds"]
    metrics = shared.metrics()
    assert metrics["atoll_source_read_bytes_total"] == kinds["GET"]["bytes"]
    assert metrics['atoll_source_requests_total{kind="get"}'] == kinds["GET"]["requests"]


def test_an_unknown_path_and_a_wrong_method_are_refused(shared):
    for path, code in (("/nothing", 404), ("/api/v1/datasets/set/refresh", 405)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            shared.members[0].ask(path)
        assert caught.value.code == code


def test_a_node_says_when_it_lives_and_when_it_is_ready(cluster):
    node = cluster.node("--memory", "200MiB")
    live.wait_for("life", lambda: answers(node, "/livez") == 200)
    live.wait_for("readiness", lambda: answers(node, "/readyz") == 200)
    for page in ("/livez", "/readyz", "/metrics", "/api/v1/status"):
        request = urllib.request.Request(node.admin + page, method="HEAD")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200 and answer.read() == b""
            assert int(answer.headers["Content-Length"]) > 0
    assert node.stop() == 0
    assert answers(node, "/livez") is None


def started_by_the_unit(workdir, environment):
    """The node that deploy/systemd starts, with a file of options of ours."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str
    unit.read(live.ROOT / "deploy/systemd/atoll-node.service")
    service = unit["Service"]
    assert service["Type"] == "notify" and int(service["WatchdogSec"]) > 0
    name, _, value = service["Environment"].partition("=")
    assert (name, value) == ("ATOLL_DATA_DIR", "/var/lib/" + service["StateDirectory"])
    command = service["ExecStart"].split()
    assert command[0] == "/usr/bin/atoll" and command[-1] == "/etc/atoll/node.yaml"
    (workdir / "tier").mkdir()
    (workdir / "node.yaml").write_text(
        f"insecure: true\ncluster: unit\nname: u1\nlisten: 127.0.0.1:{live.free_ports(2)}\n"
        f"admin: 127.0.0.1:{live.free_ports(1)}\nmemory: 200MiB\ntier: [ {workdir}/tier:1GiB ]\n"
        "label: [ disk=nvme, rack=7 ]\n")
    return subprocess.Popen([live.program("atoll"), *command[1:-1], workdir / "node.yaml"],
                            env=dict(os.environ, ATOLL_DATA_DIR=str(workdir / "data"), **environment))


def test_systemd_is_told_when_a_node_is_ready_that_it_lives_and_that_it_goes(workdir):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(workdir / "notify"))
        manager.settimeout(20)
        node = started_by_the_unit(workdir, {"NOTIFY_SOCKET": str(workdir / "notify"),
                                             "WATCHDOG_USEC": "400000"})
        try:
            heard = {manager.recv(256) for _ in range(4)}
            assert heard == {b"READY=1", b"WATCHDOG=1"}
            node.terminate()
            assert node.wait(timeout=20) == 0
            manager.settimeout(1)
            rest = []
            with contextlib.suppress(TimeoutError):
                while True:
                    rest.append(manager.recv(256))
            assert b"STOPPING=1" in rest
        finally:
            node.kill()
            node.wait()


def answers(node, path):
    try:
        node.ask(path)
        return 200
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def test_status_names_a_dead_node_and_what_to_do(cluster):
    cluster.nodes(3, tier=None)
    cluster.members[2].kill()
    live.wait_for("death to be noticed", lambda: json.loads(
        cluster.cli("status", "--json", check=False).stdout)["nodes"]["dead"] == 1)
    status = json.loads(cluster.cli("status", "--json", check=False).stdout)
    assert status["verdict"] != "OK" and status["reasons"]
    assert "n2" in json.dumps(status["reasons"]) and status["reasons"][0]["next"]
    done = cluster.cli("status", check=False)
    assert done.returncode == 1 and "n2" in done.stdout and "1 dead" in done.stdout


def test_a_second_interrupt_ends_a_node_at_once_and_the_first_in_order(cluster):
    cluster.nodes(2, tier=None)
    node = cluster.members[1]
    node.signal(signal.SIGINT)
    assert node.process.wait(timeout=live.PATIENCE) == 0
    live.wait_for("departure", lambda: len(
        cluster.members[0].json("/api/v1/ring")["rings"][0]["nodes"]) == 1)
    states = [n["state"] for n in cluster.members[0].json("/api/v1/nodes")["nodes"]]
    assert "dead" not in states
    last = cluster.members[0]
    last.signal(signal.SIGSTOP)
    last.signal(signal.SIGINT)
    last.signal(signal.SIGTERM)
    last.signal(signal.SIGCONT)
    assert last.process.wait(timeout=live.PATIENCE) == 1
    assert 'node.ended why="a second signal' in last.log.read_text()
