"""How the ledger says something, and how it says no."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from byway_ledger.stores.store import StoreError

_encode = msgspec.json.Encoder().encode


def answer(status: int, body: msgspec.Struct) -> web.Response:
    return web.Response(status=status, body=_encode(body), content_type="application/json")


def error_answer(status: int, message: str, *, retry_after_s: int | None = None) -> web.Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    body = _encode({"error": {"message": message}})
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def foreign_answer(owner: str, sender: str) -> web.Response:
    return error_answer(
        403,
        f"this log is pod {owner}'s, and {sender} may not write into it: give each pod a volume of its own"
        " for its log, or let the pod that takes it over bear the same name (a StatefulSet)",
    )


@web.middleware
async def explained(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except StoreError as error:
        return error_answer(503, str(error), retry_after_s=1)
    except web.HTTPException as error:
        return error_answer(error.status, f"{request.method} {request.path}: {error.reason}")
