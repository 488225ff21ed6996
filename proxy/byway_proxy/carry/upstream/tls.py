"""TLS to providers: one context for each set of authorities. Verification cannot be turned off."""

import asyncio
import ssl

from cachetools import LRUCache

from byway_proxy.carry.upstream.failures import Failure

# A context with the system's authorities takes some tens of milliseconds and a megabyte to make.
_MOST = 64


class Contexts:
    def __init__(self) -> None:
        self._made: LRUCache[str | None, ssl.SSLContext] = LRUCache(_MOST)

    async def get(self, ca_bundle: str | None) -> ssl.SSLContext:
        """Raises Failure if the bundle holds no certificate. The first time, a thread reads the authorities."""
        context = self._made.get(ca_bundle)
        if context is None:
            context = self._made[ca_bundle] = await asyncio.to_thread(_make, ca_bundle)
        return context


def _make(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=ca_bundle)
    except (ssl.SSLError, ValueError):
        raise Failure("tls", "the caBundle is no PEM certificate; paste -----BEGIN CERTIFICATE----- …") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def told(host: str, error: Exception) -> Failure:
    """What a failed handshake says about itself, in a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure("tls", f"the certificate of {host} was refused: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return Failure("tls", f"no TLS with {host}: {error.reason or 'the handshake failed'}")
    return Failure("tls", f"no TLS with {host}: the connection ended during the handshake")
