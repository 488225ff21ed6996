"""The cluster that somebody gave us, with nothing of Byway on it yet."""

from pathlib import Path

import pytest
from builders.cluster import Cluster, Failed, given
from builders.helm import fetch

HERE = Path(__file__).parent
SKIPPED = "THE CHART WAS NOT WALKED THROUGH: no cluster was given; KUBECONFIG=… make e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By a mark, because pytest tells those in one line."""
    if given() is None:
        for item in items:
            if item.path.is_relative_to(HERE):
                item.add_marker(pytest.mark.skip(SKIPPED))


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    found = given()
    assert found is not None
    fetch()
    for namespace in ("byway", "team-a", "team-b", "platform"):
        try:
            found.kubectl("create", "namespace", namespace)
        except Failed as error:
            pytest.exit(f"the cluster has to be one without Byway and its teams on it: {error}", 1)
    found.kubectl("delete", "namespace", "byway")  # the guide makes it
    return found
