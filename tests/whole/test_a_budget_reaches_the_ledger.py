"""From a saved Budget to a limit in the ledger's books, on one machine and by real processes."""

import os
import signal
from typing import Any

from fakes.in_force import NOTHING, in_force
from fakes.machine import Machine, machine, until

BUDGET = """
apiVersion: byway.dev/v1alpha1
kind: Budget
metadata: {{name: month}}
spec: {{limits: [{{period: Month, usd: {usd}}}]}}
"""


def known(made: Machine) -> str:
    return in_force(made.state / "run/ledger.sock")


def accepted(made: Machine) -> dict[str, Any]:
    return made.condition("budget", "month", "Accepted")


def lines(made: Machine) -> list[str]:
    return made.said().splitlines()


def test_a_saved_budget_is_a_limit_in_the_ledger_before_proxies_hear_of_it() -> None:
    with machine({}) as made:
        assert known(made) == NOTHING
        before = len(lines(made))
        made.write("budget.yaml", BUDGET.format(usd='"5"'))
        first = until(lambda: (h := known(made)) not in ("", NOTHING) and h)
        until(lambda: made.condition("budget", "month", "Programmed").get("status") == "True")
        said = [line for line in lines(made)[before:] if "has the limits" in line or "is published" in line]
        assert ["has the limits" in line for line in said[:2]] == [True, False], said

        # One that cannot be read holds in its last good form; another one's hash is another.
        made.write("budget.yaml", BUDGET.format(usd="5"))
        told = until(lambda: (c := accepted(made)).get("status") == "False" and c)
        assert 'want US dollars as a quoted decimal: "500"' in told["message"]
        assert known(made) == first
        made.write("budget.yaml", BUDGET.format(usd='"6"'))
        second = until(lambda: (h := known(made)) not in ("", first) and h)

        # The ledger ends without a word, and is back with what it had; a change meanwhile arrives.
        os.kill(made.pids()["ledger"], signal.SIGKILL)
        made.write("budget.yaml", BUDGET.format(usd='"7"'))
        until(lambda: known(made) not in ("", first, second), 10)

        (made.folder / "budget.yaml").unlink()
        until(lambda: known(made) == NOTHING, 10)


def test_an_operator_that_is_killed_brings_the_same_limits_again() -> None:
    with machine({"budget.yaml": BUDGET.format(usd='"5"')}) as made:
        first = until(lambda: (h := known(made)) not in ("", NOTHING) and h)
        os.kill(made.pids()["operator"], signal.SIGKILL)
        until(lambda: made.said().count("the ledger has the limits") == 2, 15)
        assert known(made) == first
