"""Fixtures of the live tests: real processes and mounts on this machine."""

import os
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cluster as live  # noqa: E402

no_fuse = pytest.mark.skipif(not os.path.exists("/dev/fuse"),
                             reason="/dev/fuse is not there: mounts cannot be tested here")


def pytest_configure(config):
    live.interruptible()


def pytest_collection_modifyitems(items):
    for item in items:
        if "mounts" in getattr(item, "fixturenames", ()) or "cluster" in item.fixturenames:
            item.add_marker(no_fuse)


@pytest.fixture
def workdir():
    """A directory whose path is short enough for everything, gone afterwards."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="atoll-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def cluster(workdir):
    """An empty secure cluster; the test starts what it needs."""
    with live.Cluster(workdir) as made:
        yield made
