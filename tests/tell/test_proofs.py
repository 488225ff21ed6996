"""Which credentials are proven next, and how often."""

from byway_contract.report import LastError
from byway_contract.secret import Secret
from byway_contract.table import Account, Credential, Egress, Sections, canonical
from byway_operator.tell.proofs import AT_ONCE, PER_S, Proofs
from byway_operator.tell.summary import AccountHealth

T = 1_800_000_000.0
NAME = "team-a/openai"


def a_table(*names: str, secret: str = "one", egress: Egress | None = None, **fields: object) -> Sections:
    accounts = {}
    for name in names or (NAME,):
        namespace, _, short = name.removeprefix("svc:").partition("/")
        accounts[name] = canonical(
            Account(namespace, short, "openai", "OpenAI", "https://a.example", credential=name, **fields)  # type: ignore[arg-type]  # as a test says
        )
    credentials = {name: canonical(Credential(Secret(secret))) for name in accounts}
    return {"accounts": accounts, "credentials": credentials, "policies": {"egress": canonical(egress or Egress())}}


def failed(kind: str, at: float, ok: float | None = None) -> dict[str, AccountHealth]:
    return {NAME: AccountHealth(last_ok=ok, last_error=LastError(kind, at))}


def taken(at: float) -> dict[str, AccountHealth]:
    return {NAME: AccountHealth(last_ok=at)}


def proofs_of(*names: str) -> Proofs:
    proofs = Proofs()
    proofs.know(a_table(*names), T)
    return proofs


def asked_at(proofs: Proofs, health: dict[str, AccountHealth], until: float) -> list[float]:
    """At which seconds after T somebody is asked, while health stays as it is."""
    found = []
    for second in range(int(until)):
        due = proofs.due(health, T + second)
        if due:
            proofs.asked(due, T + second)
            found.append(second)
    return [float(second) for second in found]


def test_a_key_that_nobody_has_used_is_asked_about_at_once_and_then_ever_more_rarely() -> None:
    assert asked_at(proofs_of(), {}, 1000) == [0, 10, 30, 70, 150, 310, 630]


def test_a_key_that_requests_have_proven_is_asked_about_when_that_is_an_hour_old() -> None:
    assert asked_at(proofs_of(), taken(T - 60), 4000) == [3540]


def test_a_provider_that_is_away_is_asked_for_again_at_most_five_minutes_later() -> None:
    times = asked_at(proofs_of(), failed("connect", T), 2000)
    assert times[:4] == [0, 10, 30, 70]
    assert times[-1] - times[-2] == 300


def test_a_refused_key_is_left_alone_for_ten_minutes_but_for_a_new_secret() -> None:
    for kind in ("unauthorized", "payment_required"):
        proofs = proofs_of()
        assert asked_at(proofs, failed(kind, T), 1300) == [600, 1200]
        proofs.know(a_table(secret="two"), T + 1301)
        # What proxies still say is of the credential before.
        assert proofs.due(failed(kind, T + 1200), T + 1301) == (NAME,)


def test_what_was_proven_of_another_credential_or_url_or_under_other_rules_is_asked_anew() -> None:
    for changed in (
        a_table(secret="two"),
        a_table(ca_bundle="another"),
        a_table(egress=Egress(("10.0.0.0/8",))),
    ):
        proofs = proofs_of()
        assert proofs.due(taken(T), T + 1) == ()
        proofs.know(changed, T + 2)
        assert proofs.due(taken(T), T + 2) == (NAME,)
        assert proofs.due(taken(T + 3), T + 3) == ()


def test_sharing_a_key_proves_and_refutes_nothing() -> None:
    proofs = proofs_of()
    proofs.know(a_table(shared_with=("team-b",), max_concurrent=3), T + 2)
    assert proofs.due(taken(T), T + 2) == ()


def test_services_and_keys_that_are_gone_are_not_asked_about() -> None:
    proofs = proofs_of("svc:team-a/vllm:8000", "team-a/old", "team-a/new")
    proofs.know(a_table("team-a/new"), T)
    assert proofs.due({}, T) == ("team-a/new",)


def test_a_start_with_thousands_of_keys_is_no_burst() -> None:
    proofs = proofs_of(*(f"team-a/k{number}" for number in range(2000)))
    asked: list[str] = []
    for tenth in range(600):
        due = proofs.due({}, T + tenth / 10)
        proofs.asked(due, T + tenth / 10)
        asked += due
        assert len(asked) <= AT_ONCE + PER_S * (tenth / 10)
    assert len(set(asked)) >= 0.9 * (AT_ONCE + PER_S * 60)
