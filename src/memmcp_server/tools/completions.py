"""What a client may offer while a person fills in a prompt's or an address's argument: names and ids that are there.

The SDK's decorator does not say who asks; this handler does, so that nobody is offered what it may not read.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context
from mcp_types import CompleteRequestParams, CompleteResult, Completion

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.errors import MemoryServerError
from memmcp_server.services.container import Services
from memmcp_server.wire.trading import StrategyList, TradePage

from .caller import caller_of
from .desk import document

VALUES_MAX: Final = 100
"""The protocol's own bound of one answer."""

LOOKED_AT: Final = 500
VALUE_CHARS_MAX: Final = 256
RESOLUTIONS: Final = ("60", "300", "3600", "86400")

Source = Callable[[Services, Caller, Mapping[str, str]], Awaitable[Iterable[str]]]


async def _namespaces(services: Services, caller: Caller, _known: Mapping[str, str]) -> Iterable[str]:
    hidden = (await services.policies.book()).hidden_from(caller)
    counts = await services.journal.counts(MemoryFilter(hidden=hidden), "namespace", limit=LOOKED_AT)
    return (each.name for each in counts)


async def _ids(services: Services, caller: Caller, known: Mapping[str, str]) -> Iterable[str]:
    hidden = (await services.policies.book()).hidden_from(caller)
    where = MemoryFilter(namespace=known.get("namespace") or None, hidden=hidden)
    page = await services.journal.page(where, after=None, limit=LOOKED_AT, newest_first=True)
    return (each.id for each in page)


async def _trajectories(services: Services, caller: Caller, _known: Mapping[str, str]) -> Iterable[str]:
    page = await services.trajectories.page(limit=200, caller=caller)
    return (each.id for each in page.trajectories)


async def _strategies(services: Services, _caller: Caller, _known: Mapping[str, str]) -> Iterable[str]:
    if services.desk is None:
        return ()
    told = document(StrategyList, await services.desk.strategies())
    return (each.name for each in told.strategies)


async def _orders(services: Services, _caller: Caller, _known: Mapping[str, str]) -> Iterable[str]:
    if services.desk is None:
        return ()
    told = document(TradePage, await services.desk.trades(strategy=None, cursor=None, limit=200))
    return (each.order_id for each in told.trades)


async def _resolutions(_services: Services, _caller: Caller, _known: Mapping[str, str]) -> Iterable[str]:
    return RESOLUTIONS


SOURCES: Final[Mapping[str, Source]] = {
    "namespace": _namespaces,
    "order_id": _orders,
    "strategy": _strategies,
    "resolution": _resolutions,
}


def add_completions(server: MCPServer[Any], services: Services) -> None:
    """Serve ``completion/complete``."""

    async def complete(ctx: ServerRequestContext[Any, Any], params: CompleteRequestParams) -> CompleteResult:
        caller = caller_of(Context(request_context=ctx), "completion/complete")
        known = (params.context.arguments if params.context else None) or {}
        source = _source(params)
        begun = params.argument.value[:VALUE_CHARS_MAX]
        try:
            found = () if source is None else await source(services, caller, known)
        except MemoryServerError:
            found = ()  # a desk that is away offers nothing; what is typed by hand is still answered
        values = [each for each in dict.fromkeys(found) if each.casefold().startswith(begun.casefold())]
        shown = values[:VALUES_MAX]
        return CompleteResult(completion=Completion(values=shown, total=len(values), has_more=len(values) > len(shown)))

    server._lowlevel_server.add_request_handler("completion/complete", CompleteRequestParams, complete)


def _source(params: CompleteRequestParams) -> Source | None:
    name = params.argument.name
    if name == "id":
        return _trajectories if str(getattr(params.ref, "uri", "")).startswith("trajectory://") else _ids
    return SOURCES.get(name)
