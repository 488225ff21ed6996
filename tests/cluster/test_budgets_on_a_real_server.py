"""A Budget in a cluster: applied, bound by label, brought to the ledger by the leader, over TLS."""

from collections.abc import Iterator

import pytest
from builders.control_plane import ControlPlane
from byway_contract.grants import Limit, Match
from byway_operator.compile.budgets import hash_of
from fakes.fleet import Fleet, fleet
from fakes.in_force import NOTHING, in_force
from fakes.machine import until

MONTH = """
apiVersion: byway.dev/v1alpha1
kind: Budget
metadata: {{name: month}}
spec: {{{applies}limits: [{{period: Month, usd: "{usd}"}}]}}
"""


@pytest.fixture(scope="module")
def release(plane: ControlPlane) -> Iterator[Fleet]:
    with fleet(plane, proxies=1) as made:
        yield made


def known(release: Fleet) -> str:
    return in_force(release.root / "ledger.sock")


def the_limit(home: str, usd: int, namespaces: tuple[str, ...], dearest: bool) -> str:
    """The hash of this one alone."""
    match = Match(namespaces=namespaces)
    return hash_of((Limit(f"{home}/month", "Month", "nanodollars", usd * 10**9, match=match, dearest=dearest),))


def test_a_tenants_budget_is_applied_changed_and_deleted(plane: ControlPlane, release: Fleet) -> None:
    team = plane.namespace()
    plane.apply(MONTH.format(applies="", usd=5), team)
    plane.wait("budget", team, "month", "condition=Ready")
    until(lambda: known(release) == the_limit(team, 5, (team,), False))
    plane.apply(MONTH.format(applies="", usd=6), team)
    until(lambda: known(release) == the_limit(team, 6, (team,), False))
    plane.apply(MONTH.format(applies="appliesTo: {namespaces: {names: [default]}}, ", usd=0), team)
    plane.wait("budget", team, "month", "condition=Accepted=False")
    said = plane.get("budget", team, "month")["status"]["conditions"]
    (accepted,) = [one for one in said if one["type"] == "Accepted"]
    assert (accepted["reason"], "only a trusted namespace" in accepted["message"]) == ("NotPermitted", True)
    assert known(release) == the_limit(team, 6, (team,), False)
    plane.kubectl("delete", "budget", "month", "-n", team)
    until(lambda: known(release) == NOTHING, 10)


def test_a_platforms_budget_follows_the_labels_of_namespaces(plane: ControlPlane, release: Fleet) -> None:
    first, second = plane.namespace(), plane.namespace()
    mark = f"budget-{first}"
    selector = f"appliesTo: {{namespaces: {{selector: {{matchLabels: {{tier: {mark}}}}}}}}}, "
    plane.apply(MONTH.format(applies=selector, usd=7), release.namespace)
    plane.wait("budget", release.namespace, "month", "condition=Ready")
    said = plane.get("budget", release.namespace, "month")["status"]["conditions"]
    assert any("binds nobody" in one["message"] for one in said)
    assert known(release) == NOTHING
    for namespaces in ((first,), tuple(sorted((first, second)))):
        for one in namespaces:
            plane.kubectl("label", "namespace", one, f"tier={mark}", "--overwrite")
        until(lambda n=namespaces: known(release) == the_limit(release.namespace, 7, n, True))
    plane.kubectl("label", "namespace", second, "tier-")
    until(lambda: known(release) == the_limit(release.namespace, 7, (first,), True), 10)
    plane.kubectl("delete", "budget", "month", "-n", release.namespace)
    until(lambda: known(release) == NOTHING, 10)
