"""Who calls, under which budgets. Some budgets are so small that they are spent while processes are killed.

apps      nobody in particular, of the platform's namespace; all that is spent counts on `platform`
user-0 …  proven users of team-a, one busier than the next, with so many dollars each
counted   an app of team-b, with so many requests
"""

import hashlib
import random
from dataclasses import dataclass

from byway_contract.money import NANO, dollars

INPUT, OUTPUT = 1_000, 10_000
"""Nanodollars a token."""
WORD, SAID = "sun ", 12
MOST_OUTPUT = 24
TEXT = (WORD * SAID).strip()
PROMPT = "What shines? " * 40
PLATFORM = 1_000 * NANO
EACH, COUNTED = "team-a/each", "team-b/counted"
_COSTS = len(PROMPT) // 4 * INPUT + SAID * OUTPUT
"""What a request costs, nearly."""


@dataclass(frozen=True)
class Caller:
    name: str
    share: float
    """Of all requests."""
    namespace: str = "default"

    @property
    def key(self) -> str:
        return "" if self.namespace == "default" else f"sk-byway-{hashlib.sha256(self.name.encode()).hexdigest()}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.key.encode()).hexdigest()


USERS = tuple(Caller(f"user-{n}", 0.32 / 2**n, "team-a") for n in range(4))
CALLERS = (Caller("apps", 0.24), *USERS, Caller("counted", 0.16, "team-b"))


def drawn(dice: random.Random) -> Caller:
    return dice.choices(CALLERS, [caller.share for caller in CALLERS])[0]


def limits(requests: float) -> tuple[int, int]:
    """Nanodollars for each user, and requests: a fifth, or a quarter, of a run spends them."""
    return int(requests * USERS[0].share / 5 * _COSTS), int(requests * CALLERS[-1].share / 4)


def manifests(providers: dict[str, str], requests: float) -> str:
    each, counted = limits(requests)
    return "".join(
        [
            *(account(name, url) for name, url in providers.items()),
            route(*providers),
            budget("default/platform", PLATFORM, "  appliesTo: {namespaces: {names: [default, team-a, team-b]}}\n"),
            budget(EACH, each, "  per: User\n"),
            budget(COUNTED, counted, "", unit="requests"),
            *(access_key(caller, caller.name if caller in USERS else "") for caller in CALLERS if caller.key),
        ]
    )


def account(name: str, url: str, input: int = INPUT) -> str:
    price = f'{{input: "{dollars(input * 10**6)}", output: "{dollars(OUTPUT * 10**6)}"}}'
    return f"""
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {{name: {name}}}
spec:
  provider: openai-compatible
  baseURL: {url}
  allowedNamespaces: {{from: All}}
  models:
  - {{name: acme/m, upstreamName: m, price: {{perMillionTokens: {price}}}}}
---
"""


def route(*members: str) -> str:
    listed = "".join(
        f"  - {{name: {member}, providerKeyRef: {{name: {member}}}, model: acme/m, order: {number}}}\n"
        for number, member in enumerate(members)
    )
    return f"""
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: smart}}
spec:
  allowedNamespaces: {{from: All}}
  endpoints:
{listed}---
"""


def budget(name: str, amount: int, more: str, unit: str = "usd") -> str:
    namespace, _, name = name.partition("/")
    said = f'"{dollars(amount)}"' if unit == "usd" else amount
    return f"""
apiVersion: byway.dev/v1alpha1
kind: Budget
metadata: {{name: {name}, namespace: {namespace}}}
spec:
{more}  limits: [{{period: Lifetime, {unit}: {said}}}]
---
"""


def access_key(caller: Caller, user: str) -> str:
    said = f"  user: {user}\n" if user else ""
    return f"""
apiVersion: byway.dev/v1alpha1
kind: AccessKey
metadata: {{name: {caller.name}, namespace: {caller.namespace}}}
spec:
{said}  keys: [{{name: a, sha256: {caller.digest}}}]
---
"""
