"""Fixtures of the live tests: real processes and mounts on this machine."""

import contextlib
import os
import pathlib
import shutil
import sys
import tempfile

import _pytest.runner
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cluster as live  # noqa: E402
import reading  # noqa: E402

STILL = 0.2  # s: nodes that say nothing for 0.4 s are passed over, and everything is allowed to be late

no_fuse = pytest.mark.skipif(not os.path.exists("/dev/fuse"),
                             reason="/dev/fuse is not there: mounts cannot be tested here")


def pytest_configure(config):
    live.interruptible()


def pytest_collection_modifyitems(items):
    for item in items:
        if {"cluster", "shared"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(no_fuse)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """A test that failed while this machine stood still is run again, with everything anew."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for left in (2, 1, 0):
        reading.machine().mark()
        reports = _pytest.runner.runtestprotocol(item, log=False, nextitem=nextitem)
        still = reading.machine().longest()
        if left == 0 or still < STILL or not any(r.failed for r in reports):
            break
        item.config.get_terminal_writer().line(
            f"\n{item.nodeid}: a processor of this machine stood still for {still:.2f} s: once more")
        item.session._setupstate.teardown_exact(None)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_unconfigure():
    if reading.machine.cache_info().currsize:
        reading.machine().close()


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
