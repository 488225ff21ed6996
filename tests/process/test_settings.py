"""Settings from the environment: what fits, and what a person is told who slipped."""

from typing import Literal

import msgspec
import pytest
from byway_process.settings import SettingsError, read


class Settings(msgspec.Struct, frozen=True):
    socket: str
    drain_s: float = 30.0
    proxies: int = 1
    eject: bool = True
    services: tuple[str, ...] = ()
    log_level: Literal["debug", "info"] = "info"


def test_a_field_is_read_from_the_variable_of_its_name_and_type() -> None:
    given = {
        "BYWAY_SOCKET": "/run/s",
        "BYWAY_DRAIN_S": "2.5",
        "BYWAY_PROXIES": "4",
        "BYWAY_EJECT": "false",
        "BYWAY_LOG_LEVEL": "debug",
    }
    assert read(Settings, given) == Settings("/run/s", 2.5, 4, False, (), "debug")


def test_what_is_not_set_has_its_default_and_others_variables_are_not_ours() -> None:
    assert read(Settings, {"BYWAY_SOCKET": "s", "PATH": "/bin", "OTHER_DRAIN_S": "x"}) == Settings("s")


@pytest.mark.parametrize(("text", "list_"), [("a=b,c=d", ("a=b", "c=d")), ("a,", ("a",)), ("", ())])
def test_a_list_is_divided_by_commas(text: str, list_: tuple[str, ...]) -> None:
    assert read(Settings, {"BYWAY_SOCKET": "s", "BYWAY_SERVICES": text}).services == list_


def test_what_is_required_is_asked_for_by_its_variable() -> None:
    with pytest.raises(SettingsError, match=r"^BYWAY_SOCKET: must be set$"):
        read(Settings, {})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("BYWAY_DRIAN_S", "BYWAY_DRIAN_S: no such setting; did you mean BYWAY_DRAIN_S?"),
        ("BYWAY_QQQQ", "BYWAY_QQQQ: no such setting"),
    ],
)
def test_a_typo_cannot_hide(name: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(Settings, {"BYWAY_SOCKET": "s", name: "1"})
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("name", "text"),
    [("drain_s", "soon"), ("proxies", "1.5"), ("eject", "perhaps"), ("log_level", "loud")],
)
def test_a_value_that_does_not_fit_is_told_with_its_setting(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read(Settings, {"BYWAY_SOCKET": "s", f"BYWAY_{name.upper()}": text})
