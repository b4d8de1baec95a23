"""Fixtures of the live tests: real processes and mounts on this machine."""

import contextlib
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
        if {"cluster", "shared"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(no_fuse)


@pytest.fixture
def workdir():
    """A directory whose path is short enough for everything, gone afterwards."""
    with short_directory() as path:
        yield path


@contextlib.contextmanager
def short_directory():
    path = pathlib.Path(tempfile.mkdtemp(prefix="atoll-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def cluster(workdir):
    """An empty secure cluster; the test starts what it needs."""
    with live.Cluster(workdir) as made:
        yield made


@pytest.fixture(scope="module")
def shared(request):
    """One cluster for all tests of a module, made by its function `prepare(cluster)`."""
    with short_directory() as path, live.Cluster(path) as made:
        request.module.prepare(made)
        yield made
