"""What kopf is told, and how it reaches the API server. Imported by nobody but `triggers`, in its thread.

kopf lists each kind before it watches it, and would hand us every object of it, at a millisecond or two of
processor time apiece. Our own LIST is the better one, so its is made to find nothing: what it is for is the
resourceVersion that the watch begins at.

No annotations, no finalizers, no Events, no peering: `on.event` alone, which keeps nothing in the cluster.
"""

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import kopf
from byway_process.logs import Log
from kopf._core.engines.peering import Identity  # not exported, though `kopf.operator` takes it
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from byway_operator.kube.api import CREDENTIAL_LABEL, FLOOR_LABEL, GROUP, PRICE_BOOK_LABEL, VERSION, KubeError
from byway_operator.resources.config_map import says
from byway_operator.watch.cluster_inventory import CONFIG_MAPS, NAMESPACES, SLICES, View
from byway_operator.watch.triggers import Connect, Heard

END_WITHIN_S = 0.5
_NOBODY = "metadata.name=-"
"""A field selector that no object fits: a dash alone is no name."""
_LISTED = re.compile(r"/(?:namespaces/(?P<namespace>[^/]+)/)?(?P<plural>[a-z]+)$")
_NO_PEERS = Identity("byway-operator")
"""For peering, which is off. Left to itself kopf makes one of the user's name, and in an image there is none."""
_CORE = ("", "v1")
_GROUPS = {"secrets": _CORE, NAMESPACES: _CORE, CONFIG_MAPS: _CORE, SLICES: ("discovery.k8s.io", "v1")}


class Watches:
    """Of some kinds, in the same namespaces."""

    def __init__(
        self, views: Sequence[View], service: str, heard: Heard, relisting: Callable[[View], None]
    ) -> None:
        self._views = {(view.plural, view.namespace): view for view in views}
        self._service, self._heard, self._relisting = service, heard, relisting

    async def run(self, connect: Connect, asked: asyncio.Event) -> str:
        """Until `asked`, or until a watch ends that should not; why it ended."""
        try:
            configuration = await connect()
        except KubeError as error:
            return str(error)
        connector = aiohttp.TCPConnector(limit=0, ssl=RESTClientObject(configuration).ssl_context)
        stop, ending = asyncio.Event(), asyncio.Event()
        _failures.pop(threading.get_ident(), None)
        operator = asyncio.create_task(self._operate(configuration, connector, stop, ending))
        waiting = [asyncio.create_task(event.wait()) for event in (asked, ending)]
        await asyncio.wait({operator, *waiting}, return_when=asyncio.FIRST_COMPLETED)
        # First of all: a watch has no end to wait for, and kopf would wait for it politely.
        await connector.close(abort_ssl=True)
        stop.set()
        for task in waiting:
            task.cancel()
        await asyncio.wait({operator}, timeout=END_WITHIN_S)
        # It waits five seconds for whatever it has forgotten to cancel.
        operator.cancel()
        await asyncio.wait({operator})
        failure = operator.exception() if not operator.cancelled() else None
        return _why(failure or _failures.get(threading.get_ident()))

    async def _operate(
        self,
        configuration: Configuration,
        connector: aiohttp.TCPConnector,
        stop: asyncio.Event,
        ending: asyncio.Event,
    ) -> None:
        registry = kopf.OperatorRegistry()

        async def login(**_: Any) -> kopf.AiohttpSession:
            session = self._session(configuration, connector)
            return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)

        async def cleanup(**_: Any) -> None:
            ending.set()

        kopf.on.login(registry=registry)(login)
        kopf.on.cleanup(registry=registry)(cleanup)
        for plural in {view.plural for view in self._views.values()}:
            group, version = _GROUPS.get(plural, (GROUP, VERSION))
            kopf.on.event(group, version, plural, registry=registry, id=plural)(self._handler(plural))
        namespaces = {view.namespace for view in self._views.values()}
        await kopf.operator(
            registry=registry,
            settings=_settings(self._service),
            identity=_NO_PEERS,
            stop_flag=stop,
            clusterwide=None in namespaces,
            namespaces=[namespace for namespace in namespaces if namespace is not None],
        )

    def _handler(self, plural: str) -> Callable[..., Any]:
        async def event(event: Any, **_: Any) -> None:
            found = event["object"]
            namespace = found["metadata"].get("namespace")
            view = self._views.get((plural, None)) or self._views.get((plural, namespace))
            if view is not None:
                # No selector means the one label or the other, so we are told of every ConfigMap of the namespace.
                ours = plural != CONFIG_MAPS or says(found, FLOOR_LABEL) or says(found, PRICE_BOOK_LABEL)
                self._heard(view, event["type"] if ours else "DELETED", found)

        return event

    def _session(self, configuration: Configuration, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        """With the credentials of all our other calls, renewed as theirs are."""

        async def prepare(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
            if token is not None:
                request.headers["Authorization"] = token
            if configuration.tls_server_name:
                request.server_hostname = configuration.tls_server_name
            view = self._listed(request)
            if view is None:
                return await handler(request)
            request.url = request.url.update_query(fieldSelector=_NOBODY)
            response = await handler(request)
            if response.status == 200:
                self._relisting(view)
            return response

        return aiohttp.ClientSession(
            connector=connector,
            connector_owner=False,
            proxy=configuration.proxy,
            trust_env=True,
            middlewares=(prepare,),
            read_bufsize=2**21,
        )

    def _listed(self, request: aiohttp.ClientRequest) -> View | None:
        """What this request is the LIST of, if it is one."""
        where = _LISTED.search(request.url.path)
        if where is None or "watch" in request.url.query:
            return None
        return self._views.get((where["plural"], where["namespace"]))


def _settings(service: str) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True  # the Lease decides who leads
    settings.posting.enabled = False
    settings.scanning.disabled = True  # else it asks for rights on CustomResourceDefinitions
    settings.process.ultimate_exiting_timeout = None  # else it would end this whole process with SIGKILL
    settings.watching.label_selectors["secrets"] = f"{CREDENTIAL_LABEL}=true"
    settings.watching.label_selectors[SLICES] = f"kubernetes.io/service-name={service}"
    # Bookmarks come every minute: a watch that says nothing for longer is dead, whatever its socket says.
    settings.watching.inactivity_timeout = 70
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 270
    settings.watching.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = [0.2, 0.5, 1, 2, 2, 2, 2]
    settings.queueing.exit_timeout = 0.1
    settings.execution.max_workers = 1  # no handler of ours is a plain function
    return settings


def _why(error: BaseException | None) -> str:
    """Never an object: kopf's own errors may hold one."""
    if error is None:
        return "they ended by themselves"
    # The API server's own words; kopf's class for them is not among what it exports.
    said = str(error) if isinstance(error, aiohttp.ClientError | OSError) else getattr(error, "message", None)
    return f"{type(error).__name__}: {said or ''}".removesuffix(": ")[:300]


_failures: dict[int, BaseException] = {}
"""By thread, why kopf is ending: it says so to its log, and to us only once it has ended."""


class _Kopf(logging.Handler):
    """kopf's lines in our shape. Mostly only where they come from: their text may hold an object, even a Secret."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None and record.thread is not None:
            _failures.setdefault(record.thread, record.exc_info[1])
        plain = (record.module, record.funcName) == ("api", "request")  # a verb, a URL, and what went wrong
        text = record.getMessage()[:300] if plain else record.funcName
        self._log.debug("kopf complains", logger=record.name, message=text)


def adopt_kopf_logs(log: Log) -> None:
    """What matters of them is told otherwise: a LIST that fails, watches that end. The rest is for debugging."""
    logger = logging.getLogger("kopf")
    logger.handlers, logger.propagate = [_Kopf(log)], False
    logger.setLevel(logging.WARNING)
