"""Mistakes of people: each has a message that says what to do, its exit code, and leaves nothing."""

import contextlib
import json
import os
import pathlib
import re
import subprocess

import pytest

import cluster as live

USAGE, NOT_FOUND, REFUSED, UNREACHABLE, RESOURCES, DATA = 2, 3, 4, 5, 6, 7


def prepare(cluster):
    cluster.origin("--generate", "data/set/,count=3,size=10KiB,seed=1")
    cluster.add_credential("wrong", live.ACCESS_KEY, "not the secret")
    cluster.nodes(1, tier=None)
    cluster.dataset("set", "s3://data/set/")


def mounts(*below):
    """What is mounted below these directories."""
    with open("/proc/self/mountinfo") as table:
        return [line.split()[4] for line in table if line.split()[4].startswith(below)]


def running(*named):
    """Processes whose command line names one of these directories."""
    found = set()
    for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if any(n in file.read_bytes().decode(errors="replace") for n in named):
                found.add(int(file.parent.name))
    return found


def datasets(cluster):
    return cluster.cli("dataset", "list", "--json")


@pytest.fixture
def refused(shared, workdir):
    """refused(code, pattern, *arguments): the command fails like that and without a trace: no
    mount, no process, no dataset more than before."""
    ours = str(shared.dir), str(workdir)

    def check(code, pattern, *arguments, admin=False, env=None):
        before = mounts(*ours), running(*ours), datasets(shared)
        done = shared.cli(*arguments, admin=admin, check=False, env=env)
        said = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("ts="))
        try:
            assert done.returncode == code, said
            assert re.search(pattern, said), said
            assert len(said.splitlines()) <= 6, said
            assert "msg=node.started" not in done.stderr
            assert (mounts(*ours), running(*ours), datasets(shared)) == before
        finally:
            for path in set(mounts(*ours)) - set(before[0]):
                live.take_off(path)
        return said
    return check


@pytest.fixture
def point(workdir):
    (workdir / "mnt").mkdir()
    return workdir / "mnt"


def create(shared, uri, *options, credential="test", endpoint=None):
    endpoint = endpoint or f"http://{shared.store.address}"
    return ("dataset", "create", "bad", uri, "--endpoint", endpoint, "--credential", credential,
            *options)


# ---- sources -------------------------------------------------------------------------------------


def test_an_unknown_scheme_is_refused_with_those_there_are(shared, refused):
    said = refused(USAGE, "gopher", *create(shared, "gopher://data/set/"), admin=True)
    assert "s3" in said and "oss" in said and "file" in said


def test_an_unknown_scheme_is_refused_by_a_private_mount(shared, refused, point):
    said = refused(USAGE, "gopher", "mount", "gopher://data/set/", point)
    assert "s3" in said and "oss" in said and "file" in said


def test_a_bucket_that_is_not_there_is_said_to_be_missing(shared, refused):
    refused(NOT_FOUND, "(?i)bucket", *create(shared, "s3://nothing/"), admin=True)


def test_a_bucket_that_is_not_there_is_not_mounted(shared, refused, point):
    refused(NOT_FOUND, "(?i)bucket", "mount", "s3://nothing/", point, "--endpoint",
            f"http://{shared.store.address}", env=shared.private_env())


def test_a_wrong_secret_is_said_to_be_refused_by_the_source(shared, refused):
    refused(REFUSED, "(?i)SignatureDoesNotMatch|403|refused",
            *create(shared, "s3://data/set/", credential="wrong"), admin=True)


def test_a_wrong_secret_is_not_mounted(shared, refused, point):
    env = dict(shared.private_env(), AWS_SECRET_ACCESS_KEY="not the secret")
    said = refused(REFUSED, "(?i)SignatureDoesNotMatch|403|refused", "mount", "s3://data/set/",
                   point, "--endpoint", f"http://{shared.store.address}", env=env)
    assert "not the secret" not in said


def test_a_mount_without_credentials_names_the_variables_that_are_missing(shared, refused, point):
    for uri, missing in (("s3://data/set/", "AWS_SECRET_ACCESS_KEY"),
                         ("oss://data/set/", "OSS_ACCESS_KEY_SECRET")):
        env = shared.private_env()
        del env[missing]
        refused(REFUSED, f"not signed.*{missing}.*not both", "mount", uri, point, "--endpoint",
                f"http://{shared.store.address}", "--region", "cn-test", env=env)


def test_a_dataset_without_a_credential_is_told_so_when_the_bucket_wants_one(shared, refused):
    refused(REFUSED, "not signed.*names no credential", "dataset", "create", "bad",
            "s3://data/set/", "--endpoint", f"http://{shared.store.address}", admin=True)


def test_a_credential_that_no_node_has_is_refused_with_where_to_put_it(shared, refused):
    refused(REFUSED, "no credential of that name.*credentials directory",
            *create(shared, "s3://data/set/", credential="nobody"), admin=True)


def test_an_origin_that_cannot_be_reached_is_said_to_be(shared, refused):
    port = live.free_ports(1)
    refused(UNREACHABLE, "(?i)reach|connect",
            *create(shared, "s3://data/set/", endpoint=f"http://127.0.0.1:{port}"), admin=True)


def test_an_origin_that_cannot_be_reached_is_not_mounted(shared, refused, point):
    refused(UNREACHABLE, "(?i)reach|connect", "mount", "s3://data/set/", point, "--endpoint",
            f"http://127.0.0.1:{live.free_ports(1)}", env=shared.private_env())


def test_a_directory_outside_of_the_allowed_roots_is_refused(shared, refused):
    refused(REFUSED, "allow-root", "dataset", "create", "bad", "file:///etc", admin=True)


def test_a_link_local_endpoint_is_refused(shared, refused):
    refused(USAGE, "link-local", *create(shared, "s3://data/set/",
                                         endpoint="http://169.254.169.254"), admin=True)


def test_a_dataset_of_a_name_that_is_taken_is_refused(shared, refused):
    refused(USAGE, "exists", "dataset", "create", "set", "s3://data/", "--endpoint",
            f"http://{shared.store.address}", "--credential", "test", admin=True)


# ---- nodes ---------------------------------------------------------------------------------------


def node(shared, workdir, *options, listen=None, admin=None, memory="200MiB", cluster_file=None):
    listen = listen or f"127.0.0.1:{live.free_ports(2)}"
    admin = admin or f"127.0.0.1:{live.free_ports(1)}"
    return ("node", "--listen", listen, "--admin", admin, "--data-dir", workdir / "data", "--memory",
            memory, "--cluster-file", cluster_file or shared.dir / "cluster.key", *options)


def left(workdir):
    """Files below it, but for directories."""
    return sorted(str(p.relative_to(workdir)) for p in workdir.rglob("*") if p.is_file())


def test_a_busy_port_is_named_with_what_to_do(shared, refused, workdir):
    busy = shared.members[0]
    refused(RESOURCES, f"{busy.port}.*(another|in use)", *node(shared, workdir,
                                                               listen=busy.address))
    assert shared.members[0].ready()


def test_a_busy_admin_port_is_named(shared, refused, workdir):
    busy = shared.members[0].admin_port
    refused(RESOURCES, f"{busy}", *node(shared, workdir, admin=f"127.0.0.1:{busy}"))


def test_a_tier_quota_above_the_disk_is_refused(shared, refused, workdir):
    (workdir / "tier").mkdir()
    refused(USAGE, "quota of 900.00 TiB .* free",
            *node(shared, workdir, "--tier", f"{workdir}/tier:900TiB", memory="1GiB"))
    assert not any("tier/" in f and f.endswith(".seg") for f in left(workdir))


def test_more_memory_than_there_is_is_refused(shared, refused, workdir, point):
    refused(USAGE, "--memory: 1048576000MiB is more than there is",
            *node(shared, workdir, memory="1000TiB"))
    assert left(workdir) == []
    refused(USAGE, "--memory: 1048576000MiB is more than there is",
            *mount(shared, "set", point, "--memory", "1000TiB"))


def test_a_tier_directory_that_is_missing_is_named(shared, refused, workdir):
    refused(USAGE, "no-such", *node(shared, workdir, "--tier", f"{workdir}/no-such/tier:1GiB"))


def test_a_cluster_file_that_is_missing_is_named(shared, refused, workdir):
    refused(NOT_FOUND, "absent.key: No such file",
            *node(shared, workdir, cluster_file=workdir / "absent.key"))
    assert left(workdir) == []


def test_a_cluster_file_that_is_not_one_is_refused(shared, refused, workdir):
    bad = workdir / "bad.key"
    bad.touch(mode=0o600)
    bad.write_bytes(os.urandom(400))
    refused(DATA, "bad.key", *node(shared, workdir, cluster_file=bad))
    bad.write_text("{}")
    refused(DATA, "bad.key", *node(shared, workdir, cluster_file=bad))
    assert left(workdir) == ["bad.key"]


def test_a_cluster_file_that_others_can_read_is_refused(shared, refused, workdir):
    open_file = workdir / "open.key"
    open_file.write_bytes((shared.dir / "cluster.key").read_bytes())
    open_file.chmod(0o644)
    refused(USAGE, "chmod 600", *node(shared, workdir, cluster_file=open_file))


def test_an_option_that_is_misspelt_is_named_with_the_one_that_was_meant(shared, refused, workdir):
    said = refused(USAGE, "--memroy", "node", "--memroy", "1GiB")
    assert "--memory" in said


def test_no_keys_and_no_insecure_is_refused_with_both_ways_out(refused):
    said = refused(USAGE, "keygen", "node", "--listen", f"127.0.0.1:{live.free_ports(2)}")
    assert "--insecure" in said


def test_a_client_file_for_what_no_dataset_can_be_called_is_not_made(shared, refused, workdir):
    refused(USAGE, "a dataset's name is", "keygen", "client", "--cluster-file", shared.dir / "cluster.key",
            "--dataset", "fine,Not fine", "--out", workdir / "client.key")
    assert not (workdir / "client.key").exists()


def test_a_key_is_not_exported_from_where_no_node_has_run(shared, refused, workdir):
    refused(NOT_FOUND, "no node has run with this --data-dir", "key", "export", "--cluster-file",
            shared.dir / "cluster.key", "--data-dir", workdir / "date", "--out", workdir / "new.key")
    assert not (workdir / "new.key").exists() and not (workdir / "date").exists()


# ---- mounts --------------------------------------------------------------------------------------


def mount(shared, what, where, *options, client=None):
    return ("mount", what, where, "--seeds", shared.seeds, "--client-file",
            client or shared.dir / "client.key", *options)


def test_a_mount_point_that_is_missing_is_named(shared, refused, point):
    refused(USAGE, "missing: no such directory", *mount(shared, "set", point / "missing"))


def test_a_mount_point_that_is_a_file_is_refused(shared, refused, workdir):
    (workdir / "file").touch()
    refused(USAGE, "not a directory", *mount(shared, "set", workdir / "file"))


def test_a_mount_point_with_files_in_it_is_refused(shared, refused, point):
    (point / "mine").touch()
    said = refused(USAGE, "not empty", *mount(shared, "set", point))
    assert "nonempty" in said


def test_a_mount_point_where_atoll_is_mounted_already_is_refused(shared, refused, workdir):
    mounted = shared.mount("set")
    (workdir / "link").symlink_to(mounted.dir)
    try:
        refused(USAGE, "mounted here already", *mount(shared, "set", mounted.dir))
        refused(USAGE, "mounted here already",
                *mount(shared, "set", workdir / "link", "-o", "nonempty"))
        assert len(os.listdir(mounted.dir)) == 3
    finally:
        mounted.close()


def test_a_mount_point_where_something_else_is_mounted_is_refused(shared, refused, point):
    done = subprocess.run(["mount", "-t", "tmpfs", "none", point], capture_output=True)
    if done.returncode != 0:
        pytest.skip("only root may mount a tmpfs")
    try:
        refused(USAGE, "something else is mounted", *mount(shared, "set", point))
    finally:
        subprocess.run(["umount", point], check=True)


def test_a_dataset_that_is_not_there_is_named(shared, refused, point):
    refused(NOT_FOUND, "absent", *mount(shared, "absent", point))


def test_a_client_without_a_grant_is_refused(shared, refused, point):
    other = shared.client_file("other", "other.key")
    refused(REFUSED, "(?i)grant", *mount(shared, "set", point, client=other))


def test_a_client_of_another_cluster_is_refused(shared, refused, point, workdir):
    shared.cli("keygen", "cluster", "--name", "test", "--out", workdir / "else.key", admin=False)
    shared.cli("keygen", "client", "--cluster-file", workdir / "else.key", "--dataset", "*",
               "--out", workdir / "client.key", admin=False)
    refused(UNREACHABLE, "that the keys are its cluster's",
            *mount(shared, "set", point, client=workdir / "client.key"))


def test_a_mount_that_reaches_no_node_says_what_to_check(refused, shared, point):
    nobody = f"127.0.0.1:{live.free_ports(2)}"
    refused(UNREACHABLE, "answered at the seeds", "mount", "set", point, "--seeds", nobody, "--client-file",
            shared.dir / "client.key")


def test_a_file_of_seeds_that_is_missing_is_named_at_once(shared, refused, point, workdir):
    refused(USAGE, "absent.*No such file", "mount", "set", point, "--seeds",
            f"@{workdir}/absent", "--client-file", shared.dir / "client.key")


def test_a_mount_option_that_is_unknown_is_named_with_those_there_are(shared, refused, point):
    said = refused(USAGE, "bogus", *mount(shared, "set", point, "-o", "bogus"))
    assert "timeo" in said


def test_mounting_for_writing_is_refused(shared, refused, point):
    refused(USAGE, "read-only", *mount(shared, "set", point, "-o", "rw"))


# ---- asking --------------------------------------------------------------------------------------


def test_a_node_that_does_not_answer_is_named(refused):
    port = live.free_ports(1)
    refused(UNREACHABLE, f"{port}", "status", "--admin", f"127.0.0.1:{port}")


def test_a_file_that_is_not_there_is_not_found(shared, refused):
    refused(NOT_FOUND, "no entry of that name", "where", "set/absent", admin=True)


def test_a_command_that_is_misspelt_is_named_with_the_one_that_was_meant(refused):
    said = refused(USAGE, "mout", "mout")
    assert "mount" in said.split("mout", 1)[1]


def test_deleting_a_dataset_that_is_not_there_is_not_found(refused):
    refused(NOT_FOUND, "no dataset", "dataset", "delete", "absent", admin=True)


@pytest.mark.parametrize("option, value, words", [
    ("--add", "5,z,y", "a zone has 1 to 32 letters"), ("--add", "5,a b", "a zone has 1 to 32 letters"),
    ("--add", "5,\u00e9", "a zone has 1 to 32 letters"),
    ("--nodes", "k", "KEY=VALUE"), ("--nodes", "k=v,k=w", "each key once")])
def test_a_ring_is_not_tried_with_what_there_cannot_be(refused, option, value, words):
    refused(USAGE, f"{option[2:]}: .*{words}", "ring", "diff", option, value, admin=True)


@pytest.mark.parametrize("name", ["", "n0/../n0", "n0 ", "n0?a", "x" * 33])
def test_a_weight_is_not_set_for_what_no_node_can_be_called(refused, name):
    refused(USAGE, "NAME: .*1 to 32 letters", "node", "weight", name, "5", admin=True)


@pytest.mark.parametrize("weight", ["-1", "65536", " 5", "+5", "5.0", "0x5", "AUTO", ""])
def test_a_weight_that_is_none_is_refused_with_the_range(shared, refused, weight):
    said = refused(USAGE, "WEIGHT: must be 0 to 65535, or auto", "node", "weight", "n0", weight,
                   admin=True)
    assert "--admin" not in said
    assert "auto" in refused(USAGE, "0 to 65535", "node", "weight", "--admin",
                             shared.members[0].admin, "--", "n0", weight)


def test_the_failure_of_a_request_is_also_json(shared):
    import urllib.error
    import urllib.request
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(shared.members[0].admin + "/api/v1/datasets/absent")
    answer = json.loads(caught.value.read())
    assert caught.value.code == 404 and answer["code"] == "NOT_FOUND" and answer["what_to_do"]
