"""`byway key new NAME`: a key for an app, shown once, and the AccessKey that lets it in, by its digest alone.

The manifest goes to standard output and the key to standard error, so that neither a pipe to kubectl nor a file
that is committed ever holds the key.
"""

import re
import secrets
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
import yaml
from byway_contract.access_key import RANDOM_BYTES, digest_of, key_of

from byway_cli import printing
from byway_cli.errors import CommandError

DAY_S = 86_400
_UNITS = {"h": 3600, "d": DAY_S, "w": 7 * DAY_S}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

keys = typer.Typer(help="Access keys, for apps that have no ServiceAccount token.", no_args_is_help=True)


@keys.callback()
def _group() -> None:
    """A command of its own, so that `new` is a word of it."""


@keys.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the AccessKey.")],
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Whose caller it is. [default: kubectl's, or the folder's]"),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="How long it is good: 90d, 12h, 4w. [default: for ever]")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Whose spend it is: ci@example.com.")] = None,
) -> None:
    """Print a key once, and the AccessKey to apply.

    The key goes to standard error and is kept nowhere; what is to be applied, on standard output, holds its digest:
    byway key new ci | kubectl apply --server-side -f -

    To rotate, add what is below `keys` to the AccessKey that there is: both keys are good until the old one goes.
    """
    key, now = key_of(secrets.token_bytes(RANDOM_BYTES)), int(time.time())
    print(yaml.safe_dump(manifest(name, namespace, user, key, now, expires), sort_keys=False), end="")
    printing.warn(f"the key, which is shown this once: {key}")


def manifest(
    name: str, namespace: str | None, user: str | None, key: str, now: int, expires: str | None
) -> dict[str, Any]:
    """Raises CommandError. The entry is named after its day: that tells it apart when another replaces it."""
    if not _NAME.fullmatch(name):
        raise CommandError(f"{name!r} is no object's name: want lower-case letters, digits, dashes and dots")
    entry = {"name": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}", "sha256": digest_of(key)}
    if expires is not None:
        entry["expiresAt"] = f"{datetime.fromtimestamp(now + _seconds(expires), UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {
        "apiVersion": "byway.dev/v1alpha1",
        "kind": "AccessKey",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "spec": {"keys": [entry]} | ({"user": user} if user else {}),
    }


def _seconds(text: str) -> int:
    said = re.fullmatch(r"([1-9][0-9]{0,3})([hdw])", text)
    if said is None:
        raise CommandError(f"--expires {text}: want a number of hours, days or weeks: 12h, 90d, 4w")
    return int(said[1]) * _UNITS[said[2]]
