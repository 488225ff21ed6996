"""What a ProviderKey adds to every request is one line each: nobody writes a second one into it."""

from typing import Any

import pytest
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.resources.parse import Rejected, parse

EVIL = ["a\r\nX-Evil: 1", "a\n", "a\r", "\na", "a\x00", "a\x0bb", "a\x7f", "é", "a\u2028b", "a\x85"]


def key(name: str, value: str) -> Manifest:
    body: dict[str, Any] = {
        "apiVersion": "byway.dev/v1alpha1",
        "kind": "ProviderKey",
        "metadata": {"name": "k", "namespace": "default"},
        "spec": {"provider": "openai", "secretRef": {"name": "k"}, "headers": [{"name": name, "value": value}]},
    }
    return Manifest(Key("ProviderKey", "default", "k"), body)


@pytest.mark.parametrize("text", EVIL)
def test_a_header_of_two_lines_is_refused(text: str) -> None:
    for body in (key("X-Team", text), key(text, "a")):
        with pytest.raises(Rejected, match=r"spec\.headers"):
            parse(body, strict=True)
    parse(key("X-Team", "a b\tc"), strict=True)
