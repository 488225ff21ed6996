"""Where a request goes: the base URL of an account, and of a Service in the cluster.

A `baseURL` that shows an address which may not be called is refused here, by the rule of the contract's `reach`.
Names are not resolved; that is for the proxy, which asks the same rule when it dials.
"""

import re
from urllib.parse import urlsplit

from byway_contract.reach import Address, parsed, told

from byway_operator.compile.catalogue.catalogue import Provider
from byway_operator.compile.faults import NotAccepted, Unresolved
from byway_operator.compile.settings import Settings
from byway_operator.resources.provider_key import ProviderKeySpec
from byway_operator.resources.shared import ServiceRef

# Old resolvers read `127.1`, `0x7f000001` and `2130706433` as addresses.
_DISGUISED = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*")
_METADATA = ("metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal")


def base_url(spec: ProviderKeySpec, provider: Provider, settings: Settings) -> str:
    """The account's URL, without a slash at its end, where no Service is named. Raises NotAccepted."""
    if spec.base_url is not None:
        _check(spec.base_url, settings)
        return spec.base_url.rstrip("/")
    if provider.base_url is None:
        raise NotAccepted("Invalid", "spec.provider", f"spec.provider: {provider.slug} needs baseURL or serviceRef")
    return provider.base_url.format(resource=spec.azure.resource if spec.azure else "")


def service_url(ref: ServiceRef, namespace: str, settings: Settings, field: str, said: str) -> str:
    """The URL of a Service's API. `field` is the reference's path by index, `said` as people read it.

    Raises Unresolved on one machine that was given no address for it.
    """
    if settings.service_addresses is None:
        address = f"{ref.name}.{namespace}.svc:{ref.port}"
        return f"{ref.effective_scheme}://{address}{ref.effective_path}"
    wanted = service_id(ref, namespace)
    address_given = settings.service_addresses.get(wanted)
    if address_given is None:
        raise Unresolved(
            "ServiceNotFound",
            field,
            f"{said}: no cluster here to look up Service {wanted}; give its address: "
            f"--service {wanted}=127.0.0.1:{ref.port}",
        )
    return f"{ref.effective_scheme}://{address_given}{ref.effective_path}"


def service_id(ref: ServiceRef, namespace: str) -> str:
    """`namespace/name:port`."""
    return f"{namespace}/{ref.name}:{ref.port}"


def _check(url: str, settings: Settings) -> None:
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise _refused("Invalid", "is no URL; want https://api.example.com/v1") from error
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        raise _refused("Invalid", "want http or https, a host, and no user, query or fragment")
    if not host.isascii():
        raise _refused("Invalid", "want the host in ASCII: xn--… for other letters")
    if settings.service_addresses is None and _in_cluster(host):
        raise _refused("NotPermitted", f"{host} is a name of the cluster's own; write serviceRef instead")
    if host in _METADATA:
        raise _refused("NotPermitted", f"{host} is {told('metadata')}")
    if _DISGUISED.fullmatch(host) and _address(host) is None:
        raise _refused("NotPermitted", f"{host} is an address in disguise; write it as 192.0.2.1")
    address = _address(host)
    ground = settings.fence.against(address, "url") if address is not None else None
    if ground is not None:
        raise _refused("NotPermitted", f"{host} is {told(ground)}")


def _in_cluster(host: str) -> bool:
    """A Service's name, of any namespace: what the cluster's resolver completes, or a search domain."""
    labels = host.split(".")
    one_word = len(labels) == 1 and not host[0].isdigit() and ":" not in host and host != "localhost"
    return one_word or "svc" in labels[2:] or host.endswith((".cluster.local", ".local"))


def _address(host: str) -> Address | None:
    """The address that a host is; None: it is a name."""
    if host == "localhost" or host.endswith(".localhost"):
        return parsed("127.0.0.1")
    try:
        return parsed(host)
    except ValueError:
        return None


def _refused(reason: str, what: str) -> NotAccepted:
    return NotAccepted(reason, "spec.baseURL", f"spec.baseURL: {what}")
