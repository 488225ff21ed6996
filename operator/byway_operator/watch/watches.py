"""What kopf is told, and how it reaches the API server. Imported by nobody but `triggers`, in its thread.

kopf lists each kind before it watches it, and would hand us every object of it, at a millisecond or two of
processor time apiece. Our own LIST is the better one, so its is made to find nothing: what it is for is the
resourceVersion that the watch begins at.

No annotations, no finalizers, no Events, no peering: `on.event` alone, which keeps nothing in the cluster.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import kopf
from byway_process.logs import Log
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from byway_operator.kube.api import CREDENTIAL_LABEL, GROUP, VERSION, KubeError
from byway_operator.watch.cluster_inventory import KINDS, NAMESPACES, SLICES, View
from byway_operator.watch.triggers import Connect, Heard

_NOBODY = "metadata.name=-"
"""A field selector that no object fits: a dash alone is no name."""
_LISTED = re.compile(r"/(?:namespaces/(?P<namespace>[^/]+)/)?(?P<plural>[a-z]+)$")
_GROUPS = {"secrets": ("", "v1"), NAMESPACES: ("", "v1"), SLICES: ("discovery.k8s.io", "v1")}


async def watch(
    connect: Connect,
    views: Sequence[View],
    service: str,
    asked: asyncio.Event,
    heard: Heard,
    relisting: Callable[[View], None],
) -> str | None:
    """Until `asked`, then None; or until a watch ends that should not: why."""
    try:
        configuration = await connect()
    except KubeError as error:
        return str(error)
    stop = asyncio.Event()
    # kopf looks in the same namespaces for all kinds: one operator of its for the resources, one for the Service.
    operators = [
        asyncio.create_task(_operate(group, service, configuration, stop, heard, relisting))
        for group in _alike(views, everywhere=any(v.namespace is None for v in views if v.plural in KINDS))
    ]
    asking = asyncio.create_task(asked.wait())
    done, _ = await asyncio.wait({asking, *operators}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await asyncio.wait(operators)
    asking.cancel()
    ended = [task for task in operators if task in done]
    return next((_why(task) for task in ended), None)


def _alike(views: Sequence[View], *, everywhere: bool) -> list[list[View]]:
    """Namespaces' labels are watched only where the whole cluster is; else the LISTs must do."""
    resources = [view for view in views if view.plural in KINDS or (everywhere and view.plural == NAMESPACES)]
    return [resources, [view for view in views if view.plural == SLICES]]


async def _operate(
    views: Sequence[View],
    service: str,
    configuration: Configuration,
    stop: asyncio.Event,
    heard: Heard,
    relisting: Callable[[View], None],
) -> None:
    registry = kopf.OperatorRegistry()

    async def login(**_: Any) -> kopf.AiohttpSession:
        session = _session(configuration, {(view.plural, view.namespace): view for view in views}, relisting)
        return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)

    kopf.on.login(registry=registry)(login)
    for plural in {view.plural for view in views}:
        group, version = _GROUPS.get(plural, (GROUP, VERSION))
        kopf.on.event(group, version, plural, registry=registry, id=plural)(_handler(plural, views, heard))
    namespaces = {view.namespace for view in views if view.plural != NAMESPACES}
    await kopf.operator(
        registry=registry,
        settings=_settings(service),
        stop_flag=stop,
        clusterwide=None in namespaces,
        namespaces=[namespace for namespace in namespaces if namespace is not None],
    )


def _handler(plural: str, views: Sequence[View], heard: Heard) -> Callable[..., Any]:
    by_namespace = {view.namespace: view for view in views if view.plural == plural}

    async def event(event: Any, **_: Any) -> None:
        found = event["object"]
        view = by_namespace.get(None) or by_namespace.get(found["metadata"].get("namespace"))
        if view is not None:
            heard(view, event["type"], found)

    return event


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
    settings.networking.error_backoffs = [0.2, 0.5, 1, 2, 4, 8]
    settings.queueing.exit_timeout = 0.1
    settings.execution.max_workers = 1  # no handler of ours is a plain function
    return settings


def _session(
    configuration: Configuration, views: dict[tuple[str, str | None], View], relisting: Callable[[View], None]
) -> aiohttp.ClientSession:
    """With the credentials of all our other calls, renewed as theirs are."""

    async def prepare(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token is not None:
            request.headers["Authorization"] = token
        if configuration.tls_server_name:
            request.server_hostname = configuration.tls_server_name
        if "watch" in request.url.query:
            return await handler(request)
        where = _LISTED.search(request.url.path)
        view = views.get((where["plural"], where["namespace"])) if where is not None else None
        if view is None:
            return await handler(request)
        request.url = request.url.update_query(fieldSelector=_NOBODY)
        response = await handler(request)
        if response.status == 200:
            relisting(view)
        return response

    tls = RESTClientObject(configuration).ssl_context
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls),
        proxy=configuration.proxy,
        trust_env=True,
        middlewares=(prepare,),
        read_bufsize=2**21,
    )


def _why(task: asyncio.Task[None]) -> str:
    """Never an object: kopf's own errors may hold one."""
    if task.cancelled():
        return "cancelled from within"
    error = task.exception()
    if error is None:
        return "they ended by themselves"
    # The API server's own words; kopf's class for them is not among what it exports.
    said = str(error) if isinstance(error, aiohttp.ClientError | OSError) else getattr(error, "message", None)
    return f"{type(error).__name__}: {said or ''}".removesuffix(": ")[:300]


class _Kopf(logging.Handler):
    """kopf's lines in our shape. Mostly only where they come from: their text may hold an object, even a Secret."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        plain = record.name == "kopf._cogs.clients.api"  # a verb, a URL, and what went wrong
        text = record.getMessage()[:300] if plain else record.funcName
        self._log.debug("kopf complains", logger=record.name, message=text)


def adopt_kopf_logs(log: Log) -> None:
    """What matters of them is told otherwise: a LIST that fails, watches that end. The rest is for debugging."""
    logger = logging.getLogger("kopf")
    logger.handlers, logger.propagate = [_Kopf(log)], False
    logger.setLevel(logging.WARNING)
