"""A provider may fail in any way before its first word; who asked gets an answer all the same, and pays once."""

import asyncio
from pathlib import Path

import pytest
from builders.faults import SIXTEEN, meet, unbalanced


@pytest.mark.parametrize("fault", SIXTEEN)
def test_every_fault_costs_the_client_nothing_and_is_booked_as_absorbed(tmp_path: Path, fault: str) -> None:
    met = asyncio.run(meet(fault, tmp_path, requests=20, at_a_time=16))
    assert met.wrong == []
    assert met.failovers == met.requests
    assert unbalanced(met) == []
