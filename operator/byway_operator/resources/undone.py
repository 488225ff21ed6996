"""What the reference has and this version does not do: refused, because a limit that does nothing is a defect."""

from collections.abc import Iterator

from byway_operator.resources.faults import Fault
from byway_operator.resources.paths import Path
from byway_operator.resources.provider_key import ProviderKey

NOT_DONE = "not done in this version"


def undone(resource: object) -> Iterator[Fault]:
    if isinstance(resource, ProviderKey):
        yield from _in_provider_key(resource)


def _in_provider_key(key: ProviderKey) -> Iterator[Fault]:
    spec = key.spec
    if spec.provider in ("bedrock", "vertex"):
        yield _fault(
            ("spec", "provider"), f"{spec.provider} is {NOT_DONE}; an OpenAI-compatible gateway works with baseURL"
        )
    if spec.azure and spec.azure.api_version not in (None, "v1"):
        yield _fault(("spec", "azure", "apiVersion"), f"other than v1 is {NOT_DONE}; leave it out")


def _fault(path: Path, message: str) -> Fault:
    return Fault("NotImplemented", path, message)
