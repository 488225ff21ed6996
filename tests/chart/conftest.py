"""What these tests need: helm, fetched once into a cache outside the tree."""

import os

import pytest
from builders.helm import HELM, fetch


@pytest.fixture(scope="session", autouse=True)
def _helm() -> None:
    if HELM.exists():
        return
    if os.environ.get("CI") != "true":
        pytest.skip("no helm here: `make helm` fetches it")
    fetch()
