"""Every call that we make to the Kubernetes API, but for the watches, which are kopf's.

One method, one call, so that a Role can be held against this page. TLS, credentials and their renewal are the
`kubernetes` client's. Its calls are not: its models cost more than all the rest of a large LIST, and a thousand
statuses cost it a second of processor time; so objects stay plain JSON, and aiohttp carries them.
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

GROUP, VERSION = "byway.dev", "v1alpha1"
FIELD_MANAGER = "byway-operator"
CREDENTIAL_LABEL = "byway.dev/credential"
FLOOR_LABEL = "byway.dev/floor"
PRICE_BOOK_LABEL = "byway.dev/price-book"
FEES_LABEL = "byway.dev/fees"

PAGE = 500
"""Objects in one answer of a LIST."""
REQUEST_S = 30.0
AT_ONCE = 16
"""Connections."""
# The second is what the signing keys are served as, and they are refused to whoever asks for plain JSON alone.
ACCEPT = "application/json, application/jwk-set+json"

Object = Mapping[str, Any]
"""An object as the API gives it."""
Still = Callable[[], bool]
"""Asked at the last moment whether something is to be sent yet."""

_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(dict[str, Any]).decode


def always() -> bool:
    return True


class KubeError(Exception):
    """The API server said no, or nothing. `status` is HTTP's, 0 when there was no answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status or 'no answer'} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Listed:
    """A whole LIST: nothing that existed at `version` is missing."""

    items: Sequence[Object]
    version: int
    """resourceVersion; a later one is larger (since Kubernetes 1.35 that is promised; it always was so)."""


@dataclass(frozen=True)
class Reviewed:
    """What the API server says of a token."""

    authenticated: bool
    username: str = ""
    audiences: tuple[str, ...] = ()
    extra: Mapping[str, Sequence[str]] = ()  # type: ignore[assignment]  # an empty mapping by any other name
    error: str = ""


class KubeApi:
    """`async with KubeApi(await connect()) as api`."""

    def __init__(self, configuration: Configuration, connector: aiohttp.BaseConnector | None = None) -> None:
        """`connector`: another than that of the configuration's TLS."""
        self._configuration, self._connector = configuration, connector
        self._server = configuration.host.rstrip("/")
        self._dialling: dict[str, Any] = (
            {"server_hostname": configuration.tls_server_name} if configuration.tls_server_name else {}
        )

    async def __aenter__(self) -> Self:
        configuration = self._configuration
        self._session = aiohttp.ClientSession(
            connector=self._connector
            or aiohttp.TCPConnector(limit=AT_ONCE, ssl=RESTClientObject(configuration).ssl_context),
            proxy=_proxy(configuration),
            headers={"User-Agent": FIELD_MANAGER},
            timeout=aiohttp.ClientTimeout(total=REQUEST_S),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def list_resources(self, plural: str, namespace: str | None) -> Listed:
        """Ours, of one kind: `modelroutes`; None is every namespace."""
        return await self._list(_path(f"/apis/{GROUP}/{VERSION}", namespace, plural))

    async def list_credentials(self, namespace: str | None) -> Listed:
        """Secrets that say they are for us. RBAC cannot filter by label; we ask for no others all the same."""
        selector = {"labelSelector": f"{CREDENTIAL_LABEL}=true"}
        return await self._list(_path("/api/v1", namespace, "secrets"), selector)

    async def list_floors(self, namespace: str) -> Listed:
        """ConfigMaps that say they are the platform's floor."""
        return await self._list(_path("/api/v1", namespace, "configmaps"), {"labelSelector": f"{FLOOR_LABEL}=true"})

    async def list_price_books(self, namespace: str) -> Listed:
        """ConfigMaps that say they are the platform's price book."""
        selector = {"labelSelector": f"{PRICE_BOOK_LABEL}=true"}
        return await self._list(_path("/api/v1", namespace, "configmaps"), selector)

    async def list_fees(self, namespace: str) -> Listed:
        """ConfigMaps that say they are the platform's fees."""
        selector = {"labelSelector": f"{FEES_LABEL}=true"}
        return await self._list(_path("/api/v1", namespace, "configmaps"), selector)

    async def find_secret_labels(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """Of a Secret that may not be for us: its metadata alone, no value. None: there is none.

        A LIST of one, so that it takes no other right than the LIST of the others.
        """
        path = _path("/api/v1", namespace, "secrets")
        metadata_only = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        page = await self._call("GET", path, {"fieldSelector": f"metadata.name={name}"}, accept=metadata_only)
        items = page.get("items") or ()
        return (items[0]["metadata"].get("labels") or {}) if items else None

    async def list_namespaces(self) -> Listed:
        return await self._list("/api/v1/namespaces")

    async def list_endpoint_slices(self, namespace: str, service: str) -> Listed:
        path = _path("/apis/discovery.k8s.io/v1", namespace, "endpointslices")
        return await self._list(path, {"labelSelector": f"kubernetes.io/service-name={service}"})

    async def apply_status(
        self,
        kind: str,
        plural: str,
        namespace: str,
        name: str,
        status: Object,
        uid: str | None = None,
        still: Still = always,
    ) -> Object:
        """Server-side apply: what is the same already writes nothing. Returns the object.

        With its `uid` an object that was deleted and made again meanwhile is not taken for the old one (409).
        """
        metadata = {"name": name, "namespace": namespace} | ({"uid": uid} if uid is not None else {})
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "status": status}
        path = _path(f"/apis/{GROUP}/{VERSION}", namespace, plural, name, "status")
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._call("PATCH", path, query, body, "application/apply-patch+yaml", still=still)

    async def create_event(self, namespace: str, event: Object, still: Still = always) -> None:
        await self._call("POST", _path("/api/v1", namespace, "events"), {}, event, still=still)

    async def read_lease(self, namespace: str, name: str) -> Object:
        return await self._call("GET", _path("/apis/coordination.k8s.io/v1", namespace, "leases", name))

    async def create_lease(self, namespace: str, lease: Object) -> Object:
        return await self._call("POST", _path("/apis/coordination.k8s.io/v1", namespace, "leases"), {}, lease)

    async def replace_lease(self, namespace: str, name: str, lease: Object) -> Object:
        """409 if somebody else wrote it since it was read."""
        return await self._call("PUT", _path("/apis/coordination.k8s.io/v1", namespace, "leases", name), {}, lease)

    async def review_token(self, token: str, audience: str) -> Reviewed:
        spec = {"token": token, "audiences": [audience]}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        answer = await self._call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {}, body)
        status = answer.get("status") or {}
        user = status.get("user") or {}
        return Reviewed(
            bool(status.get("authenticated")),
            str(user.get("username", "")),
            tuple(status.get("audiences") or ()),
            user.get("extra") or {},
            str(status.get("error", "")),
        )

    async def read_issuer(self) -> Object:
        """The OpenID discovery document: `issuer` and where its keys are."""
        return await self._call("GET", "/.well-known/openid-configuration")

    async def read_signing_keys(self) -> Object:
        """The public keys that ServiceAccount tokens are signed with: a JWK set."""
        return await self._call("GET", "/openid/v1/jwks")

    async def _list(self, path: str, query: Mapping[str, str] | None = None) -> Listed:
        items: list[Object] = []
        more: dict[str, str] = {}
        while True:
            page = await self._call("GET", path, {"limit": str(PAGE), **(query or {}), **more})
            items += page.get("items") or ()
            metadata = page["metadata"]
            if not metadata.get("continue"):
                return Listed(items, int(metadata.get("resourceVersion") or 0))
            more = {"continue": metadata["continue"]}

    async def _call(
        self,
        verb: Literal["GET", "POST", "PUT", "PATCH"],
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = ACCEPT,
        still: Still = always,
    ) -> Object:
        """Raises KubeError."""
        headers = {"Accept": accept, "Content-Type": content_type}
        sent = _Body(_encode(body), still) if body is not None else None
        try:
            token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
            if token is not None:
                headers["Authorization"] = token
            async with self._session.request(
                verb, self._server + path, params=query, data=sent, headers=headers, **self._dialling
            ) as answer:
                payload = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise KubeError(0, type(error).__name__, str(error)) from error
        if not 200 <= answer.status < 300:
            raise KubeError(answer.status, answer.reason or "", _said(payload))
        try:
            return _decode(payload)
        except ValueError as error:
            raise KubeError(0, "no JSON", f"the API server's answer cannot be read: {error}") from error


class _Body(BytesPayload):
    """Headers leave with it, so nothing has been sent of what is withheld here."""

    def __init__(self, value: bytes, still: Still) -> None:
        super().__init__(value)
        self._still = still

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if not self._still():
            raise ConnectionError("withheld: it is not to be sent any more")
        await super().write_with_length(writer, content_length)


def _proxy(configuration: Configuration) -> str | None:
    """On the way to the API server. aiohttp would look into the environment, and into ~/.netrc, at each call."""
    server = urlsplit(configuration.host)
    if configuration.proxy or proxy_bypass(server.hostname or ""):
        return configuration.proxy or None
    return getproxies().get(server.scheme)


async def connect(kubeconfig: str | None) -> Configuration:
    """From a kubeconfig file, or from the pod's own ServiceAccount. Raises KubeError."""
    configuration = Configuration()
    try:
        if kubeconfig:
            loading = config.load_kube_config(kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]  # not typed
            await loading
        else:
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # not typed
    except (config.ConfigException, OSError, ssl.SSLError) as error:
        raise KubeError(0, "no way to the Kubernetes API", str(error)) from error
    return configuration


def _path(prefix: str, namespace: str | None, *rest: str) -> str:
    return "/".join([prefix, *(("namespaces", namespace) if namespace else ()), *rest])


def _said(body: bytes) -> str:
    """What a `Status` of the API server says; at most a line."""
    try:
        message = str(_decode(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = "the answer is not the API server's"
    return message[:512]
