"""One control plane for all tests of this folder, started when the first of them asks for it."""

import os
from collections.abc import Generator, Iterator

import pytest
from builders.control_plane import ControlPlane
from cluster.plane.build import found

SKIPPED = "NOT TESTED ON KUBERNETES: run `make kube` once (about 4 minutes), then this again"


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    binaries = found()
    if binaries is None and os.environ.get("CI") == "true":
        pytest.fail("there is no Kubernetes control plane to test with: `make kube` compiles one")
    if binaries is None:
        pytest.skip(SKIPPED)
    with ControlPlane.up(binaries) as plane:
        yield plane


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """All that are skipped for want of a control plane are told in one line: pytest folds those from one place."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and report.longrepr[2].endswith(SKIPPED):
        report.longrepr = ("tests/cluster", 0, SKIPPED)
    return report
