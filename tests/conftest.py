"""Options of the test run, and what watches over all of it."""

import pytest
from canary import no_file_holds_a_credential, pytest_runtest_makereport

__all__ = ["no_file_holds_a_credential", "pytest_runtest_makereport"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", help="rewrite goldens; then read the diff")
