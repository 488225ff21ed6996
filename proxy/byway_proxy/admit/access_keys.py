"""Whose access key is it? Looked up by its digest, so nothing that takes longer or shorter depends on the key.

A key that nobody has and one that was taken back are told the same: there is nothing to learn by trying.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from byway_contract.report import MOST_ACCESS_KEYS
from byway_contract.table import AccessKey
from msgspec import Struct

from byway_proxy.admit.caller import Caller, Denied


class _Known(Struct, frozen=True, gc=False):
    """One key of an AccessKey."""

    caller: Caller
    used_as: str
    """`namespace/name/key`."""
    expires: float
    ended: Denied


class AccessKeys:
    """Those of one table after the other."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, _Known] = {}
        self._made: dict[str, tuple[AccessKey, tuple[tuple[bytes, _Known], ...]]] = {}
        self._used: dict[str, float] = {}
        self._unknown = Denied("")

    def obey(self, access_keys: Mapping[str, AccessKey], way_in: str) -> None:
        """`access_keys` by id. What is the same object as before is not looked at again: there may be thousands."""
        self._unknown = Denied(
            f"this is not a key that this gateway knows: it was never made, or has been taken back; {way_in}"
        )
        made = {}
        for name, access_key in access_keys.items():
            before = self._made.get(name)
            made[name] = before if before is not None and before[0] is access_key else _made(access_key)
        self._made = made
        self._by_digest = {digest: known for _, each in made.values() for digest, known in each}
        names = {known.used_as for known in self._by_digest.values()}
        self._used = {name: at for name, at in self._used.items() if name in names}

    def caller(self, key: str, now: float) -> Caller | Denied:
        # What no header can hold must not fall over here either.
        known = self._by_digest.get(hashlib.sha256(key.encode(errors="surrogatepass")).digest())
        if known is None:
            return self._unknown
        if now >= known.expires:
            return known.ended
        self._used[known.used_as] = now
        return known.caller

    def last_used(self) -> dict[str, float]:
        """By `namespace/name/key`, in seconds since 1970, since this process started. Of many those used last."""
        if len(self._used) <= MOST_ACCESS_KEYS:
            return dict(self._used)
        latest = sorted(self._used.items(), key=lambda used: used[1], reverse=True)
        return dict(latest[:MOST_ACCESS_KEYS])


def _made(access_key: AccessKey) -> tuple[AccessKey, tuple[tuple[bytes, _Known], ...]]:
    return access_key, tuple(
        (
            bytes.fromhex(key.sha256),
            _Known(
                Caller(
                    access_key.namespace,
                    access_key=access_key.name,
                    user=access_key.user,
                    allowed_models=access_key.allowed_models,
                    expires=key.expires,
                ),
                f"{access_key.namespace}/{access_key.name}/{key.name}",
                float("inf") if key.expires is None else key.expires,
                _ended(access_key, key.expires),
            ),
        )
        for key in access_key.keys
    )


def _ended(access_key: AccessKey, expires: int | None) -> Denied:
    """Told to whoever has the key: its time is over, and a guess is not what brought them here."""
    on = "" if expires is None else f" on {datetime.fromtimestamp(expires, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Denied(
        f'this key of AccessKey "{access_key.name}" has expired{on}; use another of its keys, or have one made'
    )
