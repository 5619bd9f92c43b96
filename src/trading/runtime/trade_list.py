"""The list of trades: what a reader wants of it, one page of it, and what all that is wanted comes to."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from trading.adapters.journal_archive import TradeFilter
from trading.engine.trader import MANUAL
from trading.errors import InvalidInput

from . import history
from .documents import Document, amount, iso
from .history import RunView

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "side": ("buy", "sell"),
    "result": ("won", "lost"),
    "origin": ("strategy", "agent"),
}


def trade_filter(strategy: str | None, wanted: Mapping[str, Any], mint_of: Callable[[str], str]) -> TradeFilter:
    """Return the filter of a request: ``mint`` (or a symbol), ``side``, ``result`` of sales, ``origin`` (``agent``: of
    the bucket that agents and people trade from, else of a strategy), ``since_ns`` and ``until_ns``.

    Raises: InvalidInput naming the field, what was given and what is allowed.
    """
    for name, allowed in CHOICES.items():
        if (given := wanted.get(name)) is not None and given not in allowed:
            msg = f"{name}: {given!r} is none of {', '.join(allowed)}"
            raise InvalidInput(msg, field=name)
    since_ns, until_ns = wanted.get("since_ns"), wanted.get("until_ns")
    if since_ns is not None and until_ns is not None and since_ns > until_ns:
        msg = f"since: {iso(since_ns)} is later than until, {iso(until_ns)}"
        raise InvalidInput(msg, field="since")
    mint, result, origin = (wanted.get(name) for name in ("mint", "result", "origin"))
    return TradeFilter(
        strategy=strategy,
        mint=None if mint is None else mint_of(mint),
        side=wanted.get("side"),
        is_won=None if result is None else result == "won",
        is_in=MANUAL if origin == "agent" else None,
        is_not_in=MANUAL if origin == "strategy" else None,
        since_ns=since_ns,
        until_ns=until_ns,
    )


def trade_page(run: RunView, wanted: TradeFilter, *, before: int | None, limit: int) -> Document:
    """Return wire.TradePage without its context, newest first; a cursor is the number of the oldest trade given."""
    found = run.archive.trades(wanted=wanted, before=before, limit=limit + 1)
    page = found[:limit]
    totals = run.archive.trade_totals(wanted)
    return {
        "trades": [history.trade(run, each.body) for each in page],
        "next_cursor": str(page[-1].number) if len(found) > limit else None,
        "totals": {
            "trades": totals.trades,
            "won": totals.won,
            "lost": totals.lost,
            "realised": amount(totals.realised_lamports, None),
            "fees": amount(totals.fee_lamports, None),
        },
    }
