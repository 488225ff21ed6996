"""Compile what a person may read, as the operator compiles all of it. Pure.

Secrets are never read: one that is named is taken to be there, unless the status of what names it says otherwise.
Where the status of an object says that the operator does not accept it, that counts, not our verdict: the operator
knows what cannot be read here (addresses that the cluster's admin listed, say).
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from byway_contract.table import EVERY_NAMESPACE
from byway_operator.compile.catalogue.catalogue import Catalogue
from byway_operator.compile.compile import compile_table
from byway_operator.compile.settings import Settings
from byway_operator.compile.verdict import Compiled
from byway_operator.resources.manifest import Key, Manifest, Surroundings
from byway_operator.resources.secret import CREDENTIAL_LABEL

from byway_cli.kube.reading import Platform, Seen

ANY_ADDRESS = ("0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128")
"""Which private addresses the cluster's admin listed, only the operator knows."""


def settings_of(platform: Platform, allowed_cidrs: tuple[str, ...], strict: bool) -> Settings:
    return Settings(
        trusted_namespaces=platform.trusted,
        namespace=platform.release,
        strict=strict,
        allowed_cidrs=allowed_cidrs,
    )


def compiled(seen: Seen, catalogue: Catalogue) -> Compiled:
    settings = settings_of(seen.platform, ANY_ADDRESS, strict=False)
    world = {**seen.manifests, **dict(secrets_for(seen.manifests, seen.told))}
    made = _compile(world, settings, catalogue, seen)
    refused = {
        key: manifest
        for key, manifest in refused_in(seen).items()
        if made.verdicts[key].accepted.status == "True"  # else our own words say more
    }
    return _compile({**world, **refused}, settings, catalogue, seen) if refused else made


def refused_in(seen: Seen) -> dict[Key, Manifest]:
    """What the operator does not accept by its status, so marked that a compiler does not either."""
    return {
        key: replace(manifest, broken=why)
        for key, manifest in seen.manifests.items()
        if (why := refusal(seen.told.get(key), manifest.generation))
    }


def listed_in(seen: Seen) -> tuple[str, ...]:
    """Private addresses that the cluster's admin must have listed: the operator accepts keys that lead to them."""
    found = set()
    for key, manifest in seen.manifests.items():
        accepted = condition(seen.told.get(key), "Accepted", manifest.generation).get("status") == "True"
        url = (manifest.body.get("spec") or {}).get("baseURL") if key.kind == "ProviderKey" and accepted else None
        with suppress(ValueError):  # a name is no address
            found.add(str(ip_network(urlsplit(str(url)).hostname or "")))
    return tuple(sorted(found))


def secrets_for(
    manifests: Mapping[Key, Manifest], told: Mapping[Key, Mapping[str, Any]]
) -> Iterator[tuple[Key, Manifest]]:
    """Stand-ins for the Secrets that are named and are not among the manifests."""
    entries: dict[Key, dict[str, str]] = {}
    reasons: dict[Key, set[str]] = {}
    for key, manifest in manifests.items():
        wrong = condition(told.get(key), "ResolvedRefs", manifest.generation)
        reason = str(wrong.get("reason")) if wrong.get("status") == "False" else ""
        for ref in _refs(key.kind, manifest.body.get("spec")):
            secret, entry = Key("Secret", key.namespace, ref["name"]), str(ref.get("key") or "apiKey")
            value = "" if reason == "SecretKeyMissing" else _stand_in(secret, entry)
            entries.setdefault(secret, {})[entry] = value
            reasons.setdefault(secret, set()).add(reason)
    for secret, held in entries.items():
        if secret not in manifests and "SecretNotFound" not in reasons[secret]:
            yield secret, _secret(secret, held, "SecretNotLabelled" not in reasons[secret])


def _refs(kind: str, spec: object) -> Iterator[Mapping[str, Any]]:
    """As far as they are written well."""
    found: list[object] = []
    if kind == "ProviderKey" and isinstance(spec, dict):
        found = [spec.get("secretRef")]
    elif kind == "AccessKey" and isinstance(spec, dict) and isinstance(spec.get("keys"), list):
        found = [one.get("secretRef") for one in spec["keys"] if isinstance(one, dict)]
    for ref in found:
        if isinstance(ref, dict) and isinstance(ref.get("name"), str):
            yield ref


def _stand_in(secret: Key, entry: str) -> str:
    """Fit to be either kind of credential; no two entries have the same."""
    return "sk-byway-" + hashlib.sha256(f"{secret} {entry}".encode()).hexdigest()


def refusal(status: Mapping[str, Any] | None, generation: int) -> str:
    """Why the operator does not accept this form; empty: it does, or has not said."""
    accepted = condition(status, "Accepted", generation)
    return f"{accepted.get('reason')}: {accepted.get('message')}" if accepted.get("status") == "False" else ""


def condition(status: Mapping[str, Any] | None, type_: str, generation: int) -> Mapping[str, Any]:
    """Of that type, if it speaks of this form; else empty."""
    if not status or status.get("observedGeneration") != generation:
        return {}
    return next((one for one in status.get("conditions") or () if one.get("type") == type_), {})


def _compile(world: Mapping[Key, Manifest], settings: Settings, catalogue: Catalogue, seen: Seen) -> Compiled:
    # Where no label is known a Selector would be a fault of its author's. Nobody has this name.
    labels = seen.labels or {EVERY_NAMESPACE: {}}
    return compile_table(
        world, held_back={}, refused={}, settings=settings, catalogue=catalogue, surroundings=Surroundings(labels)
    )


def _secret(key: Key, entries: Mapping[str, str], labelled: bool) -> Manifest:
    labels = {CREDENTIAL_LABEL: "true"} if labelled else {}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": key.name, "namespace": key.namespace, "labels": labels},
        "stringData": dict(entries),
    }
    return Manifest(key, body)
