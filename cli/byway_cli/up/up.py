"""`byway up DIR`: start the ledger, the operator and N proxies on loopback, keep them up, and end them in order.

Saving a file in DIR is what `kubectl apply` is in a cluster; the operator watches, this command only supervises.
"""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from byway_cli import asking, printing
from byway_cli.errors import CommandError
from byway_cli.options import AllowedCidrs, Services, Unpriced, UnpricedModels, allowed_cidrs, services
from byway_cli.up import layout
from byway_cli.up.children import Children, NotReadyError, Plan
from byway_cli.up.layout import Layout, Running, RunningProxy
from byway_cli.up.voice import HumanVoice, JsonVoice, LogFormat, voice

MOST_PROXIES = 64
# A proxy's running answers get this long; the rest until SIGKILL is for its log's last records to be shipped.
DRAIN_S, SHIP_S = 30.0, 10.0
END_WITHIN_S = 15.0
_INTERRUPTED = 130


def up(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder your resources are in.")],
    proxies: Annotated[int, typer.Option(min=1, max=MOST_PROXIES, help="How many share the port.")] = 1,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")] = 8080,
    state: Annotated[Path | None, typer.Option(help="Where state is kept. [default: your state folder]")] = None,
    service: Services = None,
    allow_cidr: AllowedCidrs = None,
    unpriced_models: Unpriced = UnpricedModels.refuse,
    drain: Annotated[float, typer.Option(min=0, help="Seconds that running answers get at the end.")] = DRAIN_S,
    log: Annotated[LogFormat, typer.Option(help="How the processes' lines are shown.")] = LogFormat.human,
) -> None:
    """Run it from a folder of resources, until Ctrl-C.

    It listens on 127.0.0.1 alone. Saving a file in DIR applies it; so does removing one. Exit code 0 after the
    first Ctrl-C, which lets running answers end; 130 after a second one, which does not.
    """
    addresses, cidrs = services(service), allowed_cidrs(allow_cidr)
    house = layout.lay_out(directory, state, os.environ)
    layout.make(house)
    with layout.held(house), _reserved(port) as chosen:
        wish = Wish(directory, proxies, chosen, addresses, drain, cidrs, unpriced_models)
        code = asyncio.run(_serve(wish, house, voice(log)))
    raise typer.Exit(code)


@dataclass(frozen=True)
class Wish:
    """What was asked for."""

    directory: Path
    proxies: int
    port: int
    services: Mapping[str, str] = field(default_factory=dict)
    """`namespace/name:port` → `host:port`."""
    drain_s: float = DRAIN_S
    allowed_cidrs: tuple[str, ...] = ()
    unpriced: UnpricedModels = UnpricedModels.refuse


def plans(
    wish: Wish, house: Layout, admin_ports: Sequence[int], environment: Mapping[str, str]
) -> list[list[Plan]]:
    """The tiers to start: what each process is run with."""
    # A BYWAY_ setting of this shell is not passed on: a process refuses those it does not know.
    base = {name: value for name, value in environment.items() if not name.startswith("BYWAY_")}
    ledger, operator = house.socket("ledger"), house.socket("operator")

    def plan(who: str, module: str, ready: Path | int, end_within_s: float, **settings: object) -> Plan:
        socket_file = house.socket(who)
        ours = {f"BYWAY_{setting.upper()}": str(value) for setting, value in settings.items()}
        whole = {**base, **ours, "BYWAY_SOCKET": str(socket_file)}
        return Plan(who, (sys.executable, "-m", *module.split()), whole, ready, end_within_s, socket_file)

    return [
        [plan("ledger", "byway_ledger", ledger, END_WITHIN_S, database=house.state / "ledger/ledger.sqlite")],
        [
            plan(
                "operator", "byway_operator folder", operator, END_WITHIN_S,
                source=wish.directory.resolve(), state=house.state / "operator",
                proxies=wish.proxies, services=",".join(map("=".join, wish.services.items())),
                allowed_cidrs=",".join(wish.allowed_cidrs), ledger=ledger, unpriced=wish.unpriced,
            )
        ],
        [
            plan(
                name, "byway_proxy", admin, wish.drain_s + SHIP_S,
                name=name, listen=f"127.0.0.1:{wish.port}", admin=f"127.0.0.1:{admin}",
                control=operator, ledger=ledger, log_dir=house.state / "log" / name, keep=house.memory / name,
                drain_s=wish.drain_s,
            )
            for name, admin in ((f"proxy-{number}", admin) for number, admin in enumerate(admin_ports))
        ],
    ]  # fmt: skip


async def _serve(wish: Wish, house: Layout, say: HumanVoice | JsonVoice) -> int:
    admin_ports = _free_ports(wish.proxies)
    drain, at_once = _signals(say)
    children = Children(say, random.random, lambda: _write_down(wish, house, children, admin_ports))

    def ready() -> None:
        _write_down(wish, house, children, admin_ports)
        _say_ready(wish, house, say)

    try:
        await children.run(plans(wish, house, admin_ports, os.environ), ready, drain, at_once)
    except NotReadyError as error:
        raise CommandError(str(error)) from error
    if at_once.is_set():
        return _INTERRUPTED
    say.news("ended: every answer delivered, every record shipped")
    return 0


def _signals(say: HumanVoice | JsonVoice) -> tuple[asyncio.Event, asyncio.Event]:
    """The first Ctrl-C or SIGTERM drains, the second ends at once."""
    drain, at_once = asyncio.Event(), asyncio.Event()

    def asked() -> None:
        if drain.is_set():
            at_once.set()
            return
        drain.set()
        say.news("draining: running answers are finished first; once more to end at once")

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return drain, at_once


def _write_down(wish: Wish, house: Layout, children: Children, admin_ports: Sequence[int]) -> None:
    pids = {child.plan.name: child.pid for child in children.all}
    running = (
        RunningProxy(name, admin, pids.get(name))
        for name, admin in ((f"proxy-{number}", admin) for number, admin in enumerate(admin_ports))
    )
    layout.write_running(house, Running(os.getpid(), str(wish.directory.resolve()), wish.port, tuple(running)))


def _say_ready(wish: Wish, house: Layout, say: HumanVoice | JsonVoice) -> None:
    url = f"http://127.0.0.1:{wish.port}/v1"
    counts = [printing.plural(wish.proxies, "proxy", "proxies")]
    model = "MODEL"
    try:
        routes = asking.ask(house.socket("operator"), "/v1/resources", kind="ModelRoute")["items"]
        provider_keys = asking.ask(house.socket("operator"), "/v1/resources", kind="ProviderKey")["items"]
        counts += [printing.plural(len(routes), "route"), printing.plural(len(provider_keys), "provider key")]
        model = next((route["metadata"]["name"] for route in routes), model)
    except CommandError as error:  # it is up all the same
        say.say("warning", "operator", str(error))
    say.news(f"ready: {url}  ({', '.join(counts)})", printing.GOOD)
    say.news(
        f"call it: curl -s {url}/chat/completions -H 'content-type: application/json' "
        f"""-d '{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}'"""
    )


@contextlib.contextmanager
def _reserved(port: int) -> Iterator[int]:
    """A port nobody listens on, kept bound so that it stays ours for the proxies. Raises CommandError."""
    with socket.socket() as probe, socket.socket() as reserved:
        # Without SO_REUSEPORT the probe fails where anybody listens, even somebody who would share.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
            chosen: int = probe.getsockname()[1]
            probe.close()
            reserved.bind(("127.0.0.1", chosen))
        except OSError as error:
            raise CommandError(
                f"port {port} on 127.0.0.1: {error.strerror}; give another --port, 0 for any"
            ) from error
        yield chosen


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_together:
        sockets = [open_together.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
